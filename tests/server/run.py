"""Runs the scenarios of rit-server's HTTP face: real servers, devices, browsers, login providers.

usage: run.py --bin DIR --server PROGRAM [--chromium PROGRAM] [SCENARIO...]
Prints one line per scenario and, last, the counts. Exit status 0 only if none failed.
"""

import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import runner  # noqa: E402

MODULES = ("accounts", "authorisation", "hostile", "monitoring", "page", "provider", "generated",
           "secrecy_http", "face")
LIMIT_S = 180


def add_arguments(parser):
    parser.add_argument("--chromium", default=shutil.which("chromium-headless-shell")
                        or shutil.which("chromium"))


def main():
    tools = runner.arguments(add_arguments, web=False)
    chosen = runner.scenarios(MODULES, tools.scenarios)
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for name, function in chosen.items():
        start = time.monotonic()
        outcome, reason, _ = runner.run(name, function, tools, LIMIT_S)
        counts[outcome] += 1
        print(f"{outcome} {name} ({time.monotonic() - start:.1f} s)"
              + (f": {reason}" if reason else ""), flush=True)
    print("result: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
