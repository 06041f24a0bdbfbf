"""A device on uIP on the emulated boards, with a link of 576 bytes: examples-c/uip, the same that
tests/uip runs as a process."""

import re
import subprocess
import zlib

from harness import check, wait_until
from machine import BOARD, HOST, Board, Cable

MTU = 576


class Stage:
    """The board, online, and the reaching side."""

    def __init__(self, world, machine, loss=0):
        self.world = world
        self.cable = Cable(world, loss=loss)
        subprocess.run(["ip", "link", "set", "board0", "mtu", str(MTU)], check=True)
        broker = world.broker(HOST)
        self.board = Board(world, f"uip-{machine}", self.cable, broker=broker.uri,
                           code=broker.code(), allow=world.reach_key(), ip=BOARD, router=HOST)
        key = self.board.wait_line(r"^key ([a-z2-7]{52})", seconds=60).group(1)
        self.board.wait_line("^online", seconds=60)
        self.reach = world.reach(broker, key, "web")
        self.at = self.reach.at["web"]

    def page(self):
        got = self.world.curl(self.at, "", seconds=60)
        check("It works" in got.stdout, f"the page: {got.stdout}{got.stderr}")

    def download(self, length):
        copy = self.world.folder / "copy"
        got = self.world.curl(self.at, f"bytes/{length}", "-o", copy, seconds=200)
        check(got.returncode == 0, f"curl: {got.stderr}")
        check(copy.read_bytes() == pattern(length), f"{length} bytes came differently")

    def upload(self, length):
        body = self.world.folder / "body"
        body.write_bytes(pattern(length))
        got = self.world.curl(self.at, "", "-T", body, "-H", "Expect:", seconds=200)
        wanted = f"{length} {zlib.adler32(pattern(length))}"
        check(got.stdout.strip() == wanted, f"{got.stdout!r}, not {wanted!r}; {got.stderr}")

    def finish(self):
        """Ends the program, which has used what it has and gives all of it back."""
        self.board.press("q")
        check(self.board.wait_exit() == 0, "exit status")
        live, peak, size = self.heap(2)
        check(live == 0, f"{live} bytes of the heap are still in use")
        check(0 < peak < size, f"heap: {peak} of {size}")
        stack, room = map(int, self.board.wait_line(r"^stack (\d+) of (\d+)").groups())
        check(0 < stack < room, f"stack: {stack} of {room}")
        return peak, stack

    def heap(self, count):
        line = self.board.wait_line(r"^heap live (\d+) peak (\d+) of (\d+)", count=count)
        return map(int, line.groups())


def pattern(length):
    """What examples-c/uip/page.c sends."""
    block = bytes((31 * at + at // 256) % 256 for at in range(65536))
    return (block * (length // 65536 + 1))[:length]


def test_uip_cortex_m3(world):
    stage = Stage(world, "an385")
    stage.page()
    stage.download(300_000)
    stage.upload(300_000)
    stage.finish()


def test_uip_cortex_m4(world):
    stage = Stage(world, "an386")
    stage.page()
    stage.download(1_000_000)
    stage.upload(1_000_000)
    stage.finish()


def test_uip_loss(world):
    stage = Stage(world, "an386", loss=3)
    stage.page()
    stage.download(200_000)
    stage.upload(200_000)
    stage.finish()
    counts = stage.cable.counts()
    check(min(lost for _, lost, _ in counts.values()) > 0, f"nothing was lost: {counts}")


def test_uip_reset(world):
    """Reset in the middle of a transfer, the board is there again by itself."""
    stage = Stage(world, "an386")
    stage.page()
    transfer = world.start("curl", world.tools.curl, "-sS", "-o", "/dev/null",
                           f"http://{stage.at[0]}:{stage.at[1]}/bytes/50000000")
    wait_until(lambda: sent_by(stage) > 100_000, 60, "the transfer goes")
    stage.board.reset()
    check(transfer.wait_exit(60) != 0, "the transfer went on")
    stage.board.wait_line("^online", seconds=60, count=2)

    def works():
        return "It works" in world.curl(stage.at, "", seconds=10).stdout

    wait_until(works, 60, "the page after the reset")
    stage.finish()


def sent_by(_stage):
    """Bytes that came from the board."""
    shown = subprocess.run(["ip", "-s", "link", "show", "board0"], capture_output=True, text=True,
                           check=True)
    return int(re.search(r"RX:.*\n\s*(\d+)", shown.stdout).group(1))
