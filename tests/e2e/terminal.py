"""Somebody at a terminal: a program on a pseudo-terminal, typed at and read."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

from harness import Failed


class Terminal:
    def __init__(self, argv, rows, columns):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execv(argv[0], [str(word) for word in argv])
            finally:
                os._exit(127)
        self.resize(rows, columns)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, line):
        os.write(self.fd, line.encode() + b"\r")

    def ended(self):
        """Its exit status."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        return os.waitstatus_to_exitcode(status)

    def read(self, pattern, seconds=30):
        """What comes before the pattern, which is taken too."""
        found, end = re.compile(pattern.encode()), time.monotonic() + seconds
        pieces, tail = [self.seen], self.seen
        while not (match := found.search(tail)):
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise Failed(f"no {pattern!r} within {seconds} s, but {tail[-300:]!r}")
            try:
                piece = os.read(self.fd, 1 << 16)
            except OSError:  # how a terminal's end is told
                raise Failed(f"ended without {pattern!r}: {tail[-300:]!r}") from None
            pieces.append(piece)
            tail = tail[-200:] + piece
        before = b"".join(pieces)
        match = found.search(before, max(0, len(before) - len(tail)))
        self.seen = before[match.end():]
        return before[:match.start()]
