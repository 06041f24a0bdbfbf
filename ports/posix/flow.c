/* flow.c: UDP on one side, flows on the other.
 *
 * Owns the UDP sockets of services: on the reaching side one at the service's loopback address, each
 * of whose clients is a flow; on the device side one for each flow, connected to the local service.
 * Does not own sessions (loop.c). Back-pressure is loss, as UDP's is: what does not fit on either
 * side is dropped. Invariants: the number of flows is bounded, and on the reaching side the one that
 * was not used for the longest makes room; a flow ends by the device's idle time, or when the local
 * service's port is closed.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define MESSAGES_MAX 64      /* moved for one socket before others have their turn */
#define EXPIRY_US 1000000u   /* a message that waits for longer to be sent is of no use any more */
#define IDLE_US 5000000u     /* a neighbour's flow that was not used makes room for another one */
#define REFUSED_US 500000u   /* after a refusal no flow is opened for a service */
#define BUFFER_LEN (RIT_MESSAGE_MAX + 1) /* so that a message cut short by the system shows */

struct ritp_flow {
    rit_flow flow;
    rit_session session;
    uint64_t used_us;
    int fd;                    /* device side, connected to the service; -1: reaching side */
    int poll;
    struct ritp_offer *offer;  /* device side */
    struct ritp_want *want;    /* reaching side */
    struct sockaddr_in client;
};

/* ---- the table */

static struct ritp_flow *find(struct rit_posix *port, rit_flow flow) {
    size_t i;

    for (i = 0; i < port->flow_count; i++) {
        if (port->flows[i].flow == flow)
            return &port->flows[i];
    }
    return NULL;
}

static struct ritp_flow *find_client(struct rit_posix *port, const struct ritp_want *want,
                                     const struct sockaddr_in *client) {
    size_t i;

    for (i = 0; i < port->flow_count; i++) {
        struct ritp_flow *flow = &port->flows[i];
        if (flow->want == want && flow->client.sin_port == client->sin_port &&
            flow->client.sin_addr.s_addr == client->sin_addr.s_addr)
            return flow;
    }
    return NULL;
}

/* Memory is taken with the first message. */
static int reserve(struct rit_posix *port) {
    if (port->flow_buf == NULL)
        port->flow_buf = malloc(BUFFER_LEN);
    if (port->flows == NULL)
        port->flows = malloc(RIT_POSIX_FLOWS_MAX * sizeof *port->flows);
    return port->flow_buf != NULL && port->flows != NULL ? 0 : -1;
}

static struct ritp_flow *add(struct rit_posix *port, rit_flow handle, rit_session session) {
    struct ritp_flow *flow;

    if (reserve(port) != 0 || port->flow_count == RIT_POSIX_FLOWS_MAX)
        return NULL;
    flow = &port->flows[port->flow_count++];
    memset(flow, 0, sizeof *flow);
    flow->flow = handle;
    flow->session = session;
    flow->fd = flow->poll = -1;
    flow->used_us = ritp_now_us();
    return flow;
}

/* The last takes its place, so a loop over the table runs from its end. */
static void drop(struct rit_posix *port, struct ritp_flow *flow) {
    if (flow->fd >= 0)
        (void)close(flow->fd);
    *flow = port->flows[--port->flow_count];
}

static void end(struct rit_posix *port, struct ritp_flow *flow) {
    (void)rit_flow_close(port->node, flow->flow);
    drop(port, flow);
}

/* Ends the client's flow that was not used for the longest, of a session or (0) of any. -1: there
 * is none. */
static int make_room(struct rit_posix *port, rit_session session) {
    struct ritp_flow *oldest = NULL;
    size_t i;

    for (i = 0; i < port->flow_count; i++) {
        struct ritp_flow *flow = &port->flows[i];
        if (flow->want != NULL && (session == 0 || flow->session == session) &&
            (oldest == NULL || flow->used_us < oldest->used_us))
            oldest = flow;
    }
    if (oldest == NULL)
        return -1;
    end(port, oldest);
    return 0;
}

static void tell(struct rit_posix *port, const struct ritp_flow *flow, int error) {
    if (flow->want != NULL)
        ritp_tell(port, RIT_POSIX_CONNECTION, error, flow->want->peer->device,
                  flow->want->service);
    else
        ritp_tell_offered(port, flow->session, flow->offer->name, error);
}

static int is_passing(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* ---- from the flow */

/* Hands on what came; -1: the local service's port is closed. */
static int take_messages(struct rit_posix *port, struct ritp_flow *flow) {
    int count;

    for (count = 0; count < MESSAGES_MAX; count++) {
        ssize_t put;
        size_t len = 0;
        if (rit_datagram_recv(port->node, flow->flow, port->flow_buf, BUFFER_LEN, &len) != RIT_OK)
            return 0;
        flow->used_us = ritp_now_us();
        if (flow->fd >= 0)
            put = send(flow->fd, port->flow_buf, len, MSG_NOSIGNAL);
        else
            put = sendto(flow->want->udp_fd, port->flow_buf, len, MSG_NOSIGNAL,
                         (const struct sockaddr *)&flow->client, sizeof flow->client);
        /* A client that is gone is no reason to end its flow: its port may be used again. */
        if (put < 0 && flow->fd >= 0 && errno == ECONNREFUSED && !flow->offer->is_neighbour)
            return -1;
    }
    return 0;
}

/* Whether an offer has room for one more. A neighbour's makes some: whoever asks by a new port each
 * time, as resolvers do, leaves a flow behind with each question. */
static int may_begin(struct rit_posix *port, struct ritp_offer *offer, rit_session session,
                     uint64_t now_us) {
    struct ritp_flow *oldest = NULL, *oldest_own = NULL;
    size_t i, open = 0, own = 0;

    if (!offer->is_neighbour)
        return 1;
    ritp_offer_look(port, offer, now_us);
    for (i = 0; i < port->flow_count; i++) {
        struct ritp_flow *flow = &port->flows[i];
        if (flow->offer != offer)
            continue;
        open++;
        if (oldest == NULL || flow->used_us < oldest->used_us)
            oldest = flow;
        if (flow->session != session)
            continue;
        own++;
        if (oldest_own == NULL || flow->used_us < oldest_own->used_us)
            oldest_own = flow;
    }
    if (!ritp_is_full(port, open, 0))
        oldest = oldest_own;
    if (oldest != NULL && oldest->used_us + IDLE_US <= now_us && ritp_is_full(port, open, own)) {
        open--;
        own -= oldest->session == session;
        end(port, oldest);
    }
    return ritp_may_begin(port, offer, open, own, now_us);
}

/* Device side: a socket connected to the first address that can be; refuses if there is none. */
static void on_incoming(struct rit_posix *port, const struct rit_event *event) {
    struct ritp_offer *offer = ritp_find_offer(port, event->service);
    struct ritp_flow *flow = NULL;
    uint64_t now_us = ritp_now_us();
    size_t i;

    if (offer != NULL && may_begin(port, offer, event->session, now_us))
        flow = add(port, event->flow, event->session);
    if (flow == NULL) {
        int32_t why = offer == NULL ? RIT_REFUSED_UNKNOWN : RIT_REFUSED_LIMIT;
        (void)rit_flow_refuse(port->node, event->flow, why);
        if (offer != NULL)
            ritp_tell_refused(port, event->session, offer, now_us);
        return;
    }
    flow->offer = offer;
    for (i = 0; i < offer->address_count && flow->fd < 0; i++) {
        const struct ritp_address *to = &offer->addresses[i];
        if (offer->is_neighbour && !ritp_is_allowed(port, to))
            continue;
        flow->fd = socket(to->at.ss_family, SOCK_DGRAM, 0);
        if (flow->fd >= 0 && (ritp_prepare_fd(flow->fd) != 0 ||
                              connect(flow->fd, (const struct sockaddr *)&to->at, to->len) != 0)) {
            (void)close(flow->fd);
            flow->fd = -1;
        }
    }
    if (flow->fd >= 0)
        ritp_enlarge(flow->fd, RITP_SERVICE_BUFFER);
    if (flow->fd < 0 || rit_flow_accept(port->node, flow->flow) != RIT_OK) {
        tell(port, flow, RIT_ERR_REFUSED);
        if (rit_flow_refuse(port->node, flow->flow, RIT_REFUSED_SERVICE) != RIT_OK)
            (void)rit_flow_close(port->node, flow->flow);
        drop(port, flow);
        return;
    }
    tell(port, flow, 0);
}

void ritp_flow_event(struct rit_posix *port, const struct rit_event *event) {
    struct ritp_flow *flow;

    if (event->type == RIT_EVENT_FLOW_INCOMING) {
        on_incoming(port, event);
        return;
    }
    flow = find(port, event->flow);
    if (flow == NULL)
        return;
    if (event->type == RIT_EVENT_FLOW_OPENED) {
        tell(port, flow, 0);
    } else if (event->type == RIT_EVENT_FLOW_READABLE) {
        if (take_messages(port, flow) != 0)
            end(port, flow);
    } else if (event->type == RIT_EVENT_FLOW_REFUSED) {
        tell(port, flow, event->error);
        flow->want->udp_paused_until_us = ritp_now_us() + REFUSED_US;
        end(port, flow);
    } else if (event->type == RIT_EVENT_FLOW_CLOSED) {
        end(port, flow);
    }
}

void ritp_flow_session_down(struct rit_posix *port, rit_session session) {
    size_t i;

    for (i = port->flow_count; i-- > 0;) {
        if (port->flows[i].session == session)
            drop(port, &port->flows[i]);
    }
}

void ritp_flow_leave(struct rit_posix *port, const struct ritp_want *want) {
    size_t i;

    for (i = port->flow_count; i-- > 0;) {
        if (port->flows[i].want == want)
            end(port, &port->flows[i]);
    }
    if (want->udp_fd >= 0)
        (void)close(want->udp_fd);
}

void ritp_flow_withdraw(struct rit_posix *port, const struct ritp_offer *offer) {
    size_t i;

    for (i = port->flow_count; i-- > 0;) {
        if (port->flows[i].offer == offer)
            end(port, &port->flows[i]);
    }
}

/* ---- to the flow */

/* A flow for a new client; NULL: there can be none now. */
static struct ritp_flow *open_flow(struct rit_posix *port, struct ritp_want *want,
                                   const struct sockaddr_in *client) {
    struct ritp_peer *peer = want->peer;
    struct ritp_flow *flow;
    rit_flow handle = 0;
    int32_t failed;

    if (!peer->is_up || want->udp_paused_until_us > ritp_now_us())
        return NULL;
    if (port->flow_count == RIT_POSIX_FLOWS_MAX && make_room(port, 0) != 0)
        return NULL;
    failed = rit_flow_open(port->node, peer->session, want->service, &handle);
    if (failed == RIT_ERR_LIMIT && make_room(port, peer->session) == 0)
        failed = rit_flow_open(port->node, peer->session, want->service, &handle);
    if (failed != RIT_OK)
        return NULL;
    flow = add(port, handle, peer->session);
    if (flow == NULL) {
        (void)rit_flow_close(port->node, handle);
        return NULL;
    }
    flow->want = want;
    flow->client = *client;
    return flow;
}

static void send_message(struct rit_posix *port, struct ritp_flow *flow, size_t len) {
    flow->used_us = ritp_now_us();
    if (len <= RIT_MESSAGE_MAX)
        (void)rit_datagram_send(port->node, flow->flow, port->flow_buf, len, EXPIRY_US);
}

/* Reaching side. */
static void take_from_clients(struct rit_posix *port, struct ritp_want *want) {
    int count;

    for (count = 0; count < MESSAGES_MAX; count++) {
        struct sockaddr_in client;
        socklen_t client_len = sizeof client;
        struct ritp_flow *flow;
        ssize_t len = recvfrom(want->udp_fd, port->flow_buf, BUFFER_LEN, 0,
                               (struct sockaddr *)&client, &client_len);
        if (len < 0)
            return;
        flow = find_client(port, want, &client);
        if (flow == NULL)
            flow = open_flow(port, want, &client);
        if (flow != NULL)
            send_message(port, flow, (size_t)len);
    }
}

/* Device side; -1: the local service's port is closed. */
static int take_from_service(struct rit_posix *port, struct ritp_flow *flow) {
    int count;

    for (count = 0; count < MESSAGES_MAX; count++) {
        ssize_t len = recv(flow->fd, port->flow_buf, BUFFER_LEN, 0);
        /* Whether a neighbour's port is closed or filtered nobody is told. */
        if (len < 0)
            return is_passing(errno) || flow->offer->is_neighbour ? 0 : -1;
        send_message(port, flow, (size_t)len);
    }
    return 0;
}

/* ---- the loop's two calls */

void ritp_flow_prepare(struct rit_posix *port) {
    struct ritp_want *want;
    size_t i;

    for (want = port->wants; want != NULL; want = want->next)
        want->udp_poll = want->udp_fd >= 0 ? ritp_poll_add(port, want->udp_fd, POLLIN) : -1;
    for (i = 0; i < port->flow_count; i++) {
        struct ritp_flow *flow = &port->flows[i];
        flow->poll = flow->fd >= 0 ? ritp_poll_add(port, flow->fd, POLLIN) : -1;
    }
}

void ritp_flow_run(struct rit_posix *port) {
    struct ritp_want *want;
    size_t i;

    for (i = port->flow_count; i-- > 0;) {
        struct ritp_flow *flow = &port->flows[i];
        if (flow->poll >= 0 && port->polls[flow->poll].revents != 0 &&
            take_from_service(port, flow) != 0) {
            ritp_log(port, RIT_LOG_INFO, "%s: %s", flow->offer->name, strerror(errno));
            end(port, flow);
        }
    }
    for (want = port->wants; want != NULL; want = want->next) {
        if (want->udp_poll >= 0 && port->polls[want->udp_poll].revents != 0 &&
            reserve(port) == 0)
            take_from_clients(port, want);
    }
}

void ritp_flow_free(struct rit_posix *port) {
    while (port->flow_count > 0)
        end(port, &port->flows[port->flow_count - 1]);
    free(port->flows);
    free(port->flow_buf);
}
