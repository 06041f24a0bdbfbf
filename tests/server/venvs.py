"""Python packages that scenarios use: in a virtual environment, which is kept where the caller says
so (RIT_TEST_VENV)."""

import os
import subprocess
import sys

from harness import Skipped


def python(world, *packages):
    """The Python that has these, `name==version`."""
    folder = os.environ.get("RIT_TEST_VENV") or world.folder / "venv"
    program = f"{folder}/bin/python"
    if not os.path.exists(program):
        made = subprocess.run([sys.executable, "-m", "venv", folder], check=False,
                              capture_output=True, text=True)
        if made.returncode != 0:
            raise Skipped(f"no virtual environment can be made: {made.stderr.strip()[-200:]}")
    there = subprocess.run([program, "-m", "pip", "freeze"], check=False, capture_output=True,
                           text=True).stdout.splitlines()
    missing = [package for package in packages if package not in there]
    if missing:
        got = subprocess.run([program, "-m", "pip", "install", "-q", *missing], check=False,
                             capture_output=True, text=True)
        if got.returncode != 0:
            raise Skipped(f"{missing} are not to be had: {got.stderr.strip()[-200:]}")
    return program
