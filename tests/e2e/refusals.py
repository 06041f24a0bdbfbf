"""What must be refused: with a clear error, quickly, and with nothing else lost."""

import os
import random
import re
import socket
import sqlite3
import sys
import time

from harness import HERE, check, free_port

WRONG_CODE = "aaaa-bbbb-cccc-dddd"


def refused_quickly(world, at, seconds=5):
    """curl is refused or reset (or gets an empty answer), and does not hang."""
    start = time.monotonic()
    got = world.curl(at, "", seconds=20)
    took = time.monotonic() - start
    # 7 refused, 52 closed without an answer, 56 reset
    check(got.returncode in (7, 52, 56), f"curl: status {got.returncode}: {got.stderr}")
    check(took < seconds, f"curl was told only after {took:.1f} s")


def test_service_refuses(world):
    """Nothing listens at the device's service: a reset, not a hang; the neighbour goes on."""
    web = world.web({"index.html": b"here\n"})
    _, _, reach = world.pair({"web": web.port, "dead": free_port()})
    refused_quickly(world, reach.at["dead"])
    check(world.curl(reach.at["web"], "index.html").stdout == "here\n", "the neighbour is gone")


def test_service_stops_and_returns(world):
    """The web server ends and comes back; the tunnel needs nobody's help."""
    peer = world.peer("echo")
    _, _, reach = world.pair({"echo": peer.port})
    at = reach.at["echo"]
    check(echoes(at), "no echo")
    peer.kill()
    refused_quickly(world, at)
    world.start("peer-again", sys.executable, HERE / "peer.py", "echo",
                peer.port).wait_line("^ready")
    check(echoes(at), "no echo after the service came back")


def test_unknown_service(world):
    """A service the device does not offer: named in the message; nothing listens for it."""
    peer = world.peer("echo")
    broker = world.broker()
    device = world.device(broker, {"echo": peer.port}, allow=[world.reach_key()])
    reach = world.reach(broker, device.key, "nosuch", listen=False)
    reach.wait_line(r"nosuch.*(unknown|not offer|no such)|(unknown|not offer|no such).*nosuch")
    check("listening nosuch" not in reach.text(), "it listens for a service that is not there")


def test_peer_not_allowed(world):
    """A key the device does not know gets silence, and the person is told; one it knows gets in."""
    peer = world.peer("echo")
    broker = world.broker()
    device = world.device(broker, {"echo": peer.port}, allow=[world.reach_key("friend")])
    stranger = world.reach(broker, device.key, "echo", name="stranger", listen=False)
    friend = world.reach(broker, device.key, "echo", name="friend")
    check(echoes(friend.at["echo"]), "the allowed peer gets no echo")
    stranger.wait_line(r"^session-down \w+", seconds=30)
    check("listening" not in stranger.text(), "it listens")
    check(echoes(friend.at["echo"]), "the allowed peer no longer gets an echo")


def test_unknown_device(world):
    """A device key that the broker does not know: a clear message."""
    broker = world.broker()
    stray = world.reach_key("nobody")
    reach = world.reach(broker, stray, "web", listen=False)
    reach.wait_line(r"(?i)unknown|not known|offline")
    check("listening" not in reach.text(), "it listens")


def test_wrong_enrol_code(world):
    broker = world.broker()
    refused = world.device(broker, {"web": 80}, enrol=WRONG_CODE, online=False)
    refused.expect_error(r"code")
    check(broker.process.is_running(), "the broker ended")


def test_reused_enrol_code(world):
    broker = world.broker()
    code = broker.code()
    first = world.device(broker, {"web": 80}, enrol=code, name="first")
    second = world.device(broker, {"web": 80}, enrol=code, name="second", online=False)
    second.expect_error(r"code")
    check(first.is_running(), "the first device ended")


def test_expired_enrol_code(world):
    broker = world.broker()
    code = broker.code()
    expire_codes(broker.state)
    world.device(broker, {"web": 80}, enrol=code, online=False).expect_error(r"code")


def expire_codes(state):
    """Sets every unused code's end to a past time, as if the hours had gone by."""
    for file in state.iterdir():
        with open(file, "rb") as opened:
            if opened.read(15) != b"SQLite format 3":
                continue
        with sqlite3.connect(file) as database:
            for (table,) in database.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
                for column in columns:
                    if "code" in table and "expire" in column:
                        database.execute(f"UPDATE {table} SET {column} = 1")
                        return
    raise AssertionError("no table of codes with an expiry found")


def test_second_process(world):
    """A second process on the same identity is turned away; the first goes on."""
    peer = world.peer("echo")
    broker, device, reach = world.pair({"echo": peer.port})
    for name, argv in (
        ("second-device", [world.tools.device, "--state", world.folder / "device",
                           "--broker", broker.uri, f"echo=127.0.0.1:{peer.port}"]),
        ("second-reach", [world.tools.reach, "--state", world.folder / "reach",
                          "--broker", broker.uri, device.key, "echo"]),
        ("second-broker", [world.tools.server, "--state", broker.state,
                           "--listen", f"127.0.0.1:{free_port()}"]),
    ):
        world.start(name, *argv).expect_error(r"in use|another|already|locked")
    check(echoes(reach.at["echo"]), "the first ones no longer work")


def three_programs(world, folder):
    """Each program that keeps state, told to keep it in this folder."""
    uri = f"rit://{'a' * 52}@127.0.0.1:{free_port()}"
    return (
        ("device", [world.tools.device, "--state", folder, "--broker", uri, "web=127.0.0.1:80"]),
        ("reach", [world.tools.reach, "--state", folder, "--broker", uri, "a" * 52, "web"]),
        ("broker", [world.tools.server, "--state", folder,
                    "--listen", f"127.0.0.1:{free_port()}"]),
    )


def test_unwritable_state(world):
    """A state folder that cannot be written: the message names it."""
    if os.geteuid() == 0:
        folder = world.small_disk(read_only=True)  # root is not held back by a mode
    else:
        folder = world.folder / "closed"
        folder.mkdir(mode=0o500)
    for name, argv in three_programs(world, folder / "state"):
        world.start(name, *argv).expect_error(re.escape(str(folder)) + r"|read-only|permission")


def test_full_disk(world):
    """No room for the identity: an error that says so, and no half-written file is taken for it."""
    for name, argv in three_programs(world, "STATE"):
        folder = world.small_disk(kib=16)
        with open(folder / "ballast", "wb", buffering=0) as ballast:
            try:
                while ballast.write(bytes(4096)):
                    pass
            except OSError:
                pass
        state = folder / "state"
        argv = [state if a == "STATE" else a for a in argv]
        world.start(name, *argv).expect_error(r"space|full|stor|writ|" + re.escape(str(folder)))
        (folder / "ballast").unlink()
    # With room again a program starts from that folder as if nothing had been.
    made = world.run(world.tools.reach, "--state", world.mounts[1] / "state", "--key")
    check(made.returncode == 0, f"after the disk had room again: {made.stdout}{made.stderr}")


def test_broker_unreachable(world):
    """Nothing answers at the broker's address: said, and tried again; it works once it is there."""
    broker = world.broker()
    code = broker.code()
    broker.process.stop()
    device = world.device(broker, {"web": 80}, enrol=code, online=False)
    device.wait_line(r"(?i)offline|unreachable|no answer|timeout|timed out|not reach", seconds=60)
    check(device.is_running(), "the device gave up")
    broker.start()
    device.wait_line(r"online", seconds=60)


def test_wrong_broker_key(world):
    """Someone else answers at the broker's address: no connection, no enrol code given away."""
    broker = world.broker()
    code = broker.code()
    true_key = re.search(r"rit://([a-z2-7]{52})@", broker.uri).group(1)
    broker.uri = broker.uri.replace(true_key, world.reach_key("someone"))
    device = world.device(broker, {"web": 80}, enrol=code, online=False)
    device.wait_line(r"(?i)offline|unreachable|no answer|timeout|timed out|not reach", seconds=60)
    check(not re.search(r"(?m)^.*\bonline", device.text()), "online at a stranger's")
    check(code not in broker.process.text(), "the code is in the log")


def test_stranger_datagrams(world):
    """Whatever a stranger sends, device, reaching side and broker answer nothing and go on."""
    peer = world.peer("echo")
    broker, device, reach = world.pair({"echo": peer.port})
    rng = random.Random(3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        for process in (device, reach, broker.process):
            ports = process.udp_ports()
            check(ports, f"{process.name} has no UDP socket")
            for port in ports:
                for size in (0, 1, 20, 21, 60, 400, 1200, 1452, 9000):
                    for first in (0x00, 0x40, 0xC0, 0xFF):
                        datagram = bytearray(rng.randbytes(size))
                        datagram[:5] = bytes([first, 0x72, 0x69, 0x74, 1])[:size]
                        stranger.sendto(datagram, ("127.0.0.1", port))
        stranger.settimeout(1)
        try:
            answer, sender = stranger.recvfrom(65536)
            check(False, f"{sender} answered {len(answer)} bytes")
        except TimeoutError:
            pass
    check(echoes(reach.at["echo"]), "it does not work any more")


def test_bad_arguments(world):
    """A wrong call gives a message and a status, not a crash."""
    for number, argv in enumerate((
        [world.tools.device],
        [world.tools.device, "--state", world.folder / "s", "--broker", "http://example", "a=b:1"],
        [world.tools.device, "--state", world.folder / "s", "--broker",
         f"rit://{'a' * 52}@127.0.0.1:1", "web=127.0.0.1:99999"],
        [world.tools.reach],
        [world.tools.reach, "--state", world.folder / "s", "--broker",
         f"rit://{'a' * 52}@127.0.0.1:1", "not-a-key"],
        [world.tools.server, "--no-such-option"],
    )):
        world.start(f"wrong{number}", *argv).expect_error(r"\w")


def echoes(at):
    """One line there and back; a fresh session may take a moment."""
    with socket.create_connection(at, timeout=20) as line:
        line.sendall(b"hello\n")
        got = b""
        while not got.endswith(b"\n"):
            piece = line.recv(100)
            if not piece:
                return False
            got += piece
    return got == b"hello\n"
