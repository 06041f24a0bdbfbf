# shellcheck shell=sh
# Tries the packages of ports/package.sh, which sources this: made twice they are the same; lintian
# has nothing to say that is not listed here; in an empty root they install, have what they should,
# start, and go without a trace; and the units say and keep what they are sandboxed by.

# The most that `systemd-analyze security` may say, in tenths; 0 is none, 100 all.
EXPOSURE_MAX=20

failures=0
passed=0
check() { # WHAT COMMAND...
    what=$1
    shift
    if "$@" >"$tried/log" 2>&1; then
        printf '%s\n' "passed $what"
        passed=$((passed + 1))
    else
        cat "$tried/log"
        printf '%s\n' "failed $what"
        failures=$((failures + 1))
    fi
}

# In an empty root, dpkg runs the packages' scripts here, and tells them where their files are.
in_root() {
    dpkg --root="$root" --force-not-root --force-script-chrootless --force-depends --log=/dev/null \
        "$@"
}

is_absent() { [ ! -e "$1" ] && [ ! -L "$1" ]; }

has_mode() { [ "$(stat -c %a "$1")" = "$2" ]; }

is_clean() {
    left=$(find "$root" -path "$root/var/lib/dpkg" -prune -o \( -type f -o -type l \) -print)
    [ -z "$left" ] || { printf '%s\n' "$left" && return 1; }
}

# The path of the machine that built it is in no program.
names_no_path() { ! grep -q -F "$ROOT" "$1"; }

links_program() { # with the header and the library of the root alone
    printf '#include <rit.h>\nint main(void) { return rit_abi_version() == 0; }\n' |
        cc -x c - -I"$root/usr/include" -L"$root/$LIBDIR" -lrit -o "$tried/linked" &&
        LD_LIBRARY_PATH=$root/$LIBDIR "$tried/linked"
}

units() {
    cp -r "$root/usr/lib/systemd" "$tried/units"
    for unit in rit-server rit-device; do
        file=$tried/units/system/$unit.service
        # It looks for the programs on this machine; those of the root are told.
        sed -i "s|/usr/bin/rit-|$root/usr/bin/rit-|" "$file"
        check "$unit.service: systemd-analyze verify" \
            systemd-analyze verify --man=no --recursive-errors=no "$file"
        score=$(systemd-analyze security --offline=true --no-pager "$file" |
            sed -n 's/.*Overall exposure level.*: \([0-9]*\)\.\([0-9]\) .*/\1\2/p')
        note "$unit.service: exposure $((score / 10)).$((score % 10)) of 10"
        check "$unit.service: exposed by less than $((EXPOSURE_MAX / 10)).$((EXPOSURE_MAX % 10))" \
            test "${score:-100}" -lt "$EXPOSURE_MAX"
    done
}

# What is left as it is: there are no manual pages, the maintainer's address is that of who calls
# the script, a file with an enrol code is not for everyone, and there is no bug to close.
lintian_says_nothing() {
    lintian --fail-on error,warning --suppress-tags \
        no-manual-page,bogus-mail-host,non-standard-file-perm,initial-upload-closes-no-bugs \
        "$1"/*.deb
}

files() {
    check "rit-server runs" "$root/usr/bin/rit-server" --version
    check "rit-device runs" sh -c "'$root/usr/bin/rit-device' 2>&1 | grep -q usage"
    check "a program links" links_program
    check "the device's settings are not for everyone" has_mode "$root/etc/default/rit-device" 640
    check "the server starts at boot" test -L \
        "$root/etc/systemd/system/multi-user.target.wants/rit-server.service"
    check "the device waits for its settings" is_absent \
        "$root/etc/systemd/system/multi-user.target.wants/rit-device.service"
    for file in usr/bin/rit-server usr/bin/rit-device "$LIBDIR/librit.so.1"; do
        check "$file names no path of this machine" names_no_path "$root/$file"
    done
}

removal() {
    mkdir -p "$root/var/lib/private/rit-server" "$root/var/lib/rit-device"
    : >"$root/var/lib/private/rit-server/identity"
    check "remove" in_root --remove rit-server rit-device librit-dev librit1
    check "settings stay" test -e "$root/etc/default/rit-server"
    check "state stays" test -e "$root/var/lib/private/rit-server/identity"
    check "purge" in_root --purge rit-server rit-device librit-dev librit1
    check "nothing is left" is_clean
}

tried=$(mktemp -d)
trap 'rm -rf "$tried"' EXIT
LEVEL=0
packages "$tried/once" >/dev/null
packages "$tried/again" >/dev/null
check "the same bytes twice" diff -r "$tried/once" "$tried/again"
if need_command lintian lintian; then
    check "lintian" lintian_says_nothing "$tried/once"
else
    note "skipped lintian: it is not here"
fi
root=$tried/root
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates"
: >"$root/var/lib/dpkg/status"
check "install" in_root --install "$tried/once"/*.deb
files
if need_command systemd-analyze systemd; then
    units
else
    note "skipped the units: systemd is not here"
fi
check "install again" in_root --install "$tried/again"/*.deb
removal
printf '%s\n' "result: $passed passed, $failures failed, 0 skipped"
[ "$failures" -eq 0 ]
