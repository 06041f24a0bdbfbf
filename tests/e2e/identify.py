"""Identification probes (core/PROTOCOL.md, section 12), apart from the library."""

import base64
import os
import socket

PORT = 7485
MAGIC = b"\x89rit"
LENGTH = 128


def probe(nonce):
    return (MAGIC + bytes([0, 1]) + nonce).ljust(LENGTH, b"\0")


def answer_of(datagram, nonce):
    """(key as text, product), or None: it is no answer to that."""
    head = MAGIC + bytes([1, 1]) + nonce + b"rit\x01"
    key, rest = datagram[len(head):len(head) + 32], datagram[len(head) + 32:]
    if not datagram.startswith(head) or len(key) < 32 or len(datagram) > LENGTH:
        return None
    if len(rest) < 1 or rest[0] != len(rest) - 1:
        return None
    return base64.b32encode(key).decode().rstrip("=").lower(), rest[1:].decode()


def ask(address, port=PORT, seconds=1.0):
    """Who is there; None: nobody says so in that time."""
    nonce = os.urandom(8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(seconds)
        line.connect((address, port))
        try:
            line.send(probe(nonce))
            return answer_of(line.recv(2048), nonce)
        except (TimeoutError, ConnectionRefusedError):
            return None
