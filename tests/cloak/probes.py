"""Odd packets for one host, by scapy: probes.py ADDRESS PORT...  Sends them; who asks counts what
comes back. Run by Debian's python3, whose scapy it is."""

import sys

from scapy.all import ICMP, IP, TCP, UDP, IPOption, Raw, fragment, send

TCP_FLAGS = (0x02, 0x10, 0x01, 0x29, 0x00, 0x04, 0x12, 0x03, 0xe2, 0x3f)  # SYN, ACK, FIN, Xmas…
SOURCES = (53, 67, 123, 443, 40000)
NO_OPERATION, RECORD_ROUTE = b"\x01" * 4, b"\x07\x0b\x04" + bytes(8) + b"\x00"
TIMESTAMP, SOURCE_ROUTE = b"\x44\x0c\x05\x00" + bytes(8), b"\x83\x07\x04\x7f\x00\x00\x01\x00"
MALFORMED = b"\x07\x02\x04\x00"
OPTIONS = (NO_OPERATION, RECORD_ROUTE, TIMESTAMP, SOURCE_ROUTE, MALFORMED)
SHAPES = (b"", b"\x00", b"\xff" * 20, b"\x40" + bytes(40), b"\xc0\x00\x00\x00\x01" + bytes(1195))


def to_port(address, port):
    for flags in TCP_FLAGS:
        yield IP(dst=address) / TCP(dport=port, sport=40001, flags=flags, seq=7)
    for source in SOURCES:
        yield IP(dst=address) / UDP(dport=port, sport=source)
    for shape in SHAPES:
        datagram = UDP(dport=port, sport=40002) / Raw(shape)
        yield IP(dst=address, ttl=1) / datagram
        yield IP(dst=address, tos=3) / datagram
        for option in OPTIONS:
            yield IP(dst=address, options=IPOption(option)) / datagram
    whole = IP(dst=address, id=port) / UDP(dport=port, sport=40003) / Raw(bytes(2000))
    yield from fragment(whole, fragsize=800)
    yield fragment(IP(dst=address, id=port ^ 1) / whole.payload, fragsize=800)[0]  # never whole
    yield IP(dst=address) / UDP(dport=port, sport=40004, len=7) / Raw(b"short")
    yield IP(dst=address) / UDP(dport=port, sport=40004, chksum=1) / Raw(b"wrong sum")
    inner = IP(src=address, dst="192.0.2.1") / UDP(sport=port, dport=7)
    for code in range(16):
        yield IP(dst=address) / ICMP(type=3, code=code, nexthopmtu=68) / inner


def to_host(address):
    for kind in (8, 13, 15, 17, 10):
        yield IP(dst=address) / ICMP(type=kind)
    for protocol in (0, 2, 4, 41, 47, 50, 132, 136, 253):
        yield IP(dst=address, proto=protocol) / Raw(bytes(20))
    yield IP(dst="224.0.0.1", ttl=1, proto=2) / Raw(b"\x11\x01\xee\xfe" + bytes(4))  # who is where?


def main():
    address, *ports = sys.argv[1:]
    packets = [*to_host(address), *(one for port in ports for one in to_port(address, int(port)))]
    send(packets, verbose=False)
    print(len(packets))


main()
