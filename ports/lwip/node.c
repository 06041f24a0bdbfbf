/* node.c: the port as its user sees it: the node's UDP socket, time, addresses and events.
 *
 * Owns when things happen: each of lwIP's callbacks does its work and then ritl_pump, which fetches
 * the node's events until there are none; one sys_timeout has the node's deadline and the port's
 * own. Does not own connections (bridge.c) nor which sessions there shall be (connect.c).
 */
#include "internal.h"

#include "lwip/ip.h"
#include "lwip/sys.h"
#include "lwip/timeouts.h"

#define EVENTS_MAX 64         /* fetched before lwIP has its turn again */
#define SLEEP_MAX_MS 3600000u
#define LOOK_US 5000000u      /* between looks at the own addresses, where nobody tells */
#define SETTLE_US 20000u      /* from the first news of a change to the look */
#define CONNECTIONS 16

static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

void *ritl_new(size_t size) {
    void *memory = RIT_LWIP_MALLOC(size);

    if (memory != NULL)
        memset(memory, 0, size);
    return memory;
}

/* ---- time */

uint64_t ritl_now_us(struct rit_lwip *port) {
    uint32_t ms;

    if (port->config.now_us != NULL)
        return port->config.now_us(port->config.ctx);
    ms = sys_now();
    port->clock_ms += (uint32_t)(ms - port->last_ms); /* it wraps after 49 days */
    port->last_ms = ms;
    return port->clock_ms * 1000u;
}

static void on_timer(void *arg);

/* Has the sys_timeout come in time for whatever is due first. One that is too early stays: what is
 * due is moved more often than it is reached. What is due now comes with lwIP's next look at its
 * timeouts; but in a millisecond if this is one, for it would go on with the next one at once. */
static void arm(struct rit_lwip *port) {
    uint64_t due_us = port->node_due_us < port->due_us ? port->node_due_us : port->due_us;
    uint64_t now_us, ms = port->is_timing ? 1 : 0;

    if (due_us >= port->armed_us)
        return;
    now_us = ritl_now_us(port);
    if (port->armed_us <= now_us)
        return;
    if (port->armed_us != RITL_NEVER)
        sys_untimeout(on_timer, port);
    if (due_us > now_us && due_us - now_us > ms * 1000u)
        ms = (due_us - now_us + 999u) / 1000u;
    if (ms > SLEEP_MAX_MS)
        ms = SLEEP_MAX_MS;
    port->armed_us = now_us + ms * 1000u;
    sys_timeout((u32_t)ms, on_timer, port);
}

void ritl_wake(struct rit_lwip *port, uint64_t at_us) {
    if (at_us < port->due_us) {
        port->due_us = at_us;
        arm(port);
    }
}

static void look(struct rit_lwip *port, uint64_t now_us);

static void on_timer(void *arg) {
    struct rit_lwip *port = arg;
    uint64_t now_us = ritl_now_us(port);

    port->armed_us = RITL_NEVER;
    port->is_timing = 1;
    if (port->node_due_us <= now_us) {
        port->node_due_us = RITL_NEVER; /* unless set_timer says another */
        (void)rit_node_timeout(port->node);
    }
    if (port->due_us <= now_us) {
        port->due_us = RITL_NEVER;
        look(port, now_us);
        ritl_broker_run(port, now_us);
        ritl_connect_run(port, now_us);
        ritl_flow_run(port);
        ritl_bridge_run(port, now_us);
    }
    ritl_pump(port);
    arm(port);
    port->is_timing = 0;
}

/* ---- addresses */

void ritl_set_path(struct rit_path *path, const ip_addr_t *address, uint16_t number) {
    memset(path, 0, sizeof *path);
    path->struct_size = (uint32_t)sizeof *path;
    path->port = number;
#if LWIP_IPV6
    if (IP_IS_V6(address)) {
        memcpy(path->ip, ip_2_ip6(address)->addr, sizeof path->ip);
        return;
    }
#endif
#if LWIP_IPV4
    memcpy(path->ip, MAPPED, sizeof MAPPED);
    memcpy(path->ip + sizeof MAPPED, &ip_2_ip4(address)->addr, 4);
#endif
}

/* -1: lwIP is built without this family. */
static int set_address(ip_addr_t *address, const struct rit_path *path) {
    memset(address, 0, sizeof *address);
    if (memcmp(path->ip, MAPPED, sizeof MAPPED) == 0) {
#if LWIP_IPV4
        memcpy(&ip_2_ip4(address)->addr, path->ip + sizeof MAPPED, 4);
        IP_SET_TYPE_VAL(*address, IPADDR_TYPE_V4);
        return 0;
#endif
    } else {
#if LWIP_IPV6
        memcpy(ip_2_ip6(address)->addr, path->ip, sizeof path->ip);
        IP_SET_TYPE_VAL(*address, IPADDR_TYPE_V6);
#if LWIP_IPV6_SCOPES
        if (ip6_addr_has_scope(ip_2_ip6(address), IP6_UNICAST))
            ip6_addr_set_zone(ip_2_ip6(address), (u8_t)path->ifindex);
#endif
        return 0;
#endif
    }
    return -1;
}

/* A node may be reached at an interface's own addresses, but loopback and link-local ones. */
static size_t add_own(struct rit_lwip *port, struct netif *netif, struct rit_path *own,
                      size_t count) {
#if LWIP_IPV4
    if (count < RITL_PATHS_MAX && !ip4_addr_isany_val(*netif_ip4_addr(netif)) &&
        !ip4_addr_isloopback(netif_ip4_addr(netif)))
        ritl_set_path(&own[count++], netif_ip_addr4(netif), port->udp->local_port);
#endif
#if LWIP_IPV6
    {
        s8_t i;
        for (i = 0; i < LWIP_IPV6_NUM_ADDRESSES && count < RITL_PATHS_MAX; i++) {
            const ip6_addr_t *address = netif_ip6_addr(netif, i);
            if (ip6_addr_isvalid(netif_ip6_addr_state(netif, i)) &&
                !ip6_addr_islinklocal(address) && !ip6_addr_isloopback(address))
                ritl_set_path(&own[count++], netif_ip_addr6(netif, i), port->udp->local_port);
        }
    }
#endif
    return count;
}

/* Tells the node its own addresses if they are others. */
static void look(struct rit_lwip *port, uint64_t now_us) {
    struct rit_path own[RITL_PATHS_MAX];
    struct netif *netif;
    size_t count = 0;

    if (port->look_us > now_us) {
        ritl_wake(port, port->look_us);
        return;
    }
    port->look_us = RITL_NEVER;
#if !LWIP_NETIF_EXT_STATUS_CALLBACK
    port->look_us = now_us + LOOK_US;
    ritl_wake(port, port->look_us);
#endif
    NETIF_FOREACH(netif) {
        if (netif_is_up(netif) && netif_is_link_up(netif))
            count = add_own(port, netif, own, count);
    }
    if (count == port->told_count && memcmp(own, port->told, count * sizeof own[0]) == 0)
        return;
    memcpy(port->told, own, count * sizeof own[0]);
    port->told_count = count;
    (void)rit_node_set_local_paths(port->node, own, count);
    (void)rit_node_network_changed(port->node);
    ritl_tell(port, RIT_LWIP_NETWORK_CHANGED, 0, NULL, NULL);
}

static struct rit_lwip *ports; /* lwIP's callback has no argument */

#if LWIP_NETIF_EXT_STATUS_CALLBACK
static netif_ext_callback_t news;

static void on_netif(struct netif *netif, netif_nsc_reason_t reason,
                     const netif_ext_callback_args_t *args) {
    struct rit_lwip *port;

    (void)netif;
    (void)reason;
    (void)args;
    for (port = ports; port != NULL; port = port->next) {
        if (port->look_us == RITL_NEVER) {
            port->look_us = ritl_now_us(port) + SETTLE_US;
            ritl_wake(port, port->look_us);
        }
    }
}
#endif

static void enlist(struct rit_lwip *port) {
#if LWIP_NETIF_EXT_STATUS_CALLBACK
    if (ports == NULL)
        netif_add_ext_callback(&news, on_netif);
#endif
    port->next = ports;
    ports = port;
}

static void delist(struct rit_lwip *port) {
    struct rit_lwip **place = &ports;

    while (*place != NULL && *place != port)
        place = &(*place)->next;
    if (*place == NULL)
        return;
    *place = port->next;
#if LWIP_NETIF_EXT_STATUS_CALLBACK
    if (ports == NULL)
        netif_remove_ext_callback(&news);
#endif
}

/* ---- rit_io */

static uint64_t io_now_us(void *ctx) {
    return ritl_now_us(ctx);
}

static int32_t io_entropy(void *ctx, uint8_t *out, size_t len) {
    struct rit_lwip *port = ctx;

    return port->config.entropy(port->config.ctx, out, len);
}

static int32_t io_load(void *ctx, uint32_t slot, uint8_t *buf, size_t cap) {
    struct rit_lwip *port = ctx;

    return port->config.load(port->config.ctx, slot, buf, cap);
}

static int32_t io_store(void *ctx, uint32_t slot, const uint8_t *buf, size_t len) {
    struct rit_lwip *port = ctx;

    return port->config.store(port->config.ctx, slot, buf, len);
}

static void io_log(void *ctx, int32_t level, const char *msg) {
    struct rit_lwip *port = ctx;

    port->config.log(port->config.ctx, level, msg);
}

static void io_set_timer(void *ctx, uint64_t deadline_us) {
    struct rit_lwip *port = ctx;

    port->node_due_us = deadline_us;
    arm(port);
}

/* lwIP would cut what the interface does not carry into fragments, and path MTU discovery would
 * find a path wider than it is: such a datagram is lost here. */
static int fits(const struct netif *netif, const ip_addr_t *to, size_t len) {
    size_t headers = IP_IS_V6(to) ? 48 : 28;

    (void)to; /* there may be one family only */
    return netif->mtu == 0 || len + headers <= netif->mtu;
}

static int32_t io_send(void *ctx, const struct rit_path *path, const uint8_t *pkt, size_t len) {
    struct rit_lwip *port = ctx;
    struct netif *netif;
    struct pbuf *p;
    ip_addr_t to;
    err_t err;

    if (path->socket != 0 || set_address(&to, path) != 0)
        return -1;
    netif = ip_route(&port->udp->local_ip, &to);
    if (netif == NULL || len > 0xffff || !fits(netif, &to, len))
        return -1;
#if RIT_LWIP_SEND_REF
    p = pbuf_alloc_reference((void *)(size_t)pkt, (u16_t)len, PBUF_REF);
    if (p == NULL)
        return -1;
#else
    p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)len, PBUF_RAM);
    if (p == NULL)
        return -1;
    memcpy(p->payload, pkt, len);
#endif
    port->udp->tos = path->ecn & 3u;
    err = udp_sendto_if(port->udp, p, &to, path->port, netif);
    pbuf_free(p);
    return err == ERR_OK ? 0 : -1;
}

/* The library's own buffer takes what came in several pbufs: the only copy of it. */
static int32_t io_recv(void *ctx, struct rit_path *from, uint8_t *buf, size_t cap) {
    struct rit_lwip *port = ctx;
    struct pbuf *p = port->chain;

    port->chain = NULL;
    if (p == NULL || p->tot_len > cap)
        return 0;
    *from = port->chain_from;
    return pbuf_copy_partial(p, buf, p->tot_len, 0);
}

static uint8_t ecn_of_packet(void) {
#if LWIP_IPV6
    if (ip_current_is_v6())
        return (uint8_t)(IP6H_TC(ip6_current_header()) & 3u);
#endif
#if LWIP_IPV4
    return (uint8_t)(IPH_TOS(ip4_current_header()) & 3u);
#else
    return 0;
#endif
}

static void on_udp(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *address,
                   u16_t number) {
    struct rit_lwip *port = arg;
    struct rit_path from;

    (void)pcb;
    ritl_set_path(&from, address, number);
    from.ecn = ecn_of_packet();
#if LWIP_IPV6
    if (IP_IS_V6(address) && ip6_addr_islinklocal(ip_2_ip6(address)))
        from.ifindex = netif_get_index(ip_current_input_netif());
#endif
    if (p->next == NULL && p->ref == 1) {
        (void)rit_node_receive_batch(port->node, &from, p->payload, p->len, p->len);
    } else {
        port->chain = p;
        port->chain_from = from;
        (void)rit_node_poll(port->node);
        port->chain = NULL;
    }
    pbuf_free(p);
    ritl_pump(port);
}

/* ---- making and freeing */

static int open_udp(struct rit_lwip *port) {
    port->udp = udp_new_ip_type(IPADDR_TYPE_ANY);
    if (port->udp == NULL || udp_bind(port->udp, IP_ANY_TYPE, port->config.udp_port) != ERR_OK)
        return RIT_LWIP_ERR_SYSTEM;
    udp_recv(port->udp, on_udp, port);
    return 0;
}

static int32_t make_node(struct rit_lwip *port, const struct rit_config *limits) {
    struct rit_config defaults;
    struct rit_io io;
    int32_t failed = RIT_OK;

    rit_config_init(&defaults);
    memset(&io, 0, sizeof io);
    io.struct_size = (uint32_t)sizeof io;
    io.ctx = port;
    io.now_us = io_now_us;
    io.entropy = io_entropy;
    io.send = io_send;
    io.recv = io_recv;
    io.set_timer = io_set_timer;
    if (port->config.load != NULL)
        io.load = io_load;
    if (port->config.store != NULL)
        io.store = io_store;
    if (port->config.log != NULL)
        io.log = io_log;
    port->node = rit_node_new(limits != NULL ? limits : &defaults, &io, &failed);
    return port->node != NULL ? RIT_OK : failed;
}

rit_lwip *rit_lwip_new(const struct rit_lwip_config *config, int *err) {
    struct rit_lwip *port = NULL;
    int32_t failed = RIT_ERR_NULL;

    LWIP_ASSERT_CORE_LOCKED();
    if (config != NULL && config->entropy != NULL) {
        port = ritl_new(sizeof *port);
        failed = RIT_ERR_NOMEM;
    }
    if (port != NULL) {
        port->config = *config;
        port->config.node = NULL;
        port->config.event = NULL;
        if (port->config.max_connections == 0)
            port->config.max_connections = CONNECTIONS;
        port->node_due_us = port->due_us = port->armed_us = RITL_NEVER;
        port->last_ms = sys_now();
        failed = open_udp(port);
        if (failed == 0)
            failed = make_node(port, config->node);
        if (failed == 0) {
            enlist(port);
            look(port, ritl_now_us(port));
            port->config.event = config->event; /* none before the caller has the port */
        } else {
            rit_lwip_free(port);
            port = NULL;
        }
    }
    if (err != NULL)
        *err = port != NULL ? 0 : failed;
    return port;
}

void rit_lwip_free(rit_lwip *port) {
    LWIP_ASSERT_CORE_LOCKED();
    if (port == NULL)
        return;
    port->is_pumping = 1; /* nothing is told any more */
    port->config.event = NULL;
    delist(port);
    ritl_flow_free(port);
    ritl_bridge_free(port);
    ritl_offer_free(port);
    while (port->sessions != NULL) {
        struct ritl_session *next = port->sessions->next;
        (void)rit_session_close(port->node, port->sessions->id, 0);
        RIT_LWIP_FREE(port->sessions);
        port->sessions = next;
    }
    ritl_connect_free(port);
    ritl_broker_free(port);
    rit_node_free(port->node);
    if (port->armed_us != RITL_NEVER)
        sys_untimeout(on_timer, port);
    if (port->udp != NULL)
        udp_remove(port->udp);
    RIT_LWIP_FREE(port);
}

rit_node *rit_lwip_node(rit_lwip *port) {
    return port != NULL ? port->node : NULL;
}

uint32_t ritl_random(struct rit_lwip *port) {
    uint32_t number = 0;

    if (port->config.entropy(port->config.ctx, (uint8_t *)&number, sizeof number) != 0)
        number = sys_now();
    return number;
}

/* ---- events */

void ritl_tell(struct rit_lwip *port, enum rit_lwip_event_type type, int error, const uint8_t *peer,
               const char *service) {
    struct rit_lwip_event event;

    if (port->config.event == NULL)
        return;
    memset(&event, 0, sizeof event);
    event.type = type;
    event.error = error;
    event.peer = peer;
    event.service = service;
    port->config.event(port->config.ctx, port, &event);
}

const uint8_t *ritl_peer_of(const struct rit_lwip *port, rit_session session) {
    const struct ritl_session *at = port->sessions;

    while (at != NULL && at->id != session)
        at = at->next;
    return at != NULL ? at->peer : NULL;
}

static void on_session_up(struct rit_lwip *port, const struct rit_event *event) {
    struct ritl_session *session = ritl_new(sizeof *session);

    if (session != NULL) { /* else its end will be told without a name */
        session->id = event->session;
        memcpy(session->peer, event->peer, RIT_KEY_LEN);
        session->next = port->sessions;
        port->sessions = session;
    }
    ritl_tell(port, RIT_LWIP_SESSION_UP, 0, event->peer, NULL);
    ritl_connect_session_up(port, event->session);
}

static void on_session_down(struct rit_lwip *port, const struct rit_event *event) {
    struct ritl_session **place = &port->sessions, *session;

    ritl_bridge_session_down(port, event->session, event->error);
    while (*place != NULL && (*place)->id != event->session)
        place = &(*place)->next;
    session = *place;
    if (session != NULL)
        *place = session->next;
    ritl_tell(port, RIT_LWIP_SESSION_DOWN, event->error, session != NULL ? session->peer : NULL,
              NULL);
    ritl_connect_session_down(port, event->session);
    ritl_flow_session_down(port, event->session);
    if (session != NULL)
        RIT_LWIP_FREE(session);
}

static void dispatch(struct rit_lwip *port, const struct rit_event *event) {
    if (event->type >= RIT_EVENT_BROKER_ONLINE && event->type <= RIT_EVENT_ENROL_REFUSED)
        ritl_broker_event(port, event);
    else if (event->type == RIT_EVENT_SESSION_UP)
        on_session_up(port, event);
    else if (event->type == RIT_EVENT_SESSION_DOWN)
        on_session_down(port, event);
    else if (event->type >= RIT_EVENT_FLOW_INCOMING && event->type <= RIT_EVENT_FLOW_CLOSED)
        ritl_flow_event(port, event);
    else
        ritl_bridge_event(port, event);
}

void ritl_pump(struct rit_lwip *port) {
    struct rit_event event;
    int count;

    if (port->is_pumping)
        return; /* whoever does goes on until there are none */
    port->is_pumping = 1;
    ritl_enter(port);
    for (count = 0; count < EVENTS_MAX; count++) {
        memset(&event, 0, sizeof event);
        event.struct_size = (uint32_t)sizeof event;
        if (rit_node_next_event(port->node, &event) != RIT_OK)
            break;
        dispatch(port, &event);
    }
    ritl_leave(port);
    port->is_pumping = 0;
    if (count == EVENTS_MAX)
        ritl_wake(port, 0);
}

void rit_lwip_run(rit_lwip *port) {
    LWIP_ASSERT_CORE_LOCKED();
    if (port != NULL)
        ritl_pump(port);
}

const char *rit_lwip_strerror(int error) {
    switch (error) {
    case RIT_LWIP_ERR_SYSTEM:
        return "lwIP has no more of something that is needed";
    case RIT_LWIP_ERR_RESOLVE:
        return "the host name does not resolve";
    case RIT_LWIP_ERR_LISTEN:
        return "no loopback address and port could be listened on";
    case RIT_LWIP_ERR_SERVICE:
        return "the device does not offer this service";
    default:
        return rit_strerror(error);
    }
}
