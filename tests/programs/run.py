"""Runs the scenarios with programs of others at both ends: OpenSSH, a browser, VNC, and so on.

usage: run.py --bin DIR --server PROGRAM --rit PROGRAM --nginx PROGRAM --unpacked DIR
              [--chromium PROGRAM] [--own-network] [SCENARIO...]
--unpacked has the files of those Debian packages that are not installed, each in a folder of its
name. Prints one line per scenario and, last, the counts. Exit status 0 only if none failed.
"""

import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / area) for area in ("e2e", "cli", "server"))]

import runner  # noqa: E402 (of tests/e2e)

MODULES = ("openssh", "https", "vnc", "rtp", "mqtt", "database", "iperf", "names")
LIMIT_S = 120


def add_arguments(parser):
    parser.add_argument("--rit", type=pathlib.Path, required=True)
    parser.add_argument("--unpacked", type=pathlib.Path, required=True)
    parser.add_argument("--chromium", default=shutil.which("chromium-headless-shell")
                        or shutil.which("chromium"))
    parser.add_argument("--own-network", action="store_true")


def main():
    tools = runner.arguments(add_arguments)
    chosen = runner.scenarios(MODULES, tools.scenarios)
    if tools.own_network:
        # As most networks have it: not everything fits into one datagram of the tunnel's.
        runner.loopback_up(mtu=1500)
    runner.run_all(chosen, tools, LIMIT_S)


if __name__ == "__main__":
    main()
