"""How fast a device on lwIP serves through librit, beside plain lwIP TCP between the same two hosts.

usage: throughput.py --bin DIR --server PROGRAM --aead PROGRAM [--json FILE] [--mib N] [--rounds N]
                     BUILD
The hosts are the process with lwIP and the kernel, with a TAP device between them; the service is the
same (http.c), at 10.77.0.2:80 for plain TCP, and through broker, reach and the device's loopback
interface. Transfers take turns, plain and ours, down (from the device) and up, and medians count.
What is compared is the CPU time of the lwIP host for a byte, the kernel's time for its frames
included: that is the throughput that a host has whose processor is the limit, and other load on this
machine does not change it. Crypto is taken out by measuring it: --aead is the same provider sealing,
or opening, packets as large as those of the transfer; its time for a byte is subtracted from ours. The
throughput on the clock, with crypto in it, is printed beside. ratio = ours/peer, larger is better.
"""

import argparse
import glob
import json
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import runner  # noqa: E402
import scenarios  # noqa: E402

LIMIT_S = 900
PACKET = 1400  # bytes of a stream in a datagram of 1452


def cpu_ns(process):
    return sum(int(pathlib.Path(file).read_text().split()[0])
               for file in glob.glob(f"/proc/{process.pid}/task/*/schedstat"))


def down(at, count):
    with socket.create_connection(at, timeout=120) as client:
        client.sendall(b"GET /%d HTTP/1.1\r\n\r\n" % count)
        room, got = bytearray(1 << 18), 0
        while True:
            piece = client.recv_into(room)
            if piece == 0:
                break
            got += piece
    scenarios.check(got >= count, f"{got} bytes of {count}")


def up(at, count):
    with socket.create_connection(at, timeout=120) as client:
        client.sendall(b"PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % count)
        period, sent = len(PERIOD), 0
        while sent < count:
            piece = min(1 << 20, count - sent, period - sent % period)
            client.sendall(PERIOD[sent % period:sent % period + piece])
            sent += piece
        answer = b""
        while not answer.endswith(b"\r\n\r\n%d\n" % count):
            piece = client.recv(4096)
            scenarios.check(piece, f"{answer!r}")
            answer += piece


PERIOD = scenarios.pattern(0, 1 << 24)


def measure(world, tools, found):
    pair = scenarios.Pair(world, tools.builds[0], services=("web",))
    count = tools.mib << 20
    for _ in range(tools.rounds):
        for way, transfer in (("down", down), ("up", up)):
            for whose, at in (("plain", (scenarios.DEVICE, 80)), ("ours", pair.at["web"])):
                before, start = cpu_ns(pair.device), time.monotonic()
                transfer(at, count)
                seconds = time.monotonic() - start
                found.setdefault((way, whose), []).append(
                    ((cpu_ns(pair.device) - before) / count, count / seconds))
    pair.end()


def aead_ns(program, what):
    done = subprocess.run([program, what, str(PACKET)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--server", type=pathlib.Path, required=True)
    parser.add_argument("--aead", required=True)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("builds", nargs=1, type=pathlib.Path)
    tools = parser.parse_args()
    tools.reach, tools.nginx, tools.curl = tools.bin / "reach", None, shutil.which("curl")
    scenarios.set_up_network()
    found, rows = {}, []
    outcome, reason, _ = runner.run("lwip-throughput", lambda world: measure(world, tools, found),
                                    tools, LIMIT_S)
    if outcome != "passed":
        sys.exit(f"error: {reason}")
    print(f"{'lwIP host':28} {'unit':14} {'ours':>9} {'plain TCP':>9} {'ratio':>6}")
    for way, crypto in (("down", "seal"), ("up", "open")):
        cpu, clock = ({whose: statistics.median(each[index] for each in found[way, whose])
                       for whose in ("ours", "plain")} for index in (0, 1))
        taken_out = aead_ns(tools.aead, crypto)
        for name, unit, ours, peer in (
                (f"{way}, crypto taken out", "Mbit/s of CPU", 8e3 / (cpu["ours"] - taken_out),
                 8e3 / cpu["plain"]),
                (f"{way}, with crypto", "Mbit/s of CPU", 8e3 / cpu["ours"], 8e3 / cpu["plain"]),
                (f"{way}, on the clock", "Mbit/s", clock["ours"] / 125e3, clock["plain"] / 125e3)):
            print(f"{name:28} {unit:14} {ours:9.0f} {peer:9.0f} {ours / peer:6.2f}")
            rows.append({"name": f"lwip: {name}", "unit": unit, "ours": ours, "peer": peer,
                         "peer_name": "plain lwIP TCP", "ratio": ours / peer})
        print(f"{way}: AEAD {taken_out:.2f} of {cpu['ours']:.2f} ns a byte; plain {cpu['plain']:.2f}")
    if tools.json:
        tools.json.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
