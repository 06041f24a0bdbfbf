"""Makes figures of what was built and run, and the table of core/FOOTPRINT.md.

    report.py line TARGET PROFILE FLASH MAP [RUN]   one object of footprint.sh --json
    report.py table LINES MBEDTLS                   core/FOOTPRINT.md of a file of such lines, and
                                                    of what mbedtls.sh printed

MAP is a linker's map file, RUN what tests/examples/footprint.rs printed. Where there is no RUN, no
board is emulated for the target, and what needs one is null.
"""
import json
import re
import sys


def ram_static(map_file):
    """Bytes of .data and .bss that come from librit.a."""
    text = open(map_file).read().split("Linker script and memory map", 1)[1]
    found = re.findall(
        r"^ \.s?(?:data|bss)\S*\s+0x[0-9a-f]+\s+0x([0-9a-f]+)\s+\S*librit\.a\(", text, re.M)
    return sum(int(size, 16) for size in found)


def line(target, profile, flash, map_file, run=None):
    row = dict(target=target, profile=profile, flash=int(flash), ram_static=ram_static(map_file),
               ram_rest=None, ram_peak=None, stack_peak=None)
    if run:
        values = {name: int(value) for name, value in map(str.split, open(run))}
        static = row["ram_static"]
        row["ram_rest"] = static + values["rest.heap_live"]
        row["stack_peak"] = values["handshake.stack_peak"]
        row["ram_peak"] = static + values["handshake.heap_peak"] + row["stack_peak"]
        row["more"] = values
    print(json.dumps(row))


def cell(value):
    return "" if value is None else str(value)


HEAD = """# Footprint

Made by `sh tests/footprint.sh --write`. Bytes, and instructions of the core. The device is
tests/footprint/device.c: it dials its broker, lets one peer in and offers one TCP service. Flash is
text, rodata and initial values of the whole image with the C library's part; RAM is the library's
alone: static, and its heap with what that takes for each block. At rest means 120 s after the
handshake of the one session, the broker's link up; the peak is static, most heap and deepest stack
during that handshake, though they need not coincide. Where RAM is empty no board is emulated.

Profiles are those of ffi/firmware.sh. A `device` has packets of 1280 bytes. `smallest` is the same
library with packets of 548 bytes, one session and two streams. `full` has all parts and the default limits.

"""

MBEDTLS = """## Mbed TLS

A TLS client of Mbed TLS 3.6 alone (tests/footprint/mbedtls_client.c): no transport with streams,
loss recovery and migration, no broker, no services. The same processor as the reference target, -Os
and the same C library and linker flags; AES-GCM and ChaCha20-Poly1305, X25519 and P-256, X.509. It
is linked and not run: its RAM was not measured but for what is static, its contexts among it.
"""

LATER = """
## What others say of theirs

| what | flash | RAM | source |
| --- | --- | --- | --- |
| Nabto Edge, thermostat example on ESP32, less the Wi-Fi example without it | 310844 | about 100 KB \
attached, 24 KB more a connection | README of nabto/edge-esp32, "Flash and memory usage by nabto" |
| Izuma (Pelion) Device Management Client Lite: TLS and Mbed OS with it, K64F | 163 to 177 KB | 38 \
to 40 KB | its documentation, "Client Lite memory figures" |
| Husarnet on ESP32 | not told | not told | README of husarnet/esp_husarnet |

These are of other processors, compilers and jobs: they tell the order of magnitude only.
"""


def table(lines, mbedtls):
    rows = [json.loads(text) for text in open(lines)]
    names = ["target", "profile", "flash", "ram_static", "ram_rest", "ram_peak", "stack_peak"]
    print(HEAD, end="")
    print("| " + " | ".join(names) + " |")
    print("| --- | --- |" + " ---: |" * (len(names) - 2))
    for row in rows:
        print("| " + " | ".join(cell(row[name]) for name in names) + " |")
    print("\n## Heap, stack and instructions of a device's life\n")
    for row in rows:
        values = row.get("more")
        if not values:
            continue
        print(f"### {row['target']}, {row['profile']}\n")
        columns = ["heap_live", "heap_peak", "stack_peak", "instructions", "longest_call"]
        print("| until | " + " | ".join(columns) + " |")
        print("| --- |" + " ---: |" * len(columns))
        for phase, title in PHASES:
            cells = [cell(values[f"{phase}.{column}"]) for column in columns]
            print(f"| {title} | " + " | ".join(cells) + " |")
        print()
        for suite in ("chacha20", "aes128"):
            if f"{suite}.open_1k" in values:
                print(f"1 KiB with {suite}: {values[f'{suite}.open_1k']} instructions to receive, "
                      f"{values[f'{suite}.seal_1k']} to send (the whole call).\n")
    print(MBEDTLS)
    print("| client | flash | ram_static |\n| --- | ---: | ---: |")
    for words in map(str.split, open(mbedtls)):
        print("| " + " | ".join(words).replace("-", " ", 1) + " |")
    print(LATER, end="")


PHASES = [
    ("start", "broker dialled"), ("link", "link to the broker up"),
    ("idle", "300 s without a session"),
    ("handshake", "session up"), ("rest", "120 s of rest with it"),
    ("stream", "stream up, 1 KiB echoed"),
    ("echoes", "1 KiB echoed 32 times"), ("after", "stream closed for 60 s"),
    ("closed", "session closed for 60 s"),
]

{"line": line, "table": table}[sys.argv[1]](*sys.argv[2:])
