#!/bin/sh
# Measures a device on lwIP beside plain lwIP TCP: sh tests/lwip/throughput.sh [--json FILE] [--mib N]
# [--rounds N]. See throughput.py, and core/PERFORMANCE.md for what came of it. Ends with 3 where no
# TAP device can be made.
set -u

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd) || exit 1
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
PATH=$PATH:/usr/sbin:/sbin
here=$ROOT/tests/lwip
build=$TARGET/lwip/fast-2.2-nosys
{
    need_rust && need_c_compiler && need_command python3 python3 && need_command ip iproute2 &&
        cargo build --release --locked --manifest-path "$ROOT/Cargo.toml" -p rit-server &&
        cargo build --release --locked --manifest-path "$ROOT/Cargo.toml" -p rit-ffi \
            --example aead &&
        sh "$ROOT/examples-c/build.sh" "$TARGET/e2e" &&
        sh "$here/build.sh" 2.2 nosys "$build" "$TARGET/release/librit.a" \
            "$here/device.c" "$here/fetch.c" "$here/host.c" "$here/http.c"
} >&2 || exit 1

for as in "" "sudo -n" "unshare --user --map-root-user"; do
    $as unshare --net sh -c 'ip tuntap add dev rittap mode tap' >/dev/null 2>&1 && break
    as=none
done
[ "$as" != none ] || {
    printf '%s\n' "unavailable: no TAP device can be made in a network namespace here" >&2
    exit 3
}
# shellcheck disable=SC2086 # a list
exec $as unshare --net python3 -B "$here/throughput.py" --bin "$TARGET/e2e" \
    --server "$TARGET/release/rit-server" --aead "$TARGET/release/examples/aead" "$@" "$build"
