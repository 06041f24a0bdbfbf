"""Somebody with a folder of their own who types `rit`."""

import json
import re
import subprocess

from harness import Failed, check


class Person:
    """Runs `rit` with its own configuration, state and runtime folders."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.folder = world.folder / name
        self.folder.mkdir()
        (self.folder / "run").mkdir(mode=0o700)
        self.starts = 0
        self.environment = [f"XDG_RUNTIME_DIR={self.folder / 'run'}", "NO_COLOR=1"]

    def argv(self, *words):
        return ["env", *self.environment, self.world.tools.rit,
                "--config", self.folder / "config.toml", "--state", self.folder / "state", *words]

    def run(self, *words, typed="", seconds=30):
        """The command to its end; the process's result."""
        try:
            return subprocess.run([str(word) for word in self.argv(*words)], input=typed,
                                  text=True, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name}: still running: rit {words}") from None

    def do(self, *words, typed=""):
        """What it prints; it must not fail."""
        done = self.run(*words, typed=typed)
        check(done.returncode == 0, f"{self.name}: rit {words}: {done.returncode} "
              f"{done.stdout}{done.stderr}")
        return done.stdout

    def json(self, *words, typed=""):
        return json.loads(self.do(*words, "--json", typed=typed))

    def refused(self, status, pattern, *words, typed=""):
        """It must end with this status, and say something like that."""
        done = self.run(*words, typed=typed)
        check(done.returncode == status, f"{self.name}: rit {words} ended with "
              f"{done.returncode}, not {status}: {done.stdout}{done.stderr}")
        check(re.search(pattern, done.stderr), f"{self.name}: rit {words}: no {pattern!r} in "
              f"{done.stderr}")
        return done

    def key(self):
        return self.json("status")["key"]

    def configure(self, text):
        (self.folder / "config.toml").write_text(text)

    def start(self, *words):
        """The command while it runs, with lines of JSON."""
        self.starts += 1
        process = self.world.start(f"{self.name}-{self.starts}", *self.argv(*words, "--json"))
        process.events = lambda: events_of(process)
        return process

    def connect(self, *words, services=("web",)):
        """`rit connect` when it listens; `at`: service → (address, port)."""
        process = self.start("connect", *words)
        process.at = {service: listening(process, service) for service in services}
        return process


def events_of(process):
    text = process.text()
    lines = text[:text.rfind("\n") + 1].splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def listening(process, service, count=1):
    """Where it listens for the service."""
    line = process.wait_line(rf'^{{"event":"listening",.*"service":"{re.escape(service)}",.*$',
                             count=count)
    told = json.loads(line.group(0))
    return told["address"], told["port"]
