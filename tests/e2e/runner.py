"""What the runners of scenarios with the real programs share: their arguments, finding scenarios,
and what came of one."""

import argparse
import fcntl
import importlib
import pathlib
import shutil
import socket
import struct
import sys
import time
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


def run_all(chosen, tools, limit_s):
    """Runs name → function one after the other, with a line for each and, last, the counts. Ends
    the program: with 0 only if none failed."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for name, function in chosen.items():
        start = time.monotonic()
        outcome, reason, _ = run(name, function, tools, limit_s)
        counts[outcome] += 1
        print(f"{outcome} {name} ({time.monotonic() - start:.1f} s)"
              + (f": {reason}" if reason else ""), flush=True)
    print("result: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


def loopback_up(mtu=65536):
    """A network namespace of one's own starts with its loopback interface down."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8922, struct.pack("16si12x", b"lo", mtu))
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))
