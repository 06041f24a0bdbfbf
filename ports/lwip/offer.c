/* offer.c: services that are offered, and connections to them from their peers.
 *
 * Owns the offers, and a connection until its stream is accepted: the service is connected to, or
 * asked by its callback, and then the stream is answered. Does not own what comes after (bridge.c)
 * nor UDP services (flow.c), but for their offers.
 */
#include "internal.h"

#include "lwip/ip.h"

#define CONNECT_US 10000000u   /* a service that does not answer its SYN for so long refuses */

/* ---- offers */

static int add_offer(struct rit_lwip *port, uint16_t kind, const char *name,
                     const struct ritl_offer *like, uint16_t number) {
    struct rit_service service;
    struct ritl_offer *offer;
    int failed;

    LWIP_ASSERT_CORE_LOCKED();
    if (port == NULL || name == NULL)
        return RIT_ERR_NULL;
    if (strlen(name) >= RIT_SERVICE_NAME_MAX)
        return RIT_ERR_NAME;
    offer = ritl_new(sizeof *offer);
    if (offer == NULL)
        return RIT_ERR_NOMEM;
    *offer = *like;
    memcpy(offer->name, name, strlen(name) + 1);
    memset(&service, 0, sizeof service);
    service.struct_size = (uint32_t)sizeof service;
    service.kind = kind;
    service.port = number;
    service.name = name;
    failed = rit_service_add(port->node, &service, &offer->id);
    if (failed != 0) {
        RIT_LWIP_FREE(offer);
        return failed;
    }
    offer->next = port->offers;
    port->offers = offer;
    ritl_pump(port);
    return 0;
}

static int add_bridge(struct rit_lwip *port, uint16_t kind, const char *name,
                      const ip_addr_t *address, uint16_t number) {
    struct ritl_offer like;

    if (number == 0)
        return RIT_ERR_ARG;
    memset(&like, 0, sizeof like);
    like.port = number;
    if (address != NULL) {
        like.address = *address;
    } else {
#if LWIP_IPV4
        IP_ADDR4(&like.address, 127, 0, 0, 1);
#else
        ip_addr_set_loopback(1, &like.address);
#endif
    }
    return add_offer(port, kind, name, &like, number);
}

int rit_lwip_offer(rit_lwip *port, const char *name, const ip_addr_t *address, uint16_t number) {
    return add_bridge(port, RIT_SERVICE_TCP, name, address, number);
}

int rit_lwip_offer_udp(rit_lwip *port, const char *name, const ip_addr_t *address,
                       uint16_t number) {
#if RIT_LWIP_FLOWS
    return add_bridge(port, RIT_SERVICE_UDP, name, address, number);
#else
    (void)port, (void)name, (void)address, (void)number;
    return RIT_ERR_LIMIT;
#endif
}

int rit_lwip_serve(rit_lwip *port, const char *name, uint16_t number,
                   const struct rit_lwip_callbacks *callbacks, void *ctx) {
    struct ritl_offer like;

    if (callbacks == NULL || callbacks->readable == NULL)
        return RIT_ERR_NULL;
    memset(&like, 0, sizeof like);
    like.calls = callbacks;
    like.ctx = ctx;
    return add_offer(port, RIT_SERVICE_TCP, name, &like, number);
}

const struct ritl_offer *ritl_find_offer(const struct rit_lwip *port, rit_service_id id) {
    const struct ritl_offer *offer = port->offers;

    while (offer != NULL && offer->id != id)
        offer = offer->next;
    return offer;
}

void ritl_offer_free(struct rit_lwip *port) {
    while (port->offers != NULL) {
        struct ritl_offer *next = port->offers->next;
        RIT_LWIP_FREE(port->offers);
        port->offers = next;
    }
}

/* ---- connections: to the service, then the answer */

/* The first call of each. */
static void begin_calls(struct rit_lwip *port, struct ritl_conn *conn) {
    if (conn->calls->writable != NULL)
        conn->calls->writable(conn->ctx, port, conn->stream);
    if (conn->state == RITL_OPEN)
        conn->calls->readable(conn->ctx, port, conn->stream);
}

void ritl_offer_answer(struct rit_lwip *port, struct ritl_conn *conn) {
    int32_t failed = rit_stream_accept(port->node, conn->stream);

    if (failed == RIT_ERR_AGAIN) { /* the session's buffer is full */
        conn->state = RITL_ANSWERING;
        ritl_conn_later(port, conn);
        return;
    }
    if (failed != RIT_OK) {
        ritl_conn_abort(port, conn, failed);
        return;
    }
    conn->state = RITL_OPEN;
    conn->due_us = conn->give_up_us = RITL_NEVER;
    conn->is_readable = 1;
    ritl_conn_tell(port, conn, 0);
    if (conn->state != RITL_OPEN)
        return; /* by whom it was told */
    if (conn->calls != NULL)
        begin_calls(port, conn);
    else
        ritl_relay(port, conn, RITL_UP | RITL_DOWN);
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err) {
    struct ritl_conn *conn = arg;
    struct rit_lwip *port = conn->port;

    (void)err; /* always ERR_OK */
    ritl_tcp_enter(port, pcb);
    conn->give_up_us = RITL_NEVER;
    ritl_offer_answer(port, conn);
    return ritl_tcp_leave(port);
}

void ritl_offer_connect(struct rit_lwip *port, struct ritl_conn *conn) {
    err_t err;

    conn->state = RITL_CONNECTING;
    conn->due_us = RITL_NEVER;
    if (conn->pcb == NULL) {
        struct tcp_pcb *pcb = tcp_new_ip_type(IP_GET_TYPE(&conn->offer->address));
        if (pcb == NULL) {
            ritl_conn_refuse(port, conn, RIT_REFUSED_LIMIT);
            return;
        }
        ritl_conn_attach(conn, pcb);
    }
    err = tcp_connect(conn->pcb, &conn->offer->address, conn->offer->port, on_connected);
    if (err == ERR_MEM || err == ERR_BUF) /* no memory for the SYN, no local port */
        ritl_conn_later(port, conn);
    else if (err != ERR_OK)
        ritl_conn_refuse(port, conn, RIT_REFUSED_SERVICE);
}

void ritl_offer_incoming(struct rit_lwip *port, const struct rit_event *event) {
    const struct ritl_offer *offer = ritl_find_offer(port, event->service);
    struct ritl_conn *conn = offer != NULL ? ritl_conn_add(port, event->session) : NULL;
    int32_t refusal = RIT_OK;

    if (conn == NULL) {
        refusal = offer == NULL ? RIT_REFUSED_UNKNOWN : RIT_REFUSED_LIMIT;
        (void)rit_stream_refuse(port->node, event->stream, refusal);
        return;
    }
    conn->offer = offer;
    conn->calls = offer->calls;
    conn->stream = event->stream;
    if (conn->calls == NULL) {
        conn->give_up_us = ritl_now_us(port) + CONNECT_US;
        ritl_wake(port, conn->give_up_us);
        ritl_offer_connect(port, conn);
        return;
    }
    if (conn->calls->open != NULL)
        refusal = conn->calls->open(offer->ctx, port, conn->stream,
                                    ritl_peer_of(port, conn->session), &conn->ctx);
    if (refusal != RIT_OK)
        ritl_conn_refuse(port, conn, refusal);
    else
        ritl_offer_answer(port, conn);
}
