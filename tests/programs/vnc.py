"""TigerVNC's X server at the device, and a viewer that takes pictures of it."""

import os
import signal

from ends import done, program
from harness import check, free_port, wait_until


def screen(world, port):
    """The number of an X display that VNC shows at the port."""
    server = world.start(
        "xvnc", program(world, "Xtigervnc", "tigervnc-standalone-server"), "-displayfd", "1",
        "-geometry", "800x600", "-depth", "24", "-rfbport", port, "-SecurityTypes", "None",
        "-localhost=1", "-nolisten", "tcp", "-AlwaysShared")
    return server.wait_line(r"^(\d+)$").group(1)


def picture(world, at, name):
    """Every pixel, sent as it is; equal pictures are equal files."""
    file = world.folder / f"{name}.jpg"
    # It counts displays from the first port.
    display = f"{at[0]}:{at[1] - 5900}"
    viewer = program(world, "vncsnapshot", "vncsnapshot")
    done(world.run(viewer, "-allowblank", "-nocursor", "-quiet", "-encodings", "raw",
                   "-quality", "100", display, file))
    return file.read_bytes()


def drawn(world, display, direct, blank, pattern):
    """Has an X client draw, and stops it when it has; the client, and how that looks."""
    client = world.start(
        f"draw-{pattern}", "env", f"DISPLAY=:{display}",
        program(world, "gst-launch-1.0", "gstreamer1.0-tools"), "-q", "videotestsrc",
        f"pattern={pattern}", "!", "video/x-raw,width=800,height=600", "!", "ximagesink")
    wait_until(lambda: picture(world, direct, "now") != blank or not client.is_running(), 20,
               "something is drawn")
    os.kill(client.pid, signal.SIGSTOP)
    last = [blank]

    def is_still():
        last.append(picture(world, direct, "now"))
        return last[-1] == last[-2] != blank

    wait_until(is_still, 20, "the picture stands still")
    return client, last[-1]


def test_vnc(world):
    """The screen at the far end is that at the near end, pixel by pixel, twice."""
    port = free_port()
    direct = ("127.0.0.1", port)
    display = screen(world, port)
    _, _, reach = world.pair({"vnc": port})
    blank = picture(world, direct, "blank")
    seen = {blank}
    for pattern in ("colors", "gamut"):
        client, wanted = drawn(world, display, direct, blank, pattern)
        got = picture(world, reach.at["vnc"], f"far-{pattern}")
        check(got == wanted, f"{pattern}: another picture: {len(got)} bytes, not {len(wanted)}")
        check(got not in seen, f"{pattern}: the picture of before")
        seen.add(got)
        client.kill()
        wait_until(lambda: picture(world, direct, "now") == blank, 20, "its window goes")
