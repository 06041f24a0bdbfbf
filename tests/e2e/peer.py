"""A service for the end-to-end scenarios.

usage: peer.py MODE PORT [BYTES]
  echo        sends back what comes, and ends when the other side has ended
  after-eof   reads until the other side's FIN, only then answers: the count and SHA-256 of what came
  source      sends BYTES bytes of block() and ends
  udp-echo    over UDP: sends back what comes with an exclamation mark behind it
"""

import asyncio
import hashlib
import sys

CHUNK = 65536


def block(size=CHUNK):
    """The bytes that `source` repeats: no two neighbouring 32 bytes are alike."""
    return b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(size // 32))


async def echo(reader, writer):
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


async def after_eof(reader, writer):
    count, digest = 0, hashlib.sha256()
    while data := await reader.read(CHUNK):
        count += len(data)
        digest.update(data)
    writer.write(f"{count} {digest.hexdigest()}\n".encode())


def source(size):
    async def run(_reader, writer):
        piece, left = block(), size
        while left:
            writer.write(piece[: min(left, len(piece))])
            left -= min(left, len(piece))
            await writer.drain()

    return run


def served(handler):
    async def run(reader, writer):
        try:
            await handler(reader, writer)
            if writer.can_write_eof():
                writer.write_eof()
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    return run


class UdpEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data + b"!", addr)


async def main():
    mode, port = sys.argv[1], int(sys.argv[2])
    if mode == "udp-echo":
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(UdpEcho, ("127.0.0.1", port))
        print("ready", flush=True)
        await asyncio.Event().wait()
    modes = {"echo": lambda: echo, "after-eof": lambda: after_eof,
             "source": lambda: source(int(sys.argv[3]))}
    server = await asyncio.start_server(served(modes[mode]()), "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
