"""The browser face: a person with a browser alone reaches a service of a device.

The device allows the face's node by its allow-list; that its owner granted it is a row here, so
that the API, which checks the chain, has something to check it against.
"""

import http.server
import re
import socket
import ssl
import subprocess
import threading
import urllib.parse

from api import Server, any_certificate, encode, key_bytes, key_text
from browser import Browser
from harness import check, free_port
from statements import chain, grant

# Browsers know by themselves that it is this machine.
DOMAIN = "face.localhost"
ID = bytes(16)


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
    """A server with a face, a device with two services, and ada, who owns it."""

    def __init__(self, world):
        cert, key = world.folder / "face.pem", world.folder / "face.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", key, "-out",
                        cert, "-subj", "/CN=face", "-addext", f"subjectAltName=DNS:*.{DOMAIN}"],
                       check=True, capture_output=True)
        main, self.port = free_port(), free_port()
        self.server = Server(world, "--face", f"*.{DOMAIN}", "--face-cert", cert, "--face-key", key,
                             "--face-listen", f"127.0.0.1:{self.port}",
                             "--face-main", f"https://127.0.0.1:{main}", port=main)
        self.key = self.server.broker.process.wait_line(r"^face-key (\S+)").group(1)
        web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        web.daemon_threads = True
        web.handle_error = lambda *_: None  # connections break here on purpose
        threading.Thread(target=web.serve_forever, daemon=True).start()
        at = f"127.0.0.1:{web.server_port}"
        self.device = world.start(
            "device", world.tools.bin / "device", "--state", world.folder / "device", "--broker",
            self.server.broker.uri, "--enrol", self.server.broker.code(), "--allow", self.key,
            f"web={at}", f"other={at}")
        self.device_key = key_bytes(self.device.wait_line(r"^key (\S+)").group(1))
        self.device.wait_line(r"^online")
        self.ada = self.server.user("ada")
        self.server.rows("INSERT OR REPLACE INTO trust (device, owner, epoch) VALUES (?, ?, 1)",
                         self.device_key, self.ada.key)
        self.chain = chain(grant(self.ada.seed, self.device_key, key_bytes(self.key), ID))

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
    echo = face.connect(url)
    echo.sendall(f"GET / HTTP/1.1\r\nHost: {urllib.parse.urlsplit(url).netloc}\r\n{cookie}\r\n"
                 "Connection: Upgrade\r\nUpgrade: echo\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += echo.recv(1)
    check(b" 101 " in head, f"{head}")
    echo.sendall(b"hello")
    check(echo.recv(5) == b"hello", "echo")
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
