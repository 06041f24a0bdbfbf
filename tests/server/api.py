"""What the scenarios of the HTTP face stand on: a server with accounts, and those who ask it.

A `Caller` speaks HTTP itself, so that it can do what no client library lets one do. It takes any
certificate: who the server is, other tests look at.
"""

import base64
import http.client
import json
import os
import re
import socket
import sqlite3
import ssl
import subprocess

import ed25519
from harness import check, free_port

API = "/api/v1"
ALPHABET = b"abcdefghijklmnopqrstuvwxyz234567"


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key_text(key):
    return base64.b32encode(key).rstrip(b"=").decode().lower()


def key_bytes(text):
    return base64.b32decode(text.upper() + "====")


def any_certificate():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body) if self.body else None


class Caller:
    """One who asks; with a token or a cookie once logged in."""

    def __init__(self, server, seed=None):
        self.server = server
        self.seed = seed or os.urandom(32)
        self.key = ed25519.public_key(self.seed)
        self.token = self.cookie = self.csrf = None

    def ask(self, method, path, body=None, headers=None, raw=None):
        """`raw`: the body as it is, without its type."""
        connection = self.server.connect()
        headers = dict(headers or {})
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if self.cookie:
            headers.setdefault("Cookie", self.cookie)
            if method != "GET":
                headers.setdefault("X-CSRF-Token", self.csrf)
        if body is not None:
            raw = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        if not path.startswith("/"):
            path = f"{API}/{path}"
        connection.request(method, path, body=raw, headers=headers)
        answer = connection.getresponse()
        out = Answer(answer.status, answer.headers, answer.read())
        connection.close()
        return out

    def expect(self, status, method, path, body=None, **more):
        answer = self.ask(method, path, body, **more)
        check(answer.status == status, f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        if status >= 400:
            kind = answer.headers["Content-Type"]
            check(kind == "application/problem+json", f"{method} {path}: an error of type {kind}")
        return answer.json if answer.body else None

    def proof(self):
        nonce = self.expect(200, "POST", "challenge")["nonce"]
        message = b"rit/1 login" + self.server.broker_key + decode(nonce)
        signature = encode(ed25519.sign(self.seed, message))
        return {"key": key_text(self.key), "nonce": nonce, "signature": signature}

    def login(self, user, password, status=200, **more):
        answer = self.expect(status, "POST", "login",
                             {"user": user, "password": password, **self.proof(), **more})
        if status == 200:
            self.token = answer["token"]
        return answer

    def page_login(self, user, password, status=200, headers=None, **more):
        answer = self.ask("POST", "session", {"user": user, "password": password, **more},
                          headers=headers)
        check(answer.status == status, f"page login: {answer.status} {answer.body!r}")
        if status == 200:
            self.cookie = answer.headers["Set-Cookie"].split(";")[0]
            self.csrf = answer.json["csrf"]
        return answer


class Server:
    """rit-server with its HTTP face, in a world of harness.py."""

    def __init__(self, world, *options, tls=True, log="debug", name="broker", port=None):
        self.world, self.tls = world, tls
        self.port = port or free_port()
        plain = () if tls else ("--http-plain",)
        self.broker = world.broker(name=name, options=(
            "--http", f"127.0.0.1:{self.port}", "--log", log, "--tls-port", "0", *plain, *options))
        self.broker_key = key_bytes(re.search(r"rit://([a-z2-7]{52})", self.broker.uri).group(1))

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def connect(self, timeout=40):
        if self.tls:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout,
                                               context=any_certificate())
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def socket(self):
        """A bare connection, with TLS where there is TLS."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=40)
        if not self.tls:
            return plain
        return any_certificate().wrap_socket(plain, server_hostname="localhost")

    def account(self, *words, password=None, status=0):
        """`rit-server account …`, the password by standard input."""
        command = [str(self.world.tools.server), "account", "--state", str(self.broker.state),
                   *words]
        done = subprocess.run(command, input=(password or "") + "\n", text=True,
                              capture_output=True, timeout=60, check=False)
        check(done.returncode == status, f"account {words}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def add_account(self, name, password, *words):
        self.account("add", name, *words, password=password)

    def caller(self, seed=None):
        return Caller(self, seed)

    def user(self, name, *words):
        """A new account, and a caller logged in to it."""
        password = f"password of {name} {os.urandom(4).hex()}"
        self.add_account(name, password, *words)
        caller = self.caller()
        caller.login(name, password)
        caller.name, caller.password = name, password
        return caller

    def rows(self, sql, *arguments):
        """Changes or reads the database, for what only a device can bring about otherwise."""
        database = sqlite3.connect(self.broker.state / "broker.db", timeout=10)
        try:
            with database:
                return database.execute(sql, arguments).fetchall()
        finally:
            database.close()

    def add_device(self, owner=None, name="", epoch=1, **columns):
        """A device as the store has it, with this owner; its key."""
        key = os.urandom(32)
        self.rows("INSERT INTO node (key, enrolled_unix_s, name) VALUES (?, 1, ?)", key, name)
        for column, value in columns.items():
            self.rows(f"UPDATE node SET {column} = ? WHERE key = ?", value, key)
        self.rows("INSERT INTO trust (device, owner, epoch) VALUES (?, ?, ?)", key, owner, epoch)
        return key
