#!/bin/sh
# The whole path on one machine: a broker, a web server bound to 127.0.0.1, a device that offers it
# and the side that reaches it, each a process of its own. Fetches a page and a 100 MB file through
# the tunnel, compares them with the originals, and says what was measured.
#
#   sh examples-c/quickstart.sh          stays until Ctrl-C, for a look with a browser
#   sh examples-c/quickstart.sh --once   ends by itself; non-zero if anything differed
set -eu

usage() {
    printf '%s\n' "usage: sh examples-c/quickstart.sh [--once]"
}

once=no
for argument in "$@"; do
    case $argument in
    --once) once=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        printf '%s\n' "error: unknown argument '$argument'" >&2
        usage >&2
        exit 2
        ;;
    esac
done

ROOT=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
cd "$ROOT"

work=
pids=

# Ends what this script started, by process id, last first.
clean_up() {
    status=$?
    trap - EXIT INT TERM HUP
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in $pids; do
        wait "$pid" 2>/dev/null || true
    done
    if [ -n "$work" ]; then
        rm -rf "$work"
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# start NAME COMMAND...: in the background; its output goes to $work/NAME.log, its id to $started.
start() {
    name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 </dev/null &
    started=$!
    pids="$started $pids"
}

all_running() {
    for pid in $pids; do
        kill -0 "$pid" 2>/dev/null || return 1
    done
}

# wait_for NAME PATTERN: until a line of NAME's log matches; gives up when the process has ended or
# after 30 seconds, and then shows the log.
wait_for() {
    tries=300
    while ! grep -q "$2" "$work/$1.log" 2>/dev/null; do
        tries=$((tries - 1))
        if ! kill -0 "$started" 2>/dev/null || [ "$tries" -eq 0 ]; then
            printf '%s\n' "error: $1 did not get as far as '$2'; it said:" >&2
            sed 's/^/   | /' "$work/$1.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

# first_value NAME WORD: what follows WORD on the first line of NAME's log that begins with it.
first_value() {
    sed -n "s/^$2 //p" "$work/$1.log" | sed -n 1p
}

build() {
    say "Setting up: what is missing is installed by package name"
    need_rust
    need_c_compiler
    need_command curl curl ca-certificates
    need_web_server
    say "Building the broker (the first time takes some minutes)"
    cargo build --release --locked -p rit-server
    say "Building librit and the C examples"
    sh examples-c/build.sh "$TARGET/quickstart"
}

# A web server with one page and one big file, on a port of 127.0.0.1 and nowhere else.
start_web_server() {
    web_port=$(free_port)
    mkdir -p "$work/www" "$work/nginx"
    cat >"$work/www/index.html" <<PAGE
<!doctype html>
<title>librit</title>
<h1>It works</h1>
<p>This page is served on 127.0.0.1 of a device and came to you through the tunnel.</p>
<p><a href="random.bin">100 MB of random bytes</a></p>
PAGE
    head -c 100000000 /dev/urandom >"$work/www/random.bin"
    user=
    [ "$(id -u)" -ne 0 ] || user="user root;"
    cat >"$work/nginx/nginx.conf" <<CONF
$user
daemon off;
master_process off;
pid $work/nginx/pid;
error_log $work/nginx/error.log;
events { worker_connections 512; }
http {
    access_log off;
    types { text/html html; }
    default_type application/octet-stream;
    client_body_temp_path $work/nginx/body;
    proxy_temp_path $work/nginx/proxy;
    fastcgi_temp_path $work/nginx/fastcgi;
    uwsgi_temp_path $work/nginx/uwsgi;
    scgi_temp_path $work/nginx/scgi;
    server { listen 127.0.0.1:$web_port; root $work/www; }
}
CONF
    start web "$NGINX" -p "$work/nginx" -e "$work/nginx/error.log" -c "$work/nginx/nginx.conf"
    curl -sS --retry 50 --retry-delay 0 --retry-connrefused --retry-max-time 20 -o /dev/null \
        "http://127.0.0.1:$web_port/" 2>/dev/null || {
        cat "$work/nginx/error.log" "$work/web.log" >&2
        die "the web server does not answer"
    }
    note "web server on 127.0.0.1:$web_port"
}

start_broker() {
    broker_port=$(free_port)
    start broker "$TARGET/release/rit-server" --state "$work/broker" \
        --listen "127.0.0.1:$broker_port"
    wait_for broker '^ready'
    broker=$(first_value broker address)
    device_code=$(first_value broker enrol-code)
    reach_code=$("$TARGET/release/rit-server" code --state "$work/broker" |
        sed -n 's/^enrol-code //p')
    note "broker at $broker"
}

# The reaching side's key is known before it runs, so that the device can let it in.
start_both_ends() {
    reach_key=$("$bin/reach" --state "$work/reach" --key | sed 's/^key //')
    start device "$bin/device" --state "$work/device" --broker "$broker" \
        --enrol "$device_code" --allow "$reach_key" "web=127.0.0.1:$web_port"
    wait_for device '^key '
    device_key=$(first_value device key)
    wait_for device 'online'
    note "device $device_key"
    start reach "$bin/reach" --state "$work/reach" --broker "$broker" --enrol "$reach_code" \
        "$device_key" web
    wait_for reach '^listening web '
    address=$(first_value reach 'listening web')
    note "its web server is at $address here"
}

checksum() {
    sha256sum <"$1" | cut -d ' ' -f 1
}

# fetch URL FILE: prints "seconds-to-first-byte bytes-per-second".
fetch() {
    curl --fail --silent --show-error --max-time 300 -o "$2" \
        -w '%{time_starttransfer} %{speed_download}\n' "$1"
}

# compare NAME: the copy that came through the tunnel against the original.
compare() {
    original=$(checksum "$work/www/$1")
    copy=$(checksum "$work/copy/$1")
    if [ "$original" != "$copy" ]; then
        die "$1 differs: $original on the device, $copy here"
    fi
    note "$1: same SHA-256 ($original)"
}

measure() {
    mkdir -p "$work/copy"
    say "Fetching the page through the tunnel"
    page=$(fetch "http://$address/index.html" "$work/copy/index.html")
    compare index.html
    say "Fetching 100 MB through the tunnel"
    # curl's progress bar goes to the terminal; a log gets no bar.
    bar=--silent
    [ ! -t 2 ] || bar=--progress-bar
    tunnel=$(curl --fail "$bar" --show-error --max-time 300 -o "$work/copy/random.bin" \
        -w '%{time_starttransfer} %{speed_download}\n' "http://$address/random.bin")
    compare random.bin
    say "Fetching the same directly from the web server, to compare"
    direct=$(fetch "http://127.0.0.1:$web_port/random.bin" "$work/copy/direct.bin")
    rm -f "$work/copy/direct.bin"
    report
}

report() {
    say "Measured"
    printf '%s %s %s\n' "$page" "$tunnel" "$direct" | LC_ALL=C awk '{
        printf "   page:    first byte after %.1f ms\n", $1 * 1000
        printf "   tunnel:  first byte after %.1f ms, %.1f MB/s\n", $3 * 1000, $4 / 1e6
        printf "   direct:  first byte after %.1f ms, %.1f MB/s\n", $5 * 1000, $6 / 1e6
        if ($6 > 0) printf "   the tunnel carries %.1f %% of a direct connection\n", 100 * $4 / $6
    }'
}

build
bin=$TARGET/quickstart
work=$(mktemp -d "${TMPDIR:-/tmp}/rit-quickstart.XXXXXX")
say "Starting broker, web server, device and reaching side"
start_broker
start_web_server
start_both_ends
measure
say "Point a browser at  http://$address/"
if [ "$once" = no ]; then
    note "Ctrl-C ends everything and removes $work"
    # Until one of the processes ends, which none should.
    while all_running; do sleep 1; done
    tail -n 3 "$work"/*.log >&2
    die "one of the processes ended"
fi
