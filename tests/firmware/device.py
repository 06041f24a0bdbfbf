"""A device on an emulated board, with the real broker and the real reaching side on this machine.

The same scenarios for each image: without an operating system, and on FreeRTOS. What the board's
HTTP server gives and answers is described in examples-c/cortex-m/lwip/http.h.
"""

import array
import json
import random
import re
import sys
import zlib

from harness import check, wait_until
from machine import HOST, Board, Cable

FACTOR = 2654435761
BIG = 10_000_000
PATIENCE_S = 240


class Lab:
    """Broker, cable, board and reaching side; all online, and the page's address is `at`."""

    def __init__(self, world, image, loss=0):
        self.world = world
        self.cable = Cable(world, loss=loss)
        self.broker = world.broker(HOST)
        self.board = Board(world, image, self.cable, broker=self.broker.uri,
                           code=self.broker.code(), allow=world.reach_key())
        self.key = self.board.value("READY")[0]
        self.board.wait_line("^enrolled$")
        self.board.wait_line("^online$")
        self.reach = world.reach(self.broker, self.key, "web")
        self.at = self.reach.at["web"]
        check(self.at[0].startswith("127."), f"listens at {self.at[0]}")

    def curl(self, path, *options):
        got = self.world.curl(self.at, path, *options, seconds=PATIENCE_S)
        check(got.returncode == 0, f"curl {path}: status {got.returncode}: {got.stderr}")
        return got.stdout

    def page(self):
        check("comes from a Cortex-M board" in self.curl(""), "the page")

    def download(self, size):
        copy = self.world.folder / "download"
        self.curl(f"bytes/{size}", "-o", copy)
        check(copy.read_bytes() == pattern(size), f"{size} bytes came down otherwise")

    def begin_download(self, name):
        """A curl that has got a part of BIG bytes."""
        copy = self.world.folder / name
        url = f"http://{self.at[0]}:{self.at[1]}/bytes/{BIG}"
        curl = self.world.start(f"curl-{name}", self.world.tools.curl, "-sS", "-o", copy, url)
        wait_until(lambda: copy.exists() and copy.stat().st_size > 300_000, PATIENCE_S, "bytes")
        check(curl.is_running(), "the transfer was over too soon")
        return curl

    def upload(self, size):
        data = random.Random(size).randbytes(size)
        file = self.world.folder / "upload"
        file.write_bytes(data)
        answer = self.curl("", "-T", file)
        check(answer == f"{size:010} {zlib.crc32(data):08x}\n", f"{size} bytes went up: {answer}")

    def shut_down(self):
        """Ends the device in order; its figures, after what must hold of them."""
        self.board.press("q")
        status = self.board.wait_exit()
        figures = json.loads(self.board.wait_line(r"^(\{.*\})$").group(1))
        print(f"      {figures}")
        check(figures["heap_live"] == 0 and figures["lwip_left"] == 0, f"left over: {figures}")
        check(0 < figures["heap_peak"] < figures["heap_size"], "heap")
        check(0 < figures["stack_peak"] < figures["stack_size"], "stack")
        check(status == 0, f"exit status {status}")
        return figures


def pattern(size):
    words = array.array("I", (at * FACTOR & 0xffffffff for at in range(size // 4 + 1)))
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()[:size]


def page(world, image):
    lab = Lab(world, image)
    for _ in range(3):
        lab.page()
    lab.download(100_001)
    lab.upload(100_003)
    missing = world.curl(lab.at, "nothing")
    check(missing.returncode == 22, f"a page that there is not: status {missing.returncode}")
    lab.shut_down()


def loss(world, image):
    lab = Lab(world, image, loss=1)
    lab.download(BIG)
    lab.upload(BIG)
    lab.shut_down()
    for way, (carried, lost, _) in lab.cable.counts().items():
        check(carried > 5000 and lost > carried / 300, f"{way}: {carried} carried, {lost} lost")


def abandoned(world, image):
    """Who leaves in a transfer costs the device nothing, nor does its own end in one."""
    lab = Lab(world, image)
    lab.begin_download("left").kill()
    lab.page()
    curl = lab.begin_download("torn")
    lab.shut_down()
    check(curl.wait_exit(60) != 0, "the torn transfer counts as complete")


def reset(world, image):
    """The reset button in a transfer: the same device is back, without anybody's help."""
    lab = Lab(world, image)
    curl = lab.begin_download("torn")
    lab.board.reset()
    check(lab.board.value("READY", count=2)[0] == lab.key, "another identity after the reset")
    lab.board.wait_line("^online$", count=2)
    check(len(re.findall("^enrolled$", lab.board.text(), re.MULTILINE)) == 1, "enrolled again")
    check(curl.wait_exit(60) != 0, "the torn transfer counts as complete")
    lab.reach.wait_line("^session-up", seconds=60, count=2)
    lab.page()
    lab.download(1_000_000)
    lab.shut_down()


def refuses(world, image, entropy):
    board = Board(world, image, Cable(world), entropy=entropy, broker=world.broker(HOST).uri,
                  allow=world.reach_key())
    board.wait_line("^refused: node: .*(entropy|random)")
    check(board.wait_exit() == 1, "exit status")
    check("READY" not in board.text(), "a node without entropy")


def entropy(world, image):
    """Neither without random numbers nor with those that evidently are none."""
    refuses(world, image, None)


def stuck_entropy(world, image):
    refuses(world, image, lambda count: bytes(count))


def scenarios():
    for image in ("lwip", "freertos"):
        for function in (page, loss, abandoned, reset, entropy, stuck_entropy):
            def test(world, function=function, image=image):
                function(world, f"{image}-an386")

            test.__doc__ = function.__doc__
            yield f"test_{image}_{function.__name__}", test


globals().update(scenarios())
