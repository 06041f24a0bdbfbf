"""The browser face: a person with a browser alone reaches a service of a device.

Where the owner is not what is tested, the device allows the face's node by its allow-list; that its
owner granted it is a row then, so that the API, which checks the chain, has something to check it
against.
"""

import hashlib
import http.server
import re
import socket
import ssl
import subprocess
import threading
import urllib.parse

import owners
import venvs
from api import Server, any_certificate, encode, key_bytes, key_text
from browser import Browser
from harness import check, free_port, wait_until
from statements import chain, grant, revoked

# Browsers know by themselves that it is this machine.
DOMAIN = "face.localhost"
ID = bytes(16)


def owner_program(world, server, caller):
    """The program `owner` with the key of an account's client, which its login enrolled."""
    state = world.folder / f"owner of {caller.name}"
    state.mkdir(mode=0o700)
    stored = b"RITi\1" + caller.seed
    (state / "identity").touch(mode=0o600)
    (state / "identity").write_bytes(stored + hashlib.sha256(stored).digest()[:8])
    owner = owners.Owner(world, server.broker, state.name)
    check(owner.key() == key_text(caller.key), "the identity is not read as it was meant")
    return owner


class Pages(http.server.BaseHTTPRequestHandler):
    """A small web server with an echo by WebSocket's way of changing the protocol."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade") == "echo":
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "echo")
            self.end_headers()
            while data := self.connection.recv(4096):
                self.connection.sendall(data)
            return
        body = f"<title>inside</title>{self.headers}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", f"inside=1; Domain={DOMAIN}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Face:
    """A server with a face, a device with two services, and ada, who owns it. `services`: those
    instead, name → port. `owned`: the device obeys her, and has no allow-list."""

    def __init__(self, world, services=None, owned=False):
        self.world = world
        self.cert, self.cert_key = world.folder / "face.pem", world.folder / "face.key"
        self.certify()
        main, self.port = free_port(), free_port()
        self.server = Server(world, "--face", f"*.{DOMAIN}", "--face-cert", self.cert,
                             "--face-key", self.cert_key,
                             "--face-listen", f"127.0.0.1:{self.port}",
                             "--face-main", f"https://127.0.0.1:{main}", port=main)
        self.key = self.server.broker.process.wait_line(r"^face-key (\S+)").group(1)
        if services is None:
            web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
            web.daemon_threads = True
            web.handle_error = lambda *_: None  # connections break here on purpose
            threading.Thread(target=web.serve_forever, daemon=True).start()
            services = {"web": web.server_port, "other": web.server_port}
        self.ada = self.server.user("ada")
        allow, options = ([], ["--owner", owners.SECRET]) if owned else ([self.key], [])
        device = world.device(self.server.broker, services, allow=allow, options=options)
        self.device_key = key_bytes(device.key)
        if owned:
            self.owner = owner_program(world, self.server, self.ada)
            self.epoch = self.owner.do("claim", device.key, owners.SECRET)
            device.wait_line(r"^claimed ")
            return
        self.server.rows("INSERT OR REPLACE INTO trust (device, owner, epoch) VALUES (?, ?, 1)",
                         self.device_key, self.ada.key)
        self.chain = chain(grant(self.ada.seed, self.device_key, key_bytes(self.key), ID))

    def certify(self):
        """A new certificate, in place of the one there is."""
        new = [self.world.folder / name for name in ("new.pem", "new.key")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", new[1],
                        "-out", new[0], "-subj", "/CN=face", "-addext",
                        f"subjectAltName=DNS:*.{DOMAIN}"], check=True, capture_output=True)
        new[1].rename(self.cert_key)
        new[0].rename(self.cert)

    def allow(self, account, service="web", status=201, caller=None):
        rule = {"device": key_text(self.device_key), "service": service, "account": account,
                "chain": encode(self.chain)}
        made = (caller or self.ada).expect(status, "POST", "face/rules", rule)
        return made["url"] if status == 201 else None

    def forbid(self, account, service="web"):
        which = urllib.parse.urlencode({"device": key_text(self.device_key), "service": service,
                                        "account": account})
        self.ada.expect(204, "DELETE", f"face/rules?{which}")

    def connect(self, url):
        name = urllib.parse.urlsplit(url).hostname
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=40)
        return any_certificate().wrap_socket(plain, server_hostname=name)

    def ask(self, url, path="/", *fields, host=None):
        """Status and head and body of an answer, on a connection of its own."""
        connection = self.connect(url)
        host = host or urllib.parse.urlsplit(url).netloc
        head = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", *fields, "", ""]
        connection.sendall("\r\n".join(head).encode())
        came = b""
        try:
            while data := connection.recv(65536):
                came += data
        except ssl.SSLError:
            pass
        connection.close()
        text = came.decode()
        return int(text.split()[1]), text

    def changed(self, url, cookie):
        """A connection that has changed its protocol, and echoes."""
        echo = self.connect(url)
        echo.sendall(f"GET / HTTP/1.1\r\nHost: {urllib.parse.urlsplit(url).netloc}\r\n{cookie}\r\n"
                     "Connection: Upgrade\r\nUpgrade: echo\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += echo.recv(1)
        check(b" 101 " in head, f"{head}")
        echo.sendall(b"hello")
        check(echo.recv(5) == b"hello", "echo")
        return echo

    def log_in(self, url, name, password):
        """By the page's own way, without a browser; the cookie of the service's host."""
        status, sent = self.ask(url, "/deep?x=1")
        check(status == 303, sent)
        state = re.search(r"(?i)set-cookie: ([^;]+)", sent).group(1)
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(
            re.search(r"(?i)location: (\S+)", sent).group(1)).query)
        check(query["path"] == ["/deep?x=1"], f"{query}")
        page = self.server.caller()
        page.page_login(name, password)
        label = query["to"][0]
        entered = page.expect(200, "POST", "face/enter",
                              {"label": label, "state": query["state"][0]})
        path = entered["url"].removeprefix(url) + "&path=" + urllib.parse.quote("/deep?x=1")
        status, came = self.ask(url, path)
        check(status == 403, "another browser has no use for the code")
        entered = page.expect(200, "POST", "face/enter",
                              {"label": label, "state": query["state"][0]})
        path = entered["url"].removeprefix(url) + "&path=//evil.example/"
        status, came = self.ask(url, path, f"Cookie: {state}")
        check(status == 303 and re.search(r"(?i)location: /\r", came), came)
        return re.search(r"(?i)set-cookie: (__Host-rit-face=[^;]+)", came).group(1)


def test_a_person_with_a_browser_alone(world):
    face = Face(world)
    bob = face.server.user("bob")
    face.allow("bob", status=403, caller=bob)
    url, other = face.allow("bob"), face.allow("bob", "other")
    check(face.allow("bob") == url, "its address stays")
    cookie = f"Cookie: {face.log_in(url, 'bob', bob.password)}"
    status, page = face.ask(url, "/", cookie)
    check(status == 200 and "<title>inside" in page, page)
    check("x-forwarded-proto: https" in page.lower() and "__Host-rit" not in page, page)
    check("rit-relay:" in page.lower(), "programs are told that it is not end to end")
    check(re.search(r"(?i)set-cookie: inside=1\r", page), "the cookie stays with its service")
    # Neither the cookie nor the name is good elsewhere.
    check(face.ask(other, "/", cookie)[0] == 303, "another service")
    check(face.ask(url, "/", cookie, host=urllib.parse.urlsplit(other).netloc)[0] == 421, "Host")
    check(face.ask(f"https://{'a' * 26}.{DOMAIN}")[0] == 421, "unknown")
    # A changed protocol, until the rule is taken back.
    echo = face.changed(url, cookie)
    face.forbid("bob", "other")
    cookie_of_ada = f"Cookie: {face.log_in(face.allow('ada'), 'ada', face.ada.password)}"
    face.forbid("bob")
    check(not echo.recv(5), "it ends")
    check(face.ask(url, "/", cookie)[0] == 403, "taken back")
    check(face.ask(url, "/", cookie_of_ada)[0] == 200, "others go on")


def test_the_page_before_a_service(world):
    face = Face(world)
    bob = face.server.user("bob")
    url = face.allow("bob")
    browser = Browser(world)
    browser.open(url + "/deep")
    browser.wait("document.activeElement.id === 'user'")
    for text in ("bob", bob.password, ""):
        browser.type(text)
        browser.press("Tab")
    browser.press("Enter")
    browser.wait("!document.getElementById('notice').hidden")
    notice = browser.run("document.getElementById('notice').textContent")
    check("not end to end" in notice and "web of" in notice, notice)
    browser.press("Enter")
    browser.wait("document.title === 'inside'")
    check(browser.run("location.href") == url + "/deep", "where it began")
    check(browser.run("document.cookie") == "inside=1", "scripts do not see the login")
    check(browser.complaints == [], f"{browser.complaints}")


def test_the_owner_decides(world):
    """A device that obeys its owner: she grants the face's key one service, and takes it back."""
    face = Face(world, owned=True)
    shown = world.run(world.tools.server, "face", "key", "--state", face.server.broker.state)
    check(shown.stdout == f"face-key {face.key}\n", f"{shown.stdout}{shown.stderr}")
    none = world.run(world.tools.server, "face", "key", "--state", world.folder / "nobody's")
    check(none.returncode == 1 and "no browser face" in none.stderr, f"{none}")
    bob = face.server.user("bob")
    file = world.folder / "face.grant"
    device = key_text(face.device_key)
    granted = face.owner.do("grant", device, face.epoch, face.key, 0, file, "web")
    face.chain = file.read_bytes()
    url = face.allow("bob")
    face.allow("bob", "other", status=400)  # not what she granted
    cookie = f"Cookie: {face.log_in(url, 'bob', bob.password)}"
    status, page = face.ask(url, "/", cookie)
    check(status == 200 and "<title>inside" in page, page)
    echo = face.changed(url, cookie)
    face.owner.do("revoke", device, face.epoch, 1, granted)
    check(not echo.recv(5), "what goes on ends")
    check(face.ask(url, "/", cookie)[0] == 403, "taken back")
    # Nobody used the second grant when it is taken back.
    file.unlink()
    second = face.owner.do("grant", device, face.epoch, face.key, 0, file)
    face.chain = file.read_bytes()
    face.allow("bob")
    ids = [bytes.fromhex(granted), bytes.fromhex(second)]
    listed = revoked(face.ada.seed, face.device_key, 2, int(face.epoch), ids)
    face.ada.expect(200, "PUT", f"devices/{device}/revocations", {"list": encode(listed)})
    check(face.ask(url, "/", cookie)[0] == 403, "the second one too")


def test_a_new_certificate_needs_no_restart(world):
    face = Face(world)
    url = f"https://{'a' * 26}.{DOMAIN}"

    def shown():
        with face.connect(url) as connection:
            return connection.getpeercert(binary_form=True)

    first = shown()
    face.certify()
    wait_until(lambda: shown() != first, 30, "the new certificate")
    check(face.ask(url)[0] == 421, "it serves")


SOCKETS = """
import os, socket, ssl, sys, threading
from websockets import exceptions
from websockets.sync import client, server

port, face, url, cookie = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
ended = []


def serve(socket):
    try:
        for message in socket:
            if message == "begin":
                socket.send("first of the server")
            elif message == "bye":
                return socket.close(4001, "of the server")
            else:
                socket.send(message)
    except exceptions.ConnectionClosed:
        pass
    finally:
        ended.append((socket.close_code, socket.close_reason))


service = server.serve(serve, "127.0.0.1", port, subprotocols=["echo"], max_size=None)
threading.Thread(target=service.serve_forever, daemon=True).start()


def connect():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", face))
    return client.connect(url.replace("https", "wss") + "/live", sock=plain, ssl=context,
                          additional_headers={"Cookie": cookie}, subprotocols=["echo"],
                          max_size=None)


with connect() as one:
    assert one.subprotocol == "echo", one.subprotocol
    one.send("begin")
    assert one.recv() == "first of the server"
    for message in ("text", "", b"bytes", os.urandom(200), os.urandom(70_000), "x" * 3_000_000):
        one.send(message)
        assert one.recv() == message, len(message)
    one.send(["in ", "many ", "frames"])
    assert one.recv() == "in many frames"
    assert one.ping().wait(20), "no pong"
    one.send("bye")
    try:
        one.recv()
    except Exception as error:
        assert (error.rcvd.code, error.rcvd.reason) == (4001, "of the server"), error
with connect() as two, connect() as three:
    three.send("three")
    two.send("two")
    assert (two.recv(), three.recv()) == ("two", "three")
    two.close(4002, "of the browser")
    three.send("goes on")
    assert three.recv() == "goes on"
    print("both ways", flush=True)
    # Until somebody ends it.
    try:
        three.recv(timeout=60)
    except TimeoutError:
        sys.exit("it does not end")
    except Exception as error:
        assert error.rcvd is None, error
assert (4002, "of the browser") in ended, ended
print("ended", flush=True)
"""


def test_websockets_of_a_library(world):
    """Frames both ways, by a library that was not made for this: text and bytes, long and short,
    compressed as the two ends agree, pings, reasons for closing."""
    python = venvs.python(world, "websockets==15.0.1")
    port = free_port()
    face = Face(world, services={"web": port})
    url = face.allow("ada")
    cookie = face.log_in(url, "ada", face.ada.password)
    script = world.folder / "sockets.py"
    script.write_text(SOCKETS)
    used = world.start("websockets", python, script, port, face.port, url, cookie)
    used.wait_line(r"^both ways", seconds=60)
    face.forbid("ada")
    used.wait_line(r"^ended", seconds=30)
    check(used.wait_exit() == 0, "it failed")
