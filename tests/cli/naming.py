"""Loopback addresses: their names, that no two services have the same one, and whom they serve."""

import base64
import hashlib
import os
import shutil
import socket
import struct

from connecting import fetched, setting
from harness import Skipped, check, free_port, wait_until
from people import Person, listening

A, AAAA = 1, 28
NO_ERROR, NAME_ERROR, REFUSED = 0, 3, 5


def named(world):
    """The setting, with the device called by a name, at a port that is free everywhere."""
    broker, device, (person,) = setting(world)
    person.configure(f'broker = "{broker.uri}"\n[names]\n"My Garage" = "{device.key}"\n')
    return broker, device, person, free_port()


def asked(at, name, kind=A):
    """What the resolver answers: the code and the addresses."""
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.connect(at)
        client.send(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + question
                    + struct.pack("!BHH", 0, kind, 1))
        answer = client.recv(512)
    number, flags, _, count, _, _ = struct.unpack_from("!HHHHHH", answer)
    check(number == 7 and flags & 0x8000, f"{answer}")
    # Each answer of ours ends the same way, and the last four octets are the address.
    found, rest = [], answer
    for _ in range(count):
        found.insert(0, socket.inet_ntoa(rest[-4:]))
        rest = rest[:-16]
    return flags & 15, found


def test_names_by_resolver(world):
    """`rit up --resolver` answers for what is reached, for nothing else, and not for what was
    left; a second rit is told where the option belongs."""
    broker, device, person, port = named(world)
    up = person.start("connect", f"My Garage/web@{port}", "--enrol", broker.code(),
                      "--resolver", "127.0.0.1:0")
    at = listening(up, "web")
    host, number = up.wait_line(r'"event":"resolver","address":"(.*):(\d+)"').groups()
    ask = (host, int(number))
    wait_until(lambda: asked(ask, "web.my-garage.rit") == (NO_ERROR, [at[0]]), 20, "the name")
    check(asked(ask, "MY-GARAGE.rit") == (NO_ERROR, [at[0]]), "the device has no name")
    check(asked(ask, "web.my-garage.rit", AAAA) == (NO_ERROR, []), "AAAA")
    check(asked(ask, "ssh.my-garage.rit") == (NAME_ERROR, []), "ssh has a name")
    check(asked(ask, "example.org") == (REFUSED, []), "it answers for others")
    person.refused(7, "Give --resolver", "connect", "My Garage", "--resolver", "127.0.0.1:0")
    person.refused(2, "no loopback address", "connect", "My Garage", "--resolver", "192.0.2.1")
    other = person.connect(f"{device.key}/web")
    check(other.at["web"] == at, f"{other.at}")
    other.stop()
    up.stop()
    person.configure(f'broker = "{broker.uri}"\nresolver = "127.0.0.1:0"\n[[connections]]\n'
                     f'device = "{device.key}"\nservices = ["web@{port}"]\n')
    up = person.start("up")
    check(listening(up, "web") == at, "another address")
    host, number = up.wait_line(r'"event":"resolver","address":"(.*):(\d+)"').groups()
    ask = (host, int(number))
    by_key = f"web.{device.key}.rit"
    wait_until(lambda: asked(ask, by_key) == (NO_ERROR, [at[0]]), 20, "the name by its key")
    person.do("disconnect", device.key)
    wait_until(lambda: asked(ask, by_key) == (NAME_ERROR, []), 20, "the name goes")


def test_names_by_hosts(world):
    """`rit hosts` prints what is reached, and keeps its lines in a file apart from all others."""
    broker, _, person, port = named(world)
    person.refused(4, "no rit is running", "hosts")
    reached = person.connect(f"My Garage/web@{port}", "--enrol", broker.code())
    address = reached.at["web"][0]
    line = f"{address} web.my-garage.rit my-garage.rit\n"
    check(person.do("hosts") == line, person.do("hosts"))
    check(person.json("hosts") == [
        {"address": address, "names": ["my-garage.rit", "web.my-garage.rit"]}], "the JSON")
    file = world.folder / "hosts"
    file.write_text("127.0.0.1 localhost\n")
    file.chmod(0o640)
    person.do("hosts", "--write", file)
    written = file.read_text()
    check(written.startswith("127.0.0.1 localhost\n# rit") and line in written, written)
    check(file.stat().st_mode & 0o777 == 0o640, "another mode")
    by_name(world, file, port)
    person.do("hosts", "--remove", file)
    check(file.read_text() == "127.0.0.1 localhost\n", file.read_text())
    person.do("hosts", "--write", file, "--stdin", typed=line)
    check(file.read_text() == written, file.read_text())
    person.refused(2, "no line that", "hosts", "--write", file, "--stdin",
                   typed="127.0.0.1 bank.example\n")
    check(file.read_text() == written, "what was refused has changed the file")


def by_name(world, file, port):
    """The system finds the page by its name, where it can be shown the file as its own."""
    shown = f"mount --bind {file} /etc/hosts"
    if world.run("unshare", "-m", "sh", "-c", shown).returncode != 0:
        return
    for name in ("web.my-garage.rit", "my-garage.rit"):
        got = world.run("unshare", "-m", "sh", "-c", f"{shown} && exec {world.tools.curl} -sS "
                        f"--fail --noproxy '*' http://{name}:{port}/index.html")
        check(got.stdout == "over there\n", f"{name}: {got}")


def derived(key, service):
    """The first choice of an address, as core/src/tunnel/loopback.rs has it."""
    device = base64.b32decode(key.upper() + "====")
    parts = b"rit/1 loopback address" + device + service.encode() + bytes(4)
    octets = hashlib.sha256(parts).digest()
    return f"127.{1 + octets[0] % 254}.{octets[1]}.{1 + octets[2] % 254}"


def colliding(first, second):
    """Names of a service of each device that give the same address."""
    names = [f"s{number}" for number in range(20_000)]
    there = {derived(first, name): name for name in names}
    return next((there[at], name) for name in names if (at := derived(second, name)) in there)


def keys_of_two(world, broker, allow):
    """Two devices that have keys and are not running any more."""
    keys = []
    for name in ("one", "two"):
        device = world.device(broker, ["none=127.0.0.1:9"], name=name, allow=allow)
        keys.append(device.key)
        device.stop()
    return keys


def test_addresses_do_not_collide(world):
    """Two services that would have the same address get two, and keep them in later runs,
    whichever comes first and whichever is there alone."""
    broker = world.broker()
    person = Person(world, "person")
    allow = [person.key()]
    keys = keys_of_two(world, broker, allow)
    services = colliding(*keys)
    web = world.web({"index.html": b"over there\n"})
    for name, service in zip(("one", "two"), services):
        world.device(broker, {service: web.port}, name=name, enrol="", allow=allow)
    targets = [f"{key}/{service}" for key, service in zip(keys, services)]
    person.do("enrol", "node", broker.code(), broker.uri)

    def run(*order):
        reached = person.start("connect", *(targets[which] for which in order))
        at = {which: listening(reached, services[which]) for which in order}
        for which in order:
            check(fetched(world, at[which]), f"{services[which]}: no page at {at[which]}")
        reached.stop()
        return at

    first = run(0)
    check(first[0][0] == derived(keys[0], services[0]), f"{first}")
    both = run(0, 1)
    check(both[0] == first[0] and both[1][0] != both[0][0], f"{both}, before {first}")
    check(run(1) == {1: both[1]}, "the second's address is another when it is alone")
    check(run(1, 0) == both, "addresses depend on the order")
    (person.folder / "state/node/addresses").write_text("no such line\n")
    check(run(0) == first, "a damaged file is in the way")


def be_user(number):
    return ["setpriv", "--reuid", number, "--regid", number, "--clear-groups"]


def stranger(world, at, number=65534):
    return world.run(*be_user(number), world.tools.curl, "-sS", "--noproxy", "*",
                     f"http://{at[0]}:{at[1]}/index.html")


def test_only_own_programs(world):
    """Another user's connection is reset and told; one's own and, if it is wanted, everybody's are
    served."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise Skipped("only root can be another user")
    broker, device, (person,) = setting(world)
    own = person.connect(device.key, "--broker", broker.uri, "--enrol", broker.code())
    check(fetched(world, own.at["web"]), "one's own program is not served")
    got = stranger(world, own.at["web"])
    check(got.returncode != 0 and "over there" not in got.stdout, f"a stranger is served: {got}")
    own.wait_line('"event":"refused",.*"service":"web",.*another user')
    check(fetched(world, own.at["web"]), "one's own program is not served any more")
    person.refused(7, "--share-with-all-users", "connect", device.key, "--broker", broker.uri,
                   "--share-with-all-users")
    own.stop()
    shared = person.connect(device.key, "--broker", broker.uri, "--share-with-all-users")
    check(shared.at == own.at, f"{shared.at}, before {own.at}")
    check(stranger(world, shared.at["web"]).stdout == "over there\n", "a stranger is not served")
    shared.stop()


def test_root_is_served(world):
    """By a rit of somebody who is not root; and still no third."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise Skipped("only root can be another user")
    world.folder.chmod(0o711)
    folder = world.folder / "theirs"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    rit = folder / "program"  # another user may not look into where it was built
    shutil.copy(world.tools.rit, rit)
    person = Person(world, "person")
    person.argv = lambda *words: [
        "env", f"XDG_STATE_HOME={folder}", f"XDG_CONFIG_HOME={folder}", "NO_COLOR=1",
        f"XDG_RUNTIME_DIR={folder}", *be_user(65534), rit, *words]
    broker = world.broker()
    web = world.web({"index.html": b"over there\n"})
    device = world.device(broker, {"web": web.port}, allow=[person.key()])
    reached = person.connect(device.key, "--broker", broker.uri, "--enrol", broker.code())
    check(fetched(world, reached.at["web"]), "root is not served")
    check(stranger(world, reached.at["web"], 65533).returncode != 0, "a third is served")
