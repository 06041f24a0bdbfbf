"""Much at once, much in a row, and a reader that does not read."""

import asyncio
import hashlib
import random
import socket
import time

from harness import check, wait_until
from peer import block

MEBIBYTE = 1 << 20


def test_500_connections(world):
    """500 TCP connections at once through one tunnel, each moving 1 MB both ways."""
    peer = world.peer("echo")
    _, device, reach = world.pair({"echo": peer.port})
    before = {p: p.descriptors() for p in (device, reach)}
    start = time.monotonic()
    lost = asyncio.run(many(reach.at["echo"], 500, 1_000_000))
    took = time.monotonic() - start
    check(not lost, f"{len(lost)} of 500 lost, the first: {lost[:3]}")
    print(f"   500 connections, 1 MB each way: {took:.1f} s, {1000 / took:.0f} MB/s in sum")
    settled(before)


async def many(at, count, size):
    """Opens all before the first may finish, then echoes `size` bytes through each."""
    opened = [await asyncio.open_connection(*at, limit=MEBIBYTE) for _ in range(count)]
    results = await asyncio.gather(*(exchange(i, size, *pair) for i, pair in enumerate(opened)))
    return [problem for problem in results if problem]


async def exchange(number, size, reader, writer):
    data = random.Random(number).randbytes(size)

    async def send():
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    async def receive():
        digest, count = hashlib.sha256(), 0
        while piece := await reader.read(65536):
            digest.update(piece)
            count += len(piece)
        return digest.digest(), count

    try:
        _, (digest, count) = await asyncio.gather(send(), receive())
    except OSError as error:
        return f"{number}: {error}"
    finally:
        writer.close()
    if digest != hashlib.sha256(data).digest():
        return f"{number}: {count} bytes came back and differ"
    return None


def test_10000_connections_in_a_row(world):
    """Opened and closed one after another: no growth in memory or descriptors."""
    peer = world.peer("echo")
    _, device, reach = world.pair({"echo": peer.port})
    at = reach.at["echo"]
    one_by_one(at, 1000)
    ends = (device, reach)
    descriptors = {p: p.descriptors() for p in ends}
    settled(descriptors)
    memory = {p: p.memory_kib() for p in ends}
    start = time.monotonic()
    one_by_one(at, 10_000)
    took = time.monotonic() - start
    settled(descriptors)
    for process in ends:
        grown = process.memory_kib() - memory[process]
        print(f"   {process.name}: {memory[process]} KiB before, {grown:+} KiB after 10,000")
        check(grown < 512, f"{process.name} grew by {grown} KiB over 10,000 connections")
    print(f"   {took / 10:.2f} ms each")


def one_by_one(at, count):
    for number in range(count):
        with socket.create_connection(at, timeout=20) as line:
            line.sendall(b"%d" % number)
            line.shutdown(socket.SHUT_WR)
            got = b""
            while piece := line.recv(100):
                got += piece
        check(got == b"%d" % number, f"connection {number}: {got!r} came back")


def settled(descriptors):
    """Descriptors are back where they were, or below."""
    for process, before in descriptors.items():
        wait_until(lambda p=process, b=before: p.descriptors() <= b, 20,
                   f"{process.name} is back at {before} descriptors")


def test_slow_reader(world):
    """200 MB for a reader that stalls: neither end's memory grows; then all of it arrives."""
    size = 200_000_000
    peer = world.peer("source", size)
    _, device, reach = world.pair({"source": peer.port})
    ends = (device, reach)
    memory = {p: p.memory_kib() for p in ends}
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        line.settimeout(30)
        line.connect(reach.at["source"])
        piece, took, position = block(), 0, 0
        peak = dict(memory)
        stalled_until = time.monotonic() + 5
        while time.monotonic() < stalled_until:  # how it behaves over time is what is measured
            for process in ends:
                peak[process] = max(peak[process], process.memory_kib())
            time.sleep(0.05)
        while data := line.recv(65536):
            position = took % len(piece)
            expected = (piece + piece)[position:position + len(data)]
            check(data == expected, f"other bytes after {took}")
            took += len(data)
            if took // MEBIBYTE != (took - len(data)) // MEBIBYTE:
                for process in ends:
                    peak[process] = max(peak[process], process.memory_kib())
    check(took == size, f"{took} of {size} bytes came")
    for process in ends:
        grown = peak[process] - memory[process]
        print(f"   {process.name}: {memory[process]} KiB before, {grown:+} KiB at most")
        check(grown < 16 * 1024, f"{process.name} grew by {grown} KiB for a stalled reader")


def test_stalled_reader_holds_up_nobody(world):
    """One stream that is not read leaves the session's other streams running."""
    source = world.peer("source", 50_000_000)
    echo = world.peer("echo")
    _, _, reach = world.pair({"source": source.port, "echo": echo.port})
    with socket.create_connection(reach.at["source"], timeout=20) as stalled:
        stalled.recv(1000)
        lost = asyncio.run(many(reach.at["echo"], 20, 200_000))
        check(not lost, f"lost beside a stalled stream: {lost[:3]}")
