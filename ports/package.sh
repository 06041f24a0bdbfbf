#!/bin/sh
# Makes Debian packages out of a release build, with dpkg-deb alone:
#
#   sh ports/package.sh [--out FOLDER]      rit, rit-server, rit-device, librit1, librit-dev
#   sh ports/package.sh --test              makes them twice, and tries them (ports/package-test.sh)
#
# FOLDER is target/packages unless told otherwise. Builds what is not built yet. The same commit and
# the same tools give the same bytes: every time in a package is SOURCE_DATE_EPOCH, which is that of
# the commit unless it is set. DEBFULLNAME and DEBEMAIL name who makes the packages.
set -eu

ROOT=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
cd "$ROOT"

out=$TARGET/packages
is_test=no
while [ $# -gt 0 ]; do
    case $1 in
    --out)
        [ $# -ge 2 ] || die "--out needs a folder"
        out=$2
        shift
        ;;
    --test) is_test=yes ;;
    *) die "unknown option $1" ;;
    esac
    shift
done

VERSION=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
ARCH=$(dpkg --print-architecture)
LIBDIR=usr/lib/$(cc -print-multiarch)
MAINTAINER="${DEBFULLNAME:-The librit authors} <${DEBEMAIL:-librit@example.org}>"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
# What is in a package is for everyone to read, whoever makes it.
umask 022

# LEVEL is how hard xz tries, 0 to 9.

# The programs and libraries; no path of this machine in them. cargo finds what is up to date.
build() {
    need_c_compiler && need_rust && need_command strip binutils || return 1
    # No date goes into what cargo builds; with one, ring and SQLite would be built anew.
    env -u SOURCE_DATE_EPOCH cargo build --release --locked -p rit-server
    # It has a librit.a in it that is not quite the same; the last one built stays.
    env -u SOURCE_DATE_EPOCH cargo build --release --locked -p rit-cli
    env -u SOURCE_DATE_EPOCH cargo build --release --locked -p rit-ffi
    mkdir -p "$TARGET/package"
    # shellcheck disable=SC2046 # a list of files
    cc -std=c99 -O2 -g0 -fstack-protector-strong -fPIE -pie -D_FORTIFY_SOURCE=2 \
        -Wl,-z,relro,-z,now -ffile-prefix-map="$ROOT"=. -Iinclude -Iports/posix \
        examples-c/device.c ports/posix/*.c "$TARGET/release/librit.a" -lpthread -ldl -lm \
        -o "$TARGET/package/rit-device"
}

# begin PACKAGE: an empty tree at $tree.
begin() {
    package=$1
    tree=$work/$package
    mkdir -p "$tree/DEBIAN" "$tree/usr/share/doc/$package"
}

# put MODE FILE PATH: a file of the package.
put() { install -D -m "$1" "$2" "$tree/$3"; }

# program FILE PATH: the same, without what is for debuggers.
program() {
    put 755 "$1" "$2"
    strip --strip-unneeded --remove-section=.comment --remove-section=.note "$tree/$2"
}

# The C libraries that a package's programs ask for, with the least version that has what they use.
libraries() {
    glibc=$(find "$tree" -type f -perm -100 -exec objdump -T {} + 2>/dev/null |
        grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
    printf 'libc6 (>= %s)' "${glibc#GLIBC_}"
    ! find "$tree" -type f -perm -100 -exec objdump -p {} + 2>/dev/null |
        grep -q 'NEEDED *libgcc_s.so.1' || printf ', libgcc-s1'
}

# finish SECTION DEPENDS SHORT LONG: the rest of what a package has, and the package.
finish() {
    doc=$tree/usr/share/doc/$package
    {
        printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n'
        printf 'Upstream-Name: librit\n\nFiles: *\nCopyright: %s\n' \
            "$(sed -n 's/^Copyright (c) //p' LICENSE-MIT)"
        printf 'License: Apache-2.0 or Expat\n\nLicense: Apache-2.0\n'
        printf ' The whole text is in /usr/share/common-licenses/Apache-2.0.\n\nLicense: Expat\n'
        sed -n '/^Permission/,$s/^/ /p' LICENSE-MIT | sed 's/^ $/ ./'
    } >"$doc/copyright"
    {
        printf 'librit (%s) unstable; urgency=medium\n\n' "$VERSION"
        printf '  * What changed is in core/CHANGELOG.md of the sources.\n\n -- %s  %s\n' \
            "$MAINTAINER" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
    } | gzip -9n >"$doc/changelog.gz"
    if [ -d "$tree/etc" ]; then
        (cd "$tree" && find etc -type f -printf '/%p\n' | sort) >"$tree/DEBIAN/conffiles"
    fi
    (cd "$tree" && find usr etc -type f 2>/dev/null | LC_ALL=C sort | xargs md5sum) \
        >"$tree/DEBIAN/md5sums"
    cat >"$tree/DEBIAN/control" <<END
Package: $package
Source: librit
Version: $VERSION
Architecture: $ARCH
Maintainer: $MAINTAINER
Installed-Size: $(find "$tree" -path "$tree/DEBIAN" -prune -o -type f -printf '%s\n' |
        awk '{ kib += int(($1 + 1023) / 1024) } END { print kib + 0 }')
Section: $1
Priority: optional
${2:+Depends: $2
}Description: $3
$4
END
    find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group -Zxz -z"${LEVEL:-6}" --build "$tree" \
        "$out/${package}_${VERSION}_$ARCH.deb"
}

# scripts UNIT START: has systemd know of the unit and stop it; START: enables and starts it, too.
# They do nothing to a running system where the package goes into another root (DPKG_ROOT).
scripts() {
    cat >"$tree/DEBIAN/postinst" <<END
#!/bin/sh
set -e
case \$1 in
configure | abort-upgrade | abort-deconfigure | abort-remove)
    [ "$2" = no ] || deb-systemd-helper enable $1.service >/dev/null
    if [ -z "\$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        if [ "$2" = yes ] || systemctl --quiet is-enabled $1.service; then
            deb-systemd-invoke restart $1.service >/dev/null || true
        fi
    fi
    ;;
esac
END
    cat >"$tree/DEBIAN/prerm" <<END
#!/bin/sh
set -e
if [ "\$1" = remove ] && [ -z "\$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop $1.service >/dev/null || true
fi
END
    cat >"$tree/DEBIAN/postrm" <<END
#!/bin/sh
set -e
if [ "\$1" = remove ] && [ -z "\$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
if [ "\$1" = purge ]; then
    if command -v deb-systemd-helper >/dev/null; then
        deb-systemd-helper purge $1.service >/dev/null
    fi
    # The second is where systemd keeps the state of a user that it makes up.
    rm -rf "\$DPKG_ROOT/var/lib/$1" "\$DPKG_ROOT/var/lib/private/$1"
fi
END
    chmod 755 "$tree/DEBIAN/postinst" "$tree/DEBIAN/prerm" "$tree/DEBIAN/postrm"
}

server() {
    begin rit-server
    program "$TARGET/release/rit-server" usr/bin/rit-server
    put 644 ports/server/rit-server.service usr/lib/systemd/system/rit-server.service
    put 640 ports/server/rit-server.default etc/default/rit-server
    put 644 README.md usr/share/doc/rit-server/README.md
    scripts rit-server yes
    finish net "$(libraries)" "broker and relay of librit" \
        " It enrols devices and users of librit, introduces one to another, and
 passes on what two of them say to each other where no direct path is
 found. It cannot read that."
}

device() {
    begin rit-device
    program "$TARGET/package/rit-device" usr/bin/rit-device
    put 644 ports/posix/rit-device.service usr/lib/systemd/system/rit-device.service
    # An enrol code may be in it.
    put 640 ports/posix/rit-device.default etc/default/rit-device
    put 755 ports/posix/cloak.sh usr/sbin/rit-cloak
    put 644 README.md usr/share/doc/rit-device/README.md
    scripts rit-device no
    finish net "$(libraries)" "offers local services through librit" \
        " It offers services of this machine to the peers that may use them,
 anywhere, without opening a port: it dials out to a broker, and peers
 reach it through a tunnel that only the two ends can read. It is to be
 enabled once /etc/default/rit-device names a broker."
}

# What stands beside the program, it writes itself. Its service is each user's to enable.
command_rit() {
    begin rit
    program "$TARGET/release/rit" usr/bin/rit
    put 644 ports/cli/rit.service usr/lib/systemd/user/rit.service
    put 644 README.md usr/share/doc/rit/README.md
    "$TARGET/release/rit" man "$tree/usr/share/man/man1"
    chmod 644 "$tree"/usr/share/man/man1/*
    gzip -9n "$tree"/usr/share/man/man1/*
    completions bash usr/share/bash-completion/completions/rit
    completions zsh usr/share/zsh/vendor-completions/_rit
    completions fish usr/share/fish/vendor_completions.d/rit.fish
    finish net "$(libraries)" "reaches services of devices through librit" \
        " It makes services of one's devices, wherever they are, appear at
 loopback addresses here, through a tunnel that only the two ends can
 read, and it lets others use them. The user service rit keeps the
 connections of a configuration."
}

# completions SHELL PATH
completions() {
    mkdir -p "$tree/$(dirname "$2")"
    "$TARGET/release/rit" completions "$1" >"$tree/$2"
}

library() {
    begin librit1
    program "$TARGET/release/librit.so" "$LIBDIR/librit.so.1"
    printf 'librit 1 librit1 (>= %s)\n' "$VERSION" >"$tree/DEBIAN/shlibs"
    printf 'activate-noawait ldconfig\n' >"$tree/DEBIAN/triggers"
    needs=$(libraries)
    chmod 644 "$tree/$LIBDIR/librit.so.1"
    finish libs "$needs" "secure tunnels between peers, as a C library" \
        " librit lets firmware and daemons offer their local services to the
 people and machines that may use them, without opening a port.
 This is the shared library."
}

development() {
    begin librit-dev
    put 644 include/rit.h usr/include/rit.h
    put 644 "$TARGET/release/librit.a" "$LIBDIR/librit.a"
    strip --strip-debug --enable-deterministic-archives "$tree/$LIBDIR/librit.a"
    ln -s librit.so.1 "$tree/$LIBDIR/librit.so"
    examples=usr/share/doc/librit-dev/examples
    for file in ports/posix/*.[ch] examples-c/device.c examples-c/reach.c examples-c/minimal.c; do
        put 644 "$file" "$examples/$file"
    done
    mkdir -p "$tree/$LIBDIR/pkgconfig"
    cat >"$tree/$LIBDIR/pkgconfig/rit.pc" <<END
prefix=/usr
libdir=/$LIBDIR
includedir=\${prefix}/include

Name: rit
Description: Secure tunnels between peers
Version: $VERSION
Libs: -L\${libdir} -lrit
Libs.private: -lpthread -ldl -lm
Cflags: -I\${includedir}
END
    finish libdevel "librit1 (= $VERSION)" "secure tunnels between peers, for building programs" \
        " librit lets firmware and daemons offer their local services to the
 people and machines that may use them, without opening a port.
 This is the header and the static library; examples are programs, and
 the port to POSIX, to be copied into a program's sources."
}

# A further program has a function like these, and its name here.
packages() {
    out=$(mkdir -p "$1" && cd "$1" && pwd)
    work=$(mktemp -d)
    for one in server device command_rit library development; do
        $one
    done
    rm -rf "$work"
}

build >&2
if [ "$is_test" = yes ]; then
    # shellcheck source=ports/package-test.sh
    . "$ROOT/ports/package-test.sh"
else
    packages "$out"
fi
