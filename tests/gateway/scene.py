"""A network with a gateway and three hosts that have no librit, and a user somewhere else.

                                   ┌── gate
    user ── internet ── router ────┼── hvac    web on 80, UDP echo on 7, an SSH-like banner on 22
               │                   ├── cam     web on 80, and what it tells by mDNS
             broker                └── third   web on 80, which nobody has published
"""

import importlib.util
import json
import re
import socket
import sys

from harness import HERE, check, wait_until
from lab import PUBLIC, Lab
from netns import command

# tests/nat has a `people` too.
spec = importlib.util.spec_from_file_location("cli_people", HERE.parent / "cli" / "people.py")
cli_people = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cli_people)
Person, listening = cli_people.Person, cli_people.listening

NEIGHBOUR = HERE.parent / "gateway" / "neighbour.py"
WATCH = """table inet watch {{
    counter heard {{ }}
    counter others {{ }}
    set published {{ type inet_proto . inet_service; }}
    chain arriving {{ type filter hook input priority -10
        ip saddr {gate} ip daddr {own} meta l4proto {{ tcp, udp }} counter name heard
        ip saddr {gate} ip daddr {own} meta l4proto . th dport @published accept
        ip saddr {gate} ip daddr {own} meta l4proto {{ tcp, udp }} counter name others
    }}
}}
"""


class Neighbour:
    """A host of the gateway's network that counts what the gateway sends to it."""

    def __init__(self, scene, name):
        self.scene, self.name = scene, name
        self.ns = scene.home.add_host()
        self.address = self.ns.address
        self.ns.nft(WATCH.format(gate=scene.home.host.address, own=self.address))
        self.started = 0

    def serve(self, *words):
        """A service of neighbour.py."""
        self.started += 1
        with self.ns:
            process = self.scene.world.start(f"{self.name}-{words[0]}-{self.started}",
                                             sys.executable, "-B", NEIGHBOUR, *words)
        process.wait_line(r"^ready")
        return process

    def publishes(self, *services):
        """From now on what goes to these, such as "tcp . 80", is not among the others."""
        self.ns.nft(f"add element inet watch published {{ {', '.join(services)} }}\n")

    def counter(self, name):
        with self.ns:
            listed = command("nft", "list", "counter", "inet", "watch", name)
        return int(re.search(r"packets (\d+)", listed).group(1))

    def heard_nothing_else(self):
        count = self.counter("others")
        check(count == 0, f"{count} packets to other ports of {self.name}")


class Scene:
    def __init__(self, world):
        self.world, self.lab = world, Lab()
        broker_host = self.lab.server("broker")
        self.home = self.lab.site("home", "masquerade")
        self.away = self.lab.site("away", PUBLIC)
        with broker_host:
            self.broker = world.broker(broker_host.address)
        self.hvac, self.cam, self.third = (Neighbour(self, name)
                                           for name in ("hvac", "cam", "third"))
        self.hvac.serve("http", 80, "hvac")
        self.cam.serve("http", 80, "cam")
        self.third.serve("http", 80, "third")
        self.gate = Person(world, "gate")
        self.user = Person(world, "user")

    def start_gateway(self, *words, is_new=True):
        """`rit gateway`, online."""
        enrol = ["--enrol", self.broker.code()] if is_new else []
        with self.home.host:
            process = self.gate.start("gateway", "--broker", self.broker.uri, *enrol, *words)
        process.key = json.loads(process.wait_line(r'^{"event":"key",.*$').group(0))["key"]
        process.wait_line(r'^{"event":"online"}$')
        return process

    def ask_gateway(self, *words):
        """`rit gateway WORDS`, where the gateway is."""
        with self.home.host:
            return self.gate.json("gateway", *words)

    def gateway_refuses(self, status, pattern, *words):
        with self.home.host:
            self.gate.refused(status, pattern, "gateway", *words)

    def connect(self, key, *services, options=(), person=None):
        """The user reaches services of the gateway, which it calls `gate`."""
        person = person or self.user
        person.configure(f'broker = "{self.broker.uri}"\n[names]\ngate = "{key}"\n')
        with self.away.host:
            return person.connect(*(f"gate/{service}" for service in services), "--enrol",
                                  self.broker.code(), *options, services=services)

    def page(self, at, seconds=20):
        """curl's result."""
        with self.away.host:
            return self.world.curl(at, "index.html", seconds=seconds)

    def gets(self, at, text):
        got = self.page(at)
        check(got.stdout == f"{text}\n", f"no page of {text}: {got.stdout}{got.stderr}")

    def line(self, at):
        """A TCP connection of the user's."""
        with self.away.host:
            return socket.create_connection(at, timeout=30)

    def udp_answer(self, at, message):
        """What comes back; asked again, as UDP may lose it."""
        with self.away.host:
            asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asking.settimeout(1)
        with asking:
            def answered():
                asking.sendto(message, at)
                try:
                    return asking.recv(2000)
                except TimeoutError:
                    return None
            return wait_until(answered, 20, "an answer by UDP")


def is_ended(line):
    """Whether a connection's other end has ended it."""
    try:
        return line.recv(1000) == b""
    except ConnectionError:
        return True
