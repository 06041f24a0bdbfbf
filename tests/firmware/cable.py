"""The cable between the emulated board and this machine: a TAP device here, QEMU's socket there.

usage: cable.py NAME ADDRESS/BITS QEMU-PORT OWN-PORT [--loss PERCENT] [--seed N] [--rate KBIT/S]
Loses frames at random, the same number in a hundred each way; --rate is each way's, and what waits
for it is at most a moment's. Prints `ready`, and at its end (SIGTERM) what it carried and lost.
Needs /dev/net/tun and CAP_NET_ADMIN in the namespace it is in.
"""

import argparse
import collections
import fcntl
import os
import random
import select
import signal
import socket
import struct
import subprocess
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
WAITING_MAX = 64


class Direction:
    """Frames one way: lost at random, the others in order and at the cable's rate."""

    def __init__(self, options, deliver, seed):
        self.chance, self.kbit = options.loss / 100, options.rate
        self.random, self.deliver = random.Random(seed), deliver
        self.waiting = collections.deque()
        self.free_at = 0.0
        self.carried = self.lost = self.crowded = 0

    def take(self, frame, now):
        if self.random.random() < self.chance:
            self.lost += 1
        elif not self.kbit:
            self.send(frame)
        elif len(self.waiting) >= WAITING_MAX:
            self.crowded += 1
        else:
            self.free_at = max(now, self.free_at) + len(frame) * 8 / (self.kbit * 1000)
            self.waiting.append((self.free_at, frame))

    def send(self, frame):
        self.carried += 1
        try:
            self.deliver(frame)
        except OSError:  # the other end is not there, or has no room: lost, as on any cable
            self.crowded += 1

    def due(self, now):
        """Sends what is due; seconds until the next, None if nothing waits."""
        while self.waiting and self.waiting[0][0] <= now:
            self.send(self.waiting.popleft()[1])
        return self.waiting[0][0] - now if self.waiting else None

    def __str__(self):
        return f"carried {self.carried} lost {self.lost} crowded {self.crowded}"


def tap(name, address):
    made = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(made, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    for command in (("addr", "add", address, "dev", name), ("link", "set", name, "up")):
        subprocess.run(["ip", *command], check=True)
    return made


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("address")
    parser.add_argument("qemu", type=int)
    parser.add_argument("own", type=int)
    parser.add_argument("--loss", type=float, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=int, default=0)
    return parser.parse_args()


def main():
    options = arguments()
    board = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    board.bind(("127.0.0.1", options.own))
    board.setblocking(False)
    here = tap(options.name, options.address)
    to_board = Direction(options, lambda frame: board.sendto(frame, ("127.0.0.1", options.qemu)),
                         options.seed)
    from_board = Direction(options, lambda frame: os.write(here, frame), options.seed + 1)
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    print("ready", flush=True)
    while not stopped:
        now = time.monotonic()
        waits = [wait for way in (to_board, from_board) if (wait := way.due(now)) is not None]
        readable, _, _ = select.select([here, board], [], [], min(waits, default=1))
        now = time.monotonic()
        try:
            if here in readable:
                to_board.take(os.read(here, 2048), now)
            if board in readable:
                from_board.take(board.recv(2048), now)
        except OSError:  # QEMU is not there yet, or not any more
            continue
    print(f"to the board: {to_board}\nfrom the board: {from_board}", flush=True)


if __name__ == "__main__":
    main()
