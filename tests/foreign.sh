#!/bin/sh
# The tests of core, the C interface and some simulated networks on machines unlike this one, under
# qemu's user emulation: armv7 has 32 bits, s390x is big-endian.
#
#   sh tests/foreign.sh             both
#   sh tests/foreign.sh armv7       one of: armv7 s390x
#   sh tests/foreign.sh --quick …   without unit tests and simulated networks, most of the time
#
# What is sent in a simulated network is compared with this machine's, byte for byte by its hash.
# The standard library for these targets is built from the sources that Debian packages beside its
# compiler; all else is cross compilers and emulators by package name. See tests/setup.sh.
set -eu

ROOT=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
cd "$ROOT"

need_rust
need_firmware_rust
need_command qemu-arm qemu-user

# A target folder of its own: another compiler's work would be thrown away each time.
foreign=$TARGET/foreign
# Random inputs are many on the machine itself; here each one costs twenty times as much.
PROPTEST_CASES=8
export PROPTEST_CASES

warnings="-Wall -Wextra -Wpedantic -Wconversion -Werror"
failed=0

# foreign_cargo SUBCOMMAND OPTION...: always of the same crates, because cargo builds a dependency
# again for each other set of features. RUSTC_BOOTSTRAP is what -Zbuild-std needs on a stable
# compiler.
foreign_cargo() {
    subcommand=$1
    shift
    env CARGO_TARGET_DIR="$foreign" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 cargo "$subcommand" \
        --locked --target "$triple" -Zbuild-std=std,test,panic_unwind \
        -p rit-core -p rit-ffi -p rit-tests "$@"
}

# try COMMAND...: goes on after a failure, and remembers it.
try() {
    "$@" || {
        note "FAILED: $*"
        failed=1
    }
}

quick=
rust_tests() {
    if [ -n "$quick" ]; then
        say "$triple: vectors, kept fuzz inputs"
        try foreign_cargo test --no-fail-fast --test vectors --test trust_vectors --test fuzz_seeds
        return
    fi
    say "$triple: unit tests, vectors, kept fuzz inputs, simulated networks"
    try foreign_cargo test --no-fail-fast --lib --test vectors --test trust_vectors --test fuzz_seeds \
        --test sim_session --test sim_wire --test sim_enrol
}

traces() {
    say "$triple: the same seed, the same bytes as on this machine"
    try foreign_cargo test --test sim_same_bytes -- --nocapture \
        >"$foreign/there.log" 2>&1
    grep '^test result' "$foreign/there.log" || cat "$foreign/there.log"
    grep '^trace ' "$foreign/there.log" | sort >"$foreign/there" || true
    if [ -s "$foreign/here" ] && cmp -s "$foreign/here" "$foreign/there"; then
        sed 's/^/   /' "$foreign/there"
        printf '%s\n' "result: 1 passed, 0 failed, 0 skipped"
    else
        diff "$foreign/here" "$foreign/there" || true
        printf '%s\n' "result: 0 passed, 1 failed, 0 skipped"
        failed=1
    fi
}

# The tests of the C interface: each C program, with the archive that the tests before were linked
# with.
c_tests() {
    say "$triple: the C interface"
    passed=0
    wrong=0
    archive=$foreign/$triple/debug/deps/librit.a
    for source in tests/abi/*.c; do
        name=$(basename "$source" .c)
        # shellcheck disable=SC2086 # lists of options
        if "$cross-gcc" -std=c99 $warnings -O1 -g -Iinclude "$source" \
            "$archive" -lpthread -ldl -lm -o "$foreign/$triple/abi-$name" &&
            $emulator "$foreign/$triple/abi-$name"; then
            passed=$((passed + 1))
        else
            printf '%s\n' "failed abi/$name on $triple"
            wrong=$((wrong + 1))
            failed=1
        fi
    done
    printf '%s\n' "result: $passed passed, $wrong failed, 0 skipped"
}

# on MACHINE
on() {
    case $1 in
    armv7)
        triple=armv7-unknown-linux-gnueabihf
        cross=arm-linux-gnueabihf
        emulator="qemu-arm -L /usr/$cross"
        need_command $cross-gcc gcc-$cross libc6-dev-armhf-cross
        variable=ARMV7_UNKNOWN_LINUX_GNUEABIHF
        ;;
    s390x)
        triple=s390x-unknown-linux-gnu
        cross=s390x-linux-gnu
        emulator="qemu-s390x -L /usr/$cross"
        need_command $cross-gcc gcc-$cross libc6-dev-s390x-cross
        variable=S390X_UNKNOWN_LINUX_GNU
        ;;
    *) die "unknown machine '$1'; there are: armv7 s390x" ;;
    esac
    export "CARGO_TARGET_${variable}_LINKER=$cross-gcc"
    export "CARGO_TARGET_${variable}_RUNNER=$emulator"
    rust_tests
    traces
    c_tests
}

if [ "${1:-}" = --quick ]; then
    quick=1
    shift
fi
[ $# -gt 0 ] || set -- armv7 s390x
say "this machine's traces"
mkdir -p "$foreign"
CARGO_TARGET_DIR=$TARGET cargo test --locked --workspace --test sim_same_bytes -- --nocapture |
    grep '^trace ' | sort >"$foreign/here"
for machine in "$@"; do
    on "$machine"
done
exit "$failed"
