#!/bin/sh
# Builds the tests of ports/posix with a fake librit, and runs them: sh tests/posix/run.sh OUTDIR
# Under the address and undefined-behaviour sanitizers; what a test leaves allocated fails it.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
out=${1:?usage: sh tests/posix/run.sh OUTDIR}
mkdir -p "$out"
flags="-std=c99 -g -O1 -Wall -Wextra -Wpedantic -Wconversion -Werror
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
    -I$root/include -I$root/ports/posix"
rm -f "$out"/*.o # of files that are gone
for source in "$root"/ports/posix/*.c "$root"/tests/posix/fake_*.c; do
    # shellcheck disable=SC2086 # a list of options
    ${CC:-cc} $flags -c "$source" -o "$out/$(basename "$source" .c).o"
done
for name in test_bridge test_flow test_system test_sockets test_network test_portmap test_tcp \
    test_lan test_places test_reach test_users test_neighbours test_where test_mdns \
    test_gateway; do
    # Neighbours are no host's of this machine: the test says who they are.
    wraps=
    [ "$name" != test_neighbours ] || wraps=-Wl,--wrap=connect
    # shellcheck disable=SC2086 # a list of options
    ${CC:-cc} $flags $wraps \
        -Wl,--wrap=clock_gettime,--wrap=sendmsg,--wrap=sendmmsg,--wrap=recvmmsg \
        -Wl,--wrap=getaddrinfo "$root/tests/posix/$name.c" "$out"/*.o -o "$out/$name"
    state=$(mktemp -d "$out/state.XXXXXX")
    "$out/$name" "$state/dir"
    rm -rf "$state"
done
