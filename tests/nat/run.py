"""Runs the kernel's NAT lab: first its own checks, then the real programs in it.

usage: run.py --bin DIR --server PROGRAM --nginx PROGRAM [--jobs N] [--all] [SCENARIO...]
Each scenario is a process of its own, --jobs (2) at a time, with namespaces of its own. What
expect.py says cannot pass yet is skipped with its reason; --all tries it all the same. Prints one
line per scenario and, last, the counts. Exit status 0 only if none failed. Needs root, or a user
namespace in which it is root.
"""

import importlib
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import runner  # noqa: E402 (the path above)

# The long ones first, so that nobody waits for them at the end.
MODULES = (
    "labcheck",
    "recovery",
    "idle",
    "changes",
    "netchange_interfaces",
    "netchange_paths",
    "netchange_portmap",
    "sessions",
    "camera",
)
LIMIT_S = 150
OUTCOMES = ("passed", "failed", "skipped")


def add_arguments(parser):
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--one", action="store_true", help="in this process; for run.py itself")


def run_one(name, function, tools):
    """Prints one line: the outcome, the name, the time and why. A scenario that returns a list of
    (name, outcome, reason) has one line for each of these as well."""
    start = time.monotonic()
    outcome, reason, parts = runner.run(name, function, tools, LIMIT_S)
    seconds = f"({time.monotonic() - start:.1f} s)"
    for part in [*(parts or []), (name, outcome, reason)]:
        print(f"{part[1]} {part[0]} {seconds}" + (f": {part[2]}" if part[2] else ""), flush=True)


def run_all(names, tools):
    """Counts by outcome. The output of each is printed when it has ended."""
    waiting, running, counts = list(names), [], dict.fromkeys(OUTCOMES, 0)
    while waiting or running:
        while waiting and len(running) < tools.jobs:
            name, output = waiting.pop(0), tempfile.TemporaryFile("w+")
            argv = [sys.executable, "-B", *sys.argv[:1], "--one", *options(tools), name]
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            running.append((name, child, output))
        time.sleep(0.05)
        for entry in [entry for entry in running if entry[1].poll() is not None]:
            running.remove(entry)
            count(*entry, counts)
    return counts


def count(name, child, output, counts):
    output.seek(0)
    text = output.read()
    output.close()
    print(text, end="", flush=True)
    outcomes = re.findall(rf"^({'|'.join(OUTCOMES)}) \S+ \(", text, re.MULTILINE)
    if child.returncode != 0:
        print(f"failed {name} (0 s): it ended with status {child.returncode}")
        outcomes.append("failed")
    for outcome in outcomes:
        counts[outcome] += 1


def options(tools):
    given = ["--bin", tools.bin, "--server", tools.server, "--nginx", tools.nginx]
    return [*map(str, given), "--curl", tools.curl, *(["--all"] if tools.all else [])]


def main():
    tools = runner.arguments(add_arguments)
    expect = importlib.import_module("expect")
    expect.TRY_ALL = tools.all
    chosen = runner.scenarios(MODULES, tools.scenarios)
    if tools.one:
        return run_one(*chosen.popitem(), tools)
    counts = run_all(chosen, tools)
    print("result: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
