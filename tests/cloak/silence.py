"""The device alone, no rules around it: what it opens, and what it answers. Nothing, both times."""

import re

from harness import check
from netns import command
from people import exchange
from scene import GROUP, GROUP_PORT, ROOT, Capture, Scene, sockets

DATAGRAMS = 1_000_000
LISTENING = 0x0A
LOOPBACK = ("0100007F", "00000000000000000000000001000000")


def test_listens_nowhere(world):
    """No TCP port but on loopback; UDP ports of the kernel's choice, others at each start."""
    scene = Scene(world).start()
    first, last = map(int, open("/proc/sys/net/ipv4/ip_local_port_range").read().split())
    seen = [scene.tunnel]
    for _ in range(3):
        for table in ("tcp", "tcp6"):
            for address, port, state in sockets(scene.device, table):
                check(state != LISTENING or address in LOOPBACK,
                      f"{table} listens at {address}:{port}")
        for table in ("udp", "udp6"):
            for address, port, _ in sockets(scene.device, table):
                check(first <= port <= last or port == GROUP_PORT, f"{table} port {port}")
                check(port != GROUP_PORT or address.strip("0"), "the group's port is open to all")
        scene.restart_device()
        seen.append(scene.tunnel_port())
    print(f"   the tunnel's port at each start: {seen}")
    check(len(set(seen)) > 1, "the same port at each start")


def test_nmap_without_profile(world):
    """No port is open and none answers. But an unused UDP port of a plain Linux says so, by ICMP,
    and the tunnel's does not, which tells them apart: what the profile is for (profile.py)."""
    scene = Scene(world).start()
    listed, others = scene.nmap(scene.near, "-sS", "-p-", "-T5", "--min-rate", 20000)
    check("open" not in listed.values(), f"nmap found {listed}")
    check(others.get("closed", 0) + len(listed) == 65535, f"nmap found {listed}, {others}")
    ports = f"{scene.tunnel},{scene.unused}"
    for scanner in (scene.near, scene.far):
        before = scene.answers()
        listed, _ = scene.nmap(scanner, "-sU", "-p", ports)
        check(listed[("udp", scene.tunnel)] == "open|filtered", f"nmap found {listed}")
        check(listed[("udp", scene.unused)] == "closed", f"nmap found {listed}")
        check(scene.answers() > before, "no ICMP was counted")
    before = scene.answers()
    listed, _ = scene.nmap(scene.near, "-sU", "-sV", "-T5", "--version-light", "-p", scene.tunnel)
    check(set(listed.values()) == {"open|filtered"}, f"nmap -sV found {listed}")
    scene.unanswered(before, "nmap -sV at the tunnel's ports")


def flood(scene, corpus, count, address, port, is_read=True):
    """From the near scanner; all must have been read where the device is, if they are to be."""
    program = scene.world.folder / "flood"
    if not program.exists():
        command("cc", "-std=gnu99", "-O2", "-o", program, ROOT / "tests/cloak/flood.c")
    counters = f"/proc/{scene.device.pid}/net/snmp" if is_read else "-"
    with scene.near:
        got = scene.world.run(program, corpus, count, counters, address, port, seconds=200)
    check(got.returncode == 0, f"flood: {got.stdout}{got.stderr}")
    sent, read, lost = map(int, re.search(r"sent (\d+) read (\d+) lost (\d+)",
                                          got.stdout).groups())
    print(f"   {sent} datagrams to {address}, {read} read with the session's own, {lost} did not "
          "fit a socket's buffer: " + ", ".join(got.stdout.splitlines()[:-1]))
    return sent - lost


def test_million_datagrams(world):
    """Random and near-valid ones: not one packet comes back, and the session goes on."""
    scene = Scene(world)
    capture = Capture(scene)
    scene.start()
    idle = scene.idle_connection()
    for _ in range(20):
        scene.page()
    corpus, foreign = capture.corpora(100)
    before = scene.answers()
    read, goal = 0, DATAGRAMS
    while read < DATAGRAMS:
        read += flood(scene, corpus, goal, scene.at, scene.tunnel)
        goal = max(DATAGRAMS - read, 1000)
    flood(scene, corpus, 20_000, GROUP, GROUP_PORT)
    scene.unanswered(before, "random and near-valid datagrams, with a session")
    exchange(idle, b"still here")
    idle.close()
    scene.page()
    check("offline" not in scene.device.text(), "the device was offline meanwhile")
    forgotten(scene, corpus, foreign)


def forgotten(scene, corpus, foreign):
    """The session is over. Only who has seen its connection IDs is told so, by stateless resets
    (PROTOCOL.md section 5), as a peer is that was asleep; behind the profile nobody else is."""
    scene.reach.stop()
    scene.device.wait_line("^session-down")
    before = scene.answers()
    flood(scene, foreign, 50_000, scene.at, scene.tunnel)
    scene.unanswered(before, "near-valid datagrams without a session")
    flood(scene, corpus, 50_000, scene.at, scene.tunnel)
    resets = scene.answers() - before
    scene.later_page(10)
    scene.profile("--apply")
    scene.page(scene.start_user("third"))
    scene.home.host.nft("flush set inet rit_cloak handover\n")
    before = scene.answers()
    flood(scene, corpus, 50_000, scene.at, scene.tunnel, is_read=False)
    scene.unanswered(before, "a forgotten session's datagrams, behind the profile")
    print(f"   a forgotten session's datagrams: {resets} resets, none behind the profile")
