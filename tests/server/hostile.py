"""Those who mean harm: other sites, slow and long requests, wrong ones."""

import json
import socket
import time

from api import API, Server
from harness import check


def test_other_sites_and_stolen_cookies(world):
    server = Server(world)
    ada = server.user("ada")
    page = server.caller()
    answer = page.page_login("ada", ada.password)
    cookie = answer.headers["Set-Cookie"]
    for word in ("__Host-rit=", "HttpOnly", "Secure", "SameSite=Strict", "Path=/"):
        check(word in cookie, f"{word} in {cookie}")
    check(page.expect(200, "GET", "session")["csrf"] == page.csrf, "the same page")
    body = {"url": "https://hooks.example.org/", "events": ["*"]}
    right = page.csrf
    for csrf in ("", right[:-1], right[::-1]):
        page.csrf = csrf
        check(page.expect(403, "POST", "webhooks", body)["code"] == "csrf", "no CSRF token")
        page.expect(403, "DELETE", "session")
    page.csrf = right
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"},
                    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        check(page.ask("POST", "webhooks", body, headers=headers).status == 403, f"{headers}")
        page.page_login("ada", ada.password, status=403, headers=headers)
    page.expect(201, "POST", "webhooks", body)
    # A form of another site cannot say application/json; that it says nothing is no help.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None):
        headers = {"Content-Type": kind} if kind else {}
        raw = json.dumps(body).encode()
        check(page.ask("POST", "webhooks", headers=headers, raw=raw).status == 415, f"{kind}")
    # A cookie is no token, and a token no cookie.
    other = server.caller()
    other.token = page.cookie.split("=")[1]
    other.expect(401, "GET", "session")
    other.token, other.cookie, other.csrf = None, f"__Host-rit={ada.token}", right
    other.expect(401, "GET", "session")


def test_sessions_are_not_fixed(world):
    """A cookie that somebody planted is worth nothing after the login, and gone is gone."""
    server = Server(world)
    ada = server.user("ada")
    page = server.caller()
    page.page_login("ada", ada.password)
    first = page.cookie
    page.page_login("ada", ada.password)
    check(page.cookie != first, "a new cookie")
    planted = server.caller()
    planted.cookie, planted.csrf = first, page.csrf
    planted.expect(401, "GET", "session")
    planted.cookie = "__Host-rit=" + "A" * 43
    answer = planted.ask("POST", "session", {"user": "ada", "password": ada.password})
    check("A" * 43 not in answer.headers["Set-Cookie"], "the planted one is not taken")
    page.expect(204, "DELETE", "session")
    page.expect(401, "GET", "session")


def test_headers_of_every_answer(world):
    server = Server(world)
    caller = server.caller()
    for path in ("/", "/page.js", "/page.css", "/health", f"{API}/account", "/nowhere", "//evil"):
        answer = caller.ask("GET", path)
        for name, value in (("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"),
                            ("Referrer-Policy", "no-referrer")):
            check(answer.headers[name] == value, f"{path}: {name}")
        policy = answer.headers["Content-Security-Policy"]
        check("default-src 'none'" in policy and "frame-ancestors 'none'" in policy, policy)
        check("unsafe" not in policy and "http" not in policy, policy)
    check(caller.ask("GET", "/").headers["Strict-Transport-Security"] is None, "self-signed")


def test_no_redirect_leads_away(world):
    server = Server(world)
    caller = server.caller()
    for path in ("//evil.example/", "/\\evil.example", "/?next=https://evil.example",
                 "/https://evil.example", "/%2f%2fevil.example", f"{API}//evil.example/..",
                 "/session?return=//evil.example", "/..", f"{API}/"):
        answer = caller.ask("GET", path)
        check(not 300 <= answer.status < 400 and answer.headers["Location"] is None,
              f"{path}: {answer.status}")
        check(b"evil.example" not in answer.body, f"{path} is repeated")


def test_long_and_wrong_requests(world):
    server = Server(world)
    ada = server.user("ada")
    long = b'{"chain": "' + b"A" * 20_000 + b'"}'
    kind = {"Content-Type": "application/json"}
    ada.expect(413, "POST", "grants", raw=long, headers=kind)
    ada.expect(413, "POST", "challenge", raw=long, headers=kind)
    for body in (b"", b"{", b"[]", b"null", b'{"chain": 1}', b'{"chain": "="}', b"\xff\xfe",
                 b'{"chain": "' + b"[" * 5000, b"[" * 16_000):
        answer = ada.ask("POST", "grants", raw=body, headers=kind)
        check(answer.status == 400, f"{body[:20]!r}: {answer.status}")
        check(len(answer.body) < 300, "nothing of it comes back")
    for method, path in (("GET", "login"), ("PUT", "grants"), ("DELETE", "devices"),
                         ("POST", "events/stream"), ("TRACE", "account"), ("POST", "account")):
        answer = ada.ask(method, path)
        check(answer.status == 405 and answer.headers["Allow"], f"{method} {path}")
        check(answer.json["code"] == "method", f"{method} {path}")
    for path in ("nothing", "devices/", "../health", "webhooks/x", "profiles/99999999999999999999"):
        status = ada.ask("DELETE" if "/" in path else "GET", path).status
        check(status in (404, 405, 403), f"{path}: {status}")
    # Heads that no browser sends.
    for head in (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n",
                 b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
                 b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
                 b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                 b"Content-Length: 2\r\n\r\nab",
                 b"\x16\x03\x01\x00\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0" * 100):
        status = first_line(server, head)
        check(status == b"" or status.split()[1][:1] in (b"4", b"5"), f"{head[:30]!r}: {status}")
    ada.expect(200, "GET", "account")


def first_line(server, sent):
    with server.socket() as connection:
        try:
            connection.sendall(sent)
            connection.settimeout(30)
            return connection.recv(4096).split(b"\r\n")[0]
        except (ConnectionError, TimeoutError, OSError):
            return b""


def test_slow_clients_lose_their_connections(world):
    """Heads and bodies that trickle in end in seconds; meanwhile everybody else is served."""
    server = Server(world, tls=False)
    ada = server.user("ada")
    heads = [server.socket() for _ in range(40)]
    bodies = [server.socket() for _ in range(40)]
    for connection in heads:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    for connection in bodies:
        connection.sendall(b"POST /api/v1/login HTTP/1.1\r\nHost: a\r\nContent-Type: "
                           b"application/json\r\nContent-Length: 1000\r\n\r\n{")
    open_ones, end = heads + bodies, time.monotonic() + 60
    while open_ones:
        check(time.monotonic() < end, f"{len(open_ones)} slow ones are still connected")
        ada.expect(200, "GET", "account")
        open_ones = [connection for connection in open_ones if trickles(connection)]
    check(b"408" in first_line_of_slow_body(server), "it is told")


def trickles(connection):
    """One more byte, and whether the connection stands."""
    try:
        connection.settimeout(0.02)
        connection.sendall(b"a")
        return connection.recv(4096) != b""
    except (TimeoutError, socket.timeout):
        return True
    except OSError:
        return False


def first_line_of_slow_body(server):
    return first_line(server, b"POST /api/v1/login HTTP/1.1\r\nHost: a\r\nContent-Type: "
                              b"application/json\r\nContent-Length: 1000\r\n\r\n{")


def test_too_many_connections_of_one_address(world):
    server = Server(world, tls=False)
    held = []
    for _ in range(128):
        held.append(server.socket())
        held[-1].sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    # The one too many is closed without an answer.
    check(first_line(server, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n") == b"", "129")
    for connection in held:
        connection.close()
    end = time.monotonic() + 20
    while first_line(server, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n") == b"":
        check(time.monotonic() < end, "there is room again")
