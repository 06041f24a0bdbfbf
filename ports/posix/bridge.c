/* bridge.c: TCP on one side, streams on the other.
 *
 * Owns what loopback listeners accept (reaching side), connectors to local services (device side)
 * and the relay between a TCP connection and a stream. Does not own sessions (loop.c), nor where
 * listeners are (places.c) and whom they serve (users.c). Invariants: a connection holds one fixed
 * buffer for each direction; TCP is read only while its buffer is empty and the stream takes bytes,
 * the stream only while its buffer is empty, so that a slow reader on either side holds the other
 * one up and memory stays as it is. FIN and RST mean on one side what they mean on the other (RFC
 * 9293 section 3.5): FIN is the end of one direction, RST of both.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define ROUNDS_MAX 8             /* buffers relayed before others have their turn */
#define ACCEPTS_MAX 64           /* and connections accepted */
#define CONNECT_US 10000000u     /* a service that does not answer its SYN for so long refuses */
/* A neighbour's service that cannot be connected to refuses after so long, whatever the reason: who
 * asks is not told whether its host is there. Three SYNs fit (RFC 6298). */
#define NEIGHBOUR_US 4000000u
#define WAIT_US 3000000u         /* how long an accepted connection waits for a session */
#define RETRY_US 10000u          /* after a limit that passes by itself */
#define DESCRIPTORS_US 100000u   /* after running out of descriptors */

/* ---- ends of a connection */

static void tell_connection(struct rit_posix *port, const struct ritp_conn *conn, int error) {
    if (conn->want != NULL)
        ritp_tell(port, RIT_POSIX_CONNECTION, error, conn->want->peer->device,
                  conn->want->service);
    else
        ritp_tell_offered(port, conn->session, conn->offer->name, error);
}

/* Both directions end at once: RST to TCP, reset and stop to the stream. */
static void abort_conn(struct rit_posix *port, struct ritp_conn *conn) {
    if (conn->fd >= 0)
        ritp_close_with_reset(conn->fd);
    conn->fd = -1;
    if (conn->stream != 0)
        (void)rit_stream_release(port->node, conn->stream);
    ritp_conn_drop(port, conn);
}

static void refuse(struct rit_posix *port, struct ritp_conn *conn, int32_t refusal) {
    int error = refusal == RIT_REFUSED_SERVICE ? RIT_ERR_REFUSED : RIT_ERR_LIMIT;

    tell_connection(port, conn, error);
    if (rit_stream_refuse(port->node, conn->stream, refusal) != RIT_OK)
        (void)rit_stream_release(port->node, conn->stream);
    ritp_conn_drop(port, conn);
}

/* ---- relay */

static int is_passing(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* TCP to stream. -1: the connection is dead. */
static int relay_up(struct rit_posix *port, struct ritp_conn *conn) {
    struct ritp_buffer *buf = &conn->up;
    int rounds;

    for (rounds = 0; rounds < ROUNDS_MAX; rounds++) {
        int32_t failed;
        size_t written = 0;
        if (conn->is_blocked || conn->is_finished)
            return 0;
        if (buf->len == 0 && !conn->tcp_has_ended) {
            ssize_t got;
            if (!conn->tcp_is_readable)
                return 0;
            got = recv(conn->fd, buf->bytes, sizeof buf->bytes, 0);
            /* Less than there is room for is all there was. */
            conn->tcp_is_readable = got == (ssize_t)sizeof buf->bytes;
            if (got < 0)
                return is_passing(errno) ? 0 : -1;
            conn->tcp_has_ended = got == 0;
            buf->at = 0;
            buf->len = (size_t)got;
        }
        if (buf->len == 0) {
            conn->is_finished = 1;
            return rit_stream_finish(port->node, conn->stream) == RIT_OK ? 0 : -1;
        }
        failed = rit_stream_write(port->node, conn->stream, buf->bytes + buf->at, buf->len,
                                  &written);
        if (failed != RIT_OK && failed != RIT_ERR_AGAIN)
            return -1;
        if (failed == RIT_ERR_AGAIN)
            written = 0;
        buf->at += written;
        buf->len -= written;
        conn->is_blocked = buf->len > 0; /* until RIT_EVENT_STREAM_WRITABLE */
    }
    return 0;
}

/* Stream to TCP. -1: the connection is dead. */
static int relay_down(struct rit_posix *port, struct ritp_conn *conn) {
    struct ritp_buffer *buf = &conn->down;
    int rounds;

    for (rounds = 0; rounds < ROUNDS_MAX; rounds++) {
        ssize_t put;
        if (buf->len == 0 && !conn->stream_has_ended) {
            int32_t failed;
            size_t len = 0;
            if (!conn->is_readable)
                return 0;
            failed = rit_stream_read(port->node, conn->stream, buf->bytes, sizeof buf->bytes, &len);
            conn->is_readable = failed == RIT_OK;
            if (failed == RIT_ERR_AGAIN)
                return 0;
            if (failed != RIT_OK)
                return -1;
            conn->stream_has_ended = len == 0;
            buf->at = 0;
            buf->len = len;
        }
        if (buf->len == 0) {
            if (!conn->is_shut && shutdown(conn->fd, SHUT_WR) != 0)
                return -1;
            conn->is_shut = 1;
            return 0;
        }
        put = send(conn->fd, buf->bytes + buf->at, buf->len, MSG_NOSIGNAL);
        if (put < 0)
            return is_passing(errno) ? 0 : -1;
        buf->at += (size_t)put;
        buf->len -= (size_t)put;
    }
    return 0;
}

/* Moves what can be moved; the connection may be gone afterwards. */
static void relay(struct rit_posix *port, struct ritp_conn *conn) {
    if (relay_up(port, conn) != 0 || relay_down(port, conn) != 0) {
        abort_conn(port, conn);
        return;
    }
    if (conn->is_finished && conn->is_shut) {
        /* What the stream still has to deliver it delivers without us. */
        (void)rit_stream_release(port->node, conn->stream);
        ritp_conn_drop(port, conn);
        return;
    }
    conn->has_hung_up = 0;
}

/* ---- device side: connect to the service, then answer */

/* Those that wait for a neighbour that did not answer have their turn. */
static void on_found_again(struct rit_posix *port, struct ritp_offer *offer) {
    size_t i;

    offer->is_silent = 0;
    for (i = 0; i < port->conn_count; i++) {
        struct ritp_conn *conn = port->conns[i];
        if (conn->offer == offer && conn->state == RITP_CONNECTING && conn->fd < 0)
            conn->due_us = 0;
    }
}

static void answer(struct rit_posix *port, struct ritp_conn *conn, uint64_t now_us) {
    int32_t failed = rit_stream_accept(port->node, conn->stream);

    if (failed == RIT_ERR_AGAIN) { /* the session's buffer is full */
        conn->state = RITP_ANSWERING;
        conn->due_us = now_us + RETRY_US;
        return;
    }
    if (failed != RIT_OK) {
        abort_conn(port, conn);
        return;
    }
    conn->state = RITP_OPEN;
    conn->due_us = conn->give_up_us = RITP_NEVER;
    conn->is_readable = 1;
    if (conn->offer->is_silent)
        on_found_again(port, conn->offer);
    tell_connection(port, conn, 0);
    relay(port, conn);
}

/* A neighbour cannot be connected to: until its time is over, the connection has no socket. */
static void fail_silently(struct rit_posix *port, struct ritp_conn *conn, uint64_t now_us) {
    conn->offer->is_silent = 1;
    ritp_offer_look(port, conn->offer, now_us);
}

/* Tries the offer's addresses from the current one on. */
static void connect_next(struct rit_posix *port, struct ritp_conn *conn, uint64_t now_us) {
    int is_neighbour = conn->offer->is_neighbour;

    while (conn->address < conn->offer->address_count) {
        const struct ritp_address *to = &conn->offer->addresses[conn->address];
        int fd;
        if (is_neighbour && !ritp_is_allowed(port, to)) {
            conn->address++;
            continue;
        }
        fd = socket(to->at.ss_family, SOCK_STREAM, 0);
        if (fd < 0 && ritp_is_short_of_room(errno)) {
            refuse(port, conn, RIT_REFUSED_LIMIT);
            return;
        }
        if (fd >= 0 && ritp_prepare_fd(fd) == 0) {
            ritp_no_delay(fd);
            conn->fd = fd;
            conn->state = RITP_CONNECTING;
            if (!is_neighbour)
                conn->give_up_us = now_us + CONNECT_US;
            if (connect(fd, (const struct sockaddr *)&to->at, to->len) == 0) {
                answer(port, conn, now_us);
                return;
            }
            if (errno == EINPROGRESS || errno == EINTR)
                return;
        }
        if (fd >= 0)
            (void)close(fd);
        conn->fd = -1;
        conn->address++;
    }
    if (is_neighbour)
        fail_silently(port, conn, now_us);
    else
        refuse(port, conn, RIT_REFUSED_SERVICE);
}

static void connect_again(struct rit_posix *port, struct ritp_conn *conn, uint64_t now_us) {
    conn->due_us = RITP_NEVER;
    conn->address = 0;
    connect_next(port, conn, now_us);
}

static void on_connected(struct rit_posix *port, struct ritp_conn *conn, uint64_t now_us) {
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0) {
        answer(port, conn, now_us);
        return;
    }
    (void)close(conn->fd);
    conn->fd = -1;
    conn->address++;
    connect_next(port, conn, now_us);
}

static int may_begin(const struct rit_posix *port, struct ritp_offer *offer, rit_session session,
                     uint64_t now_us) {
    size_t i, open = 0, own = 0;

    for (i = 0; i < port->conn_count; i++) {
        if (port->conns[i]->offer == offer) {
            open++;
            own += port->conns[i]->session == session;
        }
    }
    return ritp_may_begin(port, offer, open, own, now_us);
}

static void on_incoming(struct rit_posix *port, const struct rit_event *event) {
    struct ritp_offer *offer = ritp_find_offer(port, event->service);
    struct ritp_conn *conn = NULL;
    uint64_t now_us = ritp_now_us();
    int has_limits = offer != NULL && offer->is_neighbour;

    if (offer != NULL &&
        (!has_limits || may_begin(port, offer, event->session, now_us)))
        conn = ritp_conn_add(port, event->session);
    if (conn == NULL) {
        int32_t why = offer == NULL ? RIT_REFUSED_UNKNOWN : RIT_REFUSED_LIMIT;
        (void)rit_stream_refuse(port->node, event->stream, why);
        if (offer != NULL)
            ritp_tell_refused(port, event->session, offer, now_us);
        return;
    }
    conn->offer = offer;
    ritp_conn_set_stream(port, conn, event->stream);
    conn->state = RITP_CONNECTING;
    if (has_limits) {
        conn->give_up_us = now_us + NEIGHBOUR_US;
        ritp_offer_look(port, offer, now_us);
    }
    /* One knock at a time is enough for a neighbour that does not answer. */
    if (!offer->is_silent || ritp_conns_made(port, offer) == 0)
        connect_next(port, conn, now_us);
}

/* ---- reaching side: accept, then ask for the service */

static void open_stream(struct rit_posix *port, struct ritp_conn *conn, uint64_t now_us) {
    struct ritp_peer *peer = conn->want->peer;
    rit_stream stream = 0;
    int32_t failed = RIT_ERR_OFFLINE;

    conn->due_us = now_us + RETRY_US;
    if (peer->is_up) {
        failed = rit_stream_open(port->node, peer->session, conn->want->service, &stream);
        if (failed == RIT_ERR_LIMIT || failed == RIT_ERR_AGAIN) /* until others have ended */
            conn->want->paused_until_us = conn->due_us;
    }
    if (failed == RIT_OK) {
        conn->session = peer->session;
        conn->state = RITP_OPEN;
        conn->due_us = conn->give_up_us = RITP_NEVER;
        ritp_conn_set_stream(port, conn, stream);
        relay(port, conn); /* bytes need not wait for the answer */
    } else if (failed != RIT_ERR_OFFLINE && failed != RIT_ERR_STATE && failed != RIT_ERR_LIMIT &&
               failed != RIT_ERR_AGAIN) {
        abort_conn(port, conn);
    }
}

static void accept_all(struct rit_posix *port, struct ritp_want *want, uint64_t now_us) {
    int count;

    for (count = 0; count < ACCEPTS_MAX && want->paused_until_us <= now_us; count++) {
        struct ritp_conn *conn;
        int fd = accept(want->fd, NULL, NULL);
        if (fd < 0) {
            if (ritp_is_short_of_room(errno))
                port->accept_after_us = now_us + DESCRIPTORS_US;
            return;
        }
        if (!ritp_is_own_user(port, fd)) {
            ritp_close_with_reset(fd);
            if (ritp_is_news(&want->refused_again_us, now_us))
                ritp_tell(port, RIT_POSIX_CONNECTION, RIT_POSIX_ERR_USER, want->peer->device,
                          want->service);
            continue;
        }
        conn = ritp_prepare_fd(fd) == 0 ? ritp_conn_add(port, 0) : NULL;
        if (conn == NULL) {
            ritp_close_with_reset(fd);
            return;
        }
        ritp_no_delay(fd);
        conn->fd = fd;
        conn->want = want;
        conn->state = RITP_WAITING;
        conn->give_up_us = now_us + WAIT_US;
        open_stream(port, conn, now_us);
    }
}

/* ---- what the node says */

void ritp_bridge_event(struct rit_posix *port, const struct rit_event *event) {
    struct ritp_conn *conn;

    if (event->type == RIT_EVENT_STREAM_INCOMING) {
        on_incoming(port, event);
        return;
    }
    conn = ritp_conn_find(port, event->stream);
    if (conn == NULL)
        return;
    switch (event->type) {
    case RIT_EVENT_STREAM_OPENED:
        tell_connection(port, conn, 0);
        break;
    case RIT_EVENT_STREAM_REFUSED:
        tell_connection(port, conn, event->error);
        abort_conn(port, conn);
        return;
    case RIT_EVENT_STREAM_READABLE:
        conn->is_readable = 1;
        break;
    case RIT_EVENT_STREAM_WRITABLE:
        conn->is_blocked = 0;
        break;
    case RIT_EVENT_STREAM_RESET:
    case RIT_EVENT_STREAM_STOPPED:
        abort_conn(port, conn);
        return;
    default:
        return;
    }
    if (conn->state == RITP_OPEN)
        relay(port, conn);
}

void ritp_bridge_session_down(struct rit_posix *port, rit_session session) {
    size_t i;

    for (i = port->conn_count; i-- > 0;) {
        struct ritp_conn *conn = port->conns[i];
        if (conn->session != session)
            continue;
        ritp_conn_clear_stream(port, conn); /* its handle is stale */
        abort_conn(port, conn);
    }
}

void ritp_bridge_leave(struct rit_posix *port, const struct ritp_want *want) {
    size_t i;

    for (i = port->conn_count; i-- > 0;) {
        if (port->conns[i]->want == want)
            abort_conn(port, port->conns[i]);
    }
    if (want->fd >= 0)
        (void)close(want->fd);
}

void ritp_bridge_withdraw(struct rit_posix *port, const struct ritp_offer *offer) {
    size_t i;

    for (i = port->conn_count; i-- > 0;) {
        if (port->conns[i]->offer == offer)
            abort_conn(port, port->conns[i]);
    }
}

/* ---- the loop's two calls */

static void prepare_conn(struct rit_posix *port, struct ritp_conn *conn) {
    int events = 0;

    conn->poll = -1;
    if (conn->state == RITP_CONNECTING)
        events = POLLOUT;
    if (conn->state == RITP_OPEN) {
        if (conn->up.len == 0 && !conn->tcp_has_ended && !conn->is_blocked)
            events |= POLLIN;
        if (conn->down.len > 0)
            events |= POLLOUT;
        else if (conn->is_readable && !conn->stream_has_ended)
            port->has_more = 1;
        if (conn->up.len > 0 && !conn->is_blocked)
            port->has_more = 1;
    }
    if (conn->fd >= 0 && (events != 0 || !conn->has_hung_up))
        conn->poll = ritp_poll_add(port, conn->fd, (short)events);
}

uint64_t ritp_bridge_prepare(struct rit_posix *port, uint64_t now_us) {
    uint64_t wake_us = RITP_NEVER;
    int may_accept = port->accept_after_us <= now_us &&
                     port->conn_count < RIT_POSIX_CONNECTIONS_MAX;
    struct ritp_want *want;
    size_t i;

    if (port->accept_after_us > now_us)
        wake_us = port->accept_after_us;
    for (want = port->wants; want != NULL; want = want->next) {
        want->poll = -1;
        if (want->fd < 0 || !may_accept)
            continue;
        if (want->paused_until_us <= now_us)
            want->poll = ritp_poll_add(port, want->fd, POLLIN);
        else if (want->paused_until_us < wake_us)
            wake_us = want->paused_until_us;
    }
    for (i = 0; i < port->conn_count; i++) {
        struct ritp_conn *conn = port->conns[i];
        prepare_conn(port, conn);
        if (conn->due_us < wake_us)
            wake_us = conn->due_us;
        if (conn->give_up_us < wake_us)
            wake_us = conn->give_up_us;
    }
    return wake_us;
}

static void give_up(struct rit_posix *port, struct ritp_conn *conn, uint64_t now_us) {
    if (conn->offer->is_neighbour)
        fail_silently(port, conn, now_us);
    refuse(port, conn, RIT_REFUSED_SERVICE);
}

static void run_conn(struct rit_posix *port, struct ritp_conn *conn, int found, uint64_t now_us) {
    if (conn->state == RITP_CONNECTING && found != 0) {
        on_connected(port, conn, now_us);
    } else if (conn->give_up_us <= now_us) {
        if (conn->state == RITP_CONNECTING)
            give_up(port, conn, now_us);
        else
            abort_conn(port, conn);
    } else if (found & (POLLERR | POLLNVAL)) {
        abort_conn(port, conn);
    } else if (conn->due_us <= now_us) {
        if (conn->state == RITP_WAITING)
            open_stream(port, conn, now_us);
        else if (conn->state == RITP_CONNECTING)
            connect_again(port, conn, now_us);
        else
            answer(port, conn, now_us);
    } else if (conn->state == RITP_OPEN &&
               (found != 0 || conn->is_readable || (conn->up.len > 0 && !conn->is_blocked))) {
        int hangs = (found & POLLHUP) != 0 && (found & (POLLIN | POLLOUT)) == 0;
        rit_stream stream = conn->stream;
        conn->tcp_is_readable |= (found & (POLLIN | POLLHUP)) != 0;
        relay(port, conn);
        conn = ritp_conn_find(port, stream);
        if (conn != NULL && hangs)
            conn->has_hung_up = 1;
    } else if (found & POLLHUP) {
        conn->has_hung_up = 1;
    }
}

void ritp_bridge_run(struct rit_posix *port, uint64_t now_us) {
    struct ritp_want *want;
    size_t i;

    for (i = port->conn_count; i-- > 0;) {
        struct ritp_conn *conn = port->conns[i];
        run_conn(port, conn, conn->poll >= 0 ? port->polls[conn->poll].revents : 0, now_us);
    }
    for (want = port->wants; want != NULL; want = want->next) {
        if (want->poll >= 0 && port->polls[want->poll].revents != 0)
            accept_all(port, want, now_us);
    }
}

void ritp_bridge_free(struct rit_posix *port) {
    while (port->conn_count > 0)
        abort_conn(port, port->conns[port->conn_count - 1]);
    free(port->conns);
}
