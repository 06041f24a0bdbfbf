"""The cloak off for a while, by the owner's word: who asks rightly is answered, and then nobody."""

import socket

from harness import check, wait_until
from identify import PORT, ask, probe
from owners import SECRET, Owner
from scene import Scene

NONCE = b"a survey"
QUIET_S = 0.5


class Owned(Scene):
    """The device has an owner, too, somewhere else."""

    def start(self):
        super().start("--owner", SECRET)
        self.number = self.opened = 0
        with self.user.host:
            self.owner = Owner(self.world, self.broker)
            self.epoch = self.owner.do("claim", self.device.key, SECRET)
        return self

    def cloak_off(self, seconds):
        """0: on."""
        self.number += 1
        with self.user.host:
            self.owner.do("cloak", self.device.key, self.epoch, self.number, seconds)
        if seconds:  # it answers its owner before it opens the port
            self.opened += 1
            self.device.wait_line("^cloak-off", count=self.opened)

    def scan(self, scanner):
        """What nmap says of the port for probes, with the probe as its payload."""
        data = probe(NONCE).hex()
        listed, _ = self.nmap(scanner, "-sU", "-p", PORT, "--data", data, "--max-retries", 1)
        return listed[("udp", PORT)]

    def found(self, scanner, port=PORT, seconds=2):
        with scanner:
            return ask(self.at, port, seconds)

    def is_found(self, scanner, port=PORT):
        """Whether it says who it is; it has to be right."""
        told = self.found(scanner, port)
        check(told is None or told[0] == self.device.key, f"somebody else answered: {told}")
        return told is not None

    def not_found(self, what):
        for scanner in (self.near, self.far):
            for port in (PORT, self.tunnel):
                told = self.found(scanner, port, QUIET_S)
                check(told is None, f"{told} at port {port}: {what}")


def test_nmap_sees_it_for_a_while(world):
    """Without the profile: nobody, then the device at one port more, then nobody."""
    scene = Owned(world).start()
    scene.not_found("before")
    check(scene.scan(scene.near) == "closed", "a port is open before")
    scene.cloak_off(600)
    check(PORT in scene.device.udp_ports(), "the port is not open")
    for scanner in (scene.near, scene.far):
        check(scene.scan(scanner) == "open", "nmap does not see it")
        for port in (PORT, scene.tunnel):
            check(scene.is_found(scanner, port), f"no answer at port {port}")
    before = scene.answers()
    with scene.near, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        for wrong in (b"", b"\0", bytes(128), probe(NONCE)[:-1], probe(NONCE) + b"\0",
                      probe(NONCE)[:-1] + b"\1", b"\xc0" + probe(NONCE)[1:]):
            line.sendto(wrong, (scene.at, PORT))
        check(scene.is_found(scene.near), "no answer after that")
    check(scene.answers() - before == 1, "something but a probe was answered")
    scene.cloak_off(0)
    scene.device.wait_line("^cloaked")
    check(PORT not in scene.device.udp_ports(), "the port is still open")
    check(scene.scan(scene.near) == "closed", "a port is open afterwards")
    scene.not_found("afterwards")
    scene.cloak_off(2)
    check(scene.is_found(scene.near), "no answer")
    scene.device.wait_line("^cloaked", count=2)
    scene.not_found("by itself")
    scene.page()


def test_through_the_profile(world):
    """With the profile, which nobody touches: the port is one of many, then it answers, then it is
    one of many again, also for whom it answered before."""
    scene = Owned(world).start()
    scene.cloak()
    rules = scene.profile()
    before = scene.answers()
    check(scene.scan(scene.near) == "open|filtered", "the port is told apart")
    scene.not_found("before, with the profile")
    scene.unanswered(before, "cloaked, with the profile")
    scene.cloak_off(600)
    with scene.near:
        known = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    known.settimeout(5)
    known.sendto(probe(NONCE), (scene.at, PORT))
    known.recv(2048)
    for scanner in (scene.near, scene.far):
        check(scene.scan(scanner) == "open", "nmap does not see it")
        check(scene.is_found(scanner), "no answer through the profile")
        check(not scene.is_found(scanner, scene.tunnel), "strangers get to the tunnel's port")
    scene.cloak_off(0)
    scene.device.wait_line("^cloaked")
    before = scene.answers()
    known.sendto(probe(NONCE), (scene.at, PORT))
    known.settimeout(QUIET_S)
    try:
        check(not known.recv(2048), "whom it knows is answered")
    except TimeoutError:
        pass
    check(scene.scan(scene.near) == "open|filtered", "the port is told apart")
    scene.not_found("afterwards, with the profile")
    scene.unanswered(before, "cloaked again, with the profile")
    known.close()
    check(scene.profile() == rules, "the rules are others")
    scene.page()


def test_where_the_port_is_taken(world):
    """Another program has the port: a warning, and the device's own ports answer."""
    scene = Owned(world).start()
    with scene.home.host:
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        other.bind(("", PORT))
    scene.cloak_off(600)
    wait_until(lambda: "no UDP port 7485" in scene.device.text(), 5, "a warning")
    check(scene.is_found(scene.near, scene.tunnel), "no answer at the tunnel's port")
    check(scene.found(scene.near, PORT, QUIET_S) is None, "an answer at another program's port")
    other.close()
    scene.page()
