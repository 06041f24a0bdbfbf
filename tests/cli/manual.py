"""What a package installs beside the program, and the maker's tools."""

import re
import shutil

from harness import Skipped, check
from people import Person


def test_completions(world):
    """Each shell's completions know the commands; bash takes them."""
    person = Person(world, "person")
    for shell in ("bash", "zsh", "fish"):
        script = person.do("completions", shell)
        check("connect" in script and "can-share" in script, f"{shell}: {script[:200]}")
    file = world.folder / "rit.bash"
    file.write_text(person.do("completions", "bash"))
    done = world.run("bash", "-n", file)
    check(done.returncode == 0, done.stderr)


def test_man_pages(world):
    """A page for each command, which groff formats without a warning."""
    person = Person(world, "person")
    folder = world.folder / "man"
    person.do("man", folder)
    pages = sorted(page.name for page in folder.iterdir())
    check({"rit.1", "rit-connect.1", "rit-share.1", "rit-secret-new.1"} <= set(pages), f"{pages}")
    groff = shutil.which("groff")
    if groff is None:
        raise Skipped("the pages are there, but groff is not, to format them")
    for page in pages:
        done = world.run(groff, "-man", "-Tutf8", "-ww", "-rF0", folder / page)
        check(done.returncode == 0 and not done.stderr, f"{page}: {done.stderr}")


def test_secrets(world):
    """Secrets are made, derived and read again; a mistyped one is noticed."""
    person = Person(world, "person")
    text = person.do("secret", "new").strip()
    check(re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{5}-){4}[0-9A-HJKMNP-TV-Z]{5}", text), text)
    check(person.do("secret", "show", "-", typed=text.lower() + "\n").strip() == text, "other")
    wrong = ("0" if text[0] != "0" else "1") + text[1:]
    person.refused(2, "mistyped", "secret", "show", wrong)
    maker = world.folder / "maker"
    maker.write_bytes(bytes(range(32)))
    device = person.key()
    derived = person.json("secret", "derive", "--maker", maker, device)
    again = person.json("secret", "derive", "--maker", maker, device)
    check(derived == again, f"{derived}, {again}")
    check(derived["qr"] == f"RIT:CLAIM:{device.upper()}:{derived['secret']}", f"{derived}")
    drawn = person.do("secret", "show", "--qr", derived["qr"])
    check(len(drawn.splitlines()) > 15 and "\u2588" in drawn, drawn)
