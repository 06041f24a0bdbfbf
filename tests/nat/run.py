"""Runs the kernel's NAT lab: first its own checks, then the real programs in it.

usage: run.py --bin DIR --server PROGRAM --nginx PROGRAM [--jobs N] [--all] [SCENARIO...]
Each scenario is a process of its own, --jobs (2) at a time, with namespaces of its own. What
expect.py says cannot pass yet is skipped with its reason; --all tries it all the same. Prints one
line per scenario and, last, the counts. Exit status 0 only if none failed. Needs root, or a user
namespace in which it is root.
"""

import argparse
import importlib
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from harness import Failed, Skipped, World, with_limit  # noqa: E402 (the path above)

MODULES = ("labcheck",)
LIMIT_S = 150
WORDS = {0: "passed", 1: "failed", 3: "skipped"}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--server", type=pathlib.Path, required=True)
    parser.add_argument("--nginx", required=True)
    parser.add_argument("--curl", default=shutil.which("curl"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--one", action="store_true", help="in this process; for run.py itself")
    parser.add_argument("scenarios", nargs="*")
    tools = parser.parse_args()
    tools.device, tools.reach = tools.bin / "device", tools.bin / "reach"
    return tools


def scenarios(wanted):
    """name → function; the long ones first, so that nobody waits for them at the end."""
    every = {}
    for module in MODULES:
        for name, function in vars(importlib.import_module(module)).items():
            if name.startswith("test_"):
                every[name.removeprefix("test_")] = function
    for name in wanted:
        if name not in every:
            sys.exit(f"unknown scenario '{name}'; there are: {', '.join(every)}")
    return {name: every[name] for name in wanted or every}


def run_one(name, function, tools):
    """Prints the outcome in one line; the exit status that stands for it."""
    start = time.monotonic()
    try:
        with World(tools, name) as world:
            with_limit(LIMIT_S, function, world)
        status, reason = 0, ""
    except Skipped as why:
        status, reason = 3, f": {why}"
    except Failed as why:
        status, reason = 1, f": {why}"
    except Exception:  # a fault of the scenario itself is a failure too
        status, reason = 1, f": {traceback.format_exc()}"
    print(f"{WORDS[status]} {name} ({time.monotonic() - start:.1f} s){reason}", flush=True)
    return status


def run_all(names, tools):
    """Counts by outcome. The output of each is printed when it has ended."""
    waiting, running, counts = list(names), [], dict.fromkeys(WORDS.values(), 0)
    while waiting or running:
        while waiting and len(running) < tools.jobs:
            argv = [sys.executable, "-B", *sys.argv[:1], "--one", *options(tools), waiting.pop(0)]
            output = tempfile.TemporaryFile("w+")
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            running.append((child, output))
        time.sleep(0.05)
        for child, output in [pair for pair in running if pair[0].poll() is not None]:
            running.remove((child, output))
            output.seek(0)
            print(output.read(), end="", flush=True)
            output.close()
            counts[WORDS.get(child.returncode, "failed")] += 1
    return counts


def options(tools):
    given = ["--bin", tools.bin, "--server", tools.server, "--nginx", tools.nginx]
    return [*map(str, given), "--curl", tools.curl, *(["--all"] if tools.all else [])]


def main():
    tools = arguments()
    chosen = scenarios(tools.scenarios)
    if tools.one:
        sys.exit(run_one(*chosen.popitem(), tools))
    counts = run_all(chosen, tools)
    print("result: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
