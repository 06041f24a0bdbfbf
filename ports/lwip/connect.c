/* connect.c: services of devices, as they are reached from here.
 *
 * Owns which sessions there shall be and opens them again; the loopback addresses of the services,
 * each a network interface of its own, as lwIP's takes nothing but 127.0.0.1; and a connection
 * until it has its stream: one that came to a listener, or one of callbacks. Does not own what
 * comes after (bridge.c) nor the clients of UDP services (flow.c).
 */
#include "internal.h"

#if !NO_SYS
#include "lwip/tcpip.h"
#endif
#include "lwip/timeouts.h"

#define BACKOFF_MIN_US 1000000u  /* before a session is opened again; doubles */
#define BACKOFF_MAX_US 30000000u
#define LISTEN_ATTEMPTS 8        /* addresses tried for one service and port */
#define WAIT_US 3000000u         /* how long an accepted connection waits for a session */
#define CALLS_WAIT_US 10000000u  /* and one of callbacks, which may have to open it */

#if RIT_LWIP_REACH

/* ---- connections: a stream to the service */

void ritl_open_stream(struct rit_lwip *port, struct ritl_conn *conn) {
    struct ritl_peer *peer = conn->want->peer;
    rit_stream stream = 0;
    int32_t failed = RIT_ERR_OFFLINE;

    conn->due_us = RITL_NEVER;
    if (peer->is_up)
        failed = rit_stream_open(port->node, peer->session, conn->want->service, &stream);
    if (failed == RIT_OK) {
        conn->session = peer->session;
        conn->stream = stream;
        conn->state = RITL_OPEN;
        conn->give_up_us = RITL_NEVER;
        if (conn->calls == NULL)
            ritl_relay(port, conn, RITL_UP | RITL_DOWN); /* bytes need not wait for the answer */
        else if (conn->calls->writable != NULL)
            conn->calls->writable(conn->ctx, port, stream);
    } else if (failed == RIT_ERR_LIMIT || failed == RIT_ERR_AGAIN) { /* until others have ended */
        ritl_conn_later(port, conn);
    } else if (failed != RIT_ERR_OFFLINE && failed != RIT_ERR_STATE) {
        ritl_conn_abort(port, conn, failed);
    } /* else until the session is up */
}

static struct ritl_conn *add_waiting(struct rit_lwip *port, struct ritl_want *want,
                                     uint32_t wait_us) {
    struct ritl_conn *conn = ritl_conn_add(port, 0);

    if (conn == NULL)
        return NULL;
    conn->want = want;
    conn->state = RITL_WAITING;
    conn->give_up_us = ritl_now_us(port) + wait_us;
    ritl_wake(port, conn->give_up_us);
    return conn;
}

static int is_waited_for(const struct rit_lwip *port, const struct ritl_peer *peer) {
    const struct ritl_conn *conn = port->conns;

    while (conn != NULL && (conn->state != RITL_WAITING || conn->want->peer != peer))
        conn = conn->next;
    return conn != NULL;
}

static void open_streams(struct rit_lwip *port, const struct ritl_peer *peer) {
    struct ritl_conn *conn;

    ritl_enter(port);
    for (conn = port->conns; conn != NULL; conn = conn->next) {
        if (conn->state == RITL_WAITING && conn->want->peer == peer)
            ritl_open_stream(port, conn);
    }
    ritl_leave(port);
}

/* ---- listeners */

#if RITL_HAS_LISTENERS
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

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err) {
    struct ritl_want *want = arg;
    struct rit_lwip *port = want->port;
    struct ritl_conn *conn;

    if (err != ERR_OK || pcb == NULL)
        return ERR_VAL; /* lwIP had no memory for it */
    conn = add_waiting(port, want, WAIT_US);
    if (conn == NULL) {
        tcp_abort(pcb);
        return ERR_ABRT;
    }
    ritl_tcp_enter(port, pcb);
    ritl_conn_attach(conn, pcb);
    ritl_open_stream(port, conn);
    return ritl_tcp_leave(port);
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
    tcp_accept(listener, on_accept);
    want->tcp = listener;
    return 0;
}

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
        failed = ritl_flow_listen(want, number);
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
            if (strcmp(info.name, want->service) != 0 ||
                (info.kind == RIT_SERVICE_UDP && !RIT_LWIP_FLOWS))
                continue;
            is_offered = 1;
            if (info.kind == RIT_SERVICE_TCP && want->tcp == NULL)
                listen_for(want, info.kind, info.port);
            else if (info.kind == RIT_SERVICE_UDP && want->udp == NULL)
                listen_for(want, info.kind, info.port);
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
    struct ritl_conn *waiting;
    int failed;

    LWIP_ASSERT_CORE_LOCKED();
    if (port == NULL || device == NULL || service == NULL || callbacks == NULL ||
        callbacks->readable == NULL)
        return RIT_ERR_NULL;
    failed = find_want(port, device, service, &want);
    if (failed != 0)
        return failed;
    waiting = add_waiting(port, want, CALLS_WAIT_US);
    if (waiting == NULL)
        return RIT_ERR_LIMIT;
    waiting->calls = callbacks;
    waiting->ctx = conn;
    waiting->due_us = 0; /* not before the caller knows that it is there */
    ritl_wake(port, 0);
    return 0;
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
    return want != NULL || is_waited_for(port, peer);
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

void ritl_connect_run(struct rit_lwip *port, uint64_t now_us) {
    struct ritl_peer *peer;

    for (peer = port->peers; peer != NULL && port->is_online; peer = peer->next) {
        if (peer->session != 0 || !is_wanted(port, peer))
            continue;
        if (peer->retry_us <= now_us)
            open_session(port, peer);
        else
            ritl_wake(port, peer->retry_us);
    }
}

void ritl_connect_session_up(struct rit_lwip *port, rit_session session) {
    struct ritl_peer *peer = find_peer(port, session);

    if (peer == NULL)
        return;
    peer->is_up = 1;
    peer->failures = 0;
    listen_for_wants(port, peer);
    open_streams(port, peer);
}

void ritl_connect_session_down(struct rit_lwip *port, rit_session session) {
    struct ritl_peer *peer = find_peer(port, session);

    if (peer != NULL)
        try_later(port, peer);
}

static void free_want(void *memory) {
    RIT_LWIP_FREE(memory);
}

void ritl_connect_free(struct rit_lwip *port) {
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
}
#else
void ritl_connect_run(struct rit_lwip *port, uint64_t now_us) {
    (void)port;
    (void)now_us;
}

void ritl_connect_session_up(struct rit_lwip *port, rit_session session) {
    (void)port;
    (void)session;
}

void ritl_connect_session_down(struct rit_lwip *port, rit_session session) {
    (void)port;
    (void)session;
}

void ritl_connect_free(struct rit_lwip *port) {
    (void)port;
}
#endif
