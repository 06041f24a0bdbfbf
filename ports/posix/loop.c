/* loop.c: the port as its user sees it: what is offered, and the poll loop.
 *
 * Owns when things happen: one poll() over the UDP sockets, listeners and connections, then the
 * node, then the bridge, then the node's events until there are none. Does not own sockets and
 * files (system.c), sessions (reach.c) nor bytes (bridge.c).
 */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define EVENTS_PER_STEP_MAX 8192 /* then the sockets have their turn again */
#define FATAL (-200)             /* RIT_ERR_* at or below it: the node is unusable */
#define FATAL_LAST (-299)

/* ---- making and freeing */

/* Those of a system with memory to spare: a connection may have in flight what 80 Mbit/s make in
 * 100 ms, and datagrams are as large as the path carries, to jumbo frames. */
static void set_limits(struct rit_config *limits) {
    rit_config_init(limits);
    limits->max_datagram = 9000;
    limits->max_services = 32; /* the most that there can be */
    limits->stream_window = limits->stream_send_buffer = 1 << 20;
    limits->session_window = 32 << 20;
}

rit_posix *rit_posix_new(const struct rit_posix_config *config, int *err) {
    struct rit_posix *port = NULL;
    struct rit_config limits;
    struct rit_io io;
    int32_t failed = RIT_ERR_NULL;

    if (config != NULL) {
        port = calloc(1, sizeof *port);
        failed = RIT_ERR_NOMEM;
    }
    if (port != NULL) {
        port->log = config->log;
        port->log_ctx = config->log_ctx;
        port->attest = config->attest;
        port->check_attestation = config->check_attestation;
        port->attest_ctx = config->attest_ctx;
        port->take_event = config->take_event;
        port->event_ctx = config->event_ctx;
        port->log_level = config->log_level != 0 ? config->log_level : RIT_LOG_WARN;
        port->udp[0] = port->udp[1] = port->news_fd = port->router_fd = -1;
        port->users_fd = port->broker.fd = port->identify[0].fd = port->identify[1].fd = -1;
        ritp_tcp_open(port, config->tls_port);
        failed = ritp_system_open(port, config);
        if (failed == 0)
            failed = ritp_udp_open(port, config->udp_port);
        if (failed == 0) {
            set_limits(&limits);
            ritp_system_io(port, &io);
            ritp_udp_io(&io);
            io.multicast = config->no_multicast == 0;
            port->has_multicast = config->no_multicast == 0;
            port->node = rit_node_new(config->node != NULL ? config->node : &limits, &io,
                                      &failed);
        }
        if (port->node == NULL) {
            rit_posix_free(port);
            port = NULL;
        } else {
            ritp_network_open(port, config->port_mapping != 0);
            ritp_places_open(port);
            ritp_users_open(port, config->own_user_only != 0);
        }
    }
    if (err != NULL)
        *err = port != NULL ? 0 : failed;
    return port;
}

void rit_posix_free(rit_posix *port) {
    if (port == NULL)
        return;
    ritp_reach_leave_all(port);
    ritp_flow_free(port);
    ritp_bridge_free(port);
    ritp_offers_free(port);
    ritp_reach_free(port);
    ritp_gateway_close(port);
    ritp_broker_close(port);
    ritp_places_close(port);
    ritp_users_close(port);
    ritp_network_close(port);
    ritp_free_grants(port);
    rit_node_free(port->node);
    ritp_sockets_close(port);
    ritp_udp_close(port);
    ritp_system_close(port);
    free(port->polls);
    free(port);
}

rit_node *rit_posix_node(rit_posix *port) {
    return port != NULL ? port->node : NULL;
}

/* ---- what the node says */

/* Fetches the node's events until there are none. 0, or why the node is unusable. */
static int take_events(struct rit_posix *port) {
    struct rit_event event;
    int count;

    for (count = 0; count < EVENTS_PER_STEP_MAX; count++) {
        int failed;
        memset(&event, 0, sizeof event);
        event.struct_size = (uint32_t)sizeof event;
        failed = rit_node_next_event(port->node, &event);
        if (failed != RIT_OK)
            return failed == RIT_ERR_AGAIN ? 0 : failed;
        if (port->take_event != NULL && port->take_event(port->event_ctx, &event))
            continue;
        if ((event.type >= RIT_EVENT_BROKER_ONLINE && event.type <= RIT_EVENT_ENROL_REFUSED) ||
            event.type == RIT_EVENT_GATEWAY_ONLINE || event.type == RIT_EVENT_GATEWAY_OFFLINE)
            ritp_broker_event(port, &event);
        else if (event.type == RIT_EVENT_SESSION_UP)
            ritp_session_up(port, &event);
        else if (event.type == RIT_EVENT_SESSION_DOWN)
            ritp_session_down(port, &event);
        else if (event.type >= RIT_EVENT_FLOW_INCOMING && event.type <= RIT_EVENT_FLOW_CLOSED)
            ritp_flow_event(port, &event);
        else if (event.type >= RIT_EVENT_CLAIMED && event.type <= RIT_EVENT_OWNER_ANSWERED)
            ritp_tell_owner(port, &event);
        else if (event.type == RIT_EVENT_CLOAK)
            ritp_cloak_event(port, &event);
        else
            ritp_bridge_event(port, &event);
    }
    port->has_more = 1;
    return 0;
}

/* ---- the loop */

int ritp_poll_add(struct rit_posix *port, int fd, short events) {
    if (port->poll_count == port->poll_room) {
        size_t room = port->poll_room == 0 ? 64 : port->poll_room * 2;
        struct pollfd *polls = realloc(port->polls, room * sizeof *polls);
        if (polls == NULL)
            return -1;
        port->polls = polls;
        port->poll_room = room;
    }
    port->polls[port->poll_count].fd = fd;
    port->polls[port->poll_count].events = events;
    port->polls[port->poll_count].revents = 0;
    return (int)port->poll_count++;
}

/* Rounded up: too late by less than a millisecond rather than a busy loop. */
static int wait_ms(struct rit_posix *port, uint64_t wake_us, uint64_t now_us, int timeout_ms) {
    uint64_t ms;

    if (port->has_more || wake_us <= now_us)
        return 0;
    if (wake_us == RITP_NEVER)
        return timeout_ms;
    ms = (wake_us - now_us + 999u) / 1000u;
    return timeout_ms >= 0 && (uint64_t)timeout_ms < ms ? timeout_ms
           : ms > 3600000u                              ? 3600000
                                                        : (int)ms;
}

int ritp_is_fatal(int error) {
    return error <= FATAL && error >= FATAL_LAST;
}

/* Takes what arrived on the UDP sockets, and lets the node do what is due. */
static int run_node(struct rit_posix *port) {
    int failed = ritp_sockets_receive(port);

    if (!ritp_is_fatal(failed))
        failed = ritp_tcp_run(port);
    if (!ritp_is_fatal(failed) && rit_node_deadline(port->node) <= ritp_now_us())
        failed = rit_node_timeout(port->node);
    return ritp_is_fatal(failed) ? failed : 0;
}

int rit_posix_step(rit_posix *port, int timeout_ms) {
    uint64_t now_us = ritp_now_us(), wake_us, deadline_us;
    int failed;

    if (port == NULL)
        return RIT_ERR_NULL;
    port->has_more = 0;
    failed = take_events(port); /* of calls made since the last step */
    if (failed != 0)
        return failed;
    wake_us = ritp_open_sessions(port, now_us);
    port->poll_count = 0;
    failed = ritp_sockets_prepare(port, now_us, &deadline_us);
    if (failed != 0)
        return failed;
    wake_us = deadline_us < wake_us ? deadline_us : wake_us;
    deadline_us = ritp_bridge_prepare(port, now_us);
    ritp_flow_prepare(port);
    ritp_offers_prepare(port);
    ritp_tcp_prepare(port);
    wake_us = deadline_us < wake_us ? deadline_us : wake_us;
    deadline_us = ritp_broker_prepare(port);
    wake_us = deadline_us < wake_us ? deadline_us : wake_us;
    deadline_us = ritp_gateway_prepare(port, now_us);
    wake_us = deadline_us < wake_us ? deadline_us : wake_us;
    deadline_us = ritp_network_prepare(port);
    wake_us = deadline_us < wake_us ? deadline_us : wake_us;
    deadline_us = rit_node_deadline(port->node);
    wake_us = deadline_us < wake_us ? deadline_us : wake_us;
    /* What is waiting to be fetched is not waited upon. */
    if (port->event_count > 0)
        port->has_more = 1;
    timeout_ms = wait_ms(port, wake_us, now_us, timeout_ms);
    if (poll(port->polls, (nfds_t)port->poll_count, timeout_ms) < 0) {
        if (errno == EINTR)
            return 0;
        ritp_log(port, RIT_LOG_ERROR, "poll: %s", strerror(errno));
        return RIT_POSIX_ERR_SYSTEM;
    }
    ritp_sockets_look(port);
    ritp_network_run(port, ritp_now_us());
    ritp_broker_run(port, ritp_now_us());
    ritp_gateway_run(port, ritp_now_us());
    failed = run_node(port);
    if (failed == 0) {
        ritp_bridge_run(port, ritp_now_us());
        ritp_flow_run(port);
        ritp_offers_run(port);
        failed = take_events(port);
    }
    return failed;
}
