"""A host of a LAN that answers for a gateway that it is not: as many lies as it is told to.

usage: liar.py TAG PORT LIES ADDRESS...
Each question for _rit._udp that the LAN hears is answered from each ADDRESS of this host by so
many LIES: the right TXT record, PORT, and that address or, from the second lie on, others of its
network. Prints `ready`, and `asked` for each question.
"""

import socket
import struct
import sys

GROUP, PORT = "224.0.0.251", 5353
SERVICE = b"\x04_rit\x04_udp\x05local\x00"
INSTANCE = b"\x07rit-lie" + SERVICE
HOST = b"\x07rit-lie\x05local\x00"


def record(owner, kind, data):
    return owner + struct.pack("!HHIH", kind, 0x8001, 120, len(data)) + data


def lie(query_id, tag, port, address):
    txt = b"\x03v=1" + bytes([2 + len(tag)]) + b"k=" + tag
    records = [
        record(SERVICE, 12, INSTANCE),
        record(INSTANCE, 16, txt),
        record(INSTANCE, 33, struct.pack("!HHH", 0, 0, port) + HOST),
        record(HOST, 1, socket.inet_aton(address)),
    ]
    return struct.pack("!HHHHHH", query_id, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def bound(address):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, PORT))
    return made


def main():
    tag, port, lies = sys.argv[1].encode(), int(sys.argv[2]), int(sys.argv[3])
    mouths = {address: bound(address) for address in sys.argv[4:]}
    ear = bound(GROUP)
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                   socket.inet_aton(GROUP) + socket.inet_aton(sys.argv[4]))
    print("ready", flush=True)
    while True:
        query, asker = ear.recvfrom(9000)
        if len(query) < 12 or query[2] & 0x80 or SERVICE not in query:
            continue
        (query_id,) = struct.unpack_from("!H", query)
        for number in range(lies):
            for address, mouth in mouths.items():
                named = address if number == 0 else \
                    address.rsplit(".", 1)[0] + f".{1 + number % 250}"
                mouth.sendto(lie(query_id, tag, port, named), asker)
        print("asked", flush=True)


if __name__ == "__main__":
    main()
