"""Port mapping against a real router daemon, miniupnpd: asked for by PCP, used by a user whose own
NAT leaves no other way, given back at the end, asked for again by a router that forgot it."""

import shutil

import lab
from harness import Skipped, check, wait_until
from people import Cast

# What Debian's package makes, and a NAT that gives each peer another port.
RULES = """flush ruleset
table inet filter {
    counter through { }
    chain miniupnpd { }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain input { type filter hook input priority 0
        iifname wan drop
    }
    chain forward { type filter hook forward priority 0; policy drop
        iifname wan ct status dnat counter name through
        jump miniupnpd
        iifname lan accept
        ct state established,related accept
    }
    chain prerouting { type nat hook prerouting priority -100
        jump prerouting_miniupnpd
    }
    chain postrouting { type nat hook postrouting priority 100
        jump postrouting_miniupnpd
        oifname wan masquerade fully-random
    }
}
"""
CONF = """ext_ifname=wan
listening_ip=lan
enable_natpmp=yes
enable_upnp=no
min_lifetime=120
max_lifetime=86400
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
uuid=00000000-0000-0000-0000-000000000000
allow 1024-65535 192.168.2.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


class Home:
    """A device whose router knows PCP; the user's router gives each peer another port."""

    def __init__(self, world):
        # tests/setup.sh unpacks it beside the built programs.
        unpacked = world.tools.bin.parent / "setup/miniupnpd/usr/sbin/miniupnpd"
        self.program = unpacked if unpacked.exists() else shutil.which("miniupnpd")
        if not self.program:
            raise Skipped("there is no miniupnpd")
        # It maps nothing at an address that is no public one, as the lab's are.
        lab.CABLES = "44.18.0.0"
        self.world, self.cast = world, Cast(world, ("random",), ("masquerade",))
        self.router = self.cast.home.outer.ns
        self.conf = world.folder / "miniupnpd.conf"
        self.conf.write_text(CONF)
        self.start_router()
        with self.cast.home.host:
            self.device = world.device(
                self.cast.broker, ["--map-port", f"web=127.0.0.1:{self.cast.web.port}"],
                allow=[world.reach_key("later")])
        self.cast.device = self.device

    def start_router(self):
        """As after a power failure: nothing is remembered."""
        self.router.nft(RULES)
        with self.router:
            self.daemon = self.world.start("miniupnpd", self.program, "-d", "-f", self.conf,
                                           "-P", self.world.folder / "miniupnpd.pid")
        self.daemon.wait_line("Listening for NAT-PMP")

    def mapped(self, count=1):
        """Where the device says that it is mapped to."""
        address = self.cast.home.address.replace(".", r"\.")
        line = self.device.wait_line(rf"^port-mapped {address}:(\d+)", count=count)
        self.wait_rule(int(line.group(1)))
        return int(line.group(1))

    def wait_rule(self, port, is_there=True):
        """The router's own word for it."""
        with self.router:
            wait_until(
                lambda: (f"dport {port} " in lab.command("nft", "list", "ruleset")) == is_there,
                10, f"a rule for port {port}: {is_there}")

    def page(self):
        """A new user's page comes, and through the mapping."""
        print(f"   a page by the mapped port after {self.cast.later_page(15):.2f} s")
        with self.router:
            counted = lab.command("nft", "list", "counter", "inet", "filter", "through")
        check(" packets 0 " not in counted, f"it came another way: {counted}")


def test_mapped(world):
    """Reached through the mapping, which is gone when the device has ended."""
    home = Home(world)
    port = home.mapped()
    # A mapping that comes while the broker is still greeting is told with the next change only.
    home.cast.home.host.ip("addr add 192.168.2.77/24 dev eth0")
    home.device.wait_line("^network-changed")
    home.page()
    home.device.stop()
    home.wait_rule(port, False)


def test_mapped_again(world):
    """The router restarts and has forgotten it; the device hears of the link."""
    home = Home(world)
    home.mapped()
    home.daemon.kill()
    home.start_router()
    before = home.device.text().count("network-changed")
    host = home.cast.home.host
    host.ip("link set eth0 down", "link set eth0 up",
            f"route replace default via {home.cast.home.lan[1]}")
    home.device.wait_line("^network-changed", count=before + 1)
    with home.router:
        wait_until(lambda: " dnat " in lab.command("nft", "list", "ruleset"), 10, "a new rule")
    home.page()
