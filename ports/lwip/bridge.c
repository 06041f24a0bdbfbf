/* bridge.c: connections: TCP or callbacks on one side, a stream on the other.
 *
 * Owns the list of them, what lwIP and the node say of them, how they end, and their deadlines.
 * Does not own which there are: those to a service that is offered come from offer.c, those to a
 * service that is reached from connect.c; nor the bytes between TCP and a stream (relay.c).
 * Invariants: RST means on one side what it means on the other. lwIP's error callback may come
 * inside a call of the library (tcp_alloc aborts another connection), so it only takes a note.
 */
#include "internal.h"

#define GOODBYE_US 10000000u   /* how long the peer of a stream that is done has to be so, too */

/* ---- the list */

static struct ritl_conn *find(struct rit_lwip *port, rit_stream stream) {
    struct ritl_conn *conn = port->conns;

    while (conn != NULL && (conn->stream != stream || conn->state == RITL_GONE))
        conn = conn->next;
    return conn;
}

int ritl_has_room(const struct rit_lwip *port) {
    return port->conn_count < port->config.max_connections;
}

struct ritl_conn *ritl_conn_add(struct rit_lwip *port, rit_session session) {
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
        if (conn->state == RITL_GONE) {
            *place = conn->next;
            RIT_LWIP_FREE(conn);
        } else {
            place = &conn->next;
        }
    }
}

struct tcp_pcb *ritl_conn_detach(struct ritl_conn *conn) {
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

void ritl_conn_drop(struct rit_lwip *port, struct ritl_conn *conn) {
    abort_pcb(port, ritl_conn_detach(conn));
    if (conn->up != NULL)
        pbuf_free(conn->up);
    if (conn->down != NULL)
        pbuf_free(conn->down);
    conn->up = conn->down = NULL;
    conn->stream = 0;
    conn->state = RITL_GONE;
    port->conn_count--;
}

/* ---- ends of a connection */

void ritl_conn_tell(struct rit_lwip *port, const struct ritl_conn *conn, int error) {
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

    ritl_conn_drop(port, conn);
    if (calls != NULL && calls->closed != NULL)
        calls->closed(ctx, port, stream, error);
}

void ritl_conn_abort(struct rit_lwip *port, struct ritl_conn *conn, int error) {
    if (conn->stream != 0)
        (void)rit_stream_release(port->node, conn->stream);
    end(port, conn, error);
}

void ritl_conn_refuse(struct rit_lwip *port, struct ritl_conn *conn, int32_t refusal) {
    int error = refusal == RIT_REFUSED_SERVICE  ? RIT_ERR_REFUSED
                : refusal == RIT_REFUSED_DENIED ? RIT_ERR_DENIED
                                                : RIT_ERR_LIMIT;

    ritl_conn_tell(port, conn, error);
    if (rit_stream_refuse(port->node, conn->stream, refusal) != RIT_OK)
        (void)rit_stream_release(port->node, conn->stream);
    conn->calls = NULL;
    ritl_conn_drop(port, conn);
}

void ritl_conn_later(struct rit_lwip *port, struct ritl_conn *conn) {
    conn->due_us = ritl_now_us(port) + RITL_RETRY_US;
    ritl_wake(port, conn->due_us);
}

void ritl_conn_next(struct rit_lwip *port, struct ritl_conn *conn) {
    if (conn->due_us != 0) {
        conn->due_us = 0;
        ritl_wake(port, 0);
    }
}

/* ---- callbacks: the stream is its user's */

/* Reads until the peer's end, so that it gets all there is and no reset. */
static void drain(struct rit_lwip *port, struct ritl_conn *conn) {
    uint8_t bytes[128];
    int32_t failed = RIT_OK;
    size_t len = 1;
    int rounds;

    for (rounds = 0; rounds < RITL_ROUNDS_MAX && failed == RIT_OK && len > 0; rounds++)
        failed = rit_stream_read(port->node, conn->stream, bytes, sizeof bytes, &len);
    if (failed == RIT_OK && len > 0)
        ritl_conn_next(port, conn);
    else if (failed != RIT_ERR_AGAIN)
        ritl_conn_abort(port, conn, RIT_OK); /* only releases it */
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
    if (conn->state == RITL_OPEN && (failed == RIT_OK || failed == RIT_ERR_STATE)) {
        conn->state = RITL_CLOSING_DOWN;
        conn->give_up_us = ritl_now_us(port) + GOODBYE_US;
        ritl_wake(port, conn->give_up_us);
        drain(port, conn);
    } else {
        ritl_conn_abort(port, conn, RIT_OK);
    }
    ritl_pump(port);
    ritl_leave(port);
    return RIT_OK;
}

/* ---- what lwIP says */

void ritl_tcp_enter(struct rit_lwip *port, struct tcp_pcb *pcb) {
    port->calling = pcb;
    ritl_enter(port);
}

err_t ritl_tcp_leave(struct rit_lwip *port) {
    int was_aborted;

    ritl_pump(port);
    ritl_leave(port);
    was_aborted = port->was_aborted;
    port->calling = NULL;
    port->was_aborted = 0;
    return was_aborted ? ERR_ABRT : ERR_OK;
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
    ritl_tcp_enter(port, pcb);
    if (p == NULL) {
        conn->tcp_has_ended = 1;
        /* It is lwIP's alone from here on, and goes without a word. */
        if (pcb->state == TIME_WAIT || pcb->state == CLOSING)
            (void)ritl_conn_detach(conn);
    } else if (conn->up == NULL) {
        conn->up = p;
    } else {
        pbuf_cat(conn->up, p);
    }
    if (conn->state == RITL_OPEN && !conn->is_blocked)
        ritl_conn_next(port, conn); /* with what else comes until then */
    return ritl_tcp_leave(port);
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len) {
    struct ritl_conn *conn = arg;
    struct rit_lwip *port = conn->port;

    (void)len;
    ritl_tcp_enter(port, pcb);
    if (conn->state == RITL_OPEN)
        ritl_relay(port, conn, RITL_DOWN);
    return ritl_tcp_leave(port);
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

void ritl_conn_attach(struct ritl_conn *conn, struct tcp_pcb *pcb) {
    conn->pcb = pcb;
    tcp_arg(pcb, conn);
    tcp_recv(pcb, on_recv);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
    tcp_nagle_disable(pcb);
}

/* ---- what the node says */

void ritl_bridge_event(struct rit_lwip *port, const struct rit_event *event) {
    struct ritl_conn *conn;

    if (event->type == RIT_EVENT_STREAM_INCOMING) {
        ritl_offer_incoming(port, event);
        return;
    }
    conn = event->stream != 0 ? find(port, event->stream) : NULL;
    if (conn == NULL)
        return;
    switch (event->type) {
    case RIT_EVENT_STREAM_OPENED:
        ritl_conn_tell(port, conn, 0);
        break;
    case RIT_EVENT_STREAM_REFUSED:
        ritl_conn_tell(port, conn, event->error);
        ritl_conn_abort(port, conn, event->error);
        break;
    case RIT_EVENT_STREAM_READABLE:
        conn->is_readable = 1;
        if (conn->state == RITL_CLOSING_DOWN)
            drain(port, conn);
        else if (conn->state == RITL_OPEN && conn->calls != NULL)
            conn->calls->readable(conn->ctx, port, conn->stream);
        else if (conn->state == RITL_OPEN)
            ritl_relay(port, conn, RITL_DOWN);
        break;
    case RIT_EVENT_STREAM_WRITABLE:
        conn->is_blocked = 0;
        if (conn->state == RITL_OPEN && conn->calls == NULL)
            ritl_relay(port, conn, RITL_UP);
        else if (conn->state == RITL_OPEN && conn->calls->writable != NULL)
            conn->calls->writable(conn->ctx, port, conn->stream);
        break;
    case RIT_EVENT_STREAM_RESET:
        ritl_conn_abort(port, conn, RIT_ERR_RESET);
        break;
    case RIT_EVENT_STREAM_STOPPED:
        ritl_conn_abort(port, conn, RIT_ERR_CLOSED);
        break;
    default:
        break;
    }
}

void ritl_bridge_session_down(struct rit_lwip *port, rit_session session, int error) {
    struct ritl_conn *conn;

    ritl_enter(port);
    for (conn = port->conns; conn != NULL; conn = conn->next) {
        if (conn->session != session || conn->state == RITL_GONE || conn->state == RITL_WAITING)
            continue;
        end(port, conn, error != RIT_OK ? error : RIT_ERR_CLOSED); /* its handle is stale */
    }
    ritl_leave(port);
}

/* ---- time */

static void run_conn(struct rit_lwip *port, struct ritl_conn *conn, uint64_t now_us) {
    if (conn->has_failed || conn->give_up_us <= now_us) {
        if (conn->state == RITL_CONNECTING)
            ritl_conn_refuse(port, conn, RIT_REFUSED_SERVICE);
        else
            ritl_conn_abort(port, conn, conn->has_failed ? RIT_ERR_RESET : RIT_ERR_OFFLINE);
    } else if (conn->due_us <= now_us) {
        conn->due_us = RITL_NEVER;
        if (conn->state == RITL_CONNECTING)
            ritl_offer_connect(port, conn);
        else if (conn->state == RITL_ANSWERING)
            ritl_offer_answer(port, conn);
        else if (conn->state == RITL_OPEN && conn->calls == NULL)
            ritl_relay(port, conn, RITL_UP | RITL_DOWN);
        else if (conn->state == RITL_CLOSING_DOWN)
            drain(port, conn);
#if RIT_LWIP_REACH
        else if (conn->state == RITL_WAITING)
            ritl_open_stream(port, conn);
#endif
    }
}

void ritl_bridge_run(struct rit_lwip *port, uint64_t now_us) {
    struct ritl_conn *conn;

    ritl_enter(port);
    for (conn = port->conns; conn != NULL; conn = conn->next) {
        if (conn->state != RITL_GONE)
            run_conn(port, conn, now_us);
        if (conn->state == RITL_GONE)
            continue;
        ritl_wake(port, conn->due_us < conn->give_up_us ? conn->due_us : conn->give_up_us);
    }
    ritl_leave(port);
}

void ritl_bridge_free(struct rit_lwip *port) {
    struct ritl_conn *conn;

    ritl_enter(port);
    for (conn = port->conns; conn != NULL; conn = conn->next) {
        if (conn->state != RITL_GONE)
            ritl_conn_abort(port, conn, RIT_ERR_CLOSED);
    }
    ritl_leave(port);
}
