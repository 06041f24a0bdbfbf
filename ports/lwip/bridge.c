/* bridge.c: TCP or callbacks on one side, streams on the other.
 *
 * Owns what is offered, connectors to local services (device side), connections that came to a
 * listener (reaching side) and the relay between a TCP connection and a stream. Does not own
 * sessions and listeners (connect.c). Invariants: what TCP brought stays in its pbufs until the
 * stream took it, and only then tcp_recved opens the window again; of a stream only so much is read
 * as TCP has room for; so a slow reader on either side holds the other one up. FIN and RST mean on
 * one side what they mean on the other. What lwIP has no memory for now is tried again, and is
 * still here. lwIP's error callback may come inside a call of the library (tcp_alloc aborts another
 * connection), so it only takes a note.
 */
#include "internal.h"

#include "lwip/ip.h"

#define ROUNDS_MAX 8           /* pieces relayed before others have their turn */
#define PARTS_MAX 16           /* pbufs in one piece to the stream */
#define CONNECT_US 10000000u   /* a service that does not answer its SYN for so long refuses */
#define WAIT_US 3000000u       /* how long an accepted connection waits for a session */
#define CALLS_WAIT_US 10000000u /* and one of callbacks, which may have to open it */
#define GOODBYE_US 10000000u   /* how long the peer of a stream that is done has to be so, too */

#define UP 1u                  /* to the stream */
#define DOWN 2u                /* to TCP */

enum state {
    WAITING,    /* accepted or asked for here; no stream yet */
    CONNECTING, /* to the service; the stream is not answered */
    ANSWERING,  /* connected to the service; the answer did not fit into the stream yet */
    OPEN,
    CLOSING_DOWN, /* its user is done, its peer not yet: what that sends is thrown away */
    GONE          /* to be freed */
};

struct ritl_conn {
    struct ritl_conn *next;
    struct rit_lwip *port;
    enum state state;
    rit_session session;
    rit_stream stream;              /* 0: none */
    const struct ritl_offer *offer; /* device side */
    struct ritl_want *want;         /* reaching side */
    const struct rit_lwip_callbacks *calls; /* or TCP: */
    void *ctx;
    struct tcp_pcb *pcb;            /* NULL: none, or none any more */
    struct pbuf *up, *down;         /* to the stream, to TCP; what is left of it */
    uint64_t due_us, give_up_us;    /* when to try again, until when */
    int tcp_has_ended, stream_has_ended; /* its peer sent the end of its bytes */
    int is_finished, is_shut;            /* which was handed on */
    int is_blocked;                      /* the stream takes no bytes now */
    int is_readable;                     /* the stream may have bytes */
    int has_failed;                      /* lwIP gave the connection up */
};

/* ---- the list */

static struct ritl_conn *find(struct rit_lwip *port, rit_stream stream) {
    struct ritl_conn *conn = port->conns;

    while (conn != NULL && (conn->stream != stream || conn->state == GONE))
        conn = conn->next;
    return conn;
}

int ritl_has_room(const struct rit_lwip *port) {
    return port->conn_count < port->config.max_connections;
}

static struct ritl_conn *add(struct rit_lwip *port, rit_session session) {
    struct ritl_conn *conn = ritl_has_room(port) ? ritl_new(sizeof *conn) : NULL;

    if (conn == NULL)
        return NULL;
    conn->port = port;
    conn->session = session;
    conn->due_us = conn->give_up_us = RITL_NEVER;
    conn->next = port->conns;
    port->conns = conn;
    port->conn_count++;
    return conn;
}

void ritl_enter(struct rit_lwip *port) {
    port->walkers++;
}

void ritl_leave(struct rit_lwip *port) {
    struct ritl_conn **place = &port->conns;

    if (--port->walkers > 0)
        return;
    while (*place != NULL) {
        struct ritl_conn *conn = *place;
        if (conn->state == GONE) {
            *place = conn->next;
            RIT_LWIP_FREE(conn);
        } else {
            place = &conn->next;
        }
    }
}

/* lwIP calls nothing for it any more. */
static struct tcp_pcb *detach(struct ritl_conn *conn) {
    struct tcp_pcb *pcb = conn->pcb;

    conn->pcb = NULL;
    if (pcb != NULL) {
        tcp_arg(pcb, NULL);
        tcp_recv(pcb, NULL);
        tcp_sent(pcb, NULL);
        tcp_err(pcb, NULL);
    }
    return pcb;
}

static void abort_pcb(struct rit_lwip *port, struct tcp_pcb *pcb) {
    if (pcb == NULL)
        return;
    if (pcb == port->calling)
        port->was_aborted = 1;
    tcp_abort(pcb);
}

static void drop(struct rit_lwip *port, struct ritl_conn *conn) {
    abort_pcb(port, detach(conn));
    if (conn->up != NULL)
        pbuf_free(conn->up);
    if (conn->down != NULL)
        pbuf_free(conn->down);
    conn->up = conn->down = NULL;
    conn->stream = 0;
    conn->state = GONE;
    port->conn_count--;
}

/* ---- ends of a connection */

static void tell_connection(struct rit_lwip *port, const struct ritl_conn *conn, int error) {
    if (conn->offer != NULL)
        ritl_tell(port, RIT_LWIP_CONNECTION, error, ritl_peer_of(port, conn->session),
                  conn->offer->name);
#if RIT_LWIP_REACH
    else if (conn->want != NULL)
        ritl_tell(port, RIT_LWIP_CONNECTION, error, conn->want->peer->device, conn->want->service);
#endif
}

/* Tells whoever it belongs to that it is over. */
static void end(struct rit_lwip *port, struct ritl_conn *conn, int error) {
    const struct rit_lwip_callbacks *calls = conn->calls;
    rit_stream stream = conn->stream;
    void *ctx = conn->ctx;

    drop(port, conn);
    if (calls != NULL && calls->closed != NULL)
        calls->closed(ctx, port, stream, error);
}

/* Both directions end at once: RST to TCP, reset and stop to the stream. */
static void abort_conn(struct rit_lwip *port, struct ritl_conn *conn, int error) {
    if (conn->stream != 0)
        (void)rit_stream_release(port->node, conn->stream);
    end(port, conn, error);
}

static void refuse(struct rit_lwip *port, struct ritl_conn *conn, int32_t refusal) {
    int error = refusal == RIT_REFUSED_SERVICE  ? RIT_ERR_REFUSED
                : refusal == RIT_REFUSED_DENIED ? RIT_ERR_DENIED
                                                : RIT_ERR_LIMIT;

    tell_connection(port, conn, error);
    if (rit_stream_refuse(port->node, conn->stream, refusal) != RIT_OK)
        (void)rit_stream_release(port->node, conn->stream);
    conn->calls = NULL;
    drop(port, conn);
}

static void try_later(struct rit_lwip *port, struct ritl_conn *conn) {
    conn->due_us = ritl_now_us(port) + RITL_RETRY_US;
    ritl_wake(port, conn->due_us);
}

/* Once others had their turn. */
static void try_next(struct rit_lwip *port, struct ritl_conn *conn) {
    if (conn->due_us != 0) {
        conn->due_us = 0;
        ritl_wake(port, 0);
    }
}

/* ---- relay */

/* Opens the window again, and acknowledges at once: a service that waits for that with its next
 * small piece (Nagle) would wait for lwIP's delayed acknowledgement, 250 ms. */
static void taken(struct tcp_pcb *pcb, size_t len) {
    tcp_recved(pcb, (u16_t)len);
    if ((pcb->flags & TF_ACK_DELAY) != 0) {
        tcp_set_flags(pcb, TF_ACK_NOW);
        (void)tcp_output(pcb);
    }
}

/* Writes what TCP brought, straight from its pbufs: *written of *len bytes. */
static int32_t write_up(struct rit_lwip *port, struct ritl_conn *conn, size_t *written,
                        size_t *len) {
    struct rit_bytes parts[PARTS_MAX];
    const struct pbuf *p = conn->up;
    size_t count;

    *len = 0;
    for (count = 0; count < PARTS_MAX && p != NULL; count++, p = p->next) {
        parts[count].data = p->payload;
        parts[count].len = p->len;
        *len += p->len;
    }
    return rit_stream_write_parts(port->node, conn->stream, parts, count, written);
}

/* TCP to stream. -1: the connection is dead. */
static int relay_up(struct rit_lwip *port, struct ritl_conn *conn) {
    int rounds;

    for (rounds = 0; rounds < ROUNDS_MAX; rounds++) {
        size_t written = 0, len;
        int32_t failed;
        if (conn->is_blocked || conn->is_finished)
            return 0;
        if (conn->up == NULL) {
            if (!conn->tcp_has_ended)
                return 0;
            conn->is_finished = 1;
            return rit_stream_finish(port->node, conn->stream) == RIT_OK ? 0 : -1;
        }
        failed = write_up(port, conn, &written, &len);
        if (failed != RIT_OK && failed != RIT_ERR_AGAIN)
            return -1;
        if (failed == RIT_ERR_AGAIN)
            written = 0;
        conn->is_blocked = written < len; /* until RIT_EVENT_STREAM_WRITABLE */
        conn->up = pbuf_free_header(conn->up, (u16_t)written);
        if (conn->pcb != NULL)
            taken(conn->pcb, written);
    }
    try_next(port, conn);
    return 0;
}

/* How much TCP takes now, so that tcp_write has no reason but lack of memory to say no. */
static size_t room_of(const struct tcp_pcb *pcb) {
    size_t room = tcp_sndbuf(pcb);

    if (tcp_sndqueuelen(pcb) + 4u > TCP_SND_QUEUELEN)
        return 0;
    return room < (RIT_LWIP_CHUNK) ? room : (RIT_LWIP_CHUNK);
}

/* Reads into conn->down what TCP has room for. 1: there is something, or the end; 0: not now; -1:
 * the stream is dead. The memory is there before the bytes are taken. */
static int read_down(struct rit_lwip *port, struct ritl_conn *conn) {
    size_t room = room_of(conn->pcb), len = 0;
    struct pbuf *p;
    int32_t failed;

    if (!conn->is_readable || room == 0)
        return 0; /* an event tells, or TCP that it sent something */
    p = pbuf_alloc(PBUF_RAW, (u16_t)room, PBUF_RAM);
    if (p == NULL) {
        try_later(port, conn);
        return 0;
    }
    failed = rit_stream_read(port->node, conn->stream, p->payload, room, &len);
    conn->is_readable = failed == RIT_OK;
    if (failed != RIT_OK || len == 0) {
        pbuf_free(p);
        conn->stream_has_ended = failed == RIT_OK;
        return failed == RIT_OK ? 1 : failed == RIT_ERR_AGAIN ? 0 : -1;
    }
    pbuf_realloc(p, (u16_t)len);
    conn->down = p;
    return 1;
}

/* Stream to TCP. -1: the connection is dead. */
static int relay_down(struct rit_lwip *port, struct ritl_conn *conn) {
    int rounds;

    for (rounds = 0; rounds < ROUNDS_MAX && conn->pcb != NULL && !conn->is_shut; rounds++) {
        size_t len;
        err_t err;
        if (conn->down == NULL && !conn->stream_has_ended) {
            int got = read_down(port, conn);
            if (got <= 0)
                return got;
        }
        if (conn->down == NULL) { /* without memory for the FIN lwIP sends it later by itself */
            conn->is_shut = 1;
            return tcp_shutdown(conn->pcb, 0, 1) == ERR_OK ? 0 : -1;
        }
        len = room_of(conn->pcb);
        if (len > conn->down->len)
            len = conn->down->len;
        if (len == 0)
            return 0; /* until something was sent */
        err = tcp_write(conn->pcb, conn->down->payload, (u16_t)len, TCP_WRITE_FLAG_COPY);
        if (err == ERR_MEM) {
            try_later(port, conn);
            return 0;
        }
        if (err != ERR_OK)
            return -1;
        conn->down = pbuf_free_header(conn->down, (u16_t)len);
        (void)tcp_output(conn->pcb); /* what cannot leave now lwIP sends later */
    }
    if (rounds == ROUNDS_MAX)
        try_next(port, conn);
    return 0;
}

/* Moves what can be moved; the connection may be gone afterwards. */
static void relay(struct rit_lwip *port, struct ritl_conn *conn, unsigned ways) {
    if (((ways & UP) != 0 && relay_up(port, conn) != 0) ||
        ((ways & DOWN) != 0 && relay_down(port, conn) != 0)) {
        abort_conn(port, conn, RIT_ERR_RESET);
        return;
    }
    if (conn->is_finished && conn->is_shut) {
        /* What either still has to deliver it delivers without us. */
        struct tcp_pcb *pcb = detach(conn);
        if (pcb != NULL)
            (void)tcp_close(pcb);
        (void)rit_stream_release(port->node, conn->stream);
        drop(port, conn);
    }
}

/* ---- callbacks: the stream is its user's */

static void call_readable(struct rit_lwip *port, struct ritl_conn *conn) {
    conn->calls->readable(conn->ctx, port, conn->stream);
}

/* The first call of each. */
static void begin_calls(struct rit_lwip *port, struct ritl_conn *conn) {
    if (conn->calls->writable != NULL)
        conn->calls->writable(conn->ctx, port, conn->stream);
    if (conn->state == OPEN)
        call_readable(port, conn);
}

/* Reads until the peer's end, so that it gets all there is and no reset. */
static void drain(struct rit_lwip *port, struct ritl_conn *conn) {
    uint8_t bytes[128];
    int32_t failed = RIT_OK;
    size_t len = 1;
    int rounds;

    for (rounds = 0; rounds < ROUNDS_MAX && failed == RIT_OK && len > 0; rounds++)
        failed = rit_stream_read(port->node, conn->stream, bytes, sizeof bytes, &len);
    if (failed == RIT_OK && len > 0)
        try_next(port, conn);
    else if (failed != RIT_ERR_AGAIN)
        abort_conn(port, conn, RIT_OK); /* only releases it */
}

int rit_lwip_close(rit_lwip *port, rit_stream stream) {
    struct ritl_conn *conn;
    int failed;

    LWIP_ASSERT_CORE_LOCKED();
    if (port == NULL)
        return RIT_ERR_NULL;
    conn = stream != 0 ? find(port, stream) : NULL;
    if (conn == NULL || conn->calls == NULL)
        return RIT_ERR_HANDLE;
    ritl_enter(port);
    conn->calls = NULL;
    failed = rit_stream_finish(port->node, stream);
    if (conn->state == OPEN && (failed == RIT_OK || failed == RIT_ERR_STATE)) {
        conn->state = CLOSING_DOWN;
        conn->give_up_us = ritl_now_us(port) + GOODBYE_US;
        ritl_wake(port, conn->give_up_us);
        drain(port, conn);
    } else {
        abort_conn(port, conn, RIT_OK);
    }
    ritl_pump(port);
    ritl_leave(port);
    return RIT_OK;
}

/* ---- device side: connect to the service, then answer */

static void answer(struct rit_lwip *port, struct ritl_conn *conn) {
    int32_t failed = rit_stream_accept(port->node, conn->stream);

    if (failed == RIT_ERR_AGAIN) { /* the session's buffer is full */
        conn->state = ANSWERING;
        try_later(port, conn);
        return;
    }
    if (failed != RIT_OK) {
        abort_conn(port, conn, failed);
        return;
    }
    conn->state = OPEN;
    conn->due_us = conn->give_up_us = RITL_NEVER;
    conn->is_readable = 1;
    tell_connection(port, conn, 0);
    if (conn->state != OPEN)
        return; /* by whom it was told */
    if (conn->calls != NULL)
        begin_calls(port, conn);
    else
        relay(port, conn, UP | DOWN);
}

/* What every callback of lwIP's but that for errors begins and ends with. */
static void enter(struct rit_lwip *port, struct tcp_pcb *pcb) {
    port->calling = pcb;
    ritl_enter(port);
}

static err_t leave(struct rit_lwip *port) {
    int was_aborted;

    ritl_pump(port);
    ritl_leave(port);
    was_aborted = port->was_aborted;
    port->calling = NULL;
    port->was_aborted = 0;
    return was_aborted ? ERR_ABRT : ERR_OK;
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err) {
    struct ritl_conn *conn = arg;
    struct rit_lwip *port = conn->port;

    (void)err; /* always ERR_OK */
    enter(port, pcb);
    conn->give_up_us = RITL_NEVER;
    answer(port, conn);
    return leave(port);
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err) {
    struct ritl_conn *conn = arg;
    struct rit_lwip *port;

    (void)err;
    if (conn == NULL) { /* nobody's any more */
        if (p != NULL)
            pbuf_free(p);
        return ERR_OK;
    }
    port = conn->port;
    if (p != NULL && conn->up != NULL && conn->up->tot_len + (u32_t)p->tot_len > 0xffff)
        return ERR_MEM; /* lwIP keeps it and comes again */
    enter(port, pcb);
    if (p == NULL) {
        conn->tcp_has_ended = 1;
        /* It is lwIP's alone from here on, and goes without a word. */
        if (pcb->state == TIME_WAIT || pcb->state == CLOSING)
            (void)detach(conn);
    } else if (conn->up == NULL) {
        conn->up = p;
    } else {
        pbuf_cat(conn->up, p);
    }
    if (conn->state == OPEN && !conn->is_blocked)
        try_next(port, conn); /* with what else comes until then */
    return leave(port);
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len) {
    struct ritl_conn *conn = arg;
    struct rit_lwip *port = conn->port;

    (void)len;
    enter(port, pcb);
    if (conn->state == OPEN)
        relay(port, conn, DOWN);
    return leave(port);
}

/* The connection is no more. Both its ends may have been said already. */
static void on_error(void *arg, err_t err) {
    struct ritl_conn *conn = arg;

    conn->pcb = NULL;
    if (err == ERR_CLSD && conn->is_shut && conn->tcp_has_ended)
        return;
    conn->has_failed = 1;
    conn->due_us = 0;
    ritl_wake(conn->port, 0);
}

static void attach(struct ritl_conn *conn, struct tcp_pcb *pcb) {
    conn->pcb = pcb;
    tcp_arg(pcb, conn);
    tcp_recv(pcb, on_recv);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
    tcp_nagle_disable(pcb);
}

static void connect_service(struct rit_lwip *port, struct ritl_conn *conn) {
    err_t err;

    conn->state = CONNECTING;
    conn->due_us = RITL_NEVER;
    if (conn->pcb == NULL) {
        struct tcp_pcb *pcb = tcp_new_ip_type(IP_GET_TYPE(&conn->offer->address));
        if (pcb == NULL) {
            refuse(port, conn, RIT_REFUSED_LIMIT);
            return;
        }
        attach(conn, pcb);
    }
    err = tcp_connect(conn->pcb, &conn->offer->address, conn->offer->port, on_connected);
    if (err == ERR_MEM || err == ERR_BUF) /* no memory for the SYN, no local port */
        try_later(port, conn);
    else if (err != ERR_OK)
        refuse(port, conn, RIT_REFUSED_SERVICE);
}

static void on_incoming(struct rit_lwip *port, const struct rit_event *event) {
    const struct ritl_offer *offer = ritl_find_offer(port, event->service);
    struct ritl_conn *conn = offer != NULL ? add(port, event->session) : NULL;
    int32_t refusal = RIT_OK;

    if (conn == NULL) {
        refusal = offer == NULL ? RIT_REFUSED_UNKNOWN : RIT_REFUSED_LIMIT;
        (void)rit_stream_refuse(port->node, event->stream, refusal);
        return;
    }
    conn->offer = offer;
    conn->calls = offer->calls;
    conn->stream = event->stream;
    if (conn->calls == NULL) {
        conn->give_up_us = ritl_now_us(port) + CONNECT_US;
        ritl_wake(port, conn->give_up_us);
        connect_service(port, conn);
        return;
    }
    if (conn->calls->open != NULL)
        refusal = conn->calls->open(offer->ctx, port, conn->stream,
                                    ritl_peer_of(port, conn->session), &conn->ctx);
    if (refusal != RIT_OK)
        refuse(port, conn, refusal);
    else
        answer(port, conn);
}

static int add_offer(struct rit_lwip *port, uint16_t kind, const char *name,
                     const struct ritl_offer *like, uint16_t number) {
    struct rit_service service;
    struct ritl_offer *offer;
    int failed;

    LWIP_ASSERT_CORE_LOCKED();
    if (port == NULL || name == NULL)
        return RIT_ERR_NULL;
    if (strlen(name) >= RIT_SERVICE_NAME_MAX)
        return RIT_ERR_NAME;
    offer = ritl_new(sizeof *offer);
    if (offer == NULL)
        return RIT_ERR_NOMEM;
    *offer = *like;
    memcpy(offer->name, name, strlen(name) + 1);
    memset(&service, 0, sizeof service);
    service.struct_size = (uint32_t)sizeof service;
    service.kind = kind;
    service.port = number;
    service.name = name;
    failed = rit_service_add(port->node, &service, &offer->id);
    if (failed != 0) {
        RIT_LWIP_FREE(offer);
        return failed;
    }
    offer->next = port->offers;
    port->offers = offer;
    ritl_pump(port);
    return 0;
}

static int add_bridge(struct rit_lwip *port, uint16_t kind, const char *name,
                      const ip_addr_t *address, uint16_t number) {
    struct ritl_offer like;

    if (number == 0)
        return RIT_ERR_ARG;
    memset(&like, 0, sizeof like);
    like.port = number;
    if (address != NULL) {
        like.address = *address;
    } else {
#if LWIP_IPV4
        IP_ADDR4(&like.address, 127, 0, 0, 1);
#else
        ip_addr_set_loopback(1, &like.address);
#endif
    }
    return add_offer(port, kind, name, &like, number);
}

int rit_lwip_offer(rit_lwip *port, const char *name, const ip_addr_t *address, uint16_t number) {
    return add_bridge(port, RIT_SERVICE_TCP, name, address, number);
}

int rit_lwip_offer_udp(rit_lwip *port, const char *name, const ip_addr_t *address,
                       uint16_t number) {
#if RIT_LWIP_FLOWS
    return add_bridge(port, RIT_SERVICE_UDP, name, address, number);
#else
    (void)port, (void)name, (void)address, (void)number;
    return RIT_ERR_LIMIT;
#endif
}

int rit_lwip_serve(rit_lwip *port, const char *name, uint16_t number,
                   const struct rit_lwip_callbacks *callbacks, void *ctx) {
    struct ritl_offer like;

    if (callbacks == NULL || callbacks->readable == NULL)
        return RIT_ERR_NULL;
    memset(&like, 0, sizeof like);
    like.calls = callbacks;
    like.ctx = ctx;
    return add_offer(port, RIT_SERVICE_TCP, name, &like, number);
}

const struct ritl_offer *ritl_find_offer(const struct rit_lwip *port, rit_service_id id) {
    const struct ritl_offer *offer = port->offers;

    while (offer != NULL && offer->id != id)
        offer = offer->next;
    return offer;
}

/* ---- reaching side: ask for the service */

#if RIT_LWIP_REACH
static void open_stream(struct rit_lwip *port, struct ritl_conn *conn) {
    struct ritl_peer *peer = conn->want->peer;
    rit_stream stream = 0;
    int32_t failed = RIT_ERR_OFFLINE;

    conn->due_us = RITL_NEVER;
    if (peer->is_up)
        failed = rit_stream_open(port->node, peer->session, conn->want->service, &stream);
    if (failed == RIT_OK) {
        conn->session = peer->session;
        conn->stream = stream;
        conn->state = OPEN;
        conn->give_up_us = RITL_NEVER;
        if (conn->calls == NULL)
            relay(port, conn, UP | DOWN); /* bytes need not wait for the answer */
        else if (conn->calls->writable != NULL)
            conn->calls->writable(conn->ctx, port, stream);
    } else if (failed == RIT_ERR_LIMIT || failed == RIT_ERR_AGAIN) { /* until others have ended */
        try_later(port, conn);
    } else if (failed != RIT_ERR_OFFLINE && failed != RIT_ERR_STATE) {
        abort_conn(port, conn, failed);
    } /* else until the session is up */
}

static struct ritl_conn *add_waiting(struct rit_lwip *port, struct ritl_want *want,
                                     uint32_t wait_us) {
    struct ritl_conn *conn = add(port, 0);

    if (conn == NULL)
        return NULL;
    conn->want = want;
    conn->state = WAITING;
    conn->give_up_us = ritl_now_us(port) + wait_us;
    ritl_wake(port, conn->give_up_us);
    return conn;
}

err_t ritl_on_accept(void *arg, struct tcp_pcb *pcb, err_t err) {
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
    enter(port, pcb);
    attach(conn, pcb);
    open_stream(port, conn);
    return leave(port);
}

int ritl_connect(struct rit_lwip *port, struct ritl_want *want,
                 const struct rit_lwip_callbacks *calls, void *ctx) {
    struct ritl_conn *conn = add_waiting(port, want, CALLS_WAIT_US);

    if (conn == NULL)
        return RIT_ERR_LIMIT;
    conn->calls = calls;
    conn->ctx = ctx;
    conn->due_us = 0; /* not before the caller knows that it is there */
    ritl_wake(port, 0);
    return 0;
}

int ritl_is_waited_for(const struct rit_lwip *port, const struct ritl_peer *peer) {
    const struct ritl_conn *conn = port->conns;

    while (conn != NULL && (conn->state != WAITING || conn->want->peer != peer))
        conn = conn->next;
    return conn != NULL;
}

void ritl_bridge_session_up(struct rit_lwip *port, const struct ritl_peer *peer) {
    struct ritl_conn *conn;

    ritl_enter(port);
    for (conn = port->conns; conn != NULL; conn = conn->next) {
        if (conn->state == WAITING && conn->want->peer == peer)
            open_stream(port, conn);
    }
    ritl_leave(port);
}
#endif

/* ---- what the node says */

void ritl_bridge_event(struct rit_lwip *port, const struct rit_event *event) {
    struct ritl_conn *conn;

    if (event->type == RIT_EVENT_STREAM_INCOMING) {
        on_incoming(port, event);
        return;
    }
    conn = event->stream != 0 ? find(port, event->stream) : NULL;
    if (conn == NULL)
        return;
    switch (event->type) {
    case RIT_EVENT_STREAM_OPENED:
        tell_connection(port, conn, 0);
        break;
    case RIT_EVENT_STREAM_REFUSED:
        tell_connection(port, conn, event->error);
        abort_conn(port, conn, event->error);
        break;
    case RIT_EVENT_STREAM_READABLE:
        conn->is_readable = 1;
        if (conn->state == CLOSING_DOWN)
            drain(port, conn);
        else if (conn->state == OPEN && conn->calls != NULL)
            call_readable(port, conn);
        else if (conn->state == OPEN)
            relay(port, conn, DOWN);
        break;
    case RIT_EVENT_STREAM_WRITABLE:
        conn->is_blocked = 0;
        if (conn->state == OPEN && conn->calls == NULL)
            relay(port, conn, UP);
        else if (conn->state == OPEN && conn->calls->writable != NULL)
            conn->calls->writable(conn->ctx, port, conn->stream);
        break;
    case RIT_EVENT_STREAM_RESET:
        abort_conn(port, conn, RIT_ERR_RESET);
        break;
    case RIT_EVENT_STREAM_STOPPED:
        abort_conn(port, conn, RIT_ERR_CLOSED);
        break;
    default:
        break;
    }
}

void ritl_bridge_session_down(struct rit_lwip *port, rit_session session, int error) {
    struct ritl_conn *conn;

    ritl_enter(port);
    for (conn = port->conns; conn != NULL; conn = conn->next) {
        if (conn->session != session || conn->state == GONE || conn->state == WAITING)
            continue;
        end(port, conn, error != RIT_OK ? error : RIT_ERR_CLOSED); /* its handle is stale */
    }
    ritl_leave(port);
}

/* ---- time */

static void run_conn(struct rit_lwip *port, struct ritl_conn *conn, uint64_t now_us) {
    if (conn->has_failed || conn->give_up_us <= now_us) {
        if (conn->state == CONNECTING)
            refuse(port, conn, RIT_REFUSED_SERVICE);
        else
            abort_conn(port, conn, conn->has_failed ? RIT_ERR_RESET : RIT_ERR_OFFLINE);
    } else if (conn->due_us <= now_us) {
        conn->due_us = RITL_NEVER;
        if (conn->state == CONNECTING)
            connect_service(port, conn);
        else if (conn->state == ANSWERING)
            answer(port, conn);
        else if (conn->state == OPEN && conn->calls == NULL)
            relay(port, conn, UP | DOWN);
        else if (conn->state == CLOSING_DOWN)
            drain(port, conn);
#if RIT_LWIP_REACH
        else if (conn->state == WAITING)
            open_stream(port, conn);
#endif
    }
}

void ritl_bridge_run(struct rit_lwip *port, uint64_t now_us) {
    struct ritl_conn *conn;

    ritl_enter(port);
    for (conn = port->conns; conn != NULL; conn = conn->next) {
        if (conn->state != GONE)
            run_conn(port, conn, now_us);
        if (conn->state == GONE)
            continue;
        ritl_wake(port, conn->due_us < conn->give_up_us ? conn->due_us : conn->give_up_us);
    }
    ritl_leave(port);
}

void ritl_bridge_free(struct rit_lwip *port) {
    struct ritl_conn *conn;

    ritl_enter(port);
    for (conn = port->conns; conn != NULL; conn = conn->next) {
        if (conn->state != GONE)
            abort_conn(port, conn, RIT_ERR_CLOSED);
    }
    ritl_leave(port);
    while (port->offers != NULL) {
        struct ritl_offer *next = port->offers->next;
        RIT_LWIP_FREE(port->offers);
        port->offers = next;
    }
}
