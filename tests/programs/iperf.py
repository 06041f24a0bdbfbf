"""iperf3 over TCP and UDP, both ways. What it measures is printed, and not judged."""

import json

from ends import by_rit, done, program
from harness import check, free_port

BYTES = 200_000_000


class Iperf:
    def __init__(self, world):
        self.world = world
        self.program = program(world, "iperf3", "iperf3")
        port = free_port()
        self.runs = 0
        self.server = world.start("iperf3", self.program, "-s", "-B", "127.0.0.1", "-p", port,
                                  "--forceflush")
        # Both of one name, so both at one port, as it has to be.
        tunnel = by_rit(world, [f"iperf=127.0.0.1:{port}", f"iperf=udp:127.0.0.1:{port}"], "iperf")
        tunnel.wait_line(r'^{"event":"listening",.*"kind":"udp"')
        self.at = tunnel.at["iperf"]

    def run(self, name, *options):
        # It takes one at a time, and ends the one before in its own time.
        self.runs += 1
        self.server.wait_line("^Server listening", count=self.runs)
        made = self.world.run(self.program, "-c", self.at[0], "-p", self.at[1], "-J", *options)
        result = json.loads(made.stdout)
        check("error" not in result, f"{name}: {result.get('error')}")
        done(made)
        return result["end"]


def test_iperf3_tcp(world):
    """200 MB up, down, by four connections at once, and both ways at once."""
    iperf = Iperf(world)
    for name, *options in (("up",), ("down", "-R"), ("four", "-P", 4), ("both", "--bidir")):
        end = iperf.run(name, "-n", BYTES, *options)
        for direction in ("", "_bidir_reverse") if name == "both" else ("",):
            sent, got = end[f"sum_sent{direction}"], end[f"sum_received{direction}"]
            print(f"note TCP {name}{direction}: {got['bits_per_second'] / 1e6:.0f} Mbit/s",
                  flush=True)
            # It ends when all is sent, and does not count what is under way then.
            check(sent["bytes"] >= got["bytes"] > 0,
                  f"{name}: {got['bytes']} of {sent['bytes']} bytes")


def test_iperf3_udp(world):
    """Datagrams that fit into one of the tunnel's, and larger ones: most arrive, in order."""
    iperf = Iperf(world)
    for size, count in ((1000, 2000), (8000, 300)):
        for name, *options in (("up",), ("down", "-R")):
            end = iperf.run(name, "-u", "-b", "8M", "-l", size, "-n", size * count, *options)
            total = end["sum"]
            print(f"note UDP {name}, {size} bytes: {total['bits_per_second'] / 1e6:.1f} Mbit/s, "
                  f"{total['lost_packets']} of {total['packets']} lost", flush=True)
            check(total["packets"] > 0, f"{size} {name}: no datagrams")
            check(total["lost_packets"] < total["packets"] // 2, f"{size} {name}: lost")
