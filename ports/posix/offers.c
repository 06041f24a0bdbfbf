/* offers.c: the services that are offered here, this host's own and its neighbours'.
 *
 * Owns their names, where each leads to, and looking a neighbour's name up again. Does not own
 * which addresses are allowed (neighbours.c) nor the connections (bridge.c, flow.c). Invariants: who
 * asks for a service never says an address; a neighbour's service is connected to at addresses that
 * are allowed at that moment, or not at all. Looking up again has a thread of its own, which shares
 * no memory with the port and answers by a socket: the loop does not wait for a name server.
 */
#define _POSIX_C_SOURCE 200809L

#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define LOOK_AGAIN_US 60000000u /* between two look-ups of one name */
#define HOST_LEN 256

/* What a thread is given, and what it answers. */
struct look_up {
    int fd; /* its end, of which it is the owner */
    int type;
    char host[HOST_LEN];
    uint16_t number;
};

struct found {
    size_t count;
    struct ritp_address addresses[RITP_ADDRESSES_MAX];
};

/* ---- offering */

/* Takes out what is not allowed now; whether all were. */
static int sift(const struct rit_posix *port, struct ritp_address *addresses, size_t *count) {
    size_t i, kept = 0;

    for (i = 0; i < *count; i++) {
        if (ritp_is_allowed(port, &addresses[i]))
            addresses[kept++] = addresses[i];
    }
    i = *count;
    *count = kept;
    return kept == i;
}

/* A literal address is never looked up again. */
static int is_address(const char *host) {
    struct addrinfo hints, *found = NULL;

    memset(&hints, 0, sizeof hints);
    hints.ai_flags = AI_NUMERICHOST;
    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return 0;
    freeaddrinfo(found);
    return 1;
}

static int fill(struct rit_posix *port, struct ritp_offer *offer, const char *host,
                uint16_t service_port) {
    int type = offer->kind == RIT_SERVICE_TCP ? SOCK_STREAM : SOCK_DGRAM;
    int failed = ritp_resolve(port, host, service_port, type, offer->addresses,
                              RITP_ADDRESSES_MAX, &offer->address_count);

    if (failed != 0 || !offer->is_neighbour)
        return failed;
    if (!sift(port, offer->addresses, &offer->address_count)) {
        ritp_log(port, RIT_LOG_ERROR, "%s: %s, port %u, is not allowed", offer->name, host,
                 (unsigned)service_port);
        return RIT_POSIX_ERR_NOT_ALLOWED;
    }
    if (!is_address(host)) {
        offer->host = malloc(strlen(host) + 1);
        if (offer->host == NULL)
            return RIT_ERR_NOMEM;
        strcpy(offer->host, host);
    }
    return 0;
}

static void free_offer(struct ritp_offer *offer) {
    if (offer->look_fd >= 0)
        (void)close(offer->look_fd);
    free(offer->host);
    free(offer);
}

static int add(struct rit_posix *port, uint16_t kind, const char *name, const char *host,
               uint16_t service_port, int is_neighbour) {
    struct rit_service service;
    struct ritp_offer *offer;
    int failed;

    if (port == NULL || name == NULL || host == NULL)
        return RIT_ERR_NULL;
    if (service_port == 0 || (kind != RIT_SERVICE_TCP && kind != RIT_SERVICE_UDP) ||
        strlen(host) >= HOST_LEN)
        return RIT_ERR_ARG;
    if (strlen(name) >= RIT_POSIX_NAME_LEN)
        return RIT_ERR_NAME;
    offer = calloc(1, sizeof *offer);
    if (offer == NULL)
        return RIT_ERR_NOMEM;
    (void)snprintf(offer->name, sizeof offer->name, "%s", name);
    offer->kind = kind;
    offer->port = service_port;
    offer->is_neighbour = is_neighbour;
    offer->look_fd = offer->look_poll = -1;
    memset(&service, 0, sizeof service);
    service.struct_size = (uint32_t)sizeof service;
    service.kind = kind;
    service.port = service_port;
    service.name = name;
    failed = fill(port, offer, host, service_port);
    if (failed == 0)
        failed = rit_service_add(port->node, &service, &offer->id);
    if (failed != 0) {
        free_offer(offer);
        return failed;
    }
    offer->next = port->offers;
    port->offers = offer;
    return 0;
}

int rit_posix_offer(rit_posix *port, const char *name, const char *host, uint16_t service_port) {
    return add(port, RIT_SERVICE_TCP, name, host, service_port, 0);
}

int rit_posix_offer_udp(rit_posix *port, const char *name, const char *host,
                        uint16_t service_port) {
    return add(port, RIT_SERVICE_UDP, name, host, service_port, 0);
}

int rit_posix_offer_neighbour(rit_posix *port, uint16_t kind, const char *name, const char *host,
                              uint16_t service_port) {
    return add(port, kind, name, host, service_port, 1);
}

int rit_posix_withdraw(rit_posix *port, uint16_t kind, const char *name) {
    struct ritp_offer **at, *offer;

    if (port == NULL || name == NULL)
        return RIT_ERR_NULL;
    for (at = &port->offers; *at != NULL; at = &(*at)->next) {
        if ((*at)->kind == kind && strcmp((*at)->name, name) == 0)
            break;
    }
    offer = *at;
    if (offer == NULL)
        return RIT_POSIX_ERR_SERVICE;
    *at = offer->next;
    ritp_bridge_withdraw(port, offer);
    ritp_flow_withdraw(port, offer);
    (void)rit_service_remove(port->node, offer->id);
    free_offer(offer);
    return RIT_OK;
}

int rit_posix_prioritise(rit_posix *port, const char *name, uint32_t urgency, uint32_t weight) {
    const struct ritp_offer *offer;
    int failed = RIT_POSIX_ERR_SERVICE;

    if (port == NULL || name == NULL)
        return RIT_ERR_NULL;
    for (offer = port->offers; offer != NULL; offer = offer->next) {
        if (strcmp(offer->name, name) != 0)
            continue;
        failed = rit_service_set_priority(port->node, offer->id, urgency, weight);
        if (failed != RIT_OK)
            break;
    }
    return failed;
}

void ritp_offers_free(struct rit_posix *port) {
    while (port->offers != NULL) {
        struct ritp_offer *next = port->offers->next;
        free_offer(port->offers);
        port->offers = next;
    }
    ritp_rules_free(port);
}

struct ritp_offer *ritp_find_offer(const struct rit_posix *port, rit_service_id id) {
    struct ritp_offer *offer = port->offers;

    while (offer != NULL && offer->id != id)
        offer = offer->next;
    return offer;
}

/* ---- names that are looked up again */

static void *look(void *given) {
    struct look_up *task = given;
    struct found found;

    memset(&found, 0, sizeof found);
    (void)ritp_look_up(task->host, task->number, task->type, found.addresses, RITP_ADDRESSES_MAX,
                       &found.count);
    (void)send(task->fd, &found, sizeof found, MSG_NOSIGNAL);
    (void)close(task->fd);
    free(task);
    return NULL;
}

/* Without a thread, memory or descriptors the addresses stay as they are. */
static void begin_look(struct ritp_offer *offer) {
    struct look_up *task = malloc(sizeof *task);
    int ends[2] = {-1, -1}, is_begun = 0;
    pthread_attr_t attributes;
    pthread_t thread;

    if (task == NULL || socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) {
        free(task);
        return;
    }
    task->fd = ends[1];
    task->type = offer->kind == RIT_SERVICE_TCP ? SOCK_STREAM : SOCK_DGRAM;
    task->number = offer->port;
    (void)snprintf(task->host, sizeof task->host, "%s", offer->host);
    if (ritp_prepare_fd(ends[0]) == 0 && ritp_prepare_fd(ends[1]) == 0 &&
        pthread_attr_init(&attributes) == 0) {
        is_begun = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
                   pthread_create(&thread, &attributes, look, task) == 0;
        (void)pthread_attr_destroy(&attributes);
    }
    if (is_begun) {
        offer->look_fd = ends[0];
        return;
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
    free(task);
}

void ritp_offer_look(struct ritp_offer *offer, uint64_t now_us) {
    if (offer->host == NULL || offer->look_fd >= 0 || offer->look_after_us > now_us)
        return;
    offer->look_after_us = now_us + LOOK_AGAIN_US;
    begin_look(offer);
}

/* A name server that says nothing changes nothing: what is no longer allowed is not connected to
 * in any case. */
static void take_found(struct rit_posix *port, struct ritp_offer *offer) {
    struct found found;
    ssize_t len = recv(offer->look_fd, &found, sizeof found, 0);

    if (len < 0)
        return;
    (void)close(offer->look_fd);
    offer->look_fd = -1;
    if (len != (ssize_t)sizeof found || found.count == 0)
        return;
    if (!sift(port, found.addresses, &found.count))
        ritp_log(port, RIT_LOG_WARN, "%s: %s leads to where it may not, which is left out",
                 offer->name, offer->host);
    memcpy(offer->addresses, found.addresses, sizeof offer->addresses);
    offer->address_count = found.count;
}

void ritp_offers_prepare(struct rit_posix *port) {
    struct ritp_offer *offer;

    for (offer = port->offers; offer != NULL; offer = offer->next)
        offer->look_poll = offer->look_fd >= 0 ? ritp_poll_add(port, offer->look_fd, POLLIN) : -1;
}

void ritp_offers_run(struct rit_posix *port) {
    struct ritp_offer *offer;

    for (offer = port->offers; offer != NULL; offer = offer->next) {
        if (offer->look_fd >= 0 && offer->look_poll >= 0 &&
            port->polls[offer->look_poll].revents != 0)
            take_found(port, offer);
    }
}
