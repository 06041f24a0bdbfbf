#!/bin/sh
# Measures librit beside its peers, with what the machine has: nothing is installed.
#
#   sh tests/bench.sh [AREA...] [--json FILE] [--trace FILE]... [--svg FILE]
#
# Areas: core handshake memory sessions; on simulated links: links fairness, and cellular, which
# takes traces of mahimahi's format (.gz or not), or generates some, and draws a picture; of whole
# processes: process latency relay broker; lwip, a device on lwIP; all of them by default. Rows go
# to stdout as a table for each area, and to FILE as one JSON object a line: name, unit, ours, peer,
# peer_name, ratio = ours/peer (of relay the median of the rounds' ratios). RIT_BENCH_MIB,
# RIT_BENCH_ROUNDS, RIT_BENCH_HANDSHAKES, RIT_BENCH_LINKS, RIT_BENCH_RELAY_S and RIT_BENCH_NODES say
# how much is measured. The exit status is 2 for a wrong call, 1 if an area failed, 3 if all that is
# missing cannot be had on this machine, which is said, with the reason. A peer that is not here is
# left out, with a word. core/PERFORMANCE.md says what the figures are.
set -u

# An area is a name here and a case in run_area.
AREAS="core handshake memory sessions links fairness cellular process latency relay broker lwip"

ROOT=$(cd "$(dirname "$0")/.." && pwd) || exit 1
# Of its own, so that the default build's lock file and target directory stay as they are.
BIN=${CARGO_TARGET_DIR:-$ROOT/tests/bench/target}/release
# Where the programs go that are measured as they are shipped.
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}

die() {
    printf '%s\n' "error: $2" >&2
    exit "$1"
}

# run_area AREA FILE: prints the area's table and writes its rows to FILE.
run_area() {
    case $1 in
    core | handshake | sessions | links | fairness) "$BIN/rit-bench" "$1" --json "$2" ;;
    cellular) cellular "$2" ;;
    memory) "$BIN/memory" --json "$2" ;;
    process | latency | relay) whole_processes "$1" "$2" ;;
    broker) "$TARGET/release/examples/load" ${RIT_BENCH_NODES:+--nodes "$RIT_BENCH_NODES"} ;;
    lwip) sh "$ROOT/tests/lwip/throughput.sh" --json "$2" ;;
    esac
}

cellular() {
    set -- cellular --json "$1"
    [ -z "$svg" ] || set -- "$@" --svg "$svg"
    while read -r trace; do
        case $trace in
        "") continue ;;
        *.gz)
            mkdir -p "$rows/traces"
            plain=$rows/traces/$(basename "$trace" .gz)
            gzip -dc "$trace" >"$plain" || return 1
            trace=$plain
            ;;
        esac
        set -- "$@" --trace "$trace"
    done <<END
$traces
END
    "$BIN/rit-bench" "$@"
}

# Exit status 3: it cannot be had here, or not all of it.
whole_processes() {
    command -v python3 >/dev/null || {
        printf '%s\n' "unavailable: area $1: there is no python3 here" >&2
        return 3
    }
    if [ "$1" = relay ]; then
        python3 -B "$ROOT/tests/bench/relay.py" --json "$2" --server "$TARGET/release/rit-server" \
            --plain "$TARGET/release/examples/plain-forwarder" --tools "$BIN"
        return
    fi
    PATH=$PATH:$TARGET/peers/bin python3 -B "$ROOT/tests/bench/process.py" "$1" --json "$2" \
        --bin "$TARGET/bench-programs" --server "$TARGET/release/rit-server" --tools "$BIN"
}

# Prints what quiche's BoringSSL needs and is not here; nothing if all is.
missing_for_quiche() {
    command -v cmake >/dev/null || printf ' cmake'
    command -v c++ >/dev/null || printf ' c++'
    for lib in "${LIBCLANG_PATH:-/nowhere}"/libclang*.so* /usr/lib/llvm*/lib/libclang[-.]*so* \
        /usr/lib/libclang.so* /usr/lib64/libclang.so* /usr/lib/*/libclang[-.]*so*; do
        case $lib in
        *libclang-cpp*) ;;
        *) [ ! -e "$lib" ] || return 0 ;;
        esac
    done
    printf ' libclang'
}

wanted=
json=
svg=
traces=
while [ $# -gt 0 ]; do
    case $1 in
    --json | --svg | --trace)
        [ $# -gt 1 ] || die 2 "$1 takes a file"
        case $1 in
        --json) json=$2 ;;
        --svg) svg=$2 ;;
        --trace)
            [ -r "$2" ] || die 2 "cannot read $2"
            traces="$traces$2
"
            ;;
        esac
        shift
        ;;
    *)
        case " $AREAS " in
        *" $1 "*) wanted="$wanted $1" ;;
        *) die 2 "unknown area '$1'; there are: $AREAS" ;;
        esac
        ;;
    esac
    shift
done
[ -n "$wanted" ] || wanted=$AREAS

rows=$(mktemp -d) || exit 1
trap 'rm -rf "$rows"' EXIT
trap 'exit 1' HUP INT TERM
if [ -n "$json" ]; then
    : >"$json" || die 1 "cannot write $json"
fi

set -- cargo build --release --bins --manifest-path "$ROOT/tests/bench/Cargo.toml"
missing=$(missing_for_quiche)
if [ -z "$missing" ]; then
    set -- "$@" --features quiche
else
    printf '%s\n' "quiche is left out: it needs$missing" >&2
fi
case " $wanted " in
*" process "* | *" latency "*)
    set -- "$@" --features quinn-forward
    {
        cargo build --release --locked --manifest-path "$ROOT/Cargo.toml" -p rit-server &&
            sh "$ROOT/examples-c/build.sh" "$TARGET/bench-programs"
    } >&2 || die 1 "the build failed"
    ;;
esac
case " $wanted " in
*" relay "*)
    cargo build --release --locked --manifest-path "$ROOT/Cargo.toml" -p rit-server \
        --bins --example plain-forwarder >&2 || die 1 "the build failed"
    ;;
esac
case " $wanted " in
*" broker "*)
    cargo build --release --locked --manifest-path "$ROOT/Cargo.toml" -p rit-server \
        --bins --example load >&2 || die 1 "the build failed"
    ;;
esac
# A device on lwIP, and a broker, are measured without any of that.
[ "$wanted" = " lwip" ] || [ "$wanted" = " broker" ] || "$@" >&2 || die 1 "the build failed"

status=0
for area in $wanted; do
    run_area "$area" "$rows/$area"
    case $? in
    0) ;;
    3) [ "$status" -ne 0 ] || status=3 ;;
    *)
        printf '%s\n' "error: area '$area' failed" >&2
        status=1
        continue
        ;;
    esac
    [ -z "$json" ] || [ ! -e "$rows/$area" ] || cat "$rows/$area" >>"$json" || status=1
done
exit "$status"
