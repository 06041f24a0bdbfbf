"""The real programs placed in the lab: a broker, a device with a web server, a user with curl."""

import random
import re
import socket
import time

from expect import EXPECT
from harness import check, free_port, sha256_of, wait_until
from lab import PUBLIC, Lab

PAGE = b"<h1>over there</h1>\n"
BIG = 200_000_000


class Stage:
    """A lab with a broker and relays on the internet."""

    def __init__(self, world, relays=0):
        self.world, self.lab = world, Lab()
        self.broker_host = self.lab.server("broker")
        self.relays = {}
        options = []
        if relays:
            secret = world.folder / "relay-secret"
            secret.write_bytes(random.Random(3).randbytes(32))
            secret.chmod(0o600)
            options = ["--role", "broker", "--relay-secret", secret]
        for number in range(relays):
            options += ["--relay", self.start_relay(f"relay{number}", secret)]
        with self.broker_host:
            self.broker = world.broker(self.broker_host.address, options=options)

    def start_relay(self, name, secret):
        """A relay at a host of its own; its address and port."""
        host = self.lab.server(name)
        with host:
            at = f"{host.address}:{free_port(host.address)}"
            self.relays[name] = self.world.start(
                name, self.world.tools.server, "--role", "relay", "--relay-secret", secret,
                "--state", self.world.folder / name, "--listen", at)
        self.relays[name].wait_line(r"^ready")
        return at

    def relayed(self):
        """Bytes that have come to each relay so far."""
        return {name: self.lab.traffic(name)["down"][1] for name in self.relays}


class Cast(Stage):
    """And a user's and a device's site, the device with a web server and an echo service."""

    def __init__(self, world, user=(PUBLIC,), device=(PUBLIC,), big=0, relays=0,
                 lan="192.168.2.0/24"):
        super().__init__(world, relays)
        self.user = self.lab.site("user", *user)
        self.home = self.lab.site("home", *device, lan=lan)
        files = {"index.html": PAGE}
        if big:
            files["big.bin"] = random.Random(7).randbytes(big)
        with self.home.host:
            self.web = world.web(files)
            self.echo = world.peer("echo")

    def start_device(self, *users, options=()):
        """Online, and allowing these users' keys."""
        services = {"web": self.web.port, "echo": self.echo.port}
        allow = [self.world.reach_key(name) for name in users or ("reach",)]
        with self.home.host:
            self.device = self.world.device(self.broker, services, allow=allow, options=options)

    def start_user(self, name="reach", site=None, **options):
        """A reaching side with listeners for the services."""
        with (site or self.user).host:
            return self.world.reach(self.broker, self.device.key, "web", "echo", name=name,
                                    **options)

    def start(self):
        """A device and a user with listeners; another user, "later", is allowed too."""
        self.start_device("reach", "later")
        self.reach = self.start_user()
        return self

    def page(self, reach=None, site=None, seconds=20):
        """The page by a new TCP connection; the seconds that it took."""
        start = time.monotonic()
        with (site or self.user).host:
            got = self.world.curl((reach or self.reach).at["web"], "index.html", seconds=seconds)
        check(got.stdout.encode() == PAGE, f"no page: curl's status {got.returncode}: "
              f"{got.stderr.strip()}")
        return time.monotonic() - start

    def later_page(self, seconds):
        """A new user starts now, once; how long until the page is there."""
        start = time.monotonic()
        later = self.start_user("later", listen=False)
        line = later.wait_line(r"^listening web ([0-9.]+):(\d+)", seconds)
        later.at["web"] = (line.group(1), int(line.group(2)))
        self.page(later, seconds=10)
        return time.monotonic() - start

    def idle_connection(self):
        """A TCP connection to the device's echo service, made and used once."""
        with self.user.host:
            line = socket.create_connection(self.reach.at["echo"], timeout=30)
        exchange(line, b"before")
        return line


def exchange(line, data):
    """The connection still carries bytes both ways."""
    line.sendall(data)
    got = b""
    while len(got) < len(data):
        piece = line.recv(1000)
        check(piece, f"the idle connection ended after {got!r}")
        got += piece
    check(got == data, f"{got!r} came back for {data!r}")


class Download:
    """curl fetching the big file beside an idle connection; nothing of it may break."""

    def __init__(self, cast, mbit=160):
        self.cast, self.world = cast, cast.world
        cast.user.limit_rate(mbit)
        self.idle = cast.idle_connection()
        self.copy = self.world.folder / "copy"
        host, port = cast.reach.at["web"]
        self.started = time.monotonic()
        with cast.user.host:
            self.curl = self.world.start(
                "curl", self.world.tools.curl, "-sS", "--fail", "-o", self.copy,
                "-w", "%{num_connects} connection, %{size_download} bytes\n",
                f"http://{host}:{port}/big.bin")
        self.wait_part(0.2)

    def size(self):
        return self.copy.stat().st_size if self.copy.exists() else 0

    def wait_part(self, part, seconds=60):
        wait_until(lambda: self.size() >= part * BIG, seconds, f"{part:.0%} of the file came")
        check(self.size() < BIG, "the download was over before anything happened")

    def stall(self, limit, ability="punch"):
        """The longest time without a new byte, from now until 10 MB more have come. It may be
        `limit` seconds where that ability is there."""
        start = grown = time.monotonic()
        first = size = self.size()
        longest = 0
        while size < min(first + 10_000_000, BIG):
            now, new = time.monotonic(), self.size()
            check(now < start + 60, f"the download stands still for {now - grown:.0f} s")
            check(self.curl.is_running() or new == BIG, f"curl ended: {self.curl.text()}")
            longest = max(longest, now - grown)
            if new > size:
                size, grown = new, now
            time.sleep(0.002)
        excuse = EXPECT[ability] if longest > limit else ""
        print(f"   no byte for {longest * 1000:.0f} ms after it {excuse}".rstrip())
        check(longest < limit or excuse, f"more than {limit} s without a byte")

    def finish(self, seconds=90):
        """Ends well; prints what it took."""
        code = self.curl.wait_exit(seconds)
        check(code == 0, f"curl's status {code}: {self.curl.text().strip()}")
        check(re.search(rf"^1 connection, {BIG} bytes", self.curl.text()), self.curl.text())
        check(sha256_of(self.copy) == sha256_of(self.cast.web.root / "big.bin"), "it differs")
        exchange(self.idle, b"and after")
        self.idle.close()
        print(f"   200 MB in {time.monotonic() - self.started:.1f} s, one connection")
