"""Runs the scenarios with the emulated boards: QEMU, the images, and the real programs beside them.

usage: run.py --images DIR --bin DIR --server PROGRAM [--qemu PROGRAM] [SCENARIO...]
Needs root in a network namespace of its own (`unshare --net`), /dev/net/tun, iproute2 and curl.
Prints one line per scenario and, last, the counts. Exit status 0 only if none failed.
"""

import pathlib
import shutil
import subprocess
import sys

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import runner  # noqa: E402 (the path above)

MODULES = ("board", "device", "uip")
LIMIT_S = 300


def add_arguments(parser):
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--qemu", default=shutil.which("qemu-system-arm"))


def main():
    tools = runner.arguments(add_arguments, web=False)
    tools.images = tools.images.resolve()
    chosen = runner.scenarios(MODULES, tools.scenarios)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    runner.run_all(chosen, tools, LIMIT_S)


if __name__ == "__main__":
    main()
