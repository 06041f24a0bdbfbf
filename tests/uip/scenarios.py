"""What must hold for a device on uIP: a web page and files by curl through the tunnel, on a link of
576 bytes that loses frames, directly and by a relay.

The host is 10.78.0.1, the device 10.78.0.2, at the two ends of a TAP device. Broker, relay and the
reaching side run on the host. Everything is waited for by what the programs print.
"""

import re
import socket
import struct
import subprocess
import sys
import zlib

from harness import Failed, check, connects, free_port, wait_until

HOST, DEVICE, TAP = "10.78.0.1", "10.78.0.2", "tap0"
UDP_PORT = 7481  # of examples-c/uip/device.c


def command(*argv, text=None):
    """Runs a command; its standard output."""
    done = subprocess.run(argv, input=text, text=True, capture_output=True, check=False)
    check(done.returncode == 0, f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


class Link:
    """The TAP device, for as long as a scenario takes."""

    def __init__(self, mtu):
        self.mtu = mtu

    def __enter__(self):
        for line in (f"tuntap add dev {TAP} mode tap", f"addr add {HOST}/24 dev {TAP}",
                     f"link set {TAP} mtu {self.mtu} up"):
            command("ip", *line.split())
        return self

    def __exit__(self, *_error):
        command("ip", "link", "del", TAP)
        command("nft", "flush", "ruleset")


class Stage:
    """A broker and the device, online; the reaching side."""

    def __init__(self, world, mtu=576, services=("web",), **options):
        self.world, self.mtu, self.options = world, mtu, options
        self.broker = world.broker(HOST)
        self.starts = 0
        self.code, self.user = self.broker.code(), world.reach_key()
        self.start_device()
        self.reach = world.reach(self.broker, self.key, *services)
        self.at = self.reach.at["web"]

    def start_device(self):
        options = {"tap": TAP, "mtu": self.mtu, "ip": DEVICE, "router": HOST, "code": self.code,
                   "state": self.world.folder / "uip", "broker": self.broker.uri,
                   "allow": self.user, **self.options}
        program = self.world.tools.uip / f"device-{self.world.tools.kind}-{self.mtu}"
        self.device = self.world.start("device", program,
                                       *(f"{name}={value}" for name, value in options.items()))
        self.starts += 1
        self.key = self.device.wait_line(r"^key ([a-z2-7]{52})", count=self.starts).group(1)
        self.device.wait_line(r"^online", count=self.starts)

    def page(self, seconds=60):
        got = self.world.curl(self.at, "", seconds=seconds)
        check("It works" in got.stdout, f"the page: {got.stdout}{got.stderr}")

    def download(self, length, seconds=120):
        copy = self.world.folder / "copy"
        got = self.world.curl(self.at, f"bytes/{length}", "-o", copy, seconds=seconds)
        check(got.returncode == 0, f"curl: {got.stderr}")
        check(copy.read_bytes() == pattern(length), f"{length} bytes came differently")

    def upload(self, length, seconds=120):
        body = self.world.folder / "body"
        body.write_bytes(pattern(length))
        got = self.world.curl(self.at, "", "-T", body, "-H", "Expect:", seconds=seconds)
        wanted = f"{length} {zlib.adler32(pattern(length))}"
        check(got.stdout.strip() == wanted, f"{got.stdout!r}, not {wanted!r}; {got.stderr}")

    def finish(self):
        """Ends the device, which must have kept to its link and leave nothing allocated."""
        self.device.child.terminate()
        status = self.device.wait_exit()
        check(status == 0, f"the device ended with status {status}")
        link = self.device.wait_line(r"^link: sent (\d+) received (\d+) lost (\d+) "
                                     r"longer-out (\d+) longer-in (\d+)")
        self.sent, self.received, self.lost, longer_out, longer_in = map(int, link.groups())
        check(longer_out == 0, f"{longer_out} frames were longer than the link's MTU")
        check(longer_in == 0, f"{longer_in} frames to the device were longer than the link's MTU")


def pattern(length):
    """What examples-c/uip/page.c sends."""
    block = bytes((31 * at + at // 256) % 256 for at in range(65536))
    return (block * (length // 65536 + 1))[:length]


def test_page(world):
    with Link(576):
        stage = Stage(world)
        stage.page()
        stage.download(300_000)
        stage.upload(300_000)
        stage.finish()


def test_ethernet(world):
    with Link(1500):
        stage = Stage(world, mtu=1500)
        stage.page()
        stage.download(2_000_000)
        stage.upload(2_000_000)
        stage.finish()


def test_loss(world):
    with Link(576):
        stage = Stage(world, loss=50)
        stage.page()
        stage.download(100_000)
        stage.upload(100_000)
        stage.finish()
        check(stage.lost > 20, f"only {stage.lost} frames were lost")


def test_relayed(world):
    """The two may not talk to each other: all goes by the relay, with its header."""
    with Link(576):
        command("nft", "-f", "-", text=f"""
            table ip lab {{
                set broker {{ type inet_service; }}
                counter direct {{ }}
                chain from_device {{ type filter hook input priority 0;
                    iif {TAP} udp dport != @broker counter name direct drop; }}
                chain to_device {{ type filter hook output priority 0;
                    oif {TAP} udp sport != @broker counter name direct drop; }}
            }}""")
        stage = RelayedStage(world)
        stage.page()
        stage.download(100_000)
        stage.upload(100_000)
        stage.finish()
        ruled = command("nft", "list", "counter", "ip", "lab", "direct")
        check(int(re.search(r"packets (\d+)", ruled).group(1)) > 0, "no direct way was tried")


class RelayedStage(Stage):
    def start_device(self):
        ports = ", ".join(map(str, self.broker.process.udp_ports()))
        command("nft", "add", "element", "ip", "lab", "broker", f"{{ {ports} }}")
        super().start_device()


def test_several_at_once(world):
    """As many connections as the port has, and one more, which is refused and harms nobody."""
    with Link(576):
        stage = Stage(world)
        lines = [socket.create_connection(stage.at, timeout=30) for _ in range(4)]
        for line in lines:
            line.sendall(b"GET /bytes/20000 HT")
        check(is_refused(stage.at), "a fifth connection was taken")
        for line in lines:
            line.sendall(b"TP/1.0\r\n\r\n")
        for line in lines:
            got = b"".join(iter(lambda line=line: line.recv(65536), b""))
            check(got.endswith(b"\r\n\r\n" + pattern(20000)), "a connection's bytes differ")
            line.close()
        stage.page()
        stage.finish()


def is_refused(at):
    """Connects to be turned away, which may be so before connect has returned."""
    try:
        with socket.create_connection(at, timeout=30) as line:
            return is_over(line)
    except ConnectionResetError:
        return True


def is_over(line):
    """Reads to the end, or until the connection is reset."""
    try:
        while line.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_slow_reader(world):
    """Who does not read stops his own connection, and no other."""
    with Link(576):
        stage = Stage(world)
        with socket.create_connection(stage.at, timeout=60) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.sendall(b"GET /bytes/50000000 HTTP/1.0\r\n\r\n")
            check(slow.recv(1) == b"H", "no answer")
            stage.page()
            stage.download(50_000)
        stage.page()
        stage.finish()


def test_restart(world):
    """A device that dies in the middle of a transfer is there again by itself."""
    with Link(576):
        stage = Stage(world)
        with socket.create_connection(stage.at, timeout=60) as line:
            line.sendall(b"GET /bytes/50000000 HTTP/1.0\r\n\r\n")
            check(line.recv(1) == b"H", "no answer")
            stage.device.kill()
            key = stage.key
            stage.start_device()
            check(stage.key == key, "it has another key")
            check(is_over(line), "the connection of before goes on")

        def works():
            try:
                stage.page(seconds=10)
            except Failed:
                return False
            return True

        wait_until(works, 60, "the page after the restart")
        stage.finish()


def test_junk(world):
    """Frames that nobody should send: lengths that lie, fragments, noise, strangers' datagrams."""
    with Link(576):
        stage = Stage(world)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind((TAP, 0x0800))
            for frame in junk(UDP_PORT):
                wire.send(frame)
        stage.page()
        stage.finish()


def junk(port):
    ethernet = bytes.fromhex("020000000002" "020000000001" "0800")

    def ip(total, payload, fragment=0, protocol=17):
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, total, 1, fragment, 64, protocol, 0,
                             socket.inet_aton(HOST), socket.inet_aton(DEVICE))
        sums = sum(struct.unpack("!10H", header))
        sums = (sums & 0xFFFF) + (sums >> 16)
        sums = (sums & 0xFFFF) + (sums >> 16)
        return ethernet + header[:10] + struct.pack("!H", 0xFFFF ^ sums) + header[12:] + payload

    def udp(payload, source=5000, length=None):
        length = 8 + len(payload) if length is None else length
        return struct.pack("!HHHH", source, port, length, 0) + payload

    # uIP takes the headers' 28 bytes off what the packet says, and arrives below 0.
    for total in range(20, 28):
        yield ip(total, udp(b"x" * 40))
    for length in (0, 1, 2, 21, 100, 539, 548):
        yield ip(28 + length, udp(bytes(index % 256 for index in range(length))))
    yield ip(68, udp(b"y" * 40, source=0))
    yield ip(68, udp(b"y" * 40, length=3))
    yield ip(68, udp(b"z" * 40), fragment=0x2000)
    yield ip(68, udp(b"z" * 40), fragment=0x0007)
    yield ip(548, udp(b"w" * 40))  # says more than there is
    yield ip(68, udp(b"tcp"), protocol=6)
    yield ethernet + b"\x45"
    yield ethernet[:12] + b"\x08\x06" + b"\0" * 20
    yield ethernet[:12] + b"\x86\xdd" + b"\x60" + b"\0" * 60


def test_reach_from_uip(world):
    """The other way round: a program on uIP reaches a device's service by callbacks."""
    with Link(576):
        broker = world.broker(HOST)
        files = world.folder / "files"
        files.mkdir()
        (files / "file").write_bytes(pattern(100_000))
        port = free_port()
        world.start("web", sys.executable, "-m", "http.server", "--bind", "127.0.0.1",
                    "--directory", files, port)
        wait_until(lambda: connects("127.0.0.1", port), 20, "the web server answers")
        options = {"tap": TAP, "mtu": 576, "ip": DEVICE, "router": HOST, "code": broker.code(),
                   "state": world.folder / "fetch", "broker": broker.uri}
        program = world.tools.uip / f"fetch-{world.tools.kind}-576"
        words = [f"{name}={value}" for name, value in options.items()]
        key = world.run(program, "only-key=1", *words)
        device = world.device(broker, {"web": port},
                              allow=[re.search(r"^key (\S+)", key.stdout).group(1)])
        fetch = world.start("fetch", program, f"device={device.key}", *words)
        fetched = fetch.wait_line(r"^fetched (\d+) (\d+)", seconds=60)
        check(fetch.wait_exit() == 0, "it did not end well")
        body = pattern(100_000)
        fetch.wait_line(r"^refused: ")
        fetch.wait_line(r"^session-down")
        check(fetched.groups() == (str(len(body)), str(zlib.adler32(body))), fetched.group(0))
