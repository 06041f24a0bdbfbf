"""UDP services: messages of every size, many clients, a service that goes away."""

import os
import socket
import struct
import sys

from harness import HERE, check, wait_until


def query(number, name="example.org"):
    """A DNS query for an A record."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def client():
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    made.settimeout(3)
    return made


def ask(made, at, message, tries=1):
    """The answer; None if there is none."""
    for _ in range(tries):
        made.sendto(message, at)
        try:
            while True:
                answer, source = made.recvfrom(65536)
                check(source == at, f"the answer came from {source}, not {at}")
                if answer[:-1] == message:
                    return answer
        except TimeoutError:
            continue
    return None


def check_answer(made, at, message, tries=1):
    answer = ask(made, at, message, tries)
    check(answer is not None, f"no answer to {len(message)} bytes")
    check(answer == message + b"!", f"a wrong answer to {len(message)} bytes")


def test_udp_sizes(world):
    """A query, an empty message, 20 kB and the largest there is come back as they were sent; TCP of
    the same name stays what it is."""
    udp, tcp = world.peer("udp-echo"), world.peer("echo")
    broker = world.broker()
    services = [f"dns=udp:127.0.0.1:{udp.port}", f"dns=127.0.0.1:{tcp.port}"]
    device = world.device(broker, services, allow=[world.reach_key()])
    reach = world.reach(broker, device.key, "dns@5300")
    line = reach.wait_line(r"^listening dns ([0-9.]+):(\d+) udp$")
    at = (line.group(1), int(line.group(2)))
    check(at == reach.at["dns"], "TCP and UDP of one name are at different addresses")
    with client() as made:
        for message in (query(1), b"", b"x", os.urandom(1200), os.urandom(1452),
                        os.urandom(20_000), os.urandom(65_506), query(2)):
            check_answer(made, at, message)
    with socket.create_connection(at, 5) as stream:
        stream.sendall(b"over TCP")
        check(stream.recv(100) == b"over TCP", "no echo over TCP")


def test_udp_many_clients(world):
    """More clients, one after the other, than there may be flows: each gets its own answer, and
    sockets do not pile up."""
    udp = world.peer("udp-echo")
    _, device, reach = world.pair([f"dns=udp:127.0.0.1:{udp.port}"], names=["dns@5300"])
    at = reach.at["dns"]
    before = device.descriptors()
    made = [client() for _ in range(40)]
    for number, each in enumerate(made):
        each.sendto(query(number), at)
    for number, each in enumerate(made):
        check(each.recv(2000) == query(number) + b"!", f"client {number} got another's answer")
    check(device.descriptors() <= before + 40, f"{device.descriptors() - before} sockets")
    for each in made:
        each.close()
    for number in range(600):
        with client() as each:
            check_answer(each, at, query(number), tries=3)
    check(device.descriptors() <= before + 64, f"{device.descriptors() - before} sockets")


def test_udp_service_stops_and_returns(world):
    """The local service's port is closed: its flow ends at once, and the next query after it is
    back is answered."""
    udp = world.peer("udp-echo")
    _, device, reach = world.pair([f"dns=udp:127.0.0.1:{udp.port}"], names=["dns@5300"])
    at = reach.at["dns"]
    idle = device.descriptors()
    with client() as made:
        check_answer(made, at, query(1))
        check(device.descriptors() == idle + 1, "no socket of its own")
        udp.kill()
        made.sendto(query(2), at)
        wait_until(lambda: device.descriptors() == idle, 10, "the device lets go of the flow")
        world.start("peer-again", sys.executable, HERE / "peer.py", "udp-echo",
                    udp.port).wait_line("^ready")
        check_answer(made, at, query(3), tries=5)
