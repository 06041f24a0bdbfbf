"""What a device that nobody uses costs: its packets on its uplink."""

import time

from harness import check
from people import Cast

SECONDS = 100
# The device finds out once how long its NAT remembers: its question, what it says of it to the
# broker, and their acknowledgements.
FOUND_OUT = 4


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
    print(f"   {took:.0f} s idle: {packets['up']} packets up, {packets['down']} down; {size['up']} "
          f"and {size['down']} bytes with all headers from IP on")
    check(cast.device.is_running(), "the device has ended")
    check(packets["up"] > 1, "it keeps no mapping alive")
    # What that makes in a month is measured in simulated time (nat_idle.rs).
    check(packets["up"] <= took / 25 + 1 + FOUND_OUT, "more than a packet in 25 s")
