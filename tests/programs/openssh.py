"""OpenSSH at both ends: a terminal, copies, and ports that it forwards in its turn."""

import hashlib
import os
import pathlib
import random
import subprocess

from ends import by_rit, done, program
from harness import Skipped, check, connects, free_port, sha256_of, wait_until
from terminal import Terminal


def mount(world, folder, *options):
    made = subprocess.run(["mount", *options, folder], capture_output=True, check=False)
    if made.returncode != 0:
        raise Skipped(f"nothing can be mounted at {folder}")
    world.mounts.append(folder)


def sshd(world):
    """The server, on loopback, for root alone, who comes by a key. It wants a user `sshd`, a shell
    for root and a folder in /run: this mount namespace gets them."""
    found = program(world, "sshd", "openssh-server")
    if not world.tools.own_network or os.geteuid() != 0:
        raise Skipped("sshd's user and folder need a mount namespace of its own")
    home = world.folder / "home"
    home.mkdir()
    users = world.folder / "passwd"
    users.write_text(f"root:x:0:0:root:{home}:/bin/sh\n"
                     "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
                     "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n")
    mount(world, "/etc/passwd", "--bind", users)
    mount(world, "/run", "-t", "tmpfs", "rit-run")
    pathlib.Path("/run/sshd").mkdir(mode=0o755)
    for key in ("host", "user"):
        done(world.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f",
                       world.folder / key))
    port = free_port()
    lines = [f"ListenAddress 127.0.0.1:{port}", f"HostKey {world.folder}/host", "UsePAM no",
             f"AuthorizedKeysFile {world.folder}/user.pub", "StrictModes no", "PidFile none",
             "PasswordAuthentication no", "PermitRootLogin yes", "UseDNS no",
             "Subsystem sftp internal-sftp"]
    # Newer ones have parts that are looked for where the package would be installed.
    for option, name in (("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth")):
        part = pathlib.Path(found).parent.parent / "lib/openssh" / name
        lines += [f"{option} {part}"] if part.exists() else []
    settings = world.folder / "sshd_config"
    settings.write_text("\n".join(lines) + "\n")
    world.start("sshd", found, "-D", "-e", "-f", settings).wait_line("^Server listening")
    return port


def reached(world):
    """Options for ssh, which trusts the server's own key alone, and where it is reached."""
    for name in ("ssh", "scp", "ssh-keygen"):
        program(world, name, "openssh-client")
    address, port = by_rit(world, {"ssh": sshd(world)}).at["ssh"]
    kind, key, *_ = (world.folder / "host.pub").read_text().split()
    (world.folder / "known").write_text(f"[{address}]:{port} {kind} {key}\n")
    options = ["-F", "none", "-i", world.folder / "user", "-o", f"Port={port}"]
    for option in (f"UserKnownHostsFile={world.folder}/known", "GlobalKnownHostsFile=none",
                   "StrictHostKeyChecking=yes", "BatchMode=yes", "ExitOnForwardFailure=yes"):
        options += ["-o", option]
    return options, f"root@{address}"


def test_ssh_terminal(world):
    """A session at a terminal: typed at, resized, and with 10 MB in it."""
    options, host = reached(world)
    ssh = program(world, "ssh", "openssh-client")
    with Terminal([ssh, "-tt", *options, host], 40, 100) as terminal:
        terminal.type("PS1=; stty -echo; echo ready-$((6 * 7))")
        terminal.read("ready-42\r\n")
        terminal.type("stty size")
        terminal.read("^40 100\r\n")
        terminal.resize(25, 80)
        # The news of it is a message of its own, that may come after what is typed now.
        terminal.type("until stty size | grep -x '25 80'; do :; done")
        terminal.read("25 80\r\n")
        terminal.type("seq 1500000; echo $((6 * 7))-ended")
        text = terminal.read("42-ended\r\n", 60)
        wanted = b"".join(b"%d\r\n" % number for number in range(1, 1_500_001))
        check(len(wanted) > 10_000_000 and hashlib.sha256(text).digest()
              == hashlib.sha256(wanted).digest(), f"{len(text)} bytes, not {len(wanted)}")
        terminal.type("sleep 1000")
        terminal.type("\x03")  # Ctrl-C, as a byte
        terminal.type("echo status-$?; exit 7")
        terminal.read("status-130\r\n")
        check(terminal.ended() == 7, "another exit status")


def test_ssh_commands_and_copies(world):
    """Exit statuses and both streams; 20 MB by scp there and back."""
    options, host = reached(world)
    ran = world.run("ssh", *options, host, "echo out; echo err >&2; exit 3")
    check((ran.returncode, ran.stdout, ran.stderr) == (3, "out\n", "err\n"), f"{ran}")
    file, back = world.folder / "file", world.folder / "back"
    file.write_bytes(random.Random(3).randbytes(20_000_000))
    there = world.folder / "home/there"
    done(world.run("scp", *options, file, f"{host}:there"))
    check(sha256_of(there) == sha256_of(file), "the copy there differs")
    done(world.run("scp", *options, f"{host}:there", back))
    check(sha256_of(back) == sha256_of(file), "the copy back differs")


def test_ssh_forwards(world):
    """Ports forwarded inside of it, both ways, and a SOCKS proxy."""
    options, host = reached(world)
    content = random.Random(4).randbytes(3_000_000)
    far, near = (world.web({"file": content, "name": name.encode()}, name=name)
                 for name in ("far", "near"))
    local, remote, proxy = free_port(), free_port(), free_port()
    ssh = world.start("ssh", program(world, "ssh", "openssh-client"), "-N", *options,
                      "-L", f"127.0.0.1:{local}:127.0.0.1:{far.port}",
                      "-R", f"127.0.0.1:{remote}:127.0.0.1:{near.port}",
                      "-D", f"127.0.0.1:{proxy}", host)
    for port in (local, remote, proxy):
        wait_until(lambda: connects("127.0.0.1", port) or not ssh.is_running(), 20, "it forwards")
    socks = ("--socks5-hostname", f"127.0.0.1:{proxy}")
    for port, name, more in ((local, "far", ()), (remote, "near", ()), (far.port, "far", socks)):
        at = ("127.0.0.1", port)
        told = world.curl(at, "name", *more).stdout
        check(told == name, f"port {port}: {told!r}, not {name!r}")
        copy = world.folder / f"copy-{port}"
        done(world.curl(at, "file", *more, "-o", copy))
        check(sha256_of(copy) == hashlib.sha256(content).hexdigest(), f"{name}: the file differs")
