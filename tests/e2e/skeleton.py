"""ports/skeleton: it compiles as it stands, its self-test says what is left to fill in, and filled in
with a stack that receives in an interrupt (board.c) it carries sessions."""

import pathlib
import random
import re
import select
import socket

from harness import HERE, check, free_port, wait_until

TOP = HERE.parent.parent
SKELETON = TOP / "ports" / "skeleton"
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-O1", "-g"]


def build(world, name, vendor, *options):
    """The skeleton as a program of this machine's."""
    program = world.folder / name
    archive = pathlib.Path(world.tools.server).parent / "librit.a"
    made = world.run("cc", *FLAGS, f"-I{TOP / 'include'}", f"-I{SKELETON}", *options,
                     SKELETON / "main.c", SKELETON / "port.c", vendor, archive,
                     "-lpthread", "-ldl", "-lm", "-o", program)
    check(made.returncode == 0, f"cc: {made.stdout}{made.stderr}")
    return program


def settings(broker, code, owner, port):
    echo = ("{sizeof(struct rit_path), 0, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}, "
            f"{port}, 0, 0, {{0}}}}")
    return [f'-DSETTING_BROKER="{broker}"', f'-DSETTING_CODE="{code}"',
            f'-DSETTING_OWNER="{owner}"', f"-DSETTING_PORT={port}", f"-DSETTING_ECHO={echo}"]


def start(world, program, count=1):
    (world.folder / "board").mkdir(exist_ok=True)
    board = world.start("board", "env", f"BOARD_STATE={world.folder / 'board'}", program)
    board.wait_line(r"^self-test: no fault", count=count)
    board.key = board.wait_line(r"^([a-z2-7]{52})$", count=count).group(1)
    board.wait_line(r"^online", count=count)
    return board


def test_empty_skeleton_says_what_is_left(world):
    """As it stands it compiles clean, and the self-test names each part that does nothing yet."""
    printing = world.folder / "log.c"
    printing.write_text("#include <stdio.h>\nvoid __wrap_vendor_log(const char *line);\n"
                        "void __wrap_vendor_log(const char *line) { puts(line); }\n")
    program = build(world, "empty", SKELETON / "vendor.c", printing, "-Wl,--wrap=vendor_log")
    ended = world.run(program)
    check(ended.returncode == 1, f"status {ended.returncode}")
    faults = [int(code) for code in re.findall(r"^fault (\d+) ", ended.stdout, re.MULTILINE)]
    # The clock stands still, load fails, entropy fails; the rest is not tested without a clock.
    check(faults == [2, 30, 10], f"{faults}: {ended.stdout}")
    check("not tested: timers and sockets" in ended.stdout, ended.stdout)
    check(ended.stdout.endswith("self-test: FAULTS\n"), ended.stdout)


def test_filled_in_skeleton_carries_sessions(world):
    """Page and echo through a broker and the reaching program, twice: the name stays."""
    broker = world.broker()
    port = free_port()
    program = build(world, "skeleton", HERE / "board.c",
                    *settings(broker.uri, broker.code(), world.reach_key(), port))
    board = start(world, program)
    reach = world.reach(broker, board.key, "web", "echo")
    for _ in range(3):
        got = world.curl(reach.at["web"], "")
        check(got.stdout == "hello\n", f"{got}")
    echoes(reach.at["echo"], 1_000_000)
    key = board.key
    board.kill()
    again = start(world, program)
    check(again.key == key, f"{key}, then {again.key}")
    # The reaching side learns of the restart by its first try, which is lost.
    wait_until(lambda: world.curl(reach.at["web"], "").stdout == "hello\n", 30, "the page again")
    echoes(reach.at["echo"], 100_000)


def echoes(at, length):
    """Bytes come back as they went, though the device holds 512 of them at a time."""
    data = random.Random(length).randbytes(length)
    back = bytearray()
    with socket.create_connection(at, timeout=60) as both:
        both.setblocking(False)
        sent = 0
        is_over = False
        while not is_over:
            readable, writable, _ = select.select(
                [both], [both] if sent < length else [], [], 60)
            check(readable or writable, f"{len(back)} of {length} bytes came back, then nothing")
            if writable:
                sent += both.send(data[sent:sent + 65536])
                if sent == length:
                    both.shutdown(socket.SHUT_WR)
            if readable:
                piece = both.recv(65536)
                back += piece
                is_over = not piece
    check(bytes(back) == data, f"{len(back)} bytes came back, not those {length}")
