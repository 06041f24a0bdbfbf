#!/bin/sh
# An nftables profile for a Linux device: nothing comes in but the answers to what the device itself
# has sent, which the tunnel is, and what its network cannot do without.
#
#   rit-cloak             shows the rules and changes nothing
#   rit-cloak --apply     shows them and loads them, in place of those it loaded before
#   rit-cloak --remove    takes them away
#
# Loading needs root and the command nft (Debian: nftables). The rules are a table of their own and
# only ever drop more: other tables stay and hold. They last until the machine restarts; for good,
# run `rit-cloak --apply` at each start.
#
# Services that others on the network use without the tunnel end with --apply, SSH among them.
# Whoever is logged in by it is cut off as soon as they speak before this machine does; one to whom
# it speaks first is taken for its own connection and stays (net.netfilter.nf_conntrack_tcp_loose).
# What this machine routes for others is left alone.
#
# A gateway of the LAN is not found by multicast DNS behind these rules: its answer comes from
# elsewhere than what was asked. Name it by its address (`--gateway rit://KEY@192.168.1.2:7480`).
#
# Who is on the same link still sees that there is a machine (ARP, neighbour discovery), and may
# hear it join the group by which librit finds peers there. An IGMP query is not answered, so that
# behind a switch that asks for members (IGMP snooping) peers on the link meet in another way.
#
# While the device's owner lets it be found (`rit cloak off`), it answers at one UDP port. The rules
# let that through only while a program has it open: the kernel looks for the socket (nft's `socket`
# expression, Linux 4.18; Debian's and most other kernels have it), so nothing has to be changed when
# that time begins or ends. Any program of this machine could open that port; the device's does.
set -eu

# RIT_LAN_GROUP, in IPv4 and as an IPv6 group of the link, RIT_LAN_PORT and RIT_IDENTIFY_PORT of
# rit.h.
GROUP4=239.255.114.116
GROUP6=ff12::efff:7274
LAN_PORT=7484
IDENTIFY_PORT=7485
HANDOVER=3m

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

# The UDP ports that are open now, of those the kernel hands out: the running tunnel's among them.
# Until it has sent to each of its peers again, to a broker once in 115 s, the kernel would take
# them for strangers.
open_ports() {
    range=$(cat /proc/sys/net/ipv4/ip_local_port_range)
    first=${range%%[!0-9]*} last=${range##*[!0-9]}
    cat /proc/net/udp /proc/net/udp6 2>/dev/null | while read -r _ address _; do
        port=$(printf '%d' "0x${address##*:}" 2>/dev/null) || continue
        [ "$port" -lt "$first" ] || [ "$port" -gt "$last" ] || printf '%s\n' "$port"
    done | sort -nu
}

elements() {
    ports=$(open_ports | sed "s/\$/ timeout $HANDOVER/" | paste -sd , -)
    [ -z "$ports" ] || printf '\n        elements = { %s }' "$ports"
}

rules() {
    cat <<RULES
table inet rit_cloak
delete table inet rit_cloak
table inet rit_cloak {
    # Ports that a running tunnel may have; each is forgotten after $HANDOVER.
    set handover {
        type inet_service
        flags timeout$(elements)
    }
    chain input {
        type filter hook input priority filter; policy drop;
        iif lo accept
        # The tunnel: the device speaks first, to its broker and to each peer. Errors on the way,
        # such as "fragmentation needed" and "packet too big", belong to it.
        ct state established,related accept
        udp dport @handover accept
        # Peers on the link. What is not sealed for this device is not answered.
        ip daddr $GROUP4 udp dport $LAN_PORT accept
        ip6 daddr $GROUP6 udp dport $LAN_PORT accept
        # Who asks who is there, while there is a socket that was opened to be asked.
        udp dport $IDENTIFY_PORT socket transparent 0 accept
        # Addresses: DHCP, and IPv6's neighbours, routers and the groups that they need.
        udp sport 67 udp dport 68 accept
        ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } \\
            ip6 hoplimit 255 accept
        ip6 saddr fe80::/10 ip6 hoplimit 1 icmpv6 type mld-listener-query accept
    }
    # No word about what came and was of no use, whichever rule let it in.
    chain output {
        type filter hook output priority filter; policy accept;
        oif lo accept
        icmp type destination-unreachable icmp code { prot-unreachable, port-unreachable } drop
        icmp type time-exceeded icmp code 1 drop
        icmp type parameter-problem drop
        icmpv6 type destination-unreachable icmpv6 code port-unreachable drop
        icmpv6 type time-exceeded icmpv6 code 1 drop
        icmpv6 type parameter-problem drop
    }
}
RULES
}

need_nft() {
    PATH=$PATH:/usr/sbin:/sbin
    command -v nft >/dev/null || fail "there is no command nft: install the package nftables"
}

[ $# -le 1 ] || fail "one option at most: --apply or --remove"
case ${1-} in
'') rules ;;
--apply)
    need_nft
    text=$(rules)
    printf '%s\n' "$text"
    printf '%s\n' "$text" | nft -f - || fail "nft did not load the rules; nothing has changed"
    ;;
--remove)
    need_nft
    nft -f - <<'RULES' || fail "nft did not take the rules away"
table inet rit_cloak
delete table inet rit_cloak
RULES
    ;;
*) fail "unknown option '$1'; there are: --apply, --remove" ;;
esac
