#!/bin/sh
# Shows that librit.a is what bare-metal C programs can link, for each target of ffi/firmware.sh:
#
#   sh tests/firmware-build.sh [TARGET]...      all, unless some are named
#
# With the parts that a device needs, and for Cortex-M4F with all: the header compiles as C89, C99
# and C17; a program that uses every function links, which shows that the archive asks for nothing but
# the C library's mem*; the functions are those of ffi/symbols.txt; in a linked device no panic
# has a message, and no panicking code of Rust's library is left; and no path of this machine is inside.
# What is missing is installed by package name; see tests/setup.sh.
set -eu

ROOT=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
# shellcheck source=tests/footprint/targets.sh
. "$ROOT/tests/footprint/targets.sh"
cd "$ROOT"

targets=${*:-$ALL_TARGETS}
warnings="-Wall -Wextra -Wpedantic -Wconversion -Werror"
out=$TARGET/firmware/probe
mkdir -p "$out"

# A table of all functions, so that the linker must find each of them.
{
    printf '#include "rit.h"\ntypedef void (*function)(void);\n'
    printf 'extern function const all[];\nfunction const all[] = {\n'
    sed 's/.*/    (function)&,/' ffi/symbols.txt
    printf '};\nint main(void) { return all[0] == 0; }\n'
} >"$out/probe.c"

headers() {
    for standard in c89 c99 c17; do
        # shellcheck disable=SC2086 # lists of options
        $tool-gcc $cpu $libc $warnings -std=$standard -ffreestanding -Iinclude -fsyntax-only -x c \
            include/rit.h
    done
}

link() { # NAME OPTIONS AND FILES...
    name=$1
    shift
    # shellcheck disable=SC2086 # lists of options
    $tool-gcc $cpu -std=c99 -Os -ffunction-sections -Iinclude -Itests/footprint $libc \
        -Wl,--gc-sections -o "$out/$name.elf" "$@" 2>"$out/link.log" || {
        cat "$out/link.log" >&2
        return 1
    }
}

# The functions that the archive offers are those listed.
symbols() {
    $tool-nm --defined-only --extern-only "$archive" 2>/dev/null |
        awk '$2 ~ /[TW]/ && $3 ~ /^rit_/ { print $3 }' | sort -u >"$out/symbols"
    sort -u ffi/symbols.txt | diff - "$out/symbols" || {
        printf '%s\n' "error: the archive's functions are not those of ffi/symbols.txt" >&2
        return 1
    }
}

# Panics end in an instruction, without a message and without the code that would print one.
no_panics() {
    $tool-nm --demangle "$out/device.elf" |
        grep -E 'core::panicking|rust_begin_unwind|panic_(fmt|bounds)|unwrap_failed|expect_failed' \
            >"$out/panics" || return 0
    cat "$out/panics" >&2
    printf '%s\n' "error: a device has panic machinery in it" >&2
    return 1
}

no_paths() {
    for path in "$ROOT" "${CARGO_HOME:-$HOME/.cargo}" /usr/lib/rust /usr/src/rust; do
        if grep -a -q -F "$path/" "$archive"; then
            printf '%s\n' "error: $path is inside the archive" >&2
            return 1
        fi
    done
}

check() { # TARGET OPTIONS OF ITS BUILD
    say "$1 $2"
    use_target "$1"
    headers
    # shellcheck disable=SC2086 # a list of options
    archive=$(sh ffi/firmware.sh "$1" $2 | tail -n 1)
    link probe -Wl,--undefined=all "$out/probe.c" "$archive"
    symbols
    link device tests/footprint/device.c tests/footprint/no_board.c "$archive"
    no_panics
    no_paths
    $tool-size "$out/device.elf"
}

for target in $targets; do
    check "$target" "--profile device"
    [ "$target" != thumbv7em-none-eabihf ] || check "$target" "--profile full"
done
