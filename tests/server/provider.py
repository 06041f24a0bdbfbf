"""Login by a provider: the device authorisation grant with a real OpenID Connect provider."""

import os
import pathlib
import re
import shutil
import subprocess
import urllib.parse
import urllib.request

from api import Server, key_text
from harness import Skipped, check, free_port, wait_until

PACKAGE = "oidc-provider@8.6.1"

PROVIDER = """
import { Provider } from 'oidc-provider';
const [port, secret] = process.argv.slice(2);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: 'rit', client_secret: secret, redirect_uris: [], response_types: [],
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
    token_endpoint_auth_method: 'client_secret_basic' }],
  features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true } },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id,
    preferred_username: `${id}-name`, email: `${id}@example.org` }) }),
  claims: { openid: ['sub'], profile: ['preferred_username'], email: ['email'] },
  conformIdTokenClaims: false,
  cookies: { keys: ['a'] },
});
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
"""


def packages(world):
    """The provider's package, installed by npm; kept, where the caller says so."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise Skipped("there is no node or no npm")
    folder = pathlib.Path(os.environ.get("RIT_TEST_NODE", world.folder / "node"))
    if not (folder / "node_modules/oidc-provider").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        got = subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix",
                              folder, PACKAGE], check=False, capture_output=True, text=True)
        if got.returncode != 0:
            raise Skipped(f"{PACKAGE} is not to be had: {got.stderr.strip()[-200:]}")
    return node, folder


class Person:
    """Who logs in at the provider's own pages, as a browser would."""

    def __init__(self):
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def open(self, url, **fields):
        data = urllib.parse.urlencode(fields).encode() if fields else None
        with self.opener.open(url, data, timeout=20) as answer:
            return answer.geturl(), answer.read().decode()

    def agree(self, address, user):
        url, page = self.open(address)
        for _ in range(8):
            action = re.search(r'action="([^"]+)"', page)
            if not action:
                return page
            hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))
            fields = {name: value for name, value in hidden.items()}
            if 'name="login"' in page:
                fields |= {"login": user, "password": "x"}
            if "xsrf" in page and "confirm" in page:
                fields["confirm"] = "yes"
            target = urllib.parse.urljoin(url, action.group(1).replace("&amp;", "&"))
            url, page = self.open(target, **fields)
        return page


def poll(caller, begun):
    answer = caller.ask("POST", f"login/device/{begun['id']}", caller.proof())
    return answer if answer.status != 202 else None


def test_login_by_a_provider(world):
    node, folder = packages(world)
    script = folder / "provider.mjs"
    script.write_text(PROVIDER)
    port, secret = free_port(), "the secret of rit at the provider"
    provider = world.start("provider", node, script, port, secret)
    provider.wait_line(r"^ready")
    issuer = f"http://127.0.0.1:{port}"
    file = world.folder / "secret"
    file.write_text(secret + "\n")
    server = Server(world, "--oidc-issuer", issuer, "--oidc-client-id", "rit",
                    "--oidc-client-secret-file", file)
    server.add_account("ada-name", "a good password")  # only has the same name
    ada, eve = server.caller(), server.caller()
    begun = ada.expect(200, "POST", "login/device", {"key": key_text(ada.key)})
    check(begun["verification_uri"].startswith(issuer) and begun["user_code"], f"{begun}")
    check(poll(ada, begun) is None, "not yet")
    eve.expect(404, "POST", f"login/device/{begun['id']}", eve.proof())  # another key
    page = Person().agree(begun["verification_uri_complete"], "ada")
    check("success" in page.lower() or "signed in" in page.lower(), page[-300:])
    done = wait_until(lambda: poll(ada, begun), 30, "the login")
    check(done.status == 200, f"{done.status} {done.body!r}")
    ada.token = done.json["token"]
    account = ada.expect(200, "GET", "account")
    check(not account["has_password"] and account["user"] != "ada-name", f"{account}")
    # The same person comes to the same account, by another key.
    again = server.caller()
    begun = again.expect(200, "POST", "login/device", {"key": key_text(again.key)})
    Person().agree(begun["verification_uri_complete"], "ada")
    again.token = wait_until(lambda: poll(again, begun), 30, "the login").json["token"]
    check(again.expect(200, "GET", "account")["user"] == account["user"], "the same")
    check(len(again.expect(200, "GET", "account/clients")["clients"]) == 2, "two clients")
    # A closed account stays closed.
    server.account("disable", account["user"])
    begun = eve.expect(200, "POST", "login/device", {"key": key_text(eve.key)})
    Person().agree(begun["verification_uri_complete"], "ada")
    done = wait_until(lambda: poll(eve, begun), 30, "an answer")
    check(done.status == 401, f"{done.status}")
    check(secret not in server.broker.process.text(), "the secret is not logged")


def test_without_a_provider(world):
    server = Server(world)
    caller = server.caller()
    caller.expect(404, "POST", "login/device", {"key": key_text(caller.key)})
