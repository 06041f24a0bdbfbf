# shellcheck shell=sh
# Third-party sources that tests build and this repository does not hold, to be sourced after
# tests/setup.sh. They come by package name, from the archive that apt is set up with or from
# cargo's registry, are compared with a SHA-256 kept here, and lie below $TARGET/sources. The second
# time nothing is fetched. No list of the system's is touched, and nothing is installed but tools.
#
#   need_lwip 2.1     LWIP_SRC      lwIP 2.1.3, as its authors published it
#   need_lwip 2.2     LWIP_SRC      lwIP 2.2.1
#   need_freertos     FREERTOS_SRC  the kernel
#   need_uip          UIP_SRC       uIP 1.0: uip.c, uip_arp.c and what belongs to them
#   need_iscsiuio     ISCSIUIO_SRC  a uIP whose calls take a stack argument, inside of open-iscsi
#   need_mbedtls      MBEDTLS_SRC   Mbed TLS 3.6

SOURCES=$TARGET/sources

# The address of a Debian archive: the one that apt has lists of a whole release from.
debian_site() {
    apt-get indextargets --format '$(ORIGIN)|$(COMPONENT)|$(RELEASE)|$(SITE)' \
        'Created-By: Packages' 2>/dev/null |
        awk -F '|' '$1 == "Debian" && $2 == "main" && $3 !~ /-/ { print $4; exit }'
}

# Writes a list with the sources of a release, and has apt fetch what is in it. Lists and caches are
# our own, so that this needs no root and the system's stay as they are.
prepare_apt() { # SUITE
    apt_dir=$SOURCES/apt-$1
    apt_own="-o Dir::Etc::sourcelist=$apt_dir/list -o Dir::Etc::sourceparts=-
        -o Dir::State::lists=$apt_dir/lists -o Dir::Cache=$apt_dir/cache
        -o Acquire::Languages=none"
    [ "$(id -u)" -ne 0 ] || apt_own="$apt_own -o APT::Sandbox::User=root"
    [ -n "$(debian_site)" ] || update_package_lists || return 1
    site=$(debian_site)
    [ -n "$site" ] || {
        printf '%s\n' "error: apt knows no Debian archive" >&2
        return 1
    }
    keys=
    for file in /usr/share/keyrings/debian-archive-keyring.*; do
        [ ! -e "$file" ] || keys="[signed-by=$file] "
    done
    mkdir -p "$apt_dir/lists/partial" "$apt_dir/cache/archives/partial" || return 1
    printf 'deb-src %s%s %s main\n' "$keys" "$site" "$1" >"$apt_dir/list"
    # shellcheck disable=SC2086 # a list of options
    apt-get -qq $apt_own update </dev/null
}

# debian_source SUITE PACKAGE SHA256: sets source_dir to what its authors published, without
# Debian's changes. SHA256 is that of the .orig.tar file.
debian_source() {
    source_dir=$SOURCES/$2-$1
    [ "$(cat "$source_dir/.sha256" 2>/dev/null)" != "$3" ] || return 0
    note "apt-get source $2, of $1 (only unpacked under $SOURCES)"
    need_command xz xz-utils || return 1
    prepare_apt "$1" || return 1
    rm -rf "$source_dir" "$SOURCES/$2.part"
    mkdir -p "$SOURCES/$2.part/tree" || return 1
    (
        cd "$SOURCES/$2.part" || exit 1
        # shellcheck disable=SC2086 # a list of options
        apt-get -qq $apt_own source --download-only "$2" </dev/null || exit 1
        archive=$(ls "$2"_*.orig.tar.*[a-z0-9] | grep -v '\.asc$')
        printf '%s  %s\n' "$3" "$archive" | sha256sum -c --quiet - || exit 1
        tar -xf "$archive" -C tree --strip-components=1 || exit 1
        printf '%s\n' "$3" >tree/.sha256
    ) && mv "$SOURCES/$2.part/tree" "$source_dir" && rm -rf "$SOURCES/$2.part" || {
        printf '%s\n' "error: no sources of $2" >&2
        return 1
    }
}

# crate_source CRATE VERSION SHA256: sets source_dir to the folder of a crate; what it depends on is
# not kept. SHA256 is what a Cargo.lock has for it: cargo compares each file with the archive, and
# this the archive with what was once looked at.
crate_source() {
    source_dir=$SOURCES/$1-$2
    [ "$(cat "$source_dir/.sha256" 2>/dev/null)" != "$3" ] || return 0
    note "cargo vendor $1 $2 (only unpacked under $SOURCES)"
    need_rust || return 1
    part=$SOURCES/$1.part
    rm -rf "$source_dir" "$part"
    mkdir -p "$part/src" || return 1
    : >"$part/src/lib.rs"
    cat >"$part/Cargo.toml" <<MANIFEST
[package]
name = "sources"
version = "0.0.0"
edition = "2021"

[workspace]

[dependencies]
$1 = "=$2"
MANIFEST
    (cd "$part" && cargo vendor --quiet vendor >/dev/null) &&
        grep -q "\"package\":\"$3\"" "$part/vendor/$1/.cargo-checksum.json" &&
        printf '%s\n' "$3" >"$part/vendor/$1/.sha256" &&
        mv "$part/vendor/$1" "$source_dir" && rm -rf "$part" || {
        printf '%s\n' "error: no crate $1 $2 with the SHA-256 that it should have" >&2
        return 1
    }
}

need_lwip() {
    case $1 in
    2.1)
        debian_source bookworm lwip \
            0a8276d09fc4e97bbba2f953d74af2388fc2195ea156be9d7589e297a68fde24
        ;;
    2.2)
        crate_source lwip 0.4.0 \
            91a6b1dcb50bc8c8c032b7fefb5176aad2ce3eaed5b8307aace0b8d1e348184e
        ;;
    *) die "there are lwIP 2.1 and 2.2, not $1" ;;
    esac && LWIP_SRC=$source_dir
}

need_freertos() {
    crate_source freertos-next 0.12.0 \
        b7824fb42660c16e1b3b573eef99c2fe5c5cba6294a631c309084635f6bfcbb0 &&
        FREERTOS_SRC=$source_dir/FreeRTOS-Kernel
}

need_uip() {
    crate_source lufa-rs 0.1.0 \
        ec9992ec35a12c388406307475664f19b70a80017225d9f096394d7a8fb626f8 &&
        UIP_SRC=$source_dir/lufa/Projects/Webserver/Lib/uip
}

need_iscsiuio() {
    debian_source trixie open-iscsi \
        2630a2eb737f6f0ab81339ddabcf19b1d2aeec4dbab314d82a0700ddd50bb8e2 &&
        ISCSIUIO_SRC=$source_dir/iscsiuio/src/uip
}

need_mbedtls() {
    debian_source trixie mbedtls \
        8fb65fae8dcae5840f793c0a334860a411f884cc537ea290ce1c52bb64ca007a &&
        MBEDTLS_SRC=$source_dir
}
