"""The tunnels that are measured as whole processes, ours and its peers, all with AES-128-GCM.

Owns how each is started on a network of two ends: `near`, where the load's client is, and `far`,
where its service is. Each is a function of a Lab that returns where the client connects and the
processes that carry the bytes, or raises Unavailable with the reason. Nothing is installed.
"""

import ctypes
import os
import pathlib
import pwd
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from harness import Failed, World, check, connects, free_port, wait_until  # noqa: E402

CLONE_NEWNET = 0x40000000
RATHOLE = ("rathole", "cargo install rathole")


class Unavailable(Exception):
    """It cannot be measured on this machine; the text says why."""


def program(name, package):
    """Where it is; daemons may be where a user's PATH does not go."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise Unavailable(f"there is no {name} here ({package})")
    return found


class Loopback:
    """Both ends on one machine."""

    name = "loopback"
    near = far = listen = "127.0.0.1"
    far_prefix = ()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        pass


class Veth:
    """Two network namespaces and a pair of virtual Ethernet devices. This process goes over into
    the near one for good; both vanish with the processes in them."""

    name = "veth"
    near, far, listen = "10.77.0.1", "10.77.0.2", "0.0.0.0"

    def __enter__(self):
        for tool, package in (("ip", "iproute2"), ("unshare", "util-linux")):
            program(tool, package)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise Unavailable(f"no network namespace of its own, which takes root: {reason}")
        self.holder = subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE)
        self.far_prefix = ("nsenter", "-t", str(self.holder.pid), "-n")
        try:
            wait_until(self.far_is_apart, 5, "a network namespace for the far end")
            self.connect()
        except (Failed, subprocess.CalledProcessError) as reason:
            self.__exit__(None, None, None)
            raise Unavailable(f"no pair of network namespaces: {reason}") from None
        return self

    def __exit__(self, kind, value, trace):
        self.holder.stdin.close()
        self.holder.wait()

    def far_is_apart(self):
        own = os.readlink("/proc/self/ns/net")
        return os.readlink(f"/proc/{self.holder.pid}/ns/net") != own

    def connect(self):
        def ip(prefix, *words):
            subprocess.run([*prefix, "ip", *words], check=True)

        ip((), "link", "add", "near", "type", "veth", "peer", "name", "far",
           "netns", str(self.holder.pid))
        for prefix, device, address in (((), "near", self.near),
                                        (self.far_prefix, "far", self.far)):
            ip(prefix, "address", "add", f"{address}/24", "dev", device)
            ip(prefix, "link", "set", device, "up")
            ip(prefix, "link", "set", "lo", "up")


class Lab(World):
    """A World on one of these networks. Processes whose name starts with `far-` are there."""

    def __init__(self, tools, net):
        super().__init__(tools, "bench")
        self.net = net
        port = free_port()
        self.service = f"127.0.0.1:{port}"
        self.direct = f"{net.far}:{port}"
        self.start("far-load", tools.load, "serve", f"{net.listen}:{port}").wait_line("^ready")

    def start(self, name, *argv):
        prefix = self.net.far_prefix if name.startswith("far-") else ()
        return super().start(name, *prefix, *argv)

    def file(self, name, text, mode=0o600):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def listening(self, process, at):
        """Waits until the process, which does not say so itself, listens there."""
        host, port = at.rsplit(":", 1)

        def listens():
            last = (process.text().splitlines() or [""])[-1]
            check(process.is_running(), f"{process.name} ended: {last}")
            return connects(host, int(port))

        wait_until(listens, 10, f"{process.name} listens at {at}")
        return at


def direct(lab):
    return lab.direct, []


def librit(lab):
    broker = lab.broker(lab.net.near)
    port = int(lab.service.rsplit(":", 1)[1])
    device = lab.device(broker, {"load": port}, allow=[lab.reach_key()], name="far-device")
    reach = lab.reach(broker, device.key, "load")
    host, port = reach.at["load"]
    return f"{host}:{port}", [device, reach]


def ssh(lab):
    """`ssh -L`. As root, sshd asks for a folder that only its package's service makes; it gets one
    in a mount namespace of its own."""
    sshd, client = program("sshd", "openssh-server"), program("ssh", "openssh-client")
    keygen = program("ssh-keygen", "openssh-client")
    for key in ("host", "user"):
        lab.run(keygen, "-q", "-t", "ed25519", "-N", "", "-f", lab.folder / f"ssh-{key}")
    port, at = free_port(), f"127.0.0.1:{free_port()}"
    config = lab.file("sshd_config", f"""
ListenAddress {lab.net.far}:{port}
HostKey {lab.folder}/ssh-host
AuthorizedKeysFile {lab.folder}/ssh-user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
""")
    serve = [sshd, "-D", "-e", "-f", config]
    if os.geteuid() == 0 and not os.path.isdir("/run/sshd"):
        made = 'mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec "$@"'
        serve = ["unshare", "-m", "sh", "-c", made, "sh", *serve]
    server = lab.start("far-sshd", *serve)
    server.wait_line("Server listening")
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise Unavailable("sshd takes only users who have a name") from None
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes",
               "ExitOnForwardFailure=yes", "Compression=no", "Ciphers=aes128-gcm@openssh.com")
    words = [word for option in options for word in ("-o", option)]
    near = lab.start("ssh", client, "-F", "none", "-N", *words, "-i", lab.folder / "ssh-user",
                     "-p", port, "-L", f"{at}:{lab.service}", f"{user}@{lab.net.far}")
    return lab.listening(near, at), [server, near]


def quinn(lab):
    forward = lab.tools.quinn_forward
    if not forward.exists():
        raise Unavailable("quinn-forward was not built")
    remote, at = f"{lab.net.far}:{free_port()}", f"127.0.0.1:{free_port()}"
    server = lab.start("far-quinn", forward, "serve", remote, lab.service)
    server.wait_line("^ready")
    near = lab.start("quinn", forward, "reach", at, remote)
    near.wait_line("^ready")
    return at, [server, near]


def rathole_noise(lab):
    """Noise, which knows AES-256-GCM but not AES-128-GCM."""
    keys = lab.run(program(*RATHOLE), "--genkey").stdout.split()
    pattern = 'pattern = "Noise_NK_25519_AESGCM_SHA256"\n'
    return rathole(lab, "noise", f'{pattern}local_private_key = "{keys[2]}"',
                   f'{pattern}remote_public_key = "{keys[-1]}"')


def rathole_tls(lab):
    """TLS 1.2, in which its library chooses ChaCha20-Poly1305."""
    openssl = program("openssl", "openssl")
    key, certificate, both = (lab.folder / f"rathole.{kind}" for kind in ("key", "pem", "pfx"))
    lab.run(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=bench",
            "-addext", "subjectAltName=DNS:bench")
    lab.run(openssl, "pkcs12", "-export", "-inkey", key, "-in", certificate, "-out", both,
            "-passout", "pass:bench")
    return rathole(lab, "tls", f'pkcs12 = "{both}"\npkcs12_password = "bench"',
                   f'trusted_root = "{certificate}"\nhostname = "bench"')


def rathole(lab, transport, server, client):
    """Its server is at the near end: its client, beside the service, dials out to it."""
    meet, at = f"{lab.net.near}:{free_port()}", f"127.0.0.1:{free_port()}"
    ends = {
        "server": f'bind_addr = "{meet}"', "server-transport": server,
        "server-service": f'bind_addr = "{at}"',
        "client": f'remote_addr = "{meet}"', "client-transport": client,
        "client-service": f'local_addr = "{lab.service}"',
    }
    started = []
    for end, name in (("server", "rathole"), ("client", "far-rathole")):
        config = lab.file(f"rathole-{end}.toml", f"""
[{end}]
{ends[end]}
default_token = "bench"
[{end}.transport]
type = "{transport}"
[{end}.transport.{transport}]
{ends[end + "-transport"]}
[{end}.services.load]
{ends[end + "-service"]}
""")
        started.append(lab.start(name, program(*RATHOLE), f"--{end}", config))
    return lab.listening(started[0], at), started


def stunnel(lab):
    """TLS 1.3 with a shared key: no certificates."""
    name = program("stunnel", "stunnel4")
    remote, at = f"{lab.net.far}:{free_port()}", f"127.0.0.1:{free_port()}"
    secrets = lab.file("stunnel-psk", f"bench:{'5a' * 32}\n")
    common = f"""
foreground = yes
pid =
debug = err
sslVersion = TLSv1.3
ciphersuites = TLS_AES_128_GCM_SHA256
PSKsecrets = {secrets}
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[load]
"""
    server = f"{common}accept = {remote}\nconnect = {lab.service}\n"
    client = f"{common}client = yes\naccept = {at}\nconnect = {remote}\n"
    far = lab.start("far-stunnel", name, lab.file("stunnel-far.conf", server))
    near = lab.start("stunnel", name, lab.file("stunnel.conf", client))
    return lab.listening(near, at), [far, near]


OURS, DIRECT = "librit", "no tunnel"
# By the name that the rows give them; rathole in what is faster in each area.
COMMON_PEERS = {"ssh -L": ssh, "quinn forwarder": quinn, "stunnel": stunnel}
PEERS = {
    "process": COMMON_PEERS | {"rathole, TLS": rathole_tls},
    "latency": COMMON_PEERS | {"rathole, Noise": rathole_noise},
}
