"""The lab shown to be what it claims, before anything of librit is judged by it.

Owns a STUN-like probe (RFC 5780's questions, answered by sockets of the lab): which address do
servers see, and which of them can answer. Each check must hold on any machine.
"""

import time

from harness import check
from lab import KINDS, Lab


class Probe:
    """Two servers with two ports each, and one socket at the site that asks them."""

    PORTS = (3478, 3479)

    def __init__(self, lab, names=("stun1", "stun2")):
        self.servers = [lab.server(name) for name in names]
        self.sockets = [[host.udp(port=port, timeout=0.5) for port in self.PORTS]
                        for host in self.servers]

    def seen(self, client, server, port):
        """The address from which a datagram of the client arrives there; None if it does not."""
        target = (self.servers[server].address, self.PORTS[port])
        client.sendto(b"question", target)
        try:
            return self.sockets[server][port].recvfrom(100)[1]
        except TimeoutError:
            return None

    def answers(self, client, server, port, to):
        """Whether a datagram from there arrives at the client."""
        self.sockets[server][port].sendto(b"answer %d %d" % (server, port), to)
        try:
            return client.recvfrom(100)[0] == b"answer %d %d" % (server, port)
        except TimeoutError:
            return False

    def mapping(self, client):
        """RFC 4787's word for it, in short."""
        first, other_port, other = (self.seen(client, *to) for to in ((0, 0), (0, 1), (1, 0)))
        check(None not in (first, other_port, other), "a question did not arrive")
        if first == other_port == other:
            return "ei"
        return "ad" if first == other_port else "apd"

    def filtering(self, client):
        """Of a fresh socket, which has asked one server at one port."""
        at = self.seen(client, 0, 0)
        check(self.answers(client, 0, 0, at), "the answer itself did not arrive")
        # The stranger comes first: a filter learns from what goes out, never from what comes in.
        if self.answers(client, 1, 0, at):
            return "ei"
        return "ad" if self.answers(client, 0, 1, at) else "apd"


def kind_holds(lab, probe, kind):
    site = lab.site(f"s-{kind}", kind)
    mapping, filtering = KINDS[kind]
    wanted = {"masquerade": "ei", "random": "apd", None: "ei"}.get(mapping, mapping)
    client = site.host.udp(port=5000, timeout=0.3)
    got = probe.mapping(client), probe.filtering(site.host.udp(port=5001, timeout=0.3))
    check(got == (wanted, filtering or "ei"), f"{kind} behaves as {got}")
    ip, port = probe.seen(client, 0, 0)
    outside = site.host.address if mapping is None else site.address
    check(ip == outside, f"{kind}: seen as {ip}")
    keeps = mapping in (None, "masquerade")
    check((port == 5000) == keeps, f"{kind}: port {port}")
    # Another inner port is another mapping, and each hears only what is for it.
    other = site.host.udp(port=5002, timeout=0.3)
    check(probe.seen(other, 0, 0) != (ip, port), f"{kind}: two inner ports are one outside")


def test_lab_kinds(_world):
    """Each kind's mapping and filtering, from outside."""
    lab = Lab()
    probe = Probe(lab)
    for kind in KINDS:
        kind_holds(lab, probe, kind)


def test_lab_double_nat(_world):
    """Behind two NATs the stricter of each kind counts; both outer addresses are real."""
    lab = Lab()
    probe = Probe(lab)
    for number, (outer, inner, mapping, filtering) in enumerate((
            ("masquerade", "masquerade", "ei", "apd"), ("ei-ei", "ei-ei", "ei", "ei"),
            ("random", "ei-ei", "apd", "apd"), ("ei-ei", "random", "apd", "apd"))):
        site = lab.site(f"d{number}", outer, inner)
        got = (probe.mapping(site.host.udp(timeout=0.3)),
               probe.filtering(site.host.udp(timeout=0.3)))
        check(got == (mapping, filtering), f"{outer} before {inner} behaves as {got}")
        check(probe.seen(site.host.udp(), 0, 0)[0] == site.address, "not the outer address")


def test_lab_neighbours(_world):
    """Two hosts of one site share its address and reach each other without the router's NAT."""
    lab = Lab()
    probe = Probe(lab)
    site = lab.site("home", "ei-apd")
    second = site.add_host()
    ours, theirs = site.host.udp(port=5000), second.udp(port=5000)
    seen = [probe.seen(client, 0, 0) for client in (ours, theirs)]
    check(seen[0][0] == seen[1][0] == site.address and seen[0] != seen[1], f"seen as {seen}")
    ours.sendto(b"hello", (second.address, 5000))
    check(theirs.recvfrom(100) == (b"hello", (site.host.address, 5000)), "not direct")


def test_lab_many(_world):
    """A hundred flows at once: each has its own mapping, and all are kept."""
    lab = Lab()
    probe = Probe(lab)
    for kind in ("ei-ei", "apd-ei"):
        site = lab.site(f"m-{kind}", kind)
        clients = [site.host.udp(timeout=0.3) for _ in range(100)]
        seen = [probe.seen(client, 0, 0) for client in clients]
        check(None not in seen and len(set(seen)) == 100, f"{kind}: {len(set(seen))} mappings")
        again = [probe.seen(client, 0, 0) for client in clients]
        check(seen == again, f"{kind}: a mapping changed")


def test_lab_changes(_world):
    """Renumbering, reboots, cuts and blocks do what they say, and end."""
    lab = Lab()
    probe = Probe(lab)
    site = lab.site("home", "ei-apd")
    client = site.host.udp(port=5000, timeout=0.3)
    before = probe.seen(client, 0, 0)
    site.outer.reboot()
    rebooted = probe.seen(client, 0, 0)
    check(rebooted[0] == before[0] and rebooted != before, f"{before}, rebooted: {rebooted}")
    check(not probe.answers(client, 0, 0, before), "the old mapping still works")
    site.renumber()
    renumbered = probe.seen(client, 0, 0)
    check(renumbered[0] == site.address != before[0], f"renumbered, but seen as {renumbered}")
    check(not probe.answers(client, 0, 0, rebooted), "the old address still works")
    site.renumber_host()
    again = probe.seen(client, 0, 0)
    check(again[0] == site.address and again != renumbered, f"the host moved: {again}")
    for close in (site.cut, site.block_udp):
        close()
        check(probe.seen(client, 0, 0) is None, f"{close.__name__}: it passes")
        close(False)
        check(probe.seen(client, 0, 0) is not None, f"{close.__name__}: it stays")
    lab.lose_first("home", "stun2")
    arrived = [probe.seen(client, 1, 0) is not None for _ in range(3)]
    check(arrived == [False, True, True], f"of three to be cut by one: {arrived}")


def test_lab_timeouts(_world):
    """A mapping ends after the silence that was set, not before; what goes out keeps it."""
    lab = Lab()
    probe = Probe(lab)
    clients = {}
    for kind in ("masquerade", "ei-ei", "firewall"):
        site = lab.site(f"t-{kind}", kind)
        site.outer.set_udp_timeout(2)
        site.outer.reboot()
        client = site.host.udp(timeout=0.3)
        clients[kind] = client, probe.seen(client, 0, 0)
    for _ in range(3):
        time.sleep(1.2)
        for kind, (client, at) in clients.items():
            check(probe.seen(client, 0, 0) == at, f"{kind}: the mapping changed in use")
    for kind, (client, at) in clients.items():
        check(probe.answers(client, 0, 0, at), f"{kind}: no answer")
    time.sleep(3.2)
    for kind, (client, at) in clients.items():
        check(not probe.answers(client, 0, 0, at), f"{kind}: open after its time")


def test_lab_answered_stranger(_world):
    """Where all may come in, the host's answer to one of them opens the way for all again."""
    lab = Lab()
    probe = Probe(lab)
    site = lab.site("home", "ei-ei")
    site.outer.set_udp_timeout(2)
    site.outer.reboot()
    client = site.host.udp(timeout=0.3)
    at = probe.seen(client, 0, 0)
    for _ in range(4):
        check(probe.answers(client, 1, 0, at), "the stranger's own flow has ended")
        time.sleep(0.8)
    check(not probe.answers(client, 0, 1, at), "what comes in keeps the mapping open")
    check(probe.seen(client, 1, 0) == at, "the answer comes from elsewhere")
    check(probe.answers(client, 0, 1, at), "an answered stranger keeps the others out")


def test_lab_rate_and_count(_world):
    """The bottleneck holds its rate, and the counters count each datagram."""
    lab = Lab()
    probe = Probe(lab)
    site = lab.site("slow", "masquerade")
    site.limit_rate(8)
    client, server = site.host.udp(), probe.sockets[0][0]
    at = probe.seen(client, 0, 0)
    counted = site.traffic()["up"]
    check(counted == (1, 36), f"one datagram of 8 bytes counts as {counted}")
    for _ in range(2000):  # 2.9 MB at once; 8 Mbit/s and 30 ms of queue let through little
        server.sendto(bytes(1400), at)
    arrived, end = 0, time.monotonic() + 1
    while time.monotonic() < end:
        try:
            arrived += len(client.recv(2000))
        except TimeoutError:
            break
    check(100_000 < arrived < 1_200_000, f"{arrived} bytes came through in a second")
