"""What the end-to-end scenarios stand on: real processes in a folder of their own.

Owns starting, watching and ending them, by process id; nothing is left behind when a scenario
ends, however it ends. Ports are picked free ones. A scenario waits for a line or a state, with a
limit; it does not sleep and hope. Python's standard library only.
"""

import hashlib
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


class Failed(Exception):
    """What was observed is not what must hold."""


class Skipped(Exception):
    """The scenario cannot be run on this machine; the text says why."""


def check(condition, message):
    if not condition:
        raise Failed(message)


def wait_until(condition, seconds, what):
    """The first true value of condition()."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < end, f"not within {seconds} s: {what}")
        time.sleep(0.02)


def free_port(address="127.0.0.1"):
    """A port nobody uses for TCP or UDP, below the range the kernel hands out by itself."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(family, kind) as probe:
                    probe.bind((address, port))
            return port
        except OSError:
            continue


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Process:
    """A child with its output in one file."""

    def __init__(self, name, argv, folder):
        self.name = name
        self.log = folder / f"{name}.log"
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self.pid = self.child.pid

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_line(self, pattern, seconds=20, count=1):
        """The count-th match of the pattern, which is searched line by line."""
        found = re.compile(pattern, re.MULTILINE)

        def look():
            # Whole lines: of one that is being written the end is not there yet.
            status = self.child.poll()
            text = self.text()
            whole = text if status is not None else text[:text.rfind("\n") + 1]
            matches = list(found.finditer(whole))
            if len(matches) >= count:
                return matches[count - 1]
            check(status is None, f"{self.name} ended ({status}) without a line like {pattern!r}")
            return None

        return wait_until(look, seconds, f"a line like {pattern!r} from {self.name}")

    def wait_exit(self, seconds=20):
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} is still running after {seconds} s") from None

    def expect_error(self, pattern, seconds=20):
        """It must end by itself, not zero and not by a signal, with a message that fits."""
        code = self.wait_exit(seconds)
        check(code != 0, f"{self.name} ended with status 0")
        check(code > 0, f"{self.name} was ended by signal {-code}")
        text = self.text()
        check("panicked" not in text, f"{self.name} panicked")
        check(re.search(pattern, text, re.IGNORECASE),
              f"{self.name} said nothing like {pattern!r}")

    def is_running(self):
        return self.child.poll() is None

    def kill(self):
        self.child.kill()
        self.child.wait()

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()

    def memory_kib(self):
        """What is resident, without pages of files (programs and libraries). Not from `status`,
        whose numbers the kernel keeps only roughly."""
        pages = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"Anonymous:\s+(\d+)", pages).group(1))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def udp_ports(self):
        """The ports of the UDP sockets it holds."""
        inodes = set()
        for entry in os.scandir(f"/proc/{self.pid}/fd"):
            try:
                inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(entry.path)))
            except OSError:
                continue
        ports = set()
        for table in ("udp", "udp6"):
            for line in pathlib.Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[9] in inodes:
                    ports.add(int(fields[1].rsplit(":", 1)[1], 16))
        return sorted(ports)


class Broker:
    """rit-server with its own state folder; it can be ended and started again."""

    def __init__(self, world, host, name, options):
        self.world, self.host, self.name, self.options = world, host, name, options
        self.state = world.folder / name
        self.port = free_port(host)
        self.starts = 0
        self.process = None
        self.start()

    def start(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.process = self.world.start(
            self.name, self.world.tools.server, "--state", self.state,
            "--listen", f"{host}:{self.port}", *self.options,
        )
        self.starts += 1
        self.process.wait_line(r"^ready", count=self.starts)
        self.uri = self.process.wait_line(r"^address (\S+)", count=self.starts).group(1)

    def code(self, *options):
        """A fresh one-time enrol code."""
        made = self.world.run(self.world.tools.server, "code", "--state", self.state, *options)
        check(made.returncode == 0, f"no code: {made.stdout}{made.stderr}")
        return re.search(r"^(?:enrol-code )?(\S+)$", made.stdout, re.MULTILINE).group(1)


class World:
    """One scenario's folder and processes."""

    def __init__(self, tools, name):
        self.tools = tools
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"rit-e2e-{name}-"))
        self.processes = []
        self.mounts = []
        self.starts = {}

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for process in reversed(self.processes):
            process.stop()
        if kind is not None and not issubclass(kind, Skipped):
            self.show_logs()
        for mount in reversed(self.mounts):
            subprocess.run(["umount", mount], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def show_logs(self):
        for process in self.processes:
            lines = process.text().splitlines()[-25:]
            state = process.child.returncode
            print(f"      --- {process.name} (status {state}), its last lines")
            for line in lines:
                print(f"      | {line[:300]}")
        sys.stdout.flush()

    def start(self, name, *argv):
        process = Process(name, argv, self.folder)
        self.processes.append(process)
        return process

    def run(self, *argv, seconds=60):
        """A command to its end."""
        try:
            return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, text=True,
                                  capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"still running after {seconds} s: {argv}") from None

    def broker(self, host="127.0.0.1", name="broker", options=()):
        return Broker(self, host, name, options)

    def peer(self, mode, *options, name=None):
        """A TCP service of tests/e2e/peer.py; the port it listens on is its attribute."""
        port = free_port()
        process = self.start(name or f"peer-{mode}", sys.executable, HERE / "peer.py", mode,
                             port, *options)
        process.wait_line(r"^ready")
        process.port = port
        return process

    def web(self, files, name="web", settings=""):
        """nginx on 127.0.0.1 with these files: name → bytes. `settings`: more of its server."""
        root = self.folder / f"{name}-root"
        run = self.folder / f"{name}-run"
        root.mkdir()
        run.mkdir()
        for file, content in files.items():
            (root / file).write_bytes(content)
        port = free_port()
        temporary = "".join(
            f"{kind}_temp_path {run}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root; " if os.geteuid() == 0 else ""
        (run / "nginx.conf").write_text(
            f"{user}daemon off; master_process off; pid {run}/pid; error_log {run}/error.log;\n"
            "events { worker_connections 1024; }\n"
            f"http {{ access_log off; default_type application/octet-stream;\n{temporary}"
            f"server {{ listen 127.0.0.1:{port}; root {root};\n{settings} }} }}\n"
        )
        process = self.start(name, self.tools.nginx, "-p", run, "-e", run / "error.log",
                             "-c", run / "nginx.conf")
        process.port, process.root = port, root
        wait_until(lambda: connects("127.0.0.1", port), 10, "the web server answers")
        return process

    def reach_key(self, name="reach"):
        made = self.run(self.tools.reach, "--state", self.folder / name, "--key")
        check(made.returncode == 0, f"reach --key: {made.stdout}{made.stderr}")
        return re.search(r"([a-z2-7]{52})", made.stdout).group(1)

    def device(self, broker, services, allow=(), enrol=None, name="device", online=True,
               options=()):
        """services: {"web": 8080, ...}, or a list in the program's own words. Enrols with a fresh
        code unless one is given ("" none)."""
        argv = [self.tools.device, "--state", self.folder / name, "--broker", broker.uri]
        enrol = broker.code() if enrol is None else enrol
        if enrol:
            argv += ["--enrol", enrol]
        for key in allow:
            argv += ["--allow", key]
        if isinstance(services, dict):
            services = [f"{service}=127.0.0.1:{port}" for service, port in services.items()]
        argv += [*options, *services]
        starts = self.starts[name] = self.starts.get(name, 0) + 1
        process = self.start(name, *argv)
        if online:
            process.key = process.wait_line(r"^key ([a-z2-7]{52})", count=starts).group(1)
            process.wait_line(r"online", count=starts)
        return process

    def reach(self, broker, device_key, *services, enrol=None, name="reach", listen=True,
              grant=None):
        """Each service's address is in the result's dictionary `at`: name → (host, port)."""
        argv = [self.tools.reach, "--state", self.folder / name, "--broker", broker.uri]
        enrol = broker.code() if enrol is None else enrol
        if enrol:
            argv += ["--enrol", enrol]
        if grant:
            argv += ["--grant", grant]
        starts = self.starts[name] = self.starts.get(name, 0) + 1
        process = self.start(name, *argv, device_key, *services)
        process.at = {}
        if listen:
            for service in services:
                plain = re.escape(service.split("@")[0])
                line = process.wait_line(rf"^listening {plain} ([0-9.]+):(\d+)", count=starts)
                process.at[service.split("@")[0]] = (line.group(1), int(line.group(2)))
        return process

    def pair(self, services, host="127.0.0.1", names=None):
        """A broker, a device with these services and a reaching side that may use them."""
        broker = self.broker(host)
        device = self.device(broker, services, allow=[self.reach_key()])
        return broker, device, self.reach(broker, device.key, *(names or services))

    def curl(self, at, path, *options, seconds=60):
        url = f"http://{at[0]}:{at[1]}/{path}"
        return self.run(self.tools.curl, "-sS", "--fail", "--max-time", seconds, *options, url,
                        seconds=seconds + 10)

    def fetch_equal(self, at, web, file, seconds=120):
        copy = self.folder / f"copy-{at[0]}-{file}"
        got = self.curl(at, file, "-o", copy, seconds=seconds)
        check(got.returncode == 0, f"curl: status {got.returncode}: {got.stderr}")
        check(sha256_of(copy) == sha256_of(web.root / file), f"{file} differs")

    def small_disk(self, kib=None, read_only=False):
        """An empty file system of its own, very small or not to be written."""
        folder = self.folder / f"disk{len(self.mounts)}"
        folder.mkdir()
        options = f"size={kib or 64}k,mode=0777" + (",ro" if read_only else "")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "rit-e2e", str(folder)],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Skipped("a file system of its own cannot be mounted without root")
        self.mounts.append(folder)
        return folder


def connects(host, port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def with_limit(seconds, function, *arguments):
    """Runs it; past the limit it fails, so that nothing here can hang."""

    def expired(_number, _frame):
        raise Failed(f"not finished within {seconds} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    try:
        return function(*arguments)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
