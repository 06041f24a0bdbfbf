"""Gateways: neighbours without the library that are reached through one, and LANs whose line is
cut, in network namespaces.

usage: run.py --bin DIR --server PROGRAM --rit PROGRAM --nginx PROGRAM [SCENARIO...]
Prints one line per scenario and, last, the counts. Exit status 0 only if none failed. Needs root,
or a user namespace in which it is root, and a network namespace of its own.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]
# Both have a `people`: that of cli is loaded by its path, see scene.py.
sys.path[1:1] = [str(HERE.parent / area) for area in ("e2e", "nat")]

import runner  # noqa: E402 (of tests/e2e)

MODULES = ("neighbours", "inventory", "line")
LIMIT_S = 240


def main():
    tools = runner.arguments(
        lambda parser: parser.add_argument("--rit", type=pathlib.Path, required=True))
    runner.run_all(runner.scenarios(MODULES, tools.scenarios), tools, LIMIT_S)


if __name__ == "__main__":
    main()
