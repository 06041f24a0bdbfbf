/* fake_flows.c: the flows of fake_rit.h. Owns what their calls answer; the tests own when. */
#include "fake_rit.h"

#include <string.h>

struct fake_flow *fake_flow(rit_flow id) {
    CHECK(id >= 1 && id <= fake.flow_count);
    return &fake.flows[id - 1];
}

static struct fake_flow *live_flow(rit_flow id) {
    struct fake_flow *flow = fake_flow(id);

    CHECK(!flow->is_closed); /* the port must not use a handle that it gave back */
    return flow;
}

static rit_flow new_flow(void) {
    CHECK(fake.flow_count < FAKE_FLOWS);
    memset(&fake.flows[fake.flow_count], 0, sizeof fake.flows[0]);
    return ++fake.flow_count;
}

static struct rit_event *push_flow(uint32_t type, rit_flow flow, int32_t error) {
    struct rit_event *event;

    fake_push(type, fake.last_session, 0, error);
    event = &fake.events[(fake.event_at + fake.event_count - 1) % 256];
    event->flow = flow;
    return event;
}

void fake_flow_push(uint32_t type, rit_flow flow, int32_t error) {
    (void)push_flow(type, flow, error);
}

rit_flow fake_flow_incoming(rit_session session, rit_service_id service) {
    rit_flow flow = new_flow();
    struct rit_event *event = push_flow(RIT_EVENT_FLOW_INCOMING, flow, 0);

    fake_flow(flow)->is_incoming = 1;
    event->session = session;
    event->service = service;
    return flow;
}

void fake_message(rit_flow id, const void *bytes, size_t len) {
    struct fake_flow *flow = fake_flow(id);
    size_t place = (flow->feed_at + flow->feed_count++) % FAKE_MESSAGES;

    CHECK(flow->feed_count <= FAKE_MESSAGES && len <= sizeof flow->feed[0]);
    memcpy(flow->feed[place], bytes, len);
    flow->feed_len[place] = len;
    fake_flow_push(RIT_EVENT_FLOW_READABLE, id, 0);
}

int32_t rit_flow_open(rit_node *node, rit_session session, const char *service, rit_flow *out) {
    size_t i, open = 0;

    (void)node;
    CHECK(session == fake.last_session);
    for (i = 0; i < fake.flow_count; i++)
        open += !fake.flows[i].is_closed;
    if (fake.flow_limit != 0 && open >= fake.flow_limit)
        return RIT_ERR_LIMIT;
    *out = new_flow();
    (void)snprintf(fake_flow(*out)->service, sizeof fake.flows[0].service, "%s", service);
    return RIT_OK;
}

int32_t rit_flow_accept(rit_node *node, rit_flow id) {
    struct fake_flow *flow = live_flow(id);

    (void)node;
    CHECK(flow->is_incoming && !flow->is_accepted);
    flow->is_accepted = 1;
    return RIT_OK;
}

int32_t rit_flow_refuse(rit_node *node, rit_flow id, int32_t refusal) {
    struct fake_flow *flow = live_flow(id);

    (void)node;
    CHECK(flow->is_incoming && !flow->is_accepted);
    flow->refusal = refusal;
    flow->is_closed = 1;
    return RIT_OK;
}

int32_t rit_datagram_send(rit_node *node, rit_flow id, const uint8_t *buf, size_t len,
                          uint64_t expiry_us) {
    struct fake_flow *flow = live_flow(id);

    (void)node;
    (void)expiry_us;
    CHECK(len <= RIT_MESSAGE_MAX && (!flow->is_incoming || flow->is_accepted));
    flow->sent_len = len;
    flow->sent_count++;
    memcpy(flow->sent, buf, len < sizeof flow->sent ? len : sizeof flow->sent);
    return RIT_OK;
}

int32_t rit_datagram_recv(rit_node *node, rit_flow id, uint8_t *buf, size_t cap, size_t *len) {
    struct fake_flow *flow = live_flow(id);

    (void)node;
    if (flow->feed_count == 0)
        return RIT_ERR_AGAIN;
    *len = flow->feed_len[flow->feed_at];
    if (*len > cap)
        return RIT_ERR_BUFFER;
    memcpy(buf, flow->feed[flow->feed_at], *len);
    flow->feed_at = (flow->feed_at + 1) % FAKE_MESSAGES;
    flow->feed_count--;
    return RIT_OK;
}

int32_t rit_flow_close(rit_node *node, rit_flow id) {
    (void)node;
    live_flow(id)->is_closed = 1;
    return RIT_OK;
}
