"""One identity at two places: a device's state folder was copied, as with an image of its disk."""

import http.server
import json
import re
import shutil
import socket
import struct
import threading

from api import Server, key_bytes
from harness import Skipped, check, wait_until
from monitoring import Receiver, open_stream, read_events


IP, UDP = 0x0800, 17


class Network:
    """A way to the broker that stays one address, whoever uses it: a NAT before a device."""

    def __init__(self, broker):
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind(("127.0.0.1", 0))
        self.back.connect(("127.0.0.1", broker.port))
        self.inside = None
        port = self.front.getsockname()[1]
        self.uri = re.sub(r":\d+$", f":{port}", broker.uri)
        for work in (self.outwards, self.inwards):
            threading.Thread(target=work, daemon=True).start()

    def outwards(self):
        while True:
            datagram, self.inside = self.front.recvfrom(65536)
            self.back.send(datagram)

    def inwards(self):
        while True:
            datagram = self.back.recv(65536)
            if self.inside:
                self.front.sendto(datagram, self.inside)


def page(text):
    """A web server that says this; its port."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


class Copy:
    """A running device, with a service that says which it is."""

    def __init__(self, world, server, name, key, enrol=""):
        self.world, self.name, self.network = world, name, Network(server.broker)
        self.web = page(f"{name}\n")
        self.broker, self.key, self.process = server.broker, key, None
        self.start(enrol)

    def start(self, enrol=""):
        """Begins, again where it runs already: power was lost."""
        if self.process:
            self.process.kill()
        broker = type("At", (), {"uri": self.network.uri})
        self.process = self.world.device(broker, {"web": self.web}, allow=[self.key],
                                         enrol=enrol, name=self.name)

    def sessions(self):
        return self.process.text().count("session-up")


def wire():
    """Hears what is said on this machine, as who has the network does."""
    try:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IP))
    except PermissionError:
        raise Skipped("nobody but root hears what others are told") from None
    made.bind(("lo", IP))
    made.settimeout(0.2)
    return made


def overhear(ear, ports, heard, until):
    """The datagrams to these ports, until the event."""
    while not until.is_set():
        try:
            packet = ear.recv(65536)
        except TimeoutError:
            continue
        head = (packet[0] & 15) * 4
        if packet[9] == UDP and struct.unpack(">H", packet[head + 2:head + 4])[0] in ports:
            heard.append(packet[head + 8:])


def copied(world, server):
    """A device, and a copy of it with the key of a peer that both let in."""
    key = world.reach_key()
    first = Copy(world, server, "first", key, enrol=server.broker.code())
    reach = world.reach(server.broker, first.process.key, "web")
    check(world.curl(reach.at["web"], "").stdout == "first\n", "the first one")
    shutil.copytree(world.folder / "first", world.folder / "second")
    second = Copy(world, server, "second", key)
    check(second.process.key == first.process.key, "the same identity")
    return first, second, reach


def test_a_copied_state_folder_is_told_of(world):
    """Admin and owner hear of it, in the API and by webhook; others do not."""
    server = Server(world, "--webhook-allow-private")
    admin = server.user("root", "--role", "admin")
    ada, bob = server.user("ada"), server.user("bob")
    receivers = [Receiver() for _ in range(3)]
    for caller, receiver in zip((admin, ada, bob), receivers):
        caller.expect(201, "POST", "webhooks", {"url": receiver.url, "events": ["node.duplicate"]})
    first, second, _ = copied(world, server)
    device = first.process.key
    server.rows("INSERT OR REPLACE INTO trust (device, owner, epoch) VALUES (?, ?, 1)",
                key_bytes(device), ada.key)
    stream = open_stream(server, ada.token)
    # Each takes the broker's link from the other, time and again; once is no news.
    for copy in (first, second, first):
        check(not any(receiver.taken for receiver in receivers), "told too early")
        copy.start()
    event = {"kind": ""}
    while event["kind"] != "node.duplicate":
        (_, event), = read_events(stream, 1)
    check(event["device"] == device, f"{event}")
    for caller in (admin, ada, bob):
        events = caller.expect(200, "GET", "events?limit=200")["events"]
        told = [event["device"] for event in events if event["kind"] == "node.duplicate"]
        check(told == ([] if caller is bob else [device]), f"{told}")
    for receiver in receivers[:2]:
        wait_until(lambda: receiver.taken, 20, "a webhook")
        check(json.loads(receiver.taken[0][2])["device"] == device, "of another")
    check(not receivers[2].taken, "a stranger is told")
    for receiver in receivers:
        receiver.close()


def test_copies_do_not_read_each_others_sessions(world):
    """A session stays with whom it was made, and the copy that gets all of its packets has no use
    for them; the other way round it is the same."""
    with wire() as ear:
        first, second, reach = copied(world, Server(world))
        told_both(world, ear, reach, first, second)
        # A new session is made with who came last.
        reach.stop()
        reach = world.reach(first.broker, first.process.key, "web", enrol="")
        told_both(world, ear, reach, second, first)


def told_both(world, ear, reach, named, copy):
    over, heard, sessions = threading.Event(), [], copy.sessions()
    ports = named.process.udp_ports()
    listener = threading.Thread(target=overhear, args=(ear, ports, heard, over))
    listener.start()

    def is_heard():
        came = world.curl(reach.at["web"], "").stdout
        check(came == f"{named.name}\n", f"{came!r} from {named.name}")
        return len(heard) > 20

    try:
        # Where much else is said, some of it is missed.
        wait_until(is_heard, 30, "something is heard")
    finally:
        over.set()
        listener.join()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for to in copy.process.udp_ports():
            for packet in heard:
                sender.sendto(packet, ("127.0.0.1", to))
    came = world.curl(reach.at["web"], "").stdout
    check(came == f"{named.name}\n", "the session was lost")
    check(copy.process.is_running() and copy.sessions() == sessions, "the copy has a session")
