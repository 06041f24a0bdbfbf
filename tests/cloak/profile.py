"""The device behind the nftables profile: all its ports alike, and the tunnel as before."""

import re
import socket

from harness import check, wait_until
from netns import command
from people import Cast, exchange
from scene import PROFILE, Scene
from sessions import goes_direct, neighbours_untold

PYTHON = "/usr/bin/python3"  # Debian's, for which python3-scapy is
HPING = (
    ("--syn",), ("--ack",), ("--fin",), ("--fin", "--push", "--urg"), ("--syn", "--frag"),
    ("--udp",), ("--udp", "--frag", "--data", "600"), ("--udp", "--rroute"),
    ("--udp", "--badcksum"),
)


def test_nmap_with_profile(world):
    """No port answers, and the tunnel's look like any other."""
    scene = Scene(world).start()
    scene.cloak()
    before = scene.answers()
    fast = ("-T5", "--max-retries", 0)
    listed, others = scene.nmap(scene.near, "-sS", "-p-", "--min-rate", 10000, *fast)
    check(not listed and others == {"filtered": 65535}, f"nmap found {listed}, {others}")
    listed, others = scene.nmap(scene.near, "-sU", "--top-ports", 200, *fast)
    check(not listed and others == {"open|filtered": 200}, f"nmap found {listed}, {others}")
    ports = [scene.tunnel, scene.unused, scene.web.port, 22, 68]
    named = ("-p", ",".join(map(str, ports)))
    for scanner in (scene.near, scene.far):
        listed, _ = scene.nmap(scanner, "-sS", "-sU", "-T5", *named)
        for port in ports:
            check(listed[("udp", port)] == "open|filtered", f"nmap found {listed}")
            check(listed[("tcp", port)] == "filtered", f"nmap found {listed}")
    two = ("-p", f"{scene.tunnel},{scene.unused}")
    listed, _ = scene.nmap(scene.near, "-sU", "-sV", "-T5", "--version-light", *two)
    check(set(listed.values()) == {"open|filtered"}, f"nmap -sV found {listed}")
    scene.unanswered(before, "nmap")
    scene.page()


def reassembly_timeouts(scene):
    with scene.home.host:
        names, values = re.findall(r"^Ip: (.*)$", open("/proc/thread-self/net/snmp").read(),
                                   re.MULTILINE)
    return int(dict(zip(names.split(), values.split()))["ReasmTimeout"])


def probe(scene):
    """Odd packets at the tunnel's ports and an unused one, from both scanners; how many."""
    ports, count = [scene.tunnel, scene.unused], 0
    before = reassembly_timeouts(scene)
    for scanner in (scene.near, scene.far):
        with scanner:
            sent = int(command(PYTHON, "-B", PROFILE.parents[2] / "tests/cloak/probes.py",
                               scene.at, *ports))
            runs = [scene.world.start(f"hping3-{port}-{number}", "hping3", scene.at, "-p", port,
                                      "-c", 3, "-i", "u20000", "-q", *options)
                    for number, options in enumerate(HPING) for port in ports]
        for run in runs:
            run.wait_exit()  # 1 where nothing came back
            # Each stops after three answers, to whichever of them.
            done = re.search(r"^([1-3]) packets tra", run.text(), re.MULTILINE)
            check(done, f"hping3: {run.text()}")
            sent += int(done.group(1))
        count += sent
    wait_until(lambda: reassembly_timeouts(scene) > before, 20, "a fragment alone is given up")
    return count


def test_odd_packets(world):
    """Without the profile the kernel answers many; with it, none."""
    scene = Scene(world)
    scene.home.host.sysctl("net.ipv4.ipfrag_time", 1)
    scene.start()
    before = scene.answers()
    count = probe(scene)
    answers = scene.answers() - before
    check(answers > 0, "nothing was answered without the profile either")
    scene.cloak()
    before = scene.answers()
    probe(scene)
    scene.unanswered(before, "odd packets")
    print(f"   {count} packets, {answers} answers of the kernel without the profile, none with it")
    scene.page()


def tables(host):
    with host:
        return command("nft", "list", "tables")


def test_only_shown(world):
    """Without an option nothing changes; what is shown is what is loaded; --remove undoes it."""
    scene = Scene(world).start()
    before = tables(scene.home.host)
    shown = scene.profile()
    check(tables(scene.home.host) == before, "it has changed something")
    check(f"{scene.tunnel} timeout" in shown, f"not the tunnel's port: {shown}")
    check(scene.profile("--apply") == shown, "other rules are loaded")
    check("table inet rit_cloak" in tables(scene.home.host), "nothing is loaded")
    scene.profile("--apply")
    scene.profile("--remove")
    scene.profile("--remove")
    check(tables(scene.home.host) == before, "something is left")
    got = world.run("sh", PROFILE, "--aply")
    check(got.returncode == 1 and "--apply, --remove" in got.stderr, got.stderr)


def test_tunnel_goes_on(world):
    """Between two NATs: a session lives on when the profile comes, a new user gets a direct path,
    and a device that is started behind it comes online."""
    cast = Cast(world, ("masquerade",), ("masquerade",), big=1_000_000, relays=1)
    cast.start_device("reach", "later", "third")
    cast.reach = cast.start_user()
    idle = cast.idle_connection()
    with cast.home.host:
        command("sh", PROFILE, "--apply")
    exchange(idle, b"applied")
    cast.later_page(10)  # introduced by a broker that the device has not called again
    cast.home.host.nft("flush set inet rit_cloak handover\n")
    exchange(idle, b"handed over")
    cast.page()
    idle.close()
    cast.reach.stop()
    cast.reach = cast.start_user("third")
    wait_until(lambda: goes_direct(cast), 10, "a megabyte comes without the relay")
    cast.reach.stop()
    allow = [world.reach_key("third")]
    cast.device.stop()
    with cast.home.host:
        cast.device = world.device(cast.broker, {"web": cast.web.port}, allow=allow, enrol="")
    with cast.user.host:
        cast.reach = world.reach(cast.broker, cast.device.key, "web", name="third", enrol="")
    cast.page(seconds=10)


def test_neighbours_by_multicast(world):
    """Two behind one router whom nobody tells of each other still find each other."""
    def cloak(device):
        with device:
            command("sh", PROFILE, "--apply")

    neighbours_untold(world, cloak)


def test_neighbours_by_ipv6(world):
    """Who is on the link still finds the device's address, and the device its neighbours'."""
    scene = Scene(world)
    own, other = (scene.home.host, "fd00::1"), (scene.near, "fd00::2")
    for host, address in (own, other):
        host.sysctl("net.ipv6.conf.eth0.disable_ipv6", 0)
        host.ip(f"addr add {address}/64 dev eth0 nodad")
    scene.profile("--apply")
    for (asking, _), (asked, address) in ((own, other), (other, own)):
        for host in (asking, asked):
            host.ip("neigh flush dev eth0")
        with asking, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as line:
            line.sendto(b"anybody", (address, 9))
            wait_until(lambda: "lladdr" in command("ip", "-6", "neigh", "show", address), 5,
                       f"{address} is found")
