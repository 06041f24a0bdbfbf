"""What the runners of scenarios with the real programs share: their arguments, finding scenarios,
and what came of one."""

import argparse
import importlib
import pathlib
import shutil
import sys
import traceback

from harness import Failed, Skipped, World, with_limit


def arguments(add_more, web=True):
    """The tools and the wanted scenarios; `add_more(parser)` adds a runner's own. `web`: there is
    a web server among them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--server", type=pathlib.Path, required=True)
    if web:
        parser.add_argument("--nginx", required=True)
    parser.add_argument("--curl", default=shutil.which("curl"))
    add_more(parser)
    parser.add_argument("scenarios", nargs="*")
    tools = parser.parse_args()
    for program in ("device", "reach", "owner", "sensor"):
        setattr(tools, program, tools.bin / program)
    return tools


def scenarios(modules, wanted):
    """name → function, in the modules' order: those wanted, or all."""
    every = {}
    for module in modules:
        for name, function in vars(importlib.import_module(module)).items():
            if name.startswith("test_"):
                every[name.removeprefix("test_")] = function
    for name in wanted:
        if name not in every:
            sys.exit(f"unknown scenario '{name}'; there are: {', '.join(every)}")
    return {name: every[name] for name in wanted or every}


def run(name, function, tools, limit_s):
    """(outcome, reason, what it returned): "passed", or "failed"/"skipped" with the reason."""
    try:
        with World(tools, name) as world:
            returned = with_limit(limit_s, function, world)
        return "passed", "", returned
    except Skipped as reason:
        return "skipped", str(reason), None
    except Failed as reason:
        return "failed", str(reason), None
    except Exception:  # a fault of the scenario itself is a failure too
        return "failed", traceback.format_exc(), None
