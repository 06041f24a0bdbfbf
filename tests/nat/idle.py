"""What a device that nobody uses costs: its packets on its uplink."""

import time

from expect import EXPECT
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
    packets, size = ({way: after[way][field] - before[way][field] for way in after}
                     for field in (0, 1))
    per_minute = packets["up"] * 60 / took
    month = sum(size.values()) * MONTH_S / took / 1e6
    print(f"   {took:.0f} s idle: {per_minute:.1f} packets/min up, "
          f"{packets['down'] * 60 / took:.1f} down; {size['up']} and {size['down']} bytes with all "
          f"headers from IP on, {month:.1f} MB in a month")
    check(cast.device.is_running(), "the device has ended")
    check(per_minute > 0, "it keeps no mapping alive")
    if not EXPECT["idle budget"]:
        check(per_minute <= 60 / 25 + 60 / took, "more than a packet in 25 s")
        check(month <= 6, "more than 6 MB in a month")
