"""The emulated board with its cable, and what a scenario does to it.

Owns starting QEMU with an image, feeding its entropy source, keys, reset and exit status. The board
keeps its slots in a folder of the scenario's. Everything is waited for by what the board prints.
"""

import json
import os
import pathlib
import select
import socket
import sys
import threading

from harness import check, free_port

HERE = pathlib.Path(__file__).resolve().parent
HOST, BOARD = "10.77.0.1", "10.77.0.2"
MAC = "02:00:00:77:00:02"


class Cable:
    """cable.py between this namespace, where it is 10.77.0.1, and a board."""

    def __init__(self, world, loss=0, rate=0, seed=1):
        self.to_board, self.to_host = free_port(), free_port()
        self.process = world.start("cable", sys.executable, HERE / "cable.py", "board0",
                                   f"{HOST}/24", self.to_board, self.to_host, "--loss", loss,
                                   "--rate", rate, "--seed", seed)
        self.process.wait_line("^ready")

    def counts(self):
        """Ends it: {"to": (carried, lost, crowded), "from": ...}."""
        self.process.stop()
        return {way: tuple(int(found) for found in self.process.wait_line(
            rf"^{way} the board: carried (\d+) lost (\d+) crowded (\d+)").groups())
            for way in ("to", "from")}


class Board:
    """QEMU with an image. `entropy` is a function that gives bytes; None: the pipe stays empty."""

    def __init__(self, world, image, cable=None, entropy=os.urandom, icount=False, **options):
        self.folder = world.folder / "board"
        self.folder.mkdir(exist_ok=True)
        tools = world.tools
        machine = image.rsplit("-", 1)[1]
        source = self.folder / "entropy"
        for end in ("in", "out"):
            os.mkfifo(f"{source}.{end}")
        words = ",".join(f"arg={name}={value}" for name, value in options.items())
        argv = [
            tools.qemu, "-M", f"mps2-{machine}", "-display", "none", "-monitor", "none",
            "-kernel", tools.images / f"{image}.elf",
            "-qmp", f"unix:{self.folder}/qmp.sock,server=on,wait=off",
            "-chardev", f"socket,id=console,path={self.folder}/console.sock,server=on,wait=off,"
                        "logfile=/dev/stdout,logappend=on",
            "-serial", "chardev:console",
            "-chardev", f"pipe,id=entropy,path={source}", "-serial", "chardev:entropy",
            "-semihosting-config", f"enable=on,target=native,arg=image,{words}",
        ]
        if icount:
            argv += ["-icount", "shift=0"]
        if cable is None:
            argv += ["-nic", "none"]
        else:
            argv += ["-nic", f"socket,model=lan9118,mac={MAC},udp=127.0.0.1:{cable.to_host},"
                             f"localaddr=127.0.0.1:{cable.to_board}"]
        # Some of it is there before the board asks, which does not wait for long.
        pipe = os.open(f"{source}.in", os.O_RDWR | os.O_NONBLOCK) if entropy else None
        if entropy:
            os.write(pipe, entropy(4096))
        self.process = world.start("board", "env", "-C", self.folder, *argv)
        self.wait_line, self.wait_exit = self.process.wait_line, self.process.wait_exit
        self.text = self.process.text
        if entropy:
            threading.Thread(target=feed, args=(pipe, entropy, self.process), daemon=True).start()

    def press(self, key):
        """Types a key at the console."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(f"{self.folder}/console.sock")
            line.sendall(key.encode())
            # The bytes wait in the socket until the board takes them, which the end of the line
            # would make them lost before.
            line.shutdown(socket.SHUT_WR)
            while line.recv(4096):
                pass

    def reset(self):
        """Presses the reset button."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(f"{self.folder}/qmp.sock")
            reader = line.makefile("r")
            for command in (None, "qmp_capabilities", "system_reset"):
                if command:
                    line.sendall(json.dumps({"execute": command}).encode())
                answer = {}
                while not {"QMP", "return", "error"} & answer.keys():
                    answer = json.loads(reader.readline())
                check("error" not in answer, f"{command}: {answer}")

    def value(self, name, count=1):
        """The words after `name` on the line that begins with it."""
        return self.wait_line(rf"^{name} (.*)$", count=count).group(1).split()


def feed(pipe, entropy, process):
    """Keeps the pipe full as long as QEMU runs."""
    while process.is_running():
        if select.select([], [pipe], [], 0.2)[1]:
            os.write(pipe, entropy(64))
    os.close(pipe)
