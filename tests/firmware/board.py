"""The board support alone: what board.c prints, and that frames pass whole."""

import random
import socket

from harness import check
from machine import MAC, Board

FRAMES = 200


class Wire:
    """Frames to and from a board's socket, without a cable."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(20)
        self.to_host = self.socket.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.to_board = probe.getsockname()[1]

    def ask(self, frame):
        self.socket.sendto(frame, ("127.0.0.1", self.to_board))
        return self.socket.recv(2048)


def everything(world, machine, icount=False):
    wire = Wire()
    board = Board(world, f"board-{machine}", wire, icount=icount, word="a.word/of=ours")
    board.wait_line("^READY " + MAC)
    check(board.value("print") == ["text", "c", "-12", "34", "00000abc", "56", "%"], "print")
    check(board.value("option") == ["0", "a.word/of=ours"], "an option")
    check(board.value("option", count=2) == ["-1"], "an absent option")
    check(board.value("storage") == ["0", "0", "4", "same"], "storage")
    before, after, size = map(int, board.value("stack"))
    # What was used before may lie as deep as the 3000 bytes begin, an interrupt's frame included.
    check(0 < before < 1000 and 3000 < after < before + 3400 < size, "painted stack")
    error, drawn = board.value("entropy")
    check(error == "0" and len(set(drawn)) > 4, "entropy")
    # A hundred sleeps, each to the next tick of 1 ms at the longest. A busy host may lengthen them.
    check(int(*board.value("sleep")) > 50_000, "sleep")
    lots, target = random.Random(7), bytes.fromhex(MAC.replace(":", ""))
    for _ in range(FRAMES):
        frame = target + lots.randbytes(lots.randrange(53, 1508)) + b"\0"
        check(wire.ask(frame) == frame, "a frame came back otherwise")
    wire.ask(target + 54 * b"\xff")
    check(board.wait_exit() == 42, "exit status")
    return [int(ticks) for ticks in board.value("loop")]


def test_board_cortex_m3(world):
    everything(world, "an385")


def test_board_cortex_m4(world):
    everything(world, "an386")


def test_board_counts_instructions(world):
    """Loops of 200,000 and of 400,000 instructions, at 40 a tick."""
    once, twice = everything(world, "an386", icount=True)
    check(5000 <= once <= 5002 and 10_000 <= twice <= 10_002, f"ticks: {once} {twice}")


def test_board_no_entropy(world):
    """The pipe stays empty: the board says so, instead of waiting for ever."""
    board = Board(world, "board-an386", Wire(), entropy=None, word="x")
    board.wait_line("^entropy -1 $")
