"""A LAN whose line is cut, with a gateway: broker and relay there, found by multicast DNS.

    outer broker ── internet ── router ── LAN: device, gateway, users, liars
                       └── outside: the owner

Cut is the router's uplink, so that hosts are told that there is no way. Nothing here sleeps for a
time: it waits for what must come, and says how long that took.
"""

import importlib.util
import pathlib
import re
import socket
import subprocess
import sys
import time

from harness import Skipped, check, free_port, sha256_of, wait_until
from lab import Lab
from netns import Namespace

HERE = pathlib.Path(__file__).resolve().parent
PAGE = b"<h1>in here</h1>\n"
BIG = 60_000_000
PASSWORD = "correct horse battery staple"
# The gateway is asked for after 1 s, and called 3 s after the broker is known to be gone, which a
# node that is idle knows within a longest silence (10 s here) and 15 s.
NOTICED_S = 60
MOUNTS = ("unshare", "--mount", "--propagation", "private")


def cli_people():
    """Person of tests/cli; tests/nat has a module of the same name."""
    spec = importlib.util.spec_from_file_location("cli_people",
                                                  HERE.parent / "cli" / "people.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Ear:
    """What is said by multicast DNS in the LAN, as one of its hosts hears it."""

    def __init__(self, host):
        with host:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("224.0.0.251", 5353))
        own = socket.inet_aton("224.0.0.251") + socket.inet_aton(host.address)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, own)
        self.socket.settimeout(20)

    def hears(self, address, is_answer=False):
        """Waits until a host says something. What was said before is heard too."""
        while True:
            said, (by, _) = self.socket.recvfrom(9000)
            if by == address and bool(said[2] & 0x80) == is_answer:
                return


class Home:
    """The outer broker, and a LAN with a device and its gateway."""

    def __init__(self, world, http=False, files=None):
        self.world, self.lab = world, Lab()
        self.outer_host = self.lab.server("broker")
        self.outside = self.lab.site("outside").host
        self.lan = self.lab.site("home", "ei-ei", lan="192.168.7.0/24")
        self.gate = self.lan.add_host()
        self.near = self.lan.add_host()
        options = ["--longest-silence", "10"]
        with self.outer_host:
            if http:
                self.http = free_port(self.outer_host.address)
                options += ["--http", f"{self.outer_host.address}:{self.http}"]
            self.broker = world.broker(self.outer_host.address, options=options)
        with self.lan.host:
            self.web = world.web({"index.html": PAGE, **(files or {})})
        self.gateway, self.gateway_starts, self.keys = None, 0, {}
        self.ear = Ear(self.near)

    def members(self, *names):
        """Lets these in at the gateway, before it runs or while it does."""
        self.admit(*map(self.key, names))

    def key(self, name):
        """That of a `reach` or `device`, which cannot be asked while it runs."""
        if name not in self.keys:
            self.keys[name] = self.world.reach_key(name)
        return self.keys[name]

    def admit(self, *keys):
        done = self.world.run(self.world.tools.server, "members", "--state",
                              self.world.folder / "gateway", "add", *keys)
        check(done.returncode == 0, f"members add: {done.stdout}{done.stderr}")

    def start_gateway(self, *options):
        self.gateway_starts += 1
        with self.gate:
            self.gateway = self.world.start(
                "gateway", self.world.tools.server, "--lan", "--state",
                self.world.folder / "gateway", "--tls-port", "0", *options)
        self.gateway.wait_line(r"^ready", count=self.gateway_starts)
        self.uri = self.gateway.wait_line(r"^gateway (\S+)").group(1)
        check(self.uri.endswith("@_rit._udp.local"), self.uri)
        if "--no-announce" not in options:
            self.ear.hears(self.gate.address, is_answer=True)

    def cut(self, is_cut=True):
        """Takes the uplink down, or brings it back."""
        router = self.lan.outer.ns
        if is_cut:
            router.ip("link set wan down")
        else:
            router.ip("link set wan up", f"route replace default via {self.lan.net[1]}")

    def start_device(self, *allow, options=(), wait=r"^online", enrol=None):
        log = self.world.folder / "device.log"
        said = log.read_text() if log.exists() else ""
        with self.lan.host:
            self.device = self.world.device(
                self.broker, {"web": self.web.port}, allow=map(self.key, allow), enrol=enrol,
                online=False, options=["--gateway", self.uri, *options])
        self.device.key = self.device.wait_line(r"^key ([a-z2-7]{52})").group(1)
        self.device.wait_line(wait, NOTICED_S, matches(said, wait) + 1)
        if wait == r"^online":
            self.ear.hears(self.lan.host.address)  # whose gateway it knows from then on

    def start_user(self, name, where=None, enrol=None, listen=True):
        """A `reach` that knows the gateway."""
        world = self.world
        argv = [world.tools.reach, "--state", world.folder / name, "--broker", self.broker.uri,
                "--gateway", self.uri]
        code = self.broker.code() if enrol is None else enrol
        argv += ["--enrol", code] if code else []
        starts = world.starts[name] = world.starts.get(name, 0) + 1
        with where or self.near:
            user = world.start(name, *argv, self.device.key, "web")
        if listen:
            line = user.wait_line(r"^listening web ([0-9.]+):(\d+)", NOTICED_S, count=starts)
            user.at = line.group(1), int(line.group(2))
        return user

    def page(self, at, where=None, seconds=20):
        with where or self.near:
            got = self.world.curl(at, "index.html", seconds=seconds)
        check(got.stdout.encode() == PAGE, f"no page: curl's status {got.returncode}: "
              f"{got.stderr.strip()}")


def matches(text, pattern):
    return len(re.findall(pattern, text, re.MULTILINE))


def count(process, pattern):
    return matches(process.text(), pattern)


def waited(what, process, pattern, since):
    """Waits for one line more than there were; says how long it took."""
    began = time.monotonic()
    process.wait_line(pattern, NOTICED_S, count=since + 1)
    print(f"   {what} after {time.monotonic() - began:.1f} s")


def test_line_cut(world):
    """The running download goes on; a user who comes now is introduced by the gateway; a device
    that is restarted now is found there; when the line is back all are at the outer broker."""
    big = b"".join(bytes([number % 251]) * 1000 for number in range(BIG // 1000))
    home = Home(world, files={"big.bin": big})
    home.members("device", "first", "second")
    home.start_gateway()
    home.start_device("first", "second")
    first = home.start_user("first")
    second = home.start_user("second")
    check("gateway-online" not in home.device.text() + first.text(), "the broker is there")
    second.stop()
    copy = world.folder / "copy"
    with home.near:
        curl = world.start("curl", world.tools.curl, "-sS", "--fail", "--limit-rate", "2M",
                           "-o", copy, f"http://{first.at[0]}:{first.at[1]}/big.bin")
    wait_until(lambda: copy.exists() and copy.stat().st_size > BIG // 20, 30, "it began")

    home.cut()
    began = time.monotonic()
    second = home.start_user("second", enrol="")
    home.page(second.at)
    print(f"   a new user's page {time.monotonic() - began:.1f} s after the line was cut")
    check(count(second, r"^gateway-online") == 1, "it was not by the gateway")
    check(curl.is_running(), f"the download was over too soon: {curl.text()}")
    grown = copy.stat().st_size + BIG // 10
    wait_until(lambda: copy.stat().st_size > grown or not curl.is_running(), 30, "it goes on")
    check(curl.wait_exit(60) == 0, curl.text())
    check(sha256_of(copy) == sha256_of(home.web.root / "big.bin"), "the download differs")

    home.device.stop()
    began = time.monotonic()
    home.start_device("first", "second", enrol="", wait=r"^gateway-online")
    print(f"   a restarted device is at the gateway after {time.monotonic() - began:.1f} s")
    wait_until(lambda: page_comes(home, second), 60, "it is reached again")
    said = re.split(r"^key ", home.device.text(), flags=re.MULTILINE)[-1].splitlines()
    check("online" not in said, "it cannot be at the broker")

    users = {"device": home.device, "first": first, "second": second}
    lines = {name: count(process, r"^online") for name, process in users.items()}
    home.cut(False)
    for name, process in users.items():
        waited(f"{name} is at the broker again", process, r"^online", lines[name])
    home.page(second.at)


def page_comes(home, user):
    with home.near:
        got = home.world.curl(user.at, "index.html", seconds=4)
    return got.stdout.encode() == PAGE


def test_name_of_the_broker_while_cut(world):
    """A broker that is known by a name, which does not resolve while the line is cut: the device
    starts all the same, is found at the gateway, and comes back to where the broker was."""
    home = Home(world)
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
        raise Skipped("no mount namespace can be made here")
    home.members("device", "first")
    home.start_gateway()
    hosts, resolver = world.folder / "hosts", world.folder / "resolv.conf"
    resolver.write_text("nameserver 198.18.255.53\noptions timeout:2 attempts:1\n")
    hosts.write_text(f"127.0.0.1 localhost\n{home.outer_host.address} outer.test\n")
    script = (f"mount --bind {hosts} /etc/hosts && mount --bind {resolver} /etc/resolv.conf && "
              "exec \"$@\"")
    uri = re.sub(r"@[^:]+:", "@outer.test:", home.broker.uri)

    def start(*options):
        with home.lan.host:
            return world.start(
                "device", *MOUNTS, "sh", "-c", script, "sh", world.tools.device,
                "--state", world.folder / "device", "--broker", uri,
                "--gateway", home.uri, "--allow", home.key("first"), *options,
                f"web=127.0.0.1:{home.web.port}")

    home.device = start("--enrol", home.broker.code())
    key = home.device.wait_line(r"^key ([a-z2-7]{52})").group(1)
    home.device.wait_line(r"^online", 40)
    home.device.stop()
    home.lan.cut()  # and nobody is told: the resolver waits for an answer
    hosts.write_text("127.0.0.1 localhost\n")
    began = time.monotonic()
    home.device = start()
    home.device.key = key
    home.device.wait_line(r"^gateway-online", 40)
    print(f"   at the gateway {time.monotonic() - began:.1f} s after it was started")
    user = home.start_user("first")
    home.page(user.at)
    home.lan.cut(False)
    waited("the device is at the broker", home.device, r"^online", 1)


class Owned(Home):
    """With an owner outside, who shares the device with somebody inside."""

    def __init__(self, world):
        super().__init__(world, http=True)
        self.people = cli_people()
        self.ann = self.person("ann")
        with self.outside:
            secret = self.ann.do("secret", "new").strip()
        self.members("device")
        self.start_gateway()
        self.start_device(options=["--owner", secret])
        with self.outside:
            self.ann.do("claim", secret, self.device.key)
            wait_until(lambda: any(seen["owner"] == self.ann.key()
                                   for seen in self.ann.json("devices")), 10, "it is claimed")

    def person(self, name, where=None):
        """With an account at the outer broker."""
        made = subprocess.run(
            [self.world.tools.server, "account", "--state", self.broker.state, "add", name],
            input=PASSWORD + "\n", text=True, capture_output=True, check=False)
        check(made.returncode == 0, f"no account: {made.stdout}{made.stderr}")
        person = self.people.Person(self.world, name)
        with where or self.outside:
            person.do("login", "--user", name, "--http",
                      self.http, self.broker.uri,
                      typed=PASSWORD + "\n")
        return person


def events(process, kind):
    return [event for event in process.events() if event["event"] == kind]


def test_grants_and_revocations_while_cut(world):
    """Who has a grant is let in by the gateway's word as by the broker's, who has none is not; what
    the owner takes back outside reaches the device when the line is back, and no sooner."""
    home = Owned(world)
    bob, eve = home.person("bob", home.near), home.person("eve", home.near)
    home.admit(bob.key(), eve.key())
    with home.outside:
        home.ann.do("share", home.device.key, "--to", bob.key(), "--services", "web")
    for person in (bob, eve):
        person.configure(f'lan_gateway = "{home.uri}"\n[names]\ngarage = "{home.device.key}"\n')
    with home.near:
        # So that it has the grant from now on.
        bob.connect("garage/web").stop()
    home.cut()
    began = time.monotonic()
    with home.near:
        inside = bob.start("connect", "garage/web")
        stranger = eve.start("connect", "garage/web")
        at = home.people.listening(inside, "web") if inside.wait_line(
            '"event":"listening"', NOTICED_S) else None
    home.page(at)
    print(f"   by the grant, {time.monotonic() - began:.1f} s after the line was cut")
    stranger.wait_line('"event":"gateway-online"', NOTICED_S)
    stranger.wait_line('"event":"session-down"', NOTICED_S)
    check(not events(stranger, "session-up") and not events(stranger, "listening"),
          "somebody without a grant was let in")
    with home.near:
        shown = bob.do("status")
    check("online by the gateway" in shown, shown)

    downs = len(events(inside, "session-down"))  # of before the device was at the gateway
    with home.outside:
        home.ann.do("revoke", "--key", bob.key(), "--device", home.device.key)
    home.page(at)
    check(len(events(inside, "session-down")) == downs, "nobody could have told the device")
    home.cut(False)
    began = time.monotonic()
    home.device.wait_line(r"^revoked", NOTICED_S)
    told = time.monotonic()
    inside.wait_line('"event":"session-down"', 10, count=downs + 1)
    print(f"   the device knows {told - began:.1f} s after the line is back, the session ends "
          f"{time.monotonic() - told:.1f} s later")
    with home.near:
        gone = world.curl(at, "index.html", seconds=5)
    check(gone.returncode != 0, "it was taken back")


def test_false_gateways(world):
    """Whoever answers with the right words and another key is talked to by nobody, however much it
    says; and members come to the true one through all of that."""
    home = Home(world)
    home.members("device", "first")
    home.start_gateway()
    tag = re.match(r"rit://(.{8})", home.uri).group(1)
    liar = home.lan.add_host()
    others = [f"192.168.7.{number}" for number in range(150, 200)]
    liar.ip(*(f"addr add {address}/24 dev eth0" for address in others))
    with liar:
        false = world.start("false", world.tools.server, "--state", world.folder / "false",
                            "--tls-port", "0", "--listen", "0.0.0.0:7480")
        false.wait_line(r"^ready")
    home.start_device("first")
    home.gateway.stop()
    home.cut()
    with liar:
        mouth = world.start("liar", sys.executable, "-B", HERE / "liar.py", tag, "7480", "40",
                            liar.address, *others)
    mouth.wait_line(r"^ready")
    home.device.wait_line(r"^offline", NOTICED_S)
    mouth.wait_line(r"^asked", NOTICED_S, count=2)
    check("gateway-online" not in home.device.text(), "a false gateway")
    home.start_gateway()
    began = time.monotonic()
    home.device.wait_line(r"^gateway-online", 150)
    print(f"   at the true one {time.monotonic() - began:.1f} s after it came back")
    user = home.start_user("first")
    home.page(user.at)
    check(not re.search(r" (online|enrolled) key=", false.text()), "somebody went to the false one")


def test_relayed_between_two_lans(world):
    """Two networks whose hosts reach nothing but the gateway: its relay carries the session."""
    home = Home(world)
    home.people = cli_people()
    bob = home.people.Person(world, "bob")
    home.members("device")
    apart = Namespace("apart")
    home.gate.link("eth1", apart, "eth0")
    home.gate.ip("addr add 192.168.8.1/24 dev eth1")
    apart.ip("addr add 192.168.8.2/24 dev eth0")
    home.gate.sysctl("net.ipv4.ip_forward", 0)
    home.admit(bob.key())
    home.start_gateway()
    with home.lan.host:
        # Of bob's key the device hears here alone.
        home.device = world.device(home.broker, {"web": home.web.port}, allow=[bob.key()],
                                   options=["--gateway", home.uri], online=False)
    home.device.key = home.device.wait_line(r"^key ([a-z2-7]{52})").group(1)
    home.device.wait_line(r"^online")
    home.cut()
    with apart:
        process = bob.start("connect", "--broker", home.broker.uri, "--gateway", home.uri,
                            f"{home.device.key}/web")
    process.wait_line('"event":"listening"', NOTICED_S + 30)
    home.page(home.people.listening(process, "web"), apart)
    paths = wait_until(lambda: events(process, "path"), 10, "its path is told")
    check({path["path"] for path in paths} == {"relay"}, f"{paths}")


def test_ipv6_alone(world):
    """A network without a router and without IPv4: by link-local addresses a gateway is found."""
    gate, member = Namespace("gate"), Namespace("member")
    gate.link("eth0", member, "eth0")
    for host in (gate, member):
        host.sysctl("net.ipv6.conf.eth0.accept_dad", 0)
        host.sysctl("net.ipv6.conf.eth0.disable_ipv6", 0)
    state, key = world.folder / "gateway", world.reach_key("device")
    done = world.run(world.tools.server, "members", "--state", state, "add", key)
    check(done.returncode == 0, f"members add: {done.stdout}{done.stderr}")
    with gate:
        gateway = world.start("gateway", world.tools.server, "--lan", "--state", state,
                              "--tls-port", "0")
    uri = gateway.wait_line(r"^gateway (\S+)").group(1)
    with member:
        device = world.start("device", world.tools.device, "--state", world.folder / "device",
                             "--broker", f"rit://{key}@[2001:db8::1]:7480", "--gateway", uri,
                             "web=127.0.0.1:80")
    device.wait_line(r"^gateway-online", NOTICED_S)
    gateway.wait_line(r" online key=\S+ path=\[fe80:")


def test_announced_as_others_do(world):
    """The records of a gateway are what a stock resolver of multicast DNS finds, and they are gone
    with it; with --no-announce there are none."""
    home = Home(world)
    browse = Browser(home)
    home.start_gateway()
    tag = re.match(r"rit://(.{8})", home.uri).group(1)
    found = wait_until(lambda: browse.found(), 20, "it is found")
    check(found == [(f"rit-{tag}", f"rit-{tag}.local", home.gate.address, "7480",
                     f'"k={tag}" "v=1"')], f"{found}")
    home.gateway.stop()
    wait_until(lambda: not browse.found(), 20, "it said goodbye")
    home.start_gateway("--no-announce")
    with home.near:
        silent = world.run("python3", "-c", ASK, seconds=20)
    check(silent.stdout.strip() == "nothing", f"{silent.stdout}{silent.stderr}")


ASK = """
import socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.settimeout(2)
name = b"\\x04_rit\\x04_udp\\x05local\\0\\0\\x0c\\0\\x01"
query = bytes.fromhex("123400000001000000000000") + name
one.sendto(query, ("224.0.0.251", 5353))
try:
    print(one.recv(2000))
except TimeoutError:
    print("nothing")
"""


class Browser:
    """Avahi at a host of the LAN, with a message bus of its own."""

    def __init__(self, home):
        self.home, self.world = home, home.world
        for program in ("avahi-daemon", "avahi-browse", "dbus-daemon"):
            if subprocess.run(["which", program], capture_output=True, check=False).returncode:
                raise Skipped(f"there is no {program} here")
        folder = self.world.folder
        self.bus = f"unix:path={folder / 'bus'}"
        (folder / "bus.conf").write_text(
            "<busconfig><type>system</type>"
            f"<listen>{self.bus}</listen><auth>EXTERNAL</auth>"
            '<policy context="default"><allow send_destination="*" eavesdrop="true"/>'
            '<allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>\n')
        (folder / "avahi.conf").write_text(
            "[server]\nhost-name=looker\nuse-ipv6=no\nallow-interfaces=eth0\n"
            "[publish]\ndisable-publishing=yes\n")
        self.env = ["env", f"DBUS_SYSTEM_BUS_ADDRESS={self.bus}"]
        self.world.start("bus", "dbus-daemon", "--nofork", "--nopidfile",
                         f"--config-file={folder / 'bus.conf'}")
        wait_until((folder / "bus").exists, 10, "the message bus is there")
        with home.near:
            daemon = self.world.start(
                "avahi", *MOUNTS, "sh", "-c", "mkdir -p /run/avahi-daemon; "
                "mount -t tmpfs none /run/avahi-daemon; exec \"$@\"", "sh", *self.env,
                "avahi-daemon", "--no-drop-root", "--no-chroot", "--no-rlimits",
                "-f", folder / "avahi.conf")
        daemon.wait_line(r"startup complete", 20)

    def found(self):
        """(instance, host, address, port, TXT) of each gateway that it knows."""
        with self.home.near:
            done = self.world.run(*self.env, "avahi-browse", "-rpt", "_rit._udp", seconds=20)
        rows = [line.split(";") for line in done.stdout.splitlines() if line.startswith("=")]
        return [(row[3], row[6], row[7], row[8], " ".join(sorted(row[9].split()))) for row in rows]
