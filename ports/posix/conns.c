/* conns.c: the table of TCP connections that are bridged, by number and by stream.
 *
 * Owns their memory and how many there are. Does not own what happens to them (bridge.c).
 * Invariants: a stream has one connection; the array is compact, so a loop over it that drops runs
 * from its end.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

static size_t bucket(rit_stream stream) {
    return (size_t)((stream * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & (RITP_HASH - 1);
}

struct ritp_conn *ritp_conn_find(struct rit_posix *port, rit_stream stream) {
    struct ritp_conn *conn = port->by_stream[bucket(stream)];

    while (conn != NULL && conn->stream != stream)
        conn = conn->next_by_stream;
    return conn;
}

void ritp_conn_set_stream(struct rit_posix *port, struct ritp_conn *conn, rit_stream stream) {
    struct ritp_conn **place = &port->by_stream[bucket(stream)];

    conn->stream = stream;
    conn->next_by_stream = *place;
    *place = conn;
}

void ritp_conn_clear_stream(struct rit_posix *port, struct ritp_conn *conn) {
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

struct ritp_conn *ritp_conn_add(struct rit_posix *port, rit_session session) {
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
void ritp_conn_drop(struct rit_posix *port, struct ritp_conn *conn) {
    struct ritp_conn *last = port->conns[--port->conn_count];

    last->index = conn->index;
    port->conns[conn->index] = last;
    if (conn->stream != 0)
        ritp_conn_clear_stream(port, conn);
    if (conn->fd >= 0)
        (void)close(conn->fd);
    free(conn);
}

size_t ritp_conns_made(const struct rit_posix *port, const struct ritp_offer *offer) {
    size_t i, count = 0;

    for (i = 0; i < port->conn_count; i++) {
        const struct ritp_conn *conn = port->conns[i];
        count += conn->offer == offer && conn->state == RITP_CONNECTING && conn->fd >= 0;
    }
    return count;
}
