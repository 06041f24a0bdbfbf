/* offers.c: the services that are offered here, this host's own and its neighbours'.
 *
 * Owns their names, where each leads to, and looking a neighbour's name up again. Does not own
 * which addresses are allowed (neighbours.c) nor the connections (bridge.c, flow.c). Invariants: who
 * asks for a service never says an address; a neighbour's service is connected to at addresses that
 * are allowed at that moment, or not at all; the loop does not wait for a name server.
 */
#define _POSIX_C_SOURCE 200809L

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define LOOK_AGAIN_US 60000000u /* between two look-ups of one name */
#define PATIENCE_MS 1000        /* for a name server, when a neighbour's name is offered */

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

/* Takes the first addresses of those that were found. */
static void take_first(struct ritp_offer *offer, const struct ritp_found *found) {
    offer->address_count =
        found->count < RITP_ADDRESSES_MAX ? found->count : RITP_ADDRESSES_MAX;
    memcpy(offer->addresses, found->addresses, offer->address_count * sizeof *offer->addresses);
}

static int type_of(const struct ritp_offer *offer) {
    return offer->kind == RIT_SERVICE_TCP ? SOCK_STREAM : SOCK_DGRAM;
}

/* Takes what was found for a neighbour, if it may all be. */
static int take_allowed(struct rit_posix *port, struct ritp_offer *offer, const char *host,
                        struct ritp_found *found) {
    if (!sift(port, found->addresses, &found->count)) {
        ritp_log(port, RIT_LOG_ERROR, "%s: %s, port %u, is not allowed", offer->name, host,
                 (unsigned)offer->port);
        return RIT_POSIX_ERR_NOT_ALLOWED;
    }
    take_first(offer, found);
    return 0;
}

/* A neighbour's name: a name server that says nothing for a second does not hold up the loop for
 * longer, and the service has no address until it speaks. */
static int fill_by_name(struct rit_posix *port, struct ritp_offer *offer, const char *host) {
    struct ritp_found found;

    offer->host = malloc(strlen(host) + 1);
    if (offer->host == NULL)
        return RIT_ERR_NOMEM;
    strcpy(offer->host, host);
    offer->look_after_us = ritp_now_us() + LOOK_AGAIN_US;
    offer->look_fd = ritp_ask_name(port, host, offer->port, type_of(offer));
    if (offer->look_fd < 0)
        return RIT_POSIX_ERR_SYSTEM;
    if (!ritp_wait_for_name(offer->look_fd, PATIENCE_MS))
        return 0;
    if (!ritp_take_name(port, host, &offer->look_fd, &found))
        return RIT_POSIX_ERR_RESOLVE;
    offer->look_after_us = 0;
    return take_allowed(port, offer, host, &found);
}

static int fill(struct rit_posix *port, struct ritp_offer *offer, const char *host) {
    struct ritp_found found;
    int failed;

    if (offer->is_neighbour)
        return ritp_is_address(host, offer->port, type_of(offer), &found)
                   ? take_allowed(port, offer, host, &found) : fill_by_name(port, offer, host);
    failed = ritp_resolve(port, host, offer->port, type_of(offer), &found);
    if (failed == 0)
        take_first(offer, &found);
    return failed;
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
        strlen(host) >= RITP_HOST_LEN)
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
    failed = fill(port, offer, host);
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

void ritp_tell_refused(struct rit_posix *port, rit_session session, struct ritp_offer *offer,
                       uint64_t now_us) {
    if (ritp_is_news(&offer->refused_again_us, now_us))
        ritp_tell_offered(port, session, offer->name, RIT_ERR_LIMIT);
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

void ritp_offer_look(struct rit_posix *port, struct ritp_offer *offer, uint64_t now_us) {
    if (offer->host == NULL || offer->look_fd >= 0 || offer->look_after_us > now_us)
        return;
    offer->look_after_us = now_us + LOOK_AGAIN_US;
    offer->look_fd = ritp_ask_name(port, offer->host, offer->port, type_of(offer));
}

/* A name server that says nothing changes nothing: what is no longer allowed is not connected to
 * in any case. */
static void take_found(struct rit_posix *port, struct ritp_offer *offer) {
    struct ritp_found found;

    if (!ritp_take_name(port, offer->host, &offer->look_fd, &found))
        return;
    if (!sift(port, found.addresses, &found.count))
        ritp_log(port, RIT_LOG_WARN, "%s: %s leads to where it may not, which is left out",
                 offer->name, offer->host);
    take_first(offer, &found);
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
