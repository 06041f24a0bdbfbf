"""What a device that nobody uses costs: its packets on its uplink."""

import time

from harness import check
from people import Cast

SECONDS = 70
MONTH_S = 30 * 24 * 3600


def test_idle_traffic(world):
    """An online device behind a NAT, with two services and no user."""
    cast = Cast(world, device=("masquerade",))
    cast.start_device()
    time.sleep(2)  # what comes right after going online is not idle traffic
    before, start = cast.home.traffic(), time.monotonic()
    time.sleep(SECONDS)
    after, took = cast.home.traffic(), time.monotonic() - start
    packets = {way: after[way][0] - before[way][0] for way in after}
    size = sum(after[way][1] - before[way][1] for way in after)
    print(f"   {took:.0f} s idle: {packets['up'] * 60 / took:.1f} packets/min up, "
          f"{packets['down'] * 60 / took:.1f} down, {size} bytes with all headers from IP on; "
          f"{size * MONTH_S / took / 1e6:.1f} MB in a month")
    check(cast.device.is_running(), "the device has ended")
    check(0 < packets["up"] * 60 / took < 12, f"{packets} in {took:.0f} s")
