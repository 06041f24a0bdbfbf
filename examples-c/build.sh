#!/bin/sh
# Builds librit.a and the example programs: sh examples-c/build.sh OUTDIR [release|dev]
# CC and CFLAGS are honoured. Any C project does the same: its sources, the port's, the archive.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
out=${1:?usage: sh examples-c/build.sh OUTDIR [release|dev]}
profile=${2:-release}
target=${CARGO_TARGET_DIR:-$root/target}
case $profile in
release) archive=$target/release/librit.a ;;
dev) archive=$target/debug/librit.a ;;
*) echo "build.sh: unknown profile: $profile" >&2; exit 2 ;;
esac

echo "building librit.a ($profile)"
cargo build --locked --manifest-path "$root/Cargo.toml" -p rit-ffi --profile "$profile"
mkdir -p "$out"
flags="-std=c99 -Wall -Wextra -Wpedantic -Wconversion -O2 -g ${CFLAGS:-}"
port=$(echo "$root"/ports/posix/*.c)
for name in device reach owner sensor camera viewer gateway minimal; do
    echo "building $name"
    sources="$root/examples-c/$name.c"
    [ "$name" = minimal ] || sources="$sources $port"
    # shellcheck disable=SC2086 # flags and sources are lists
    ${CC:-cc} $flags -I"$root/include" -I"$root/ports/posix" $sources "$archive" \
        -lpthread -ldl -lm -o "$out/$name"
done
