"""Network namespaces without names: each lives as long as this process or one inside needs it.

Owns entering and leaving them (`with namespace:`), links between them, and the few settings and
messages that iproute2 has no command for. Nothing outside the namespaces made here is touched, and
nothing has to be removed: when the last holder is gone, the kernel takes it all down. What is
started or opened inside a `with` block belongs to that namespace. For one thread only.
"""

import ctypes
import os
import socket
import struct
import subprocess

from harness import Failed

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def call(function, *arguments):
    if function(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{function.__name__}: {os.strerror(error)}")


def current():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def command(*argv, text=None):
    """Runs a command where this thread is; its standard output."""
    done = subprocess.run([str(a) for a in argv], input=text, text=True, capture_output=True,
                          check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, argv))}: {done.stderr.strip()}\n{(text or '')[:2000]}")
    return done.stdout


class Namespace:
    """A network namespace with its loopback up, IPv4 only unless asked."""

    def __init__(self, name, forwards=False):
        self.name, self.left = name, []
        home = current()
        call(LIBC.unshare, CLONE_NEWNET)
        self.fd = current()
        call(LIBC.setns, home, CLONE_NEWNET)
        os.close(home)
        with self:
            # Neighbour discovery would be counted with an idle device's packets.
            for name in ("all", "default"):
                self.sysctl(f"net.ipv6.conf.{name}.disable_ipv6", 1)
            self.sysctl("net.ipv4.ip_forward", int(forwards))
            command("ip", "link", "set", "lo", "up")

    def __enter__(self):
        self.left.append(current())
        call(LIBC.setns, self.fd, CLONE_NEWNET)
        return self

    def __exit__(self, *_error):
        before = self.left.pop()
        call(LIBC.setns, before, CLONE_NEWNET)
        os.close(before)

    @property
    def path(self):
        """A path that a child process can open, too."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def ip(self, *lines):
        """iproute2's commands, one after another."""
        with self:
            command("ip", "-batch", "-", text="\n".join(lines) + "\n")

    def nft(self, rules):
        with self:
            return command("nft", "-f", "-", text=rules)

    def sysctl(self, name, value):
        with self, open("/proc/sys/" + name.replace(".", "/"), "w") as file:
            file.write(str(value))

    def link(self, device, other, other_device):
        """A cable to another namespace, up at both ends."""
        self.ip(f"link add {device} type veth peer name {other_device} netns {other.path}",
                f"link set {device} up")
        other.ip(f"link set {other_device} up")

    def udp(self, address="0.0.0.0", port=0, timeout=1.0):
        """A UDP socket inside."""
        with self:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, port))
        made.settimeout(timeout)
        return made

    def flush_conntrack(self):
        """Forgets every flow, as a router that restarts does (ctnetlink, delete without a key)."""
        netfilter, delete = 12, (1 << 8) | 2
        with self, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter) as line:
            request_and_ack = 1 | 4
            line.send(struct.pack("=IHHIIBBH", 20, delete, request_and_ack, 1, 0, 0, 0, 0))
            answer = line.recv(4096)
        error = struct.unpack_from("=i", answer, 16)[0]
        if error:
            raise OSError(-error, f"flushing conntrack: {os.strerror(-error)}")
