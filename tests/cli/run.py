"""Runs the scenarios of the command `rit`: a real server, real devices, people who type.

usage: run.py --bin DIR --server PROGRAM --rit PROGRAM --nginx PROGRAM [--own-network] [SCENARIO...]
Prints one line per scenario and, last, the counts. Exit status 0 only if none failed.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / area) for area in ("e2e", "server"))]

import runner  # noqa: E402 (of tests/e2e)

MODULES = ("connecting", "manual", "strangers", "owners", "keeping", "authenticator",
           "naming", "cloaking")
LIMIT_S = 120


def add_arguments(parser):
    parser.add_argument("--rit", type=pathlib.Path, required=True)
    parser.add_argument("--own-network", action="store_true")


def main():
    tools = runner.arguments(add_arguments)
    chosen = runner.scenarios(MODULES, tools.scenarios)
    if tools.own_network:
        runner.loopback_up()
    runner.run_all(chosen, tools, LIMIT_S)


if __name__ == "__main__":
    main()
