/* neighbours.c: which neighbours may be connected to, and how often.
 *
 * Owns the rules (address prefixes and ports), what no rule can allow, and the limits of each
 * neighbour's service. Does not own the services (offers.c) nor the connections (bridge.c, flow.c).
 * Invariants: an address counts as what it leads to: an IPv4 address inside an IPv6 one (RFC 4291
 * section 2.5.5, RFC 6052, RFC 3056) is judged as IPv4, too. This host's own addresses, loopback,
 * groups, broadcasts, link-local IPv4 addresses and those at which clouds hand out credentials are
 * never a neighbour's. Judged anew for each connection: addresses change.
 */
#define _DEFAULT_SOURCE

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define SECOND_US 1000000u
#define TEXT_MAX 64 /* of an address with its prefix */

/* ---- addresses */

struct prefix {
    uint8_t ip[16];
    unsigned bits;
};

static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Those of IPv4 count from the 96 bits of ::ffff:0:0 on. */
#define V4(a, b, c, d, len) {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}, 96 + (len)}

static const struct prefix NEVER_V4[] = {
    V4(0, 0, 0, 0, 8),          /* "this network" (RFC 1122) */
    V4(127, 0, 0, 0, 8),        /* loopback */
    V4(169, 254, 0, 0, 16),     /* link-local (RFC 3927), with most clouds' metadata */
    V4(100, 100, 100, 200, 32), /* metadata of a cloud, as are the next two */
    V4(168, 63, 129, 16, 32),
    V4(192, 0, 0, 192, 32),
    V4(224, 0, 0, 0, 4),        /* multicast */
    V4(240, 0, 0, 0, 4),        /* reserved, and the limited broadcast */
};

static const struct prefix NEVER_V6[] = {
    {{0}, 96},     /* unspecified, loopback, "IPv4-compatible" */
    {{0xff}, 8},   /* multicast */
    {{0xfd, 0x00, 0x0e, 0xc2}, 32}, /* metadata and credentials of a cloud, as are the next four */
    {{0xfd, 0x20, 0x00, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128},
    {{0xfd, 0x00, 0x00, 0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0xa9, 0xfe, 0xa9, 0xfe}, 128},
    {{0xfd, 0x00, 0x00, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x42}, 128},
    {{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa9, 0xfe, 0xa9, 0xfe}, 128},
};

static int is_in(const uint8_t ip[16], const struct prefix *prefix) {
    unsigned whole = prefix->bits / 8, rest = prefix->bits % 8;

    if (memcmp(ip, prefix->ip, whole) != 0)
        return 0;
    return rest == 0 || ((ip[whole] ^ prefix->ip[whole]) >> (8 - rest)) == 0;
}

static int is_in_any(const uint8_t ip[16], const struct prefix *list, size_t count) {
    while (count-- > 0) {
        if (is_in(ip, &list[count]))
            return 1;
    }
    return 0;
}

static int is_v4(const uint8_t ip[16]) {
    return memcmp(ip, MAPPED, sizeof MAPPED) == 0;
}

/* The IPv4 address that an IPv6 one leads to through a translator or a tunnel. */
static int leads_to_v4(const uint8_t ip[16], uint8_t v4[16]) {
    static const struct prefix AT_END[] = {
        {{0x00, 0x64, 0xff, 0x9b}, 96},                        /* RFC 6052 */
        {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48},            /* RFC 8215 */
        {{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0x00, 0x00}, 96} /* RFC 7915 */
    };
    static const struct prefix TO4 = {{0x20, 0x02}, 16};
    int is_at_end = is_in_any(ip, AT_END, sizeof AT_END / sizeof *AT_END);

    if (!is_at_end && !is_in(ip, &TO4))
        return 0;
    memcpy(v4, MAPPED, sizeof MAPPED);
    memcpy(v4 + sizeof MAPPED, is_at_end ? ip + 12 : ip + 2, 4);
    return 1;
}

/* Whether no rule can allow it, wherever this host is. */
static int is_never(const uint8_t ip[16]) {
    const size_t v4_count = sizeof NEVER_V4 / sizeof *NEVER_V4;
    uint8_t inner[16];

    if (is_v4(ip))
        return is_in_any(ip, NEVER_V4, v4_count);
    if (leads_to_v4(ip, inner) && is_in_any(inner, NEVER_V4, v4_count))
        return 1;
    return is_in_any(ip, NEVER_V6, sizeof NEVER_V6 / sizeof *NEVER_V6);
}

static int is_at(const struct sockaddr *at, const uint8_t ip[16]) {
    struct sockaddr_storage storage;
    struct rit_path path;

    if (at == NULL || (at->sa_family != AF_INET && at->sa_family != AF_INET6))
        return 0;
    memset(&storage, 0, sizeof storage);
    memcpy(&storage, at,
           at->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    ritp_path_from_address(&path, &storage);
    return memcmp(path.ip, ip, sizeof path.ip) == 0;
}

/* Whether it is the broadcast of an interface's network, the one of all ones or, as it once was, of
 * all zeros (RFC 1122 section 3.2.1.3), whatever the interface was told. */
static int is_broadcast(const struct ifaddrs *at, const uint8_t ip[16]) {
    struct sockaddr_in own, mask;
    uint32_t address, hosts;

    if (!is_v4(ip) || at->ifa_addr == NULL || at->ifa_netmask == NULL ||
        at->ifa_addr->sa_family != AF_INET)
        return 0;
    memcpy(&own, at->ifa_addr, sizeof own);
    memcpy(&mask, at->ifa_netmask, sizeof mask);
    memcpy(&address, ip + sizeof MAPPED, sizeof address);
    hosts = ~ntohl(mask.sin_addr.s_addr);
    address = ntohl(address);
    if (hosts <= 1 || ((address ^ ntohl(own.sin_addr.s_addr)) & ~hosts) != 0)
        return 0;
    return (address & hosts) == hosts || (address & hosts) == 0;
}

/* An address of an interface here, or a network's broadcast. Not known counts as yes. */
static int is_of_an_interface(const uint8_t ip[16]) {
    struct ifaddrs *found = NULL, *each;
    int is_own = 0;

    if (getifaddrs(&found) != 0)
        return 1;
    for (each = found; each != NULL && !is_own; each = each->ifa_next) {
        is_own = is_at(each->ifa_addr, ip) || is_broadcast(each, ip);
        if (!is_own && (each->ifa_flags & IFF_BROADCAST) != 0)
            is_own = is_at(each->ifa_broadaddr, ip);
    }
    freeifaddrs(found);
    return is_own;
}

/* Whether the kernel would deliver it here: to an address of one's own it sends from that very one.
 * So it does to those that no interface has but a route makes local. Nothing is sent. */
static int is_delivered_here(const struct ritp_address *to, const uint8_t ip[16]) {
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    int is_own, fd = socket(to->at.ss_family, SOCK_DGRAM, 0);

    if (fd < 0)
        return 1;
    memset(&from, 0, sizeof from);
    is_own = connect(fd, (const struct sockaddr *)&to->at, to->len) == 0 &&
             getsockname(fd, (struct sockaddr *)&from, &len) == 0 &&
             is_at((struct sockaddr *)&from, ip);
    (void)close(fd);
    return is_own;
}

/* An address in text, IPv4 as a mapped one. 0 or -1. */
static int read_ip(const char *text, uint8_t ip[16]) {
    if (inet_pton(AF_INET, text, ip + sizeof MAPPED) == 1) {
        memcpy(ip, MAPPED, sizeof MAPPED);
        return 0;
    }
    return inet_pton(AF_INET6, text, ip) == 1 ? 0 : -1;
}

int rit_posix_neighbour_is_never(const char *address) {
    uint8_t ip[16];

    return address == NULL || read_ip(address, ip) != 0 || is_never(ip);
}

int ritp_is_neighbour(const struct ritp_address *to) {
    struct rit_path path;
    uint8_t inner[16];

    if (to->at.ss_family != AF_INET && to->at.ss_family != AF_INET6)
        return 0;
    ritp_path_from_address(&path, &to->at);
    if (leads_to_v4(path.ip, inner) && is_of_an_interface(inner))
        return 0;
    return path.port != 0 && !is_never(path.ip) && !is_of_an_interface(path.ip) &&
           !is_delivered_here(to, path.ip);
}

/* ---- rules */

/* "192.168.1.20", "192.168.1.0/24", "fd00:1::/64". What stands behind the prefix must be zeros: who
 * wrote 192.168.1.20/24 may have meant the one host. */
static int parse(const char *text, struct prefix *out) {
    char copy[TEXT_MAX], *slash, *end;
    unsigned long bits = 128;
    unsigned first, i;
    struct prefix whole;

    if (strlen(text) >= sizeof copy)
        return RIT_ERR_ARG;
    strcpy(copy, text);
    slash = strchr(copy, '/');
    if (slash != NULL)
        *slash++ = '\0';
    memset(&whole, 0, sizeof whole);
    if (read_ip(copy, whole.ip) != 0 || (is_v4(whole.ip) && strchr(copy, ':') != NULL))
        return RIT_ERR_ARG;
    first = is_v4(whole.ip) ? 96 : 0;
    if (slash != NULL) {
        if (*slash < '0' || *slash > '9')
            return RIT_ERR_ARG;
        bits = strtoul(slash, &end, 10);
        if (*end != '\0' || bits > 128 - first)
            return RIT_ERR_ARG;
        bits += first;
    }
    whole.bits = (unsigned)bits;
    for (i = whole.bits; i < 128; i++) {
        if ((whole.ip[i / 8] >> (7 - i % 8) & 1) != 0)
            return RIT_ERR_ARG;
    }
    *out = whole;
    return RIT_OK;
}

struct ritp_rule {
    struct ritp_rule *next;
    struct prefix prefix;
    uint16_t first, last;
};

/* Where the rule is, or would be. */
static struct ritp_rule **find(struct rit_posix *port, const struct ritp_rule *rule) {
    struct ritp_rule **at = &port->rules;

    while (*at != NULL &&
           ((*at)->prefix.bits != rule->prefix.bits || (*at)->first != rule->first ||
            (*at)->last != rule->last || memcmp((*at)->prefix.ip, rule->prefix.ip, 16) != 0))
        at = &(*at)->next;
    return at;
}

static int read_rule(const rit_posix *port, const char *addresses, uint16_t first_port,
                     uint16_t last_port, struct ritp_rule *out) {
    if (port == NULL || addresses == NULL)
        return RIT_ERR_NULL;
    if (first_port == 0 || first_port > last_port)
        return RIT_ERR_ARG;
    out->next = NULL;
    out->first = first_port;
    out->last = last_port;
    return parse(addresses, &out->prefix);
}

int rit_posix_neighbour_allow(rit_posix *port, const char *addresses, uint16_t first_port,
                              uint16_t last_port) {
    struct ritp_rule rule, **at;
    int failed = read_rule(port, addresses, first_port, last_port, &rule);

    if (failed != RIT_OK)
        return failed;
    at = find(port, &rule);
    if (*at != NULL)
        return RIT_OK;
    *at = malloc(sizeof rule);
    if (*at == NULL)
        return RIT_ERR_NOMEM;
    **at = rule;
    return RIT_OK;
}

int rit_posix_neighbour_disallow(rit_posix *port, const char *addresses, uint16_t first_port,
                                 uint16_t last_port) {
    struct ritp_rule rule, **at, *found;
    int failed = read_rule(port, addresses, first_port, last_port, &rule);

    if (failed != RIT_OK)
        return failed;
    at = find(port, &rule);
    found = *at;
    if (found == NULL)
        return RIT_ERR_UNKNOWN;
    *at = found->next;
    free(found);
    return RIT_OK;
}

int ritp_is_allowed(const struct rit_posix *port, const struct ritp_address *to) {
    const struct ritp_rule *rule = port->rules;
    struct rit_path path;

    ritp_path_from_address(&path, &to->at);
    while (rule != NULL &&
           (!is_in(path.ip, &rule->prefix) || path.port < rule->first || path.port > rule->last ||
            (rule->prefix.bits < 96 && is_v4(path.ip))))
        rule = rule->next;
    return rule != NULL && ritp_is_neighbour(to);
}

void ritp_rules_free(struct rit_posix *port) {
    while (port->rules != NULL) {
        struct ritp_rule *next = port->rules->next;
        free(port->rules);
        port->rules = next;
    }
}

/* ---- limits */

int rit_posix_neighbour_limits(rit_posix *port, uint32_t connections, uint32_t per_second) {
    if (port == NULL)
        return RIT_ERR_NULL;
    if (connections > RIT_POSIX_CONNECTIONS_MAX || per_second > RIT_POSIX_CONNECTIONS_MAX)
        return RIT_ERR_ARG;
    port->neighbour_connections = connections;
    port->neighbour_rate = per_second;
    return RIT_OK;
}

int ritp_is_full(const struct rit_posix *port, size_t open, size_t own) {
    size_t most = port->neighbour_connections;

    if (most == 0)
        most = RIT_POSIX_NEIGHBOUR_CONNECTIONS;
    /* A peer alone does not shut the others out. */
    return open >= most || own >= (most + 1) / 2;
}

int ritp_may_begin(const struct rit_posix *port, struct ritp_offer *offer, size_t open, size_t own,
                   uint64_t now_us) {
    uint32_t rate = port->neighbour_rate;
    uint64_t cost_us = SECOND_US / (rate != 0 ? rate : RIT_POSIX_NEIGHBOUR_RATE);

    if (ritp_is_full(port, open, own))
        return 0;
    /* A bucket of a second's connections, as the time at which it would be full again. */
    if (offer->full_us < now_us)
        offer->full_us = now_us;
    if (offer->full_us + cost_us > now_us + SECOND_US)
        return 0;
    offer->full_us += cost_us;
    return 1;
}
