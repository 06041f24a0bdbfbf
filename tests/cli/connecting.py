"""Connections by keys that a device allows: no account, no grant."""

import json
import os
import socket
import stat

from harness import check, free_port, wait_until
from people import Person, listening


def setting(world, allowed=1):
    """A broker, people, and a device with a page that lets them in."""
    broker = world.broker()
    people = [Person(world, f"person{number}") for number in range(allowed)]
    web = world.web({"index.html": b"over there\n"})
    device = world.device(broker, {"web": web.port}, allow=[person.key() for person in people])
    return broker, device, people


def fetched(world, at):
    return world.curl(at, "index.html").stdout == "over there\n"


def test_connect_and_fetch(world):
    """A page through the loopback address, by every service and by a named one at a port."""
    broker, device, (person,) = setting(world)
    first = person.connect(device.key, "--broker", broker.uri, "--enrol", broker.code())
    check(first.at["web"][0].startswith("127."), f"listens at {first.at}")
    check(fetched(world, first.at["web"]), "the page did not come")
    line = first.wait_line(r'^{"event":"path",.*$')
    path = json.loads(line.group(0))
    check(path["path"] == "direct" and path["device"] == device.key, f"{path}")
    first.stop()
    check(first.child.returncode == 0, f"ended with {first.child.returncode}")
    port = free_port()
    named = person.connect(f"{device.key}/web@{port}", "--broker", broker.uri)
    check(named.at["web"] == (first.at["web"][0], port), f"{named.at}, before {first.at}")
    check(fetched(world, named.at["web"]), "the page did not come at the other port")


def test_second_process_is_carried(world):
    """A second `rit connect` asks the first, and takes over when that one ends."""
    broker, device, (person,) = setting(world)
    first = person.connect(device.key, "--broker", broker.uri, "--enrol", broker.code())
    second = person.connect(f"{device.key}/web", "--broker", broker.uri)
    check(second.at == first.at, f"{second.at}, {first.at}")
    status = person.json("status")
    check(status["is_running"], f"{status}")
    kinds = {line["event"] for line in status["connections"]}
    check({"online", "session-up", "path", "listening"} <= kinds, f"{kinds}")
    first.kill()
    check(listening(second, "web", count=2) == first.at["web"], "another address")
    wait_until(lambda: fetched(world, first.at["web"]), 20, "the page comes by the second")


def test_up_keeps_what_is_configured(world):
    """`rit up` reads the configuration, tells the service manager, and is asked by others."""
    broker, device, (person,) = setting(world)
    port = free_port()
    person.configure(f'broker = "{broker.uri}"\n[names]\ngarage = "{device.key}"\n'
                     f'[[connections]]\ndevice = "garage"\nservices = ["web@{port}"]\n')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(world.folder / "notify"))
        manager.settimeout(20)
        person.environment.append(f"NOTIFY_SOCKET={world.folder / 'notify'}")
        up = person.start("up", "--enrol", broker.code())
        person.environment.pop()
        check(manager.recv(100) == b"READY=1", "the service manager is not told")
    at = listening(up, "web")
    check(at[1] == port and fetched(world, at), f"not at {at}")
    person.refused(7, "another rit has the state folder", "up")
    other = person.connect("garage/web")
    check(other.at["web"] == at, f"{other.at}, {at}")
    control, = [path for path in (person.folder / "run/rit").iterdir() if path.is_socket()]
    mode = stat.S_IMODE(os.stat(control.parent).st_mode)
    check(mode == 0o700, f"the socket's folder has mode {mode:o}")
    up.stop()
    check(up.child.returncode == 0, f"ended with {up.child.returncode}")


def test_beside_the_c_programs(world):
    """The C device and the C reaching side run beside it, each with its own state folder; one
    folder is not used by two."""
    broker, device, (person,) = setting(world)
    mine = person.connect(device.key, "--broker", broker.uri, "--enrol", broker.code())
    reach = world.start("reach", world.tools.reach, "--state", person.folder / "state/node",
                        "--broker", broker.uri, device.key)
    reach.expect_error("in use by another process")
    check(fetched(world, mine.at["web"]), "the page did not come")
    mine.stop()
    held = world.start("holder", world.tools.reach, "--state", person.folder / "state/node",
                       "--broker", broker.uri, device.key)
    held.wait_line(r"^listening web")
    person.refused(7, "another program has the state folder",
                   "connect", device.key, "--broker", broker.uri)


def test_mistakes_are_told(world):
    """What goes wrong ends with its own status and says what to do."""
    person = Person(world, "person")
    person.refused(3, "rit login", "devices")
    person.refused(3, "--broker", "connect", "a" * 52)
    person.refused(4, "rit devices", "connect", "garage", "--broker", "rit://x")
    person.refused(2, "no name of a service", "connect", "a" * 52 + "/Web")
    person.refused(2, "begin with rit://", "login", "http://server")
    person.refused(6, "Is the address right", "connect", "a" * 52, "--broker", "rit://x")
    person.configure("nmaes = 1\n")
    person.refused(2, "nmaes", "status")


def test_wrong_code_is_refused(world):
    """A node with a wrong enrol code ends and says so."""
    broker, device, (person,) = setting(world)
    person.refused(5, "refused", "connect", device.key, "--broker", broker.uri,
                   "--enrol", "WRONG-CODE")
    person.do("enrol", "node", broker.code(), broker.uri)
    check(person.json("status")["broker"] == broker.uri, "the broker was not kept")
    check(fetched(world, person.connect(device.key).at["web"]), "the page did not come")
