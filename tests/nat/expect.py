"""What must work by now, and why the rest cannot yet.

`EXPECT` has one line for each ability: what fails for want of one that is not there yet counts as
skipped, with the reason given here; it is tried all the same where that costs little, and where it
then works, that is said, so that this table follows what the code can do.
"""

from harness import Skipped
from lab import KINDS, PUBLIC

YES = ""
EXPECT = {
    "punch": YES,  # both send to where the broker saw the other
    "search": YES,
    "relay": YES,
    "neighbours": YES,
    "moves unheard": YES,  # by the relays
    "tcp": YES,
    "quiet receiver": YES,
    "quick": YES,
}

# Sites by name: their routers' kinds, the outermost first.
SITES = {
    "public": (PUBLIC,),
    **{kind: (kind,) for kind in KINDS},
    "double": ("ei-apd", "masquerade"),
}


def behaviour(site):
    """(mapping, filtering) as seen from outside."""
    if site == "public":
        return "ei", "ei"
    mapping, filtering = KINDS[SITES[site][0]]
    seen = {None: "ei", "masquerade": "ei", "random": "apd"}.get(mapping, mapping)
    return seen, filtering or "ei"


def need(user, device):
    """The ability it takes for these two to meet. Linux answers a stranger from the port he came
    to, whatever else it maps, so that pairs with `apd-ei` may meet by luck where they need not."""
    (user_maps, user_filters), (device_maps, device_filters) = behaviour(user), behaviour(device)
    user_is_heard = device_filters != "apd" or user_maps == "ei"
    device_is_heard = user_filters != "apd" or device_maps == "ei"
    if user_is_heard and device_is_heard:
        return "punch"
    return "search" if "ei" in (user_maps, device_maps) else "relay"


def missing(user, device):
    """Why these two cannot meet yet, if they cannot; a relay does for whoever finds no way."""
    return EXPECT["relay"] and EXPECT[need(user, device)]


def expected(ability):
    """Ends the scenario here if what it needs is not there yet."""
    if EXPECT[ability] and not TRY_ALL:
        raise Skipped(EXPECT[ability])


TRY_ALL = False
