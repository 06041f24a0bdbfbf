/* flow.c: UDP services, offered and reached.
 *
 * Owns flows and their udp_pcbs: on the device side one for each flow, connected to the service; on
 * the reaching side one at the service's address, each of whose clients is a flow. Back-pressure is
 * loss, as UDP's is. Does not own offers (offer.c) nor the addresses of listeners (connect.c).
 */
#include "internal.h"

#define MESSAGES_MAX 16          /* of one flow before others have their turn */
#define EXPIRY_US 1000000u       /* a message that waits for longer is of no use any more */
#define REFUSED_US 500000u       /* after a refusal no flow is opened for a service */

#if RIT_LWIP_FLOWS
struct ritl_flow {
    struct ritl_flow *next;
    struct rit_lwip *port;
    rit_flow flow;
    rit_session session;
    uint64_t used_us;
    int has_more;                   /* it may have messages */
    int is_over;                    /* once it has none */
    const struct ritl_offer *offer; /* device side, and connected to the service: */
    struct udp_pcb *pcb;
    struct ritl_want *want;         /* reaching side */
    ip_addr_t client;
    uint16_t client_port;
};

static struct ritl_flow *add_flow(struct rit_lwip *port, rit_flow handle, rit_session session) {
    struct ritl_flow *flow = ritl_has_room(port) ? ritl_new(sizeof *flow) : NULL;

    if (flow == NULL)
        return NULL;
    flow->port = port;
    flow->flow = handle;
    flow->session = session;
    flow->used_us = ritl_now_us(port);
    flow->next = port->flows;
    port->flows = flow;
    port->conn_count++;
    return flow;
}

static void drop_flow(struct rit_lwip *port, struct ritl_flow *flow) {
    struct ritl_flow **place = &port->flows;

    while (*place != flow)
        place = &(*place)->next;
    *place = flow->next;
    if (flow->pcb != NULL)
        udp_remove(flow->pcb);
    port->conn_count--;
    RIT_LWIP_FREE(flow);
}

static void end_flow(struct rit_lwip *port, struct ritl_flow *flow) {
    (void)rit_flow_close(port->node, flow->flow);
    drop_flow(port, flow);
}

static void tell_flow(struct rit_lwip *port, const struct ritl_flow *flow, int error) {
    if (flow->offer != NULL)
        ritl_tell(port, RIT_LWIP_CONNECTION, error, ritl_peer_of(port, flow->session),
                  flow->offer->name);
    else
        ritl_tell(port, RIT_LWIP_CONNECTION, error, flow->want->peer->device, flow->want->service);
}

/* Hands on what came, at most so many. Without memory for a message it waits. */
static void take_messages(struct rit_lwip *port, struct ritl_flow *flow) {
    int count;

    for (count = 0; count < MESSAGES_MAX; count++) {
        struct pbuf *p;
        size_t len = 0;
        uint8_t none[1];
        int32_t failed = rit_datagram_recv(port->node, flow->flow, none, 0, &len);
        flow->has_more = failed == RIT_OK || failed == RIT_ERR_BUFFER;
        if (!flow->has_more)
            return;
        p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)len, PBUF_RAM);
        if (p == NULL) {
            if (failed == RIT_ERR_BUFFER)
                break;
            continue; /* an empty one, which was taken */
        }
        if (failed == RIT_ERR_BUFFER)
            failed = rit_datagram_recv(port->node, flow->flow, p->payload, len, &len);
        if (failed == RIT_OK) {
            flow->used_us = ritl_now_us(port);
            if (flow->pcb != NULL)
                (void)udp_send(flow->pcb, p);
            else
                (void)udp_sendto(flow->want->udp, p, &flow->client, flow->client_port);
        }
        pbuf_free(p);
    }
    ritl_wake(port, ritl_now_us(port) + (count == MESSAGES_MAX ? 0 : RITL_RETRY_US));
}

/* pbufs that are chained are put together, the only copy but the library's. */
static void send_message(struct rit_lwip *port, struct ritl_flow *flow, struct pbuf *p) {
    flow->used_us = ritl_now_us(port);
    if (p->next == NULL) {
        (void)rit_datagram_send(port->node, flow->flow, p->payload, p->len, EXPIRY_US);
    } else {
        struct pbuf *whole = pbuf_alloc(PBUF_RAW, p->tot_len, PBUF_RAM);
        if (whole == NULL)
            return; /* lost, as UDP may be */
        if (pbuf_copy(whole, p) == ERR_OK)
            (void)rit_datagram_send(port->node, flow->flow, whole->payload, whole->len, EXPIRY_US);
        pbuf_free(whole);
    }
}

/* ---- device side */

static void on_service(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                       u16_t number) {
    struct ritl_flow *flow = arg;
    struct rit_lwip *port = flow->port;

    (void)pcb;
    (void)from;
    (void)number;
    send_message(port, flow, p);
    pbuf_free(p);
    ritl_pump(port);
}

static void on_incoming_flow(struct rit_lwip *port, const struct rit_event *event) {
    const struct ritl_offer *offer = ritl_find_offer(port, event->service);
    struct ritl_flow *flow = NULL;

    if (offer != NULL)
        flow = add_flow(port, event->flow, event->session);
    if (flow == NULL) {
        int32_t why = offer == NULL ? RIT_REFUSED_UNKNOWN : RIT_REFUSED_LIMIT;
        (void)rit_flow_refuse(port->node, event->flow, why);
        return;
    }
    flow->offer = offer;
    flow->pcb = udp_new_ip_type(IP_GET_TYPE(&offer->address));
    if (flow->pcb == NULL || udp_connect(flow->pcb, &offer->address, offer->port) != ERR_OK ||
        rit_flow_accept(port->node, flow->flow) != RIT_OK) {
        tell_flow(port, flow, RIT_ERR_REFUSED);
        if (rit_flow_refuse(port->node, flow->flow, RIT_REFUSED_SERVICE) != RIT_OK)
            (void)rit_flow_close(port->node, flow->flow);
        drop_flow(port, flow);
        return;
    }
    udp_recv(flow->pcb, on_service, flow);
    tell_flow(port, flow, 0);
}

#if RITL_HAS_LISTENERS
/* ---- reaching side */

/* A flow for a new client; NULL: there can be none now. The one that was not used for the longest
 * makes room. */
static struct ritl_flow *open_flow(struct rit_lwip *port, struct ritl_want *want,
                                   const ip_addr_t *client, u16_t number) {
    struct ritl_flow *flow, *oldest = NULL;
    rit_flow handle = 0;

    if (!want->peer->is_up || want->udp_paused_until_us > ritl_now_us(port))
        return NULL;
    for (flow = port->flows; flow != NULL; flow = flow->next) {
        if (flow->want != NULL && (oldest == NULL || flow->used_us < oldest->used_us))
            oldest = flow;
    }
    if (!ritl_has_room(port) && oldest != NULL)
        end_flow(port, oldest);
    if (!ritl_has_room(port) ||
        rit_flow_open(port->node, want->peer->session, want->service, &handle) != RIT_OK)
        return NULL;
    flow = add_flow(port, handle, want->peer->session);
    if (flow == NULL) {
        (void)rit_flow_close(port->node, handle);
        return NULL;
    }
    flow->want = want;
    ip_addr_copy(flow->client, *client);
    flow->client_port = number;
    return flow;
}

static void on_client(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                      u16_t number) {
    struct ritl_want *want = arg;
    struct rit_lwip *port = want->port;
    struct ritl_flow *flow = port->flows;

    (void)pcb;
    while (flow != NULL && (flow->want != want || flow->client_port != number ||
                            !ip_addr_cmp(&flow->client, from)))
        flow = flow->next;
    if (flow == NULL)
        flow = open_flow(port, want, from, number);
    if (flow != NULL)
        send_message(port, flow, p);
    pbuf_free(p);
    ritl_pump(port);
}

int ritl_flow_listen(struct ritl_want *want, uint16_t number) {
    want->udp = udp_new_ip_type(IPADDR_TYPE_V4);
    if (want->udp == NULL)
        return -1;
    if (udp_bind(want->udp, netif_ip_addr4(&want->netif), number) != ERR_OK) {
        udp_remove(want->udp);
        want->udp = NULL;
        return -1;
    }
    udp_recv(want->udp, on_client, want);
    return 0;
}
#endif

/* ---- what the node says, and time */

void ritl_flow_event(struct rit_lwip *port, const struct rit_event *event) {
    struct ritl_flow *flow = port->flows;

    if (event->type == RIT_EVENT_FLOW_INCOMING) {
        on_incoming_flow(port, event);
        return;
    }
    while (flow != NULL && flow->flow != event->flow)
        flow = flow->next;
    if (flow == NULL)
        return;
    if (event->type == RIT_EVENT_FLOW_OPENED) {
        tell_flow(port, flow, 0);
    } else if (event->type == RIT_EVENT_FLOW_READABLE) {
        take_messages(port, flow);
    } else if (event->type == RIT_EVENT_FLOW_REFUSED) {
        tell_flow(port, flow, event->error);
        if (flow->want != NULL)
            flow->want->udp_paused_until_us = ritl_now_us(port) + REFUSED_US;
        end_flow(port, flow);
    } else if (event->type == RIT_EVENT_FLOW_CLOSED) {
        flow->is_over = 1;
        if (!flow->has_more)
            end_flow(port, flow);
    }
}

void ritl_flow_run(struct rit_lwip *port) {
    struct ritl_flow *flow, *next;

    for (flow = port->flows; flow != NULL; flow = next) {
        next = flow->next;
        if (flow->has_more)
            take_messages(port, flow);
        if (flow->is_over && !flow->has_more)
            end_flow(port, flow);
    }
}

void ritl_flow_session_down(struct rit_lwip *port, rit_session session) {
    struct ritl_flow *flow, *next;

    for (flow = port->flows; flow != NULL; flow = next) {
        next = flow->next;
        if (flow->session == session)
            drop_flow(port, flow);
    }
}

void ritl_flow_free(struct rit_lwip *port) {
    while (port->flows != NULL)
        end_flow(port, port->flows);
}
#else
void ritl_flow_event(struct rit_lwip *port, const struct rit_event *event) {
    if (event->type == RIT_EVENT_FLOW_INCOMING)
        (void)rit_flow_refuse(port->node, event->flow, RIT_REFUSED_UNKNOWN);
}

void ritl_flow_run(struct rit_lwip *port) {
    (void)port;
}

void ritl_flow_session_down(struct rit_lwip *port, rit_session session) {
    (void)port;
    (void)session;
}

void ritl_flow_free(struct rit_lwip *port) {
    (void)port;
}
#endif
