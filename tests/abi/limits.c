/* Limits: at them all is well, over them one operation fails and nothing else. */
#include "fake.h"

static int32_t make(const struct rit_config *config) {
    struct fake fake;
    struct rit_io io;
    int32_t err = 1;
    fake_init(&fake, 1);
    io = fake_io(&fake);
    rit_node_free(rit_node_new(config, &io, &err));
    return err;
}

#define WITH(field, value, wanted)          \
    do {                                    \
        struct rit_config config_;          \
        rit_config_init(&config_);          \
        config_.field = (value);            \
        ANSWERS(wanted, make(&config_));    \
    } while (0)

static void configuration(void) {
    WITH(max_datagram, 511, RIT_ERR_ARG);
    WITH(max_datagram, 512, RIT_OK);
    WITH(max_datagram, 9000, RIT_OK);
    WITH(max_datagram, 9001, RIT_ERR_ARG);
    WITH(max_datagram, UINT32_MAX, RIT_ERR_ARG);
    WITH(max_services, 32, RIT_OK);
    WITH(max_services, 33, RIT_ERR_ARG);
    WITH(max_sessions, 1, RIT_OK);
    WITH(max_peers, 1, RIT_OK);
    WITH(max_streams, 1, RIT_OK);
    WITH(max_streams, (uint32_t)1 << 30, RIT_OK);
    WITH(max_streams, ((uint32_t)1 << 30) + 1, RIT_ERR_ARG);
    WITH(stream_window, 255, RIT_ERR_ARG);
    WITH(stream_window, 256, RIT_OK);
    WITH(stream_window, 4194304, RIT_OK);
    WITH(stream_window, 4194305, RIT_ERR_ARG);
    /* What cannot be allocated is not promised to the peer. */
    WITH(session_window, UINT32_MAX, sizeof(size_t) == 4 ? RIT_ERR_ARG : RIT_OK);
    WITH(session_window, (uint32_t)1 << 30, RIT_OK);
    WITH(session_window, 256, RIT_OK);
    WITH(session_window, 255, RIT_ERR_ARG);
    WITH(stream_send_buffer, 255, RIT_ERR_ARG);
    WITH(stream_send_buffer, 256, RIT_OK);
    WITH(stream_send_buffer, (uint32_t)1 << 30, RIT_OK);
    WITH(stream_send_buffer, UINT32_MAX, sizeof(size_t) == 4 ? RIT_ERR_ARG : RIT_OK);
    WITH(keep_alive_ms, UINT32_MAX, RIT_OK);
    WITH(idle_timeout_ms, 1, RIT_OK);
    WITH(max_flows, 1, RIT_OK);
    WITH(max_flows, UINT32_MAX, RIT_OK);
    WITH(max_flows, (uint32_t)1 << 20, RIT_OK);
    WITH(max_flows, ((uint32_t)1 << 20) + 1, RIT_ERR_ARG);
    WITH(datagram_queue, UINT32_MAX, RIT_OK);
    WITH(datagram_queue, (uint32_t)1 << 20, RIT_OK);
    WITH(datagram_queue, ((uint32_t)1 << 20) + 1, RIT_ERR_ARG);
    WITH(datagram_send_buffer, (uint32_t)1 << 30, RIT_OK);
    WITH(datagram_send_buffer, ((uint32_t)1 << 30) + 1, RIT_ERR_ARG);
    WITH(datagram_recv_buffer, (uint32_t)1 << 30, RIT_OK);
    WITH(datagram_recv_buffer, ((uint32_t)1 << 30) + 1, RIT_ERR_ARG);
}

static void services(void) {
    struct fake fake;
    struct rit_io io;
    struct rit_config config;
    struct rit_service service;
    rit_service_id id[3], none = 77;
    char name[66];
    int32_t err;
    size_t i;
    static const char *const bad[] = {"", "Web", "a b", "a/b", "\xc3\xa4", "\xff", "a:b"};

    fake_init(&fake, 1);
    io = fake_io(&fake);
    rit_config_init(&config);
    config.max_services = 2;
    config.max_peers = 2;
    fake.node = rit_node_new(&config, &io, &err);
    CHECK(fake.node != NULL);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        service = fake_service(bad[i]);
        ANSWERS(RIT_ERR_NAME, rit_service_add(fake.node, &service, &none));
    }
    memset(name, 'a', sizeof(name));
    name[64] = '\0';
    service = fake_service(name);
    ANSWERS(RIT_ERR_NAME, rit_service_add(fake.node, &service, &none));
    name[63] = '\0';
    ANSWERS(RIT_OK, rit_service_add(fake.node, &service, &id[0]));
    ANSWERS(RIT_ERR_EXISTS, rit_service_add(fake.node, &service, &none));
    service.name = "a-b_c.9";
    service.kind = 2;
    ANSWERS(RIT_ERR_ARG, rit_service_add(fake.node, &service, &none));
    service.kind = RIT_SERVICE_TCP;
    service.must_be_fresh = 2;
    ANSWERS(RIT_ERR_ARG, rit_service_add(fake.node, &service, &none));
    service.must_be_fresh = 0;
    service.flow_idle_ms = 29999;
    ANSWERS(RIT_ERR_ARG, rit_service_add(fake.node, &service, &none));
    /* Names are told apart by kind. */
    service.flow_idle_ms = 30000;
    service.name = name;
    service.kind = RIT_SERVICE_UDP;
    ANSWERS(RIT_OK, rit_service_add(fake.node, &service, &id[1]));
    ANSWERS(RIT_ERR_EXISTS, rit_service_add(fake.node, &service, &none));
    ANSWERS(RIT_OK, rit_service_remove(fake.node, id[1]));
    service.kind = RIT_SERVICE_TCP;
    service.name = "a-b_c.9";
    ANSWERS(RIT_OK, rit_service_add(fake.node, &service, &id[1]));
    service.name = "one-more";
    ANSWERS(RIT_ERR_LIMIT, rit_service_add(fake.node, &service, &none));
    CHECK(none == 77 && id[0] != 0 && id[1] != 0 && id[0] != id[1]);
    ANSWERS(RIT_OK, rit_service_remove(fake.node, id[0]));
    ANSWERS(RIT_OK, rit_service_add(fake.node, &service, &id[2]));
    CHECK(id[2] != id[0]);
    ANSWERS(RIT_ERR_HANDLE, rit_service_remove(fake.node, id[0]));

    {
        uint8_t a[RIT_KEY_LEN] = {1}, b[RIT_KEY_LEN] = {2}, c[RIT_KEY_LEN] = {3};
        ANSWERS(RIT_OK, rit_peer_allow(fake.node, a));
        ANSWERS(RIT_OK, rit_peer_allow(fake.node, a));
        ANSWERS(RIT_OK, rit_peer_allow(fake.node, b));
        ANSWERS(RIT_ERR_LIMIT, rit_peer_allow(fake.node, c));
        ANSWERS(RIT_ERR_UNKNOWN, rit_peer_forbid(fake.node, c));
        ANSWERS(RIT_OK, rit_peer_forbid(fake.node, a));
        ANSWERS(RIT_ERR_UNKNOWN, rit_peer_forbid(fake.node, a));
        ANSWERS(RIT_OK, rit_peer_allow(fake.node, c));
    }
    rit_node_free(fake.node);
}

static void network(void) {
    struct fake fake;
    struct rit_path paths[9];
    struct rit_broker broker;
    struct rit_stats stats;
    char code[66];
    static uint8_t large[65536];
    uint8_t i;
    unsigned sent;
    for (i = 0; i < 9; i++) paths[i] = fake_path(i);
    SIZED(stats);
    fake_init(&fake, 1);
    fake_node(&fake);
    ANSWERS(RIT_OK, rit_node_set_local_paths(fake.node, paths, 8));
    ANSWERS(RIT_ERR_LIMIT, rit_node_set_local_paths(fake.node, paths, 9));
    ANSWERS(RIT_ERR_LIMIT, rit_node_set_local_paths(fake.node, paths, SIZE_MAX));

    broker = fake_broker(paths);
    broker.path_count = 0;
    ANSWERS(RIT_ERR_ARG, rit_broker_connect(fake.node, &broker));
    ANSWERS(RIT_ERR_ARG, rit_gateway_connect(fake.node, &broker));
    broker.path_count = 9;
    ANSWERS(RIT_ERR_LIMIT, rit_broker_connect(fake.node, &broker));
    ANSWERS(RIT_ERR_LIMIT, rit_gateway_connect(fake.node, &broker));
    broker.path_count = 8;
    memset(code, 'x', sizeof(code));
    code[65] = '\0';
    broker.enrol_code = code;
    ANSWERS(RIT_ERR_ARG, rit_broker_connect(fake.node, &broker));
    broker.enrol_code = "";
    ANSWERS(RIT_ERR_ARG, rit_broker_connect(fake.node, &broker));
    code[64] = '\0';
    broker.enrol_code = code;
    paths[7].port = 0;
    ANSWERS(RIT_ERR_ARG, rit_broker_connect(fake.node, &broker));
    paths[7].port = 1;
    CHECK(fake.sent == 0);
    ANSWERS(RIT_OK, rit_broker_connect(fake.node, &broker));
    CHECK(fake.sent >= 8);
    ANSWERS(RIT_ERR_STATE, rit_broker_connect(fake.node, &broker));

    /* A gateway may be told again, and forgotten again; nothing is sent to it yet. */
    sent = fake.sent;
    ANSWERS(RIT_OK, rit_gateway_forget(fake.node));
    ANSWERS(RIT_OK, rit_gateway_connect(fake.node, &broker));
    broker.path_count = 1;
    ANSWERS(RIT_OK, rit_gateway_connect(fake.node, &broker));
    ANSWERS(RIT_OK, rit_gateway_forget(fake.node));
    CHECK(fake.sent == sent);

    /* What no peer that listens to us would send is dropped. */
    ANSWERS(RIT_OK, rit_node_receive(fake.node, &paths[0], large, sizeof(large)));
    ANSWERS(RIT_OK, rit_node_receive(fake.node, &paths[0], large, 1453));
    ANSWERS(RIT_OK, rit_node_receive(fake.node, &paths[0], large, 1452));
    ANSWERS(RIT_ERR_ARG, rit_node_receive(fake.node, &paths[0], large, SIZE_MAX));
    ANSWERS(RIT_OK, rit_node_stats(fake.node, &stats));
    CHECK(stats.datagrams_received == 3 && stats.datagrams_dropped == 3);

    /* Several at once: 1452 and 548 of these 2000 bytes; as one they are too long. */
    ANSWERS(RIT_ERR_ARG, rit_node_receive_batch(fake.node, &paths[0], large, 2000, 0));
    ANSWERS(RIT_OK, rit_node_receive_batch(fake.node, &paths[0], large, 2000, 1452));
    ANSWERS(RIT_OK, rit_node_receive_batch(fake.node, &paths[0], large, 2000, 1453));
    ANSWERS(RIT_OK, rit_node_receive_batch(fake.node, &paths[0], large, 1452, SIZE_MAX));
    ANSWERS(RIT_ERR_ARG, rit_node_receive_batch(fake.node, &paths[0], large, SIZE_MAX, 1));
    ANSWERS(RIT_OK, rit_node_stats(fake.node, &stats));
    CHECK(stats.datagrams_received == 8 && stats.datagrams_dropped == 8);

    /* The same through a polled stack; and one that claims more than there was room for. */
    fake.inbox = large;
    fake.inbox_len = 1452;
    fake.inbox_count = 100;
    ANSWERS(RIT_OK, rit_node_poll(fake.node));
    CHECK(fake.inbox_count == 36);
    ANSWERS(RIT_OK, rit_node_poll(fake.node));
    CHECK(fake.inbox_count == 0);
    fake.inbox_count = 1;
    fake.inbox_len = 1452 + 9 + 1; /* what comes through a relay is 9 bytes longer */
    ANSWERS(RIT_ERR_ARG, rit_node_poll(fake.node));
    fake.inbox_count = 1;
    fake.inbox_len = -1;
    ANSWERS(RIT_OK, rit_node_poll(fake.node));
    fake.inbox_count = 1;
    fake.inbox_len = 10;
    fake.inbox_port = 0;
    ANSWERS(RIT_ERR_ARG, rit_node_poll(fake.node));
    rit_node_free(fake.node);
}

int main(void) {
    configuration();
    services();
    network();
    return 0;
}
