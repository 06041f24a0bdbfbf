"""A client that is generated from the OpenAPI document works with the server as it is."""

import json
import os
import subprocess

import statements
import venvs
from api import Server, encode, key_text
from harness import check

GENERATOR = "openapi-python-client==0.24.3"

USE = '''
import json, sys
from rit_server_client import AuthenticatedClient, Client
from rit_server_client.api.about import health
from rit_server_client.api.devices import devices, label
from rit_server_client.api.grants import add, list_
from rit_server_client.models import Labels, NewChain

url, token, key, chain = sys.argv[1:]
assert health.sync(client=Client(base_url=url)).status == "ok"
client = AuthenticatedClient(base_url=url, token=token)
listed = devices.sync(client=client)
assert [device.key for device in listed.devices] == [key], listed
named = label.sync(key, client=client, body=Labels(name="by the generated client"))
assert named.name == "by the generated client", named
stored = add.sync(client=client, body=NewChain(chain=chain))
assert [grant.id for grant in list_.sync(client=client).grants] == [stored.id], stored
assert devices.sync_detailed(client=AuthenticatedClient(base_url=url, token="x")).status_code == 401
print("used")
'''


def test_a_generated_client_works(world):
    server = Server(world, tls=False)
    ada, bob = server.user("ada"), server.user("bob")
    document = ada.expect(200, "GET", "openapi.json")
    check(document["openapi"].startswith("3."), "OpenAPI 3")
    file = world.folder / "openapi.json"
    file.write_text(json.dumps(document))
    python = venvs.python(world, GENERATOR)
    folder = os.path.dirname(python)
    made = subprocess.run([f"{folder}/openapi-python-client", "generate", "--path", file,
                           "--output-path", world.folder / "client", "--meta", "none",
                           "--fail-on-warning"],
                          check=False, capture_output=True, text=True,
                          env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})
    check(made.returncode == 0, f"not generated: {made.stdout}{made.stderr}")
    (world.folder / "client").rename(world.folder / "rit_server_client")
    device = server.add_device(ada.key)
    chain = statements.chain(statements.grant(ada.seed, device, bob.key, os.urandom(16)))
    script = world.folder / "use.py"
    script.write_text(USE)
    used = world.run(python, script, server.url, ada.token, key_text(device), encode(chain))
    check(used.stdout.strip() == "used", f"{used.stdout}{used.stderr}")


def test_every_route_answers_as_documented(world):
    """No route of the document is missing, and none answers with what it does not tell of."""
    server = Server(world)
    document = server.caller().expect(200, "GET", "openapi.json")
    anybody = {"challenge", "login", "token", "session", "login/device", "openapi.json"}
    for path, methods in document["paths"].items():
        at = path.replace("{key}", "a" * 52).replace("{id}", "1")
        for method in methods:
            answer = server.caller().ask(method.upper(), at)
            check(answer.status not in (405, 500), f"{method} {path}: {answer.status}")
            name = path.removeprefix("/api/v1/")
            if path.startswith("/api/") and name not in anybody and "{id}" not in name:
                check(answer.status == 401, f"{method} {path}: {answer.status} without a login")
    for schema, content in document["components"]["schemas"].items():
        check(content, schema)
