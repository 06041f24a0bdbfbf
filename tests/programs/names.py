"""DNS over UDP: dnsmasq at the device, dig at the user's."""

import subprocess

from ends import by_rit, done, program
from harness import check, free_port

# Each answer's size on the wire: names and how many bytes of text they have, 250 in a record.
TEXTS = {"small": 440, "medium": 1080, "large": 3750}
HOSTS = 200


def records(name):
    """The texts of a name, which differ."""
    pieces, left = [], TEXTS[name]
    while left > 0:
        pieces.append(f"{name}-{left}-".ljust(min(left, 250), "x"))
        left -= 250
    return pieces


def resolver(world):
    """Where the tunnel has it, over UDP alone."""
    port = free_port()
    lines = [f"port={port}", "listen-address=127.0.0.1", "bind-interfaces", "no-resolv",
             "no-hosts", "user=root", "edns-packet-max=4096", "pid-file="]
    lines += [f"txt-record={name}.test,{text}" for name in TEXTS for text in records(name)]
    lines += [f"host-record=host{number}.test,10.1.{number >> 8}.{number & 255}"
              for number in range(HOSTS)]
    settings = world.folder / "dnsmasq.conf"
    settings.write_text("\n".join(lines) + "\n")
    server = world.start("dnsmasq", program(world, "dnsmasq", "dnsmasq-base"), "--no-daemon",
                         f"--conf-file={settings}")
    server.wait_line("started")
    return by_rit(world, [f"dns=udp:127.0.0.1:{port}"], "dns").at["dns"]


def dig(world, at, *words):
    """UDP only, and what is cut off stays so."""
    return [program(world, "dig", "bind9-dnsutils"), f"@{at[0]}", "-p", str(at[1]), "+notcp",
            "+ignore", "+nocookie", "+tries=5", "+time=3", *words]


def test_dns_answers(world):
    """Answers of 512, 1200 and 4000 bytes: the largest fits into no packet of the tunnel's."""
    at = resolver(world)
    for name, at_most in (("small", 512), ("medium", 1232), ("large", 4096)):
        words = dig(world, at, "+noall", "+answer", "+stats", f"+bufsize={at_most}",
                    "TXT", f"{name}.test")
        said = done(world.run(*words))
        texts = sorted(line.split('"')[1] for line in said.splitlines() if "\tTXT\t" in line)
        check(texts == sorted(records(name)), f"{name}: {said}")
        size = int(said.split("MSG SIZE  rcvd: ")[1].split()[0])
        check(at_most * 0.95 <= size <= at_most, f"{name}: an answer of {size} bytes")
    said = done(world.run(*dig(world, at, "+bufsize=512", "TXT", "large.test")))
    check(" tc " in said, f"not cut off: {said}")


def test_dns_queries_at_once(world):
    """200 queries by as many programs at a time: each gets its own answer."""
    at = resolver(world)
    asked = [subprocess.Popen(dig(world, at, "+short", f"host{number}.test"), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
             for number in range(HOSTS)]
    answers = [each.communicate(timeout=60)[0].strip() for each in asked]
    wanted = [f"10.1.{number >> 8}.{number & 255}" for number in range(HOSTS)]
    wrong = [pair for pair in zip(answers, wanted) if pair[0] != pair[1]]
    check(not wrong, f"{len(wrong)} of {HOSTS}: {wrong[:5]}")
