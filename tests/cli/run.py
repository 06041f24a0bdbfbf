"""Runs the scenarios of the command `rit`: a real server, real devices, people who type.

usage: run.py --bin DIR --server PROGRAM --rit PROGRAM --nginx PROGRAM [--own-network] [SCENARIO...]
Prints one line per scenario and, last, the counts. Exit status 0 only if none failed.
"""

import fcntl
import pathlib
import socket
import struct
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import runner  # noqa: E402 (of tests/e2e)

MODULES = ("connecting", "manual", "strangers", "owners")
LIMIT_S = 120


def loopback_up():
    """A network namespace of one's own starts with its loopback interface down."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))


def add_arguments(parser):
    parser.add_argument("--rit", type=pathlib.Path, required=True)
    parser.add_argument("--own-network", action="store_true")


def main():
    tools = runner.arguments(add_arguments)
    chosen = runner.scenarios(MODULES, tools.scenarios)
    if tools.own_network:
        loopback_up()
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
