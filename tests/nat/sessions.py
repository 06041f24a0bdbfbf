"""Who reaches whom through which NATs: each pair of sites once, a page from the first try."""

import re
import time

from expect import EXPECT, SITES, expected, missing
from harness import check, sha256_of, wait_until
from people import PAGE, Cast, Stage

PATIENCE_S = 15
TRIAL_S = 5  # for what is not expected to work


class Row(Stage):
    """A user's site and one device at a site of each kind, all with one broker."""

    def __init__(self, world, user):
        super().__init__(world, relays=0 if EXPECT["relay"] else 1)
        self.name = user
        self.user = self.lab.site("user", *SITES[user])
        self.devices = {kind: self.device(kind) for kind in SITES}
        for process in self.devices.values():
            process.key = process.wait_line(r"^key ([a-z2-7]{52})").group(1)
            process.wait_line(r"^online")
        self.started = time.monotonic()
        self.reaches = {kind: self.reach(kind) for kind in SITES}

    def device(self, kind):
        site = self.lab.site(f"d-{kind}", *SITES[kind], lan="192.168.2.0/24")
        with site.host:
            web = self.world.web({"index.html": PAGE}, name=f"web-{kind}")
            return self.world.device(self.broker, {"web": web.port}, name=f"device-{kind}",
                                     allow=[self.world.reach_key(f"reach-{kind}")], online=False)

    def reach(self, kind):
        with self.user.host:
            return self.world.reach(self.broker, self.devices[kind].key, "web",
                                    name=f"reach-{kind}", listen=False)

    def pages(self):
        """Kind of the device's site → seconds until its page came, for those whose did."""
        took, wanted = {}, {kind for kind in SITES if not missing(self.name, kind)}
        start = time.monotonic()
        while len(took) < len(SITES):
            passed = time.monotonic() - start
            if passed > PATIENCE_S or (passed > TRIAL_S and wanted <= took.keys()):
                break
            for kind in SITES.keys() - took.keys():
                line = re.search(r"^listening web (\S+)$", self.reaches[kind].text(), re.MULTILINE)
                if line and self.page(line.group(1)):
                    took[kind] = time.monotonic() - self.started
            time.sleep(0.02)
        return took

    def page(self, at):
        with self.user.host:
            got = self.world.run(self.world.tools.curl, "-sS", "--fail", "--max-time", 2,
                                 f"http://{at}/index.html")
        return got.stdout.encode() == PAGE


def outcomes(user, took):
    for device in SITES:
        name, why_not = f"{user}_to_{device}", missing(user, device)
        if device in took:
            hint = f"; expect.py says '{why_not}'" if why_not else ""
            yield name, "passed", f"a page after {took[device]:.1f} s{hint}"
        else:
            yield name, "skipped" if why_not else "failed", why_not or "no page"


def scenario(user):
    def run(world):
        return list(outcomes(user, Row(world, user).pages()))

    return run


for _user in SITES:
    globals()[f"test_from_{_user}"] = scenario(_user)


def test_neighbours(world):
    """User and device behind one router, which does not send its own address back inside."""
    expected("neighbours")
    cast = Cast(world, device=("ei-apd",))
    neighbour = cast.home.add_host()
    cast.start_device()
    with neighbour:
        reach = world.reach(cast.broker, cast.device.key, "web", listen=False)
        line = reach.wait_line(r"^listening web ([0-9.]+):(\d+)")
        got = world.curl(line.groups(), "index.html", seconds=15)
    check(got.stdout.encode() == PAGE, f"no page: {got.stderr}")


def crowded(site):
    """A host with so many addresses that the one on the inner network is not told to others."""
    host = site.make_host()
    host.ip("link add many type veth peer name end", "link set many up", "link set end up",
            *(f"addr add 10.77.{len(site.hosts)}.{n}/32 dev many" for n in range(1, 9)))
    host.address = site.plug_in(host, "eth0")
    host.ip(f"route add default via {site.lan[1]}")
    return host


def test_neighbours_untold(world):
    """The same, and neither is told an address that leads to the other: by the relay at first, and
    then by multicast."""
    neighbours_untold(world)


def neighbours_untold(world, prepare=lambda device: None):
    """`prepare` is called with the device's host before anything is started there."""
    for ability in ("relay", "neighbours"):
        expected(ability)
    cast = Cast(world, device=("ei-apd",), big=1_000_000, relays=1)
    device, cast.user.hosts[0] = crowded(cast.home), crowded(cast.home)
    prepare(device)
    with device:
        files = {"big.bin": (cast.web.root / "big.bin").read_bytes()}
        cast.web, cast.echo = world.web(files, name="there"), world.peer("echo", name="echo-there")
    cast.home.hosts[0] = device
    cast.start_device()
    cast.reach = cast.start_user()
    start = time.monotonic()
    wait_until(lambda: goes_direct(cast), 10, "a megabyte comes without the relay")
    print(f"   direct {time.monotonic() - start:.1f} s after the session came up")


def test_same_numbers(world):
    """Both ends have the same private address, each in its own network."""
    cast = Cast(world, ("masquerade",), ("ei-ei",), lan="192.168.1.0/24")
    check(cast.user.host.address == cast.home.host.address, "the lab gave them two addresses")
    cast.start_device()
    cast.reach = cast.start_user()
    cast.page()


def test_no_udp(world):
    """The user's network lets no UDP through at all."""
    without_udp(world, "user")


def test_no_udp_at_device(world):
    """The device's does."""
    without_udp(world, "home")


def without_udp(world, blocked):
    """A page and a download come all the same, by TCP with TLS."""
    expected("tcp")
    cast = Cast(world, ("masquerade",), ("masquerade",), big=20_000_000)
    getattr(cast, blocked).block_udp()
    start = time.monotonic()
    cast.start_device()
    cast.reach = cast.start_user()
    cast.page()
    paged = time.monotonic()
    copy = world.folder / "copy"
    with cast.user.host:
        got = world.curl(cast.reach.at["web"], "big.bin", "-o", copy, seconds=60)
    check(got.returncode == 0, f"curl: {got.stderr}")
    check(sha256_of(copy) == sha256_of(cast.web.root / "big.bin"), "it differs")
    up, down = (cast.lab.traffic(blocked)[way][0] for way in ("up", "down"))
    print(f"   the page {paged - start:.1f} s after the programs' start, 20 MB in "
          f"{time.monotonic() - paged:.1f} s; {up} and {down} datagrams by UDP")


def test_search(world):
    """An endpoint-dependent mapping before a strict filter: after a while without the relay."""
    for ability in ("relay", "search"):
        expected(ability)
    cast = Cast(world, ("random",), ("ei-apd",), big=1_000_000, relays=1).start()
    start = time.monotonic()
    wait_until(lambda: goes_direct(cast), 20, "a megabyte comes without the relay")
    print(f"   direct {time.monotonic() - start:.1f} s after the session came up")


def goes_direct(cast):
    before = sum(cast.relayed().values())
    with cast.user.host:
        got = cast.world.curl(cast.reach.at["web"], "big.bin", "-o", cast.world.folder / "copy")
    check(got.returncode == 0, f"curl: {got.stderr}")
    return sum(cast.relayed().values()) - before < 100_000


def test_first_flight_lost(world):
    """The user speaks first, and the device's firewall drops it; what the device then sends shows
    that the way is open now, so the user need not wait for a timer."""
    expected("quick")
    cast = Cast(world, ("masquerade",), ("firewall",))
    cast.start_device()
    cast.lab.lose_first("user", "home")
    start = time.monotonic()
    cast.reach = cast.start_user()
    cast.page()
    took = time.monotonic() - start
    print(f"   the page {took:.2f} s after the program's start")
    check(took < 0.6, "a second was lost")


def test_shares(world):
    """Two services fill one link: each has as much of it as the device says."""
    cast = Cast(world, big=30_000_000)
    at = f"127.0.0.1:{cast.web.port}"
    with cast.home.host:
        device = world.device(cast.broker, [f"many={at}", f"few={at}", "--priority", "many=3,64"],
                              allow=[world.reach_key("reach")])
    with cast.user.host:
        reach = world.reach(cast.broker, device.key, "many", "few")
    cast.home.limit_rate(80)
    curls, copies = {}, {}
    with cast.user.host:
        for service, (host, port) in reach.at.items():
            copies[service] = world.folder / service
            curls[service] = world.start(
                service, world.tools.curl, "-sS", "--fail", "-o", copies[service],
                f"http://{host}:{port}/big.bin")
    check(curls["many"].wait_exit(60) == 0, "the download failed")
    many, few = (copies[service].stat().st_size for service in ("many", "few"))
    print(f"   {many} bytes and {few}, where 4 to 1 were said")
    check(many / 8 < few < many / 2, "that is not what was said")
    curls["few"].stop()
