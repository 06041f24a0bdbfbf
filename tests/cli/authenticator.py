"""A login with an authenticator's codes (TOTP)."""

import json
import time

from accounts import totp  # of tests/server
from harness import check
from owners import PASSWORD, server, somebody
from terminal import Terminal


def test_login_with_an_authenticator(world):
    """The code is asked for at a terminal, and not shown with the password; or given as an option,
    because a script cannot be asked."""
    broker = server(world)
    ann = somebody(world, broker, "ann")
    token = json.loads((ann.folder / "state/state.json").read_text())["login"]["token"]

    def post(path, body):
        done = world.run(world.tools.curl, "-ksS", "--fail", "-H", f"Authorization: Bearer {token}",
                         "-H", "Content-Type: application/json", "-d", json.dumps(body),
                         f"https://127.0.0.1:{broker.http}/api/v1/account/{path}")
        check(done.returncode == 0, f"{path}: {done.stderr}")
        return done.stdout

    # A code is good once, so each login here takes the next.
    step = int(time.time()) // 30
    secret = json.loads(post("totp", {"password": PASSWORD}))["secret"]
    post("totp/confirm", {"code": totp(secret, step - 1)})
    words = ("login", "--user", "ann", "--http", broker.http, broker.uri)
    ann.refused(3, "--totp CODE", *words, typed=PASSWORD + "\n")
    ann.refused(3, "wrong", *words, "--totp", "000000", typed=PASSWORD + "\n")
    said = ann.run(*words, "--totp", totp(secret, step), typed=PASSWORD + "\n")
    check("logged in" in said.stdout, f"{said}")
    rit = ["/usr/bin/env", *ann.argv(*words)[1:]]
    with Terminal(rit, 24, 80) as terminal:
        terminal.read("Password: ")
        terminal.type(PASSWORD)
        shown = terminal.read("Code of your authenticator .*: ")
        check(PASSWORD.encode() not in shown, "the password is shown")
        terminal.type("000000")
        terminal.read("user, password or code is wrong")
        check(terminal.ended() == 3, "another exit status")
    with Terminal(rit, 24, 80) as terminal:
        terminal.read("Password: ")
        terminal.type(PASSWORD)
        terminal.read("Code of your authenticator .*: ")
        terminal.type(totp(secret, step + 1))
        terminal.read("logged in as ann")
        check(terminal.ended() == 0, "another exit status")
