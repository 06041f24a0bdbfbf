"""What owners sign (core/PROTOCOL.md, section 11), for keys of tests: Ed25519 alone."""

import time

import ed25519
from api import key_text


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << 8 * size:
            return bytes([major << 5 | info]) + n.to_bytes(size, "big")
    raise ValueError(n)


class Raw(bytes):
    """An item that is encoded already."""


def cbor(item):
    if isinstance(item, Raw):
        return bytes(item)
    if item is None:
        return b"\xf6"
    if isinstance(item, bool):
        return b"\xf5" if item else b"\xf4"
    if isinstance(item, int):
        return head(0, item) if item >= 0 else head(1, -1 - item)
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    if isinstance(item, list):
        return head(4, len(item)) + b"".join(map(cbor, item))
    pairs = sorted((cbor(key), cbor(value)) for key, value in item.items())
    return head(5, len(pairs)) + b"".join(key + value for key, value in pairs)


def statement(seed, kind, payload):
    protected = cbor({1: -8, 4: ed25519.public_key(seed), 16: kind})
    signature = ed25519.sign(seed, cbor(["Signature1", protected, b"", payload]))
    return head(6, 18) + cbor([protected, Raw(b"\xa0"), payload, signature])


def grant(seed, device, subject, id, epoch=1, rights=7, depth=0, services=None, expires=None):
    claims = {3: key_text(device), 6: int(time.time()), 7: id, 8: {3: subject},
              9: cbor([epoch, rights, depth, False, services])}
    if expires is not None:
        claims[4] = expires
    return statement(seed, "rit-grant", cbor(claims))


def chain(*grants):
    return head(4, len(grants)) + b"".join(grants)


def revoked(seed, device, number, epoch=1, ids=(), keys=()):
    payload = [device, epoch, number, int(time.time()), 0, sorted(ids), sorted(keys)]
    return statement(seed, "rit-revoked", cbor(payload))


def transfer(seed, device, new_owner, epoch=1):
    return statement(seed, "rit-transfer", cbor([device, epoch, new_owner]))
