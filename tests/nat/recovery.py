"""An idle device whose network fails is reachable again, by a new user, without a restart.

The device is behind a NAT that lets everybody in once a mapping exists, so that what is measured
is whether the device and its broker find each other again, not how holes are punched.
"""

import time

from harness import check, wait_until
from people import Cast


def reachable_again(cast, seconds):
    took = cast.later_page(seconds)
    lines = cast.device.text().splitlines()
    words = [line for line in lines if line.startswith(("online", "offline"))]
    print(f"   a new user's page comes {took:.1f} s after it; the device said: {' '.join(words)}")
    check(cast.device.is_running(), "the device has ended")


def dead_uplink(world, seconds, limit):
    cast = Cast(world, device=("ei-ei",)).start()
    cast.page()
    cast.home.cut()
    time.sleep(seconds)
    cast.home.cut(False)
    reachable_again(cast, limit)


def test_uplink_dead_1_s(world):
    """Too short to be noticed."""
    dead_uplink(world, 1, 10)


def test_uplink_dead_30_s(world):
    """Long enough that all connections are given up."""
    dead_uplink(world, 30, 65)


def test_link_down_30_s(world):
    """The same with the cable out of the device's machine, so that its system knows."""
    cast = Cast(world, device=("ei-ei",)).start()
    cast.home.host.ip("link set eth0 down")
    time.sleep(30)
    cast.home.host.ip("link set eth0 up", f"route add default via {cast.home.lan[1]}")
    reachable_again(cast, 65)


def test_mapping_expired(world):
    """The NAT forgets after 10 s of silence, which is shorter than anyone keeps a mapping for."""
    cast = Cast(world, device=("ei-ei",))
    cast.home.outer.set_udp_timeout(10)
    cast.home.outer.reboot()
    cast.start()
    time.sleep(35)
    reachable_again(cast, 65)


def test_router_rebooted(world):
    """The device's router forgets all, and maps to other ports from then on."""
    cast = Cast(world, device=("ei-ei",)).start()
    cast.home.outer.reboot()
    reachable_again(cast, 65)


def test_router_renumbered_idle(world):
    """And one that gets another address."""
    cast = Cast(world, device=("ei-ei",)).start()
    cast.home.renumber()
    reachable_again(cast, 65)


def test_idle_user_router_rebooted(world):
    """A user's session that was idle while the router restarted is used again."""
    cast = Cast(world, user=("ei-apd",)).start()
    line = cast.idle_connection()
    cast.user.outer.reboot()
    took = cast.page()
    print(f"   the page took {took:.2f} s")
    line.sendall(b"still")
    check(line.recv(100) == b"still", "the idle connection is gone")
    wait_until(cast.reach.is_running, 1, "the user's program runs")
