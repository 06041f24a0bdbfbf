"""Which own addresses the POSIX port tells its node, as the kernel gives and takes them: the port
itself, over a fake librit, in a namespace."""

import time

from harness import HERE, check, wait_until
from netns import Namespace, command

ROOT = HERE.parent.parent


class Host:
    """A namespace with two interfaces and the port in it."""

    def __init__(self, world):
        self.world, self.ns, other = world, Namespace("host"), Namespace("other")
        for device in ("eth0", "eth1"):
            self.ns.link(device, other, device)
        self.other = other
        sources = [*sorted((ROOT / "ports/posix").glob("*.c")),
                   *sorted((ROOT / "tests/posix").glob("fake_*.c"))]
        program = world.folder / "show_paths"
        command("cc", "-std=c99", "-I", ROOT / "include", "-I", ROOT / "ports/posix",
                "-Wl,--wrap=sendmsg,--wrap=sendmmsg,--wrap=recvmmsg,--wrap=getaddrinfo",
                "-o", program, ROOT / "tests/posix/show_paths.c", *sources)
        for device in ("eth0", "eth1"):
            self.ns.sysctl(f"net.ipv6.conf.{device}.disable_ipv6", 0)
            self.ns.sysctl(f"net.ipv6.conf.{device}.use_tempaddr", 2)
            self.ns.sysctl(f"net.ipv6.conf.{device}.dad_transmits", 0)
        with self.ns:
            self.process = world.start("show", program, world.folder / "state")
        self.process.wait_line("^paths")

    def told(self):
        """The addresses that were told last."""
        lines = [line for line in self.process.text().splitlines() if line.startswith("paths")]
        return [path.split("%")[0] for path in lines[-1].split()[1:]]

    def changes(self):
        return self.process.text().splitlines().count("changed")

    def becomes(self, *paths, command=None):
        """After this command these are told, in any order, as one change."""
        before = self.changes()
        if command:
            self.ns.ip(*command)
        wait_until(lambda: sorted(self.told()) == sorted(paths), 5,
                   f"{paths} are told: {self.told()}")
        wait_until(lambda: self.changes() > before, 5, "the change is told")

    def stays(self, *commands):
        """None of this is a change."""
        before = self.process.text()
        self.ns.ip(*commands)
        time.sleep(0.7)  # longer than a burst is waited for
        check(self.process.text() == before, f"told: {self.process.text()[len(before):]}")


def test_paths_v4(world):
    host = Host(world)
    host.becomes("10.1.0.1", command=["addr add 10.1.0.1/24 dev eth0"])
    host.stays("addr change 10.1.0.1/24 dev eth0 valid_lft 5000 preferred_lft 5000",
               "addr add 169.254.7.7/16 dev eth0", "route add 10.9.0.0/16 via 10.1.0.2")
    host.becomes("10.1.0.1", "10.2.0.1", command=["addr add 10.2.0.1/24 dev eth1"])
    # A default route alone: the addresses stay, and the way is another one.
    host.becomes("10.1.0.1", "10.2.0.1", command=["route add default via 10.1.0.2"])
    # As one: what DHCP does on another network.
    before = host.changes()
    host.becomes("10.3.0.1", "10.2.0.1", command=[
        "addr del 10.1.0.1/24 dev eth0", "addr add 10.3.0.1/24 dev eth0",
        "route replace default via 10.3.0.2"])
    time.sleep(0.7)
    check(host.changes() == before + 1, f"{host.changes() - before} changes for one")
    # A cable pulled at the other end, and back.
    before = host.changes()
    host.other.ip("link set eth0 down")
    wait_until(lambda: host.told() == ["10.2.0.1"], 5, f"eth0's is not told: {host.told()}")
    host.other.ip("link set eth0 up")
    wait_until(lambda: sorted(host.told()) == ["10.2.0.1", "10.3.0.1"], 5, "it is back")
    check(host.changes() >= before + 2, "both were changes")


def test_paths_v6(world):
    host = Host(world)
    one, other = "2001:db8:1::1", "2001:db8:2::1"
    host.becomes(one, command=[f"addr add {one}/64 dev eth0"])
    host.becomes(one, "fd00::1", command=["addr add fd00::1/64 dev eth0"])
    host.stays("addr add fe80::77/64 dev eth0", "addr add fec0::1/64 dev eth0",
               f"addr change {one}/64 dev eth0 valid_lft 5000 preferred_lft 5000")
    host.becomes("fd00::1", command=[f"addr change {one}/64 dev eth0 preferred_lft 0"])
    # The kernel makes a temporary address beside this one.
    host.ns.ip(f"addr add {other}/64 dev eth1 mngtmpaddr")
    wait_until(lambda: other not in host.told() and
               any(path.startswith("2001:db8:2:") for path in host.told()), 5,
               f"the temporary address alone is told: {host.told()}")


def test_paths_many(world):
    """At most eight are told, of both families."""
    host = Host(world)
    host.ns.ip(*(f"addr add 10.1.{i}.1/24 dev eth0" for i in range(20)),
               *(f"addr add 2001:db8:{i}::1/64 dev eth1" for i in range(1, 21)))
    wait_until(lambda: len(host.told()) == 8 and sum(":" in path for path in host.told()) == 4, 5,
               f"four of each are told: {host.told()}")
