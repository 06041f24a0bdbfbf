/* broker.c: the broker and the gateway as the port's user names them, and which of them is there.
 *
 * Owns when the node is told where its broker is: at once if that is known, by its name or from the
 * last time, else when the name resolves. Owns what their coming and going means for sessions. Does
 * not own addresses (where.c) nor how a gateway is found (gateway.c); when which of the two is
 * called the node decides. Invariant: a broker whose name does not resolve is an error only where
 * there is no other way: neither its addresses of before nor a gateway.
 */
#define _POSIX_C_SOURCE 200809L

#include <string.h>

#include "internal.h"

/* A start waits so long for a resolver if it can go on without; else as long as that takes. */
#define PATIENCE_MS 2000
/* The node takes other addresses between two attempts at the broker only. */
#define AGAIN_US 1000000u

void ritp_wipe(void *secret, size_t len) {
    volatile uint8_t *at = secret;

    while (len-- > 0)
        *at++ = 0;
}

int ritp_keep_code(char kept[RITP_CODE_LEN], const char *code) {
    size_t len = code != NULL ? strlen(code) : 0;

    if (len >= RITP_CODE_LEN)
        return RIT_ERR_ARG;
    ritp_wipe(kept, RITP_CODE_LEN);
    if (len > 0)
        memcpy(kept, code, len);
    return 0;
}

/* Own addresses at the loopback are told where a broker is there too. */
void ritp_look_for_loopback(struct rit_posix *port, const struct ritp_where *where) {
    size_t i;

    for (i = 0; i < where->count; i++) {
        if (ritp_path_is_loopback(&where->paths[i]))
            port->has_loopback_broker = 1;
    }
    ritp_network_look(port, ritp_now_us());
}

/* Tells the node where its broker is. */
static int call(struct rit_posix *port, const char *code) {
    struct rit_path paths[RITP_PATHS_MAX];
    struct rit_broker broker;
    size_t count = port->broker.count;

    memset(&broker, 0, sizeof broker);
    broker.struct_size = (uint32_t)sizeof broker;
    memcpy(broker.key, port->broker.key, sizeof broker.key);
    memcpy(paths, port->broker.paths, count * sizeof *paths);
    ritp_look_for_loopback(port, &port->broker);
    broker.paths = paths;
    broker.path_count = ritp_tcp_paths(port, paths, count);
    broker.enrol_code = code;
    return rit_broker_connect(port->node, &broker);
}

int rit_posix_broker(rit_posix *port, const char *uri, const char *enrol_code) {
    struct ritp_where where;
    int failed, has_other_way;

    if (port == NULL || uri == NULL)
        return RIT_ERR_NULL;
    failed = ritp_where_open(&where, uri, "broker-at");
    if (failed == 0)
        failed = ritp_keep_code(port->code, enrol_code);
    if (failed != 0)
        return failed;
    ritp_where_close(&port->broker);
    port->broker = where;
    if (!where.is_literal)
        ritp_where_load(port, &port->broker);
    has_other_way = port->broker.count > 0 || port->gateway != NULL;
    failed = ritp_where_resolve(port, &port->broker, has_other_way ? PATIENCE_MS : -1);
    if (failed != 0 && !has_other_way) {
        ritp_where_close(&port->broker);
        port->broker.host[0] = '\0';
        return failed;
    }
    if (port->broker.count == 0) { /* told when its name resolves */
        ritp_look_for_loopback(port, &port->broker);
        return 0;
    }
    return call(port, enrol_code);
}

/* ---- what becomes of it */

static int is_named(const struct rit_posix *port) {
    return port->broker.host[0] != '\0';
}

uint64_t ritp_broker_prepare(struct rit_posix *port) {
    uint64_t wake_us = RITP_NEVER;

    if (!is_named(port))
        return RITP_NEVER;
    if (port->broker_news_us != 0 && !port->is_broker_online)
        wake_us = port->broker_news_us;
    if (!port->is_broker_online || port->broker.fd >= 0) {
        uint64_t due_us = ritp_where_prepare(port, &port->broker, !port->is_broker_online);
        wake_us = due_us < wake_us ? due_us : wake_us;
    }
    return wake_us;
}

void ritp_broker_run(struct rit_posix *port, uint64_t now_us) {
    if (!is_named(port))
        return;
    if (ritp_where_run(port, &port->broker, !port->is_broker_online, now_us))
        port->broker_news_us = now_us;
    if (port->broker_news_us == 0 || port->is_broker_online || port->broker_news_us > now_us)
        return;
    /* An attempt at the old addresses may be on. */
    if (call(port, port->code[0] != '\0' ? port->code : NULL) == RIT_ERR_STATE) {
        port->broker_news_us = now_us + AGAIN_US;
    } else {
        port->broker_news_us = 0;
    }
}

static void forget_code(struct rit_posix *port) {
    ritp_wipe(port->code, sizeof port->code);
}

void ritp_broker_event(struct rit_posix *port, const struct rit_event *event) {
    static const enum rit_posix_event_type TYPES[] = {
        RIT_POSIX_BROKER_ONLINE, RIT_POSIX_BROKER_OFFLINE, RIT_POSIX_ENROLLED,
        RIT_POSIX_ENROL_REFUSED};
    enum rit_posix_event_type type;

    if (event->type == RIT_EVENT_GATEWAY_ONLINE || event->type == RIT_EVENT_GATEWAY_OFFLINE) {
        port->is_gateway_online = event->type == RIT_EVENT_GATEWAY_ONLINE;
        type = port->is_gateway_online ? RIT_POSIX_GATEWAY_ONLINE : RIT_POSIX_GATEWAY_OFFLINE;
        ritp_gateway_met(port, event->error);
    } else {
        type = TYPES[event->type - RIT_EVENT_BROKER_ONLINE];
        if (event->type == RIT_EVENT_BROKER_ONLINE) {
            port->is_broker_online = 1;
            ritp_where_keep(port, &port->broker);
        } else if (event->type != RIT_EVENT_ENROLLED) {
            port->is_broker_online = 0;
        }
        if (event->type != RIT_EVENT_BROKER_OFFLINE)
            forget_code(port);
    }
    /* Sessions go on without either. */
    port->is_online = port->is_broker_online || port->is_gateway_online;
    ritp_tell(port, type, event->error, NULL, NULL);
}

void ritp_broker_close(struct rit_posix *port) {
    ritp_where_close(&port->broker);
    forget_code(port);
}
