"""A device on lwIP, reached from its host, or the other way: real broker, real other end, curl.

The device's interface is a TAP in the network namespace that this runs in; the host is on the same
link. Each scenario takes (world, build): a build is a version of lwIP, with an operating system or
without.
"""

import re
import signal
import socket
import subprocess
import sys

from harness import check, connects, free_port, wait_until

HOST, DEVICE, MASK = "10.77.0.1", "10.77.0.2", "255.255.255.0"
TAP = "rittap"


def pattern(start, count):
    """http.c's bytes."""
    return bytes(((at * 31 + (at >> 8) * 17 + (at >> 16)) & 0xFF) for at in
                 range(start, start + count))


class Node:
    """A broker and a node on lwIP."""

    def __init__(self, world, build, *options):
        self.world, self.build, self.options = world, build, options
        self.state = world.folder / "lwip"
        self.state.mkdir()
        self.broker = world.broker(HOST)
        self.starts = 0
        self.start("--enrol", self.broker.code())

    def start(self, *options):
        self.starts += 1
        argv = [self.build, "--tap", TAP, "--address", DEVICE, "--mask", MASK, "--gateway", HOST,
                "--state", self.state, "--broker", self.broker.uri, *self.options, *options]
        self.device = self.world.start(f"lwip{self.starts}", *argv)
        self.device.key = self.device.wait_line(r"^key ([a-z2-7]{52})").group(1)
        self.device.wait_line(r"^online")

    def end(self):
        """Closed everything, and nothing of lwIP's memory is in use."""
        self.device.child.send_signal(signal.SIGTERM)
        status = self.device.wait_exit(30)
        check(status == 0 and "ended 0" in self.device.text(), f"the device ended with {status}")


class Pair(Node):
    """The same as a device, and a reaching side on the host."""

    def __init__(self, world, build, *options, services=("web", "call", "nobody", "echo")):
        super().__init__(world, build, "--allow", world.reach_key(), *options)
        self.reach = world.reach(self.broker, self.device.key, *services)
        self.at = self.reach.at

    def down(self, service, count, seconds=120):
        copy = self.world.folder / "copy"
        got = self.world.curl(self.at[service], count, "-o", copy, seconds=seconds)
        check(got.returncode == 0, f"curl: status {got.returncode}: {got.stderr}")
        bytes_there = copy.read_bytes()
        check(len(bytes_there) == count, f"{len(bytes_there)} bytes of {count}")
        check(bytes_there == PATTERN[:count], f"{service}: other bytes")

    def up(self, service, count, seconds=120):
        file = self.world.folder / "upload"
        file.write_bytes(PATTERN[:count])
        got = self.world.curl(self.at[service], "", "-T", file, "-H", "Expect:", seconds=seconds)
        check(got.returncode == 0, f"curl: status {got.returncode}: {got.stderr}")
        check(got.stdout == f"{count}\n", f"{service}: sent {count}, it says {got.stdout!r}")


PATTERN = pattern(0, 1 << 24)[:12_000_000]


def test_page(world, build):
    """A service on the loopback interface and one of callbacks."""
    pair = Pair(world, build)
    for service in ("web", "call"):
        for count in (0, 1, 1000, 70_000):
            pair.down(service, count)
            pair.up(service, count)
    pair.end()


def test_bulk(world, build):
    """Ten megabytes each way, by each kind of service."""
    pair = Pair(world, build)
    for service in ("web", "call"):
        pair.down(service, 10_000_000)
        pair.up(service, 10_000_000)
    pair.end()


def test_coarse_clock(world, build):
    """The same with lwIP's own clock of milliseconds."""
    pair = Pair(world, build, "--coarse", services=("web",))
    pair.down("web", 5_000_000)
    pair.up("web", 5_000_000)
    pair.end()


def test_refused(world, build):
    """A port where nothing listens refuses, and does so again."""
    pair = Pair(world, build, services=("web", "nobody"))
    for _ in range(3):
        got = world.curl(pair.at["nobody"], "")
        check(got.returncode in (7, 52, 56), f"curl: status {got.returncode}")
    pair.down("web", 1000)
    pair.end()


def test_udp(world, build):
    """A UDP service gives back what it is sent, small and larger than a packet."""
    pair = Pair(world, build, services=("echo",))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(pair.at["echo"])
        for size in (0, 1, 500, 1200, 1400, 4000):
            def ask(size=size):
                client.send(PATTERN[:size])
                try:
                    return client.recv(65536) == PATTERN[:size]
                except TimeoutError:
                    return False
            wait_until(ask, 30, f"an echo of {size} bytes")
    pair.end()


def test_half_close(world, build):
    """The client's end of bytes reaches the service while the answer is still to come."""
    pair = Pair(world, build, services=("web", "call"))
    for service in ("web", "call"):
        with socket.create_connection(pair.at[service], timeout=30) as up:
            body = PATTERN[:300_000]
            up.sendall(b"PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            up.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: up.recv(65536), b""))
        check(answer.endswith(b"\r\n\r\n300000\n"), f"{service}: {answer!r}")
    pair.end()


def test_slow_reader(world, build):
    """Who does not read holds up that one download, and no memory is taken for it."""
    pair = Pair(world, build, services=("web", "call"))
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(60)
        slow.connect(pair.at["web"])
        slow.sendall(b"GET /8000000 HTTP/1.1\r\n\r\n")
        slow.recv(1)
        for service in ("call", "web"):
            pair.down(service, 1_000_000)
        got = 1
        while True:
            piece = slow.recv(65536)
            if not piece:
                break
            got += len(piece)
        check(got > 8_000_000, f"{got} bytes")
    pair.end()


def test_reset(world, build):
    """Clients that go away in the middle, each way: the device is rid of them."""
    pair = Pair(world, build, services=("web", "call"))
    for service in ("web", "call"):
        for request in (b"GET /9000000 HTTP/1.1\r\n\r\n",
                        b"PUT / HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n" + bytes(200_000)):
            with socket.socket() as rude:
                rude.connect(pair.at[service])
                rude.settimeout(30)
                rude.sendall(request)
                if request.startswith(b"GET"):
                    rude.recv(1)
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        pair.down(service, 100_000)
    pair.end()


def test_many(world, build):
    """As many connections as there is room for, and more: those that are let in are answered."""
    pair = Pair(world, build, services=("web",))
    sockets = []
    answers = 0
    for _ in range(24):
        try:  # one that is not let in may be reset before connect has returned
            sockets.append(socket.create_connection(pair.at["web"], timeout=30))
        except ConnectionResetError:
            pass
    for each in sockets:
        try:
            each.sendall(b"GET /1000 HTTP/1.1\r\n\r\n")
        except OSError:
            pass
    for each in sockets:
        try:
            whole = b"".join(iter(lambda each=each: each.recv(65536), b""))
        except OSError:
            whole = b""
        answers += whole.endswith(PATTERN[:1000])
        each.close()
    check(16 <= answers <= 24, f"{answers} answers")
    pair.down("web", 1000)
    pair.end()


def test_restart(world, build, *options, seconds=90):
    """A device that is killed in the middle of a download comes back, as the same one."""
    pair = Pair(world, build, *options, services=("web",))
    key = pair.device.key
    with socket.create_connection(pair.at["web"], timeout=60) as cut:
        cut.sendall(b"GET /9000000 HTTP/1.1\r\n\r\n")
        cut.recv(1)
        pair.device.kill()
        pair.start()
        check(pair.device.key == key, "it has another key")

        def again():
            got = world.curl(pair.at["web"], 1000, "-o", "/dev/null", seconds=10)
            return got.returncode == 0
        wait_until(again, seconds, "the device answers again")
    pair.end()


def test_restart_same_port(world, build):
    """With a port of its own its peers learn of it at once, not by the idle timeout of 30 s."""
    test_restart(world, build, "--port", 7485, seconds=15)


def test_reaches(world, build):
    """The other way: a page of a device on the host, by a listener on lwIP's loopback interface."""
    node = Node(world, build)
    node.end()  # now it has a key that the device can allow
    pages = world.folder / "pages"
    pages.mkdir()
    (pages / "100000").write_bytes(PATTERN[:100_000])
    port = free_port()
    world.start("pages", sys.executable, "-m", "http.server", "--bind", "127.0.0.1",
                "--directory", pages, port)
    wait_until(lambda: connects("127.0.0.1", port), 30, "the web server answers")
    device = world.device(node.broker, {"web": port}, allow=[node.device.key])
    node.start("--reach", device.key, "--fetch", 100_000)
    page = node.device.wait_line(r"^fetch(ed|:) (.*)", 60)
    check(page.group(0) == "fetched 100000", page.group(0))
    node.end()


def test_example(world, build):
    """The device of the README, which is examples-c/lwip-device.c as it stands."""
    example = build.parent / build.name.replace("device-", "example-")
    state = world.folder / "lwip"
    state.mkdir()
    broker = world.broker(HOST)
    settings = {"TAP": TAP, "ADDRESS": DEVICE, "MASK": MASK, "GATEWAY": HOST, "STATE": state,
                "broker": broker.uri, "code": broker.code(), "owner": world.reach_key()}
    device = world.start("example", "env", *(f"RIT_{name}={value}" for name, value in
                                             settings.items()), example)
    key = device.wait_line(r"^key ([a-z2-7]{52})").group(1)
    reach = world.reach(broker, key, "hello")
    for _ in range(6):
        got = world.curl(reach.at["hello"], "")
        check(got.stdout == "Hello from lwIP.\n", f"the example says {got.stdout!r}, {got.stderr}")


def set_up_network():
    for line in ("link set lo up", f"tuntap add dev {TAP} mode tap",
                 f"addr add {HOST}/24 dev {TAP}",
                 f"link set {TAP} up"):
        subprocess.run(["ip", *line.split()], check=True)


def every():
    return {name.removeprefix("test_"): function for name, function in globals().items()
            if name.startswith("test_")}


def suits(name, build):
    """The example is a device without an operating system."""
    return name != "example" or build.name.endswith("nosys")


def variant_of(build):
    return re.sub("^device-", "", build.name)
