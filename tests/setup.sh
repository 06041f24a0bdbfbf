# shellcheck shell=sh
# Set-up shared by examples-c/quickstart.sh and tests/run.sh, to be sourced with ROOT set to the
# top of the repository. It finds what a job needs and installs, by Debian package name, only what
# is missing. It removes nothing, replaces nothing and starts no service. Plain POSIX shell,
# because a fresh Debian machine has nothing else.

MSRV_MINOR=85 # rustc 1.85; the same as rust-version in Cargo.toml

say() { printf '%s\n' "== $*"; }
note() { printf '%s\n' "   $*"; }
die() {
    printf '%s\n' "error: $*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: directly, or through sudo where it is there.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        printf '%s\n' "error: '$*' needs root, and there is no sudo" >&2
        return 1
    fi
}

package_installed() {
    dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed'
}

# The package lists are brought up to date once, and only when something must be installed.
package_lists_fresh=no
update_package_lists() {
    [ "$package_lists_fresh" = no ] || return 0
    have apt-get || {
        printf '%s\n' "error: apt-get is missing: this set-up knows Debian only" >&2
        return 1
    }
    note "apt-get update"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update </dev/null ||
        note "apt-get update failed; going on with the lists that are here"
    package_lists_fresh=yes
}

# The version that would be installed, empty where there is no such package.
package_candidate() {
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p' | grep -v '^(none)$'
}

# Installs those of the named packages that are missing. --no-remove: where a package would push
# out another one that somebody chose, it is better to stop and say so.
need_packages() {
    missing=
    for package in "$@"; do
        package_installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    update_package_lists || return 1
    note "apt-get install$missing"
    # shellcheck disable=SC2086 # a list of package names
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o DPkg::Lock::Timeout=600 \
        --no-remove -o Dpkg::Use-Pty=0 install $missing </dev/null >"$(apt_log)" 2>&1 || {
        cat "$(apt_log)" >&2
        printf '%s\n' "error: could not install:$missing" >&2
        return 1
    }
}

apt_log() {
    mkdir -p "$TARGET/setup"
    printf '%s\n' "$TARGET/setup/apt.log"
}

# need_command COMMAND PACKAGE...: installs the packages only if the command is not there.
need_command() {
    command_name=$1
    shift
    have "$command_name" || need_packages "$@"
}

# A C compiler that can really compile: a compiler without libc's headers is no use.
need_c_compiler() {
    if ! printf '#include <stdio.h>\nint main(void){return 0;}\n' |
        cc -x c - -o /dev/null 2>/dev/null; then
        need_packages gcc libc6-dev || return 1
    fi
}

need_cxx_compiler() {
    if ! printf '#include <vector>\nint main(){return 0;}\n' |
        c++ -x c++ - -o /dev/null 2>/dev/null; then
        need_packages g++ || return 1
    fi
}

# True if this rustc is new enough.
rustc_is_usable() {
    "$1" --version 2>/dev/null | awk -v least="$MSRV_MINOR" '
        $1 == "rustc" { split($2, v, "."); good = v[1] > 1 || (v[1] == 1 && v[2] + 0 >= least) }
        END { exit !good }'
}

# Puts a cargo and rustc of at least the MSRV on PATH: the ones that are there, else Debian's.
# trixie's are `cargo` and `rustc` (1.85); bookworm's own are too old, and the security archive
# carries newer ones for building browsers, `cargo-web` and `rustc-web`, with the usual commands.
need_rust() {
    for dir in "" "${CARGO_HOME:-$HOME/.cargo}/bin" /usr/bin; do
        if [ -n "$dir" ]; then
            [ -x "$dir/cargo" ] || continue
            rustc_is_usable "$dir/rustc" || continue
            PATH="$dir:$PATH"
            export PATH
        fi
        have cargo && rustc_is_usable rustc && break
    done
    if ! { have cargo && rustc_is_usable rustc; }; then
        say "No Rust of 1.$MSRV_MINOR or newer here: installing Debian's"
        update_package_lists || return 1
        if dpkg --compare-versions "$(package_candidate rustc)" ge "1.$MSRV_MINOR"; then
            need_packages cargo rustc || return 1
        elif dpkg --compare-versions "$(package_candidate rustc-web)" ge "1.$MSRV_MINOR"; then
            need_packages cargo-web rustc-web || return 1
        else
            printf '%s\n' "error: no Debian package has rustc 1.$MSRV_MINOR or newer" >&2
            return 1
        fi
        PATH="/usr/bin:$PATH"
        export PATH
        rustc_is_usable rustc || return 1
    fi
    # Crates come over HTTPS.
    [ -s /etc/ssl/certs/ca-certificates.crt ] || need_packages ca-certificates
}

# A compiler at /usr/bin/rustc with the sources of the core library, for targets that Debian has no
# built core library for. rustc and rustc-web exclude each other: whichever is there stays.
need_firmware_rust() {
    if package_installed rustc && rustc_is_usable /usr/bin/rustc; then
        need_packages rust-src
    else
        need_packages rustc-web rust-web-src
    fi
}

# Sets NGINX to a web server. Installing Debian's package would start a service on port 80, now
# and at every boot; so where nginx is not installed, its program is taken out of the package into
# the build folder, and nothing on the system changes.
need_web_server() {
    NGINX=$(command -v nginx || true)
    [ -n "$NGINX" ] || [ ! -x /usr/sbin/nginx ] || NGINX=/usr/sbin/nginx
    [ -z "$NGINX" ] || return 0
    NGINX=$TARGET/setup/nginx/usr/sbin/nginx
    if [ ! -x "$NGINX" ]; then
        update_package_lists || return 1
        note "apt-get download nginx (only unpacked under $TARGET/setup)"
        mkdir -p "$TARGET/setup/nginx"
        (
            cd "$TARGET/setup" && rm -f nginx_*.deb &&
                apt-get -qq download nginx 2>/dev/null && dpkg -x nginx_*.deb nginx
        ) || return 1
    fi
    need_shared_libraries "$NGINX"
}

# A browser without a window. Where there is one already, it does.
need_browser() {
    have chromium-headless-shell || have chromium || need_packages chromium-headless-shell
}

# npm, for what is only to be had there. Debian's comes with Debian's node; another node brings its own.
need_node() {
    { have node && have npm; } || need_packages nodejs npm
}

# Some systems have Python without what makes virtual environments.
need_python_venv() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
}

# PostgreSQL's programs, which tests start by themselves. Debian's package would make a database and
# start it as a service, if it were not told otherwise.
need_postgres() {
    for initdb in /usr/lib/postgresql/*/bin/initdb; do
        [ ! -x "$initdb" ] || return 0
    done
    as_root mkdir -p /etc/postgresql-common/createcluster.d || return 1
    told=/etc/postgresql-common/createcluster.d/without-main.conf
    printf 'create_main_cluster = false\n' | as_root tee "$told" >/dev/null
    need_packages postgresql
    installed=$?
    as_root rm -f "$told"
    return "$installed"
}

# need_unpacked PACKAGE PROGRAM [SIBLINGS]: the package's files under $TARGET/setup/PACKAGE, the
# program among them, and what it depends on installed, but for packages whose names begin with
# SIBLINGS. For packages whose installation would start a service, now and at every boot, or that
# cannot be beside what is installed.
need_unpacked() {
    if [ -x "$TARGET/setup/$1/$2" ] && ! ldd "$TARGET/setup/$1/$2" | grep -q 'not found'; then
        return 0
    fi
    update_package_lists || return 1
    note "apt-get download $1 (only unpacked under $TARGET/setup)"
    mkdir -p "$TARGET/setup"
    (
        cd "$TARGET/setup" && rm -rf "$1" "$1"_*.deb &&
            apt-get -qq download "$1" 2>/dev/null &&
            need_dependencies "$1"_*.deb "${3:-}" && dpkg -x "$1"_*.deb "$1"
    )
}

# need_dependencies FILE SIBLINGS: installs what a package's file depends on, but for those.
need_dependencies() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o DPkg::Lock::Timeout=600 --no-remove -o Dpkg::Use-Pty=0 \
        satisfy "$(dpkg-deb -f "$1" Pre-Depends Depends | sed 's/^[A-Z][A-Za-z-]*: //' |
            tr , '\n' | grep -v "^ *${2:-nothing at all}" | paste -sd , -)" </dev/null >"$(apt_log)" 2>&1 || {
        cat "$(apt_log)" >&2
        printf '%s\n' "error: could not install what $1 depends on" >&2
        return 1
    }
}

# QEMU for Cortex-M boards. Beside the qemu-utils of a later release it cannot be installed; the
# boards need nothing of what it comes with.
need_qemu_arm() {
    PATH=$PATH:$TARGET/setup/qemu-system-arm/usr/bin
    have qemu-system-arm && return
    need_packages qemu-system-arm 2>/dev/null ||
        need_unpacked qemu-system-arm usr/bin/qemu-system-arm qemu-system-
}

# A router's port mapping daemon, only unpacked: as a service it would open this machine's ports.
# tests/nat/netchange_portmap.py finds it there.
need_port_mapper() {
    PORT_MAPPER=$TARGET/setup/miniupnpd/usr/sbin/miniupnpd
    if [ ! -x "$PORT_MAPPER" ]; then
        update_package_lists || return 1
        note "apt-get download miniupnpd-nftables (only unpacked under $TARGET/setup)"
        mkdir -p "$TARGET/setup/miniupnpd"
        (
            cd "$TARGET/setup" && rm -f miniupnpd-nftables_*.deb &&
                apt-get -qq download miniupnpd-nftables 2>/dev/null &&
                dpkg -x miniupnpd-nftables_*.deb miniupnpd
        ) || return 1
    fi
    need_shared_libraries "$PORT_MAPPER"
}

# Installs the libraries that an unpacked program misses. The names are Debian 12's and 13's.
need_shared_libraries() {
    for library in $(ldd "$1" | awk '/not found/ { print $1 }'); do
        case $library in
        libpcre2-8.so.0) need_packages libpcre2-8-0 ;;
        libcrypt.so.1) need_packages libcrypt1 ;;
        libz.so.1) need_packages zlib1g ;;
        libmnl.so.0) need_packages libmnl0 ;;
        libnftnl.so.11) need_packages libnftnl11 ;;
        libssl.so.3 | libcrypto.so.3)
            if [ -n "$(package_candidate libssl3t64)" ]; then
                need_packages libssl3t64
            else
                need_packages libssl3
            fi
            ;;
        *) die "$1 needs $library, and this script does not know its package" ;;
        esac || return 1
    done
}

# Prints a port that nothing on this machine uses now, below the range the kernel hands out.
free_port() {
    while :; do
        port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 12000))
        hex=$(printf '%04X' "$port")
        cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 2>/dev/null |
            awk '{ print $2 }' | grep -q ":$hex\$" || break
    done
    printf '%s\n' "$port"
}

TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
case $TARGET in
/*) ;;
*) TARGET=$PWD/$TARGET ;;
esac
