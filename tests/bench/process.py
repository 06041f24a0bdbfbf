"""Measures whole processes: librit's device and reach beside other tunnels, on a loopback and
across a veth pair of network namespaces.

usage: process.py process|latency --bin DIR --server PROGRAM --tools DIR [--net loopback|veth]
                  [--json FILE]
DIR of --bin has device and reach, DIR of --tools what tests/bench builds; peers are found by PATH.
RIT_BENCH_MIB is what one transfer carries, RIT_BENCH_ROUNDS how often all take their turn (in
latency four times as often); medians count. The exit status is 3 if a network could not be had
here. core/PERFORMANCE.md says what the figures are.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys

from tunnels import DIRECT, OURS, PEERS, Lab, Loopback, Unavailable, Veth, direct, librit
from harness import Failed

CONNECTIONS = (1, 100)
# Who shares a processor with whom stays for one turn, and weighs more than the tunnels: many turns.
ROUND_TRIPS, LATENCY_TURNS = 2000, 4
GIB = 1 << 30
TICKS = os.sysconf("SC_CLK_TCK")
# Above these the load itself is stuck.
FETCH_S, ECHO_S = 120, 60


def setting(name, default):
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        sys.exit(f"error: {name} must be a whole number from 1 to 1000000")
    return int(text)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("area", choices=("process", "latency"))
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--server", type=pathlib.Path, required=True)
    parser.add_argument("--tools", type=pathlib.Path, required=True)
    parser.add_argument("--net", choices=("loopback", "veth"))
    parser.add_argument("--json", type=pathlib.Path)
    tools = parser.parse_args()
    tools.device, tools.reach = tools.bin / "device", tools.bin / "reach"
    tools.load, tools.quinn_forward = tools.tools / "load", tools.tools / "quinn-forward"
    tools.bytes = setting("RIT_BENCH_MIB", 512) << 20
    tools.rounds = setting("RIT_BENCH_ROUNDS", 3)
    return tools


def cpu_seconds(processes):
    """User and system time of these and all they ever started."""
    spent, children = {}, {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        spent[int(entry.name)] = sum(int(ticks) for ticks in fields[11:15])
        children.setdefault(int(fields[1]), []).append(int(entry.name))

    def tree(pid):
        return spent.get(pid, 0) + sum(tree(child) for child in children.get(pid, ()))

    return sum(tree(process.pid) for process in processes) / TICKS


def load(lab, seconds, *argv):
    """What the load's client prints, as numbers."""
    done = lab.run(lab.tools.load, *argv, seconds=seconds)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, argv))}: {done.stderr.strip()}")
    return [float(word) for word in done.stdout.split()]


def fetch(lab, at, processes, connections):
    """Throughput in Gbit/s, and the tunnel's CPU seconds per GiB."""
    before = cpu_seconds(processes)
    [seconds] = load(lab, FETCH_S, "fetch", at, connections, lab.tools.bytes)
    cpu = cpu_seconds(processes) - before
    return lab.tools.bytes * 8 / 1e9 / seconds, cpu * GIB / lab.tools.bytes


def process_figures(lab, at, processes):
    """Name and unit → figure, of one turn."""
    figures = {}
    for connections in CONNECTIONS:
        name = f"{connections} connection" + ("s" if connections > 1 else "")
        rate, cpu = fetch(lab, at, processes, connections)
        figures[name, "Gbit/s"] = rate
        if processes:
            figures[f"{name}, CPU", "s/GiB"] = cpu
    return figures


def latency_figures(lab, at, _processes):
    median, last = load(lab, ECHO_S, "echo", at, ROUND_TRIPS)
    return {("median", "µs"): median, ("99th percentile", "µs"): last}


def start_all(lab):
    """Who is measured: name → (where the client connects, its processes)."""
    running = {DIRECT: direct(lab), OURS: librit(lab)}
    for name, start in PEERS[lab.tools.area].items():
        try:
            running[name] = start(lab)
        except (Unavailable, Failed) as reason:
            unavailable(name, lab.net, reason)
    return running


def unavailable(what, net, reason):
    print(f"unavailable: {what} on {net.name}: {reason}", file=sys.stderr, flush=True)


def take_turns(lab, rounds, figures_of):
    """Name → what → the median of all rounds. A peer that fails is left out from then on."""
    running = start_all(lab)
    turns = {name: [] for name in running}
    for _ in range(rounds):
        for name, (at, processes) in list(running.items()):
            try:
                turns[name].append(figures_of(lab, at, processes))
            except Failed as reason:
                if name in (OURS, DIRECT):
                    raise
                unavailable(name, lab.net, reason)
                del running[name], turns[name]
    return {
        name: {what: statistics.median(turn[what] for turn in taken) for what in taken[0]}
        for name, taken in turns.items()
    }


def add_latency(medians):
    """What each tunnel adds to the connection without one."""
    plain = medians[DIRECT]
    for name, figures in medians.items():
        if name != DIRECT:
            figures.update({(f"{what}, added", unit): value - plain[what, unit]
                            for (what, unit), value in list(figures.items())})


def rows(net, medians):
    ours = medians.pop(OURS)
    for (what, unit), figure in ours.items():
        for peer, figures in medians.items():
            if (what, unit) in figures:
                theirs = figures[what, unit]
                yield {"name": f"{net.name}, {what}", "unit": unit, "ours": round(figure, 4),
                       "peer": round(theirs, 4), "peer_name": peer,
                       "ratio": round(figure / theirs, 4) if theirs else None}


def print_table(found):
    def cell(value):
        if isinstance(value, str):
            return value
        return "-" if value is None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"

    lines = [["name", "unit", "ours", "peer", "peer name", "ratio"]]
    lines += [[cell(row[key]) for key in ("name", "unit", "ours", "peer", "peer_name")]
              + ["-" if row["ratio"] is None else f"{row['ratio']:.2f}"] for row in found]
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        print("| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |")


def write_rows(file, found):
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found))


def measure(tools, net):
    with Lab(tools, net) as lab:
        if tools.area == "process":
            medians = take_turns(lab, tools.rounds, process_figures)
        else:
            medians = take_turns(lab, LATENCY_TURNS * tools.rounds, latency_figures)
            add_latency(medians)
    return list(rows(net, medians))


def main():
    tools = arguments()
    found, status = [], 0
    # The veth pair last: this process goes over into a namespace for it.
    for net in (Loopback(), Veth()):
        if tools.net not in (None, net.name):
            continue
        try:
            with net:
                found += measure(tools, net)
        except Unavailable as reason:
            unavailable(f"area {tools.area}", net, reason)
            status = 3
        except Failed as reason:
            sys.exit(f"error: {tools.area} on {net.name}: {reason}")
    print_table(found)
    if tools.json:
        write_rows(tools.json, found)
    sys.exit(status)


if __name__ == "__main__":
    main()
