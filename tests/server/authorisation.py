"""A user sees and touches what is his, and what was granted to him; nothing else."""

import os
import time

import statements
from api import Server, encode, key_text
from harness import check, wait_until


def keys(caller):
    return {device["key"] for device in caller.expect(200, "GET", "devices")["devices"]}


def test_devices_are_their_owners(world):
    server = Server(world)
    ada, bob = server.user("ada"), server.user("bob")
    admin = server.user("root", "--role", "admin")
    device, orphan = server.add_device(ada.key, "pump"), server.add_device(None)
    text = key_text(device)
    check(keys(ada) == {text}, "the owner's")
    check(keys(bob) == set(), "not another's")
    check(keys(admin) == {text, key_text(orphan)}, "all")
    paths = [("GET", f"devices/{text}", None), ("PATCH", f"devices/{text}", {"name": "x"}),
             ("DELETE", f"devices/{text}", None), ("GET", f"devices/{text}/revocations", None),
             ("PUT", f"devices/{text}/revocations", {"list": "AAAA"}),
             ("POST", f"devices/{text}/transfer", {"statement": "AAAA"}),
             ("POST", f"devices/{text}/notes", {"kind": 5, "body": ""}),
             ("POST", f"devices/{text}/notes", {"kind": 8, "body": ""}),
             ("POST", f"devices/{text}/notes", {"kind": 1, "body": ""})]
    for method, path, body in paths:
        bob.expect(404, method, path, body)
        server.caller().expect(401, method, path, body)
    got = ada.expect(200, "PATCH", f"devices/{text}", {"name": "pump 1", "tags": ["a", "b"]})
    check((got["name"], got["tags"], got["is_owned"]) == ("pump 1", ["a", "b"], True), f"{got}")
    for bad in ({"name": "x" * 101}, {"tags": [""]}, {"tags": ["x"] * 33}, {"name": "a\u0000"}):
        ada.expect(400, "PATCH", f"devices/{text}", bad)
    ada.expect(409, "POST", f"devices/{text}/notes", {"kind": 1, "body": ""})  # offline
    for kind in (0, 2, 4, 7, 9, 255):
        ada.expect(400, "POST", f"devices/{text}/notes", {"kind": kind, "body": ""})
    for bad in ("x", text[:-1], text.upper(), "..%2f..", "%00"):
        ada.expect(404, "GET", f"devices/{bad}")
    for path, body in (("codes", {"count": 1}), ("profiles", {"name": "a", "limit": 1})):
        answer = bob.expect(403, "POST", path, body)
        check(answer["code"] == "not-admin", f"{answer}")
    ada.expect(204, "DELETE", f"devices/{text}")
    check(keys(ada) == set() and keys(admin) == {key_text(orphan)}, "forgotten")


def test_many_devices_come_in_pages(world):
    server = Server(world)
    ada = server.user("ada")
    made = {key_text(server.add_device(ada.key)) for _ in range(5)}
    seen, after = [], ""
    while after is not None:
        page = ada.expect(200, "GET", f"devices?limit=2{after and '&after=' + after}")
        seen += [device["key"] for device in page["devices"]]
        after = page["next"]
    check(len(seen) == 5 and set(seen) == made, f"{seen}")
    ada.expect(400, "GET", "devices?limit=x")


def test_grants_are_checked_and_handed_on(world):
    server = Server(world)
    ada, bob, eve = server.user("ada"), server.user("bob"), server.user("eve")
    device = server.add_device(ada.key, "pump")
    ids = [os.urandom(16) for _ in range(4)]
    shared = statements.grant(ada.seed, device, bob.key, ids[0], depth=1)
    chain = statements.chain(shared)
    eve.expect(403, "POST", "grants", {"chain": encode(chain)})
    made = ada.expect(201, "POST", "grants", {"chain": encode(chain), "note": "for bob"})
    check(made["id"] == encode(ids[0]), "the last grant's ID")
    check(keys(bob) == {key_text(device)} and keys(eve) == set(), "seen by whom it is for")
    bob.expect(403, "PATCH", f"devices/{key_text(device)}", {"name": "mine"})
    got = bob.expect(200, "GET", "grants?role=received")["grants"]
    check(len(got) == 1 and got[0]["note"] == "for bob" and got[0]["rights"] == 7, f"{got}")
    check(got[0]["chain"] == encode(chain) and got[0]["services"] is None, f"{got}")
    check(bob.expect(200, "GET", "grants?role=given")["grants"] == [], "bob gave none")
    check(len(ada.expect(200, "GET", f"grants?device={key_text(device)}")["grants"]) == 1, "")
    eve.expect(404, "DELETE", f"grants/{made['id']}")
    # Bob shares on, for less.
    on = statements.chain(shared, statements.grant(bob.seed, device, eve.key, ids[1], rights=1,
                                                   services=["web"], expires=int(time.time()) + 60))
    bob.expect(201, "POST", "grants", {"chain": encode(on)})
    got = eve.expect(200, "GET", "grants")["grants"]
    check([grant["services"] for grant in got] == [["web"]], f"{got}")
    refused = [b"", b"\x80", os.urandom(300), chain[:-1],
               statements.chain(statements.grant(eve.seed, device, eve.key, ids[2])),
               statements.chain(statements.grant(ada.seed, device, eve.key, ids[2], epoch=2)),
               statements.chain(statements.grant(ada.seed, os.urandom(32), eve.key, ids[2])),
               statements.chain(statements.grant(ada.seed, device, eve.key, ids[2], expires=1))]
    for bad in refused:
        ada.expect(400, "POST", "grants", {"chain": encode(bad)})
    # A list of the owner's ends both; an older one, another's or a stranger's does nothing.
    path = f"devices/{key_text(device)}/revocations"
    ada.expect(403, "PUT", path, {"list": encode(statements.revoked(bob.seed, device, 3))})
    revoked = statements.revoked(ada.seed, device, 3, ids=[ids[0]])
    answer = ada.expect(200, "PUT", path, {"list": encode(revoked)})
    check(answer == {"number": 3, "is_delivered": False}, f"{answer}")
    check(keys(bob) == set() and keys(eve) == set(), "no longer seen")
    for number in (2, 3):
        again = statements.revoked(ada.seed, device, number)
        answer = ada.expect(409, "PUT", path, {"list": encode(again)})
        check(answer["code"] == "not-newer", f"{answer}")
    ada.expect(400, "PUT", path, {"list": encode(statements.revoked(ada.seed, device, 9, epoch=2))})
    got = ada.expect(200, "GET", path)
    check(got == {"list": encode(revoked), "number": 3}, f"{got}")
    ada.expect(400, "POST", "grants", {"chain": encode(chain)})  # it is revoked
    # A transfer must be the owner's, and the device there.
    path = f"devices/{key_text(device)}/transfer"
    wrong = statements.transfer(bob.seed, device, bob.key)
    ada.expect(400, "POST", path, {"statement": encode(wrong)})
    right = statements.transfer(ada.seed, device, bob.key)
    ada.expect(409, "POST", path, {"statement": encode(right)})


def test_grants_of_an_earlier_ownership_show_nothing(world):
    server = Server(world)
    ada, bob = server.user("ada"), server.user("bob")
    device = server.add_device(ada.key)
    chain = statements.chain(statements.grant(ada.seed, device, bob.key, os.urandom(16)))
    ada.expect(201, "POST", "grants", {"chain": encode(chain)})
    check(len(keys(bob)) == 1, "granted")
    server.rows("UPDATE trust SET epoch = 2 WHERE device = ?", device)
    check(keys(bob) == set() and bob.expect(200, "GET", "grants")["grants"] == [], "no more")


def test_events_and_sessions_are_their_owners(world):
    server = Server(world)
    ada, bob = server.user("ada"), server.user("bob")
    device = server.add_device(ada.key)
    server.rows("INSERT INTO event (id, at_unix_s, kind, device) VALUES (1000, 1, 'x.y', ?)",
                device)
    server.rows("INSERT INTO session (id, contact, initiator, device, instance, at_unix_s)"
                " VALUES (1, x'0102030405060708', ?, ?, 1, 1)", ada.key, device)
    for caller, count in ((ada, 1), (bob, 0)):
        events = caller.expect(200, "GET", "events?after=0")["events"]
        check(len([event for event in events if event["kind"] == "x.y"]) == count, f"{events}")
        users = {event["account"] for event in events if event["account"]}
        check(users == {caller.name}, f"{users}")
        sessions = caller.expect(200, "GET", "sessions")["sessions"]
        check(len(sessions) == count, f"{sessions}")


def test_unclaimed_devices_behind_the_same_address(world):
    server = Server(world)
    ada = server.user("ada")
    now = int(time.time())
    near = server.add_device(None, address="127.0.0.1:4711", seen_unix_s=now, firmware="f")
    server.add_device(None, address="127.0.0.2:4711", seen_unix_s=now)
    server.add_device(None, address="127.0.0.1:4711", seen_unix_s=now - 601)
    server.add_device(ada.key, address="127.0.0.1:4711", seen_unix_s=now)
    got = ada.expect(200, "GET", "claimable")["claimable"]
    check([device["key"] for device in got] == [key_text(near)], f"{got}")


def test_codes_and_profiles(world):
    server = Server(world)
    admin = server.user("root", "--role", "admin")
    codes = admin.expect(200, "POST", "codes", {"count": 3, "valid_s": 60})["codes"]
    check(len(set(codes)) == 3, f"{len(codes)}")
    for bad in ({"count": 0}, {"count": 1001}, {"valid_s": 0}, {"count": "x"}):
        admin.expect(400, "POST", "codes", bad)
    admin.expect(404, "POST", "codes", {"profile": 99})
    made = admin.expect(201, "POST", "profiles", {"name": "pumps", "limit": 1, "tags": ["p"],
                                                  "name_pattern": "pump {n}"})
    check(made["product_key"].startswith("rp-"), "a product key")
    admin.expect(409, "POST", "profiles", {"name": "pumps", "limit": 1})
    admin.expect(400, "POST", "profiles", {"name": "x", "limit": 0})
    # A device enrols itself with it, one alone.
    device = world.device(server.broker, {"web": 1}, enrol=made["product_key"])
    wait_until(lambda: admin.expect(200, "GET", f"devices/{device.key}")["is_online"], 20, "online")
    got = admin.expect(200, "GET", f"devices/{device.key}")
    check((got["name"], got["tags"]) == ("pump 1", ["p"]), f"{got}")
    listed = admin.expect(200, "GET", "profiles")["profiles"]
    check([(p["name"], p["enrolled"], p["limit"]) for p in listed] == [("pumps", 1, 1)], f"{listed}")
    admin.expect(204, "DELETE", f"profiles/{made['id']}")
    admin.expect(404, "DELETE", f"profiles/{made['id']}")
