"""Watching: presence, the event stream, webhooks, metrics, where nodes are."""

import hashlib
import hmac
import http.server
import json
import struct
import threading
import time

from api import API, Server, key_text
from harness import check, free_port, wait_until


class Receiver:
    """A web server that takes webhooks; `answers` says with what, one after the other."""

    def __init__(self, answers=()):
        self.taken, answers = [], list(answers)
        taken = self.taken

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                taken.append((time.monotonic(), headers, body))
                self.send_response(answers.pop(0) if answers else 204)
                self.send_header("Location", "http://127.0.0.1/elsewhere")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def kinds(self):
        return [json.loads(body)["kind"] for _, _, body in self.taken]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def test_an_outage_is_told_within_a_minute(world):
    server = Server(world, "--webhook-allow-private")
    admin = server.user("root", "--role", "admin")
    receiver = Receiver([500, 302])
    made = admin.expect(201, "POST", "webhooks",
                        {"url": receiver.url, "events": ["node.online", "node.offline"]})
    device = world.device(server.broker, {"web": 1})
    # Refused twice, then taken: it is tried again.
    wait_until(lambda: len(receiver.taken) >= 3, 40, "the third try")
    check(set(receiver.kinds()) == {"node.online"}, f"{receiver.kinds()}")
    check(admin.expect(200, "GET", f"devices/{device.key}")["is_online"], "online")
    device.kill()
    killed = time.monotonic()
    wait_until(lambda: "node.offline" in receiver.kinds(), 60, "a webhook of the outage")
    check(time.monotonic() - killed < 60, "within a minute")
    check(not admin.expect(200, "GET", f"devices/{device.key}")["is_online"], "offline")
    _, headers, body = receiver.taken[-1]
    event = json.loads(body)
    check(event["device"] == device.key and headers["content-type"] == "application/json", event)
    stamp, signature = headers["rit-signature"].split(",")
    check(abs(int(stamp.removeprefix("t=")) - time.time()) < 120, "a new signature")
    expected = hmac.new(made["secret"].encode(), stamp[2:].encode() + b"." + body, hashlib.sha256)
    check(signature == f"v1={expected.hexdigest()}", "signed as documented")
    listed = admin.expect(200, "GET", "webhooks")["webhooks"]
    check([(w["id"], w["url"]) for w in listed] == [(made["id"], receiver.url)], f"{listed}")
    check(made["secret"] not in json.dumps(listed), "the secret is shown once")
    admin.expect(204, "DELETE", f"webhooks/{made['id']}")
    receiver.close()


def test_webhooks_go_to_public_hosts_alone(world):
    server = Server(world)
    ada = server.user("ada")
    for url in ("http://hooks.example.org/", "https://127.0.0.1/", "https://[::1]/",
                "https://10.0.0.1/", "https://169.254.169.254/", "https://[::ffff:127.0.0.1]/",
                "file:///etc/passwd", "https://u:p@hooks.example.org/", "x"):
        ada.expect(400, "POST", "webhooks", {"url": url, "events": ["*"]})
    # A name is looked up when it is sent to; what is inside is not connected to.
    receiver = Receiver()
    url = receiver.url.replace("http://127.0.0.1", "https://localhost")
    made = ada.expect(201, "POST", "webhooks", {"url": url, "events": ["*"]})
    ada.page_login("ada", ada.password)
    ada.cookie = None

    def failed():
        listed = ada.expect(200, "GET", "webhooks")["webhooks"]
        return listed[0]["last_error"]

    check("public" in wait_until(failed, 20, "a failed delivery"), "why")
    check(receiver.taken == [], "nothing came")
    receiver.close()
    bob = server.user("bob")
    bob.expect(404, "DELETE", f"webhooks/{made['id']}")
    for _ in range(15):
        ada.expect(201, "POST", "webhooks", {"url": "https://a.example/", "events": ["*"]})
    ada.expect(409, "POST", "webhooks", {"url": "https://a.example/", "events": ["*"]})


def read_events(answer, count):
    events, lines = [], {}
    while len(events) < count:
        line = answer.readline().decode().rstrip("\n")
        if line.startswith(":"):
            continue
        if not line and lines:
            events.append((int(lines["id"]), json.loads(lines["data"])))
            lines = {}
        elif line:
            name, value = line.split(": ", 1)
            lines[name] = value
    return events


def open_stream(server, token, query="", headers=None):
    connection = server.connect()
    connection.request("GET", f"{API}/events/stream{query}",
                       headers={"Authorization": f"Bearer {token}", **(headers or {})})
    answer = connection.getresponse()
    check(answer.status == 200, f"the stream: {answer.status}")
    check(answer.headers["Content-Type"].startswith("text/event-stream"), "its type")
    return answer


def test_events_come_as_they_happen(world):
    server = Server(world)
    admin = server.user("root", "--role", "admin")
    stream = open_stream(server, admin.token)
    device = world.device(server.broker, {"web": 1})
    events = read_events(stream, 2)
    check([event["kind"] for _, event in events] == ["node.enrolled", "node.online"], f"{events}")
    check({event["device"] for _, event in events} == {device.key}, f"{events}")
    # One who was away goes on where he was.
    again = open_stream(server, admin.token, headers={"Last-Event-ID": str(events[0][0])})
    check(read_events(again, 1) == events[1:], "the next one")
    listed = admin.expect(200, "GET", f"events?after={events[0][0] - 1}&limit=2")["events"]
    check([(event["id"], event) for event in listed] == events, f"{listed}")
    # Whoever is closed out hears no more.
    server.account("disable", "root")
    check(stream.readline() in (b"", b":\n") or stream.read() == b"", "the stream ends")


def test_metrics_and_health(world):
    token = world.folder / "token"
    token.write_text("a secret for prometheus\n")
    token.chmod(0o600)
    port = free_port()
    server = Server(world, "--metrics-token-file", token, "--metrics", f"127.0.0.1:{port}")
    ada = server.user("ada")
    world.device(server.broker, {"web": 1})
    nobody = server.caller()
    check(nobody.expect(200, "GET", "/health") == {"status": "ok"}, "health")
    nobody.expect(401, "GET", "/metrics")
    ada.expect(401, "GET", "/metrics")
    right = {"Authorization": "Bearer a secret for prometheus"}
    answer = nobody.ask("GET", "/metrics", headers=right)
    check(answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain"), "")
    def numbers_now():
        lines = nobody.ask("GET", "/metrics", headers=right).body.decode().splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

    wait_until(lambda: numbers_now()["rit_nodes_online"] == "1", 20, "a node online")
    numbers = numbers_now()
    check(numbers["rit_nodes_online"] == "1" and numbers["rit_accounts"] == "1", f"{numbers}")
    login = 'rit_http_requests_total{route="/api/v1/login",method="POST",status="200"}'
    check(numbers[login] == "1", f"{numbers}")
    plain = Server.__new__(Server)
    plain.port, plain.tls = port, False
    open_one = Server.caller(plain)
    check(b"rit_nodes_enrolled" in open_one.ask("GET", "/metrics").body, "the own listener")
    check(open_one.ask("GET", "/health").status == 404, "has nothing else")


def maxmind(networks):
    """A database in MaxMind's format 2.0: networks, "a.b.c.d/n" → record."""
    def text(value):
        data = value.encode()
        check(len(data) < 29, "short")
        return bytes([0x40 | len(data)]) + data

    def encode(value):
        if isinstance(value, dict):
            pairs = b"".join(text(key) + encode(item) for key, item in value.items())
            return bytes([0xe0 | len(value)]) + pairs
        if isinstance(value, list):
            return bytes([len(value), 0x04]) + b"".join(map(encode, value))
        if isinstance(value, str):
            return text(value)
        size, kind = value
        data = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return bytes([kind << 5 | len(data)] if kind < 8 else [len(data), kind - 7]) + data

    nodes, data = [[None, None]], b""
    for network, record in networks.items():
        address, length = network.split("/")
        bits = "".join(f"{int(part):08b}" for part in address.split("."))[:int(length)]
        at = 0
        for bit in bits[:-1]:
            if nodes[at][int(bit)] is None:
                nodes.append([None, None])
                nodes[at][int(bit)] = len(nodes) - 1
            at = nodes[at][int(bit)]
        nodes[at][int(bits[-1])] = ("data", len(data))
        data += encode(record)

    def pointer(entry):
        if entry is None:
            return len(nodes)
        return len(nodes) + 16 + entry[1] if isinstance(entry, tuple) else entry

    tree = b"".join(struct.pack(">I", pointer(side))[1:] for node in nodes for side in node)
    about = {"node_count": (len(nodes), 6), "record_size": (24, 5), "ip_version": (4, 5),
             "database_type": "GeoLite2-City", "languages": ["en"],
             "binary_format_major_version": (2, 5), "binary_format_minor_version": (0, 5),
             "build_epoch": (1700000000, 9), "description": {"en": "test"}}
    return tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + encode(about)


def test_where_nodes_are(world):
    file = world.folder / "geo.mmdb"
    file.write_bytes(maxmind({"203.0.113.0/24": {"country": {"iso_code": "NZ"},
                                                 "city": {"names": {"en": "Napier"}}}}))
    server = Server(world, "--geo", file)
    ada = server.user("ada")
    there = server.add_device(ada.key, address="203.0.113.7:1234")
    elsewhere = server.add_device(ada.key, address="198.51.100.1:1234")
    got = ada.expect(200, "GET", f"devices/{key_text(there)}")
    check((got["country"], got["city"]) == ("NZ", "Napier"), f"{got}")
    got = ada.expect(200, "GET", f"devices/{key_text(elsewhere)}")
    check((got["country"], got["city"]) == (None, None), f"{got}")
    file.write_bytes(b"no database")
    broken = world.start("broken", world.tools.server, "--state", world.folder / "other",
                         "--listen", f"127.0.0.1:{free_port()}", "--http",
                         f"127.0.0.1:{free_port()}", "--geo", file)
    broken.expect_error("geolocation database")
