#!/bin/sh
# How much of a device librit takes: flash and RAM in bytes, and instructions.
#
#   sh tests/footprint.sh [--json FILE] [--write] [TARGET]...
#       all targets (or those named) and profiles: prints a line each; FILE gets them as JSON, an
#       object a line; --write makes core/FOOTPRINT.md of them
#   sh tests/footprint.sh --flash-only [TARGET] [--map] [--with PART]... [--without PART]...
#       flash alone of one target, in bytes; --map also where it goes
#   sh tests/footprint.sh --blocks
#       each block of memory that a device holds at rest with a session, and who asked for it
#
# The device is tests/footprint/device.c, linked with a small C library. For RAM it runs on an
# emulated board, joined to a simulated network by tests/examples/footprint.rs: the same input gives
# the same numbers.
set -eu

ROOT=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
# shellcheck source=tests/sources.sh
. "$ROOT/tests/sources.sh"
# shellcheck source=tests/footprint/targets.sh
. "$ROOT/tests/footprint/targets.sh"
cd "$ROOT"

REFERENCE=thumbv7em-none-eabihf
RUN_SECONDS_MAX=300

mode=table
targets=
json=
write=no
map=no
parts=
while [ $# -gt 0 ]; do
    case $1 in
    --flash-only) mode=flash ;;
    --blocks) mode=blocks ;;
    --json)
        json=${2:-}
        [ -n "$json" ] || die "--json needs a file"
        shift
        ;;
    --write) write=yes ;;
    --map) map=yes ;;
    --with | --without)
        parts="$parts $1 ${2:-}"
        shift
        ;;
    -*) die "unknown option $1" ;;
    *) targets="$targets $1" ;;
    esac
    shift
done

out=$TARGET/footprint
mkdir -p "$out"
ours="-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Werror -Os -ffunction-sections
    -fdata-sections -Iinclude -Itests/footprint"

# Links what is given as $image.elf; what the linker says only where it fails.
link() {
    # shellcheck disable=SC2086 # lists of options
    $tool-gcc $cpu $ours -Wl,--gc-sections -Wl,-Map="$image.map" -o "$image.elf" "$@" \
        2>"$image.log" || {
        cat "$image.log" >&2
        return 1
    }
}

# make_archive TARGET OPTIONS: sets archive.
make_archive() {
    # shellcheck disable=SC2086 # a list of options
    archive=$(sh ffi/firmware.sh "$1" $2 | tail -n 1)
    [ -f "$archive" ]
}

# Prints the flash of the device without a board.
flash() { # TARGET NAME
    image=$out/$1-$2
    # shellcheck disable=SC2086 # a list of options
    link $libc tests/footprint/device.c tests/footprint/no_board.c "$archive"
    $tool-size "$image.elf" | awk 'NR == 2 { print $1 + $2 }'
}

# The device for the emulated board, with heap.h by one file or the other.
joined() { # TARGET NAME HEAP
    image=$out/$1-$2-joined
    wraps=
    for name in node_new node_receive node_timeout node_next_event broker_connect stream_accept \
        stream_write stream_read; do
        wraps="$wraps -Wl,--wrap=rit_$name"
    done
    [ "$3" != malloc ] || wraps="$wraps -Wl,--wrap=malloc -Wl,--wrap=free"
    # shellcheck disable=SC2086 # lists of options
    link -nostartfiles --specs=nano.specs -Iexamples-c/cortex-m/board \
        -T examples-c/cortex-m/board/mps2.ld -Wl,--defsym=stack_size=65536 $wraps \
        tests/footprint/device.c tests/footprint/joined.c "tests/footprint/$3.c" \
        examples-c/cortex-m/board/*.c "$archive"
}

need_peers() {
    need_qemu_arm
    need_rust
    cargo build --quiet --locked -p rit-tests --example footprint
    peers=$TARGET/debug/examples/footprint
}

# run_device PROFILE SUITE [OPTION]: prints what the image counts.
run_device() {
    mkdir -p "$image.run"
    (cd "$image.run" && timeout "$RUN_SECONDS_MAX" "$peers" "$board" "$image.elf" "$@") || {
        printf '%s\n' "error: $image.elf does not run as it should" >&2
        cat "$image.run/board.log" >&2
        return 1
    }
}

# row TARGET PROFILE: one object of JSON, of the archive there is.
row() {
    bytes=$(flash "$1" "$2")
    flash_map=$out/$1-$2.map
    run=
    if [ -n "$board" ]; then
        joined "$1" "$2" arena
        run=$image.figures
        run_device "$2" chacha20 >"$run"
        # Parts that take AES away leave no such session.
        if run_device "$2" aes128 >"$run.aes" 2>"$run.aes.log"; then
            sed -n '/^aes128\./p' "$run.aes" >>"$run"
        else
            note "no session with AES-GCM: $1 $2"
        fi >&2
    fi
    python3 tests/footprint/report.py line "$1" "$2" "$bytes" "$flash_map" $run
}

case $mode in
flash)
    target=${targets:-$REFERENCE}
    target=${target# }
    use_target "$target"
    make_archive "$target" "$parts"
    flash "$target" flash
    [ "$map" = no ] || python3 tests/footprint/where.py "$image.elf"
    exit 0
    ;;
blocks)
    use_target "$REFERENCE"
    need_peers
    make_archive "$REFERENCE" "--profile device --with malloc"
    joined "$REFERENCE" blocks malloc
    run_device device chacha20 --blocks >"$image.figures"
    python3 tests/footprint/where.py "$image.elf" "$image.run/board.log"
    exit 0
    ;;
esac

need_peers
need_command python3 python3
: >"$out/lines"
add() {
    row "$1" "$2" >"$out/line"
    cat "$out/line" >>"$out/lines"
    sed 's/, "more".*/}/' "$out/line"
}
for target in ${targets:-$ALL_TARGETS}; do
    use_target "$target"
    make_archive "$target" "--profile device"
    add "$target" device
    [ "$target" = "$REFERENCE" ] || continue
    make_archive "$target" "--profile smallest"
    add "$target" smallest
    make_archive "$target" "--profile full"
    add "$target" full
done
sh tests/footprint/mbedtls.sh >"$out/mbedtls.txt"
cat "$out/mbedtls.txt"
[ -z "$json" ] || sed 's/, "more".*/}/' "$out/lines" >"$json"
if [ "$write" = yes ]; then
    python3 tests/footprint/report.py table "$out/lines" "$out/mbedtls.txt" >"$out/FOOTPRINT.md"
    mv "$out/FOOTPRINT.md" core/FOOTPRINT.md
fi
