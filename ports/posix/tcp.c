/* tcp.c: the node's TCP connections to its broker and to relays, for networks that block UDP.
 *
 * Owns their sockets, which the node asks for by writing. What goes over them is TLS already, and
 * the node's affair. A connection is known by its path; none of this waits.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

#define READ_LEN 16384
#define READS_IN_STEP 8 /* of each connection; then others have their turn */

static struct ritp_tcp *find(struct rit_posix *port, const struct rit_path *path) {
    size_t i;

    for (i = 0; i < RITP_TCP_MAX; i++) {
        struct ritp_tcp *tcp = &port->tcp[i];
        if (tcp->fd >= 0 && tcp->path.port == path->port &&
            memcmp(tcp->path.ip, path->ip, sizeof path->ip) == 0)
            return tcp;
    }
    return NULL;
}

static void drop(struct ritp_tcp *tcp) {
    (void)close(tcp->fd);
    tcp->fd = tcp->poll = -1;
}

static struct ritp_tcp *begin(struct rit_posix *port, const struct rit_path *to) {
    struct sockaddr_storage at;
    socklen_t len = ritp_address_from_path(&at, to);
    size_t i = 0;
    int fd;

    while (i < RITP_TCP_MAX && port->tcp[i].fd >= 0)
        i++;
    fd = i < RITP_TCP_MAX ? socket(at.ss_family, SOCK_STREAM, 0) : -1;
    if (fd < 0)
        return NULL;
    if (ritp_prepare_fd(fd) != 0 ||
        (connect(fd, (struct sockaddr *)&at, len) != 0 && errno != EINPROGRESS)) {
        ritp_log(port, RIT_LOG_DEBUG, "no TCP connection: %s", strerror(errno));
        (void)close(fd);
        return NULL;
    }
    ritp_no_delay(fd);
    port->tcp[i].path = *to;
    port->tcp[i].fd = fd;
    port->tcp[i].poll = -1;
    port->tcp[i].is_up = 0;
    port->tcp[i].is_full = 0;
    return &port->tcp[i];
}

static int32_t on_write(void *ctx, const struct rit_path *to, const uint8_t *bytes, size_t len) {
    struct rit_posix *port = ctx;
    struct ritp_tcp *tcp = find(port, to);
    ssize_t sent;

    if (tcp == NULL)
        return begin(port, to) != NULL ? 0 : -1;
    if (!tcp->is_up)
        return 0;
    sent = send(tcp->fd, bytes, len, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        drop(tcp);
        return -1;
    }
    tcp->is_full = sent < (ssize_t)len;
    return sent < 0 ? 0 : (int32_t)sent;
}

static void on_close(void *ctx, const struct rit_path *to) {
    struct ritp_tcp *tcp = find(ctx, to);

    if (tcp != NULL)
        drop(tcp);
}

void ritp_tcp_io(struct rit_io *io) {
    io->tcp_write = on_write;
    io->tcp_close = on_close;
}

void ritp_tcp_open(struct rit_posix *port, uint16_t tls_port) {
    size_t i;

    port->tls_port = tls_port != 0 ? tls_port : RITP_TLS_PORT;
    for (i = 0; i < RITP_TCP_MAX; i++)
        port->tcp[i].fd = port->tcp[i].poll = -1;
}

void ritp_tcp_close(struct rit_posix *port) {
    size_t i;

    for (i = 0; i < RITP_TCP_MAX; i++) {
        if (port->tcp[i].fd >= 0)
            drop(&port->tcp[i]);
    }
}

size_t ritp_tcp_paths(const struct rit_posix *port, struct rit_path paths[RITP_PATHS_MAX],
                      size_t count) {
    size_t i, all = count;

    for (i = 0; i < count && all < RITP_PATHS_MAX; i++) {
        paths[all] = paths[i];
        paths[all].port = port->tls_port;
        paths[all].socket = RIT_SOCKET_TLS;
        all++;
    }
    return all;
}

void ritp_tcp_prepare(struct rit_posix *port) {
    size_t i;

    for (i = 0; i < RITP_TCP_MAX; i++) {
        struct ritp_tcp *tcp = &port->tcp[i];
        int waits = !tcp->is_up || tcp->is_full;
        tcp->poll = -1;
        if (tcp->fd >= 0)
            tcp->poll = ritp_poll_add(port, tcp->fd, (short)(POLLIN | (waits ? POLLOUT : 0)));
    }
}

/* Whether a connection that was begun is there. */
static int is_made(const struct ritp_tcp *tcp) {
    int error = 0;
    socklen_t len = sizeof error;

    return getsockopt(tcp->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

/* It is over: whatever else the node was told of it, it is told this. */
static int32_t end(struct rit_posix *port, struct ritp_tcp *tcp) {
    drop(tcp);
    return rit_node_tcp_closed(port->node, &tcp->path);
}

/* Reads what there is. Any call of the node's may close the connection, or open another. */
static int32_t receive(struct rit_posix *port, struct ritp_tcp *tcp) {
    uint8_t bytes[READ_LEN];
    int fd = tcp->fd, left;
    int32_t failed = RIT_OK;

    for (left = READS_IN_STEP; left > 0 && tcp->fd == fd && !ritp_is_fatal(failed); left--) {
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return failed;
        if (got <= 0)
            return end(port, tcp);
        failed = rit_node_tcp_receive(port->node, &tcp->path, bytes, (size_t)got);
    }
    return failed;
}

static int32_t run(struct rit_posix *port, struct ritp_tcp *tcp, short found) {
    int fd = tcp->fd;
    int32_t failed = RIT_OK;

    if (!tcp->is_up && !is_made(tcp))
        return end(port, tcp);
    if (!tcp->is_up || (found & POLLOUT) != 0) {
        tcp->is_up = 1;
        tcp->is_full = 0;
        failed = rit_node_tcp_writable(port->node, &tcp->path);
    }
    if (tcp->fd == fd && (found & (POLLIN | POLLHUP | POLLERR)) != 0 && !ritp_is_fatal(failed))
        failed = receive(port, tcp);
    return failed;
}

int ritp_tcp_run(struct rit_posix *port) {
    int32_t failed = RIT_OK;
    size_t i;

    for (i = 0; i < RITP_TCP_MAX && !ritp_is_fatal(failed); i++) {
        struct ritp_tcp *tcp = &port->tcp[i];
        if (tcp->fd >= 0 && tcp->poll >= 0 && port->polls[tcp->poll].revents != 0)
            failed = run(port, tcp, port->polls[tcp->poll].revents);
    }
    return failed;
}
