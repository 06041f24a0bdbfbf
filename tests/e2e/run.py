"""Runs the end-to-end scenarios: real programs, a real web server, curl.

usage: run.py --bin DIR --server PROGRAM --nginx PROGRAM [--tcpdump PROGRAM] [--own-network]
              [SCENARIO...]
Prints one line per scenario and, last, the counts. Exit status 0 only if none failed.
"""

import resource

import runner

MODULES = ("basic", "refusals", "brokers", "load", "secrecy", "datagrams", "skeleton",
           "owners")
LIMIT_S = 240


def add_arguments(parser):
    parser.add_argument("--tcpdump")
    parser.add_argument("--own-network", action="store_true")


def main():
    tools = runner.arguments(add_arguments)
    chosen = runner.scenarios(MODULES, tools.scenarios)
    if tools.own_network:
        runner.loopback_up()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    runner.run_all(chosen, tools, LIMIT_S)


if __name__ == "__main__":
    main()
