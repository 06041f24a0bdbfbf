"""A server of WebSockets on loopback, by Python's websockets.

usage: socket_server.py PORT
Answers "count N" by N numbered messages and "end", other text by its length in bytes, and bytes by
their SHA-256.
"""

import asyncio
import hashlib
import sys

import websockets


async def serve(socket):
    async for message in socket:
        if isinstance(message, bytes):
            await socket.send(f"bytes {hashlib.sha256(message).hexdigest()}")
        elif message.startswith("count "):
            for number in range(int(message.split()[1])):
                await socket.send(f"number {number}")
            await socket.send("end")
        else:
            await socket.send(f"text {len(message.encode())}")


async def main():
    async with websockets.serve(serve, "127.0.0.1", int(sys.argv[1])):
        print("ready", flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
