/* relay.c: moves bytes between a TCP connection and its stream.
 *
 * Owns what waits of either (`up`, `down`), and back-pressure. Does not own when it is called, nor
 * connections that end early (bridge.c). Invariants: what TCP brought stays in its pbufs until the
 * stream took it, and only then tcp_recved opens the window again; of a stream only so much is read
 * as TCP has room for; so a slow reader on either side holds the other one up. FIN means on one
 * side what it means on the other. What lwIP has no memory for now is tried again, and is still
 * here.
 */
#include "internal.h"

#define PARTS_MAX 16           /* pbufs in one piece to the stream */

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

    for (rounds = 0; rounds < RITL_ROUNDS_MAX; rounds++) {
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
    ritl_conn_next(port, conn);
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
        ritl_conn_later(port, conn);
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

    for (rounds = 0; rounds < RITL_ROUNDS_MAX && conn->pcb != NULL && !conn->is_shut; rounds++) {
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
            ritl_conn_later(port, conn);
            return 0;
        }
        if (err != ERR_OK)
            return -1;
        conn->down = pbuf_free_header(conn->down, (u16_t)len);
        (void)tcp_output(conn->pcb); /* what cannot leave now lwIP sends later */
    }
    if (rounds == RITL_ROUNDS_MAX)
        ritl_conn_next(port, conn);
    return 0;
}

void ritl_relay(struct rit_lwip *port, struct ritl_conn *conn, unsigned ways) {
    if (((ways & RITL_UP) != 0 && relay_up(port, conn) != 0) ||
        ((ways & RITL_DOWN) != 0 && relay_down(port, conn) != 0)) {
        ritl_conn_abort(port, conn, RIT_ERR_RESET);
        return;
    }
    if (conn->is_finished && conn->is_shut) {
        /* What either still has to deliver it delivers without us. */
        struct tcp_pcb *pcb = ritl_conn_detach(conn);
        if (pcb != NULL)
            (void)tcp_close(pcb);
        (void)rit_stream_release(port->node, conn->stream);
        ritl_conn_drop(port, conn);
    }
}
