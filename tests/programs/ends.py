"""What the scenarios share: finding others' programs, and a tunnel between them."""

import os
import shutil

from harness import Skipped, check
from people import Person


def program(world, name, package):
    """Where a program is: on the path, or in what was unpacked of its package."""
    places = [*os.environ["PATH"].split(":"), "/usr/sbin", "/sbin",
              f"{world.tools.unpacked}/{package}/usr/sbin"]
    found = shutil.which(name, path=":".join(places))
    if found is None:
        raise Skipped(f"there is no {name} (Debian: {package})")
    return found


def by_rit(world, services, *names):
    """A device with these services (see World.device), and `rit connect` that reaches them by
    name: `at` has where, and `device` the one at the other end."""
    broker, person = world.broker(), Person(world, "person")
    device = world.device(broker, services, allow=[person.key()])
    process = person.connect(device.key, "--broker", broker.uri, "--enrol", broker.code(),
                             services=names or services)
    process.device = device
    return process


def done(made):
    """What a command printed; it must not have failed."""
    check(made.returncode == 0, f"{made.args[0]} ended with {made.returncode}: "
          f"{made.stdout[-500:]}{made.stderr[-500:]}")
    return made.stdout
