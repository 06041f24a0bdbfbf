/* events.c: what happened, as the port's user fetches it.
 *
 * Owns the ring of events and the words for errors. Does not own when things happen (loop.c).
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <string.h>

#include "internal.h"

#define REFUSED_PAUSE_US 1000000u /* between two refusals that are news */

/* ---- events for the user */

static struct rit_posix_event *push(struct rit_posix *port, enum rit_posix_event_type type) {
    struct rit_posix_event *event;

    if (port->event_count == RITP_EVENTS_MAX) {
        if (type == RIT_POSIX_CONNECTION)
            return NULL;
        port->event_at = (port->event_at + 1) % RITP_EVENTS_MAX;
        port->event_count--;
    }
    event = &port->events[(port->event_at + port->event_count++) % RITP_EVENTS_MAX];
    memset(event, 0, sizeof *event);
    event->type = type;
    return event;
}

void ritp_tell(struct rit_posix *port, enum rit_posix_event_type type, int error,
               const uint8_t *peer, const char *service) {
    struct rit_posix_event *event = push(port, type);

    if (event == NULL)
        return;
    event->error = error;
    if (peer != NULL)
        memcpy(event->peer, peer, RIT_KEY_LEN);
    if (service != NULL)
        (void)snprintf(event->service, sizeof event->service, "%s", service);
}

int ritp_is_news(uint64_t *again_us, uint64_t now_us) {
    int is_news = now_us >= *again_us;

    *again_us = now_us + REFUSED_PAUSE_US;
    return is_news;
}

void ritp_tell_offered(struct rit_posix *port, rit_session session, const char *service,
                       int error) {
    struct rit_session_info info;

    memset(&info, 0, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    if (rit_session_info(port->node, session, &info) != RIT_OK)
        memset(info.peer, 0, sizeof info.peer);
    ritp_tell(port, RIT_POSIX_CONNECTION, error, info.peer, service);
}

void ritp_tell_listening(struct rit_posix *port, const struct ritp_want *want, uint16_t kind,
                         const uint8_t address[4], uint16_t number) {
    struct rit_posix_event *event;

    ritp_tell(port, RIT_POSIX_LISTENING, 0, want->peer->device, want->service);
    event = &port->events[(port->event_at + port->event_count - 1) % RITP_EVENTS_MAX];
    (void)snprintf(event->address, sizeof event->address, "%u.%u.%u.%u", (unsigned)address[0],
                   (unsigned)address[1], (unsigned)address[2], (unsigned)address[3]);
    event->port = number;
    event->kind = kind;
}

void ritp_tell_mapped(struct rit_posix *port) {
    const uint8_t *ip = port->map.outer_ip;
    struct rit_posix_event *event = push(port, RIT_POSIX_PORT_MAPPED);

    if (!port->map.is_mapped)
        return;
    (void)snprintf(event->address, sizeof event->address, "%u.%u.%u.%u", (unsigned)ip[0],
                   (unsigned)ip[1], (unsigned)ip[2], (unsigned)ip[3]);
    event->port = port->map.outer_port;
}

void ritp_tell_owner(struct rit_posix *port, const struct rit_event *from) {
    static const enum rit_posix_event_type TYPES[] = {RIT_POSIX_CLAIMED, RIT_POSIX_OWNER_CHANGED,
        RIT_POSIX_REVOKED, RIT_POSIX_OWNER_ANSWERED};
    struct rit_posix_event *event =
        push(port, from->type == RIT_EVENT_CLOAK ? RIT_POSIX_CLOAK
                                                 : TYPES[from->type - RIT_EVENT_CLAIMED]);

    if (event == NULL)
        return;
    event->error = from->error;
    event->number = from->code;
    event->request = (uint32_t)from->request;
    memcpy(event->peer, from->peer, RIT_KEY_LEN);
}

int rit_posix_next(rit_posix *port, struct rit_posix_event *out) {
    if (port == NULL || out == NULL || port->event_count == 0)
        return 0;
    *out = port->events[port->event_at];
    port->event_at = (port->event_at + 1) % RITP_EVENTS_MAX;
    port->event_count--;
    return 1;
}

const char *rit_posix_strerror(int error) {
    switch (error) {
    case RIT_POSIX_ERR_SYSTEM:
        return "a call of the system failed";
    case RIT_POSIX_ERR_IN_USE:
        return "the state folder is in use by another process";
    case RIT_POSIX_ERR_RESOLVE:
        return "the host name does not resolve";
    case RIT_POSIX_ERR_LISTEN:
        return "no loopback address and port could be listened on";
    case RIT_POSIX_ERR_USER:
        return "another user's program, or one that was gone at once";
    case RIT_POSIX_ERR_NOT_ALLOWED:
        return "no rule allows this address and port, or none may";
    case RIT_POSIX_ERR_SERVICE:
        return "the device does not offer this service";
    default:
        return rit_strerror(error);
    }
}
