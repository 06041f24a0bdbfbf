"""Neighbours that are offered: reached under their names, and nothing else of their network."""

import re
import shutil
import socket
import struct
import time

from harness import Skipped, check, wait_until
from scene import Scene, is_ended

A, NO_ERROR = 1, 0
SYNS = """add counter inet watch syns
insert rule inet watch arriving ip saddr {} tcp flags & (syn | ack) == syn counter name syns
"""


def allow_hvac(scene):
    return ["--allow", f"{scene.hvac.address}:80=web.hvac",
            "--allow", f"udp:{scene.hvac.address}:7=echo.hvac"]


def test_neighbours_are_reached(world):
    """A page by TCP and an echo by UDP, by `rit connect` and by name; other hosts, other ports and
    the gateway itself hear nothing, whatever the user asks for."""
    scene = Scene(world)
    scene.hvac.serve("udp-echo", 7)
    scene.hvac.publishes("tcp . 80", "udp . 7")
    gateway = scene.start_gateway(*allow_hvac(scene), "--allow", "192.168.1.0/24:80,443",
                                  "--allow-key", scene.user.key())
    reached = scene.connect(gateway.key, "web.hvac", "echo.hvac", options=[
        "--resolver", "127.0.0.1:0"])
    scene.gets(reached.at["web.hvac"], "hvac")
    check(scene.udp_answer(reached.at["echo.hvac"], b"hello") == b"hello!", "another answer")
    named(scene, reached, "web.hvac.gate.rit", reached.at["web.hvac"][0])
    gateway.wait_line(rf'"event":"connection","peer":"{scene.user.key()}","service":"web.hvac"')
    unreachable = ["web.third", "third", "192.168.1.4", "80", "web", "192.168.1.4.80", "ssh.hvac"]
    with scene.away.host:
        for name in unreachable:
            other = scene.user.start("connect", f"gate/{name}")
            other.wait_line(rf'"event":"unavailable",.*"service":"{re.escape(name)}"')
            other.stop()
    scene.gets(reached.at["web.hvac"], "hvac")
    check(scene.hvac.counter("heard") > 0, "nothing is counted")
    for neighbour in (scene.hvac, scene.cam, scene.third):
        neighbour.heard_nothing_else()


def named(scene, reached, name, address):
    """The user's resolver answers for a neighbour's service."""
    host, number = reached.wait_line(r'"event":"resolver","address":"(.*):(\d+)"').groups()
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    with scene.away.host, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.sendto(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + question
                      + struct.pack("!BHH", 0, A, 1), (host, int(number)))
        answer = client.recv(512)
        lines = scene.user.do("hosts")
    check(answer[3] & 15 == NO_ERROR and answer[-4:] == socket.inet_aton(address), f"{answer}")
    check(f"{address} {name}" in lines, lines)


def test_each_has_its_own_grant(world):
    """Claimed by the code that it shows; who was granted one neighbour's service is refused the
    other, by the gateway."""
    scene = Scene(world)
    scene.hvac.publishes("tcp . 80")
    gateway = scene.start_gateway("--allow", f"{scene.hvac.address}:80=web.hvac",
                                  "--allow", f"{scene.cam.address}:80=web.cam")
    code = gateway.wait_line(r'"event":"claim-code","code":"(\S+)"').group(1)
    owner = [world.tools.owner, "--state", world.folder / "owner"]
    with scene.away.host:
        claimed = world.run(*owner, "--broker", scene.broker.uri, "--enrol", scene.broker.code(),
                            "claim", gateway.key, code)
        check(claimed.returncode == 0, f"{claimed}")
        epoch = claimed.stdout.split()[-1]
        file = world.folder / "grant"
        granted = world.run(*owner, "grant", gateway.key, epoch, world.reach_key(), 0, file,
                            "web.hvac")
        check(granted.returncode == 0, f"{granted}")
        gateway.wait_line(r'"event":"claimed"')
        # The program asks for whatever it is told to, unlike `rit connect`.
        reach = world.reach(scene.broker, gateway.key, "web.hvac", "web.cam", grant=file)
    scene.gets(reach.at["web.hvac"], "hvac")
    check(scene.page(reach.at["web.cam"], seconds=10).returncode != 0, "it was not granted")
    scene.cam.heard_nothing_else()
    check(scene.cam.counter("heard") == 0, "the neighbour was connected to")
    gateway.stop()
    again = scene.start_gateway("--allow", f"{scene.hvac.address}:80=web.hvac", is_new=False)
    check('"event":"claim-code"' not in again.text()[-300:], "it has an owner")
    wait_until(lambda: scene.page(reach.at["web.hvac"]).stdout == "hvac\n", 40, "the page again")


def test_limits_of_a_service(world):
    """So many connections at once, of them half for one session; one that ends makes room; others
    have their own."""
    scene = Scene(world)
    scene.hvac.serve("hold", 5000)
    scene.cam.serve("hold", 5000)
    gateway = scene.start_gateway(
        "--allow", f"{scene.hvac.address}:5000=a", "--allow", f"{scene.cam.address}:5000=b",
        "--connections", 6, "--allow-key", scene.user.key())
    reached = scene.connect(gateway.key, "a", "b")

    def opened(service):
        line = scene.line(reached.at[service])
        line.sendall(b"x")
        try:
            return line if line.recv(1) == b"x" else None
        except ConnectionError:
            return None

    lines = [opened("a") for _ in range(3)]
    check(all(lines), "one of three was refused")
    check(opened("a") is None, "a fourth was let in")
    gateway.wait_line(r'"event":"refused",.*"service":"a"')
    check(opened("b") is not None, "the other service has no room")
    lines[0].close()
    wait_until(lambda: opened("a"), 10, "room again")


def is_over(line):
    line.setblocking(False)
    try:
        return not line.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_so_many_in_a_second(world):
    """A burst beyond the rate does not get to the neighbour."""
    scene = Scene(world)
    scene.hvac.serve("hold", 5000)
    gateway = scene.start_gateway("--allow", f"{scene.hvac.address}:5000=a", "--rate", 5,
                                  "--allow-key", scene.user.key())
    reached = scene.connect(gateway.key, "a")
    scene.hvac.ns.nft(SYNS.format(scene.home.host.address))
    began = time.monotonic()
    lines = [scene.line(reached.at["a"]) for _ in range(60)]
    gateway.wait_line(r'"event":"refused"')
    wait_until(lambda: sum(map(is_over, lines)) + scene.hvac.counter("syns") >= 60, 20,
               "each of them is connected or refused")
    told = sum(event["event"] == "refused" for event in gateway.events())
    check(told < 10, f"{told} refusals are told")
    lasted = time.monotonic() - began
    connected = scene.hvac.counter("syns")
    check(5 <= connected <= 5 + 5 * lasted, f"{connected} connections in {lasted:.1f} s")
    check(connected < 60, "all got through")
    for line in lines:
        line.close()


def test_silence_looks_the_same(world):
    """Refused, filtered, and no host at all: the same answer after the same time."""
    scene = Scene(world)
    scene.cam.ns.nft("add rule inet watch arriving tcp dport 81 drop\n")
    nobody = "192.168.1.200"
    gateway = scene.start_gateway(
        "--allow", f"{scene.hvac.address}:81=refused",
        "--allow", f"{scene.cam.address}:81=filtered",
        "--allow", f"{nobody}:81=gone", "--allow-key", scene.user.key())
    reached = scene.connect(gateway.key, "refused", "filtered", "gone")
    took = {}
    for name in ("refused", "filtered", "gone"):
        began = time.monotonic()
        with scene.line(reached.at[name]) as line:
            check(is_ended(line), f"{name}: something came")
        took[name] = time.monotonic() - began
    print("   " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items()))
    check(all(3.9 < seconds < 4.9 for seconds in took.values()), f"{took}")


def test_what_is_never_offered(world):
    """The gateway's own addresses, loopback and metadata, whatever is allowed, and what a route
    makes its own; and addresses that no rule has."""
    scene = Scene(world)
    own = scene.home.host.address
    scene.home.host.ip("route add local 203.0.113.0/24 dev lo")
    gateway = scene.start_gateway(
        "--allow", "0.0.0.0/0", "--allow", f"{own}:80=own", "--allow", "127.0.0.1:80=loop",
        "--offer", "meta=169.254.169.254:80", "--offer", "cast=192.168.1.255:80",
        "--offer", "zero=192.168.1.0:80", "--offer", "name=localhost:80",
        "--offer", "route=203.0.113.5:80",
        "--offer", f"fine={scene.hvac.address}:80",
        "--allow-key", scene.user.key())
    gateway.wait_line(r'"event":"offered","service":"fine"')
    for name in ("own", "loop", "meta", "cast", "zero", "name", "route"):
        gateway.wait_line(rf'"event":"not-offered","service":"{name}",.*no rule allows')
    listed = {entry["name"]: entry["reason"] for entry in scene.ask_gateway("list")["services"]}
    check(listed.pop("fine") is None and len(listed) == 7 and all(listed.values()), f"{listed}")
    gateway.stop()
    bounded = scene.start_gateway("--allow", f"{scene.hvac.address}:80",
                                  "--offer", f"web.third={scene.third.address}:80",
                                  "--offer", f"alt.hvac={scene.hvac.address}:8080", is_new=False)
    for name in ("web.third", "alt.hvac"):
        bounded.wait_line(rf'"event":"not-offered","service":"{name}"')


def test_a_name_that_is_led_elsewhere(world):
    """A neighbour is offered by its name; when the name then stands for another address, that one
    is not connected to."""
    if shutil.which("unshare") is None:
        raise Skipped("a hosts file of its own cannot be shown without unshare")
    scene = Scene(world)
    hosts = world.folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{scene.hvac.address} unit.example\n")
    plain = scene.gate.argv
    scene.gate.argv = lambda *words: ["unshare", "-m", "sh", "-c",
                                      f"mount --bind {hosts} /etc/hosts && exec \"$@\"", "sh",
                                      *plain(*words)]
    gateway = scene.start_gateway("--allow", f"{scene.hvac.address}:80", "--offer",
                                  "web=unit.example:80", "--allow-key", scene.user.key())
    reached = scene.connect(gateway.key, "web")
    hosts.write_text(f"127.0.0.1 localhost\n{scene.third.address} unit.example\n")
    # The first use looks the name up again.
    scene.gets(reached.at["web"], "hvac")
    gateway.wait_line(r"leads to where it may not")
    got = scene.page(reached.at["web"], seconds=10)
    check(got.returncode != 0 and "third" not in got.stdout, f"{got}")
    check(scene.third.counter("heard") == 0, "the other host was connected to")


def test_the_short_program(world):
    """examples-c/gateway.c: a neighbour in a few lines of C."""
    scene = Scene(world)
    scene.hvac.publishes("tcp . 80")
    with scene.home.host:
        program = world.start("program", world.tools.bin / "gateway", world.folder / "program",
                              scene.broker.uri, scene.broker.code(), scene.user.key(),
                              scene.hvac.address)
    program.wait_line(r"^event 1:")
    key = program.wait_line(r"^key (\S+)").group(1)
    reached = scene.connect(key, "web.neighbour")
    scene.gets(reached.at["web.neighbour"], "hvac")
    scene.hvac.heard_nothing_else()
