#!/bin/sh
# Builds librit.a for a bare-metal target, as small as it gets, and prints its path as the last line.
# Owns the toolchain, the flags and the list of parts that can be left out; the features behind the
# parts are in core's and ffi's Cargo.toml. The compiler and its core library's sources come from
# Debian's packages, and are installed where they are missing; see tests/setup.sh.
set -eu

usage() {
    cat <<'END'
sh ffi/firmware.sh TARGET [--profile PROFILE] [--without PART]... [--with PART]...

TARGET is a Rust target of a core without an operating system:
  thumbv7m-none-eabi           Cortex-M3
  thumbv7em-none-eabi          Cortex-M4, M7; floating-point arguments in core registers
  thumbv7em-none-eabihf        Cortex-M4F, M7F
  thumbv8m.main-none-eabi      Cortex-M33
  thumbv8m.main-none-eabihf    Cortex-M33F
  riscv32imac-unknown-none-elf

PART is what can be left out, or, where it says so, added. KB is the flash that it alone adds to a
device on Cortex-M4F, about; tcp and initiator share 36 of theirs, the client's side of TLS:
  tcp         43 KB: the way over TCP and TLS, for networks that block UDP
  log         8 KB: texts for people; without it rit_io.log is not called, and rit_strerror,
              rit_node_last_error and rit_node_explain tell nothing
  udp         4 KB: UDP services; without it rit_service_add of one answers ARG, rit_flow_open
              STATE
  search      1 KB: reaching peers behind a NAT that gives each connection another port, by trying
              many; without it a relay is what remains there
  lan         1 KB: finding peers on the own network by multicast; without it rit_io.multicast is
              ignored
  initiator   38 KB: opening sessions; without it rit_session_open answers STATE, and peers open
              them
  aes         6 KB: AES-128-GCM in software; without it sessions use ChaCha20-Poly1305, which every
              end has, unless rit_io.crypto brings all of AES along
  own-crypto  5 KB: crypto that the integrator computes; without it rit_node_new answers ARG where
              rit_io.crypto is set
  compact     less code where there is the choice; without it SHA-256 is faster and larger
  trust       not unless told so, 32 KB: a device that obeys an owner, and what owners sign; without
              it rit_trust_start and its kin answer STATE
  attest      not unless told so, 8 KB: stating and checking what code runs; without it
              rit_io.attest and rit_io.check_attestation must be null
  media       not unless told so, 10 KB: a congestion controller for interactive media, how full the
              pipe is, and shares of it; without it rit_session_pipe, rit_session_watch,
              rit_session_set_congestion, rit_stream_set_share and rit_service_set_priority
              answer STATE
  gateway     not unless told so, 4 KB: a gateway of the LAN as broker while the outer one is away;
              without it rit_gateway_connect and rit_gateway_forget answer STATE
  malloc      not unless told so: memory from malloc and free, rather than that of rit_heap_init

PROFILE is what to begin with, `full` unless told otherwise; options count from left to right:
  full        every part but those not chosen unless told so
  device      what a device with TCP services needs: compact
  smallest    the same, for one session with small packets (see core/FOOTPRINT.md)

The library needs memcpy, memmove, memset and memcmp of its surroundings.
END
}

ROOT=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
cd "$ROOT"

refuse() {
    printf '%s\n\n' "error: $*" >&2
    usage >&2
    exit 2
}

# In the library unless told otherwise, and every part there is.
FULL="tcp log udp search lan initiator aes own-crypto compact"
PARTS="$FULL trust attest media gateway malloc"
chosen=$FULL
triple=
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h)
        usage
        exit 0
        ;;
    --profile)
        case ${2:-} in
        full) chosen=$FULL ;;
        device | smallest) chosen=compact ;;
        *) refuse "there is no profile '${2:-}'" ;;
        esac
        shift
        ;;
    --with | --without)
        [ $# -ge 2 ] || refuse "$1 needs a part"
        case " $PARTS " in
        *" $2 "*) ;;
        *) refuse "there is no part '$2'" ;;
        esac
        chosen=$(printf '%s\n' $chosen | grep -vx "$2" || true)
        [ "$1" = --without ] || chosen="$chosen $2"
        shift
        ;;
    -*) refuse "unknown option $1" ;;
    *)
        [ -z "$triple" ] || refuse "one target at a time"
        triple=$1
        ;;
    esac
    shift
done
case $triple in
thumbv7m-none-eabi | thumbv7em-none-eabi | thumbv7em-none-eabihf) ;;
thumbv8m.main-none-eabi | thumbv8m.main-none-eabihf | riscv32imac-unknown-none-elf) ;;
"") refuse "which target?" ;;
*) refuse "unknown target $triple" ;;
esac

# In one order, so that the same set is the same build.
features=
for part in $PARTS; do
    case " "$(printf '%s ' $chosen)" " in
    *" $part "*) features=${features:+$features,}$part ;;
    esac
done

need_rust
need_firmware_rust
RUSTC=/usr/bin/rustc
# What -Zbuild-std needs on a stable compiler.
RUSTC_BOOTSTRAP=1
# A target folder of its own: another compiler's work would be thrown away each time.
CARGO_TARGET_DIR=$TARGET/firmware
export RUSTC RUSTC_BOOTSTRAP CARGO_TARGET_DIR

# No message of a panic is kept, nor where it was, nor how to print a value for it; and no path of
# this machine. -Zvirtual-function-elimination is not for us: it takes only the last crate, and then
# throws away AES and signing, which rustls calls through its tables.
flags="-Zlocation-detail=none -Zfmt-debug=none"
std_features=optimize_for_size
if $RUSTC -Zunstable-options -Cpanic=immediate-abort --print cfg >/dev/null 2>&1; then
    flags="$flags -Zunstable-options -Cpanic=immediate-abort"
else
    std_features=$std_features,panic_immediate_abort # its name until rustc 1.91
fi
sysroot=$($RUSTC --print sysroot)
for where in "$ROOT=librit" "${CARGO_HOME:-$HOME/.cargo}=cargo" "$sysroot/lib/rustlib=rust" \
    "$(readlink -f "$sysroot/lib/rustlib/src/rust/library")=rust"; do
    flags="$flags --remap-path-prefix=$where"
done
RUSTFLAGS=$flags
export RUSTFLAGS

# The target as the compiler has it, but without a frame pointer, which Rust's bare-metal Arm targets
# always have: it takes a register and instructions of every function, and who needs a backtrace
# of Rust in C's debugger has the unwind tables of a build with debug information.
target=$CARGO_TARGET_DIR/targets/$triple.json
json=
! cargo -Z help 2>/dev/null | grep -q json-target-spec || json=-Zjson-target-spec # from 1.95 on

out=$CARGO_TARGET_DIR/archives/$triple-${features:-least}
say "librit.a for $triple with ${features:-nothing more than it needs}, by $($RUSTC --version)" >&2
mkdir -p "$out" "$CARGO_TARGET_DIR/targets"
# One build at a time: cargo puts every set of parts at the same place.
(
    flock 9
    $RUSTC -Zunstable-options --print target-spec-json --target "$triple" |
        sed 's/"frame-pointer": "always"/"frame-pointer": "may-omit"/' >"$target.new"
    cmp -s "$target.new" "$target" || mv "$target.new" "$target"
    cargo rustc --locked --profile firmware -p rit-ffi --lib --crate-type staticlib \
        $json --target "$target" --no-default-features ${features:+--features "$features"} \
        -Zbuild-std=core,alloc -Zbuild-std-features="$std_features" >&2
    cp "$CARGO_TARGET_DIR/$triple/firmware/librit.a" "$out/librit.a"
) 9>"$CARGO_TARGET_DIR/archives/lock"
printf '%s\n' "$out/librit.a"
