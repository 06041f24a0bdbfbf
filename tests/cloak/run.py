"""What a scanner learns of a device: nmap, hping3, scapy and a million datagrams, in namespaces.

usage: run.py --bin DIR --server PROGRAM --nginx PROGRAM [SCENARIO...]
Prints one line per scenario and, last, the counts. Exit status 0 only if none failed. Needs root,
or a user namespace in which it is root, and a network namespace of its own.
"""

import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[1:1] = [str(TESTS / "e2e"), str(TESTS / "nat")]

import runner  # noqa: E402 (the path above)

MODULES = ("silence", "profile", "uncloaked")
LIMIT_S = 240


def main():
    tools = runner.arguments(lambda parser: None)
    runner.run_all(runner.scenarios(MODULES, tools.scenarios), tools, LIMIT_S)


if __name__ == "__main__":
    main()
