"""Networks that change under a download: not one TCP connection may notice."""

import time

from expect import expected
from harness import check
from lab import PUBLIC
from people import BIG, Cast, Download


def download(world, user=("ei-apd",), device=(PUBLIC,)):
    cast = Cast(world, user, device, big=BIG).start()
    return cast, Download(cast)


def test_mapping_lost(world):
    """The user's router restarts: every flow gets another outer port."""
    cast, transfer = download(world)
    cast.user.outer.reboot()
    transfer.stall(2, "quiet receiver")
    transfer.finish()
    cast.page()


def test_mapping_lost_in_silence(world):
    """The same, and the line is dead for a second. Afterwards the device sends to where nobody
    is, and the user, who only receives, has nothing to acknowledge: it must ask by itself."""
    cast, transfer = download(world)
    cast.user.cut()
    time.sleep(1)
    cast.user.outer.reboot()
    cast.user.cut(False)
    transfer.stall(2.5, "quiet receiver")
    transfer.finish()
    cast.page()


def test_mapping_lost_random(world):
    """The same, and each peer sees another port."""
    cast, transfer = download(world, user=("random",))
    for part in (0.3, 0.6):
        transfer.wait_part(part)
        cast.user.outer.reboot()
        transfer.stall(2, "quiet receiver")
    transfer.finish()


def test_router_renumbered(world):
    """The user's router gets another outer address."""
    cast, transfer = download(world, user=("masquerade",))
    cast.user.renumber()
    transfer.stall(2, "quiet receiver")
    transfer.finish()
    cast.page()


def test_host_renumbered(world):
    """The user's machine loses its address and gets another one."""
    cast, transfer = download(world)
    cast.user.renumber_host()
    transfer.stall(2, "quiet receiver")
    transfer.finish()
    cast.page()


def test_uplink_switched(world):
    """The user's machine leaves one network for another, which it had not used before."""
    cast, transfer = download(world)
    cell = cast.lab.site("cell", "random", "masquerade", lan="192.168.77.0/24")
    cell.plug_in(cast.user.host, "eth1")
    cast.user.host.ip("link set eth0 down", f"route add default via {cell.lan[1]}")
    transfer.stall(2, "quiet receiver")
    transfer.finish()
    cast.page()


def test_device_renumbered(world):
    """The device's router gets another address; the user's network lets the device's packets in
    from there, and that is how the user learns it."""
    cast, transfer = download(world, user=(PUBLIC,), device=("ei-ei",))
    cast.home.renumber()
    transfer.stall(2, "quiet receiver")
    transfer.finish()
    cast.page()


def test_device_renumbered_unheard(world):
    """The same, but the user's router lets nobody in who was not asked: somebody must tell."""
    expected("moves unheard")
    cast, transfer = download(world, device=("ei-ei",))
    cast.home.renumber()
    transfer.stall(2, "quiet receiver")
    transfer.finish()
    cast.page()


def test_mapping_lost_unheard(world):
    """The user's router restarts, and the device's firewall lets in only whom it knows."""
    expected("moves unheard")
    cast, transfer = download(world, device=("firewall",))
    cast.user.outer.reboot()
    transfer.stall(2, "quiet receiver")
    transfer.finish()
    cast.page()


def test_both_renumbered(world):
    """Both ends' addresses change at once."""
    expected("moves unheard")
    cast, transfer = download(world, device=("ei-ei",))
    cast.home.renumber()
    cast.user.renumber()
    transfer.stall(2, "quiet receiver")
    transfer.finish()
    cast.page()


def test_udp_blocked(world):
    """UDP is blocked for five seconds, and allowed again."""
    cast, transfer = download(world)
    cast.user.block_udp()
    time.sleep(5)
    check(transfer.curl.is_running(), f"curl ended: {transfer.curl.text()}")
    cast.user.block_udp(False)
    transfer.stall(8)
    transfer.finish()
    cast.page()


def test_udp_blocked_for_long(world):
    """UDP is blocked under a download, which goes on by TCP with TLS, and allowed again."""
    expected("tcp")
    cast, transfer = download(world)
    cast.user.block_udp()
    transfer.stall(6)
    cast.user.block_udp(False)
    transfer.finish()
    cast.page()


def test_broker_killed(world):
    """Without a broker the download ends well; a new one, with the old state, introduces again."""
    cast, transfer = download(world)
    cast.broker.process.kill()
    transfer.finish()
    cast.page()
    with cast.broker_host:
        cast.broker.start()
    print(f"   a new user's page comes {cast.later_page(60):.1f} s after the new broker")
    cast.page()


def test_relay_killed(world):
    """Two relays are offered and no direct way exists: the one in use dies."""
    expected("relay")
    cast = Cast(world, ("random",), ("random",), big=BIG, relays=2).start()
    transfer = Download(cast)
    used = max(cast.relayed().items(), key=lambda entry: entry[1])[0]
    cast.relays[used].kill()
    transfer.stall(3)
    transfer.finish()
    cast.page()


def test_relay_left(world):
    """Where a direct way exists, the relay carries no more than the first moments."""
    expected("relay")
    cast = Cast(world, ("ei-apd",), ("ei-apd",), big=BIG, relays=2).start()
    Download(cast).finish()
    relayed = sum(cast.relayed().values())
    print(f"   {relayed} bytes went to relays")
    check(relayed < 1_000_000, f"{relayed} bytes went to relays")
