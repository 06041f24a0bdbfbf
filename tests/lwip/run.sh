#!/bin/sh
# Builds ports/lwip's tests against lwIP 2.1 and 2.2, with an operating system and without, under the
# address and undefined-behaviour sanitizers, and runs them: sh tests/lwip/run.sh [SCENARIO...]
# First over a fake librit, then real devices against the real broker and reaching side, in a network
# namespace. What is missing is installed or fetched by package name. Ends with the counts.
set -u

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd) || exit 1
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
PATH=$PATH:/usr/sbin:/sbin
here=$ROOT/tests/lwip
out=$TARGET/lwip
archive=$TARGET/release/librit.a
passed=0 failed=0 skipped=0
TEST_CFLAGS="-O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
export TEST_CFLAGS # not CFLAGS, which cargo's build scripts heed

result() {
    printf 'result: %s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" -eq 0 ]
    exit
}

fault() {
    printf '%s\n' "failed lwip $1: $2"
    failed=$((failed + 1))
}

need_rust && need_c_compiler && need_command curl curl && need_command python3 python3 &&
    need_command ip iproute2 || {
    fault set-up "something needed could not be installed"
    result
}

# ---- over a fake librit

# With each option that leaves code of the port out or takes other code.
variants() { # FUNCTION ARGUMENT...
    "$@" "as it is" "" ""
    "$@" RIT_LWIP_SEND_REF=1 -DRIT_LWIP_SEND_REF=1 ""
    "$@" RIT_LWIP_REACH=0 -DRIT_LWIP_REACH=0 ""
    "$@" RIT_LWIP_FLOWS=0 -DRIT_LWIP_FLOWS=0 ""
    "$@" "RIT_LWIP_REACH=0 RIT_LWIP_FLOWS=0" "-DRIT_LWIP_REACH=0 -DRIT_LWIP_FLOWS=0" ""
    "$@" LWIP_IPV6=0 "" -DLWIP_IPV6=0
}

fake() { # VERSION VARIANT PORT-FLAGS LWIP-FLAGS
    wraps="-Wl,--wrap=clock_gettime,--wrap=sendmsg,--wrap=sendmmsg,--wrap=recvmmsg"
    wraps="$wraps -Wl,--wrap=getaddrinfo"
    if PORT_FLAGS=$3 LWIP_FLAGS="$4 -DRIT_LWIP_FAKE_TEST=1 -DMEM_LIBC_MALLOC=1 -DMEMP_MEM_MALLOC=1" \
        sh "$here/build.sh" "$1" nosys "$out/fake-$1" "$wraps" -I"$ROOT/tests/posix" \
        "$here/test_port.c" "$ROOT"/tests/posix/fake_*.c && "$out/fake-$1"; then
        passed=$((passed + 1))
        printf '%s\n' "passed lwip $1 with a fake librit, $2"
    else
        fault "$1 with a fake librit, $2" "see above"
    fi
}

compiled() { # VERSION VARIANT PORT-FLAGS LWIP-FLAGS
    if PORT_FLAGS=$3 LWIP_FLAGS=$4 sh "$here/build.sh" "$1" os -; then
        passed=$((passed + 1))
        printf '%s\n' "passed lwip $1 compiles with an operating system, $2"
    else
        fault "$1 with an operating system, $2" "it does not compile"
    fi
}

for version in 2.1 2.2; do
    variants fake "$version"
    variants compiled "$version"
    for option in LWIP_IPV4 LWIP_DNS LWIP_NETIF_EXT_STATUS_CALLBACK LWIP_NETIF_LOOPBACK; do
        compiled "$version" "$option=0" "" "-D$option=0"
    done
done

# ---- real devices

cargo build --release --locked -p rit-server &&
    sh "$ROOT/examples-c/build.sh" "$TARGET/e2e" || {
    fault build "the broker or the C examples"
    result
}
set -- "$@" --
builds=
for version in 2.1 2.2; do
    for sys in nosys os; do
        build=$out/device-$version-$sys
        sh "$here/build.sh" "$version" "$sys" "$build" "$archive" \
            "$here/device.c" "$here/fetch.c" "$here/host.c" "$here/http.c" || {
            fault "$version $sys" "it does not build"
            continue
        }
        builds="$builds $build"
    done
    sh "$here/build.sh" "$version" nosys "$out/example-$version-nosys" "$archive" \
        "$ROOT/examples-c/lwip-device.c" "$here/board.c" "$here/host.c" ||
        fault "$version" "the example does not build"
done

only=
while [ "$1" != -- ]; do
    only="$only --only $1"
    shift
done

for as in "" "sudo -n" "unshare --user --map-root-user"; do
    $as unshare --net sh -c 'ip tuntap add dev rittap mode tap' >/dev/null 2>&1 && break
    as=none
done
if [ "$as" = none ]; then
    printf '%s\n' "skipped lwip (0 s): no TAP device can be made in a network namespace here"
    skipped=$((skipped + 1))
    result
fi
log=$out/scenarios.log
# shellcheck disable=SC2086 # lists
$as unshare --net python3 -B "$here/run.py" --bin "$TARGET/e2e" \
    --server "$TARGET/release/rit-server" $only $builds >"$log" 2>&1
status=$?
grep -v '^result: ' "$log"
set -- $(sed -n 's/^result: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped/\1 \2 \3/p' "$log")
if [ $# -eq 3 ]; then
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
else
    fault scenarios "ended with $status without a result"
fi
result
