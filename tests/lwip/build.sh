#!/bin/sh
# Builds lwIP and a program of the tests: sh tests/lwip/build.sh VERSION SYS OUT LIBRARY SOURCE...
#
# VERSION is 2.1 or 2.2; SYS is nosys or os; OUT the program, or - to compile the port alone, for its
# warnings. LIBRARY is librit.a or a fake's sources in quotes. SOURCE... are ours. TEST_CFLAGS says how
# (sanitizers), LWIP_FLAGS which options of lwIP's are others, PORT_FLAGS which of the port's.
set -eu
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
# shellcheck source=tests/sources.sh
. "$ROOT/tests/sources.sh"
version=$1 sys=$2 out=$3 library=${4:-}
shift $(($# < 4 ? $# : 4))
need_lwip "$version"
here=$ROOT/tests/lwip
[ "$out" = - ] || mkdir -p "$(dirname "$out")"

case $sys in
nosys) sys_flags="-DNO_SYS=1" sys_sources= ;;
os)
    sys_flags="-DNO_SYS=0"
    sys_sources="$here/sys_arch.c"
    ;;
esac
flags="-std=gnu99 -g ${TEST_CFLAGS:--O2}"
ours="-Wall -Wextra -Wpedantic -Wconversion -Werror"
includes="-isystem $here -isystem $LWIP_SRC/src/include -I$ROOT/include -I$ROOT/ports/lwip"

if [ "$out" = - ]; then
    for file in "$ROOT"/ports/lwip/*.c; do
        # shellcheck disable=SC2086 # lists of flags
        ${CC:-cc} $flags $ours $sys_flags ${LWIP_FLAGS:-} ${PORT_FLAGS:-} $includes -S "$file" \
            -o /dev/null
    done
    exit
fi

# lwIP is built once for each set of flags.
objects=$TARGET/lwip/objects-$(printf '%s' "$version $sys $flags ${LWIP_FLAGS:-}" | cksum | tr ' ' -)
if [ ! -e "$objects/liblwip.a" ] || [ "$here/lwipopts.h" -nt "$objects/liblwip.a" ]; then
    rm -rf "$objects"
    mkdir -p "$objects"
    for file in "$LWIP_SRC"/src/core/*.c "$LWIP_SRC"/src/core/ipv4/*.c \
        "$LWIP_SRC"/src/core/ipv6/*.c "$LWIP_SRC"/src/netif/ethernet.c \
        "$LWIP_SRC"/src/api/tcpip.c; do
        # shellcheck disable=SC2086 # lists of flags
        ${CC:-cc} $flags -w $sys_flags ${LWIP_FLAGS:-} $includes -c "$file" \
            -o "$objects/$(basename "$file" .c).o"
    done
    ar rcs "$objects/liblwip.a" "$objects"/*.o
fi
# shellcheck disable=SC2086 # lists of flags and files
${CC:-cc} $flags $ours $sys_flags ${LWIP_FLAGS:-} ${PORT_FLAGS:-} $includes "$@" $sys_sources \
    "$ROOT"/ports/lwip/*.c $library "$objects/liblwip.a" -lpthread -ldl -lm -o "$out"
