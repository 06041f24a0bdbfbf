"""`rit cloak`: an owner lets a device be found for a while, by a real server."""

from harness import check, wait_until
from identify import PORT, ask
from owners import garage, owner_of, server, setting, somebody

QUIET_S = 0.3


def ports_of(device):
    """Where it could answer: its own ports, and that for probes, open or not."""
    return sorted({*device.udp_ports(), PORT})


def opened(device):
    """It answers its owner before it opens the port."""
    wait_until(lambda: PORT in device.udp_ports(), 5, "the port is open")


def is_found(device, port):
    told = ask("127.0.0.1", port, 2)
    check(told is None or told[0] == device.key, f"somebody else answered: {told}")
    check(told is None or told[1].startswith("librit "), f"{told}")
    return told is not None


def not_found(device, ports, what):
    for port in ports:
        told = ask("127.0.0.1", port, QUIET_S)
        check(told is None, f"{told} at port {port}: {what}")


def test_off_and_on(world):
    """The owner's word opens it, and ends it; nobody else's does."""
    _, device, ann, bob = setting(world, "bob")
    before = ports_of(device)
    not_found(device, before, "cloaked")
    bob.refused(5, "not yours", "cloak", "off", device.key, "--for", "10m")
    ann.refused(2, "a day at most", "cloak", "off", device.key, "--for", "25h")
    ann.refused(2, "--for", "cloak", "off", device.key)
    not_found(device, before, "refused")
    said = ann.do("cloak", "off", device.key, "--for", "10m")
    check("identification probes" in said and "until 2" in said, said)
    seconds = int(device.wait_line(r"^cloak-off (\d+)").group(1))
    check(590 < seconds <= 600, f"for {seconds} s")
    opened(device)
    found = [port for port in ports_of(device) if is_found(device, port)]
    check(PORT in found and len(found) > 1, f"found at {found} of {ports_of(device)}")
    check(ann.json("cloak", "on", device.key)["is_cloaked"], "it is not")
    device.wait_line(r"^cloaked")
    not_found(device, {*before, *found}, "cloaked again")
    # Rows are written after what they tell of.
    wait_until(lambda: ann.do("log").count("device.cloak") == 2, 10, "the log has both")


def test_by_itself_and_after_a_restart(world):
    """The time ends it, and so does a restart; an unreachable device is an error."""
    broker = server(world)
    ann = somebody(world, broker, "ann")
    device, secret = garage(world, broker)
    ann.do("claim", secret, device.key)
    wait_until(lambda: owner_of(ann, device) == ann.key(), 10, "the server knows the owner")
    told = ann.json("cloak", "off", device.key, "--for", "3s")
    check(told["until_s"] > 0 and not told["is_cloaked"], f"{told}")
    opened(device)
    check(is_found(device, PORT), "no answer")
    device.wait_line(r"^cloaked", seconds=10)
    not_found(device, ports_of(device), "by itself")
    ann.do("cloak", "off", device.key, "--for", "1h")
    opened(device)
    check(is_found(device, PORT), "no answer")
    device.stop()
    ann.refused(6, "offline|did not answer", "cloak", "on", device.key)
    device, _ = again(world, broker, device, secret)
    not_found(device, ports_of(device), "restarted")
    ann.do("cloak", "off", device.key, "--for", "1h")
    opened(device)
    check(is_found(device, PORT), "no answer after a restart")


def again(world, broker, device, secret):
    """The device, started once more; it is the same."""
    web = world.web({"index.html": b"over there\n"}, name="web-again")
    restarted = world.device(broker, {"web": web.port}, enrol="", options=["--owner", secret])
    check(restarted.key == device.key, "another key")
    return restarted, web
