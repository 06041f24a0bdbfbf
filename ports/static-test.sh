# shellcheck shell=sh
# Tries the programs of ports/static.sh, which sources this: nothing in them is dynamic, and in a
# root with nothing else in it they find each other, carry a page, resolve a name and check a
# certificate. Those for another machine run under qemu's user emulation.

failures=0
passed=0
check() { # WHAT COMMAND...
    what=$1
    shift
    if "$@" >"$tried/log" 2>&1; then
        printf '%s\n' "passed $architecture: $what"
        passed=$((passed + 1))
    else
        cat "$tried/log"
        printf '%s\n' "failed $architecture: $what"
        failures=$((failures + 1))
        return 1
    fi
}

tried=$(mktemp -d)
pids=

# Ends what was started here, by process id.
stop() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    pids=
}
trap 'stop; rm -rf "$tried"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

is_for() { readelf -h "$1" | grep -q "Machine: .*$2"; }

# Without a program interpreter and without a library, but to be loaded anywhere.
is_static() {
    readelf -h "$1" | grep -q 'Type: *DYN' || return 1
    ! readelf -l "$1" | grep INTERP && ! readelf -d "$1" | grep NEEDED
}

names_no_path() { ! grep -q -F "$ROOT" "$1"; }

# in_root PROGRAM...: with the root for all it sees; it becomes the process that was started.
in_root() {
    if [ "$(id -u)" -eq 0 ]; then
        exec chroot "$root" ${emulator:+"$emulator"} "$@"
    fi
    exec unshare --user --map-root-user chroot "$root" ${emulator:+"$emulator"} "$@"
}

ask() { (in_root "$@") </dev/null 2>"$tried/asked" || { cat "$tried/asked" >&2 && return 1; }; }

# start NAME PROGRAM...: its output goes to $tried/NAME.
start() {
    name=$1
    shift
    : >"$tried/$name" # now: what is said next is not to be of a process before
    (in_root "$@") >>"$tried/$name" 2>&1 </dev/null &
    started=$!
    pids="$started $pids"
}

# said NAME PATTERN: what stands behind PATTERN on a line of NAME's output, once there is one, and
# none is half written.
said() {
    tries=600
    until grep -q "$2" "$tried/$1" && [ -z "$(tail -c 1 "$tried/$1")" ]; do
        tries=$((tries - 1))
        if [ "$tries" -eq 0 ] || ! kill -0 "$started" 2>/dev/null; then
            cat "$tried/$1" >&2
            return 1
        fi
        sleep 0.1
    done
    sed -n "s/$2//p" "$tried/$1" | sed -n 1p
}

# A server's certificate, and the authority that signed it.
certificates() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj /CN=authority -keyout "$tried/authority.key" -out "$tried/authority.pem"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -subj /CN=broker.test -keyout "$root/server.key" -out "$tried/server.csr"
    printf 'subjectAltName=DNS:broker.test\nbasicConstraints=CA:FALSE\n' >"$tried/extensions"
    openssl x509 -req -in "$tried/server.csr" -CA "$tried/authority.pem" -days 2 \
        -CAkey "$tried/authority.key" -CAcreateserial -extfile "$tried/extensions" \
        -out "$root/server.pem"
}

make_root() {
    root=$tried/root-$architecture
    emulator=
    mkdir -p "$root/etc/ssl/certs"
    cp "$out/$architecture"/* "$root"
    if [ "$architecture" != "$(uname -m)" ]; then
        need_command "qemu-$architecture-static" qemu-user-static
        emulator=/qemu
        cp "$(command -v "qemu-$architecture-static")" "$root$emulator"
    fi
    certificates 2>"$tried/log" || { cat "$tried/log" >&2 && return 1; }
    printf '127.0.0.1 broker.test\n' >"$root/etc/hosts"
}

rit() { ask /rit --config /config.toml --state /me "$@"; }

# Sets broker, http, and two enrol codes.
serve() {
    http=$(free_port)
    start server /rit-server --state /server --listen "127.0.0.1:$(free_port)" --tls-port 0 \
        --http "127.0.0.1:$http" --http-cert /server.pem --http-key /server.key
    broker=$(said server '^address ') && code=$(said server '^enrol-code ') &&
        said server '^ready' >/dev/null &&
        other_code=$(ask /rit-server code --state /server | sed -n 's/^enrol-code //p')
}

offer() {
    key=$(rit status --json | sed -n 's/.*"key": *"\([^"]*\)".*/\1/p')
    start device /rit-device --state /device --broker "$broker" --enrol "$code" --allow "$key" \
        "web=127.0.0.1:$http"
    device=$(said device '^key ') && said device 'online' >/dev/null
}

# Sets reached: where the device's service is.
reach() {
    start rit /rit --config /config.toml --state /me --json connect --broker "$broker" \
        --enrol "$other_code" "$device/web"
    line=$(said rit '^{"event":"listening",') || return
    reached=$(printf '%s\n' "$line" | sed 's/.*"address":"\([^"]*\)","port":\([0-9]*\).*/\1:\2/')
}

# The device's service is the server's own page.
page() {
    curl -sS --fail --max-time 60 --cacert "$tried/authority.pem" \
        --connect-to "broker.test:$http:$1" "https://broker.test:$http/" -o "$2"
}

same_page() {
    page "127.0.0.1:$http" "$tried/page" && page "$reached" "$tried/through" &&
        grep -q '<html' "$tried/page" && cmp "$tried/page" "$tried/through" && return
    tail -n 20 "$tried/rit" "$tried/device" "$tried/server"
    return 1
}

login() {
    printf 'a long password\n' | (in_root /rit --config /config.toml --state /me login --web-pki \
        --user ann --http "https://broker.test:$http" "$broker")
}

account() {
    printf 'a long password\n' | (in_root /rit-server account --state /server add ann)
}

is_not_believed() {
    ! login >"$tried/login" 2>&1 && grep -q UnknownIssuer "$tried/login"
}

in_an_empty_root() {
    check "a root with nothing else in it" make_root || return
    check "rit runs" rit --version
    check "the server serves" serve || return
    check "a device is online" offer || return
    check "rit connects" reach || return
    check "the page is the same through the tunnel" same_page
    check "an account" account
    check "a certificate of nobody known is refused" is_not_believed
    cp "$tried/authority.pem" "$root/etc/ssl/certs/ca-certificates.crt"
    check "the system's authorities are believed" login
    check "rit sees the account" rit devices --json
}

files() {
    machine=X86-64
    [ "$architecture" = x86_64 ] || machine=AArch64
    for name in rit rit-server rit-device; do
        file=$out/$architecture/$name
        note "$architecture: $name has $(($(wc -c <"$file") / 1024)) KiB"
        check "$name is for this machine" is_for "$file" "$machine"
        check "$name needs nothing" is_static "$file"
        check "$name names no path of the machine that made it" names_no_path "$file"
    done
}

need_command readelf binutils
need_command curl curl
need_command openssl openssl
for architecture in $architectures; do
    # What failed has been said, and is counted.
    files || true
    in_an_empty_root || true
    stop
done
printf '%s\n' "result: $passed passed, $failures failed, 0 skipped"
[ "$failures" -eq 0 ]
