"""Owners and those whom they let in, by accounts at a real server and devices that obey."""

import json
import re
import subprocess

from harness import Skipped, check, free_port, wait_until
from people import Person

PASSWORD = "correct horse battery staple"


def server(world):
    """A server with its API."""
    if world.run(world.tools.server, "account", "--help").returncode != 0:
        raise Skipped("this server is built without accounts")
    port = free_port()
    broker = world.broker(options=("--http", f"127.0.0.1:{port}"))
    broker.http = port
    return broker


def somebody(world, broker, name, *options):
    """With an account, and logged in."""
    made = subprocess.run(
        [world.tools.server, "account", "--state", broker.state, "add", *options, name],
        input=PASSWORD + "\n", text=True, capture_output=True, check=False)
    check(made.returncode == 0, f"no account: {made.stdout}{made.stderr}")
    person = Person(world, name)
    log_in(person, broker)
    return person


def log_in(person, broker):
    said = person.do("login", "--user", person.name, "--http", broker.http, broker.uri,
                     typed=PASSWORD + "\n")
    check("logged in" in said, said)


def garage(world, broker, **options):
    """A device that obeys an owner, with two services, and the text of its label."""
    secret = Person(world, "maker").do("secret", "new").strip()
    web = world.web({"index.html": b"over there\n"})
    options.setdefault("options", ["--owner", secret])
    device = world.device(broker, {"web": web.port, "other": web.port}, **options)
    return device, secret


def setting(world, *others):
    """A server, an owner with a claimed device, and others with accounts."""
    broker = server(world)
    ann = somebody(world, broker, "ann")
    device, secret = garage(world, broker)
    ann.do("claim", secret, device.key)
    wait_until(lambda: owner_of(ann, device) == ann.key(), 10, "the server knows the owner")
    return broker, device, ann, *(somebody(world, broker, name) for name in others)


def owner_of(person, device):
    for seen in person.json("devices"):
        if seen["key"] == device.key:
            return seen["owner"]
    return None


def logged(person):
    """Kinds of events that the server has for somebody."""
    lines = person.do("log", "--json").splitlines()
    return {json.loads(line)["kind"] for line in lines}


def fetched(world, at):
    return world.curl(at, "index.html", seconds=10).stdout == "over there\n"


def ended(process, device):
    """Its session with the device ended."""
    return any(event["event"] == "session-down" and event["device"] == device.key
               for event in process.events())


def test_login_claim_connect(world):
    """A login, a claim by what the label says, and a page of one's own device."""
    broker = server(world)
    ann = somebody(world, broker, "ann")
    ann.refused(3, "wrong", "login", "--user", "ann", "--http", broker.http, broker.uri,
                typed="another password\n")
    device, secret = garage(world, broker)
    wrong = Person(world, "guesser").do("secret", "new").strip()
    ann.refused(5, "secret is wrong", "claim", wrong, device.key)
    label = ann.json("secret", "show", "--for", device.key, secret)["qr"]
    ann.do("claim", label)
    wait_until(lambda: owner_of(ann, device) == ann.key(), 10, "the server knows the owner")
    shown = ann.do("devices")
    check("online" in shown and "you" in shown, shown)
    check("web" in ann.do("services", device.key), "no services")
    ann.do("rename", device.key, "garage")
    process = ann.connect("garage/web")
    check(fetched(world, process.at["web"]), "the page did not come")
    # Rows are written after what they tell of.
    wait_until(lambda: {"node.online", "session.introduced"} <= logged(ann), 10,
               "the log has the device and the session")
    check("node.online" in ann.do("log"), "the log in words")
    bob = somebody(world, broker, "bob")
    bob.refused(4, "somebody owns it already", "claim", secret, device.key)
    check(bob.json("devices") == [], "a stranger sees the device")
    ann.do("logout")
    ann.refused(3, "rit login", "devices")


def test_pinned_key(world):
    """A server that does not hold the broker's key gets no password."""
    broker = server(world)
    key = Person(world, "other").key()
    other = re.sub(r"//[a-z2-7]{52}@", f"//{key}@", broker.uri)
    person = Person(world, "ann")
    person.refused(6, "does not hold the key", "login", "--user", "ann", "--http", broker.http,
                   other, typed=PASSWORD + "\n")


def test_share_and_revoke(world):
    """A grant of one service; taken back, its session ends in seconds, the owner's goes on."""
    _, device, ann, bob = setting(world, "bob")
    ann.configure(f'[names]\nbob = "{bob.key()}"\ngarage = "{device.key}"\n')
    bob.refused(4, "no device", "connect", "garage/web")
    grant = ann.json("share", "garage", "--to", "bob", "--services", "web", "--for", "30d")
    check(grant["id"][:8] in ann.do("grants") and grant["id"][:8] in bob.do("grants"), "no list")
    his, hers = bob.connect(f"{device.key}/web"), ann.connect("garage/web")
    check(fetched(world, his.at["web"]) and fetched(world, hers.at["web"]), "no page")
    bob.refused(5, "no service 'other'", "connect", f"{device.key}/other")
    bob.refused(5, "not yours", "revoke", "--all", "--device", device.key)
    said = ann.do("revoke", grant["id"][:8])
    check("the device knows" in said, said)
    wait_until(lambda: ended(his, device), 10, "the session ends")
    check(not ended(hers, device) and fetched(world, hers.at["web"]), "the owner's ended too")
    check(ann.json("devices")[0]["list_number"] == 1, "the server has no list")
    his.stop()
    again = bob.start("connect", f"{device.key}/web")
    wait_until(lambda: ended(again, device), 20, "it is refused")
    check(not any(event["event"] == "session-up" for event in again.events()), "it is let in")


def test_grant_as_a_file(world):
    """A grant that nobody stores: handed over as a file, used without an account."""
    broker, device, ann = setting(world)
    carol = Person(world, "carol")
    carol.do("enrol", "node", broker.code(), broker.uri)
    file = world.folder / "grant"
    ann.do("share", device.key, "--to", carol.key(), "--all", "--out", file)
    dave = Person(world, "dave")
    dave.refused(5, "for somebody else", "connect", device.key, "--grant", file,
                 "--broker", broker.uri)
    process = carol.connect(f"{device.key}/web", "--grant", file)
    check(fetched(world, process.at["web"]), "the page did not come")
    process.stop()
    # It was kept, and another process is given it too.
    first = carol.connect(f"{device.key}/other", services=("other",))
    check(fetched(world, first.at["other"]), "the page did not come again")


def test_shared_on(world):
    """A grant that may be shared on; who takes back the key in the middle ends what follows."""
    _, device, ann, bob, carol = setting(world, "bob", "carol")
    ann.do("share", device.key, "--to", bob.key(), "--services", "web,other", "--can-share", "1")
    bob.refused(5, "more services", "share", device.key, "--to", carol.key(), "--all")
    bob.refused(5, "depth", "share", device.key, "--to", carol.key(), "--services", "web",
                "--can-share", "1")
    bob.do("share", device.key, "--to", carol.key(), "--services", "web")
    process = carol.connect(f"{device.key}/web")
    check(fetched(world, process.at["web"]), "the page did not come")
    ann.do("revoke", "--key", bob.key(), "--device", device.key)
    wait_until(lambda: ended(process, device), 10, "the session ends")


def test_revoke_all(world):
    """All grants until now; one made after that is good."""
    _, device, ann, bob = setting(world, "bob")
    ann.do("share", device.key, "--to", bob.key(), "--all")
    process = bob.connect(f"{device.key}/web")
    ann.do("revoke", "--all", "--device", device.key)
    wait_until(lambda: ended(process, device), 10, "the session ends")
    process.stop()
    ann.do("share", device.key, "--to", bob.key(), "--all")
    check(fetched(world, bob.connect(f"{device.key}/web").at["web"]), "the new grant is no good")


def test_transfer(world):
    """The new owner has it, and the old one no longer."""
    _, device, ann, bob = setting(world, "bob")
    ann.refused(2, "--yes", "transfer", device.key, "--to", bob.key())
    process = ann.connect(f"{device.key}/web")
    ann.do("transfer", device.key, "--to", bob.key(), "--yes")
    wait_until(lambda: ended(process, device), 10, "the old owner's session ends")
    wait_until(lambda: owner_of(bob, device) == bob.key(), 10, "the server knows the owner")
    check(fetched(world, bob.connect(f"{device.key}/web").at["web"]), "the page did not come")
    ann.refused(5, "not yours", "share", device.key, "--to", bob.key(), "--all")
    process.stop()
    bob.do("share", device.key, "--to", ann.key(), "--services", "web")
    check(fetched(world, ann.connect(f"{device.key}/web").at["web"]), "a grant by the new owner")


def test_expired(world):
    """A grant whose time is over is refused, and its session ends."""
    broker, device, ann, bob = setting(world, "bob")
    file = world.folder / "grant"
    ann.do("share", device.key, "--to", bob.key(), "--all", "--for", "6s", "--out", file)
    process = bob.connect(f"{device.key}/web", "--grant", file)
    wait_until(lambda: ended(process, device), 15, "the session ends")
    process.stop()
    bob.refused(5, "expired", "connect", device.key, "--grant", file)


def test_nearby(world):
    """A device that shows a code, behind one's own address."""
    broker = server(world)
    ann = somebody(world, broker, "ann")
    device, _ = garage(world, broker, options=["--owner-by-code"])
    code = device.wait_line(r"^claim-code (\S+)").group(1)
    found = wait_until(lambda: ann.json("claim", "--nearby"), 10, "it is listed")
    check([near["key"] for near in found] == [device.key], f"{found}")
    ann.refused(2, "mistyped", "claim", code[:-1] + ("0" if code[-1] != "0" else "1"), device.key)
    ann.do("claim", "-", device.key, typed=code + "\n")
    wait_until(lambda: owner_of(ann, device) == ann.key(), 10, "the server knows the owner")
    check(ann.json("claim", "--nearby") == [], "it is listed with an owner")


def test_administrator(world):
    """Codes and product keys are made by administrators alone, and enrol."""
    broker = server(world)
    admin = somebody(world, broker, "admin", "--role", "admin")
    codes = admin.json("enrol", "code", "--count", "2", "--valid", "10m")["codes"]
    check(len(codes) == 2, f"{codes}")
    node = Person(world, "node")
    node.do("enrol", "node", codes[0], broker.uri)
    key = admin.do("enrol", "product", "sensors", "--limit", "1", "--tags", "roof").strip()
    check("sensors" in admin.do("enrol", "products"), "no list")
    Person(world, "first").do("enrol", "node", key, broker.uri)
    Person(world, "second").refused(5, "refused", "enrol", "node", key, broker.uri)
    ann = somebody(world, broker, "ann")
    ann.refused(5, "", "enrol", "code")


def test_log_follows(world):
    """`rit log -f` tells what happens when it happens."""
    _, device, ann = setting(world)
    log = ann.start("log", "--follow")
    log.wait_line(r'"kind":"account.login"')
    check("grant.stored" not in log.text(), "it is told too early")
    ann.do("share", device.key, "--to", Person(world, "bob").key(), "--all")
    log.wait_line(r'"kind":"grant.stored"')
