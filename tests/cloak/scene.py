"""A device with a live session, and two scanners: on its own link and somewhere on the internet."""

import pathlib
import re
import struct
import xml.etree.ElementTree

from harness import HERE, check, free_port, wait_until
from netns import command
from people import Cast

ROOT = HERE.parent.parent
PROFILE = ROOT / "ports/posix/cloak.sh"
GROUP, GROUP_PORT = "239.255.114.116", 7484
ANSWERS = """table inet watch {{
    set scanners {{ type ipv4_addr; elements = {{ {} }} }}
    chain leaving {{ type filter hook postrouting priority 400
        ip daddr @scanners counter
    }}
}}
"""


class Scene(Cast):
    """The device is behind a router that lets all pass, so that a far scanner gets to it, too."""

    def __init__(self, world):
        super().__init__(world, device=("routed",))
        self.near, far = self.home.add_host(), self.lab.site("far")
        self.far = far.host
        self.at = self.home.host.address
        # Else it would answer but one probe in a second, and nmap would have to guess.
        self.home.host.sysctl("net.ipv4.icmp_ratelimit", 0)
        self.home.host.nft(ANSWERS.format(f"{self.near.address}, {far.address}"))
        self.unused = free_port()

    def start(self, *options):
        self.start_device("reach", "later", "third", options=options)
        self.reach = self.start_user()
        self.page()
        self.tunnel = self.tunnel_port()
        return self

    def tunnel_port(self):
        """Where the device's newest link comes from, as the broker sees it; no NAT is between."""
        port = int(re.findall(rf" online key=\S+ path={self.at}:(\d+)",
                              self.broker.process.text())[-1])
        check(port in self.device.udp_ports(), f"the device has no port {port}")
        return port

    def restart_device(self):
        """Whom it allows, it is told anew; nobody here comes back to it."""
        self.device.stop()
        with self.home.host:
            self.device = self.world.device(self.broker, {"web": self.web.port}, enrol="")

    def answers(self):
        """Packets that have left the device for the scanners so far."""
        with self.home.host:
            listed = command("nft", "list", "table", "inet", "watch")
        return int(re.search(r"counter packets (\d+)", listed).group(1))

    def unanswered(self, before, what):
        count = self.answers() - before
        check(count == 0, f"{count} packets left for the scanners: {what}")

    def profile(self, *options):
        """What the profile's script prints where the device is."""
        with self.home.host:
            return command("sh", PROFILE, *options)

    def cloak(self):
        """Applied, and as it is once nothing is left of what was before: the device has spoken to
        its broker, which introduces a new user to it, and to the users."""
        self.profile("--apply")
        self.page()
        self.later_page(10)
        self.home.host.nft("flush set inet rit_cloak handover\n")

    def nmap(self, scanner, *options, seconds=100):
        """({(protocol, port): state}, {state: how many ports are not listed one by one})."""
        with scanner:
            got = self.world.run("nmap", "-n", "-Pn", "-oX", "-", *options, self.at,
                                 seconds=seconds)
        check(got.returncode == 0, f"nmap: {got.stderr}")
        host = xml.etree.ElementTree.fromstring(got.stdout).find("host")
        listed = {(port.get("protocol"), int(port.get("portid"))): port.find("state").get("state")
                  for port in host.iter("port")}
        others = {more.get("state"): int(more.get("count")) for more in host.iter("extraports")}
        return listed, others


def sockets(process, table):
    """(address as the kernel prints it, port, state) of each socket where a process is."""
    lines = pathlib.Path(f"/proc/{process.pid}/net/{table}").read_text().splitlines()[1:]
    for fields in map(str.split, lines):
        address, port = fields[1].rsplit(":", 1)
        yield address, int(port, 16), int(fields[3], 16)


class Capture:
    """All UDP at the device, from now on."""

    def __init__(self, scene):
        self.file = scene.world.folder / "captured.pcap"
        with scene.home.host:
            self.process = scene.world.start("tcpdump", "tcpdump", "-i", "eth0", "-n", "-U",
                                             "--immediate-mode", "-Z", "root",
                                             "-w", self.file, "udp")
        self.process.wait_line("listening on")

    def payloads(self):
        """Of each datagram of IPv4 over Ethernet."""
        data, at, found = self.file.read_bytes(), 24, []
        while at + 16 <= len(data):
            length = struct.unpack_from("=I", data, at + 8)[0]
            packet = data[at + 16 + 14:at + 16 + length]
            at += 16 + length
            if packet[:1] and packet[0] >> 4 == 4:
                header = 4 * (packet[0] & 15)
                end = header + struct.unpack_from("!H", packet, header + 4)[0]
                found.append(packet[header + 8:end])
        return [payload for payload in found if payload]

    def corpora(self, least):
        """Two files for flood.c, once there are so many: all of them, and all with a connection ID
        that nobody has (of short headers; PROTOCOL.md section 5, stateless reset)."""
        payloads = wait_until(lambda: self.enough(least), 20, f"{least} datagrams captured")[:4000]
        foreign = [one[:1] + bytes(octet ^ 0xa5 for octet in one[1:9]) + one[9:]
                   for one in payloads]
        files = self.file.with_name("corpus"), self.file.with_name("foreign")
        for file, content in zip(files, (payloads, foreign)):
            file.write_bytes(b"".join(struct.pack("=H", len(one)) + one for one in content))
        return files

    def enough(self, least):
        found = self.payloads()
        return found if len(found) >= least else None
