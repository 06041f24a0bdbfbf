"""What must simply work: the way there, the way back, and addresses that stay."""

import hashlib
import random
import shutil
import socket

from harness import Skipped, check, free_port


def test_page_and_file(world):
    """A page and a big file come through unchanged, also on one connection kept alive."""
    web = world.web({"index.html": b"<h1>over there</h1>\n",
                     "big.bin": random.Random(1).randbytes(50_000_000)})
    _, _, reach = world.pair({"web": web.port})
    at = reach.at["web"]
    check(at[0].startswith("127."), f"listens at {at[0]}, which is no loopback address")
    world.fetch_equal(at, web, "index.html")
    world.fetch_equal(at, web, "big.bin")
    url = f"http://{at[0]}:{at[1]}/index.html"
    kept = world.run(world.tools.curl, "-sS", "-w", "%{num_connects}\n", *[url] * 5)
    connects = [line for line in kept.stdout.splitlines() if line.isdigit()]
    check(connects == ["1", "0", "0", "0", "0"], f"connections made: {connects}")


def test_upload(world):
    """Bytes go up as they come down."""
    peer = world.peer("after-eof")
    _, _, reach = world.pair({"sink": peer.port})
    data = random.Random(2).randbytes(20_000_000)
    with socket.create_connection(reach.at["sink"], timeout=60) as up:
        up.sendall(data)
        up.shutdown(socket.SHUT_WR)
        answer = read_all(up)
    check(answer.decode().split() == [str(len(data)), hashlib.sha256(data).hexdigest()],
          f"the service got something else: {answer}")


def test_half_close(world):
    """The client's FIN reaches the service while the way back stays open."""
    peer = world.peer("after-eof")
    _, _, reach = world.pair({"late": peer.port})
    for data in (b"", b"one line\n", bytes(100_000)):
        with socket.create_connection(reach.at["late"], timeout=20) as up:
            up.sendall(data)
            up.shutdown(socket.SHUT_WR)
            answer = read_all(up)
        check(answer.decode().split() == [str(len(data)), hashlib.sha256(data).hexdigest()],
              f"after {len(data)} bytes and FIN: {answer}")


def test_two_devices_same_port(world):
    """Two devices' web servers at once: each at its own address, both at the same port."""
    broker = world.broker()
    port = free_port()
    seen = {}
    for number in (1, 2):
        web = world.web({"index.html": b"device %d\n" % number}, name=f"web{number}")
        allow = [world.reach_key(f"reach{number}")]
        device = world.device(broker, {"web": web.port}, allow=allow, name=f"device{number}")
        seen[number] = world.reach(broker, device.key, f"web@{port}", name=f"reach{number}")
    addresses = {number: reach.at["web"] for number, reach in seen.items()}
    check(all(at[1] == port for at in addresses.values()), f"ports: {addresses}")
    check(addresses[1][0] != addresses[2][0], f"one address for both: {addresses}")
    for number, at in addresses.items():
        got = world.curl(at, "index.html")
        check(got.stdout == f"device {number}\n", f"device {number}: {got}")


def test_two_services_of_a_device(world):
    """Two services of one device, each at its own address."""
    first = world.web({"index.html": b"first\n"}, name="first")
    second = world.web({"index.html": b"second\n"}, name="second")
    _, _, reach = world.pair({"first": first.port, "second": second.port})
    check(reach.at["first"][0] != reach.at["second"][0], f"one address: {reach.at}")
    for name in ("first", "second"):
        got = world.curl(reach.at[name], "index.html")
        check(got.stdout == f"{name}\n", f"{name}: {got}")


def test_address_stays(world):
    """A service has the same loopback address from run to run."""
    web = world.web({"index.html": b"same\n"})
    broker, device, reach = world.pair({"web": web.port})
    before = reach.at["web"]
    reach.stop()
    again = world.reach(broker, device.key, "web", enrol="")
    check(again.at["web"] == before, f"{before}, then {again.at['web']}")
    check(world.curl(before, "index.html").stdout == "same\n", "not reachable after a restart")


def test_device_restarts(world):
    """The device's process is killed and started again: the reaching side finds it again."""
    web = world.web({"index.html": b"back\n"})
    broker, device, reach = world.pair({"web": web.port})
    check(world.curl(reach.at["web"], "index.html").stdout == "back\n", "not reachable")
    device.kill()
    world.device(broker, {"web": web.port}, allow=[world.reach_key("other-reach"),
                                                   key_of(world)], enrol="")
    got = world.curl(reach.at["web"], "index.html", "--retry", "60", "--retry-delay", "1",
                     "--retry-all-errors", "--retry-max-time", "90", seconds=100)
    check(got.stdout == "back\n", f"not reachable after the device came back: {got}")


def test_ipv6_broker(world):
    """The broker on [::1]."""
    web = world.web({"index.html": b"six\n"})
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        raise Skipped(f"no IPv6 on this machine's loopback: {error}") from None
    broker, _, reach = world.pair({"web": web.port}, host="::1")
    check("@[::1]:" in broker.uri, f"address {broker.uri}")
    check(world.curl(reach.at["web"], "index.html").stdout == "six\n", "not reachable")


def key_of(world):
    """The key of the running reaching side, from a copy of its identity."""
    copy = world.folder / "reach-copy"
    shutil.copytree(world.folder / "reach", copy)
    return world.reach_key("reach-copy")


def read_all(connection):
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)
