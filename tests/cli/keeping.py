"""What changes while connections are kept: grants that come later, services that are left."""

import json

from harness import check, connects, wait_until
from owners import fetched, setting
from people import listening


def test_grant_comes_while_up(world):
    """`rit up` without a grant listens soon after somebody shares."""
    _, device, ann, bob = setting(world, "bob")
    bob.configure(f'[[connections]]\ndevice = "{device.key}"\nservices = ["web"]\n')
    up = bob.start("up")
    up.wait_line('"event":"session-down"')
    check("listening" not in up.text(), "it listens without a grant")
    ann.do("share", device.key, "--to", bob.key(), "--services", "web")
    line = json.loads(up.wait_line(r'^{"event":"listening",.*$', seconds=60).group(0))
    check(fetched(world, (line["address"], line["port"])), "the page did not come")


def test_disconnect(world):
    """A service is left, then the device; who asked for it ends, and the other goes on."""
    _, device, ann = setting(world)
    garage = device.key
    ann.configure(f'[names]\ngarage = "{garage}"\n[[connections]]\ndevice = "garage"\n')
    ann.refused(4, "no rit is running", "disconnect", "garage/web")
    up = ann.start("up")
    at = {service: listening(up, service) for service in ("web", "other")}
    guest = ann.connect("garage/web")
    ann.refused(4, "not reached", "disconnect", "garage/nosuch")
    ann.refused(4, "not reached", "disconnect", "a" * 52)
    ann.refused(2, "no port", "disconnect", "garage/web@80")
    ann.do("disconnect", "garage/web")
    check(guest.wait_exit() == 0, "whoever asked for it has not ended")
    check(guest.events()[-1] == {"event": "left", "device": garage, "service": "web"},
          f"{guest.events()[-1]}")
    check(not connects(*at["web"]) and fetched(world, at["other"]), "web stays, or other went")
    listed = [(line["event"], line.get("service")) for line in ann.json("status")["connections"]]
    check(("listening", "other") in listed and ("listening", "web") not in listed, f"{listed}")
    ann.refused(4, "not reached", "disconnect", "garage/web")
    # It can be reached again.
    again = ann.connect("garage/web")
    check(again.at["web"] == at["web"] and fetched(world, at["web"]), "not again")
    ann.do("disconnect", "garage")
    check(again.wait_exit() == 0 and not connects(*at["other"]), "something is left")
    wait_until(lambda: ann.json("status")["connections"] == [{"event": "online"}], 10,
               "nothing is reached")
    check(up.is_running() and not ended_later(up), "the daemon tells of a session that was left")


def test_disconnect_the_carrier(world):
    """Whoever carries others and has nothing of its own any more ends; they go on."""
    _, device, ann = setting(world)
    first = ann.connect(f"{device.key}/web")
    second = ann.connect(f"{device.key}/other", services=("other",))
    ann.do("disconnect", f"{device.key}/web")
    check(first.wait_exit() == 0, "it has not ended")
    check(listening(second, "other", count=2) == second.at["other"], "another address")
    wait_until(lambda: fetched(world, second.at["other"]), 20, "the page comes by the second")


def ended_later(process):
    """A session's end is told after the device was left."""
    kinds = [event["event"] for event in process.events()]
    return "session-down" in kinds[len(kinds) - kinds[::-1].index("left"):]
