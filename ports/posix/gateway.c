/* gateway.c: the gateway of the LAN: where it is, found by asking the LAN if need be.
 *
 * Owns when the LAN is asked (RFC 6762 section 5.1: from a port of its own, on each interface):
 * while neither broker nor gateway is online; and a few times before, because a node that knows of
 * a gateway watches its broker more closely. Owns from whom answers are taken, and which of the
 * addresses in them the node is told. Does not own their bytes (mdns.c) nor when the gateway is
 * called: the node decides. Invariants: an answer is believed nothing but that somebody may be
 * there, and whoever is there without the gateway's key learns nothing; who answers by one address
 * has one address called at the most; only hosts of the interface's own network are listened to and
 * called.
 */
#define _GNU_SOURCE /* IFF_MULTICAST */

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define FIRST_US 1000000u    /* from when it is needed to the first question; then doubled */
#define LAST_US 60000000u
#define AHEAD_MAX 3          /* questions in a row where it is not needed yet; then more rarely */
#define AHEAD_US 600000000u
#define WINDOW_US 300000u    /* answers to a question are waited for; responders delay to 120 ms */
#define MDNS_PORT 5353
#define ANSWERS_IN_STEP 64
#define ANSWER_MAX 1500
#define HEARD_MAX 64         /* addresses that answered, of a question */
#define BATCH_US 2000000u    /* so long some are called, before others of many: they are near */
#define KEPT_FIRST 3         /* of eight addresses, those at which it was met are called first */
#define NETS_MAX 32

/* A network that an interface is on. */
struct net {
    uint32_t ifindex;
    int which; /* 0: IPv4, 1: IPv6 */
    uint8_t ip[16], mask[16];
};

/* A socket that asks on one interface. */
struct asker {
    uint32_t ifindex;
    int which, fd;
};

/* Who answered, and the address that it named. */
struct heard {
    uint8_t from[16];
    uint32_t from_ifindex;
    struct rit_path path;
};

struct ritp_gateway {
    struct ritp_where where; /* paths: of its name; where it is found, those where it was met */
    int is_found;            /* by asking the LAN */
    char tag[RITP_TAG_LEN + 1];
    char code[RITP_CODE_LEN];
    struct rit_path told[RITP_PATHS_MAX]; /* to the node */
    size_t told_count;
    int is_needed;           /* neither broker nor gateway is online */
    int is_wanted;           /* it is, or the node knows of no address yet */
    unsigned asked;          /* since it is wanted, or needed */
    uint64_t ask_us, until_us; /* next question; end of the window, 0: none is open */
    uint64_t batch_us;       /* when others of those who answered are called; 0: there are none */
    int is_refused;          /* it does not take this node: it was met, and none is to be found */
    uint16_t id;
    struct asker askers[RITP_LANS_MAX];
    size_t asker_count;
    struct net nets[NETS_MAX];
    size_t net_count;
    struct heard heard[HEARD_MAX];
    size_t heard_count, heard_all; /* kept; ever, of this question */
};

/* ---- telling the node */

static int tell_node(struct rit_posix *port, const struct rit_path *paths, size_t count) {
    struct ritp_gateway *gateway = port->gateway;
    struct rit_broker broker;

    memset(&broker, 0, sizeof broker);
    broker.struct_size = (uint32_t)sizeof broker;
    memcpy(broker.key, gateway->where.key, sizeof broker.key);
    memcpy(gateway->told, paths, count * sizeof *paths);
    gateway->told_count = count;
    broker.paths = gateway->told;
    broker.path_count = count;
    broker.enrol_code = gateway->code[0] != '\0' ? gateway->code : NULL;
    ritp_look_for_loopback(port, &gateway->where);
    return rit_gateway_connect(port->node, &broker);
}

/* Where the gateway is needed, whoever is called just now is given up for these. */
static void tell_node_again(struct rit_posix *port, const struct rit_path *paths, size_t count) {
    int failed;

    if (port->gateway->is_needed && !port->gateway->is_refused)
        (void)rit_gateway_forget(port->node);
    failed = tell_node(port, paths, count);
    if (failed != 0)
        ritp_log(port, RIT_LOG_WARN, "the gateway cannot be called: %s", rit_strerror(failed));
}

static size_t random_below(size_t end) {
    uint32_t dice = 0;

    return ritp_random((uint8_t *)&dice, sizeof dice) == 0 ? dice % end : 0;
}

static int is_same_place(const struct rit_path *a, const struct rit_path *b) {
    return a->port == b->port && a->ifindex == b->ifindex && memcmp(a->ip, b->ip, 16) == 0;
}

static size_t add_path(struct rit_path *paths, size_t count, size_t room,
                       const struct rit_path *path) {
    size_t i;

    for (i = 0; i < count; i++) {
        if (is_same_place(&paths[i], path))
            return count;
    }
    if (count < room)
        paths[count++] = *path;
    return count;
}

static int is_told(const struct ritp_gateway *gateway, const struct rit_path *paths,
                   size_t count) {
    size_t i, j;

    for (i = 0; i < count && count == gateway->told_count; i++) {
        for (j = 0; j < count && !is_same_place(&paths[i], &gateway->told[j]); j++)
            ;
        if (j == count)
            return 0;
    }
    return count == gateway->told_count;
}

/* Chooses by chance among those who answered and were not chosen yet, the first time with some of
 * where it was met: whoever floods the LAN with lies fills one choice, and others follow. */
static void choose(struct rit_posix *port, uint64_t now_us) {
    struct ritp_gateway *gateway = port->gateway;
    struct ritp_where *met = &gateway->where;
    struct rit_path paths[RITP_PATHS_MAX];
    int is_first = gateway->batch_us == 0;
    size_t i, count = 0, room = met->count > KEPT_FIRST ? KEPT_FIRST : met->count;

    gateway->batch_us = 0;
    if (gateway->heard_count == 0)
        return;
    for (i = 0; i + 1 < met->count; i++) {
        size_t other = i + random_below(met->count - i);
        struct rit_path path = met->paths[i];
        met->paths[i] = met->paths[other];
        met->paths[other] = path;
    }
    for (i = 0; i < met->count && is_first; i++)
        count = add_path(paths, count, room, &met->paths[i]);
    while (gateway->heard_count > 0 && count < RITP_PATHS_MAX) {
        size_t one = random_below(gateway->heard_count);
        count = add_path(paths, count, RITP_PATHS_MAX, &gateway->heard[one].path);
        gateway->heard[one] = gateway->heard[--gateway->heard_count];
    }
    for (i = 0; i < met->count; i++)
        count = add_path(paths, count, RITP_PATHS_MAX, &met->paths[i]);
    if (gateway->heard_count > 0 && gateway->is_needed && !gateway->is_refused)
        gateway->batch_us = now_us + BATCH_US;
    if (!is_first && gateway->ask_us < now_us + BATCH_US)
        gateway->ask_us = now_us + BATCH_US;
    if (!is_told(gateway, paths, count))
        tell_node_again(port, paths, count);
}

/* ---- asking */

static void close_askers(struct ritp_gateway *gateway) {
    while (gateway->asker_count > 0)
        (void)close(gateway->askers[--gateway->asker_count].fd);
    gateway->until_us = 0;
}

static void note_net(struct ritp_gateway *gateway, const struct ifaddrs *each, int which,
                     uint32_t ifindex) {
    struct net *net = &gateway->nets[gateway->net_count];

    if (gateway->net_count == NETS_MAX || each->ifa_netmask == NULL)
        return;
    memset(net, 0, sizeof *net);
    net->ifindex = ifindex;
    net->which = which;
    if (which == 0) {
        struct sockaddr_in at;
        memcpy(&at, each->ifa_addr, sizeof at);
        memcpy(net->ip, &at.sin_addr, 4);
        memcpy(&at, each->ifa_netmask, sizeof at);
        memcpy(net->mask, &at.sin_addr, 4);
    } else {
        struct sockaddr_in6 at;
        memcpy(&at, each->ifa_addr, sizeof at);
        memcpy(net->ip, &at.sin6_addr, 16);
        memcpy(&at, each->ifa_netmask, sizeof at);
        memcpy(net->mask, &at.sin6_addr, 16);
    }
    gateway->net_count++;
}

static void open_asker(struct ritp_gateway *gateway, int which, uint32_t ifindex) {
    struct asker *asker = &gateway->askers[gateway->asker_count];
    uint16_t number = 0;
    size_t i;

    for (i = 0; i < gateway->asker_count; i++) {
        if (gateway->askers[i].which == which && gateway->askers[i].ifindex == ifindex)
            return;
    }
    if (gateway->asker_count == RITP_LANS_MAX)
        return;
    asker->which = which;
    asker->ifindex = ifindex;
    asker->fd = ritp_udp_socket(which, &number);
    if (asker->fd >= 0)
        gateway->asker_count++;
}

/* One for each family of each interface that has a network with neighbours. */
static void open_askers(struct rit_posix *port) {
    const unsigned needed = (unsigned)IFF_UP | (unsigned)IFF_RUNNING | (unsigned)IFF_MULTICAST;
    const unsigned looked_at = needed | (unsigned)IFF_POINTOPOINT;
    struct ritp_gateway *gateway = port->gateway;
    struct ifaddrs *found = NULL, *each;

    close_askers(gateway);
    gateway->net_count = 0;
    if (getifaddrs(&found) != 0)
        return;
    for (each = found; each != NULL; each = each->ifa_next) {
        int family = each->ifa_addr != NULL ? each->ifa_addr->sa_family : AF_UNSPEC;
        int which = family == AF_INET ? 0 : 1;
        uint32_t ifindex = if_nametoindex(each->ifa_name);
        if ((family != AF_INET && family != AF_INET6) || ifindex == 0 || port->udp[which] < 0 ||
            (each->ifa_flags & looked_at) != needed)
            continue;
        note_net(gateway, each, which, ifindex);
        open_asker(gateway, which, ifindex);
    }
    freeifaddrs(found);
}

static void group_path(int which, struct rit_path *path) {
    static const uint8_t GROUPS[2][16] = {
        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 224, 0, 0, 251},
        {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfb}};

    memset(path, 0, sizeof *path);
    path->struct_size = (uint32_t)sizeof *path;
    memcpy(path->ip, GROUPS[which], 16);
    path->port = MDNS_PORT;
}

static void ask(struct rit_posix *port, uint64_t now_us) {
    struct ritp_gateway *gateway = port->gateway;
    uint8_t query[RITP_MDNS_QUERY_LEN], id[2] = {0, 0};
    uint64_t wait_us = FIRST_US;
    struct rit_path group;
    unsigned doubled;
    size_t i, len;

    for (doubled = 0; doubled < gateway->asked && wait_us < LAST_US; doubled++)
        wait_us *= 2;
    wait_us = wait_us > LAST_US ? LAST_US : wait_us;
    if (!gateway->is_needed && gateway->asked + 1 >= AHEAD_MAX)
        wait_us = AHEAD_US;
    if (gateway->asked < 16)
        gateway->asked++;
    /* A random quarter is taken off: all of a LAN lose the same line at the same time. */
    gateway->ask_us = now_us + wait_us - random_below((size_t)wait_us / 4);
    gateway->heard_count = gateway->heard_all = 0;
    gateway->batch_us = 0;
    (void)ritp_random(id, sizeof id);
    gateway->id = (uint16_t)(id[0] << 8 | id[1]);
    open_askers(port);
    len = ritp_mdns_query(gateway->id, query);
    for (i = 0; i < gateway->asker_count; i++) {
        const struct asker *asker = &gateway->askers[i];
        group_path(asker->which, &group);
        (void)ritp_lan_send_by(asker->fd, asker->which, asker->ifindex, &group, query, len);
    }
    gateway->until_us = now_us + WINDOW_US;
}

/* ---- listening */

/* Whether an address is on a network of the interface. */
static int is_on_link(const struct ritp_gateway *gateway, const struct asker *asker,
                      const struct rit_path *path) {
    const uint8_t *ip = path->ip + (asker->which == 0 ? 12 : 0);
    size_t i, j, len = asker->which == 0 ? 4 : 16;

    if (asker->which == 1 && ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80)
        return path->ifindex == asker->ifindex;
    for (i = 0; i < gateway->net_count; i++) {
        const struct net *net = &gateway->nets[i];
        if (net->which != asker->which || net->ifindex != asker->ifindex)
            continue;
        for (j = 0; j < len && ((ip[j] ^ net->ip[j]) & net->mask[j]) == 0; j++)
            ;
        if (j == len)
            return 1;
    }
    return 0;
}

static int is_v4(const struct rit_path *path) {
    static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    return memcmp(path->ip, MAPPED, sizeof MAPPED) == 0;
}

/* Of the addresses in an answer that the asker reaches the one that it came from, or the first. */
static const struct rit_path *pick(const struct ritp_gateway *gateway, const struct asker *asker,
                                   const struct rit_path *from, struct rit_path *paths,
                                   size_t count) {
    const struct rit_path *picked = NULL;
    size_t i;

    for (i = 0; i < count; i++) {
        struct rit_path *path = &paths[i];
        if (is_v4(path) != (asker->which == 0))
            continue;
        if (asker->which == 1 && path->ip[0] == 0xfe && (path->ip[1] & 0xc0) == 0x80)
            path->ifindex = asker->ifindex;
        if (!is_on_link(gateway, asker, path))
            continue;
        if (memcmp(path->ip, from->ip, 16) == 0)
            return path;
        if (picked == NULL)
            picked = path;
    }
    return picked;
}

/* Who came first by an address is heard; where there are too many, each by the same chance. */
static void hear(struct ritp_gateway *gateway, const struct rit_path *from, uint32_t ifindex,
                 const struct rit_path *path) {
    size_t i;

    for (i = 0; i < gateway->heard_count; i++) {
        if (gateway->heard[i].from_ifindex == ifindex &&
            memcmp(gateway->heard[i].from, from->ip, 16) == 0)
            return;
    }
    gateway->heard_all++;
    if (gateway->heard_count < HEARD_MAX) {
        i = gateway->heard_count++;
    } else {
        i = random_below(gateway->heard_all);
        if (i >= HEARD_MAX)
            return;
    }
    memcpy(gateway->heard[i].from, from->ip, 16);
    gateway->heard[i].from_ifindex = ifindex;
    gateway->heard[i].path = *path;
}

static int take_answer(struct ritp_gateway *gateway, const struct asker *asker) {
    struct rit_path from, paths[RITP_PATHS_MAX];
    const struct rit_path *picked;
    struct sockaddr_storage at;
    socklen_t at_len = sizeof at;
    uint8_t bytes[ANSWER_MAX];
    size_t count;
    ssize_t len;

    memset(&at, 0, sizeof at);
    len = recvfrom(asker->fd, bytes, sizeof bytes, 0, (struct sockaddr *)&at, &at_len);
    if (len < 0)
        return errno == EINTR ? 1 : 0;
    ritp_path_from_address(&from, &at);
    if (from.port != MDNS_PORT || !is_on_link(gateway, asker, &from))
        return 1;
    count = ritp_mdns_answer(bytes, (size_t)len, gateway->id, gateway->tag, paths);
    picked = pick(gateway, asker, &from, paths, count);
    if (picked != NULL)
        hear(gateway, &from, asker->ifindex, picked);
    return 1;
}

static void listen_to_all(struct ritp_gateway *gateway) {
    int left = ANSWERS_IN_STEP;
    size_t i;

    for (i = 0; i < gateway->asker_count; i++) {
        while (left > 0 && take_answer(gateway, &gateway->askers[i]))
            left--;
    }
}

/* ---- as the port's user and loop.c see it */

void ritp_gateway_close(struct rit_posix *port) {
    struct ritp_gateway *gateway = port->gateway;

    if (gateway == NULL)
        return;
    close_askers(gateway);
    ritp_where_close(&gateway->where);
    ritp_wipe(gateway, sizeof *gateway);
    free(gateway);
    port->gateway = NULL;
}

int rit_posix_gateway(rit_posix *port, const char *uri, const char *enrol_code) {
    struct ritp_gateway *gateway;
    char text[RIT_KEY_TEXT_LEN];
    int failed, is_other;

    if (port == NULL)
        return RIT_ERR_NULL;
    if (uri == NULL) {
        ritp_gateway_close(port);
        return rit_gateway_forget(port->node);
    }
    gateway = calloc(1, sizeof *gateway);
    if (gateway == NULL)
        return RIT_ERR_NOMEM;
    failed = ritp_where_open(&gateway->where, uri, "gateway-at");
    if (failed == 0)
        failed = ritp_keep_code(gateway->code, enrol_code);
    if (failed == 0)
        failed = rit_key_to_text(gateway->where.key, text);
    if (failed != 0) {
        ritp_wipe(gateway->code, sizeof gateway->code);
        free(gateway);
        return failed;
    }
    is_other = port->gateway == NULL ||
               memcmp(port->gateway->where.key, gateway->where.key, RIT_KEY_LEN) != 0;
    memcpy(gateway->tag, text, RITP_TAG_LEN);
    gateway->is_found = strcmp(gateway->where.host, RIT_POSIX_GATEWAY_HOST) == 0;
    ritp_gateway_close(port);
    port->gateway = gateway;
    if (!gateway->where.is_literal)
        ritp_where_load(port, &gateway->where);
    if (gateway->where.count == 0) /* told when it is found; until then there is none */
        return is_other ? rit_gateway_forget(port->node) : 0;
    failed = tell_node(port, gateway->where.paths, gateway->where.count);
    if (failed != 0)
        ritp_gateway_close(port);
    return failed;
}

void ritp_gateway_ask_now(struct rit_posix *port, uint64_t now_us) {
    if (port->gateway == NULL)
        return;
    port->gateway->asked = 0;
    port->gateway->ask_us = now_us;
    port->gateway->batch_us = 0;
}

void ritp_gateway_met(struct rit_posix *port, int error) {
    struct ritp_gateway *gateway = port->gateway;

    if (gateway == NULL)
        return;
    gateway->is_refused |= error == RIT_ERR_DENIED || error == RIT_ERR_CODE;
    if (gateway->is_refused)
        gateway->batch_us = 0;
    if (!port->is_gateway_online)
        return;
    gateway->is_refused = 0;
    ritp_wipe(gateway->code, sizeof gateway->code);
    if (!gateway->where.is_literal) {
        memcpy(gateway->where.paths, gateway->told, sizeof gateway->told);
        gateway->where.count = gateway->told_count;
        ritp_where_keep(port, &gateway->where);
    }
}

uint64_t ritp_gateway_prepare(struct rit_posix *port, uint64_t now_us) {
    struct ritp_gateway *gateway = port->gateway;
    int is_needed = !port->is_broker_online && !port->is_gateway_online, is_wanted;
    uint64_t wake_us;
    size_t i;

    if (gateway == NULL)
        return RITP_NEVER;
    if (!gateway->is_found) {
        gateway->is_needed = is_needed;
        return is_needed || gateway->where.fd >= 0
                   ? ritp_where_prepare(port, &gateway->where, is_needed)
                   : RITP_NEVER;
    }
    is_wanted = is_needed || gateway->told_count == 0;
    if ((is_needed && !gateway->is_needed) || (is_wanted && !gateway->is_wanted)) {
        gateway->asked = 0;
        gateway->ask_us = now_us + FIRST_US;
    }
    gateway->is_needed = is_needed;
    gateway->is_wanted = is_wanted;
    if (!is_needed)
        gateway->batch_us = 0;
    if (!is_wanted) {
        close_askers(gateway);
        return RITP_NEVER;
    }
    for (i = 0; i < gateway->asker_count; i++)
        (void)ritp_poll_add(port, gateway->askers[i].fd, POLLIN);
    wake_us = gateway->batch_us != 0 ? gateway->batch_us : gateway->ask_us;
    return gateway->until_us != 0 && gateway->until_us < wake_us ? gateway->until_us : wake_us;
}

void ritp_gateway_run(struct rit_posix *port, uint64_t now_us) {
    struct ritp_gateway *gateway = port->gateway;

    if (gateway == NULL)
        return;
    if (!gateway->is_found) {
        if (ritp_where_run(port, &gateway->where, gateway->is_needed, now_us))
            tell_node_again(port, gateway->where.paths, gateway->where.count);
        return;
    }
    if (gateway->until_us != 0)
        listen_to_all(gateway);
    if (gateway->until_us != 0 && gateway->until_us <= now_us) {
        close_askers(gateway);
        choose(port, now_us);
    }
    if (gateway->batch_us != 0 && gateway->batch_us <= now_us)
        choose(port, now_us);
    if (gateway->is_wanted && gateway->batch_us == 0 && gateway->ask_us <= now_us)
        ask(port, now_us);
}
