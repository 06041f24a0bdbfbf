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
#define WAIT_US 3000000u         /* how long an accepted connection waits for a session */
#define RETRY_US 10000u          /* after a limit that passes by itself */
#define DESCRIPTORS_US 100000u   /* after running out of descriptors */
#define REFUSED_PAUSE_US 1000000u  /* another user who is refused without end is told once */

enum state {
    WAITING,    /* accepted here; no stream yet */
    CONNECTING, /* to the service; the stream is not answered */
    ANSWERING,  /* connected to the service; the answer did not fit into the stream yet */
    OPEN
};

/* What one direction holds. */
struct buffer {
    size_t at, len;
    uint8_t bytes[RITP_BUFFER];
};

struct ritp_conn {
    struct ritp_conn *next_by_stream;
    size_t index; /* in port->conns */
    enum state state;
    int fd;       /* -1: none */
    int poll;
    rit_session session;
    rit_stream stream;           /* 0: none */
    struct ritp_want *want;      /* reaching side */
    struct ritp_offer *offer;    /* device side */
    size_t address;              /* of the offer's, being tried */
    uint64_t due_us, give_up_us; /* when to try again, until when */
    int tcp_has_ended, stream_has_ended;     /* its peer sent the end of its bytes */
    int is_finished, is_shut;                /* which was handed on */
    int is_blocked;                          /* the stream takes no bytes now */
    int is_readable;                         /* the stream may have bytes */
    int tcp_is_readable;                     /* and so may TCP */
    int has_hung_up;                         /* poll() would only say so again */
    struct buffer up, down;                  /* to the stream, to TCP */
};

/* ---- the table */

static size_t bucket(rit_stream stream) {
    return (size_t)((stream * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & (RITP_HASH - 1);
}

static struct ritp_conn *find(struct rit_posix *port, rit_stream stream) {
    struct ritp_conn *conn = port->by_stream[bucket(stream)];

    while (conn != NULL && conn->stream != stream)
        conn = conn->next_by_stream;
    return conn;
}

static void set_stream(struct rit_posix *port, struct ritp_conn *conn, rit_stream stream) {
    struct ritp_conn **place = &port->by_stream[bucket(stream)];

    conn->stream = stream;
    conn->next_by_stream = *place;
    *place = conn;
}

static void clear_stream(struct rit_posix *port, struct ritp_conn *conn) {
    struct ritp_conn **place = &port->by_stream[bucket(conn->stream)];

    while (*place != conn)
        place = &(*place)->next_by_stream;
    *place = conn->next_by_stream;
    conn->stream = 0;
}

static int reserve(struct rit_posix *port) {
    size_t room = port->conn_room == 0 ? 64 : port->conn_room * 2;
    struct ritp_conn **conns;

    if (port->conn_count >= RIT_POSIX_CONNECTIONS_MAX)
        return -1;
    if (port->conn_count < port->conn_room)
        return 0;
    conns = realloc(port->conns, room * sizeof(struct ritp_conn *));
    if (conns == NULL)
        return -1;
    port->conns = conns;
    port->conn_room = room;
    return 0;
}

static struct ritp_conn *add(struct rit_posix *port, rit_session session) {
    struct ritp_conn *conn;

    if (reserve(port) != 0)
        return NULL;
    conn = malloc(sizeof *conn); /* the buffers need no zeroes, and no pages before they are used */
    if (conn == NULL)
        return NULL;
    memset(conn, 0, offsetof(struct ritp_conn, up));
    conn->up.at = conn->up.len = conn->down.at = conn->down.len = 0;
    conn->fd = conn->poll = -1;
    conn->session = session;
    conn->due_us = conn->give_up_us = RITP_NEVER;
    conn->index = port->conn_count;
    port->conns[port->conn_count++] = conn;
    return conn;
}

/* The last takes its place, so a loop over the table runs from its end. */
static void drop(struct rit_posix *port, struct ritp_conn *conn) {
    struct ritp_conn *last = port->conns[--port->conn_count];

    last->index = conn->index;
    port->conns[conn->index] = last;
    if (conn->stream != 0)
        clear_stream(port, conn);
    if (conn->fd >= 0)
        (void)close(conn->fd);
    free(conn);
}

/* ---- ends of a connection */

static const char *name_of(const struct ritp_conn *conn) {
    return conn->want != NULL ? conn->want->service : conn->offer->name;
}

static void tell_connection(struct rit_posix *port, const struct ritp_conn *conn, int error) {
    static const uint8_t NOBODY[RIT_KEY_LEN];
    struct rit_session_info info;

    if (conn->want != NULL) {
        ritp_tell(port, RIT_POSIX_CONNECTION, error, conn->want->peer->device, name_of(conn));
        return;
    }
    memset(&info, 0, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    if (rit_session_info(port->node, conn->session, &info) != RIT_OK)
        memcpy(info.peer, NOBODY, sizeof NOBODY);
    ritp_tell(port, RIT_POSIX_CONNECTION, error, info.peer, name_of(conn));
}

/* Both directions end at once: RST to TCP, reset and stop to the stream. */
static void abort_conn(struct rit_posix *port, struct ritp_conn *conn) {
    if (conn->fd >= 0)
        ritp_close_with_reset(conn->fd);
    conn->fd = -1;
    if (conn->stream != 0)
        (void)rit_stream_release(port->node, conn->stream);
    drop(port, conn);
}

static void refuse(struct rit_posix *port, struct ritp_conn *conn, int32_t refusal) {
    int error = refusal == RIT_REFUSED_SERVICE ? RIT_ERR_REFUSED : RIT_ERR_LIMIT;

    tell_connection(port, conn, error);
    if (rit_stream_refuse(port->node, conn->stream, refusal) != RIT_OK)
        (void)rit_stream_release(port->node, conn->stream);
    drop(port, conn);
}

/* ---- relay */

static int is_passing(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* TCP to stream. -1: the connection is dead. */
static int relay_up(struct rit_posix *port, struct ritp_conn *conn) {
    struct buffer *buf = &conn->up;
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
    struct buffer *buf = &conn->down;
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
        drop(port, conn);
        return;
    }
    conn->has_hung_up = 0;
}

/* ---- device side: connect to the service, then answer */

static void answer(struct rit_posix *port, struct ritp_conn *conn, uint64_t now_us) {
    int32_t failed = rit_stream_accept(port->node, conn->stream);

    if (failed == RIT_ERR_AGAIN) { /* the session's buffer is full */
        conn->state = ANSWERING;
        conn->due_us = now_us + RETRY_US;
        return;
    }
    if (failed != RIT_OK) {
        abort_conn(port, conn);
        return;
    }
    conn->state = OPEN;
    conn->due_us = conn->give_up_us = RITP_NEVER;
    conn->is_readable = 1;
    tell_connection(port, conn, 0);
    relay(port, conn);
}

/* Tries the offer's addresses from the current one on. */
static void connect_next(struct rit_posix *port, struct ritp_conn *conn, uint64_t now_us) {
    while (conn->address < conn->offer->address_count) {
        const struct ritp_address *to = &conn->offer->addresses[conn->address];
        int fd = socket(to->at.ss_family, SOCK_STREAM, 0);
        if (fd < 0 && ritp_is_short_of_room(errno)) {
            refuse(port, conn, RIT_REFUSED_LIMIT);
            return;
        }
        if (fd >= 0 && ritp_prepare_fd(fd) == 0) {
            ritp_no_delay(fd);
            conn->fd = fd;
            conn->state = CONNECTING;
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
    refuse(port, conn, RIT_REFUSED_SERVICE);
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

static void on_incoming(struct rit_posix *port, const struct rit_event *event) {
    struct ritp_offer *offer = port->offers;
    struct ritp_conn *conn = NULL;

    while (offer != NULL && offer->id != event->service)
        offer = offer->next;
    if (offer != NULL)
        conn = add(port, event->session);
    if (conn == NULL) {
        int32_t why = offer == NULL ? RIT_REFUSED_UNKNOWN : RIT_REFUSED_LIMIT;
        (void)rit_stream_refuse(port->node, event->stream, why);
        return;
    }
    conn->offer = offer;
    set_stream(port, conn, event->stream);
    connect_next(port, conn, ritp_now_us());
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
        conn->state = OPEN;
        conn->due_us = conn->give_up_us = RITP_NEVER;
        set_stream(port, conn, stream);
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
            if (now_us >= want->refused_again_us)
                ritp_tell(port, RIT_POSIX_CONNECTION, RIT_POSIX_ERR_USER, want->peer->device,
                          want->service);
            want->refused_again_us = now_us + REFUSED_PAUSE_US;
            continue;
        }
        conn = ritp_prepare_fd(fd) == 0 ? add(port, 0) : NULL;
        if (conn == NULL) {
            ritp_close_with_reset(fd);
            return;
        }
        ritp_no_delay(fd);
        conn->fd = fd;
        conn->want = want;
        conn->state = WAITING;
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
    conn = find(port, event->stream);
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
    if (conn->state == OPEN)
        relay(port, conn);
}

void ritp_bridge_session_down(struct rit_posix *port, rit_session session) {
    size_t i;

    for (i = port->conn_count; i-- > 0;) {
        struct ritp_conn *conn = port->conns[i];
        if (conn->session != session)
            continue;
        clear_stream(port, conn); /* its handle is stale */
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

/* ---- the loop's two calls */

static void prepare_conn(struct rit_posix *port, struct ritp_conn *conn) {
    int events = 0;

    conn->poll = -1;
    if (conn->state == CONNECTING)
        events = POLLOUT;
    if (conn->state == OPEN) {
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

static void run_conn(struct rit_posix *port, struct ritp_conn *conn, int found, uint64_t now_us) {
    if (conn->state == CONNECTING && found != 0) {
        on_connected(port, conn, now_us);
    } else if (conn->give_up_us <= now_us) {
        if (conn->state == CONNECTING)
            refuse(port, conn, RIT_REFUSED_SERVICE);
        else
            abort_conn(port, conn);
    } else if (found & (POLLERR | POLLNVAL)) {
        abort_conn(port, conn);
    } else if (conn->due_us <= now_us) {
        if (conn->state == WAITING)
            open_stream(port, conn, now_us);
        else
            answer(port, conn, now_us);
    } else if (conn->state == OPEN &&
               (found != 0 || conn->is_readable || (conn->up.len > 0 && !conn->is_blocked))) {
        int hangs = (found & POLLHUP) != 0 && (found & (POLLIN | POLLOUT)) == 0;
        rit_stream stream = conn->stream;
        conn->tcp_is_readable |= (found & (POLLIN | POLLHUP)) != 0;
        relay(port, conn);
        conn = find(port, stream);
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
