"""PostgreSQL at the device, its own programs at both ends."""

import os
import pathlib
import subprocess

from ends import by_rit, done
from harness import Skipped, check, free_port, wait_until

NOBODY = 65534


class Postgres:
    """A server that runs as nobody, because it will not as root."""

    def __init__(self, world):
        self.world = world
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found:
            raise Skipped("there is no PostgreSQL (Debian: postgresql)")
        self.bin = found[-1].parent
        home = world.folder / "postgres"
        home.mkdir()
        self.be = []
        if os.geteuid() == 0:
            world.folder.chmod(0o711)
            os.chown(home, NOBODY, NOBODY)
            self.be = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        data, port = home / "data", free_port()
        done(world.run(*self.be, self.bin / "initdb", "-U", "rit", "-A", "trust", "-E", "UTF8",
                       "--locale=C", "--no-sync", "-D", data))
        server = world.start("postgres", *self.be, self.bin / "postgres", "-D", data, "-k", home,
                             "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
        server.wait_line("ready to accept connections")
        self.direct, self.far = ("127.0.0.1", port), by_rit(world, {"sql": port}).at["sql"]

    def address(self, at):
        return f"host={at[0]} port={at[1]} user=rit dbname=postgres"

    def sql(self, at, *commands):
        words = [word for command in commands for word in ("-c", command)]
        return done(self.world.run(self.bin / "psql", "-X", "-q", "-A", "-t", "-v",
                                   "ON_ERROR_STOP=1", self.address(at), *words))


def test_postgresql_rows(world):
    """10 MB of rows by \\copy there and back, and pgbench, whose books must be right after it."""
    base = Postgres(world)
    there, back = world.folder / "there", world.folder / "back"
    there.write_text("".join(f"{number}\t{number:0100}\n" for number in range(95_000)))
    base.sql(base.far, "CREATE TABLE item (id int PRIMARY KEY, text text)",
             f"\\copy item from '{there}'")
    check(base.sql(base.direct, "SELECT count(*), sum(id) FROM item")
          == f"95000|{95_000 * 94_999 // 2}\n", "other rows")
    base.sql(base.far, f"\\copy (SELECT * FROM item ORDER BY id) to '{back}'")
    check(there.stat().st_size > 10_000_000 and back.read_bytes() == there.read_bytes(),
          f"{back.stat().st_size} bytes came back")
    words = [base.bin / "pgbench", "-h", base.far[0], "-p", base.far[1], "-U", "rit"]
    done(world.run(*words, "-q", "-i", "postgres"))
    said = done(world.run(*words, "-c", 4, "-t", 100, "postgres"))
    check("400/400" in said, said)
    sums = [base.sql(base.direct, f"SELECT {what}") for what in (
        "count(*) FROM pgbench_history", "sum(delta) FROM pgbench_history",
        "sum(abalance) FROM pgbench_accounts", "sum(bbalance) FROM pgbench_branches")]
    check(sums[0] == "400\n" and len(set(sums[1:])) == 1, f"the books: {sums}")


def test_postgresql_notifications(world):
    """LISTEN through the tunnel hears what is told at the other end, and the other way round."""
    base = Postgres(world)
    for name, listener, teller in (("far", base.far, base.direct), ("near", base.direct, base.far)):
        log = world.folder / f"{name}.out"
        with open(log, "wb") as out:
            psql = subprocess.Popen([base.bin / "psql", "-X", "-q", "-A", "-t",
                                     base.address(listener)], stdin=subprocess.PIPE, stdout=out,
                                    stderr=out, text=True)
        try:
            psql.stdin.write("LISTEN news;\nSELECT 'listening';\n")
            psql.stdin.flush()
            wait_until(lambda: "listening" in log.read_text(), 20, "psql listens")
            base.sql(teller, f"NOTIFY news, 'for {name}'")
            # psql looks for what was told after each command.
            psql.communicate("SELECT pg_sleep(0);\n" * 3, timeout=20)
        finally:
            psql.kill()
            psql.wait()
        check(f'"news" with payload "for {name}"' in log.read_text(), log.read_text())
