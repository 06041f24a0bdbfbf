/* Every pointer that may not be null, null: an error, nothing else. And those that may. */
#include "fake.h"

static void node_is_null(void) {
    struct rit_path path = fake_path(1);
    struct rit_broker broker = fake_broker(&path);
    struct rit_service service = fake_service("web");
    struct rit_event event;
    struct rit_stats stats;
    struct rit_target target;
    struct rit_session_info session_info;
    struct rit_service_info service_info;
    struct rit_path_info path_info;
    struct rit_pipe pipe_state;
    uint8_t key[RIT_KEY_LEN] = {0};
    uint8_t bytes[4] = {0};
    char text[16];
    size_t len;
    uint64_t handle;
    SIZED(event);
    SIZED(stats);
    SIZED(target);
    SIZED(session_info);
    SIZED(service_info);
    SIZED(path_info);
    rit_node_free(NULL);
    rit_config_init(NULL);
    ANSWERS(RIT_ERR_NULL, rit_node_receive(NULL, &path, bytes, 4));
    ANSWERS(RIT_ERR_NULL, rit_node_receive_batch(NULL, &path, bytes, 4, 2));
    ANSWERS(RIT_ERR_NULL, rit_node_tcp_receive(NULL, &path, bytes, 4));
    ANSWERS(RIT_ERR_NULL, rit_node_tcp_writable(NULL, &path));
    ANSWERS(RIT_ERR_NULL, rit_node_tcp_closed(NULL, &path));
    ANSWERS(RIT_ERR_NULL, rit_node_timeout(NULL));
    ANSWERS(RIT_ERR_NULL, rit_node_transmit(NULL, &path, bytes, 4, &len));
    ANSWERS(RIT_ERR_NULL, rit_node_poll(NULL));
    CHECK(rit_node_deadline(NULL) == UINT64_MAX);
    ANSWERS(RIT_ERR_NULL, rit_node_next_event(NULL, &event));
    ANSWERS(RIT_ERR_NULL, rit_node_public_key(NULL, key));
    ANSWERS(RIT_ERR_NULL, rit_node_last_error(NULL, text, sizeof(text)));
    ANSWERS(RIT_ERR_NULL, rit_node_set_local_paths(NULL, &path, 1));
    ANSWERS(RIT_ERR_NULL, rit_node_network_changed(NULL));
    ANSWERS(RIT_ERR_NULL, rit_node_stats(NULL, &stats));
    ANSWERS(RIT_ERR_NULL, rit_broker_connect(NULL, &broker));
    ANSWERS(RIT_ERR_NULL, rit_gateway_connect(NULL, &broker));
    ANSWERS(RIT_ERR_NULL, rit_gateway_forget(NULL));
    ANSWERS(RIT_ERR_NULL, rit_peer_allow(NULL, key));
    ANSWERS(RIT_ERR_NULL, rit_peer_forbid(NULL, key));
    ANSWERS(RIT_ERR_NULL, rit_service_add(NULL, &service, &handle));
    ANSWERS(RIT_ERR_NULL, rit_service_remove(NULL, 1));
    ANSWERS(RIT_ERR_NULL, rit_session_open(NULL, &target, &handle));
    ANSWERS(RIT_ERR_NULL, rit_session_close(NULL, 1, 0));
    ANSWERS(RIT_ERR_NULL, rit_session_info(NULL, 1, &session_info));
    ANSWERS(RIT_ERR_NULL, rit_session_service(NULL, 1, 0, &service_info));
    ANSWERS(RIT_ERR_NULL, rit_session_path(NULL, 1, 0, &path_info));
    ANSWERS(RIT_ERR_NULL, rit_session_pipe(NULL, 1, &pipe_state));
    ANSWERS(RIT_ERR_NULL, rit_stream_set_share(NULL, 1, 0, 16));
    ANSWERS(RIT_ERR_NULL, rit_service_set_priority(NULL, 1, 3, 16));
    ANSWERS(RIT_ERR_NULL, rit_session_watch(NULL, 1, 1, 2));
    ANSWERS(RIT_ERR_NULL, rit_session_set_congestion(NULL, 1, RIT_CONGESTION_CUBIC, 0));
    ANSWERS(RIT_ERR_NULL, rit_node_explain(NULL, 1, text, sizeof(text)));
    ANSWERS(RIT_ERR_NULL, rit_stream_open(NULL, 1, "web", &handle));
    ANSWERS(RIT_ERR_NULL, rit_stream_accept(NULL, 1));
    ANSWERS(RIT_ERR_NULL, rit_stream_refuse(NULL, 1, RIT_REFUSED_SERVICE));
    ANSWERS(RIT_ERR_NULL, rit_stream_write(NULL, 1, bytes, 4, &len));
    ANSWERS(RIT_ERR_NULL, rit_stream_write_parts(NULL, 1, NULL, 0, &len));
    ANSWERS(RIT_ERR_NULL, rit_stream_read(NULL, 1, bytes, 4, &len));
    ANSWERS(RIT_ERR_NULL, rit_stream_finish(NULL, 1));
    ANSWERS(RIT_ERR_NULL, rit_stream_reset(NULL, 1, 0));
    ANSWERS(RIT_ERR_NULL, rit_stream_stop(NULL, 1, 0));
    ANSWERS(RIT_ERR_NULL, rit_stream_set_priority(NULL, 1, 3, 1));
    ANSWERS(RIT_ERR_NULL, rit_stream_set_deadline(NULL, 1, 1000));
    ANSWERS(RIT_ERR_NULL, rit_stream_release(NULL, 1));
    ANSWERS(RIT_ERR_NULL, rit_flow_open(NULL, 1, "web", &handle));
    ANSWERS(RIT_ERR_NULL, rit_flow_accept(NULL, 1));
    ANSWERS(RIT_ERR_NULL, rit_flow_refuse(NULL, 1, RIT_REFUSED_SERVICE));
    ANSWERS(RIT_ERR_NULL, rit_datagram_send(NULL, 1, bytes, 4, 0));
    ANSWERS(RIT_ERR_NULL, rit_datagram_recv(NULL, 1, bytes, 4, &len));
    ANSWERS(RIT_ERR_NULL, rit_datagram_max(NULL, 1, &len));
    ANSWERS(RIT_ERR_NULL, rit_flow_close(NULL, 1));
}

static int32_t never_called(void *ctx, const struct rit_path *to, const uint8_t *pkts, size_t len,
                            size_t size) {
    (void)to, (void)pkts, (void)len, (void)size;
    CHECK(ctx == NULL);
    return 0;
}

static void argument_is_null(rit_node *node) {
    struct rit_path path = fake_path(1);
    struct rit_broker broker = fake_broker(NULL);
    struct rit_service service = fake_service(NULL);
    struct rit_bytes part = {NULL, 4};
    struct rit_target target;
    uint8_t bytes[4] = {0};
    size_t len = 7;
    uint64_t handle;
    SIZED(target);
    ANSWERS(RIT_ERR_NULL, rit_node_receive(node, NULL, bytes, 4));
    ANSWERS(RIT_ERR_NULL, rit_node_receive(node, &path, NULL, 4));
    ANSWERS(RIT_OK, rit_node_receive(node, &path, NULL, 0));
    ANSWERS(RIT_ERR_NULL, rit_node_tcp_receive(node, NULL, bytes, 4));
    ANSWERS(RIT_ERR_STATE, rit_node_tcp_receive(node, &path, NULL, 4));
    ANSWERS(RIT_ERR_NULL, rit_node_tcp_writable(node, NULL));
    ANSWERS(RIT_ERR_NULL, rit_node_tcp_closed(node, NULL));
    ANSWERS(RIT_ERR_NULL, rit_node_receive_batch(node, NULL, bytes, 4, 2));
    ANSWERS(RIT_ERR_NULL, rit_node_receive_batch(node, &path, NULL, 4, 2));
    ANSWERS(RIT_OK, rit_node_receive_batch(node, &path, NULL, 0, 2));
    ANSWERS(RIT_ERR_NULL, rit_node_next_event(node, NULL));
    ANSWERS(RIT_ERR_NULL, rit_node_public_key(node, NULL));
    ANSWERS(RIT_ERR_NULL, rit_node_last_error(node, NULL, 10));
    CHECK(rit_node_last_error(node, NULL, 0) > 0);
    ANSWERS(RIT_ERR_NULL, rit_node_set_local_paths(node, NULL, 1));
    ANSWERS(RIT_OK, rit_node_set_local_paths(node, NULL, 0));
    ANSWERS(RIT_ERR_NULL, rit_node_stats(node, NULL));
    ANSWERS(RIT_ERR_NULL, rit_node_transmit(node, NULL, bytes, 4, &len));
    ANSWERS(RIT_ERR_NULL, rit_node_transmit(node, &path, NULL, 4, &len));
    CHECK(len == 0);
    ANSWERS(RIT_ERR_NULL, rit_node_transmit(node, &path, bytes, 4, NULL));
    ANSWERS(RIT_ERR_NULL, rit_broker_connect(node, NULL));
    ANSWERS(RIT_ERR_NULL, rit_broker_connect(node, &broker));
    ANSWERS(RIT_ERR_NULL, rit_gateway_connect(node, NULL));
    ANSWERS(RIT_ERR_NULL, rit_gateway_connect(node, &broker));
    ANSWERS(RIT_ERR_NULL, rit_peer_allow(node, NULL));
    ANSWERS(RIT_ERR_NULL, rit_peer_forbid(node, NULL));
    ANSWERS(RIT_ERR_NULL, rit_service_add(node, NULL, &handle));
    ANSWERS(RIT_ERR_NULL, rit_service_add(node, &service, &handle));
    service.name = "web";
    ANSWERS(RIT_ERR_NULL, rit_service_add(node, &service, NULL));
    ANSWERS(RIT_ERR_NULL, rit_session_open(node, NULL, &handle));
    ANSWERS(RIT_ERR_NULL, rit_session_open(node, &target, NULL));
    ANSWERS(RIT_ERR_NULL, rit_session_info(node, 1, NULL));
    ANSWERS(RIT_ERR_NULL, rit_session_service(node, 1, 0, NULL));
    ANSWERS(RIT_ERR_NULL, rit_session_path(node, 1, 0, NULL));
    ANSWERS(RIT_ERR_NULL, rit_session_pipe(node, 1, NULL));
    ANSWERS(RIT_ERR_NULL, rit_stream_open(node, 1, NULL, &handle));
    ANSWERS(RIT_ERR_NULL, rit_stream_open(node, 1, "web", NULL));
    ANSWERS(RIT_ERR_NULL, rit_stream_write(node, 1, NULL, 4, &len));
    CHECK(len == 0);
    ANSWERS(RIT_ERR_NULL, rit_stream_write(node, 1, bytes, 4, NULL));
    ANSWERS(RIT_ERR_NULL, rit_stream_write_parts(node, 1, NULL, 1, &len));
    CHECK(len == 0);
    ANSWERS(RIT_ERR_NULL, rit_stream_write_parts(node, 1, &part, 1, &len));
    CHECK(len == 0);
    ANSWERS(RIT_ERR_NULL, rit_stream_write_parts(node, 1, &part, 1, NULL));
    ANSWERS(RIT_ERR_NULL, rit_stream_read(node, 1, NULL, 4, &len));
    ANSWERS(RIT_ERR_NULL, rit_stream_read(node, 1, bytes, 4, NULL));
    ANSWERS(RIT_ERR_ARG, rit_stream_read(node, 1, bytes, 0, &len));
    ANSWERS(RIT_ERR_NULL, rit_flow_open(node, 1, NULL, &handle));
    ANSWERS(RIT_ERR_NULL, rit_flow_open(node, 1, "web", NULL));
    ANSWERS(RIT_ERR_NULL, rit_datagram_send(node, 1, NULL, 4, 0));
    ANSWERS(RIT_ERR_HANDLE, rit_datagram_send(node, 1, NULL, 0, 0));
    ANSWERS(RIT_ERR_NULL, rit_datagram_recv(node, 1, NULL, 4, &len));
    ANSWERS(RIT_ERR_NULL, rit_datagram_recv(node, 1, bytes, 4, NULL));
    ANSWERS(RIT_ERR_NULL, rit_datagram_max(node, 1, NULL));
}

static void creation(struct fake *fake) {
    struct rit_io io = fake_io(fake);
    struct rit_config config;
    struct rit_path to = fake_path(1);
    uint8_t bytes[4];
    size_t len = 7;
    rit_node *node;
    int32_t err = 1;
    rit_config_init(&config);
    CHECK(rit_node_new(&config, NULL, &err) == NULL && err == RIT_ERR_NULL);
    CHECK(rit_node_new(&config, NULL, NULL) == NULL);
    io.now_us = NULL;
    CHECK(rit_node_new(&config, &io, &err) == NULL && err == RIT_ERR_NULL);
    io = fake_io(fake);
    io.entropy = NULL;
    CHECK(rit_node_new(&config, &io, &err) == NULL && err == RIT_ERR_NULL);
    io = fake_io(fake);
    io.send = NULL;
    io.send_batch = never_called;
    CHECK(rit_node_new(&config, &io, &err) == NULL && err == RIT_ERR_NULL);
    CHECK(fake->stores == 0);
    /* All that is optional left out, and the default limits. */
    io = fake_io(fake);
    io.recv = NULL;
    io.set_timer = NULL;
    io.load = NULL;
    io.store = NULL;
    io.log = NULL;
    io.ctx = fake;
    node = rit_node_new(NULL, &io, NULL);
    CHECK(node != NULL);
    ANSWERS(RIT_OK, rit_node_timeout(node));
    ANSWERS(RIT_ERR_STATE, rit_node_poll(node));
    ANSWERS(RIT_ERR_STATE, rit_node_transmit(node, &to, bytes, sizeof(bytes), &len));
    rit_node_free(node);
}

static void texts(void) {
    uint8_t key[RIT_KEY_LEN] = {0};
    char text[RIT_KEY_TEXT_LEN];
    char host[16];
    uint16_t port;
    uint8_t ip[4];
    const char *uri = "rit://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@h";
    ANSWERS(RIT_ERR_NULL, rit_uri_parse(NULL, key, host, sizeof(host), &port));
    ANSWERS(RIT_ERR_NULL, rit_uri_parse(uri, NULL, host, sizeof(host), &port));
    ANSWERS(RIT_ERR_NULL, rit_uri_parse(uri, key, NULL, sizeof(host), &port));
    ANSWERS(RIT_ERR_NULL, rit_uri_parse(uri, key, host, sizeof(host), NULL));
    ANSWERS(RIT_ERR_NULL, rit_key_to_text(NULL, text));
    ANSWERS(RIT_ERR_NULL, rit_key_to_text(key, NULL));
    ANSWERS(RIT_ERR_NULL, rit_key_from_text(NULL, key));
    ANSWERS(RIT_OK, rit_key_to_text(key, text));
    ANSWERS(RIT_ERR_NULL, rit_key_from_text(text, NULL));
    ANSWERS(RIT_ERR_NULL, rit_loopback_address(NULL, "web", 0, ip));
    ANSWERS(RIT_ERR_NULL, rit_loopback_address(key, NULL, 0, ip));
    ANSWERS(RIT_ERR_NULL, rit_loopback_address(key, "web", 0, NULL));
}

int main(void) {
    struct fake fake;
    node_is_null();
    fake_init(&fake, 1);
    argument_is_null(fake_node(&fake));
    CHECK(fake.sent == 0);
    rit_node_free(fake.node);
    fake_init(&fake, 2);
    creation(&fake);
    texts();
    return 0;
}
