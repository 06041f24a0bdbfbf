"""The lab: an internet, a broker and relays on it, and sites behind NATs of every kind.

    broker ──┐                       ┌── router ── [router ──] host       a site
    relay1 ──┼── internet (routes) ──┤
    relay2 ──┘                       └── host                             a public site

Every cable to the internet has its own /28, whose first address is the internet's end. A NAT is
named by its mapping and its filtering (RFC 4787): `ei` endpoint-independent, `ad` address-
dependent, `apd` address-and-port-dependent. `labcheck.py` shows by packets that each is what its
name says.
"""

import ipaddress
import random
import re

from netns import Namespace, command

# name: (mapping, filtering); None where there is none of it.
KINDS = {
    "routed": (None, None),              # a router without NAT and without a firewall
    "firewall": (None, "apd"),           # no NAT, but nothing comes in unasked
    "masquerade": ("masquerade", "apd"),  # Linux's own: keeps the port where it can
    "random": ("random", "apd"),         # masquerade fully-random: a new port for each peer
    "ei-ei": ("ei", "ei"),
    "ei-ad": ("ei", "ad"),
    "ei-apd": ("ei", "apd"),
    "ad-apd": ("ad", "apd"),
    "apd-ei": ("apd", "ei"),
}
CABLES, ROUTED = "198.18.0.0", "198.19.0.0"  # RFC 2544: the cables' and the routed sites' networks
PUBLIC = "public"  # no router at all

# What has a mapping of its own: the fields of a packet that goes out, and their types.
MAPPING_KEYS = {
    "ei": ("ip saddr . udp sport", "ipv4_addr . inet_service"),
    "ad": ("ip saddr . udp sport . ip daddr", "ipv4_addr . inet_service . ipv4_addr"),
    "apd": ("ip saddr . udp sport . ip daddr . udp dport",
            "ipv4_addr . inet_service . ipv4_addr . inet_service"),
}
MAPPING_PORTS = 4096


class Router:
    """A namespace with the interfaces `wan` and `lan`, and what its kind says between them."""

    def __init__(self, name, kind):
        self.kind = kind
        self.ns = Namespace(name, forwards=True)
        self.udp_timeout_s = 30

    def configure(self, more=""):
        """(Re)loads its rules and no others but `more`; each time other ports are mapped to."""
        mapping, filtering = KINDS[self.kind]
        self.ns.nft("flush ruleset\n" + rules(mapping, filtering, self.udp_timeout_s) + more)
        if filtering is not None or mapping is not None:
            self.set_udp_timeout(self.udp_timeout_s)

    def set_udp_timeout(self, seconds, stream_seconds=None):
        """How long a silent UDP flow is remembered; from the router's set-up on, 30 s."""
        self.udp_timeout_s = seconds
        for name, value in (("", seconds), ("_stream", stream_seconds or seconds)):
            self.ns.sysctl(f"net.netfilter.nf_conntrack_udp_timeout{name}", value)

    def reboot(self, *changes):
        """Nothing is remembered, and mappings get other ports where the kind chooses ports. All
        is dropped meanwhile: one packet that passed would make it remember the old mapping."""
        self.ns.nft(DEAD)
        self.ns.ip(*changes)
        self.configure(DEAD)
        self.ns.flush_conntrack()
        self.ns.nft("delete table ip dead\n")


DEAD = """table ip dead {
    chain from { type filter hook prerouting priority -400; policy drop
    }
    chain to { type filter hook postrouting priority -400; policy drop
    }
}
"""


def rules(mapping, filtering, timeout_s):
    """The nftables rules for a mapping and a filtering."""
    if mapping is None and filtering is None:
        return ""
    allowed = [] if filtering is None else [
        'iifname "wan" ct state established,related accept',
        *allowing(filtering),
        'iifname "wan" drop',
    ]
    # The host inside is who began the flow, or, where a stranger did, who answers.
    learn = ['oifname "wan" meta l4proto udp ct direction '
             f"{way} update @inside {{ udp sport : ct {way} ip saddr . ct {way} proto-src }}"
             for way in ("original", "reply")]
    dynamic = mapping in MAPPING_KEYS
    chains = {
        # A router that took a stranger's packet for its own would remember the flow and, asked
        # by the host for the same one later, map it to another port.
        "input": ("filter hook input priority 0", ['iifname "wan" drop']),
        "forward": ("filter hook forward priority 0", allowed),
        "number": ("filter hook postrouting priority 90", numbering(mapping)),
        "out": ("nat hook postrouting priority srcnat", translation(mapping)),
        "learn": ("filter hook postrouting priority 300", learn if dynamic else []),
        "in": ("nat hook prerouting priority dstnat",
               ['iifname "wan" meta l4proto udp dnat ip to udp dport map @inside']
               if dynamic and filtering != "apd" else []),
    }
    limits = f"flags dynamic,timeout; size 65536; timeout {timeout_s}s"
    kept = {"map inside": "inet_service : ipv4_addr . inet_service",
            "set asked": "ipv4_addr . inet_service . ipv4_addr"}
    if dynamic:
        kept["map numbers"] = MAPPING_KEYS[mapping][1] + " : mark"
    text = "table ip router {\n"
    for name, kind in kept.items():
        text += f"{name} {{ type {kind}; {limits}; }}\n"
    for name, (hook, body) in chains.items():
        if body:
            text += f"chain {name} {{ type {hook}\n" + "\n".join(body) + "\n}\n"
    return text + "}\n"


def allowing(filtering):
    """Who may come in besides the flows' own answers; here all addresses are the inner ones."""
    if filtering == "ei":
        return ['iifname "wan" ct status dnat accept']
    if filtering == "ad":
        return ['iifname "lan" meta l4proto udp update @asked { ip saddr . udp sport . ip daddr }',
                'iifname "wan" ct status dnat ip daddr . udp dport . ip saddr @asked accept']
    return []


def numbering(mapping):
    """Each mapping gets a number when it is first used, and keeps it while it is."""
    if mapping not in MAPPING_KEYS:
        return []
    key = MAPPING_KEYS[mapping][0]
    return [f'oifname "wan" meta l4proto udp {what}' for what in (
        f"meta mark set {key} map @numbers",
        f"meta mark 0 meta mark set numgen inc mod {MAPPING_PORTS} offset 1",
        f"update @numbers {{ {key} : meta mark }}")]


def translation(mapping):
    if mapping is None:
        return []
    if mapping in ("masquerade", "random"):
        return ['oifname "wan" masquerade' + (" fully-random" if mapping == "random" else "")]
    ports = random.SystemRandom().sample(range(10000, 32000), MAPPING_PORTS)
    port_of = ", ".join(f"{number}: {port}" for number, port in enumerate(ports, 1))
    return [f'oifname "wan" meta l4proto udp masquerade to :meta mark map {{ {port_of} }}',
            'oifname "wan" masquerade']


def slash_28(first, number):
    return ipaddress.ip_network((int(ipaddress.ip_address(first)) + 16 * number, 28))


class Site:
    """Hosts behind routers, outermost first; without a router, a host on the internet itself."""

    def __init__(self, lab, name, kinds=(), lan="192.168.1.0/24"):
        self.lab, self.name = lab, name
        self.net = lab.plug(name)
        self.address = str(self.net[2])
        self.routers = [Router(f"{name}-router{i}", kind) for i, kind in enumerate(kinds)]
        self.hosts, self.ports = [], 0
        if not self.routers:
            host = self.make_host()
            host.address = self.address
            lab.attach(self, host, "eth0")
            return
        self.lan = ipaddress.ip_network(lan)
        translates = any(KINDS[kind][0] for kind in kinds)
        if not translates:  # the hosts' own addresses are seen outside
            self.lan = slash_28(ROUTED, lab.sites.index(name))
        self.wire_routers()
        if not translates:
            lab.internet.ip(f"route add {self.lan} via {self.net[2]} dev {name}")
        self.add_host()

    def wire_routers(self):
        above = None
        for router in self.routers:
            if above is None:
                self.lab.attach(self, router.ns, "wan")
            else:
                middle = ipaddress.ip_network("100.64.0.0/24")  # RFC 6598
                above.ns.link("lan", router.ns, "wan")
                above.ns.ip(f"addr add {middle[1]}/24 dev lan")
                router.ns.ip(f"addr add {middle[2]}/24 dev wan",
                             f"route add default via {middle[1]}")
            router.configure()
            above = router
        above.ns.ip("link add lan type bridge", "link set lan up",
                    f"addr add {self.lan[1]}/{self.lan.prefixlen} dev lan")

    def make_host(self):
        host = Namespace(f"{self.name}{len(self.hosts)}")
        self.hosts.append(host)
        return host

    def add_host(self):
        """One more host on the inner network."""
        host = self.make_host()
        host.address = self.plug_in(host, "eth0")
        host.ip(f"route add default via {self.lan[1]}")
        return host

    def plug_in(self, host, device):
        """Puts a host, or one of another site, on the inner network; its address there."""
        self.ports += 1
        host.link(device, self.inner.ns, f"port{self.ports}")
        address = str(self.lan[1 + self.ports])
        self.inner.ns.ip(f"link set port{self.ports} master lan")
        host.ip(f"addr add {address}/{self.lan.prefixlen} dev {device}")
        return address

    @property
    def host(self):
        return self.hosts[0]

    @property
    def outer(self):
        return self.routers[0]

    @property
    def inner(self):
        return self.routers[-1]

    def renumber_host(self):
        """The host's address is taken away and it gets another, as from another DHCP server."""
        old, new = self.host.address, str(self.lan[100])
        self.host.ip(f"addr del {old}/{self.lan.prefixlen} dev eth0",
                     f"addr add {new}/{self.lan.prefixlen} dev eth0",
                     f"route replace default via {self.lan[1]}")
        self.host.address = new

    def renumber(self):
        """The router gets another outer address, as after a provider's forced disconnection."""
        old, new = self.address, str(self.net[int(self.address.split(".")[3]) % 16 + 1])
        length = self.net.prefixlen
        self.outer.reboot(f"addr del {old}/{length} dev wan", f"addr add {new}/{length} dev wan",
                          f"route replace default via {self.net[1]}")
        self.address = new

    def cut(self, is_cut=True):
        """Nothing passes to or from the internet, and nobody at the site is told."""
        self.lab.gate("cut", self.name, is_cut)

    def block_udp(self, is_blocked=True):
        self.lab.gate("no_udp", self.name, is_blocked)

    def limit_rate(self, mbit):
        """A bottleneck each way, with a queue of 30 ms."""
        limit = f"tbf rate {mbit}mbit burst 128kb latency 30ms"
        ends = [(self.lab.internet, self.name),
                (self.outer.ns, "wan") if self.routers else (self.host, "eth0")]
        for namespace, device in ends:
            with namespace:
                command("tc", "qdisc", "replace", "dev", device, "root", *limit.split())

    def traffic(self):
        return self.lab.traffic(self.name)


GATE = """table inet gate {
    set cut { type ifname; }
    set no_udp { type ifname; }
    chain count { type filter hook forward priority -10
    }
    chain gate { type filter hook forward priority 0
        iifname @cut drop
        oifname @cut drop
        meta l4proto udp iifname @no_udp drop
        meta l4proto udp oifname @no_udp drop
    }
}
"""


class Lab:
    """The internet and what is on it."""

    def __init__(self):
        self.internet = Namespace("internet", forwards=True)
        self.internet.nft(GATE)
        self.sites = []

    def site(self, name, *kinds, **options):
        """A site with one host behind routers of these kinds, or with a public one."""
        return Site(self, name, () if kinds == (PUBLIC,) else kinds, **options)

    def server(self, name):
        """A host on the internet."""
        return self.site(name).host

    def traffic(self, name):
        """UDP on a site's or server's cable so far: {"up": (packets, bytes), "down": …}, headers
        from IP on counted."""
        with self.internet:
            listed = command("nft", "list", "counters", "table", "inet", "gate")
        return {way: tuple(int(number) for number in re.search(
            rf"counter {name}-{way} {{\s*packets (\d+) bytes (\d+)", listed).groups())
            for way in ("up", "down")}

    def lose_first(self, sender, receiver):
        """The first datagram from one site to another is lost on the internet."""
        self.internet.nft(f'add rule inet gate gate iifname "{sender}" oifname "{receiver}" '
                          "meta l4proto udp numgen inc mod 4294967295 0 drop\n")

    def plug(self, name):
        """A new cable's network, and what counts on it."""
        number = len(self.sites)
        self.sites.append(name)
        self.internet.nft("".join(
            f"add counter inet gate {name}-{way}\n"
            f'add rule inet gate count {which} "{name}" meta l4proto udp '
            f"counter name {name}-{way}\n"
            for way, which in (("up", "iifname"), ("down", "oifname"))))
        return slash_28(CABLES, number)

    def attach(self, site, namespace, device):
        self.internet.link(site.name, namespace, device)
        length = site.net.prefixlen
        self.internet.ip(f"addr add {site.net[1]}/{length} dev {site.name}")
        namespace.ip(f"addr add {site.address}/{length} dev {device}",
                     f"route add default via {site.net[1]}")

    def gate(self, which, site, is_closed):
        self.internet.nft(f'{"add" if is_closed else "delete"} element inet gate {which} '
                          f'{{ "{site}" }}\n')
