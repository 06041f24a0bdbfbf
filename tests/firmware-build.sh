#!/bin/sh
# Builds core and librit.a for Cortex-M4F and M7F (thumbv7em-none-eabihf) without the standard
# library, compiles the header for it, and links a program that uses every function, which shows
# that the archive asks for nothing but the C library's malloc, free and mem*.
#
# The core library for bare metal is built from the sources that Debian packages beside its compiler.
# What is missing is installed by package name; see tests/setup.sh.
set -eu

ROOT=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
cd "$ROOT"

triple=thumbv7em-none-eabihf
need_rust
need_firmware_rust
need_command arm-none-eabi-gcc gcc-arm-none-eabi
need_packages libnewlib-arm-none-eabi

# A target folder of its own: another compiler's work would be thrown away each time.
CARGO_TARGET_DIR=$TARGET/firmware
RUSTC=/usr/bin/rustc
# What -Zbuild-std needs on a stable compiler.
RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR RUSTC RUSTC_BOOTSTRAP

say "core and ffi for $triple, with $($RUSTC --version)"
# One kind of library each: there are no shared libraries on bare metal.
build() {
    cargo rustc --locked --profile firmware -Zbuild-std=core,alloc --target "$triple" --lib \
        --no-default-features "$@"
}
build -p rit-core --features rustcrypto --crate-type rlib
build -p rit-ffi --crate-type staticlib

archive=$CARGO_TARGET_DIR/$triple/firmware/librit.a
out=$CARGO_TARGET_DIR/$triple/probe
mkdir -p "$out"
cpu="-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16"
warnings="-Wall -Wextra -Wpedantic -Wconversion -Werror"

# A table of all functions, so that the linker must find each of them.
{
    printf '#include "rit.h"\ntypedef void (*function)(void);\n'
    printf 'extern function const all[];\nfunction const all[] = {\n'
    sed 's/.*/    (function)&,/' ffi/symbols.txt
    printf '};\nint main(void) { return all[0] == 0; }\n'
} >"$out/probe.c"
for standard in c89 c99 c17; do
    # shellcheck disable=SC2086 # lists of options
    arm-none-eabi-gcc $cpu $warnings -std=$standard -ffreestanding -Iinclude -fsyntax-only \
        -x c include/rit.h
done
# shellcheck disable=SC2086 # lists of options
arm-none-eabi-gcc $cpu -std=c99 -Iinclude -Os --specs=nosys.specs -Wl,--gc-sections \
    -Wl,--undefined=all "$out/probe.c" "$archive" -o "$out/probe.elf" 2>"$out/link.log" || {
    cat "$out/link.log" >&2
    exit 1
}
arm-none-eabi-size "$out/probe.elf"
