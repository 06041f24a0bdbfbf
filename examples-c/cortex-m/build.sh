#!/bin/sh
# Builds images for the emulated boards: sh examples-c/cortex-m/build.sh OUTDIR IMAGE-BOARD...
#
# BOARD is an385 (Cortex-M3) or an386 (Cortex-M4F). IMAGE is one of
#   board      the board support alone, with tests/firmware/board.c
# Each becomes OUTDIR/IMAGE-BOARD.elf and .map; its size is printed. The compiler comes by package
# name, see tests/setup.sh.
set -eu

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"

[ $# -ge 2 ] || die "usage: sh examples-c/cortex-m/build.sh OUTDIR IMAGE-BOARD..."
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
here=$ROOT/examples-c/cortex-m

need_command arm-none-eabi-gcc gcc-arm-none-eabi
need_packages libnewlib-arm-none-eabi

# Ours with every warning an error; others' as they are.
general="-std=c99 -Os -g -ffunction-sections -fdata-sections -fno-common"
warnings="-Wall -Wextra -Wpedantic -Wconversion -Werror"

compile() { # OBJECT OPTIONS... SOURCE
    object=$1
    shift
    # shellcheck disable=SC2086 # lists of options
    arm-none-eabi-gcc $cpu $general "$@" -c -o "$object"
}

link() { # OBJECTS AND OPTIONS...
    # shellcheck disable=SC2086 # a list of options
    arm-none-eabi-gcc $cpu -nostartfiles --specs=nano.specs -T "$here/board/mps2.ld" \
        -Wl,--gc-sections -Wl,-Map="$out/$image.map" -o "$out/$image.elf" "$@"
    arm-none-eabi-size "$out/$image.elf"
}

# Compiles sources of ours; adds the objects to $objects.
ours() { # OPTIONS SOURCES...
    options=$1
    shift
    for source in "$@"; do
        object=$work/$(basename "$source" .c).o
        # shellcheck disable=SC2086 # lists of options
        compile "$object" $warnings $options "$source"
        objects="$objects $object"
    done
}

for image in "$@"; do
    case $image in
    *-an385) cpu="-mcpu=cortex-m3 -mthumb" ;;
    *-an386) cpu="-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16" ;;
    *) die "no board in '$image': there are an385 and an386" ;;
    esac
    say "image $image"
    work=$out/$image.o
    objects=
    rm -rf "$work"
    mkdir -p "$work"
    ours "-I$here/board" "$here"/board/*.c
    case $image in
    board-*) ours "-I$here/board" "$ROOT/tests/firmware/board.c" ;;
    *) die "no such image: $image" ;;
    esac
    # shellcheck disable=SC2086 # a list of files
    link $objects
done
