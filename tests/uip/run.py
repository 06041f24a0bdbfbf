"""Runs the scenarios of librit on uIP: the example as a process behind a TAP device, and the real
programs on this side of it.

usage: run.py --uip DIR --kinds "NAME..." --bin DIR --server PROGRAM [SCENARIO...]
Each scenario is run once for each kind of uIP. Needs root in a network namespace of its own
(`unshare --net`), /dev/net/tun, iproute2, nft and curl. Prints one line per scenario and, last, the
counts. Exit status 0 only if none failed.
"""

import pathlib
import subprocess
import sys
import time

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import runner  # noqa: E402 (the path above)

LIMIT_S = 300


def add_arguments(parser):
    parser.add_argument("--uip", type=pathlib.Path, required=True)
    parser.add_argument("--kinds", required=True)


def main():
    tools = runner.arguments(add_arguments, web=False)
    tools.uip = tools.uip.resolve()
    chosen = runner.scenarios(("scenarios",), tools.scenarios)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for tools.kind in tools.kinds.split():
        for name, function in chosen.items():
            start = time.monotonic()
            outcome, reason, _ = runner.run(name, function, tools, LIMIT_S)
            counts[outcome] += 1
            print(f"{outcome} {tools.kind}_{name} ({time.monotonic() - start:.1f} s)"
                  + (f": {reason}" if reason else ""), flush=True)
    print("result: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
