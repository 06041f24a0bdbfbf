"""Runs the end-to-end scenarios: real programs, a real web server, curl.

usage: run.py --bin DIR --server PROGRAM --nginx PROGRAM [--tcpdump PROGRAM] [--own-network]
              [SCENARIO...]
Prints one line per scenario and, last, the counts. Exit status 0 only if none failed.
"""

import fcntl
import resource
import socket
import struct
import sys
import time

import runner

MODULES = ("basic", "refusals", "brokers", "load", "secrecy", "datagrams", "skeleton",
           "owners")
LIMIT_S = 240


def loopback_up():
    """A network namespace of one's own starts with its loopback interface down."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))


def add_arguments(parser):
    parser.add_argument("--tcpdump")
    parser.add_argument("--own-network", action="store_true")


def main():
    tools = runner.arguments(add_arguments)
    chosen = runner.scenarios(MODULES, tools.scenarios)
    if tools.own_network:
        loopback_up()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
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
