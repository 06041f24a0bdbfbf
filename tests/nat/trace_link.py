"""A link whose capacity varies between two network namespaces, by a TUN device in each.

usage: trace_link.py [--delay MS] [--back TRACE] TRACE NAMESPACE DEVICE NAMESPACE DEVICE
TRACE is a file in the format of the mahimahi emulator: each line is a millisecond at which 1500
bytes may go, counted by the byte; after the last it begins again. It is for what the first device
sends; the way back is unlimited, or has --back's. Each way takes --delay (20) ms, and its queue has
no bound. NAMESPACE is a path. Prints `ready TIME`, when the traces began by the monotonic clock.
"""

import argparse
import bisect
import collections
import fcntl
import gzip
import math
import os
import pathlib
import random
import select
import struct
import sys
import time

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from netns import CLONE_NEWNET, LIBC, call  # noqa: E402 (the path above)

OPPORTUNITY = 1500  # bytes
DELAY_S = 0.02  # of each way
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
PACKETS_AT_ONCE = 256
PACKET_MAX = 65536


class Trace:
    """When a link can carry OPPORTUNITY bytes, in seconds from its start, again and again."""

    def __init__(self, times_ms):
        self.times_ms = times_ms
        self.length_ms = times_ms[-1]

    @classmethod
    def read(cls, path):
        data = pathlib.Path(path).read_bytes()
        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        return cls([int(line) for line in text.split()])

    @classmethod
    def wandering(cls, seed, mean, seconds):
        """Opportunities at random about a rate that wanders about its mean a second, within a
        third of it and twice as much: a Poisson process whose rate moves as in Brownian motion
        (Winstein, Sivaraman and Balakrishnan, NSDI 2013, section 3.1), without outages."""
        chance, rate, times = random.Random(seed), mean, []
        due = chance.expovariate(1)
        for ms in range(int(seconds * 1000)):
            step = mean * 0.25 * chance.gauss(0, 1) * math.sqrt(0.001)
            rate = min(max(rate + step + (mean - rate) * 0.0002, mean / 3), mean * 2)
            due -= rate * 0.001
            while due <= 0:
                times.append(ms)
                due += chance.expovariate(1)
        return cls([*times, int(seconds * 1000)])

    def write(self, path):
        pathlib.Path(path).write_text("".join(f"{ms}\n" for ms in self.times_ms))

    def at(self, number):
        rounds, index = divmod(number, len(self.times_ms))
        return (rounds * self.length_ms + self.times_ms[index]) / 1000

    def first_from(self, seconds):
        """The number of the first opportunity that is not before."""
        rounds, within = divmod(seconds * 1000, self.length_ms)
        return int(rounds) * len(self.times_ms) + bisect.bisect_left(self.times_ms, within)

    def capacity(self, start, end):
        """Bytes that it can carry from one time to another."""
        return (self.first_from(end) - self.first_from(start)) * OPPORTUNITY

    def waits(self, start, end):
        """What a lone small packet waits for the link, in seconds, the shortest first: of one each
        10 ms from one time to another."""
        times = [start + step / 100 for step in range(int((end - start) * 100))]
        return sorted(self.at(self.first_from(time)) - time for time in times)


class Way:
    """Packets from one device to the other."""

    def __init__(self, trace, delay, to):
        self.trace, self.delay, self.to = trace, delay, to
        self.number = 0                  # of the next opportunity
        self.coming = collections.deque()  # (when it is at the queue, packet)
        self.queue = collections.deque()
        self.gone = 0                    # bytes of the first in the queue

    def take(self, packet, now):
        self.coming.append((now + self.delay, packet))

    def arrive(self, until):
        while self.coming and self.coming[0][0] <= until:
            self.queue.append(self.coming.popleft()[1])

    def run(self, now):
        """What is due by now; when to be called again, None: with the next packet."""
        if self.trace is None:
            self.arrive(now)
            while self.queue:
                self.hand_over()
            return self.coming[0][0] if self.coming else None
        if not self.queue and not self.coming:
            return None
        if not self.queue:  # what passed with nothing to carry is lost
            self.number = max(self.number, self.trace.first_from(self.coming[0][0]))
        while self.trace.at(self.number) <= now:
            self.arrive(self.trace.at(self.number))
            self.number += 1
            self.carry()
        self.arrive(now)
        if self.queue:
            return self.trace.at(self.number)
        return self.coming[0][0] if self.coming else None

    def carry(self):
        room = OPPORTUNITY
        while self.queue and room > 0:
            part = min(room, len(self.queue[0]) - self.gone)
            room -= part
            self.gone += part
            if self.gone == len(self.queue[0]):
                self.hand_over()
                self.gone = 0

    def hand_over(self):
        try:
            os.write(self.to, self.queue.popleft())
        except OSError:
            pass  # a device that is down, or has no room, loses it


def open_tun(namespace, name):
    """A TUN device's descriptor; the process is in the namespace afterwards."""
    with open(namespace) as place:
        call(LIBC.setns, place.fileno(), CLONE_NEWNET)
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def read_packets(tun, way, now):
    for _ in range(PACKETS_AT_ONCE):
        try:
            way.take(os.read(tun, PACKET_MAX), now)
        except OSError:  # none now, or the device is not up yet
            return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=DELAY_S * 1000)
    parser.add_argument("--back")
    parser.add_argument("trace")
    parser.add_argument("ends", nargs=4)
    given = parser.parse_args()
    near, far = (open_tun(*given.ends[at:at + 2]) for at in (0, 2))
    forth = Way(Trace.read(given.trace), given.delay / 1000, far)
    back = Way(Trace.read(given.back) if given.back else None, given.delay / 1000, near)
    began = time.monotonic()
    print(f"ready {began:.6f}", flush=True)
    while True:
        now = time.monotonic() - began
        wakes = [wake for wake in (forth.run(now), back.run(now)) if wake is not None]
        wait = max(0.0, min(wakes) - (time.monotonic() - began)) if wakes else None
        readable, _, _ = select.select([near, far], [], [], wait)
        now = time.monotonic() - began
        for tun, way in ((near, forth), (far, back)):
            if tun in readable:
                read_packets(tun, way, now)


if __name__ == "__main__":
    sys.exit(main())
