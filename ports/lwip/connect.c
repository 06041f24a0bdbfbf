/* connect.c: sessions that are opened here, listeners for what their devices offer, and UDP flows.
 *
 * Owns which sessions there shall be and opens them again; the loopback addresses of remote
 * services, each a network interface of its own, as lwIP's takes nothing but 127.0.0.1; and the
 * udp_pcbs of flows: on the reaching side one at the service's address, each of whose clients is a
 * flow, on the device side one for each flow, connected to the service. Back-pressure of flows is
 * loss, as UDP's is. Does not own the bytes of streams (bridge.c).
 */
#include "internal.h"

#if !NO_SYS
#include "lwip/tcpip.h"
#endif
#include "lwip/timeouts.h"

#define BACKOFF_MIN_US 1000000u  /* before a session is opened again; doubles */
#define BACKOFF_MAX_US 30000000u
#define LISTEN_ATTEMPTS 8        /* addresses tried for one service and port */
#define MESSAGES_MAX 16          /* of one flow before others have their turn */
#define EXPIRY_US 1000000u       /* a message that waits for longer is of no use any more */
#define REFUSED_US 500000u       /* after a refusal no flow is opened for a service */
#define HAS_LISTENERS (ENABLE_LOOPBACK && LWIP_IPV4 && !LWIP_SINGLE_NETIF)

/* ---- flows */

#if RIT_LWIP_FLOWS
struct ritl_flow {
    struct ritl_flow *next;
    struct rit_lwip *port;
    rit_flow flow;
    rit_session session;
    uint64_t used_us;
    int has_more;                   /* it may have messages */
    int is_over;                    /* once it has none */
    const struct ritl_offer *offer; /* device side, and connected to the service: */
    struct udp_pcb *pcb;
    struct ritl_want *want;         /* reaching side */
    ip_addr_t client;
    uint16_t client_port;
};

static struct ritl_flow *add_flow(struct rit_lwip *port, rit_flow handle, rit_session session) {
    struct ritl_flow *flow = ritl_has_room(port) ? ritl_new(sizeof *flow) : NULL;

    if (flow == NULL)
        return NULL;
    flow->port = port;
    flow->flow = handle;
    flow->session = session;
    flow->used_us = ritl_now_us(port);
    flow->next = port->flows;
    port->flows = flow;
    port->conn_count++;
    return flow;
}

static void drop_flow(struct rit_lwip *port, struct ritl_flow *flow) {
    struct ritl_flow **place = &port->flows;

    while (*place != flow)
        place = &(*place)->next;
    *place = flow->next;
    if (flow->pcb != NULL)
        udp_remove(flow->pcb);
    port->conn_count--;
    RIT_LWIP_FREE(flow);
}

static void end_flow(struct rit_lwip *port, struct ritl_flow *flow) {
    (void)rit_flow_close(port->node, flow->flow);
    drop_flow(port, flow);
}

static void tell_flow(struct rit_lwip *port, const struct ritl_flow *flow, int error) {
    if (flow->offer != NULL)
        ritl_tell(port, RIT_LWIP_CONNECTION, error, ritl_peer_of(port, flow->session),
                  flow->offer->name);
    else
        ritl_tell(port, RIT_LWIP_CONNECTION, error, flow->want->peer->device, flow->want->service);
}

/* Hands on what came, at most so many. Without memory for a message it waits. */
static void take_messages(struct rit_lwip *port, struct ritl_flow *flow) {
    int count;

    for (count = 0; count < MESSAGES_MAX; count++) {
        struct pbuf *p;
        size_t len = 0;
        uint8_t none[1];
        int32_t failed = rit_datagram_recv(port->node, flow->flow, none, 0, &len);
        flow->has_more = failed == RIT_OK || failed == RIT_ERR_BUFFER;
        if (!flow->has_more)
            return;
        p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)len, PBUF_RAM);
        if (p == NULL) {
            if (failed == RIT_ERR_BUFFER)
                break;
            continue; /* an empty one, which was taken */
        }
        if (failed == RIT_ERR_BUFFER)
            failed = rit_datagram_recv(port->node, flow->flow, p->payload, len, &len);
        if (failed == RIT_OK) {
            flow->used_us = ritl_now_us(port);
            if (flow->pcb != NULL)
                (void)udp_send(flow->pcb, p);
            else
                (void)udp_sendto(flow->want->udp, p, &flow->client, flow->client_port);
        }
        pbuf_free(p);
    }
    ritl_wake(port, ritl_now_us(port) + (count == MESSAGES_MAX ? 0 : RITL_RETRY_US));
}

/* pbufs that are chained are put together, the only copy but the library's. */
static void send_message(struct rit_lwip *port, struct ritl_flow *flow, struct pbuf *p) {
    flow->used_us = ritl_now_us(port);
    if (p->next == NULL) {
        (void)rit_datagram_send(port->node, flow->flow, p->payload, p->len, EXPIRY_US);
    } else {
        struct pbuf *whole = pbuf_alloc(PBUF_RAW, p->tot_len, PBUF_RAM);
        if (whole == NULL)
            return; /* lost, as UDP may be */
        if (pbuf_copy(whole, p) == ERR_OK)
            (void)rit_datagram_send(port->node, flow->flow, whole->payload, whole->len, EXPIRY_US);
        pbuf_free(whole);
    }
}

/* Device side. */
static void on_service(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                       u16_t number) {
    struct ritl_flow *flow = arg;
    struct rit_lwip *port = flow->port;

    (void)pcb;
    (void)from;
    (void)number;
    send_message(port, flow, p);
    pbuf_free(p);
    ritl_pump(port);
}

static void on_incoming_flow(struct rit_lwip *port, const struct rit_event *event) {
    const struct ritl_offer *offer = ritl_find_offer(port, event->service);
    struct ritl_flow *flow = NULL;

    if (offer != NULL)
        flow = add_flow(port, event->flow, event->session);
    if (flow == NULL) {
        int32_t why = offer == NULL ? RIT_REFUSED_UNKNOWN : RIT_REFUSED_LIMIT;
        (void)rit_flow_refuse(port->node, event->flow, why);
        return;
    }
    flow->offer = offer;
    flow->pcb = udp_new_ip_type(IP_GET_TYPE(&offer->address));
    if (flow->pcb == NULL || udp_connect(flow->pcb, &offer->address, offer->port) != ERR_OK ||
        rit_flow_accept(port->node, flow->flow) != RIT_OK) {
        tell_flow(port, flow, RIT_ERR_REFUSED);
        if (rit_flow_refuse(port->node, flow->flow, RIT_REFUSED_SERVICE) != RIT_OK)
            (void)rit_flow_close(port->node, flow->flow);
        drop_flow(port, flow);
        return;
    }
    udp_recv(flow->pcb, on_service, flow);
    tell_flow(port, flow, 0);
}

void ritl_flow_event(struct rit_lwip *port, const struct rit_event *event) {
    struct ritl_flow *flow = port->flows;

    if (event->type == RIT_EVENT_FLOW_INCOMING) {
        on_incoming_flow(port, event);
        return;
    }
    while (flow != NULL && flow->flow != event->flow)
        flow = flow->next;
    if (flow == NULL)
        return;
    if (event->type == RIT_EVENT_FLOW_OPENED) {
        tell_flow(port, flow, 0);
    } else if (event->type == RIT_EVENT_FLOW_READABLE) {
        take_messages(port, flow);
    } else if (event->type == RIT_EVENT_FLOW_REFUSED) {
        tell_flow(port, flow, event->error);
        if (flow->want != NULL)
            flow->want->udp_paused_until_us = ritl_now_us(port) + REFUSED_US;
        end_flow(port, flow);
    } else if (event->type == RIT_EVENT_FLOW_CLOSED) {
        flow->is_over = 1;
        if (!flow->has_more)
            end_flow(port, flow);
    }
}

/* What waited, and what is over. */
static void run_flows(struct rit_lwip *port) {
    struct ritl_flow *flow, *next;

    for (flow = port->flows; flow != NULL; flow = next) {
        next = flow->next;
        if (flow->has_more)
            take_messages(port, flow);
        if (flow->is_over && !flow->has_more)
            end_flow(port, flow);
    }
}

static void flows_session_down(struct rit_lwip *port, rit_session session) {
    struct ritl_flow *flow, *next;

    for (flow = port->flows; flow != NULL; flow = next) {
        next = flow->next;
        if (flow->session == session)
            drop_flow(port, flow);
    }
}
#else
void ritl_flow_event(struct rit_lwip *port, const struct rit_event *event) {
    if (event->type == RIT_EVENT_FLOW_INCOMING)
        (void)rit_flow_refuse(port->node, event->flow, RIT_REFUSED_UNKNOWN);
}
#endif

void ritl_flow_free(struct rit_lwip *port) {
#if RIT_LWIP_FLOWS
    while (port->flows != NULL)
        end_flow(port, port->flows);
#else
    (void)port;
#endif
}

#if RIT_LWIP_REACH

/* ---- listeners */

#if HAS_LISTENERS
static err_t loop_output(struct netif *netif, struct pbuf *p, const ip4_addr_t *to) {
    (void)to;
    return netif_loop_output(netif, p);
}

static err_t init_netif(struct netif *netif) {
    netif->name[0] = 'r';
    netif->name[1] = 'l';
    netif->output = loop_output;
    return ERR_OK;
}

static int add_netif(struct ritl_want *want, const ip4_addr_t *address) {
    ip4_addr_t mask, gateway;

    IP4_ADDR(&mask, 255, 255, 255, 255);
    ip4_addr_set_zero(&gateway);
    memset(&want->netif, 0, sizeof want->netif);
    if (netif_add(&want->netif, address, &mask, &gateway, NULL, init_netif, ip_input) == NULL)
        return -1;
    netif_set_link_up(&want->netif);
    netif_set_up(&want->netif);
    want->has_netif = 1;
    return 0;
}

static void remove_netif(struct ritl_want *want) {
    if (!want->has_netif)
        return;
    netif_remove(&want->netif);
    want->has_netif = 0;
    while (want->netif.loop_first != NULL) { /* packets on their way, end to end */
        struct pbuf *p = want->netif.loop_first, *last = p;
        while (last->len != last->tot_len)
            last = last->next;
        want->netif.loop_first = last->next;
        last->next = NULL;
        pbuf_free(p);
    }
    want->netif.loop_last = NULL;
}

/* Whether another of our interfaces has it. */
static int is_taken(struct rit_lwip *port, const ip4_addr_t *address) {
    const struct ritl_want *want = port->wants;

    while (want != NULL &&
           (!want->has_netif || !ip4_addr_cmp(netif_ip4_addr(&want->netif), address)))
        want = want->next;
    return want != NULL;
}

static int open_netif(struct ritl_want *want) {
    uint32_t attempt;

    if (want->has_netif)
        return 0;
    for (attempt = 0; attempt < LISTEN_ATTEMPTS; attempt++) {
        ip4_addr_t at;
        uint8_t octets[4];
        if (rit_loopback_address(want->peer->device, want->service, attempt, octets) != 0)
            return -1;
        IP4_ADDR(&at, octets[0], octets[1], octets[2], octets[3]);
        if (!is_taken(want->port, &at))
            return add_netif(want, &at);
    }
    return -1;
}

static int listen_tcp(struct ritl_want *want, uint16_t number) {
    struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_V4), *listener = NULL;

    if (pcb == NULL)
        return -1;
    if (tcp_bind(pcb, netif_ip_addr4(&want->netif), number) == ERR_OK)
        listener = tcp_listen(pcb);
    if (listener == NULL) {
        (void)tcp_close(pcb);
        return -1;
    }
    tcp_arg(listener, want);
    tcp_accept(listener, ritl_on_accept);
    want->tcp = listener;
    return 0;
}

#if RIT_LWIP_FLOWS
/* A flow for a new client; NULL: there can be none now. The one that was not used for the longest
 * makes room. */
static struct ritl_flow *open_flow(struct rit_lwip *port, struct ritl_want *want,
                                   const ip_addr_t *client, u16_t number) {
    struct ritl_flow *flow, *oldest = NULL;
    rit_flow handle = 0;

    if (!want->peer->is_up || want->udp_paused_until_us > ritl_now_us(port))
        return NULL;
    for (flow = port->flows; flow != NULL; flow = flow->next) {
        if (flow->want != NULL && (oldest == NULL || flow->used_us < oldest->used_us))
            oldest = flow;
    }
    if (!ritl_has_room(port) && oldest != NULL)
        end_flow(port, oldest);
    if (!ritl_has_room(port) ||
        rit_flow_open(port->node, want->peer->session, want->service, &handle) != RIT_OK)
        return NULL;
    flow = add_flow(port, handle, want->peer->session);
    if (flow == NULL) {
        (void)rit_flow_close(port->node, handle);
        return NULL;
    }
    flow->want = want;
    ip_addr_copy(flow->client, *client);
    flow->client_port = number;
    return flow;
}

static void on_client(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                      u16_t number) {
    struct ritl_want *want = arg;
    struct rit_lwip *port = want->port;
    struct ritl_flow *flow = port->flows;

    (void)pcb;
    while (flow != NULL && (flow->want != want || flow->client_port != number ||
                            !ip_addr_cmp(&flow->client, from)))
        flow = flow->next;
    if (flow == NULL)
        flow = open_flow(port, want, from, number);
    if (flow != NULL)
        send_message(port, flow, p);
    pbuf_free(p);
    ritl_pump(port);
}

static int listen_udp(struct ritl_want *want, uint16_t number) {
    want->udp = udp_new_ip_type(IPADDR_TYPE_V4);
    if (want->udp == NULL)
        return -1;
    if (udp_bind(want->udp, netif_ip_addr4(&want->netif), number) != ERR_OK) {
        udp_remove(want->udp);
        want->udp = NULL;
        return -1;
    }
    udp_recv(want->udp, on_client, want);
    return 0;
}
#endif

static void tell_listening(struct ritl_want *want, uint16_t kind, uint16_t number) {
    struct rit_lwip *port = want->port;
    struct rit_lwip_event event;

    if (port->config.event == NULL)
        return;
    memset(&event, 0, sizeof event);
    event.type = RIT_LWIP_LISTENING;
    event.peer = want->peer->device;
    event.service = want->service;
    event.kind = kind;
    event.port = number;
    memcpy(event.address, netif_ip4_addr(&want->netif), sizeof event.address);
    port->config.event(port->config.ctx, port, &event);
}

static void listen_for(struct ritl_want *want, uint16_t kind, uint16_t service_port) {
    uint16_t number = want->listen_port != 0 ? want->listen_port : service_port;
    int failed = number == 0 ? -1 : open_netif(want);

    if (failed == 0 && kind == RIT_SERVICE_TCP)
        failed = listen_tcp(want, number);
#if RIT_LWIP_FLOWS
    if (failed == 0 && kind == RIT_SERVICE_UDP)
        failed = listen_udp(want, number);
#endif
    if (failed == 0)
        tell_listening(want, kind, number);
    else
        ritl_tell(want->port, RIT_LWIP_NOT_LISTENING, RIT_LWIP_ERR_LISTEN, want->peer->device,
                  want->service);
}
#else
static void remove_netif(struct ritl_want *want) {
    (void)want;
}

static void listen_for(struct ritl_want *want, uint16_t kind, uint16_t service_port) {
    (void)kind;
    (void)service_port;
    ritl_tell(want->port, RIT_LWIP_NOT_LISTENING, RIT_LWIP_ERR_LISTEN, want->peer->device,
              want->service);
}
#endif

/* Listens for what is wanted of the device and offered by it. */
static void listen_for_wants(struct rit_lwip *port, struct ritl_peer *peer) {
    struct rit_service_info info;
    struct ritl_want *want;

    memset(&info, 0, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    for (want = port->wants; want != NULL; want = want->next) {
        int is_offered = 0;
        uint32_t i;
        if (want->peer != peer || !want->listens)
            continue;
        for (i = 0; rit_session_service(port->node, peer->session, i, &info) == RIT_OK; i++) {
            if (strcmp(info.name, want->service) != 0)
                continue;
            is_offered = 1;
            if (info.kind == RIT_SERVICE_TCP && want->tcp == NULL)
                listen_for(want, info.kind, info.port);
#if RIT_LWIP_FLOWS
            else if (info.kind == RIT_SERVICE_UDP && want->udp == NULL)
                listen_for(want, info.kind, info.port);
#endif
        }
        if (!is_offered)
            ritl_tell(port, RIT_LWIP_NOT_LISTENING, RIT_LWIP_ERR_SERVICE, peer->device,
                      want->service);
    }
}

/* ---- what the user asks for */

static int find_want(struct rit_lwip *port, const uint8_t *device, const char *service,
                     struct ritl_want **out) {
    struct ritl_want *want = port->wants;
    struct ritl_peer *peer = port->peers;
    uint8_t address[4];
    int failed = rit_loopback_address(device, service, 0, address);

    if (failed != 0) /* this names what is wrong with a name */
        return failed;
    while (want != NULL && (memcmp(want->peer->device, device, RIT_KEY_LEN) != 0 ||
                            strcmp(want->service, service) != 0))
        want = want->next;
    *out = want;
    if (want != NULL)
        return 0;
    while (peer != NULL && memcmp(peer->device, device, RIT_KEY_LEN) != 0)
        peer = peer->next;
    if (peer == NULL) {
        peer = ritl_new(sizeof *peer);
        if (peer == NULL)
            return RIT_ERR_NOMEM;
        memcpy(peer->device, device, RIT_KEY_LEN);
        peer->next = port->peers;
        port->peers = peer;
    }
    want = ritl_new(sizeof *want);
    if (want == NULL)
        return RIT_ERR_NOMEM;
    want->port = port;
    want->peer = peer;
    memcpy(want->service, service, strlen(service) + 1);
    want->next = port->wants;
    port->wants = want;
    *out = want;
    return 0;
}

int rit_lwip_reach(rit_lwip *port, const uint8_t device[RIT_KEY_LEN], const char *service,
                   uint16_t listen_port) {
    struct ritl_want *want = NULL;
    int failed;

    LWIP_ASSERT_CORE_LOCKED();
    if (port == NULL || device == NULL || service == NULL)
        return RIT_ERR_NULL;
    failed = find_want(port, device, service, &want);
    if (failed != 0)
        return failed;
    if (want->listens)
        return RIT_ERR_EXISTS;
    want->listens = 1;
    want->listen_port = listen_port;
    if (want->peer->is_up)
        listen_for_wants(port, want->peer);
    ritl_wake(port, 0);
    return 0;
}

int rit_lwip_connect(rit_lwip *port, const uint8_t device[RIT_KEY_LEN], const char *service,
                     const struct rit_lwip_callbacks *callbacks, void *conn) {
    struct ritl_want *want = NULL;
    int failed;

    LWIP_ASSERT_CORE_LOCKED();
    if (port == NULL || device == NULL || service == NULL || callbacks == NULL ||
        callbacks->readable == NULL)
        return RIT_ERR_NULL;
    failed = find_want(port, device, service, &want);
    return failed != 0 ? failed : ritl_connect(port, want, callbacks, conn);
}

/* ---- sessions */

/* Doubles from the first to the last, each within half of itself by chance, so that many who lost
 * the same broker do not come back at once. */
static uint64_t backoff_us(struct rit_lwip *port, unsigned failures) {
    uint64_t wait = BACKOFF_MIN_US;

    while (failures-- > 1 && wait < BACKOFF_MAX_US)
        wait *= 2;
    if (wait > BACKOFF_MAX_US)
        wait = BACKOFF_MAX_US;
    return wait - ritl_random(port) % (wait / 2);
}

static void try_later(struct rit_lwip *port, struct ritl_peer *peer) {
    peer->session = 0;
    peer->is_up = 0;
    if (peer->failures < 16)
        peer->failures++;
    peer->retry_us = ritl_now_us(port) + backoff_us(port, peer->failures);
    ritl_wake(port, peer->retry_us);
}

static int is_wanted(const struct rit_lwip *port, const struct ritl_peer *peer) {
    const struct ritl_want *want = port->wants;

    while (want != NULL && (want->peer != peer || !want->listens))
        want = want->next;
    return want != NULL || ritl_is_waited_for(port, peer);
}

static void open_session(struct rit_lwip *port, struct ritl_peer *peer) {
    struct rit_target target;
    int failed;

    memset(&target, 0, sizeof target);
    target.struct_size = (uint32_t)sizeof target;
    memcpy(target.device, peer->device, RIT_KEY_LEN);
    failed = rit_session_open(port->node, &target, &peer->session);
    if (failed != 0) {
        try_later(port, peer);
        ritl_tell(port, RIT_LWIP_SESSION_DOWN, failed, peer->device, NULL);
    }
}

static struct ritl_peer *find_peer(struct rit_lwip *port, rit_session session) {
    struct ritl_peer *peer = port->peers;

    while (peer != NULL && peer->session != session)
        peer = peer->next;
    return peer;
}
#endif /* RIT_LWIP_REACH */

void ritl_connect_run(struct rit_lwip *port, uint64_t now_us) {
#if RIT_LWIP_REACH
    struct ritl_peer *peer;

    for (peer = port->peers; peer != NULL && port->is_online; peer = peer->next) {
        if (peer->session != 0 || !is_wanted(port, peer))
            continue;
        if (peer->retry_us <= now_us)
            open_session(port, peer);
        else
            ritl_wake(port, peer->retry_us);
    }
#endif
    (void)port;
    (void)now_us;
#if RIT_LWIP_FLOWS
    run_flows(port);
#endif
}

void ritl_connect_session_up(struct rit_lwip *port, rit_session session) {
#if RIT_LWIP_REACH
    struct ritl_peer *peer = find_peer(port, session);

    if (peer == NULL)
        return;
    peer->is_up = 1;
    peer->failures = 0;
    listen_for_wants(port, peer);
    ritl_bridge_session_up(port, peer);
#else
    (void)port;
    (void)session;
#endif
}

void ritl_connect_session_down(struct rit_lwip *port, rit_session session) {
#if RIT_LWIP_REACH
    struct ritl_peer *peer = find_peer(port, session);

    if (peer != NULL)
        try_later(port, peer);
#endif
#if RIT_LWIP_FLOWS
    flows_session_down(port, session);
#endif
    (void)port;
    (void)session;
}

#if RIT_LWIP_REACH
static void free_want(void *memory) {
    RIT_LWIP_FREE(memory);
}
#endif

void ritl_connect_free(struct rit_lwip *port) {
#if RIT_LWIP_REACH
    while (port->wants != NULL) {
        struct ritl_want *want = port->wants;
        port->wants = want->next;
        if (want->tcp != NULL)
            (void)tcp_close(want->tcp);
        if (want->udp != NULL)
            udp_remove(want->udp);
        remove_netif(want);
#if NO_SYS
        free_want(want);
#else
        /* A call of netif_poll for it may be in tcpip's queue. */
        if (tcpip_try_callback(free_want, want) != ERR_OK)
            sys_timeout(1000, free_want, want);
#endif
    }
    while (port->peers != NULL) {
        struct ritl_peer *next = port->peers->next;
        RIT_LWIP_FREE(port->peers);
        port->peers = next;
    }
#else
    (void)port;
#endif
}
