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

# Each command that the help lists has a page, and so has what the unit names.
has_pages() {
    for command in $("$root/usr/bin/rit" --help |
        sed -n '/^Commands:/,/^$/s/^  \([a-z]\{1,\}\).*/-\1/p' | grep -v '^-help$') ""; do
        zcat "$root/usr/share/man/man1/rit$command.1.gz" | grep -q '^\.TH rit' || return 1
    done
    grep -q '^Documentation=man:rit-up(1)$' "$root/usr/lib/systemd/user/rit.service"
}

bash_completes() {
    bash -c '. "$1" && COMP_WORDS=(rit conn) COMP_CWORD=1 && _rit rit conn rit &&
        [ "${COMPREPLY[*]}" = connect ]' bash "$root/usr/share/bash-completion/completions/rit"
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
    file=$tried/units/user/rit.service
    sed -i "s|^ExecStart=rit |ExecStart=$root/usr/bin/rit |" "$file"
    check "rit.service: systemd-analyze --user verify" \
        env XDG_RUNTIME_DIR="$tried" systemd-analyze --user verify --man=no \
        --recursive-errors=no "$file"
}

# What is left as it is: rit alone has manual pages, the maintainer's address is that of who calls
# the script, a file with an enrol code is not for everyone, and there is no bug to close.
lintian_says_nothing() {
    lintian --fail-on error,warning --suppress-tags \
        no-manual-page,bogus-mail-host,non-standard-file-perm,initial-upload-closes-no-bugs \
        "$1"/*.deb
}

files() {
    check "rit-server runs" "$root/usr/bin/rit-server" --version
    check "rit-device runs" sh -c "'$root/usr/bin/rit-device' 2>&1 | grep -q usage"
    check "rit-cloak shows its rules" sh -c "'$root/usr/sbin/rit-cloak' | grep -q 'policy drop'"
    check "a program links" links_program
    check "the device's settings are not for everyone" has_mode "$root/etc/default/rit-device" 640
    check "the server starts at boot" test -L \
        "$root/etc/systemd/system/multi-user.target.wants/rit-server.service"
    check "the device waits for its settings" is_absent \
        "$root/etc/systemd/system/multi-user.target.wants/rit-device.service"
    check "rit runs" "$root/usr/bin/rit" --version
    check "rit has a page for each command" has_pages
    check "bash completes rit" bash_completes
    check "zsh has completions of rit" grep -q '^#compdef rit' \
        "$root/usr/share/zsh/vendor-completions/_rit"
    check "fish has completions of rit" grep -q 'complete -c rit' \
        "$root/usr/share/fish/vendor_completions.d/rit.fish"
    for file in usr/bin/rit usr/bin/rit-server usr/bin/rit-device "$LIBDIR/librit.so.1"; do
        check "$file names no path of this machine" names_no_path "$root/$file"
    done
}

removal() {
    names="rit rit-server rit-device librit-dev librit1"
    mkdir -p "$root/var/lib/private/rit-server" "$root/var/lib/rit-device"
    : >"$root/var/lib/private/rit-server/identity"
    # shellcheck disable=SC2086 # a list
    check "remove" in_root --remove $names
    check "settings stay" test -e "$root/etc/default/rit-server"
    check "state stays" test -e "$root/var/lib/private/rit-server/identity"
    # shellcheck disable=SC2086
    check "purge" in_root --purge $names
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
