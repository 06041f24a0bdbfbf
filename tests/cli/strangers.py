"""What strangers can say: names that a server or its users choose reach a terminal."""

import http.server
import json
import threading

from harness import check, wait_until
from people import Person

EVIL = "\x1b]0;owned\x07\x1b[2J\u202egarage\u200b\n\x9b31mfake line"
KEYS = ("a" * 51 + "a", "b" * 51 + "a")


class Answers(http.server.BaseHTTPRequestHandler):
    """The API of a server that means harm."""

    devices = []

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/challenge"):
            self.answer({"nonce": "AAECAwQFBgcICQoLDA0ODw"})
        elif self.path.endswith("/login"):
            self.answer({"token": "t", "broker": self.server.broker, "user": EVIL})
        else:
            self.answer({"detail": EVIL, "title": "no"}, 403)

    def do_GET(self):
        if self.path.startswith("/api/v1/devices"):
            self.answer({"devices": self.devices, "next": None})
        elif self.path.startswith("/api/v1/events"):
            self.answer({"events": [{"id": 1, "at_s": 1, "kind": EVIL, "detail": {EVIL: EVIL}}]})
        else:
            self.answer({"detail": EVIL}, 404)

    def log_message(self, *_):
        pass


def logged_in(world, devices):
    """Somebody who trusts such a server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Answers.devices = devices
    person = Person(world, "person")
    server.broker = f"rit://{KEYS[0]}@127.0.0.1:7480"
    url = f"http://127.0.0.1:{server.server_port}"
    said = person.do("login", "--user", "ann", "--http", url, server.broker, typed="password\n")
    return person, said


def harmless(text):
    bad = {c for c in text if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)}
    bad |= {c for c in text if c in "\u202e\u200b"}
    return not bad


def test_hostile_names_are_inert(world):
    """Names, services, events and errors of a hostile server do nothing to the terminal."""
    device = {"key": KEYS[0], "name": EVIL, "is_online": True, "firmware": EVIL, "city": EVIL,
              "services": [{"name": EVIL, "kind": EVIL, "port": 80}], "country": EVIL}
    person, said = logged_in(world, [device])
    check(harmless(said), f"login: {said!r}")
    shown = person.do("devices")
    check(harmless(shown) and "garage" in shown, f"devices: {shown!r}")
    check(len(shown.splitlines()) == 2, f"a name made a line: {shown!r}")
    shown = person.do("log")
    check(harmless(shown) and len(shown.splitlines()) == 1, f"log: {shown!r}")
    said = person.refused(5, "the server says", "enrol", "code").stderr
    check(harmless(said), f"an error: {said!r}")
    check(person.json("devices")[0]["name"] == EVIL, "JSON does not keep the name")


def test_names_stay_with_their_device(world):
    """A server cannot put another device in the place of one that was used by its name."""
    old = [{"key": KEYS[0], "name": "garage"}]
    person, _ = logged_in(world, old)
    Answers.devices = old
    # It is looked up, and kept; the connection itself is not waited for.
    process = person.start("connect", "garage/web")
    wait_until(lambda: kept(person), 10, "the name is kept")
    process.stop()
    Answers.devices = [{"key": KEYS[1], "name": "garage"}]
    warned = person.run("devices")
    check("rit forget" in warned.stderr, f"no warning: {warned.stderr}")
    check(kept(person) == {"garage": KEYS[0]}, f"{kept(person)}")
    person.do("forget", "garage")
    check(kept(person) == {}, f"{kept(person)}")
    person.refused(4, "no device is called", "connect", "barn/web")


def kept(person):
    return json.loads((person.folder / "state/state.json").read_text())["names"]
