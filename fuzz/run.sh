#!/bin/sh
# Runs every fuzz target, or those named, for SECONDS each (default 600), two at a time.
#   sh fuzz/run.sh [SECONDS [TARGET...]]
# Starts from fuzz/seeds/TARGET; keeps what it finds under fuzz/corpus, crashes under
# fuzz/artifacts. Needs a nightly toolchain; installs cargo-fuzz where it is missing.
set -eu
cd "$(dirname "$0")"

seconds=${1:-600}
[ $# -gt 0 ] && shift
all="packet frame crypto_reassembly message connection node relay carrier grant revocation claim trust_state cloak identify"
targets=${*:-$all}

cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked

# shellcheck disable=SC2086 # a list of names
for target in $targets; do
    cargo +nightly fuzz build --fuzz-dir . "$target"
done

one() {
    mkdir -p "corpus/$1" "seeds/$1"
    log="corpus/$1.log"
    if cargo +nightly fuzz run --fuzz-dir . "$1" "corpus/$1" "seeds/$1" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=4096 \
        -len_control=10 -print_final_stats=1 >"$log" 2>&1; then
        echo "$1: $(grep 'number_of_executed_units' "$log" | tail -n 1)"
    else
        tail -n 40 "$log"
        echo "$1: FAILED, see fuzz/$log and fuzz/artifacts/$1"
        return 1
    fi
}

failed=0
# shellcheck disable=SC2086
set -- $targets
while [ $# -gt 0 ]; do
    one "$1" &
    first=$!
    shift
    if [ $# -gt 0 ]; then
        one "$1" || failed=1
        shift
    fi
    wait "$first" || failed=1
done
exit "$failed"
