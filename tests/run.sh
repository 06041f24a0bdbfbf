#!/bin/sh
# Every test, or those of some areas, from nothing but a shell and root or sudo. What an area needs
# and the machine lacks is installed by Debian package name; see tests/setup.sh.
#
#   sh tests/run.sh                  all areas
#   sh tests/run.sh AREA...          some of: unit sim trust abi e2e programs server nat
#                                    cloak gateway firmware fuzz-seeds
#
# The summary at the end counts passed, failed and skipped, and gives each skip's reason. The exit
# status is 0 only if nothing failed, and 2 for a wrong call.
set -u

AREAS="unit sim trust abi e2e programs server nat cloak gateway firmware fuzz-seeds"

ROOT=$(cd "$(dirname "$0")/.." && pwd) || exit 1
# shellcheck source=tests/setup.sh
. "$ROOT/tests/setup.sh"
cd "$ROOT" || exit 1

wanted=
for argument in "$@"; do
    case " $AREAS " in
    *" $argument "*) wanted="$wanted $argument" ;;
    *)
        printf '%s\n' "error: unknown area '$argument'; there are: $AREAS" >&2
        exit 2
        ;;
    esac
done
[ -n "$wanted" ] || wanted=$AREAS

# What is built here is built once; keeping how it was built would double its size.
export CARGO_INCREMENTAL=0
# What is shipped is built as one unit, which takes longer than to test it.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

logs=$TARGET/test-logs
rm -rf "$logs"
mkdir -p "$logs" || exit 1
: >"$logs/results"
: >"$logs/skips"
area=

# record STEP PASSED FAILED SKIPPED SECONDS
record() {
    printf '%s|%s|%s|%s|%s|%s\n' "$area" "$1" "$2" "$3" "$4" "$5" >>"$logs/results"
}

skip() {
    note "skipped: $1: $2"
    printf '%s: %s: %s\n' "$area" "$1" "$2" >>"$logs/skips"
    record "$1" 0 0 1 0
}

# step NAME COMMAND...: shows and keeps the output, and counts. A command that reports tests, as
# cargo or tests/e2e/run.py do, counts as so many; any other as one.
step() {
    name=$1
    shift
    say "$area: $name"
    log=$logs/$area-$(printf '%s' "$name" | tr -c 'A-Za-z0-9\n' '-').log
    began=$(date +%s)
    {
        "$@" 2>&1
        printf '%s\n' "$?" >"$log.status"
    } | tee "$log"
    status=$(cat "$log.status")
    seconds=$(($(date +%s) - began))
    counts=$(awk -v status="$status" '
        /^test result: /     { p += $4; f += $6; s += $8; seen = 1 }
        /^result: [0-9]/     { p += $2; f += $4; s += $6; seen = 1 }
        END {
            if (!seen) { p = status == 0; f = status != 0 }
            if (status != 0 && f == 0) f = 1
            print p + 0, f + 0, s + 0
        }' "$log")
    sed -n -e "s/^test \(.*\) \.\.\. ignored,* */\1: ignored: /p" \
        -e 's/^skipped \([^ ]*\) ([^)]*): /\1: /p' "$log" | sed "s/^/$area: /" >>"$logs/skips"
    # shellcheck disable=SC2086 # three numbers
    record "$name" $counts "$seconds"
    [ "$status" -eq 0 ] || note "FAILED: $name (its output: $log)"
    return "$status"
}

# set_up COMMAND...: what an area cannot do without.
set_up() {
    "$@" && return 0
    record "set-up: $*" 0 1 0 0
    note "FAILED: set-up: $*"
    return 1
}

# The integration tests of every crate by area: sim_*, trust_*, nat_* and abi_* by their name,
# fuzz_seeds, and all others belong to unit. Prints cargo's --test options.
tests_of() {
    for file in tests/tests/*.rs core/tests/*.rs ffi/tests/*.rs ports/server/tests/*.rs; do
        [ -e "$file" ] || continue
        test_name=$(basename "$file" .rs)
        case $test_name in
        sim_* | sim) owner=sim ;;
        trust_*) owner=trust ;;
        nat_*) owner=nat ;;
        abi_* | abi | bindings) owner=abi ;;
        fuzz_seeds) owner=fuzz-seeds ;;
        *) owner=unit ;;
        esac
        [ "$owner" != "$1" ] || printf -- '--test %s ' "$test_name"
    done
}

# cargo_tests AREA [OPTION...]: always of the whole workspace, because cargo builds a dependency
# again for each other set of features that a smaller selection of crates gives it.
cargo_tests() {
    selected=$(tests_of "$1")
    shift
    [ -n "$selected" ] || {
        printf '%s\n' "error: there is no such test"
        return 1
    }
    # shellcheck disable=SC2086 # a list of options
    cargo test --locked --workspace --no-fail-fast "$@" $selected
    ended=$?
    # Each is some 25 MB, and nothing runs it again.
    for word in $selected; do
        [ "$word" = --test ] || rm -f "$TARGET/debug/deps/$word"-*
    done
    return "$ended"
}

# rustfmt and clippy are tools beside the compiler; Debian has a package of each for each of its
# two Rusts. A Rust from elsewhere without them is left as it is.
need_cargo_tool() {
    cargo "$1" --version >/dev/null 2>&1 && return 0
    [ "$(command -v cargo)" = /usr/bin/cargo ] || return 1
    if package_installed cargo-web; then
        need_packages "$3"
    else
        need_packages "$2"
    fi && cargo "$1" --version >/dev/null 2>&1
}

documentation() {
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
}

need_libclang() {
    ls /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-[0-9]*.so* 2>/dev/null |
        grep -q . || need_packages libclang-dev
}

unit() {
    set_up need_c_compiler || return
    set_up need_cxx_compiler || return
    set_up need_libclang || return
    # Tests of the server start one of their own.
    set_up need_postgres || return
    export RIT_TEST_POSTGRES=required
    if need_cargo_tool fmt rustfmt rustfmt-web; then
        step "formatting" cargo fmt --all --check
    else
        skip "formatting" "this Rust comes without rustfmt"
    fi
    if need_cargo_tool clippy rust-clippy rust-web-clippy; then
        step "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
    else
        skip "clippy" "this Rust comes without clippy"
    fi
    step "documentation" documentation
    step "unit tests" cargo_tests unit --lib --bins
    if cargo deny --version >/dev/null 2>&1; then
        step "licences and sources" cargo deny --locked check licenses bans sources
    fi
}

sim() {
    set_up need_c_compiler || return
    set_up need_libclang || return
    step "simulated networks" cargo_tests sim
}

trust() {
    set_up need_c_compiler || return
    set_up need_libclang || return
    step "owners, grants and a hostile broker" cargo_tests trust
    PATH=$PATH:/usr/sbin:/sbin
    set_up need_command curl curl || return
    set_up need_command python3 python3 || return
    set_up need_command groff groff-base || return
    set_up need_web_server || return
    build_programs || return
    build_rit || return
    step "people with rit" alone python3 -B tests/cli/run.py --bin "$TARGET/e2e" \
        --server "$TARGET/release/rit-server" --rit "$TARGET/debug/rit" --nginx "$NGINX"
}

abi() {
    set_up need_c_compiler || return
    set_up need_cxx_compiler || return
    set_up need_libclang || return
    set_up need_packages libmbedtls-dev || return
    step "C interface" cargo_tests abi
    step "C interface with parts left out" cargo test --locked -p rit-ffi --lib \
        --no-default-features --features std
    step "running out of memory" env CARGO_TARGET_DIR="$TARGET/memory" cargo test --locked \
        --manifest-path tests/memory/Cargo.toml --no-fail-fast
    rm -rf "$TARGET/memory"
}

fuzz_seeds() {
    set_up need_c_compiler || return
    set_up need_libclang || return
    step "kept fuzz inputs" cargo_tests fuzz-seeds
}

build_programs() {
    step "build the broker" cargo build --release --locked -p rit-server &&
        step "build the C examples" sh examples-c/build.sh "$TARGET/e2e"
}

# Of the workspace as its tests are: all but itself is built then.
build_rit() {
    step "build rit" cargo build --locked --workspace --bin rit
}

e2e() {
    PATH=$PATH:/usr/sbin:/sbin
    set_up need_c_compiler || return
    set_up need_command curl curl || return
    set_up need_command python3 python3 || return
    set_up need_command tcpdump tcpdump || return
    set_up need_web_server || return
    build_programs || return
    step "scenarios" scenarios
    step "quickstart" sh examples-c/quickstart.sh --once
}

# In network and mount namespaces of their own where the machine allows it: no port is taken, no
# packet of others is seen, and the small disks vanish with them.
scenarios() {
    alone python3 -B tests/e2e/run.py --bin "$TARGET/e2e" \
        --server "$TARGET/release/rit-server" --nginx "$NGINX" --tcpdump "$(command -v tcpdump)"
}

alone() {
    if [ "$(id -u)" -eq 0 ] && unshare --net --mount true 2>/dev/null; then
        unshare --net --mount --propagation private "$@" --own-network
    elif [ "$(id -u)" -ne 0 ] && sudo -n unshare --net --mount true 2>/dev/null; then
        sudo -n unshare --net --mount --propagation private "$@" --own-network
    elif unshare --user --map-root-user --net --mount true 2>/dev/null; then
        unshare --user --map-root-user --net --mount --propagation private "$@" --own-network
    else
        "$@"
    fi
}

# Programs of others at both ends. What is not to be had here is a scenario skipped.
programs() {
    PATH=$PATH:/usr/sbin:/sbin
    set_up need_c_compiler || return
    set_up need_libclang || return
    set_up need_command curl curl || return
    set_up need_command python3 python3 || return
    set_up need_command openssl openssl || return
    set_up need_web_server || return
    step "install them" need_others
    build_programs || return
    build_rit || return
    step "programs of others" alone python3 -B tests/programs/run.py --bin "$TARGET/e2e" \
        --server "$TARGET/release/rit-server" --rit "$TARGET/debug/rit" --nginx "$NGINX" \
        --unpacked "$TARGET/setup"
}

# Each for itself: without one of them the scenarios of the others run.
need_others() {
    need_postgres || note "no PostgreSQL"
    need_browser || note "no Chromium"
    need_unpacked openssh-server usr/sbin/sshd || note "no sshd"
    need_unpacked mosquitto usr/sbin/mosquitto || note "no mosquitto"
    others="openssh-client mosquitto-clients iperf3 dnsmasq-base bind9-dnsutils vncsnapshot
        tigervnc-standalone-server python3-websockets gstreamer1.0-tools gstreamer1.0-x
        gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
    # shellcheck disable=SC2086 # a list of package names
    need_packages $others && return
    for other in $others; do
        need_packages "$other" || note "no $other"
    done
}

# The HTTP face of the real server: with devices, a browser, a login provider, a generated client.
server() {
    PATH=$PATH:/usr/sbin:/sbin
    set_up need_c_compiler || return
    set_up need_command python3 python3 || return
    set_up need_python_venv || return
    set_up need_command openssl openssl || return
    need_browser || note "no Chromium: the page is not tested"
    need_node || note "no npm: login by a provider is not tested"
    build_programs || return
    # They are the same each time; the scenarios would fetch them each time.
    step "HTTP scenarios" env RIT_TEST_VENV="$TARGET/setup/venv" \
        RIT_TEST_NODE="$TARGET/setup/node" \
        python3 -B tests/server/run.py --bin "$TARGET/e2e" --server "$TARGET/release/rit-server"
    step "packages" sh ports/package.sh --test
}

# What is needed of every machine in which namespaces have the real programs.
need_lab() {
    need_command curl curl && need_command ip iproute2 && need_command nft nftables &&
        need_command python3 python3 && need_web_server
}

# NATs in the simulator, then the kernel's own with the real programs.
nat() {
    PATH=$PATH:/usr/sbin:/sbin
    set_up need_c_compiler || return
    set_up need_libclang || return
    step "simulated NATs" cargo_tests nat
    set_up need_lab || return
    set_up need_port_mapper || return
    build_programs || return
    lab_runner || {
        skip "kernel lab" "no network namespace with nftables can be made here"
        return
    }
    step "kernel lab" kernel_lab
}

# Sets lab_as to what makes a command root over network namespaces of its own.
lab_runner() {
    for lab_as in "" "sudo -n" "unshare --user --map-root-user"; do
        $lab_as unshare --net nft list ruleset >/dev/null 2>&1 && return 0
    done
    return 1
}

kernel_lab() {
    $lab_as unshare --net python3 -B tests/nat/run.py --bin "$TARGET/e2e" \
        --server "$TARGET/release/rit-server" --nginx "$NGINX"
}

# What scanners learn of a device, and the nftables profile.
cloak() {
    PATH=$PATH:/usr/sbin:/sbin
    set_up need_c_compiler || return
    set_up need_lab || return
    set_up need_command tcpdump tcpdump || return
    set_up need_packages nmap hping3 python3-scapy || return
    build_programs || return
    lab_runner || {
        skip "scanners" "no network namespace with nftables can be made here"
        return
    }
    step "scanners" scanners
}

scanners() {
    $lab_as unshare --net python3 -B tests/cloak/run.py --bin "$TARGET/e2e" \
        --server "$TARGET/release/rit-server" --nginx "$NGINX"
}

# Hosts without the library that are reached through one that has it, and a LAN whose line is cut.
gateway() {
    PATH=$PATH:/usr/sbin:/sbin
    set_up need_c_compiler || return
    set_up need_libclang || return
    set_up need_lab || return
    set_up need_command avahi-browse avahi-daemon avahi-utils dbus || return
    build_programs || return
    build_rit || return
    lab_runner || {
        skip "gateways" "no network namespace with nftables can be made here"
        return
    }
    step "gateways" gateways
}

gateways() {
    $lab_as unshare --net python3 -B tests/gateway/run.py --bin "$TARGET/e2e" \
        --server "$TARGET/release/rit-server" --rit "$TARGET/debug/rit" --nginx "$NGINX"
}

# The ports to devices' TCP/IP stacks as programs of this machine, where they have tests; then images
# for Cortex-M boards, run by QEMU on a cable to the real programs.
firmware() {
    PATH=$PATH:/usr/sbin:/sbin
    set_up need_c_compiler || return
    set_up need_command curl curl || return
    set_up need_command ip iproute2 || return
    set_up need_command python3 python3 || return
    set_up need_qemu_arm || return
    # What differs there is the order of bytes; 32 bits have the boards below. All of it, on both
    # machines, is tests/foreign.sh without a word behind it, and takes half an hour.
    step "vectors, fuzz inputs and the C interface on s390x" sh tests/foreign.sh --quick s390x
    rm -rf "$TARGET/foreign/s390x"* # some GB, that nothing after this uses
    build_programs || return
    for stack in lwip uip; do
        [ ! -e "tests/$stack/run.sh" ] || step "the port to $stack" sh "tests/$stack/run.sh"
    done
    step "librit.a for all targets" sh tests/firmware-build.sh
    step "build the images" sh examples-c/cortex-m/build.sh "$TARGET/images" \
        board-an385 board-an386 lwip-an386 freertos-an386 uip-an385 uip-an386 || return
    cable_runner || {
        skip "emulated boards" "no network namespace with a TAP device can be made here"
        return
    }
    step "emulated boards" emulated_boards
}

# Sets lab_as to what makes a command root over a network namespace of its own with a TAP device.
cable_runner() {
    for lab_as in "" "sudo -n" "unshare --user --map-root-user"; do
        $lab_as unshare --net ip tuntap add name probe mode tap >/dev/null 2>&1 && return 0
    done
    return 1
}

emulated_boards() {
    $lab_as unshare --net python3 -B tests/firmware/run.py --images "$TARGET/images" \
        --bin "$TARGET/e2e" --server "$TARGET/release/rit-server"
}

disk() {
    note "the build folder has $(du -sh "$TARGET" | cut -f 1); free beside it: $(df -h "$TARGET" |
        awk 'NR == 2 { print $4 }')"
}

summary() {
    printf '\n'
    say "Summary"
    disk
    awk -F '|' '
        !($1 in seen) { seen[$1] = 1; order[++n] = $1 }
        { p[$1] += $3; f[$1] += $4; s[$1] += $5; t[$1] += $6 }
        END {
            printf "   %-12s %7s %7s %8s %8s\n", "area", "passed", "failed", "skipped", "seconds"
            for (i = 1; i <= n; i++) {
                a = order[i]
                printf "   %-12s %7d %7d %8d %8d\n", a, p[a], f[a], s[a], t[a]
                P += p[a]; F += f[a]; S += s[a]; T += t[a]
            }
            printf "   %-12s %7d %7d %8d %8d\n", "all", P, F, S, T
        }' "$logs/results"
    if [ -s "$logs/skips" ]; then
        note "skipped:"
        sed 's/^/     /' "$logs/skips"
    else
        note "nothing was skipped"
    fi
    if awk -F '|' '$4 > 0 { exit 1 }' "$logs/results"; then
        note "nothing failed"
    else
        note "failed:"
        awk -F '|' '$4 > 0 { printf "     %s: %s (%d)\n", $1, $2, $4 }' "$logs/results"
        grep -h -E '^test .* \.\.\. FAILED$|^failed ' "$logs"/*.log | sed 's/^/       /'
        return 1
    fi
}

say "Setting up: what is missing is installed by package name"
need_rust || exit 1
disk
for area in $wanted; do
    case $area in
    fuzz-seeds) fuzz_seeds ;;
    *) "$area" ;;
    esac
    disk
done
summary
