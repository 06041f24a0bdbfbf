#!/bin/sh
# How much of a device librit takes. So far only flash:
#
#   sh tests/footprint.sh --flash-only [TARGET] [--map] [--without PART]... [--with PART]...
#
# links tests/footprint/device.c, which uses what a device uses, with newlib's small C library and
# prints the image's flash (text, rodata and initial values) in bytes; --map also where it goes.
set -eu

ROOT=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
cd "$ROOT"

target=thumbv7em-none-eabihf
map=no
parts=
while [ $# -gt 0 ]; do
    case $1 in
    --flash-only) ;;
    --map) map=yes ;;
    --with | --without)
        parts="$parts $1 ${2:-}"
        shift
        ;;
    -*) die "unknown option $1" ;;
    *) target=$1 ;;
    esac
    shift
done

need_command arm-none-eabi-gcc gcc-arm-none-eabi
need_packages libnewlib-arm-none-eabi
case $target in
thumbv7m-none-eabi) cpu="-mcpu=cortex-m3 -mthumb" ;;
thumbv7em-none-eabi) cpu="-mcpu=cortex-m4 -mthumb" ;;
thumbv7em-none-eabihf) cpu="-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16" ;;
thumbv8m.main-none-eabi) cpu="-mcpu=cortex-m33+nofp -mthumb" ;;
thumbv8m.main-none-eabihf) cpu="-mcpu=cortex-m33 -mthumb -mfloat-abi=hard -mfpu=fpv5-sp-d16" ;;
*) die "no C compiler is known for $target" ;;
esac

# shellcheck disable=SC2086 # a list of options
archive=$(sh ffi/firmware.sh "$target" $parts | tail -n 1)
out=$TARGET/footprint/$target
mkdir -p "$out"
# shellcheck disable=SC2086 # a list of options
arm-none-eabi-gcc $cpu -std=c99 -Wall -Wextra -Wpedantic -Wconversion -Werror -Os \
    -ffunction-sections -fdata-sections -Iinclude -Itests/footprint \
    --specs=nano.specs --specs=nosys.specs -Wl,--gc-sections -Wl,-Map="$out/device.map" \
    tests/footprint/device.c tests/footprint/no_board.c "$archive" -o "$out/device.elf" \
    2>"$out/link.log" || {
    cat "$out/link.log" >&2
    exit 1
}
arm-none-eabi-size "$out/device.elf" | awk 'NR == 2 { print $1 + $2 }'
[ "$map" = no ] || python3 tests/footprint/where.py "$out/device.elf"
