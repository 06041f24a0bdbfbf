"""Owners: devices that are claimed, granted, taken back and given away, by the programs in C."""

import re
import time

from harness import check

SECRET = "00000-00000-00000-00000-00000"
LISTED, OTHER = "11" * 32, "22" * 32


class Owner:
    """The program owner with its own state folder; enrolled when it first needs the broker."""

    def __init__(self, world, broker, name="owner"):
        self.world, self.broker, self.state = world, broker, world.folder / name
        self.name, self.enrol = name, ["--enrol", broker.code()]

    def key(self):
        return self.world.reach_key(self.name)

    def try_to(self, what, *arguments):
        argv = [self.world.tools.owner, "--state", self.state]
        if what != "grant":
            argv += ["--broker", self.broker.uri, *self.enrol]
            self.enrol = []
        return self.world.run(*argv, what, *arguments)

    def do(self, what, *arguments):
        """The word behind the first word of what it printed."""
        done = self.try_to(what, *arguments)
        check(done.returncode == 0, f"owner {what}: {done.stdout}{done.stderr}")
        return done.stdout.split()[-1]

    def fails_to(self, what, *arguments, because):
        done = self.try_to(what, *arguments)
        check(done.returncode == 1 and because in done.stderr,
              f"owner {what}: status {done.returncode}: {done.stdout}{done.stderr}")


def owned(world, services, *options):
    """A broker, a device that was claimed, its owner and the epoch."""
    broker = world.broker()
    device = world.device(broker, services, options=["--owner", SECRET, *options])
    owner = Owner(world, broker)
    epoch = owner.do("claim", device.key, SECRET)
    device.wait_line(r"^claimed " + owner.key() + " 1")
    return broker, device, owner, epoch


def granted(world, owner, device, epoch, name, *services, seconds=0):
    """A user's grant: the file, and its ID."""
    file = world.folder / f"{name}.grant"
    return file, owner.do("grant", device.key, epoch, world.reach_key(name), seconds, file,
                          *services)


def test_owner_claims_shares_and_takes_back(world):
    """Claimed by the label's secret; a user uses what was granted, and no more; when that is taken
    back the session ends within seconds, and another user's goes on."""
    web = world.web({"index.html": b"owned\n"})
    other = world.web({"index.html": b"not for everybody\n"}, name="other")
    broker, device, owner, epoch = owned(world, {"web": web.port, "other": other.port})
    owner.fails_to("claim", device.key, SECRET, because="it exists already")
    first, first_id = granted(world, owner, device, epoch, "first", "web")
    second, _ = granted(world, owner, device, epoch, "second")
    users = {name: world.reach(broker, device.key, "web", "other", name=name, grant=grant)
             for name, grant in (("first", first), ("second", second))}
    check(world.curl(users["first"].at["web"], "index.html").stdout == "owned\n", "not granted")
    denied = world.curl(users["first"].at["other"], "index.html", seconds=10)
    check(denied.returncode != 0, "a service that was not granted")
    check(world.curl(users["second"].at["other"], "index.html").stdout == other_text(), "all")
    owner.do("revoke", device.key, epoch, 1, first_id)
    device.wait_line(r"^revoked .*1")
    users["first"].wait_line(r"^session-down", seconds=10)
    gone = world.curl(users["first"].at["web"], "index.html", seconds=10)
    check(gone.returncode != 0, "it was taken back")
    check("session-down" not in users["second"].text(), "another user's session ended")
    check(world.curl(users["second"].at["web"], "index.html").stdout == "owned\n", "not granted")
    owner.fails_to("revoke", device.key, epoch, 0, because="not a grant or list")


def other_text():
    return "not for everybody\n"


def test_owner_outlives_restarts(world):
    """Who owns it and what was taken back is stored: a device that was killed knows it."""
    web = world.web({"index.html": b"owned\n"})
    broker, device, owner, epoch = owned(world, {"web": web.port})
    grant, grant_id = granted(world, owner, device, epoch, "user", "web")
    owner.do("revoke", device.key, epoch, 7, grant_id)
    device.kill()
    world.device(broker, {"web": web.port}, enrol="", options=["--owner", SECRET])
    user = world.reach(broker, device.key, "web", name="user", grant=grant, listen=False)
    user.wait_line(r"^session-down", seconds=30)
    check("session-up" not in user.text(), "a grant that was taken back before the restart")
    owner.fails_to("revoke", device.key, epoch, 6, grant_id, because="not a grant or list")
    # The owner needs no grant.
    owning = world.reach(broker, device.key, "web", name="owner", enrol="")
    check(world.curl(owning.at["web"], "index.html").stdout == "owned\n", "the owner")


def test_grant_expires(world):
    """A grant ends its session when its time is over."""
    web = world.web({"index.html": b"for a while\n"})
    broker, device, owner, epoch = owned(world, {"web": web.port})
    grant, _ = granted(world, owner, device, epoch, "user", "web", seconds=20)
    began = time.monotonic()
    user = world.reach(broker, device.key, "web", name="user", grant=grant)
    check(world.curl(user.at["web"], "index.html").stdout == "for a while\n", "not granted")
    user.wait_line(r"^session-down", seconds=40)
    check(time.monotonic() - began > 5, "it ended at once")
    check(world.curl(user.at["web"], "index.html", seconds=10).returncode != 0, "it expired")


def test_owner_changes(world):
    """Given away, the device obeys the new owner, and grants of the old one are good for nothing;
    reset, it obeys nobody, and can be claimed by a code that it shows."""
    web = world.web({"index.html": b"owned\n"})
    broker, device, owner, epoch = owned(world, {"web": web.port})
    grant, _ = granted(world, owner, device, epoch, "user", "web")
    user = world.reach(broker, device.key, "web", name="user", grant=grant)
    new = Owner(world, broker, "new")
    owner.do("transfer", device.key, epoch, new.key())
    device.wait_line(r"^owner-changed " + new.key() + " 2")
    user.wait_line(r"^session-down", seconds=10)
    owner.fails_to("revoke", device.key, epoch, 1, because="access denied")
    new.do("revoke", device.key, "2", "1")
    device.stop()
    device = world.device(broker, {"web": web.port}, enrol="", options=["--owner-reset"])
    device.stop()
    device = world.device(broker, {"web": web.port}, enrol="", options=["--owner-by-code"])
    code = device.wait_line(r"^claim-code (\S+)").group(1)
    wrong = code[:-1] + ("0" if code[-1] != "0" else "1")
    new.fails_to("claim", device.key, wrong, because="argument")
    new.fails_to("claim", device.key, SECRET, because="access denied")
    check(int(new.do("claim", device.key, code)) == 3, "the epoch counts on")
    new.fails_to("claim", device.key, code, because="it exists already")


def test_headless_sensor(world):
    """A sensor reaches the host that it trusts by a grant; the host lets in listed code alone."""
    sink = world.peer("echo")
    broker, host, owner, epoch = owned(world, {"readings": sink.port}, "--code", LISTED)
    grant, _ = granted(world, owner, host, epoch, "sensor", "readings")

    def sensor(name, code, enrol):
        return world.start(name, world.tools.sensor, "--state", world.folder / "sensor",
                           "--broker", broker.uri, *enrol, "--grant", grant, "--code", code,
                           host.key, "readings")

    unlisted = sensor("unlisted", OTHER, ["--enrol", broker.code()])
    unlisted.wait_line(r"^session-down: access denied")
    host.wait_line(r"^unlisted-code " + OTHER)
    check(not re.search(r"^host reading", unlisted.text(), re.MULTILINE), "it was let in")
    unlisted.stop()
    listed = sensor("listed", LISTED, [])
    listed.wait_line(r"^trusted host reached")
    listed.wait_line(r"^host reading \d+ temperature", seconds=20, count=2)
