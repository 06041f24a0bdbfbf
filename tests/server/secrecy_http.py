"""Passwords, keys, codes and tokens stand nowhere but where they belong."""

import base64
import pathlib
import time

import statements
from accounts import totp
from api import Server, encode, key_text
from harness import check


def forms(secret):
    """A secret's texts that may have slipped out."""
    if isinstance(secret, str):
        return {secret.encode(), encode(secret.encode()).encode()}
    return {secret, secret.hex().encode(), encode(secret).encode(),
            base64.b64encode(secret).rstrip(b"=")}


def command_lines():
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield (entry / "cmdline").read_bytes()
            except OSError:
                pass


def test_secrets_are_nowhere(world):
    token = world.folder / "token"
    token.write_text("the token of prometheus\n")
    token.chmod(0o600)
    server = Server(world, "--metrics-token-file", token, log="trace")
    admin = server.user("root", "--role", "admin")
    ada, bob = server.user("ada"), server.user("bob")
    secrets = [ada.password, bob.password, ada.seed, ada.token, "the token of prometheus"]
    wrong = "a wrong password 12345"
    server.caller().login("ada", wrong, status=401)
    secrets.append(wrong)
    page = server.caller()
    page.page_login("ada", ada.password)
    secrets += [page.cookie.split("=", 1)[1], page.csrf]
    codes = admin.expect(200, "POST", "codes", {"count": 2})["codes"]
    profile = admin.expect(201, "POST", "profiles", {"name": "p", "limit": 5})
    secrets += codes + [profile["product_key"]]
    hook = ada.expect(201, "POST", "webhooks", {"url": "https://localhost:1/", "events": ["*"]})
    secrets.append(hook["secret"])
    begun = ada.expect(200, "POST", "account/totp", {"password": ada.password})
    code = totp(begun["secret"], int(time.time()) // 30)
    ada.expect(204, "POST", "account/totp/confirm", {"code": code})
    ada.expect(401, "POST", "account/totp/remove", {"password": wrong, "code": "123456"})
    secrets += [begun["secret"], base64.b32decode(begun["secret"])]
    device = server.add_device(ada.key)
    chain = statements.chain(statements.grant(ada.seed, device, bob.key, b"0123456789abcdef"))
    ada.expect(201, "POST", "grants", {"chain": encode(chain)})
    # Wrong in every way, with a secret where it does not belong.
    texts = []
    for method, path, body in (("POST", "login", {"user": ada.password, "password": 7}),
                               ("POST", f"devices/{ada.password.replace(' ', '%20')}", None),
                               ("GET", f"events?after={ada.token}", None),
                               ("PUT", f"webhooks/{ada.token}", {"url": ada.token}),
                               ("POST", "grants", {"chain": ada.token})):
        texts.append(ada.ask(method, path, body).body)
    broken = {"Authorization": f"Bearer {ada.token}x", "Cookie": page.cookie + "x"}
    texts.append(server.caller().ask("GET", "account", headers=broken).body)
    right = {"Authorization": "Bearer the token of prometheus"}
    texts.append(server.caller().ask("GET", "/metrics", headers=right).body)
    texts.append(server.caller().ask("GET", "openapi.json").body)
    for listed in ("account", "account/clients", "devices", "grants", "events", "webhooks"):
        texts.append(ada.ask("GET", listed).body)
    texts += [admin.ask("GET", listed).body for listed in ("profiles", "events?limit=1000")]
    texts += command_lines()
    server.broker.process.stop()
    first = server.broker.process.text()
    own_code = first.split("enrol-code ")[1].split()[0]
    log = first.replace(f"enrol-code {own_code}", "")
    check("HTTP" in log and len(log) > 2000, "it is logged what is done")
    texts += [log.encode(), (server.broker.state / "broker.db").read_bytes()]
    secrets.append(own_code)
    second_factor = {begun["secret"], base64.b32decode(begun["secret"]), hook["secret"]}
    for secret in secrets:
        for form in forms(secret):
            for at, text in enumerate(texts):
                # The database must know the second factor and what it signs webhooks with.
                if at == len(texts) - 1 and secret in second_factor:
                    continue
                check(form not in text, f"{form!r} is in text {at}: {text[:100]!r}")
    check(key_text(ada.key).encode() in b"".join(texts), "where public keys are, is looked")
