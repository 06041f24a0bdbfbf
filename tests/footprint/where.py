"""Where the flash of an image goes: its symbols by Rust module, with the largest ones last.

Fat link-time optimisation leaves one object file, so names are what is left to go by; a generic
function counts where its name begins, which is the crate that defines it.

With a log of malloc.c's, instead each block of memory and the functions that may have asked for it."""
import bisect
import collections
import re
import subprocess
import sys


def symbols(image):
    command = ["arm-none-eabi-nm", "--print-size", "--demangle", image]
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        parts = line.split(None, 3)
        if len(parts) == 4 and parts[2] in "tTrRdDwWvV":
            yield int(parts[1], 16), parts[3]


def module(name):
    """core::ptr::drop_in_place<T> and <T as Trait>::f belong to T."""
    name = re.sub(r"^core::ptr::drop_in_place<", "<", name)
    name = re.sub(r"^<+[&*]?(mut |const |dyn )*\[?", "", name)
    words = re.match(r"[\w:]*", name).group().split("::")
    if len(words) < 2:
        return "(C and data without a name)"
    if words[0] == "rit_core":
        return "::".join(words[:3] if len(words) > 3 else words[:2])
    return words[0]


def blocks(image, log):
    command = ["arm-none-eabi-nm", "--numeric-sort", "--demangle", image]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    code = [line.split(None, 2) for line in lines if line.split()[1] in "tTwW"]
    starts = [int(parts[0], 16) & ~1 for parts in code]

    def caller(address):
        name = code[bisect.bisect(starts, int(address, 16)) - 1][2]
        return re.sub(r"^.*::alloc.*$", "", re.sub(r"<[^<>]*>", "", name))[:60]

    found = [line.split()[1:] for line in open(log) if line.startswith("block ")]
    print(f"{sum(int(words[0]) for words in found):8} bytes in {len(found)} blocks")
    for size, *callers in sorted(found, key=lambda words: -int(words[0])):
        print(f"{size:>8} " + " < ".join(filter(None, map(caller, callers)))[:300])


def main():
    if len(sys.argv) > 2:
        return blocks(*sys.argv[1:])
    sums = collections.Counter()
    found = sorted(symbols(sys.argv[1]), reverse=True)
    for size, name in found:
        sums[module(name)] += size
    for name, size in sums.most_common(40):
        print(f"{size:8} {name}")
    print()
    for size, name in found[:60]:
        print(f"{size:8} {name[:140]}")


main()
