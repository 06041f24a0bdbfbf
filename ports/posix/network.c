/* network.c: where this host is: its addresses, the router's port mapping, and when they change.
 *
 * Owns which own addresses the node is told (RFC 8445 section 5.1.1.1), what tells of a change (on
 * Linux rtnetlink, elsewhere a look every 30 s), that a suspended system is noticed, the socket to
 * the router. Does not own what the node does about it, nor the conversation with the router
 * (portmap.c). A burst of changes is one; a change that leaves addresses and the wide routes as
 * they were is none.
 */
#define _DEFAULT_SOURCE /* IFF_UP */

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#endif

#include "internal.h"

/* How often own addresses are looked at without being told to. */
#define LOOK_US 30000000u
/* A burst of changes is over when nothing came for so long, and not waited for any longer. */
#define QUIET_US 100000u
#define BURST_US 500000u
/* The clock that counts sleep went so much further than the one that does not. */
#define SLEEP_US 1000000u
/* A route for so many addresses at least is one that the way to a peer may depend on: default
 * routes, and the halves and quarters that VPNs put before them. */
#define WIDE_PREFIX_MAX 8
#define NEWS_MAX 64 /* reads of netlink in a step; then others have their turn */
#define ROUTER_PORT 5351

/* ---- own addresses */

/* Of IPv6 addresses, by /proc/net/if_inet6; the kernel's IFA_F_*. */
#define FLAG_TEMPORARY 0x01u
#define FLAG_DAD_FAILED 0x08u
#define FLAG_DEPRECATED 0x20u
#define FLAG_TENTATIVE 0x40u

struct v6_flags {
    uint8_t ip[16];
    unsigned index, flags;
};

static int read_ip(const char *hex, uint8_t ip[16]) {
    int i;

    for (i = 0; i < 16; i++) {
        unsigned octet;
        if (sscanf(hex + 2 * i, "%2x", &octet) != 1)
            return -1;
        ip[i] = (uint8_t)octet;
    }
    return 0;
}

/* What the system knows of its IPv6 addresses; none where it cannot be asked. */
static size_t read_v6_flags(struct v6_flags *out, size_t room) {
    FILE *file = fopen("/proc/net/if_inet6", "re");
    char line[128], hex[33];
    size_t count = 0;

    if (file == NULL)
        return 0;
    while (count < room && fgets(line, sizeof line, file) != NULL) {
        struct v6_flags *each = &out[count];
        if (sscanf(line, "%32s %x %*x %*x %x", hex, &each->index, &each->flags) == 3 &&
            strlen(hex) == 32 && read_ip(hex, each->ip) == 0)
            count++;
    }
    (void)fclose(file);
    return count;
}

static unsigned flags_of(const struct rit_path *path, const struct v6_flags *known, size_t count) {
    size_t i;

    for (i = 0; i < count; i++) {
        if (known[i].index == path->ifindex && memcmp(known[i].ip, path->ip, 16) == 0)
            return known[i].flags;
    }
    return 0;
}

/* Whether somebody else could send there: not link-local, which the wire form has no interface
 * for, nor site-local (RFC 3879), which nobody routes. */
static int is_reachable(const struct rit_path *path, int which) {
    if (which == 0)
        return path->ip[12] != 0 && path->ip[12] < 224 &&
               !(path->ip[12] == 169 && path->ip[13] == 254);
    return path->ip[0] != 0xff && !(path->ip[0] == 0xfe && (path->ip[1] & 0x80) != 0) &&
           (path->ip[0] != 0 || path->ip[1] != 0 || ritp_path_is_loopback(path));
}

/* An address that stays, while one on the same interface and prefix is there that is changed to
 * keep its user from being followed: the sockets send from that one (udp.c). A prefix is 64 bits
 * wherever there are temporary addresses (RFC 8981). */
static int is_shadowed(const struct rit_path *path, const struct v6_flags *known, size_t count) {
    const unsigned unusable = FLAG_DAD_FAILED | FLAG_DEPRECATED | FLAG_TENTATIVE;
    size_t i;

    for (i = 0; i < count; i++) {
        if ((known[i].flags & FLAG_TEMPORARY) && !(known[i].flags & unusable) &&
            known[i].index == path->ifindex && memcmp(known[i].ip, path->ip, 8) == 0)
            return !(flags_of(path, known, count) & FLAG_TEMPORARY);
    }
    return 0;
}

static int is_told(struct rit_posix *port, const struct rit_path *path, int which,
                   const struct v6_flags *known, size_t count) {
    if (ritp_path_is_loopback(path))
        return port->has_loopback_broker;
    if (!is_reachable(path, which))
        return 0;
    return which == 0 || (!(flags_of(path, known, count) &
                            (FLAG_DAD_FAILED | FLAG_DEPRECATED | FLAG_TENTATIVE)) &&
                          !is_shadowed(path, known, count));
}

/* Those of one family, in the system's order. */
static size_t own_paths(struct rit_posix *port, const struct ifaddrs *each, int which,
                        struct rit_path out[RITP_OWN_MAX]) {
    struct v6_flags known[4 * RITP_OWN_MAX];
    size_t count = 0, known_count = which == 1 ? read_v6_flags(known, 4 * RITP_OWN_MAX) : 0;

    for (; each != NULL && count < RITP_OWN_MAX && port->udp[which] >= 0; each = each->ifa_next) {
        const unsigned usable = (unsigned)IFF_UP | (unsigned)IFF_RUNNING;
        struct sockaddr_storage at;
        if (each->ifa_addr == NULL || (each->ifa_flags & usable) != usable ||
            each->ifa_addr->sa_family != (which == 0 ? AF_INET : AF_INET6))
            continue;
        memset(&at, 0, sizeof at);
        memcpy(&at, each->ifa_addr,
               which == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        ritp_path_from_address(&out[count], &at);
        out[count].ifindex = if_nametoindex(each->ifa_name);
        out[count].port = port->udp_port[which];
        if (is_told(port, &out[count], which, known, known_count))
            count++;
    }
    return count;
}

/* Looks what the addresses are; whether they are others than before. The families take turns, so
 * that a few of each are told of many. */
static int look(struct rit_posix *port) {
    struct rit_path own[2][RITP_OWN_MAX], paths[2 * RITP_OWN_MAX];
    struct ifaddrs *found = NULL;
    size_t i, counts[2], count = 0;

    if (getifaddrs(&found) != 0)
        return 0;
    counts[0] = own_paths(port, found, 0, own[0]);
    counts[1] = own_paths(port, found, 1, own[1]);
    freeifaddrs(found);
    for (i = 0; i < RITP_OWN_MAX; i++) {
        if (i < counts[0])
            paths[count++] = own[0][i];
        if (i < counts[1])
            paths[count++] = own[1][i];
    }
    if (count == port->own_count && memcmp(paths, port->own, count * sizeof *paths) == 0)
        return 0;
    memcpy(port->own, paths, count * sizeof *paths);
    port->own_count = count;
    return 1;
}

/* Tells what the node was not told yet. The router's address comes first: it is the one that the
 * whole world can send to. */
static void tell_node(struct rit_posix *port) {
    struct rit_path paths[RITP_PATHS_MAX];
    size_t i, count = 0;

    if (port->map.is_mapped) {
        struct sockaddr_in at;
        struct sockaddr_storage storage;
        memset(&at, 0, sizeof at);
        at.sin_family = AF_INET;
        at.sin_port = htons(port->map.outer_port);
        memcpy(&at.sin_addr, port->map.outer_ip, 4);
        memset(&storage, 0, sizeof storage);
        memcpy(&storage, &at, sizeof at);
        ritp_path_from_address(&paths[count++], &storage);
    }
    for (i = 0; i < port->own_count && count < RITP_PATHS_MAX; i++)
        paths[count++] = port->own[i];
    if (count == port->told_count && memcmp(paths, port->told, count * sizeof *paths) == 0)
        return;
    memcpy(port->told, paths, count * sizeof *paths);
    port->told_count = count;
    (void)rit_node_set_local_paths(port->node, paths, count);
}

void ritp_network_look(struct rit_posix *port, uint64_t now_us) {
    port->looked_us = now_us;
    if (look(port))
        tell_node(port);
}

/* ---- the router */

#if defined(__linux__)
/* The IPv4 default route with the least metric, by /proc/net/route, which has addresses as they lie
 * in memory. */
static int find_router(struct in_addr *out) {
    FILE *file = fopen("/proc/net/route", "re");
    unsigned best = UINT_MAX, flags, metric, destination, mask, router;
    char line[256];
    int is_found = 0;

    if (file == NULL)
        return -1;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%*s %x %x %x %*d %*d %u %x", &destination, &router, &flags, &metric,
                   &mask) == 5 &&
            destination == 0 && mask == 0 && router != 0 && (flags & 3u) == 3u &&
            (!is_found || metric < best)) {
            is_found = 1;
            best = metric;
            out->s_addr = router;
        }
    }
    (void)fclose(file);
    return is_found ? 0 : -1;
}
#else
static int find_router(struct in_addr *out) {
    (void)out;
    return -1;
}
#endif

static void close_router(struct rit_posix *port) {
    uint8_t out[RITP_PORTMAP_LEN];
    size_t len = ritp_portmap_release(&port->map, out);

    if (port->router_fd < 0)
        return;
    if (len > 0) /* once: what is lost ends with the mapping's lifetime */
        (void)send(port->router_fd, out, len, MSG_NOSIGNAL);
    (void)close(port->router_fd);
    port->router_fd = -1;
}

/* A socket that takes nothing but what the router sends from where it was asked. */
void ritp_router_open(struct rit_posix *port, const struct sockaddr_in *router, uint64_t now_us) {
    struct sockaddr_in own;
    socklen_t len = sizeof own;
    uint8_t nonce[12];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd >= 0 && ritp_prepare_fd(fd) == 0 && ritp_random(nonce, sizeof nonce) == 0 &&
        connect(fd, (const struct sockaddr *)router, sizeof *router) == 0 &&
        getsockname(fd, (struct sockaddr *)&own, &len) == 0) {
        uint8_t client[4];
        memcpy(client, &own.sin_addr, sizeof client);
        if (port->router_fd >= 0 && memcmp(&port->router, router, sizeof *router) == 0 &&
            memcmp(port->map.client, client, sizeof client) == 0 &&
            port->map.inner_port == port->udp_port[0]) {
            ritp_portmap_again(&port->map, now_us); /* it may have been restarted */
            (void)close(fd);
            return;
        }
        close_router(port);
        port->router_fd = fd;
        port->router = *router;
        ritp_portmap_start(&port->map, client, port->udp_port[0], nonce, now_us);
        return;
    }
    if (fd >= 0)
        (void)close(fd);
    close_router(port);
}

static void ask_router(struct rit_posix *port, uint64_t now_us) {
    struct sockaddr_in router;

    if (!port->maps)
        return;
    memset(&router, 0, sizeof router);
    router.sin_family = AF_INET;
    router.sin_port = htons(ROUTER_PORT);
    if (port->udp[0] < 0 || find_router(&router.sin_addr) != 0)
        close_router(port);
    else
        ritp_router_open(port, &router, now_us);
}

static void run_router(struct rit_posix *port, uint64_t now_us) {
    struct ritp_portmap before = port->map;
    uint8_t bytes[1104];
    ssize_t len = 0;
    int i;

    for (i = 0; i < NEWS_MAX && port->router_fd >= 0 && len >= 0; i++) {
        len = recv(port->router_fd, bytes, sizeof bytes, 0);
        if (len >= 0)
            (void)ritp_portmap_take(&port->map, bytes, (size_t)len, now_us);
        else if (errno == ECONNREFUSED)
            ritp_portmap_unreachable(&port->map, now_us);
    }
    len = (ssize_t)ritp_portmap_poll(&port->map, bytes, now_us);
    if (len > 0 && port->router_fd >= 0)
        (void)send(port->router_fd, bytes, (size_t)len, MSG_NOSIGNAL);
    if (port->map.is_mapped != before.is_mapped ||
        (before.is_mapped && (port->map.outer_port != before.outer_port ||
                              memcmp(port->map.outer_ip, before.outer_ip, 4) != 0))) {
        tell_node(port);
        ritp_tell_mapped(port);
    }
}

/* ---- what tells of a change */

static void note(struct rit_posix *port, uint64_t now_us) {
    if (port->news_first_us == 0)
        port->news_first_us = now_us;
    port->news_last_us = now_us;
}

#if defined(__linux__)
static void open_news(struct rit_posix *port) {
    struct sockaddr_nl at;
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

    memset(&at, 0, sizeof at);
    at.nl_family = AF_NETLINK;
    at.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                   RTMGRP_IPV6_ROUTE;
    if (fd >= 0 && ritp_prepare_fd(fd) == 0 &&
        bind(fd, (struct sockaddr *)&at, sizeof at) == 0) {
        port->news_fd = fd;
        return;
    }
    ritp_log(port, RIT_LOG_INFO, "no rtnetlink, changes are noticed late: %s", strerror(errno));
    if (fd >= 0)
        (void)close(fd);
}

void ritp_network_news(struct rit_posix *port, const uint8_t *bytes, size_t len,
                       uint64_t now_us) {
    struct nlmsghdr head;
    struct rtmsg route;

    while (len >= sizeof head) {
        size_t step;
        memcpy(&head, bytes, sizeof head);
        if (head.nlmsg_len < sizeof head || head.nlmsg_len > len)
            return;
        if (head.nlmsg_type == RTM_NEWADDR || head.nlmsg_type == RTM_DELADDR ||
            head.nlmsg_type == RTM_NEWLINK || head.nlmsg_type == RTM_DELLINK)
            note(port, now_us);
        if ((head.nlmsg_type == RTM_NEWROUTE || head.nlmsg_type == RTM_DELROUTE) &&
            head.nlmsg_len >= sizeof head + sizeof route) {
            memcpy(&route, bytes + sizeof head, sizeof route);
            if (route.rtm_dst_len <= WIDE_PREFIX_MAX && route.rtm_type == RTN_UNICAST &&
                !(route.rtm_flags & RTM_F_CLONED)) {
                port->has_new_route = 1;
                note(port, now_us);
            }
        }
        step = NLMSG_ALIGN((size_t)head.nlmsg_len);
        if (step > len)
            return;
        bytes += step;
        len -= step;
    }
}

static void read_news(struct rit_posix *port, uint64_t now_us) {
    uint8_t bytes[16384];
    int i;

    for (i = 0; i < NEWS_MAX && port->news_fd >= 0; i++) {
        ssize_t len = recv(port->news_fd, bytes, sizeof bytes, 0);
        if (len > 0) {
            ritp_network_news(port, bytes, (size_t)len, now_us);
        } else if (len < 0 && errno == ENOBUFS) { /* some were lost: whatever they were */
            port->has_new_route = 1;
            note(port, now_us);
        } else if (len == 0 || errno != EINTR) {
            return;
        }
    }
}
#else
static void open_news(struct rit_posix *port) {
    (void)port;
}

static void read_news(struct rit_posix *port, uint64_t now_us) {
    (void)port;
    (void)now_us;
}
#endif

/* Whether the system slept since this was last asked. */
static int has_slept(struct rit_posix *port, uint64_t now_us) {
#if defined(CLOCK_BOOTTIME)
    struct timespec now;
    uint64_t slept_us, before = port->slept_us;

    if (clock_gettime(CLOCK_BOOTTIME, &now) != 0)
        return 0;
    slept_us = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u - now_us;
    if (slept_us > UINT64_MAX / 2) /* read at another moment: not less than none */
        slept_us = 0;
    port->slept_us = slept_us;
    return slept_us > before + SLEEP_US;
#else
    (void)port;
    (void)now_us;
    return 0;
#endif
}

static void on_change(struct rit_posix *port, uint64_t now_us) {
    ritp_log(port, RIT_LOG_INFO, "the network changed: %zu own addresses", port->own_count);
    (void)ritp_udp_reopen(port);
    (void)look(port); /* with the ports of the sockets as they are now */
    ritp_lan_look(port, 1);
    ask_router(port, now_us);
    tell_node(port);
    (void)rit_node_network_changed(port->node);
    ritp_gateway_ask_now(port, now_us);
    ritp_tell(port, RIT_POSIX_NETWORK_CHANGED, 0, NULL, NULL);
}

/* ---- as loop.c sees it */

void ritp_network_open(struct rit_posix *port, int maps) {
    uint64_t now_us = ritp_now_us();

    port->maps = maps;
    open_news(port);
    (void)has_slept(port, now_us);
    ritp_network_look(port, now_us);
    ritp_lan_look(port, 1);
    ask_router(port, now_us);
}

void ritp_network_close(struct rit_posix *port) {
    ritp_lan_close(port);
    close_router(port);
    if (port->news_fd >= 0)
        (void)close(port->news_fd);
    port->news_fd = -1;
}

uint64_t ritp_network_prepare(struct rit_posix *port) {
    uint64_t wake_us = ritp_portmap_deadline(&port->map), over_us;

    if (port->has_dead_socket)
        return 0;
    if (port->news_fd >= 0)
        (void)ritp_poll_add(port, port->news_fd, POLLIN);
    if (port->router_fd >= 0)
        (void)ritp_poll_add(port, port->router_fd, POLLIN);
    if (port->news_first_us != 0) {
        over_us = port->news_last_us + QUIET_US;
        if (port->news_first_us + BURST_US < over_us)
            over_us = port->news_first_us + BURST_US;
        wake_us = over_us < wake_us ? over_us : wake_us;
    }
    return wake_us;
}

void ritp_network_run(struct rit_posix *port, uint64_t now_us) {
    int is_changed = has_slept(port, now_us), is_over;

    read_news(port, now_us);
    is_over = port->news_first_us != 0 && (now_us - port->news_last_us >= QUIET_US ||
                                           now_us - port->news_first_us >= BURST_US);
    if (is_over || now_us - port->looked_us >= LOOK_US) {
        port->looked_us = now_us;
        is_changed |= ritp_udp_reopen(port) | look(port) | (is_over && port->has_new_route);
        ritp_lan_look(port, 0); /* one without an address that is told is one too */
    }
    if (is_over) {
        port->news_first_us = 0;
        port->has_new_route = 0;
    }
    if (is_changed || port->has_dead_socket)
        on_change(port, now_us);
    run_router(port, now_us);
}
