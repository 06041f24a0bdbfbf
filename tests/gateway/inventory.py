"""What a gateway finds around it, and publishing it one by one."""

import socket

from harness import check, wait_until
from scene import Scene, is_ended


def meet(scene, *neighbours):
    """The gateway's host has sent them something, as it does in a day: the kernel knows them."""
    with scene.home.host, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        for neighbour in neighbours:
            line.sendto(b"", (neighbour.address, 9))
    with scene.home.host:
        for neighbour in neighbours:
            wait_until(lambda at=neighbour.address: "lladdr" in scene.world.run(
                "ip", "neigh", "show", "to", at).stdout, 10, f"{neighbour.name} is known")


def by_port(host):
    return {service["port"]: service for service in host["services"]}


def test_scan_lists_what_is_there(world):
    """Hosts of the kernel's table and of mDNS, services with types and reasons; nothing outside of
    the allow-list is connected to, and nothing is published."""
    scene = Scene(world)
    scene.hvac.serve("say", 22, "SSH-2.0-Neighbour")
    scene.hvac.serve("hold", 9000)
    scene.cam.serve("mdns", scene.cam.address)
    meet(scene, scene.hvac, scene.third)
    before = {host.name: host.counter("heard") for host in (scene.hvac, scene.third)}
    scene.hvac.publishes(*(f"tcp . {port}" for port in (22, 80, 443)))
    scene.cam.publishes("tcp . 80")
    allow = ["--allow", f"{scene.hvac.address}:22,80,443", "--allow", f"{scene.cam.address}:80"]
    found = scene.ask_gateway("scan", *allow)
    hosts = {host["address"]: host for host in found["hosts"]}
    check({scene.hvac.address, scene.cam.address, scene.third.address} <= set(hosts), f"{hosts}")
    for other in (scene.home.host.address, "127.0.0.1", "203.0.113.9"):
        check(other not in hosts, f"{other} is no neighbour")
    hvac, cam = by_port(hosts[scene.hvac.address]), by_port(hosts[scene.cam.address])
    check(set(hvac) == {22, 80}, f"{hvac}")
    check((hvac[22]["type"], hvac[80]["type"]) == ("ssh", "http"), f"{hvac}")
    check("SSH-2.0-Neighbour" in hvac[22]["why"] and hvac[80]["why"] == "port 80", f"{hvac}")
    check(hosts[scene.cam.address]["name"] == "cam", f"{cam}")
    check((cam[80]["type"], cam[80]["is_open"]) == ("http", True), f"{cam}")
    check(cam[80]["suggestion"] == "web.cam" and "mDNS" in cam[80]["why"], f"{cam}")
    check((cam[8554]["type"], cam[8554]["is_open"], cam[8554]["is_allowed"])
          == ("rtsp", False, False), f"{cam}")
    check(hosts[scene.third.address]["services"] == [], "it was looked at")
    check(scene.third.counter("heard") == before["third"], "the third was connected to")
    check(scene.hvac.counter("heard") > before["hvac"], "nothing is counted")
    check(scene.hvac.counter("others") == before["hvac"], "other ports were connected to")
    check(scene.cam.counter("others") == 0, "other ports were connected to")
    check(scene.ask_gateway("list") == {"is_running": False, "services": []}, "published")
    with scene.home.host:
        words = scene.gate.do("gateway", "scan", *allow)
    check(all(line.isprintable() for line in words.splitlines()), repr(words))
    check(f"{scene.cam.address}:80=web.cam" in words, words)


def test_sweep_finds_the_quiet(world):
    """With --sweep hosts are found that nobody has spoken with, within the allow-list only."""
    scene = Scene(world)
    net = scene.hvac.address.rsplit(".", 1)[0]
    found = scene.ask_gateway("scan", "--no-mdns", "--allow", f"{net}.0/29:80")
    addresses = {host["address"] for host in found["hosts"] if host["services"]}
    check(not addresses, f"without a sweep: {found}")
    found = scene.ask_gateway("scan", "--no-mdns", "--sweep", "--allow", f"{net}.0/29:80")
    addresses = {host["address"] for host in found["hosts"] if host["services"]}
    check(addresses == {scene.hvac.address, scene.cam.address, scene.third.address}, f"{found}")
    check(scene.hvac.counter("heard") == scene.hvac.counter("others") > 0, "nothing was counted")


def test_published_one_by_one(world):
    """Nothing is there before it is published; then at once, and after a restart; unpublished, its
    connections end, and the others go on."""
    scene = Scene(world)
    scene.hvac.serve("hold", 5000)
    gateway = scene.start_gateway("--allow-key", scene.user.key())
    scene.gateway_refuses(4, "not published", "unpublish", "web.hvac")
    hvac, cam = scene.hvac.address, scene.cam.address
    done = scene.ask_gateway("publish", f"{hvac}:80=web.hvac")
    check(done["is_offered"] is True, f"{done}")
    gateway.wait_line(r'"event":"offered","service":"web.hvac"')
    scene.ask_gateway("publish", f"{hvac}:5000=hold.hvac")
    reached = scene.connect(gateway.key, "web.hvac", "hold.hvac")
    scene.gets(reached.at["web.hvac"], "hvac")
    line = scene.line(reached.at["hold.hvac"])
    line.sendall(b"x")
    check(line.recv(1) == b"x", "no echo")
    scene.ask_gateway("unpublish", "web.hvac")
    gateway.wait_line(r'"event":"withdrawn","service":"web.hvac"')
    check(scene.page(reached.at["web.hvac"], seconds=10).returncode != 0, "it is unpublished")
    line.sendall(b"y")
    check(line.recv(1) == b"y", "another service's connection has ended")
    scene.ask_gateway("unpublish", "hold.hvac")
    check(is_ended(line), "a connection of what is unpublished goes on")
    line.close()
    refusals(scene, hvac)
    scene.ask_gateway("publish", f"{cam}:80=web.cam")
    gateway.stop()
    check(scene.ask_gateway("list")["is_running"] is False, "it has ended")
    later = scene.ask_gateway("publish", f"{hvac}:80=web.later")
    check(later["is_offered"] is False, f"{later}")
    again = scene.start_gateway("--allow-key", scene.user.key(), is_new=False)
    for name in ("web.cam", "web.later"):
        again.wait_line(rf'"event":"offered","service":"{name}"')
    listed = scene.ask_gateway("list")
    check([entry["name"] for entry in listed["services"]] == ["web.cam", "web.later"], f"{listed}")
    check(all(entry["is_published"] and entry["reason"] is None for entry in listed["services"]),
          f"{listed}")
    other = scene.connect(again.key, "web.cam")
    scene.gets(other.at["web.cam"], "cam")
    check(scene.third.counter("heard") == 0, "the third was connected to")


def refusals(scene, hvac):
    """What cannot be published is not in the list afterwards."""
    own = scene.home.host.address
    for place in ("127.0.0.1:80", "169.254.169.254:80", f"{own}:80", "[::1]:80", "localhost:80"):
        scene.gateway_refuses(5, "no rule allows", "publish", f"{place}=web.own")
    scene.gateway_refuses(2, "no name of a service", "publish", f"{hvac}:80=Web")
    scene.gateway_refuses(2, "=NAME is missing", "publish", f"{hvac}:80")
    scene.ask_gateway("publish", f"{hvac}:80=web.hvac")
    scene.gateway_refuses(1, "published already", "publish", f"{hvac}:81=web.hvac")
    scene.ask_gateway("unpublish", "web.hvac")
    check(scene.ask_gateway("list")["services"] == [], "something is left")
