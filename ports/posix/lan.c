/* lan.c: multicast on the host's own networks, by which the node finds peers there.
 *
 * Owns the sockets that hear the groups of rit.h, one for each interface and family, all of them
 * opened anew when the interfaces are others. Each is bound to its group, so that the host's own
 * addresses have no open port more by which a scan could tell what runs here. What is sent to a
 * group leaves from the node's own socket (udp.c). What cannot be joined is done without.
 */
#define _GNU_SOURCE /* IFF_MULTICAST, struct group_req, struct ip_mreqn */

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* Only what the socket itself joined, on its own interface. */
#if defined(__linux__) && !defined(IP_MULTICAST_ALL)
#define IP_MULTICAST_ALL 49
#endif

static void group_path(int which, struct rit_path *path) {
    size_t i;

    memset(path, 0, sizeof *path);
    path->struct_size = (uint32_t)sizeof *path;
    if (which == 0) {
        path->ip[10] = path->ip[11] = 0xff;
    } else {
        path->ip[0] = 0xff;
        path->ip[1] = 0x12;
    }
    for (i = 0; i < 4; i++)
        path->ip[12 + i] = (uint8_t)(RIT_LAN_GROUP >> (24 - 8 * i));
    path->port = RIT_LAN_PORT;
}

/* The family of the group that it leads to; -1: to none. */
static int group_of(const struct rit_path *to) {
    struct rit_path group;
    int which;

    for (which = 0; which < 2; which++) {
        group_path(which, &group);
        if (memcmp(to->ip, group.ip, sizeof to->ip) == 0 && to->port == group.port)
            return which;
    }
    return -1;
}

/* ---- listening */

static int join(int fd, int which, uint32_t ifindex) {
    const int level = which == 0 ? IPPROTO_IP : IPPROTO_IPV6;
    struct rit_path path;
    struct group_req group;
    struct sockaddr_storage at;
    socklen_t len;
    int on = 1;

    group_path(which, &path);
    path.ifindex = ifindex;
    len = ritp_address_from_path(&at, &path);
    memset(&group, 0, sizeof group);
    group.gr_interface = ifindex;
    group.gr_group = at;
    if (ritp_prepare_fd(fd) != 0 ||
        (which == 1 && setsockopt(fd, level, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return -1;
#if defined(__linux__)
    if (which == 0) {
        int off = 0;
        (void)setsockopt(fd, level, IP_MULTICAST_ALL, &off, sizeof off);
    }
#elif defined(SO_REUSEPORT)
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
        return -1;
#endif
    if (bind(fd, (const struct sockaddr *)&at, len) != 0)
        return -1;
    return setsockopt(fd, level, MCAST_JOIN_GROUP, &group, sizeof group);
}

static void open_one(struct rit_posix *port, struct ritp_lan *lan) {
    lan->fd = socket(lan->which == 0 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    lan->poll = -1;
    lan->is_ready = 0;
    if (lan->fd >= 0 && join(lan->fd, lan->which, lan->ifindex) == 0)
        return;
    if (!port->lan_has_failed)
        ritp_log(port, RIT_LOG_INFO, "no multicast on interface %u: %s", (unsigned)lan->ifindex,
                 strerror(errno));
    port->lan_has_failed = 1;
    if (lan->fd >= 0)
        (void)close(lan->fd);
    lan->fd = -1;
}

/* ---- interfaces */

/* Those with an address of a family, each once: how many, -1 if that cannot be known now. Not what
 * has but one other end: a VPN or a phone network has no neighbours there. */
static int find(const struct rit_posix *port, struct ritp_lan out[RITP_LANS_MAX]) {
    const unsigned needed = (unsigned)IFF_UP | (unsigned)IFF_RUNNING | (unsigned)IFF_MULTICAST;
    const unsigned looked_at = needed | (unsigned)IFF_POINTOPOINT;
    struct ifaddrs *found = NULL, *each;
    int i, count = 0;

    if (getifaddrs(&found) != 0)
        return -1;
    for (each = found; each != NULL && count < RITP_LANS_MAX; each = each->ifa_next) {
        int family = each->ifa_addr != NULL ? each->ifa_addr->sa_family : AF_UNSPEC;
        int which = family == AF_INET ? 0 : 1;
        uint32_t ifindex = if_nametoindex(each->ifa_name);
        if ((family != AF_INET && family != AF_INET6) || port->udp[which] < 0 || ifindex == 0 ||
            (each->ifa_flags & looked_at) != needed)
            continue;
        for (i = 0; i < count && (out[i].which != which || out[i].ifindex != ifindex);)
            i++;
        out[i].which = which;
        out[i].ifindex = ifindex;
        if (i == count)
            count++;
    }
    freeifaddrs(found);
    return count;
}

void ritp_lan_look(struct rit_posix *port, int is_new) {
    struct ritp_lan lans[RITP_LANS_MAX];
    int i, count = port->has_multicast ? find(port, lans) : 0;

    is_new |= count != (int)port->lan_count;
    for (i = 0; i < count && !is_new; i++)
        is_new = lans[i].which != port->lans[i].which || lans[i].ifindex != port->lans[i].ifindex;
    if (!is_new || count < 0)
        return;
    ritp_lan_close(port);
    for (i = 0; i < count; i++) {
        port->lans[i] = lans[i];
        open_one(port, &port->lans[i]);
    }
    port->lan_count = (size_t)count;
}

void ritp_lan_close(struct rit_posix *port) {
    while (port->lan_count > 0) {
        struct ritp_lan *last = &port->lans[--port->lan_count];
        if (last->fd >= 0)
            (void)close(last->fd);
    }
}

/* ---- sending */

int ritp_lan_send_by(int fd, int which, uint32_t ifindex, const struct rit_path *to,
                     const uint8_t *pkt, size_t len) {
    struct sockaddr_storage at;
    struct rit_path path = *to;
    socklen_t at_len;
    int failed;

    /* A TTL and a hop limit of 1 and copies to this host are the defaults (RFC 1112 section 6.1,
     * RFC 3493 section 5.2). */
    if (which == 0) {
        struct ip_mreqn by;
        memset(&by, 0, sizeof by);
        by.imr_ifindex = (int)ifindex;
        failed = setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by);
    } else {
        failed = setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &ifindex, sizeof ifindex);
        path.ifindex = ifindex;
    }
    at_len = ritp_address_from_path(&at, &path);
    if (failed != 0 || sendto(fd, pkt, len, MSG_NOSIGNAL, (struct sockaddr *)&at, at_len) < 0)
        return -1;
    return 0;
}

int ritp_lan_send(struct rit_posix *port, const struct rit_path *to, const uint8_t *pkts,
                  size_t len, size_t size, int32_t *answer) {
    int which = group_of(to);
    size_t at, next, i;

    if (which < 0)
        return 0;
    *answer = -1;
    for (at = 0; at < len; at += next) {
        next = len - at < size ? len - at : size;
        for (i = 0; i < port->lan_count; i++) {
            const struct ritp_lan *lan = &port->lans[i];
            if (lan->which == which && lan->fd >= 0 &&
                ritp_lan_send_by(port->udp[which], which, lan->ifindex, to, pkts + at, next) == 0)
                *answer = 0;
        }
    }
    return 1;
}

/* ---- as sockets.c sees it */

void ritp_lan_prepare(struct rit_posix *port) {
    size_t i;

    for (i = 0; i < port->lan_count; i++) {
        struct ritp_lan *lan = &port->lans[i];
        lan->poll = lan->fd >= 0 ? ritp_poll_add(port, lan->fd, POLLIN) : -1;
        port->has_more |= lan->is_ready;
    }
}

void ritp_lan_polled(struct rit_posix *port) {
    size_t i;

    for (i = 0; i < port->lan_count; i++) {
        struct ritp_lan *lan = &port->lans[i];
        if (lan->poll >= 0 && port->polls[lan->poll].revents != 0)
            lan->is_ready = 1;
        lan->poll = -1;
    }
}

int ritp_lan_receive(struct rit_posix *port) {
    int failed = RIT_OK;
    size_t i;

    for (i = 0; i < port->lan_count && !ritp_is_fatal(failed); i++)
        failed = ritp_udp_receive(port, port->lans[i].fd, 0, &port->lans[i].is_ready);
    return failed;
}
