"""Runs the end-to-end scenarios: real programs, a real web server, curl.

usage: run.py --bin DIR --server PROGRAM --nginx PROGRAM [--tcpdump PROGRAM] [--own-network]
              [SCENARIO...]
Prints one line per scenario and, last, the counts. Exit status 0 only if none failed.
"""

import argparse
import fcntl
import importlib
import pathlib
import resource
import shutil
import socket
import struct
import sys
import time
import traceback

from harness import Failed, Skipped, World, with_limit

MODULES = ("basic", "refusals", "brokers", "load", "secrecy", "datagrams")
LIMIT_S = 240


def loopback_up():
    """A network namespace of one's own starts with its loopback interface down."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--server", type=pathlib.Path, required=True)
    parser.add_argument("--nginx", required=True)
    parser.add_argument("--curl", default=shutil.which("curl"))
    parser.add_argument("--tcpdump")
    parser.add_argument("--own-network", action="store_true")
    parser.add_argument("scenarios", nargs="*")
    tools = parser.parse_args()
    tools.device, tools.reach = tools.bin / "device", tools.bin / "reach"
    return tools


def scenarios(wanted):
    every = {}
    for module in MODULES:
        for name, function in vars(importlib.import_module(module)).items():
            if name.startswith("test_"):
                every[name.removeprefix("test_")] = function
    for name in wanted:
        if name not in every:
            sys.exit(f"unknown scenario '{name}'; there are: {', '.join(every)}")
    return {name: every[name] for name in wanted or every}


def run(name, function, tools):
    """"passed", or "failed"/"skipped" with the reason."""
    try:
        with World(tools, name) as world:
            with_limit(LIMIT_S, function, world)
        return "passed", ""
    except Skipped as reason:
        return "skipped", str(reason)
    except Failed as reason:
        return "failed", str(reason)
    except Exception:  # a fault of the scenario itself is a failure too
        return "failed", traceback.format_exc()


def main():
    tools = arguments()
    chosen = scenarios(tools.scenarios)
    if tools.own_network:
        loopback_up()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for name, function in chosen.items():
        start = time.monotonic()
        outcome, reason = run(name, function, tools)
        counts[outcome] += 1
        print(f"{outcome} {name} ({time.monotonic() - start:.1f} s)"
              + (f": {reason}" if reason else ""), flush=True)
    print("result: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
