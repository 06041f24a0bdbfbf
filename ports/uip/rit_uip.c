/* rit_uip.c: see rit_uip.h.
 *
 * Owns the node's UDP connection in uIP, its clock, and which callbacks belong to which stream.
 * Does not own uIP's buffer: it is read in rit_uip_appcall and filled there, when rit_uip_poll has
 * uIP ask for a packet. Callbacks are called by rit_uip_poll only, never inside of uip_process. */
#include "rit_uip.h"

#ifdef RIT_UIP_CLOCK
#include RIT_UIP_CLOCK
#endif

/* What a relay puts before a datagram. */
#define RELAY_HEADER 9
/* Datagrams are never larger: what Ethernet carries under IPv6. */
#define MAX_DATAGRAM 1452
#define HOST_CAP 254

#if RIT_UIP_ROOM < 512 + RELAY_HEADER
#error "UIP_BUFSIZE is too small: the link's MTU has to be 576 at least"
#endif

/* ---- what the node asks for */

static uint64_t now_us(void *ctx) {
    struct rit_uip *port = ctx;

#ifdef RIT_UIP_CLOCK
    if (port->config.now_us == NULL) {
        clock_time_t now = clock_time();

        port->ticks += (clock_time_t)(now - (clock_time_t)port->last_tick);
        port->last_tick = (uint32_t)now;
        return port->ticks * 1000000u / CLOCK_SECOND;
    }
#endif
    return port->config.now_us(port->config.ctx);
}

static int32_t entropy(void *ctx, uint8_t *out, size_t len) {
    struct rit_uip *port = ctx;

    return port->config.entropy(port->config.ctx, out, len);
}

static int32_t load(void *ctx, uint32_t slot, uint8_t *buf, size_t cap) {
    struct rit_uip *port = ctx;

    return port->config.load(port->config.ctx, slot, buf, cap);
}

static int32_t store(void *ctx, uint32_t slot, const uint8_t *buf, size_t len) {
    struct rit_uip *port = ctx;

    return port->config.store(port->config.ctx, slot, buf, len);
}

static void log_line(void *ctx, int32_t level, const char *msg) {
    struct rit_uip *port = ctx;

    port->config.log(port->config.ctx, level, msg);
}

/* ---- start and stop */

/* Limits for a device of which few use few services at once. */
static void small_limits(struct rit_config *node) {
    node->max_sessions = 2;
    node->max_services = RIT_UIP_SERVICES;
    node->max_peers = 8;
    node->max_streams = RIT_UIP_CONNECTIONS;
    node->stream_window = 4096;
    node->session_window = 8192;
    node->stream_send_buffer = 4096;
    node->max_flows = UINT32_MAX;
    node->datagram_queue = UINT32_MAX;
}

static int32_t make_node(struct rit_uip *port) {
    const uint32_t room = RIT_UIP_ROOM - RELAY_HEADER;
    struct rit_config node;
    struct rit_io io;
    int32_t error;

    rit_config_init(&node);
    if (port->config.node != NULL)
        node = *port->config.node;
    else
        small_limits(&node);
    if (node.max_datagram == 0)
        node.max_datagram = room < MAX_DATAGRAM ? room : MAX_DATAGRAM;
    if (node.max_datagram > room)
        return RIT_ERR_ARG;
    memset(&io, 0, sizeof io);
    io.struct_size = (uint32_t)sizeof io;
    io.ctx = port;
    io.now_us = now_us;
    io.entropy = entropy;
    io.load = port->config.load != NULL ? load : NULL;
    io.store = port->config.store != NULL ? store : NULL;
    io.log = port->config.log != NULL ? log_line : NULL;
    port->node = rit_node_new(&node, &io, &error);
    return error;
}

int32_t rit_uip_start(struct rit_uip *port, const struct rit_uip_config *config) {
    int32_t error;

    if (port == NULL || config == NULL || config->entropy == NULL)
        return RIT_ERR_NULL;
#ifndef RIT_UIP_CLOCK
    if (config->now_us == NULL)
        return RIT_ERR_NULL;
#endif
    memset(port, 0, sizeof *port);
    port->config = *config;
#ifdef RIT_UIP_CLOCK
    if (config->now_us == NULL)
        port->last_tick = (uint32_t)clock_time();
#endif
    error = make_node(port);
    if (error != RIT_OK)
        return error;
    port->config.node = NULL; /* it need not live on */
    port->udp = rit_uip_udp_new(config->stack);
    if (port->udp == NULL) {
        rit_uip_stop(port);
        return RIT_ERR_LIMIT;
    }
    if (config->udp_port != 0)
        rit_uip_set_lport(port->udp, config->udp_port);
    return RIT_OK;
}

void rit_uip_stop(struct rit_uip *port) {
    if (port->udp != NULL)
        uip_udp_remove(port->udp);
    rit_node_free(port->node);
    memset(port, 0, sizeof *port);
}

/* An IPv4 address as text; 0, or -1 where it is none. */
static int parse_ipv4(const char *text, uint8_t out[4]) {
    int i, digits;
    unsigned value;

    for (i = 0; i < 4; i++) {
        value = 0;
        for (digits = 0; *text >= '0' && *text <= '9' && digits < 3; digits++)
            value = value * 10 + (unsigned)(*text++ - '0');
        if (digits == 0 || value > 255 || *text != (i < 3 ? '.' : '\0'))
            return -1;
        text += i < 3;
        out[i] = (uint8_t)value;
    }
    return 0;
}

static struct rit_path ipv4_path(const uint8_t ip[4], uint16_t udp_port) {
    struct rit_path path;

    memset(&path, 0, sizeof path);
    path.struct_size = (uint32_t)sizeof path;
    path.ip[10] = path.ip[11] = 0xff;
    memcpy(path.ip + 12, ip, 4);
    path.port = udp_port;
    return path;
}

int32_t rit_uip_broker(struct rit_uip *port, const char *uri, const uint8_t *address,
                       const char *enrol_code) {
    struct rit_broker broker;
    struct rit_path path;
    char host[HOST_CAP];
    uint8_t ip[4];
    uint16_t udp_port;
    int32_t error;

    memset(&broker, 0, sizeof broker);
    broker.struct_size = (uint32_t)sizeof broker;
    error = rit_uri_parse(uri, broker.key, host, sizeof host, &udp_port);
    if (error != RIT_OK)
        return error;
    if (address == NULL && parse_ipv4(host, ip) != 0)
        return RIT_ERR_ARG;
    path = ipv4_path(address != NULL ? address : ip, udp_port);
    broker.paths = &path;
    broker.path_count = 1;
    broker.enrol_code = enrol_code;
    return rit_broker_connect(port->node, &broker);
}

/* ---- streams and their callbacks */

static struct rit_uip_conn *find_conn(struct rit_uip *port, rit_stream stream) {
    size_t i;

    for (i = 0; i < RIT_UIP_CONNECTIONS; i++) {
        if (port->conns[i].callbacks != NULL && port->conns[i].stream == stream)
            return &port->conns[i];
    }
    return NULL;
}

static struct rit_uip_conn *free_conn(struct rit_uip *port) {
    size_t i;

    for (i = 0; i < RIT_UIP_CONNECTIONS; i++) {
        if (port->conns[i].callbacks == NULL)
            return &port->conns[i];
    }
    return NULL;
}

/* A session that was opened here for connections is not wanted any more once there are none. */
static void leave_session(struct rit_uip *port, rit_session session) {
    struct rit_session_info info;
    size_t i;

    for (i = 0; i < RIT_UIP_CONNECTIONS; i++) {
        if (port->conns[i].callbacks != NULL && port->conns[i].session == session)
            return;
    }
    info.struct_size = (uint32_t)sizeof info;
    if (rit_session_info(port->node, session, &info) == RIT_OK && info.is_initiator)
        (void)rit_session_close(port->node, session, 0);
}

/* Forgets a connection, and its stream if there is one. */
static void drop(struct rit_uip *port, struct rit_uip_conn *conn) {
    struct rit_uip_conn was = *conn;

    memset(conn, 0, sizeof *conn);
    if (was.stream != 0)
        (void)rit_stream_release(port->node, was.stream);
    leave_session(port, was.session);
}

static void closed(struct rit_uip *port, struct rit_uip_conn *conn, int32_t error) {
    struct rit_uip_conn was = *conn;

    drop(port, conn);
    if (was.callbacks->closed != NULL)
        was.callbacks->closed(was.conn, port, was.stream, error);
}

static void writable(struct rit_uip *port, const struct rit_uip_conn *conn) {
    if (conn->callbacks->writable != NULL)
        conn->callbacks->writable(conn->conn, port, conn->stream);
}

int32_t rit_uip_close(struct rit_uip *port, rit_stream stream) {
    struct rit_uip_conn *conn = stream != 0 ? find_conn(port, stream) : NULL;

    if (conn == NULL)
        return RIT_ERR_HANDLE;
    drop(port, conn);
    return RIT_OK;
}

int32_t rit_uip_serve(struct rit_uip *port, const char *name, uint16_t service_port,
                      const struct rit_uip_callbacks *callbacks, void *ctx) {
    struct rit_service service;
    size_t i;

    if (callbacks == NULL || callbacks->readable == NULL)
        return RIT_ERR_NULL;
    memset(&service, 0, sizeof service);
    service.struct_size = (uint32_t)sizeof service;
    service.kind = RIT_SERVICE_TCP;
    service.port = service_port;
    service.name = name;
    for (i = 0; i < RIT_UIP_SERVICES; i++) {
        if (port->services[i].callbacks == NULL) {
            int32_t error = rit_service_add(port->node, &service, &port->services[i].id);
            if (error == RIT_OK) {
                port->services[i].callbacks = callbacks;
                port->services[i].ctx = ctx;
            }
            return error;
        }
    }
    return RIT_ERR_LIMIT;
}

/* RIT_REFUSED_* or 0. */
static int32_t take_stream(struct rit_uip *port, const struct rit_event *event) {
    const struct rit_uip_service *service = port->services;
    struct rit_uip_conn *conn = free_conn(port);
    struct rit_session_info info;
    int32_t refusal, error;

    while (service->callbacks == NULL || service->id != event->service) {
        if (++service == port->services + RIT_UIP_SERVICES)
            return RIT_REFUSED_UNKNOWN;
    }
    if (conn == NULL)
        return RIT_REFUSED_LIMIT;
    info.struct_size = (uint32_t)sizeof info;
    if (rit_session_info(port->node, event->session, &info) != RIT_OK)
        return RIT_REFUSED_SERVICE;
    conn->conn = NULL;
    conn->session = event->session;
    conn->stream = event->stream;
    conn->callbacks = service->callbacks;
    if (service->callbacks->open != NULL) {
        refusal = service->callbacks->open(service->ctx, port, event->stream, info.peer,
                                           &conn->conn);
        if (refusal != 0) {
            memset(conn, 0, sizeof *conn);
            return refusal;
        }
    }
    error = rit_stream_accept(port->node, event->stream);
    if (error == RIT_OK)
        writable(port, conn);
    else
        closed(port, conn, error);
    return 0;
}

#if RIT_UIP_CONNECT
int32_t rit_uip_connect(struct rit_uip *port, const uint8_t device[RIT_KEY_LEN],
                        const char *service, const struct rit_uip_callbacks *callbacks,
                        void *conn) {
    struct rit_uip_conn *slot = free_conn(port), made;
    struct rit_session_info info;
    struct rit_target target;
    int32_t error = RIT_OK;
    size_t i;

    if (callbacks == NULL || callbacks->readable == NULL || service == NULL || device == NULL)
        return RIT_ERR_NULL;
    if (slot == NULL)
        return RIT_ERR_LIMIT;
    memset(&made, 0, sizeof made);
    info.struct_size = (uint32_t)sizeof info;
    for (i = 0; i < RIT_UIP_CONNECTIONS && made.session == 0; i++) {
        rit_session session = port->conns[i].session;
        if (port->conns[i].callbacks != NULL &&
            rit_session_info(port->node, session, &info) == RIT_OK && info.is_initiator &&
            memcmp(info.peer, device, RIT_KEY_LEN) == 0)
            made.session = session;
    }
    if (made.session == 0) {
        memset(&target, 0, sizeof target);
        target.struct_size = (uint32_t)sizeof target;
        memcpy(target.device, device, RIT_KEY_LEN);
        error = rit_session_open(port->node, &target, &made.session);
        info.is_up = 0;
    }
    if (error == RIT_OK && info.is_up)
        error = rit_stream_open(port->node, made.session, service, &made.stream);
    if (error != RIT_OK)
        return error;
    made.callbacks = callbacks;
    made.conn = conn;
    made.service = info.is_up ? NULL : service;
    *slot = made;
    return RIT_OK;
}

static void session_up(struct rit_uip *port, rit_session session) {
    size_t i;

    for (i = 0; i < RIT_UIP_CONNECTIONS; i++) {
        struct rit_uip_conn *conn = &port->conns[i];
        if (conn->callbacks != NULL && conn->service != NULL && conn->session == session) {
            int32_t error = rit_stream_open(port->node, session, conn->service, &conn->stream);
            conn->service = NULL;
            if (error != RIT_OK)
                closed(port, conn, error);
        }
    }
}
#endif

static void session_down(struct rit_uip *port, rit_session session, int32_t error) {
    size_t i;

    for (i = 0; i < RIT_UIP_CONNECTIONS; i++) {
        struct rit_uip_conn *conn = &port->conns[i];
        if (conn->callbacks != NULL && conn->session == session)
            closed(port, conn, error != RIT_OK ? error : RIT_ERR_CLOSED);
    }
}

static void stream_event(struct rit_uip *port, const struct rit_event *event) {
    struct rit_uip_conn *conn = find_conn(port, event->stream);

    if (conn == NULL)
        return;
    switch (event->type) {
    case RIT_EVENT_STREAM_OPENED:
    case RIT_EVENT_STREAM_WRITABLE:
        writable(port, conn);
        break;
    case RIT_EVENT_STREAM_READABLE:
        conn->callbacks->readable(conn->conn, port, conn->stream);
        break;
    case RIT_EVENT_STREAM_REFUSED:
        closed(port, conn, event->error);
        break;
    case RIT_EVENT_STREAM_RESET:
        closed(port, conn, RIT_ERR_RESET);
        break;
    case RIT_EVENT_STREAM_STOPPED:
        closed(port, conn, RIT_ERR_CLOSED);
        break;
    case RIT_EVENT_STREAM_EXPIRED:
        closed(port, conn, RIT_ERR_TIMEOUT);
        break;
    default:
        break;
    }
}

static void node_event(struct rit_uip *port, const struct rit_event *event) {
    if (event->type == RIT_EVENT_STREAM_INCOMING) {
        int32_t refusal = take_stream(port, event);
        if (refusal != 0)
            (void)rit_stream_refuse(port->node, event->stream, refusal);
        return;
    }
    if (event->stream != 0) {
        stream_event(port, event);
        return;
    }
#if RIT_UIP_CONNECT
    if (event->type == RIT_EVENT_SESSION_UP)
        session_up(port, event->session);
#endif
    if (event->type == RIT_EVENT_SESSION_DOWN)
        session_down(port, event->session, event->error);
    if (port->config.event != NULL)
        port->config.event(port->config.ctx, port, event);
}

/* ---- datagrams */

static void take_datagram(struct rit_uip *port) {
    uint8_t *ip = rit_uip_ip(port->config.stack);
    uint16_t len = rit_uip_len(port->config.stack);
    uint16_t udp_port = (uint16_t)(ip[20] << 8 | ip[21]);
    struct rit_path from;

    /* uIP subtracts the headers' length from the packet's without a look at it. */
    if (len == 0 || len > RIT_UIP_ROOM || udp_port == 0)
        return;
    from = ipv4_path(ip + 12, udp_port);
    (void)rit_node_receive_batch(port->node, &from, ip + RIT_UIP_HEADERS, len, len);
}

/* Builds the next datagram behind the place of its headers. */
static void give_datagram(struct rit_uip *port) {
    static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    uint8_t *payload = rit_uip_ip(port->config.stack) + RIT_UIP_HEADERS;
    struct rit_path to;
    size_t len;

    to.struct_size = (uint32_t)sizeof to;
    while (rit_node_transmit(port->node, &to, payload, RIT_UIP_ROOM, &len) == RIT_OK) {
        /* A peer may have told an address that uIP cannot send to. */
        if (memcmp(to.ip, MAPPED, sizeof MAPPED) == 0) {
            rit_uip_set_remote(port->udp, to.ip + 12, to.port);
            rit_uip_udp_send(port->config.stack, (uint16_t)len);
            return;
        }
    }
}

int rit_uip_appcall(struct rit_uip *port) {
    if (port->udp == NULL || rit_uip_current(port->config.stack) != port->udp)
        return 0;
    if (rit_uip_has_newdata(port->config.stack))
        take_datagram(port);
    else if (port->is_asked)
        give_datagram(port);
    return 1;
}

/* uIP's address is the node's. */
static void look_at_address(struct rit_uip *port) {
    static const uint8_t NONE[4];
    uint8_t ip[4];
    struct rit_path path;

    memcpy(ip, rit_uip_hostaddr(port->config.stack), sizeof ip);
    if (memcmp(ip, port->hostaddr, sizeof ip) == 0 || memcmp(ip, NONE, sizeof ip) == 0)
        return;
    path = ipv4_path(ip, rit_uip_lport(port->udp));
    (void)rit_node_set_local_paths(port->node, &path, 1);
    if (memcmp(port->hostaddr, NONE, sizeof ip) != 0)
        (void)rit_node_network_changed(port->node);
    memcpy(port->hostaddr, ip, sizeof ip);
}

int rit_uip_poll(struct rit_uip *port) {
    static const uint8_t ANYONE[4];
    struct rit_event event;

    if (port->udp == NULL)
        return 0;
    look_at_address(port);
    if (now_us(port) >= rit_node_deadline(port->node))
        (void)rit_node_timeout(port->node);
    event.struct_size = (uint32_t)sizeof event;
    while (rit_node_next_event(port->node, &event) == RIT_OK)
        node_event(port, &event);
    port->is_asked = 1;
    rit_uip_ask(port->config.stack, port->udp);
    port->is_asked = 0;
    rit_uip_set_remote(port->udp, ANYONE, 0);
    return rit_uip_len(port->config.stack) > 0;
}
