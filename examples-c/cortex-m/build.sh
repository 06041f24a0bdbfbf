#!/bin/sh
# Builds images for the emulated boards: sh examples-c/cortex-m/build.sh OUTDIR IMAGE-BOARD...
#
# BOARD is an385 (Cortex-M3) or an386 (Cortex-M4F). IMAGE is one of
#   board      the board support alone, with tests/firmware/board.c
#   lwip       a device on lwIP without an operating system, with the folder lwip
#   freertos   the same on FreeRTOS, lwIP in its own thread, with the folder freertos too
#   uip        a device on uIP, examples-c/uip
# Each becomes OUTDIR/IMAGE-BOARD.elf and .map; its size is printed. The compiler comes by package
# name, see tests/setup.sh.
set -eu

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
# shellcheck source=tests/sources.sh
. "$ROOT/tests/sources.sh"

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
        -Wl,--gc-sections -Wl,-z,noexecstack -Wl,-Map="$out/$image.map" -o "$out/$image.elf" "$@"
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

# The same for others' sources.
others() { # OPTIONS SOURCES...
    options=$1
    shift
    for source in "$@"; do
        object=$work/other-$(basename "$source" .c).o
        # shellcheck disable=SC2086 # lists of options
        compile "$object" -w $options "$source"
        objects="$objects $object"
    done
}

# Sets librit to the archive for a board.
need_librit() { # BOARD
    case $1 in
    an385) triple=thumbv7m-none-eabi ;;
    an386) triple=thumbv7em-none-eabihf ;;
    esac
    librit=$(sh "$ROOT/ffi/firmware.sh" "$triple" --without tcp) || exit 1
    librit=$(printf '%s\n' "$librit" | tail -n 1)
}

# lwIP, the port, and the device of the folder lwip: all but main.c.
lwip_device() { # OPTIONS
    need_lwip 2.2
    need_librit "${image#*-}"
    headers="$1 -I$here/board -I$here/lwip -I$ROOT/include -I$ROOT/ports/lwip
        -isystem $here/lwip -isystem $LWIP_SRC/src/include"
    others "$headers" "$LWIP_SRC"/src/core/*.c "$LWIP_SRC"/src/core/ipv4/*.c \
        "$LWIP_SRC/src/netif/ethernet.c"
    ours "$headers" "$ROOT"/ports/lwip/*.c "$here/lwip/device.c" "$here/lwip/ethernet.c" \
        "$here/lwip/http.c"
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
    librit=
    memory=
    rm -rf "$work"
    mkdir -p "$work"
    ours "-I$here/board" "$here"/board/*.c
    case $image in
    board-*) ours "-I$here/board" "$ROOT/tests/firmware/board.c" ;;
    lwip-*)
        lwip_device -DNO_SYS=1
        ours "$headers" "$here/lwip/main.c"
        memory="-Wl,--defsym=ram_size=163840 -Wl,--defsym=stack_size=32768"
        ;;
    freertos-an386)
        need_lwip 2.2
        need_freertos
        kernel="-I$here/freertos -isystem $FREERTOS_SRC/include
            -isystem $FREERTOS_SRC/portable/GCC/ARM_CM4F"
        lwip_device "-DNO_SYS=0 -isystem $LWIP_SRC/contrib/ports/freertos/include $kernel"
        others "$headers" "$LWIP_SRC/src/api/tcpip.c" \
            "$LWIP_SRC/contrib/ports/freertos/sys_arch.c" "$FREERTOS_SRC/tasks.c" \
            "$FREERTOS_SRC/queue.c" "$FREERTOS_SRC/list.c" \
            "$FREERTOS_SRC/portable/MemMang/heap_4.c" \
            "$FREERTOS_SRC/portable/GCC/ARM_CM4F/port.c"
        ours "$headers" "$here/freertos/main.c"
        memory="-Wl,--defsym=ram_size=196608 -Wl,--defsym=stack_size=4096"
        ;;
    uip-*)
        need_uip
        need_librit "${image#*-}"
        headers="-DDEVICE_HEAP -include $ROOT/examples-c/uip/uip-options.h -I$here/board
            -I$ROOT/examples-c/uip -I$ROOT/include -I$ROOT/ports/uip -isystem $UIP_SRC"
        others "$headers -fno-strict-aliasing" "$UIP_SRC/uip.c" "$UIP_SRC/uip_arp.c"
        ours "$headers" "$ROOT/ports/uip/rit_uip.c" "$ROOT"/examples-c/uip/*.c
        memory="-Wl,--defsym=ram_size=98304 -Wl,--defsym=stack_size=49152"
        ;;
    *) die "no such image: $image" ;;
    esac
    # shellcheck disable=SC2086 # lists of options and files
    link $memory $objects $librit
done
