"""A host with two interfaces whose way out changes under a download: the address in use is taken
away, the cable is pulled, the other interface becomes the better one."""

from expect import expected
from harness import wait_until
from lab import PUBLIC
from people import BIG, Cast, Download


class Wan:
    """A second cable from a host on the internet to the internet, with its own address."""

    def __init__(self, lab, host, name):
        self.host, self.net = host, lab.plug(name)
        self.address, self.router = str(self.net[2]), str(self.net[1])
        length = self.net.prefixlen
        lab.internet.link(name, host, "eth1")
        lab.internet.ip(f"addr add {self.router}/{length} dev {name}")
        host.ip(f"addr add {self.address}/{length} dev eth1",
                f"route add default via {self.router} metric 200")


def two_interfaces(world, moves, user=(PUBLIC,)):
    """A download from a device, with a second interface at one end: "home" or "user"."""
    cast = Cast(world, user, (PUBLIC,), big=BIG)
    host = getattr(cast, moves).host
    second = Wan(cast.lab, host, "second")
    cast.start()
    return cast, host, second, Download(cast)


def goes_on(cast, transfer, mover):
    """Without a new connection, and told as a change by whom it happened to."""
    transfer.stall(1)
    mover.wait_line(r"^network-changed")
    transfer.finish()
    cast.page()


def test_device_address_removed(world):
    """The kernel takes the routes away with the address; the device's packets come from the other
    interface, and the user follows."""
    cast, host, _, transfer = two_interfaces(world, "home")
    host.ip(f"addr del {cast.home.address}/28 dev eth0")
    goes_on(cast, transfer, cast.device)


def test_device_address_removed_unheard(world):
    """The same, with a user whose router keeps strangers out, and so whoever has moved."""
    expected("moves unheard")
    cast, host, _, transfer = two_interfaces(world, "home", user=("ei-apd",))
    host.ip(f"addr del {cast.home.address}/28 dev eth0")
    goes_on(cast, transfer, cast.device)


def test_device_cable_pulled(world):
    """The other end of the link goes down: the address stays, the kernel drops the route."""
    cast, host, _, transfer = two_interfaces(world, "home")
    host.sysctl("net.ipv4.conf.eth0.ignore_routes_with_linkdown", 1)
    cast.lab.internet.ip("link set home down")
    goes_on(cast, transfer, cast.device)


def test_device_better_interface(world):
    """Both work; the other one is preferred from now on, and then the first one is taken away."""
    cast, host, second, transfer = two_interfaces(world, "home")
    host.ip(f"route add default via {second.router} metric 50",
            f"route del default via {cast.home.net[1]}")
    cast.device.wait_line(r"^network-changed")
    transfer.wait_part(0.5)
    host.ip(f"addr del {cast.home.address}/28 dev eth0")
    goes_on(cast, transfer, cast.device)


def test_user_address_removed(world):
    """It is the end that only receives that moves: the device learns it from nobody else."""
    cast, host, _, transfer = two_interfaces(world, "user")
    host.ip(f"addr del {cast.user.address}/28 dev eth0")
    goes_on(cast, transfer, cast.reach)


def test_device_reachable_after_move(world):
    """Nothing was on its way: a new user reaches the device at once, by the broker's new word."""
    cast = Cast(world, (PUBLIC,), (PUBLIC,))
    Wan(cast.lab, cast.home.host, "second")
    cast.start_device("later")
    cast.home.host.ip(f"addr del {cast.home.address}/28 dev eth0")
    wait_until(lambda: "network-changed" in cast.device.text(), 2, "the device notices")
    print(f"   a new user's page after {cast.later_page(15):.2f} s")
