"""Measures the relay as a process beside a plain forwarder of the same port code, on a loopback.

usage: relay.py --server PROGRAM --plain PROGRAM --tools DIR [--json FILE]
DIR of --tools has relay-load. Each has a core of its own, the load another. They take turns, in
RIT_BENCH_ROUNDS rounds of RIT_BENCH_RELAY_S seconds each; the medians count, and of the ratio the
median of the rounds' own. The exit status is 3 if there is one core only. core/PERFORMANCE.md says
what the figures are.
"""

import argparse
import os
import pathlib
import statistics
import sys

from process import print_table, setting, write_rows
from tunnels import HERE  # noqa: F401 (finds the harness)
from harness import Failed, World, free_port

# Payload bytes: the smallest that tells of the cost for each, and a full one.
SIZES = (64, 1280)
# Of one channel behind each other: each alone, and as they come where a flow is bulk.
RUNS = {1: "each alone", 16: "in runs of 16"}
# Below this it was not the forwarder that was measured, but its load.
BUSY_MIN, TRIES = 0.95, 10
PLAIN = "plain forwarder"


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", type=pathlib.Path, required=True)
    parser.add_argument("--plain", type=pathlib.Path, required=True)
    parser.add_argument("--tools", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path)
    tools = parser.parse_args()
    tools.load = tools.tools / "relay-load"
    tools.rounds, tools.seconds = setting("RIT_BENCH_ROUNDS", 7), setting("RIT_BENCH_RELAY_S", 2)
    return tools


def start_all(world, core):
    """Name → (its process, what the load is told of it)."""
    tools, state = world.tools, world.folder / "state"
    at, plain_at = (f"127.0.0.1:{free_port()}" for _ in range(2))
    relay = world.start("relay", tools.server, "--state", state, "--listen", at,
                        "--role", "relay", "--second-port", "0", "--log", "warn")
    ports = [free_port(), free_port()]
    ends = [f"127.0.0.1:{port}" for port in ports]
    plain = world.start("plain", tools.plain, plain_at, *ends)
    for process in (relay, plain):
        process.wait_line("^ready")
        os.sched_setaffinity(process.pid, {core})
    return {"relay": (relay, ("relay", at, state / "relay-secret")),
            PLAIN: (plain, ("plain", plain_at, f"{ports[0]}:{ports[1]}"))}


def measure(world, process, how, size, run):
    """Datagrams a second of the clock, and a second of the process's CPU time. Who had time to
    spare, as where others use the machine too, is measured again."""
    for _ in range(TRIES):
        figures, busy = turn(world, process, how, size, run)
        if busy >= BUSY_MIN:
            return figures
    raise Failed(f"{process.name} had time to spare ({busy:.1%} busy): the load is too slow")


def turn(world, process, how, size, run):
    done = world.run(world.tools.load, *how, process.pid, size, run, world.tools.seconds)
    if done.returncode != 0:
        raise Failed(f"relay-load: {done.stderr.strip()}")
    delivered, sent, seconds, cpu, waited = (float(word) for word in done.stdout.split())
    # The load is as much more as was lost, and the core was this process's, or would have been.
    busy = (cpu + waited) / seconds
    print(f"{process.name} {size} B, {RUNS[run]}: {delivered / seconds:.0f}/s, "
          f"{delivered / cpu:.0f}/s of CPU, {delivered / sent:.0%} of what was sent, "
          f"busy {busy:.1%}", file=sys.stderr, flush=True)
    return (delivered / seconds, delivered / cpu), busy


def rows(world, running):
    for run, how_sent in RUNS.items():
        for size in SIZES:
            rounds = [[measure(world, *one, size, run) for one in running.values()]
                      for _ in range(world.tools.rounds)]
            for kind, unit in enumerate(("datagrams/s", "datagrams/CPU s")):
                ours, theirs = ([pair[who][kind] for pair in rounds] for who in (0, 1))
                ratio = statistics.median(our / their for our, their in zip(ours, theirs))
                yield {"name": f"relay, {size} B {how_sent}", "unit": unit,
                       "ours": round(statistics.median(ours)),
                       "peer": round(statistics.median(theirs)), "peer_name": PLAIN,
                       "ratio": round(ratio, 4)}


def main():
    tools = arguments()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("unavailable: area relay: it takes two cores", file=sys.stderr)
        sys.exit(3)
    try:
        with World(tools, "relay") as world:
            running = start_all(world, cores[-1])
            os.sched_setaffinity(0, set(cores[:-1]))
            found = list(rows(world, running))
    except Failed as reason:
        sys.exit(f"error: relay: {reason}")
    print_table(found)
    if tools.json:
        write_rows(tools.json, found)


if __name__ == "__main__":
    main()
