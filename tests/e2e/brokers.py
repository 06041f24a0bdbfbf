"""The broker introduces and is then out of the way: killed, restarted, paused."""

import random

from harness import check, wait_until
from refusals import echoes


def test_broker_killed_mid_download(world):
    """The download completes, the session goes on, new connections through it too."""
    size = 40_000_000
    web = world.web({"big.bin": random.Random(4).randbytes(size), "index.html": b"still\n"})
    broker, device, reach = world.pair({"web": web.port})
    at = reach.at["web"]
    copy = world.folder / "copy"
    curl = world.start("curl", world.tools.curl, "-sS", "--fail", "--limit-rate", "8M", "-o", copy,
                       f"http://{at[0]}:{at[1]}/big.bin")
    wait_until(lambda: copy.exists() and copy.stat().st_size > size // 10, 30, "a tenth came")
    broker.process.kill()
    check(copy.stat().st_size < size, "the download was over before the broker was killed")
    check(curl.wait_exit(60) == 0, f"curl: {curl.text()}")
    check(copy.read_bytes() == (web.root / "big.bin").read_bytes(), "the file differs")
    for _ in range(5):
        check(world.curl(at, "index.html").stdout == "still\n", "a new connection fails")
    # The broker that comes in its place knows of nothing, as the device learns at its next packet.
    broker.start()
    device.wait_line(r"(?i)offline", seconds=60)
    check(world.curl(at, "index.html").stdout == "still\n", "fails once the device saw it")


def test_broker_restarted(world):
    """The same address and identity; devices come back by themselves; new users are served."""
    peer = world.peer("echo")
    broker = world.broker()
    before = broker.uri
    allow = [world.reach_key(), world.reach_key("later")]
    device = world.device(broker, {"echo": peer.port}, allow=allow)
    reach = world.reach(broker, device.key, "echo")
    unused = broker.code()
    broker.process.kill()
    broker.start()
    # An idle link sends a packet each 28.5 s, and asks for an answer with each eighth alone.
    device.wait_line(r"(?i)offline", seconds=60)
    check(broker.uri == before, f"{before}, then {broker.uri}")
    device.wait_line(r"online", seconds=60, count=2)
    check(echoes(reach.at["echo"]), "the old session is gone")
    # A code made before the restart still works, and so does an introduction after it.
    later = world.reach(broker, device.key, "echo", enrol=unused, name="later")
    check(echoes(later.at["echo"]), "no new session after the restart")
