#!/bin/sh
# Builds examples-c/uip as Linux processes on TAP devices, with each uIP there is, and runs the
# scenarios of tests/uip/scenarios.py with them: sh tests/uip/run.sh [SCENARIO...]
#
# UIP_SRC=FOLDER builds with the uIP in that folder only: uip.c, uip_arp.c and their headers, of the
# kind with global variables, or, if there is a uip_eth.c, of that of iscsiuio. Otherwise both come
# by package name, see tests/sources.sh. The programs run under the address and undefined-behaviour
# sanitizers; what is left allocated at their end fails the scenario. PROFILE=dev takes cargo's
# profile of that name for broker and library.
set -eu

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
# shellcheck source=tests/sources.sh
. "$ROOT/tests/sources.sh"
cd "$ROOT"
PATH=$PATH:/usr/sbin:/sbin

given=${UIP_SRC:-}
out=$TARGET/uip
mkdir -p "$out"
need_c_compiler
need_command curl curl
need_command ip iproute2
need_command nft nftables
need_command python3 python3
need_rust

profile=${PROFILE:-release}
case $profile in
dev) products=$TARGET/debug programs=$TARGET/e2e-dev ;;
*) products=$TARGET/release programs=$TARGET/e2e ;;
esac
say "broker, reaching side and librit.a"
cargo build --locked --profile "$profile" -p rit-server
sh examples-c/build.sh "$programs" "$profile"

example=examples-c/uip
options="-include $example/uip-options.h -I$example -Iexamples-c/cortex-m/board -Iports/uip
    -Iinclude"
strict="-Wall -Wextra -Wpedantic -Wconversion -Werror
    -fsanitize=address,undefined -fno-sanitize-recover=all"
# uIP reads 16 bits wherever they are, and by pointers of other types.
theirs="-std=gnu99 -w -fno-strict-aliasing -fsanitize=address"

# Sets what a copy of uIP is built with.
kind() { # FOLDER
    uip=$1
    if [ -e "$uip/uip_eth.c" ]; then
        top=$(cd "$uip/../../.." && pwd)
        standard=gnu99 # as its headers are
        folders="-DUIP_STACK_ARGUMENT -isystem $uip -isystem $uip/../unix
            -isystem $uip/../apps/dhcpc -isystem $uip/../apps/brcm-iscsi
            -isystem $top/include -isystem $top/usr"
        ethernet=tests/uip/iscsiuio.c
    else
        standard=c99
        folders="-isystem $uip"
        ethernet=$example/ethernet.c
    fi
}

# program NAME MTU SOURCES...: a program with the copy that `kind` was told.
program() {
    name=$1
    defines="-DLINK_MTU=$2"
    shift 2
    rm -rf "$out/$name.o"
    mkdir -p "$out/$name.o"
    common="-g -O1 -fno-omit-frame-pointer $defines $options $folders"
    for source in ports/uip/rit_uip.c "$ethernet" "$@"; do
        # shellcheck disable=SC2086 # lists of options
        ${CC:-cc} -std=$standard $strict $common -c "$source" \
            -o "$out/$name.o/$(basename "$source" .c).o"
    done
    # shellcheck disable=SC2086 # lists of options
    ${CC:-cc} -std=gnu99 $strict -g -O1 -Iexamples-c/cortex-m/board -c tests/uip/tap.c \
        -o "$out/$name.o/tap.o"
    for source in uip uip_arp; do
        # shellcheck disable=SC2086 # lists of options
        ${CC:-cc} $theirs $common -c "$uip/$source.c" -o "$out/$name.o/$source.o"
    done
    ${CC:-cc} -fsanitize=address,undefined "$out/$name.o"/*.o "$products/librit.a" \
        -lpthread -ldl -lm -o "$out/$name"
}

built=
build() { # NAME FOLDER
    say "uIP: $1"
    kind "$2"
    program "device-$1-576" 576 $example/device.c $example/page.c
    program "device-$1-1500" 1500 $example/device.c $example/page.c
    program "fetch-$1-576" "576 -DRIT_UIP_CLOCK=<clock16.h> -Itests/uip" tests/uip/fetch.c
    built="$built $1"
}

if [ -n "$given" ]; then
    build given "$given"
else
    need_uip
    build stock "$UIP_SRC"
    need_iscsiuio
    build iscsiuio "$ISCSIUIO_SRC"
fi

for lab_as in "" "sudo -n" "unshare --user --map-root-user" none; do
    [ "$lab_as" != none ] || {
        printf '%s\n' "skipped uip (0 s): no network namespace with a TAP device can be made here" \
            "result: 0 passed, 0 failed, 1 skipped"
        exit 0
    }
    ! $lab_as unshare --net ip tuntap add name probe mode tap >/dev/null 2>&1 || break
done
# shellcheck disable=SC2086 # a list of names
$lab_as unshare --net python3 -B tests/uip/run.py --uip "$out" --kinds "${built# }" \
    --bin "$programs" --server "$products/rit-server" "$@"
