"""Runs the scenarios of rit-server's HTTP face: real servers, devices, browsers, login providers.

usage: run.py --bin DIR --server PROGRAM [--chromium PROGRAM] [SCENARIO...]
Prints one line per scenario and, last, the counts. Exit status 0 only if none failed.
"""

import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import runner  # noqa: E402

MODULES = ("accounts", "authorisation", "hostile", "monitoring", "page", "provider", "generated",
           "secrecy_http", "face", "duplicates")
LIMIT_S = 180


def add_arguments(parser):
    parser.add_argument("--chromium", default=shutil.which("chromium-headless-shell")
                        or shutil.which("chromium"))


def main():
    tools = runner.arguments(add_arguments, web=False)
    chosen = runner.scenarios(MODULES, tools.scenarios)
    runner.run_all(chosen, tools, LIMIT_S)


if __name__ == "__main__":
    main()
