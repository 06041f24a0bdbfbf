"""Runs the scenarios of a device on lwIP with each build of it.

usage: run.py --bin DIR --server PROGRAM [--curl PROGRAM] BUILD... [-- SCENARIO...]
For a network namespace of its own, with root's rights over it. Prints one line per scenario and,
last, the counts. Exit status 0 only if none failed.
"""

import argparse
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import runner  # noqa: E402
import scenarios  # noqa: E402

LIMIT_S = 400


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--server", type=pathlib.Path, required=True)
    parser.add_argument("--curl", default=shutil.which("curl"))
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("builds", nargs="+", type=pathlib.Path)
    tools = parser.parse_args()
    tools.reach, tools.device, tools.nginx = tools.bin / "reach", tools.bin / "device", None
    every = scenarios.every()
    for name in tools.only:
        if name not in every:
            sys.exit(f"unknown scenario '{name}'; there are: {', '.join(every)}")
    scenarios.set_up_network()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for build in tools.builds:
        for name, function in every.items():
            if (tools.only and name not in tools.only) or not scenarios.suits(name, build):
                continue
            start = time.monotonic()
            outcome, reason, _ = runner.run(
                f"lwip-{name}", lambda world, f=function, b=build: f(world, b), tools, LIMIT_S)
            counts[outcome] += 1
            print(f"{outcome} lwip {scenarios.variant_of(build)} {name} "
                  f"({time.monotonic() - start:.1f} s)" + (f": {reason}" if reason else ""),
                  flush=True)
    print("result: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
