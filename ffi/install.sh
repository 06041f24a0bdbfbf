#!/bin/sh
# Builds librit and installs archive, shared library, header, pkg-config file and CMake package:
#
#   sh ffi/install.sh                                  into /usr/local
#   PREFIX=/usr DESTDIR=/tmp/stage sh ffi/install.sh   for a package
#
# LIBDIR and INCLUDEDIR replace PREFIX/lib and PREFIX/include.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
prefix=${PREFIX:-/usr/local}
libdir=${LIBDIR:-$prefix/lib}
includedir=${INCLUDEDIR:-$prefix/include}
destdir=${DESTDIR:-}
target=${CARGO_TARGET_DIR:-$root/target}

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
abi=$(sed -n 's/^#define RIT_ABI_VERSION //p' "$root/include/rit.h")
[ -n "$version" ] && [ -n "$abi" ] || {
    echo "install.sh: no version in Cargo.toml, or no RIT_ABI_VERSION in rit.h" >&2
    exit 1
}

cargo build --locked --release --manifest-path "$root/Cargo.toml" -p rit-ffi

fill() {
    sed -e "s|@PREFIX@|$prefix|" -e "s|@LIBDIR@|$libdir|" -e "s|@INCLUDEDIR@|$includedir|" \
        -e "s|@VERSION@|$version|" -e "s|@ABI@|$abi|" "$root/ffi/$1.in" >"$2"
    chmod 644 "$2"
}

lib=$destdir$libdir
include=$destdir$includedir
mkdir -p "$lib/pkgconfig" "$lib/cmake/rit" "$include"
install -m 644 "$root/include/rit.h" "$include/rit.h"
install -m 644 "$target/release/librit.a" "$lib/librit.a"
install -m 755 "$target/release/librit.so" "$lib/librit.so.$abi"
ln -sf "librit.so.$abi" "$lib/librit.so"
fill rit.pc "$lib/pkgconfig/rit.pc"
fill rit-config.cmake "$lib/cmake/rit/rit-config.cmake"
fill rit-config-version.cmake "$lib/cmake/rit/rit-config-version.cmake"
echo "librit $version is in $destdir$prefix"
