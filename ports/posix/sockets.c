/* sockets.c: the UDP sockets beside the two that the node is known by, and what all are polled for.
 *
 * Owns which further sockets are open (rit_path.socket: 1 to RITP_SOCKETS_MAX, of either family):
 * opened when first sent from, closed when they are not used any more. Invariant: none of them has
 * a descriptor in the upper half of what the process may have; those are for everything else. Owns
 * RIT_IDENTIFY_PORT, too, which is open while the device may be found and at no other time.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "internal.h"

#define USED_US 150000000u  /* nothing was sent from it for so long: longer than NATs remember */
#define HEARD_US 60000000u  /* the same where nothing ever arrived */
#define ROOM (2 * RITP_SOCKETS_MAX) /* a number has a socket of each family */

static struct ritp_socket *find(struct rit_posix *port, uint16_t number, int which) {
    size_t i;

    for (i = 0; i < port->socket_count; i++) {
        if (port->sockets[i].number == number && port->sockets[i].which == which)
            return &port->sockets[i];
    }
    return NULL;
}

/* A full table of descriptors would stop the whole process. */
static int is_too_high(int fd) {
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
           (limit.rlim_cur != RLIM_INFINITY && (rlim_t)fd >= limit.rlim_cur / 2);
}

static struct ritp_socket *add(struct rit_posix *port, uint16_t number, int which) {
    struct ritp_socket *added;
    uint16_t at = 0;
    int fd;

    if (port->sockets == NULL)
        port->sockets = calloc(ROOM, sizeof *port->sockets);
    if (port->sockets == NULL || port->socket_count == ROOM)
        return NULL;
    fd = ritp_udp_socket(which, &at);
    if (fd >= 0 && is_too_high(fd)) {
        (void)close(fd);
        fd = -1;
    }
    if (fd < 0)
        return NULL;
    added = &port->sockets[port->socket_count++];
    added->number = number;
    added->which = which;
    added->fd = fd;
    added->poll = -1;
    added->is_ready = added->was_heard = added->is_dead = 0;
    return added;
}

/* The last takes its place. */
static void drop(struct rit_posix *port, struct ritp_socket *dropped) {
    (void)close(dropped->fd);
    *dropped = port->sockets[--port->socket_count];
}

int ritp_socket_for(struct rit_posix *port, uint16_t number, int which) {
    struct ritp_socket *found;

    if (number == 0)
        return port->udp[which];
    if (number == RIT_SOCKET_IDENTIFY)
        return port->identify[which].fd;
    if (number > RITP_SOCKETS_MAX)
        return -1;
    found = find(port, number, which);
    if (found == NULL)
        found = add(port, number, which);
    if (found == NULL)
        return -1;
    found->sent_us = ritp_now_us();
    return found->fd;
}

void ritp_socket_is_dead(struct rit_posix *port, uint16_t number) {
    int which;

    if (number == 0)
        port->has_dead_socket = 1;
    for (which = 0; number != 0 && which < 2; which++) {
        struct ritp_socket *dead = number == RIT_SOCKET_IDENTIFY ? &port->identify[which]
                                                                 : find(port, number, which);
        if (dead != NULL)
            dead->is_dead = 1; /* somebody may be reading from it just now */
    }
}

/* Closes what is not used any more; when there will be more of it. */
static uint64_t close_unused(struct rit_posix *port, uint64_t now_us) {
    uint64_t wake_us = RITP_NEVER;
    size_t i = port->socket_count;

    while (i-- > 0) {
        struct ritp_socket *own = &port->sockets[i];
        uint64_t until_us = own->sent_us + (own->was_heard ? USED_US : HEARD_US);
        if (until_us <= now_us || own->is_dead)
            drop(port, own);
        else if (until_us < wake_us)
            wake_us = until_us;
    }
    if (port->socket_count == 0) {
        free(port->sockets);
        port->sockets = NULL;
    }
    return wake_us;
}

/* ---- the port by which a device is found */

static void identify_close(struct ritp_socket *own) {
    if (own->fd >= 0)
        (void)close(own->fd);
    own->fd = own->poll = -1;
    own->is_ready = own->is_dead = 0;
}

static void identify_open(struct rit_posix *port, int which) {
    struct ritp_socket *own = &port->identify[which];
    uint16_t at = RIT_IDENTIFY_PORT;

    if (own->fd >= 0 || port->udp[which] < 0)
        return;
    own->number = RIT_SOCKET_IDENTIFY;
    own->which = which;
    own->poll = -1;
    own->fd = ritp_udp_socket(which, &at);
    if (own->fd < 0)
        ritp_log(port, RIT_LOG_WARN, "no UDP port %u to be found by (%s): %s",
                 (unsigned)RIT_IDENTIFY_PORT, which == 0 ? "IPv4" : "IPv6", strerror(errno));
}

void ritp_cloak_event(struct rit_posix *port, const struct rit_event *event) {
    int which;

    for (which = 0; which < 2; which++) {
        if (event->code != 0)
            identify_open(port, which);
        else
            identify_close(&port->identify[which]);
    }
    ritp_tell_owner(port, event);
}

/* ---- as loop.c sees them */

/* All beside the node's two: those by which it is found, then those by number. */
static size_t own_count(const struct rit_posix *port) {
    return 2 + port->socket_count;
}

static struct ritp_socket *own_at(struct rit_posix *port, size_t i) {
    return i < 2 ? &port->identify[i] : &port->sockets[i - 2];
}

int ritp_sockets_prepare(struct rit_posix *port, uint64_t now_us, uint64_t *wake_us) {
    size_t i;

    *wake_us = close_unused(port, now_us);
    for (i = 0; i < 2; i++) {
        port->udp_poll[i] = port->udp[i] >= 0 ? ritp_poll_add(port, port->udp[i], POLLIN) : -1;
        if (port->udp[i] >= 0 && port->udp_poll[i] < 0)
            return RIT_ERR_NOMEM;
        port->has_more |= port->udp_is_ready[i];
    }
    for (i = 0; i < 2; i++) {
        if (port->identify[i].is_dead)
            identify_close(&port->identify[i]);
    }
    for (i = 0; i < own_count(port); i++) {
        struct ritp_socket *own = own_at(port, i);
        own->poll = own->fd >= 0 ? ritp_poll_add(port, own->fd, POLLIN) : -1;
        port->has_more |= own->is_ready;
    }
    ritp_lan_prepare(port);
    return 0;
}

void ritp_sockets_look(struct rit_posix *port) {
    size_t i;

    for (i = 0; i < 2; i++) {
        if (port->udp_poll[i] >= 0 && port->polls[port->udp_poll[i]].revents != 0)
            port->udp_is_ready[i] = 1;
    }
    for (i = 0; i < own_count(port); i++) {
        struct ritp_socket *own = own_at(port, i);
        if (own->poll >= 0 && port->polls[own->poll].revents != 0)
            own->is_ready = own->was_heard = 1;
        own->poll = -1;
    }
    ritp_lan_polled(port);
}

int ritp_sockets_receive(struct rit_posix *port) {
    int failed = RIT_OK;
    size_t i;

    for (i = 0; i < 2 && !ritp_is_fatal(failed); i++)
        failed = ritp_udp_receive(port, port->udp[i], 0, &port->udp_is_ready[i]);
    /* What the node answers may open more, but closes none. */
    for (i = 0; i < own_count(port) && !ritp_is_fatal(failed); i++) {
        struct ritp_socket *own = own_at(port, i);
        failed = ritp_udp_receive(port, own->fd, own->number, &own->is_ready);
    }
    return ritp_is_fatal(failed) ? failed : ritp_lan_receive(port);
}

void ritp_sockets_close(struct rit_posix *port) {
    identify_close(&port->identify[0]);
    identify_close(&port->identify[1]);
    while (port->socket_count > 0)
        drop(port, &port->sockets[port->socket_count - 1]);
    free(port->sockets);
    port->sockets = NULL;
}
