#!/usr/bin/env python3
"""Test vectors of section 11 of core/PROTOCOL.md, made apart from the library: CBOR and COSE are
written here anew, signatures are those of the Python package `cryptography`.

    python3 tests/vectors/trust.py > tests/vectors/trust.txt

`cargo test -p rit-tests --test trust_vectors` checks the library against the file.
"""

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

HEAD = """\
# Test vectors of what owners sign (core/PROTOCOL.md, section 11). Numbers are hexadecimal byte
# strings unless they say otherwise. Made by tests/vectors/trust.py, which shares no code with the
# library."""

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


# CBOR in its deterministic encoding (RFC 8949, section 4.2.1).


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << 8 * size:
            return bytes([major << 5 | info]) + n.to_bytes(size, "big")
    raise ValueError(n)


class Raw(bytes):
    """An item that is encoded already."""


class Tag:
    def __init__(self, number, item):
        self.number, self.item = number, item


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
    if isinstance(item, dict):
        pairs = sorted((cbor(key), cbor(value)) for key, value in item.items())
        return head(5, len(pairs)) + b"".join(key + value for key, value in pairs)
    if isinstance(item, Tag):
        return head(6, item.number) + cbor(item.item)
    raise TypeError(item)


# Keys and statements.


class Ed25519Key:
    alg = -8

    def __init__(self, seed):
        self.seed = seed
        self.private = Ed25519PrivateKey.from_private_bytes(seed)
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        self.kid = self.name = self.private.public_key().public_bytes(*raw)

    def sign(self, message):
        return self.private.sign(message)


class P256Key:
    alg = -7

    def __init__(self, scalar):
        self.seed = scalar
        self.private = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
        form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        self.kid = self.private.public_key().public_bytes(*form)
        self.name = hashlib.sha256(b"rit/1 p256" + self.kid).digest()

    def sign(self, message):
        # RFC 6979, so that the same comes out each time.
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        r, s = decode_dss_signature(self.private.sign(message, algorithm))
        s = min(s, P256_ORDER - s)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def statement(key, kind, payload, **changes):
    header = changes.get("header") or cbor({1: key.alg, 4: key.kid, 16: kind})
    message = cbor(["Signature1", header, b"", payload])
    signature = changes.get("signature") or key.sign(message)
    return cbor(Tag(18, [header, Raw(changes.get("unprotected", b"\xa0")), payload, signature]))


def key_text(name):
    return base64.b32encode(name).decode().rstrip("=").lower()


def claims(device, subject, id, epoch, rights=7, depth=0, fresh=False, services=None,
           not_before=None, expires=None):
    scope = cbor([epoch, rights, depth, fresh, services])
    out = {3: key_text(device), 6: NOW, 7: id, 8: {3: subject}, 9: scope}
    if expires is not None:
        out[4] = expires
    if not_before is not None:
        out[5] = not_before
    return out


def grant(key, *args, **kwargs):
    return statement(key, "rit-grant", cbor(claims(*args, **kwargs)))


def chain(*grants):
    return head(4, len(grants)) + b"".join(grants)


# The claim secret's text.

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def multiply(a, b):
    """In GF(32), by x^5 + x^2 + 1."""
    product = 0
    for bit in range(5):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(9, 4, -1):
        if product >> bit & 1:
            product ^= 0b100101 << bit - 5
    return product


def secret_text(secret):
    number = int.from_bytes(secret, "big")
    symbols = [number >> 5 * i & 31 for i in range(23, -1, -1)]
    check = 0
    for i, symbol in enumerate(symbols):
        power = 1
        for _ in range(24 - i):
            power = multiply(power, 2)
        check ^= multiply(symbol, power)
    text = "".join(ALPHABET[symbol] for symbol in symbols + [check])
    return "-".join(text[i:i + 5] for i in range(0, 25, 5))


def hmac_sha256(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


# The file.


def row(first, length):
    return bytes((first + i) % 256 for i in range(length))


def section(name):
    print(f"\n[{name}]")


def line(name, value):
    if isinstance(value, bytes):
        print(f"{name} = {value.hex()}")
    elif isinstance(value, int):
        print(f"{name} (decimal) = {value}")
    else:
        print(f"{name} (text) = {value}")


NOW = 1_800_000_000
EPOCH = 3
DEVICE = row(0xD0, 32)
OWNER = P256Key(row(0x01, 32))
FRIEND = Ed25519Key(row(0x21, 32))
GUEST = Ed25519Key(row(0x41, 32))
BROKER = Ed25519Key(row(0x61, 32))
WEB, BOTH = ["web"], ["ssh", "web"]


def keys():
    section("keys")
    line("device", DEVICE)
    for name, key in ("owner", OWNER), ("friend", FRIEND), ("guest", GUEST), ("broker", BROKER):
        line(f"{name}_private", key.seed)
        line(f"{name}_kid", key.kid)
        line(f"{name}_name", key.name)


FIRST = dict(rights=3, depth=2, services=BOTH, not_before=NOW - 100, expires=NOW + 100)
SECOND = dict(FIRST, rights=1, depth=0, services=WEB, expires=NOW + 50)


def first(**changes):
    return grant(OWNER, DEVICE, FRIEND.name, row(0x10, 16), EPOCH, **dict(FIRST, **changes))


def second(**changes):
    return grant(FRIEND, DEVICE, GUEST.name, row(0x20, 16), EPOCH, **dict(SECOND, **changes))


def grants():
    section("grants")
    line("epoch", EPOCH)
    line("now", NOW)
    line("first_claims", cbor(claims(DEVICE, FRIEND.name, row(0x10, 16), EPOCH, **FIRST)))
    line("first", first())
    line("second_claims", cbor(claims(DEVICE, GUEST.name, row(0x20, 16), EPOCH, **SECOND)))
    line("second", second())
    line("chain", chain(first(), second()))
    fresh = grant(OWNER, DEVICE, GUEST.name, row(0x30, 16), EPOCH, fresh=True)
    line("must_be_fresh", chain(fresh))


def refused():
    section("chains refused to the guest")

    def with_second(name, **changes):
        line(name, chain(first(), second(**changes)))

    line("empty", chain())
    line("reordered", chain(second(), first()))
    line("without_the_owners", chain(second()))
    line("skipped", chain(first(), first()))
    line("for_the_friend", chain(first()))
    with_second("more_services", services=["vnc"])
    with_second("all_services", services=None)
    with_second("more_rights", rights=5)
    with_second("more_depth", depth=2)
    with_second("more_time", expires=NOW + 101)
    with_second("no_end", expires=None)
    line("less_fresh", chain(first(fresh=True), second()))
    line("may_not_share", chain(first(rights=1), second()))
    line("no_depth_left", chain(first(depth=0), second()))
    line("expired", chain(first(), second(expires=NOW)))
    line("not_yet_valid", chain(first(), second(not_before=NOW + 1)))
    other = grant(OWNER, row(0xD1, 32), GUEST.name, row(0x20, 16), EPOCH)
    line("other_device", chain(other))
    line("other_epoch", chain(grant(OWNER, DEVICE, GUEST.name, row(0x20, 16), EPOCH - 1)))
    line("five_links", chain(first(), *[second()] * 4))
    line("too_long", chain(first(), second()) + bytes(2048))
    line("truncated", chain(first(), second())[:-1])
    line("trailing", chain(first(), second()) + b"\0")
    refused_statements()


def refused_statements():
    good = claims(DEVICE, GUEST.name, row(0x20, 16), EPOCH)
    payload = cbor(good)

    def by_owner(name, payload=payload, **changes):
        line(name, chain(statement(OWNER, "rit-grant", payload, **changes)))

    pairs = sorted((cbor(key), cbor(value)) for key, value in good.items())
    joined = [key + value for key, value in pairs]
    by_owner("duplicate_claim", head(5, 6) + b"".join(joined) + joined[-1])
    by_owner("claims_out_of_order", head(5, 5) + b"".join(reversed(joined)))
    by_owner("long_number", head(5, 5) + b"".join(joined).replace(b"\x06\x1a", b"\x06\x1b\0\0\0\0"))
    by_owner("indefinite_length", b"\xbf" + b"".join(joined) + b"\xff")
    by_owner("unknown_claim", cbor(dict(good) | {10: b"12345678"}))
    by_owner("missing_claim", cbor({k: v for k, v in good.items() if k != 7}))
    services = claims(DEVICE, GUEST.name, row(0x20, 16), EPOCH, services=["web", "ssh"])
    by_owner("services_out_of_order", cbor(services))
    by_owner("unsigned_header", unprotected=cbor({4: OWNER.kid}))
    header = {1: -7, 4: OWNER.kid, 16: "rit-grant"}
    by_owner("critical_header", header=cbor(header | {2: [16]}))
    by_owner("unknown_header", header=cbor(header | {3: 60}))
    by_owner("another_kind", header=cbor(header | {16: "rit-transfer"}))
    by_owner("another_algorithm", header=cbor(header | {1: -9}))
    by_owner("eddsa_by_a_point", header=cbor(header | {1: -8}))
    by_owner("es256_by_a_name", header=cbor(header | {4: OWNER.name}))
    by_owner("eddsa_by_a_name", header=cbor(header | {1: -8, 4: OWNER.name}))
    by_owner("wrong_signature", signature=bytes(63) + b"\1")
    low = OWNER.sign(cbor(["Signature1", cbor(header), b"", payload]))
    high = low[:32] + (P256_ORDER - int.from_bytes(low[32:], "big")).to_bytes(32, "big")
    by_owner("high_s", signature=high)


def ownership():
    section("claim")
    secret, nonce = row(0x00, 15), row(0x50, 16)
    maker = row(0x80, 32)
    derived = hmac_sha256(maker, b"rit/1 claim secret" + DEVICE)[:15]
    line("maker_secret", maker)
    line("derived_secret", derived)
    line("derived_secret", secret_text(derived))
    line("secret", secret)
    line("secret", secret_text(secret))
    line("nonce", nonce)
    key = hmac_sha256(b"rit/1 claim", secret)
    for name, owner in ("owner", OWNER), ("friend", FRIEND):
        bound = DEVICE + owner.name + nonce
        proof = hmac_sha256(key, b"owner" + bound)
        line(f"claim_by_{name}", statement(owner, "rit-claim", cbor([DEVICE, nonce, proof])))
        answer = hmac_sha256(key, b"device" + bound + (1).to_bytes(4, "big"))
        line(f"claimed_by_{name}", cbor([1, answer]))
    section("transfer")
    payload = cbor([DEVICE, EPOCH, FRIEND.name])
    line("transfer_by_owner", statement(OWNER, "rit-transfer", payload))
    payload = cbor([DEVICE, EPOCH + 1, OWNER.name])
    line("transfer_by_friend", statement(FRIEND, "rit-transfer", payload))


def revocation():
    section("revocation")
    ids, names = [row(0x10, 16), row(0x30, 16)], sorted([GUEST.name, row(0xE0, 32)])
    floor, number = NOW - 1000, 7
    payload = cbor([DEVICE, EPOCH, number, NOW, floor, ids, names])
    line("list_by_owner", statement(OWNER, "rit-revoked", payload))
    friends = cbor([DEVICE, EPOCH + 1, 1, NOW, 0, [], []])
    line("list_by_friend", statement(FRIEND, "rit-revoked", friends))
    state = b"RITt" + bytes([1, 1]) + OWNER.name + EPOCH.to_bytes(4, "big")
    state += b"".join(n.to_bytes(8, "big") for n in (NOW, number, floor))
    state += bytes([len(ids)]) + b"".join(ids) + bytes([len(names)]) + b"".join(names)
    line("state_with_list", state + hashlib.sha256(state).digest()[:8])
    state = b"RITt" + bytes([1, 0]) + bytes(32) + bytes(4 + 24 + 2)
    line("state_of_a_new_device", state + hashlib.sha256(state).digest()[:8])


def time():
    section("time")
    nonce = row(0x70, 16)
    line("nonce", nonce)
    line("time", statement(BROKER, "rit-time", cbor([DEVICE, nonce, NOW, 7])))


def cloak():
    section("cloak")
    payload = cbor([DEVICE, EPOCH, 9, NOW, 600])
    line("off_by_owner", statement(OWNER, "rit-cloak", payload))
    payload = cbor([DEVICE, EPOCH + 1, 1, NOW, 86400])
    line("off_by_friend", statement(FRIEND, "rit-cloak", payload))
    line("on_by_owner", statement(OWNER, "rit-cloak", cbor([DEVICE, EPOCH, 10, NOW, 0])))
    too_long = cbor([DEVICE, EPOCH, 11, NOW, 86401])
    line("too_long_by_owner", statement(OWNER, "rit-cloak", too_long))
    state = b"RITc" + bytes([1]) + EPOCH.to_bytes(4, "big") + (9).to_bytes(8, "big")
    line("state", state + hashlib.sha256(state).digest()[:8])
    magic, nonce = b"\x89rit", row(0x20, 8)
    line("probe", (magic + bytes([0, 1]) + nonce).ljust(128, b"\0"))
    answer = magic + bytes([1, 1]) + nonce + b"rit\x01" + DEVICE + bytes([9]) + b"product 1"
    line("answer", answer)


if __name__ == "__main__":
    print(HEAD)
    keys()
    grants()
    refused()
    ownership()
    revocation()
    time()
    cloak()
