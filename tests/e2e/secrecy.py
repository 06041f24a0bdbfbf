"""What is on the wire and in the logs: nothing that is somebody's business."""

import base64
import os
import random
import re
import signal

from harness import Skipped, check, wait_until
from refusals import echoes

MARKER = "plain-marker-7f3a91c2d8e645b0"
SERVICE = "service-name-marker"


def key_bytes(text):
    return base64.b32decode(text.upper() + "====")


def spellings(secret):
    """How 32 bytes might be written."""
    for encoded in (secret.hex().encode(), base64.b32encode(secret).rstrip(b"="),
                    base64.b64encode(secret).rstrip(b"="),
                    base64.urlsafe_b64encode(secret).rstrip(b"=")):
        yield encoded.lower()


def test_wire_shows_nothing(world):
    """Everything on the wire from the first packet on, the broker's link included."""
    if not world.tools.tcpdump:
        raise Skipped("tcpdump is missing")
    if not world.tools.own_network:
        raise Skipped("no network namespace of its own, and other people's packets stay unread")
    capture = world.folder / "wire.pcap"
    tcpdump = world.start("tcpdump", world.tools.tcpdump, "-i", "lo", "-Z", "root", "-U", "-s", "0",
                          "-B", "65536", "-w", capture, "udp")
    wait_until(lambda: "listening on lo" in tcpdump.text() or not tcpdump.is_running(), 20,
               "tcpdump listens")
    if not tcpdump.is_running():
        raise Skipped(f"tcpdump may not capture: {tcpdump.text().strip()}")
    web = world.web({"index.html": (MARKER + "\n").encode() * 2000,
                     "big.bin": random.Random(5).randbytes(2_000_000)})
    broker = world.broker()
    codes = [broker.code(), broker.code()]
    reach_key = world.reach_key()
    device = world.device(broker, {SERVICE: web.port}, allow=[reach_key], enrol=codes[0])
    reach = world.reach(broker, device.key, SERVICE, enrol=codes[1])
    world.fetch_equal(reach.at[SERVICE], web, "index.html")
    world.fetch_equal(reach.at[SERVICE], web, "big.bin")
    reach.stop()
    device.stop()
    wait_until(lambda: capture.stat().st_size > 2_000_000, 20, "the capture holds the download")
    tcpdump.child.send_signal(signal.SIGINT)
    tcpdump.wait_exit()
    check("0 packets dropped by kernel" in tcpdump.text(), "tcpdump lost packets")
    wire = capture.read_bytes()
    forbidden = {"the page's text": MARKER, "the service's name": SERVICE, "HTTP": "HTTP/1.1",
                 "a file name": "index.html", "an enrol code": codes[0], "enrol code 2": codes[1]}
    broker_key = re.search(r"rit://([a-z2-7]{52})@", broker.uri).group(1)
    for who, key in (("device", device.key), ("reach", reach_key), ("broker", broker_key)):
        forbidden[f"the {who}'s key as text"] = key
        check(key_bytes(key) not in wire, f"the {who}'s key is on the wire")
        for spelled in spellings(key_bytes(key)):
            check(spelled not in wire.lower(), f"the {who}'s key is on the wire as text")
    for what, text in forbidden.items():
        check(text.encode() not in wire, f"{what} is on the wire")
    longest = max(re.findall(rb"[\x20-\x7e]{8,}", wire), key=len, default=b"")
    check(len(longest) < 24, f"readable text on the wire: {longest[:80]!r}")
    print(f"   {len(wire)} bytes captured, longest readable run {len(longest)}")


def secret_windows(content, public):
    """Every 15 bytes of a state file that do not overlap what is public."""
    hidden = [True] * len(content)
    for known in public:
        start = content.find(known)
        while start >= 0:
            hidden[start:start + len(known)] = [False] * len(known)
            start = content.find(known, start + 1)
    for start in range(len(content) - 15):
        window = content[start:start + 15]
        if all(hidden[start:start + 15]) and len(set(window)) > 8:
            yield window


def test_logs_hold_no_secret(world):
    """Identity files and enrol codes leave no trace in any output; files are the owner's only."""
    peer = world.peer("echo")
    broker = world.broker()
    codes = [broker.code(), broker.code()]
    device = world.device(broker, {"echo": peer.port}, allow=[world.reach_key()], enrol=codes[0])
    reach = world.reach(broker, device.key, "echo", enrol=codes[1])
    check(echoes(reach.at["echo"]), "no echo")
    reach_key = key_bytes(world_key(world, reach))
    broker_key = key_bytes(re.search(r"rit://([a-z2-7]{52})@", broker.uri).group(1))
    public = [key_bytes(device.key), reach_key, broker_key]
    logs = b"".join(p.log.read_bytes() for p in world.processes)
    for code in codes:
        for spelled in (code, code.replace("-", "")):
            check(spelled.encode() not in logs, "an enrol code is in a log")
    checked = 0
    for name in ("device", "reach"):
        for folder, _, files in os.walk(world.folder / name):
            for file in files:
                path = os.path.join(folder, file)
                mode = os.stat(path).st_mode & 0o777
                check(mode & 0o077 == 0, f"{path} has mode {mode:o}")
                with open(path, "rb") as opened:
                    content = opened.read(65536)
                # Where services are reached is told to everybody who asks.
                if file == "addresses":
                    continue
                for window in secret_windows(content, public):
                    checked += 1
                    check(window not in logs, f"bytes of {file} are in a log")
                    for spelled in spellings(window):
                        check(spelled not in logs.lower(), f"bytes of {file} are in a log")
    check(checked >= 18, f"only {checked} pieces of secret state were looked for")


def world_key(world, reach):
    """The reaching side's own key, as it prints it when asked."""
    reach.stop()
    return world.reach_key()
