#!/bin/sh
# The flash of a TLS client of Mbed TLS, compiled and linked as librit's device is, to compare: once
# with TLS 1.2 and 1.3, once with TLS 1.2 alone. Prints `NAME FLASH RAM_STATIC`, a line each.
set -eu

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
# shellcheck source=tests/sources.sh
. "$ROOT/tests/sources.sh"
# shellcheck source=tests/footprint/targets.sh
. "$ROOT/tests/footprint/targets.sh"
cd "$ROOT"

use_target thumbv7em-none-eabihf
need_mbedtls >&2
out=$TARGET/footprint/mbedtls
mkdir -p "$out"

for versions in 12 13; do
    objects=
    for source in "$MBEDTLS_SRC"/library/*.c tests/footprint/mbedtls_client.c; do
        object=$out/$(basename "$source" .c)-$versions.o
        objects="$objects $object"
        # shellcheck disable=SC2086 # a list of options
        $tool-gcc $cpu -std=c99 -Os -ffunction-sections -fdata-sections "-I$MBEDTLS_SRC/include" \
            "-I$MBEDTLS_SRC/library" -Itests/footprint "-DCLIENT_VERSIONS=$versions" \
            '-DMBEDTLS_CONFIG_FILE="mbedtls_small.h"' -c "$source" -o "$object"
    done
    # shellcheck disable=SC2086 # lists of options
    $tool-gcc $cpu $libc -Wl,--gc-sections $objects -o "$out/client-$versions.elf" \
        2>"$out/link.log" || {
        cat "$out/link.log" >&2
        exit 1
    }
    $tool-size "$out/client-$versions.elf" | awk -v name="$versions" '
        NR == 2 { print (name == 12 ? "TLS-1.2" : "TLS-1.2-and-1.3"), $1 + $2, $2 + $3 }'
done
