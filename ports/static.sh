#!/bin/sh
# Makes programs for Linux that need nothing installed beside them, not even a C library: rit,
# rit-server and rit-device, of one static binary each (musl, position independent).
#
#   sh ports/static.sh [--out FOLDER] [--target ARCH]...   into FOLDER/ARCH
#   sh ports/static.sh --test [--target ARCH]...           and tries them (ports/static-test.sh)
#
# FOLDER is target/static unless told otherwise; ARCH is x86_64 or aarch64, both unless told
# otherwise. The standard library is built from the sources that Debian packages beside its
# compiler; the C library, its compiler and the linker are Zig's, a package of PyPI that
# cargo-zigbuild drives, in an environment of its own. See tests/setup.sh.
set -eu

ROOT=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
cd "$ROOT"

out=$TARGET/static
architectures=
is_test=no
while [ $# -gt 0 ]; do
    case $1 in
    --out)
        [ $# -ge 2 ] || die "--out needs a folder"
        out=$2
        shift
        ;;
    --target)
        [ $# -ge 2 ] || die "--target needs an architecture"
        case $2 in
        x86_64 | aarch64) architectures="$architectures $2" ;;
        *) die "unknown architecture '$2'; there are: x86_64 aarch64" ;;
        esac
        shift
        ;;
    --test) is_test=yes ;;
    *) die "unknown option $1" ;;
    esac
    shift
done
architectures=${architectures:-x86_64 aarch64}

# What they do is done as well by other versions; the same ones give the same programs.
PACKAGES="cargo-zigbuild==0.24.1 ziglang==0.15.2"

need_zig() {
    need_command python3 python3 && need_python_venv || return 1
    zig=$TARGET/setup/zig
    if [ "$(cat "$zig/packages" 2>/dev/null)" != "$PACKAGES" ]; then
        note "pip install $PACKAGES (only under $zig)"
        rm -rf "$zig"
        # shellcheck disable=SC2086 # a list of packages
        python3 -m venv "$zig" && "$zig/bin/pip" install -q --disable-pip-version-check $PACKAGES ||
            return 1
        printf '%s\n' "$PACKAGES" >"$zig/packages"
    fi
    PATH=$zig/bin:$PATH
    # Else it would fill the home folder.
    export ZIG_GLOBAL_CACHE_DIR="$zig/cache" CARGO_ZIGBUILD_CACHE_DIR="$zig/cargo-zigbuild"
}

# programs ARCH: a target folder of its own, because another compiler's work would be thrown away
# each time. RUSTC_BOOTSTRAP is what -Zbuild-std needs on a stable compiler. Zig brings what a
# program starts with, and is to make it position independent.
programs() {
    triple=$1-unknown-linux-musl
    say "$triple"
    built=$TARGET/static-build
    env CARGO_TARGET_DIR="$built" \
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
        RUSTFLAGS="-C link-self-contained=no -C link-arg=-pie" \
        cargo zigbuild --release --locked -Zbuild-std=std,panic_unwind --target "$triple" \
        -p rit-server -p rit-cli -p rit-ffi
    mkdir -p "$out/$1"
    "$zig/bin/python" -m ziglang cc -target "$1-linux-musl" -std=c99 -O2 -s -fPIE -static -pie \
        -fstack-protector-strong -ffile-prefix-map="$ROOT"=. -Iinclude -Iports/posix \
        examples-c/device.c ports/posix/*.c "$built/$triple/release/librit.a" -lunwind \
        -o "$out/$1/rit-device"
    for name in rit rit-server; do
        install -m 755 "$built/$triple/release/$name" "$out/$1/$name"
    done
}

need_rust
need_c_compiler
need_firmware_rust
need_zig
for architecture in $architectures; do
    programs "$architecture"
done
if [ "$is_test" = yes ]; then
    # shellcheck source=ports/static-test.sh
    . "$ROOT/ports/static-test.sh"
else
    ls -l "$out"/*
fi
