/* reach.c: the devices that are reached, and the sessions with them that come back.
 *
 * Owns which devices and services are wanted, when a session is opened, and again, and which
 * services of it are then listened for. Does not own listening (places.c), nor what goes through
 * (bridge.c, flow.c). Invariant: a peer is in the list as long as a want is for it.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define BACKOFF_MIN_US 1000000u  /* before a session is opened again; doubles */
#define BACKOFF_MAX_US 30000000u

/* ---- what is wanted */

/* Takes it out of its list. */
static void drop_want(struct rit_posix *port, struct ritp_want **place) {
    struct ritp_want *want = *place;

    *place = want->next;
    ritp_flow_leave(port, want);
    ritp_bridge_leave(port, want);
    free(want);
}

static struct ritp_peer *find_peer(const struct rit_posix *port,
                                   const uint8_t device[RIT_KEY_LEN]) {
    struct ritp_peer *peer = port->peers;

    while (peer != NULL && memcmp(peer->device, device, RIT_KEY_LEN) != 0)
        peer = peer->next;
    return peer;
}

rit_session rit_posix_session(const rit_posix *port, const uint8_t device[RIT_KEY_LEN]) {
    const struct ritp_peer *peer;

    if (port == NULL || device == NULL)
        return 0;
    peer = find_peer(port, device);
    return peer != NULL && peer->is_up ? peer->session : 0;
}

static struct ritp_want *find_want(struct rit_posix *port, const struct ritp_peer *peer,
                                   const char *service) {
    struct ritp_want *want = port->wants;

    while (want != NULL && (want->peer != peer || strcmp(want->service, service) != 0))
        want = want->next;
    return want;
}

static int add_want(struct rit_posix *port, struct ritp_peer *peer, const char *service,
                    uint16_t listen_port) {
    struct ritp_want *want = calloc(1, sizeof *want);

    if (want == NULL)
        return RIT_ERR_NOMEM;
    want->peer = peer;
    (void)snprintf(want->service, sizeof want->service, "%s", service);
    want->listen_port = listen_port;
    want->fd = want->poll = want->udp_fd = want->udp_poll = -1;
    want->next = port->wants;
    port->wants = want;
    return 0;
}

static void listen_for_wants(struct rit_posix *port, struct ritp_peer *peer);

int rit_posix_reach(rit_posix *port, const uint8_t device[RIT_KEY_LEN], const char *service,
                    uint16_t listen_port) {
    struct ritp_peer *peer;
    uint8_t address[4];
    int failed;

    if (port == NULL || device == NULL)
        return RIT_ERR_NULL;
    if (service != NULL) { /* this names what is wrong with a name */
        failed = rit_loopback_address(device, service, 0, address);
        if (failed != 0)
            return failed;
    }
    peer = find_peer(port, device);
    if (peer == NULL) {
        peer = calloc(1, sizeof *peer);
        if (peer == NULL)
            return RIT_ERR_NOMEM;
        memcpy(peer->device, device, RIT_KEY_LEN);
        peer->next = port->peers;
        port->peers = peer;
    }
    if (find_want(port, peer, service != NULL ? service : "") != NULL)
        return RIT_ERR_EXISTS;
    failed = add_want(port, peer, service != NULL ? service : "", listen_port);
    if (failed == 0 && peer->is_up)
        listen_for_wants(port, peer);
    return failed;
}

/* Whether a want is one for this service, NULL: for any. One for all services goes with each. */
static int is_for(const struct ritp_want *want, const char *service) {
    return service == NULL || want->service[0] == '\0' || strcmp(want->service, service) == 0;
}

int rit_posix_leave(rit_posix *port, const uint8_t device[RIT_KEY_LEN], const char *service) {
    struct ritp_want **place;
    struct ritp_peer *peer, **at;
    int is_left = 1;

    if (port == NULL || device == NULL)
        return RIT_ERR_NULL;
    peer = find_peer(port, device);
    if (peer == NULL)
        return RIT_ERR_UNKNOWN;
    if (service != NULL && (service[0] == '\0' || find_want(port, peer, service) == NULL))
        return RIT_POSIX_ERR_SERVICE;
    for (place = &port->wants; *place != NULL;) {
        if ((*place)->peer == peer && is_for(*place, service)) {
            drop_want(port, place);
            continue;
        }
        is_left &= (*place)->peer != peer;
        place = &(*place)->next;
    }
    if (!is_left)
        return RIT_OK;
    if (peer->session != 0)
        (void)rit_session_close(port->node, peer->session, 0);
    for (at = &port->peers; *at != peer; at = &(*at)->next)
        ;
    *at = peer->next;
    free(peer);
    return RIT_OK;
}

/* ---- sessions */

void ritp_try_now(struct rit_posix *port, const uint8_t *device) {
    struct ritp_peer *peer = find_peer(port, device);

    if (peer != NULL) {
        peer->failures = 0;
        peer->retry_us = 0;
    }
}

/* Doubles from the first to the last, each within half of itself by chance, so that many who lost
 * the same broker do not come back at once. */
static uint64_t backoff_us(unsigned failures) {
    uint64_t wait = BACKOFF_MIN_US, chance = 0;

    while (failures-- > 1 && wait < BACKOFF_MAX_US)
        wait *= 2;
    if (wait > BACKOFF_MAX_US)
        wait = BACKOFF_MAX_US;
    if (ritp_random((uint8_t *)&chance, sizeof chance) != 0)
        return wait;
    return wait - chance % (wait / 2);
}

static void try_later(struct ritp_peer *peer, uint64_t now_us) {
    peer->session = 0;
    peer->is_up = 0;
    if (peer->failures < 16)
        peer->failures++;
    peer->retry_us = now_us + backoff_us(peer->failures);
}

/* Opens what is due; returns when the next is. */
uint64_t ritp_open_sessions(struct rit_posix *port, uint64_t now_us) {
    uint64_t wake_us = RITP_NEVER;
    struct ritp_peer *peer;

    for (peer = port->peers; peer != NULL && port->is_online; peer = peer->next) {
        if (peer->session == 0 && peer->retry_us <= now_us) {
            struct rit_target target;
            int failed;
            memset(&target, 0, sizeof target);
            target.struct_size = (uint32_t)sizeof target;
            memcpy(target.device, peer->device, RIT_KEY_LEN);
            ritp_add_grant(port, &target);
            failed = rit_session_open(port->node, &target, &peer->session);
            if (failed != 0) {
                try_later(peer, now_us);
                ritp_tell(port, RIT_POSIX_SESSION_DOWN, failed, peer->device, NULL);
            }
        }
        if (peer->session == 0 && peer->retry_us < wake_us)
            wake_us = peer->retry_us;
    }
    return wake_us;
}

static struct ritp_peer *peer_of(struct rit_posix *port, rit_session session) {
    struct ritp_peer *peer = port->peers;

    while (peer != NULL && peer->session != session)
        peer = peer->next;
    return peer;
}

static int is_offered(const struct rit_posix *port, rit_session session, const char *service) {
    struct rit_service_info info;
    uint32_t i;

    memset(&info, 0, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    for (i = 0; rit_session_service(port->node, session, i, &info) == RIT_OK; i++) {
        if (strcmp(info.name, service) == 0)
            return 1;
    }
    return 0;
}

/* Another service of a device all of which is wanted. One whose services are others each time does
 * not have more and more listened for: those it has no longer make room. */
static struct ritp_want *add_auto(struct rit_posix *port, struct ritp_peer *peer,
                                  const char *service) {
    struct ritp_want **place, **stale = NULL;
    int count = 0;

    for (place = &port->wants; *place != NULL; place = &(*place)->next) {
        if ((*place)->peer != peer || !(*place)->is_auto)
            continue;
        count++;
        if (!is_offered(port, peer->session, (*place)->service))
            stale = place; /* the list begins with the newest */
    }
    if (count >= RITP_AUTO_MAX) {
        if (stale == NULL)
            return NULL;
        drop_want(port, stale);
    }
    if (add_want(port, peer, service, 0) != 0)
        return NULL;
    port->wants->is_auto = 1;
    return port->wants;
}

/* Listens for what is wanted of the device and offered by it. */
static void listen_for_wants(struct rit_posix *port, struct ritp_peer *peer) {
    int wants_all = find_want(port, peer, "") != NULL;
    struct rit_service_info info;
    struct ritp_want *want;
    uint32_t i;

    memset(&info, 0, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    for (i = 0; rit_session_service(port->node, peer->session, i, &info) == RIT_OK; i++) {
        want = find_want(port, peer, info.name);
        if (want == NULL && wants_all)
            want = add_auto(port, peer, info.name);
        if (want != NULL && want->service[0] != '\0' &&
            ((info.kind == RIT_SERVICE_TCP && want->fd < 0) ||
             (info.kind == RIT_SERVICE_UDP && want->udp_fd < 0)))
            ritp_listen(port, want, info.kind, info.port);
    }
    ritp_places_save(port);
    for (want = port->wants; want != NULL; want = want->next) {
        if (want->peer != peer || want->fd >= 0 || want->udp_fd >= 0 || want->service[0] == '\0')
            continue;
        if (!is_offered(port, peer->session, want->service))
            ritp_tell(port, RIT_POSIX_NOT_LISTENING, RIT_POSIX_ERR_SERVICE, peer->device,
                      want->service);
    }
}

void ritp_session_up(struct rit_posix *port, const struct rit_event *event) {
    struct ritp_peer *peer = peer_of(port, event->session);
    struct ritp_session *session = malloc(sizeof *session);

    if (session != NULL) { /* else its end will be told without a name */
        session->id = event->session;
        memcpy(session->peer, event->peer, RIT_KEY_LEN);
        session->next = port->sessions;
        port->sessions = session;
    }
    ritp_tell(port, RIT_POSIX_SESSION_UP, 0, event->peer, NULL);
    if (peer == NULL)
        return;
    peer->is_up = 1;
    listen_for_wants(port, peer);
}

void ritp_session_down(struct rit_posix *port, const struct rit_event *event) {
    struct ritp_session **place = &port->sessions, *session;
    struct ritp_peer *peer = peer_of(port, event->session);
    const uint8_t *key = peer != NULL ? peer->device : NULL;

    while (*place != NULL && (*place)->id != event->session)
        place = &(*place)->next;
    session = *place;
    if (key == NULL && session != NULL)
        key = session->peer;
    ritp_tell(port, RIT_POSIX_SESSION_DOWN, event->error, key, NULL);
    ritp_bridge_session_down(port, event->session);
    ritp_flow_session_down(port, event->session);
    if (peer != NULL) {
        /* Whom the device refuses after a look at it, it will refuse again. */
        if (peer->is_up && event->error != RIT_ERR_DENIED)
            peer->failures = 0;
        try_later(peer, ritp_now_us());
    }
    if (session != NULL) {
        *place = session->next;
        free(session);
    }
}

/* ---- the end */

void ritp_reach_free(struct rit_posix *port) {
    while (port->sessions != NULL) {
        struct ritp_session *next = port->sessions->next;
        (void)rit_session_close(port->node, port->sessions->id, 0);
        free(port->sessions);
        port->sessions = next;
    }
    while (port->peers != NULL) {
        struct ritp_peer *next = port->peers->next;
        free(port->peers);
        port->peers = next;
    }
}

void ritp_reach_leave_all(struct rit_posix *port) {
    while (port->wants != NULL)
        drop_want(port, &port->wants);
}
