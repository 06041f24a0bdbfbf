/* A call into the library from inside a callback is answered REENTRY, whichever of both it is. */
#include "fake.h"

static unsigned hooks;
static char seen[256];

static void all_answer(int32_t wanted, rit_node *node) {
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
    ANSWERS(wanted, rit_node_receive(node, &path, bytes, 4));
    ANSWERS(wanted, rit_node_receive_batch(node, &path, bytes, 4, 2));
    ANSWERS(wanted, rit_node_tcp_receive(node, &path, bytes, 4));
    ANSWERS(wanted, rit_node_tcp_writable(node, &path));
    ANSWERS(wanted, rit_node_tcp_closed(node, &path));
    ANSWERS(wanted, rit_node_timeout(node));
    ANSWERS(wanted, rit_node_transmit(node, &path, bytes, 4, &len));
    ANSWERS(wanted, rit_node_poll(node));
    CHECK(rit_node_deadline(node) == UINT64_MAX);
    ANSWERS(wanted, rit_node_next_event(node, &event));
    ANSWERS(wanted, rit_node_public_key(node, key));
    ANSWERS(wanted, rit_node_last_error(node, text, sizeof(text)));
    ANSWERS(wanted, rit_node_set_local_paths(node, &path, 1));
    ANSWERS(wanted, rit_node_network_changed(node));
    ANSWERS(wanted, rit_node_stats(node, &stats));
    ANSWERS(wanted, rit_broker_connect(node, &broker));
    ANSWERS(wanted, rit_gateway_connect(node, &broker));
    ANSWERS(wanted, rit_gateway_forget(node));
    ANSWERS(wanted, rit_peer_allow(node, key));
    ANSWERS(wanted, rit_peer_forbid(node, key));
    ANSWERS(wanted, rit_service_add(node, &service, &handle));
    ANSWERS(wanted, rit_service_remove(node, 1));
    ANSWERS(wanted, rit_session_open(node, &target, &handle));
    ANSWERS(wanted, rit_session_close(node, 1, 0));
    ANSWERS(wanted, rit_session_info(node, 1, &session_info));
    ANSWERS(wanted, rit_node_explain(node, 1, text, sizeof(text)));
    ANSWERS(wanted, rit_session_service(node, 1, 0, &service_info));
    ANSWERS(wanted, rit_session_path(node, 1, 0, &path_info));
    ANSWERS(wanted, rit_session_pipe(node, 1, &pipe_state));
    ANSWERS(wanted, rit_session_watch(node, 1, 1, 2));
    ANSWERS(wanted, rit_session_set_congestion(node, 1, RIT_CONGESTION_CUBIC, 0));
    ANSWERS(wanted, rit_stream_set_share(node, 1, 0, 16));
    ANSWERS(wanted, rit_service_set_priority(node, 1, 3, 16));
    ANSWERS(wanted, rit_stream_open(node, 1, "web", &handle));
    ANSWERS(wanted, rit_stream_accept(node, 1));
    ANSWERS(wanted, rit_stream_refuse(node, 1, RIT_REFUSED_SERVICE));
    ANSWERS(wanted, rit_stream_write(node, 1, bytes, 4, &len));
    ANSWERS(wanted, rit_stream_write_parts(node, 1, NULL, 0, &len));
    ANSWERS(wanted, rit_stream_read(node, 1, bytes, 4, &len));
    ANSWERS(wanted, rit_stream_finish(node, 1));
    ANSWERS(wanted, rit_stream_reset(node, 1, 0));
    ANSWERS(wanted, rit_stream_stop(node, 1, 0));
    ANSWERS(wanted, rit_stream_set_priority(node, 1, 3, 1));
    ANSWERS(wanted, rit_stream_set_deadline(node, 1, 1000));
    ANSWERS(wanted, rit_stream_release(node, 1));
    ANSWERS(wanted, rit_flow_open(node, 1, "web", &handle));
    ANSWERS(wanted, rit_flow_accept(node, 1));
    ANSWERS(wanted, rit_flow_refuse(node, 1, RIT_REFUSED_SERVICE));
    ANSWERS(wanted, rit_datagram_send(node, 1, bytes, 4, 0));
    ANSWERS(wanted, rit_datagram_recv(node, 1, bytes, 4, &len));
    ANSWERS(wanted, rit_datagram_max(node, 1, &len));
    ANSWERS(wanted, rit_flow_close(node, 1));
}

static void reenter(struct fake *fake, const char *callback) {
    hooks++;
    if (strstr(seen, callback) == NULL) {
        strcat(seen, callback);
        strcat(seen, " ");
    }
    all_answer(RIT_ERR_REENTRY, fake->node);
    /* Nobody may delete what they stand on: the rest of the test would notice. */
    rit_node_free(fake->node);
}

/* While a node is being made nobody has its pointer, and other nodes are not affected. */
static rit_node *other;

static void during_creation(struct fake *fake, const char *callback) {
    uint8_t key[RIT_KEY_LEN];
    char text[RIT_KEY_TEXT_LEN];
    hooks++;
    strcat(seen, callback);
    strcat(seen, " ");
    CHECK(fake->node == NULL);
    all_answer(RIT_ERR_NULL, fake->node);
    ANSWERS(RIT_OK, rit_node_public_key(other, key));
    ANSWERS(RIT_OK, rit_key_to_text(key, text));
    ANSWERS(RIT_OK, rit_node_timeout(other));
}

int main(void) {
    struct fake fake, other_fake;
    struct rit_path path = fake_path(1);
    struct rit_broker broker = fake_broker(&path);
    struct rit_event event;
    uint8_t datagram[100] = {0};
    unsigned i;
    SIZED(event);
    fake_init(&fake, 1);
    fake_node(&fake);
    fake.hook = reenter;

    ANSWERS(RIT_OK, rit_broker_connect(fake.node, &broker));
    CHECK(fake.sent > 0 && fake.timers > 0);
    fake.inbox = datagram;
    fake.inbox_len = (int32_t)sizeof(datagram);
    fake.inbox_count = 2;
    ANSWERS(RIT_OK, rit_node_poll(fake.node));
    CHECK(fake.inbox_count == 0);
    for (i = 0; i < 100 && rit_node_next_event(fake.node, &event) != RIT_OK; i++) {
        fake.now_us = rit_node_deadline(fake.node);
        ANSWERS(RIT_OK, rit_node_timeout(fake.node));
    }
    CHECK(event.type == RIT_EVENT_BROKER_OFFLINE && fake.logs > 0);
    CHECK(strstr(seen, "now_us") && strstr(seen, "send") && strstr(seen, "set_timer"));
    CHECK(strstr(seen, "recv") && strstr(seen, "log"));
    fake.hook = NULL;
    ANSWERS(RIT_OK, rit_node_timeout(fake.node));
    rit_node_free(fake.node);

    fake_init(&other_fake, 2);
    other = fake_node(&other_fake);
    fake_init(&fake, 3);
    fake.hook = during_creation;
    seen[0] = '\0';
    hooks = 0;
    {
        struct rit_io io = fake_io(&fake);
        int32_t err;
        rit_node *node = rit_node_new(NULL, &io, &err);
        CHECK(node != NULL);
        rit_node_free(node);
        CHECK(strstr(seen, "entropy") && strstr(seen, "load") && strstr(seen, "store"));
        fake.entropy_calls = fake.entropy_good;
        CHECK(rit_node_new(NULL, &io, &err) == NULL && strstr(seen, "log") != NULL);
    }
    rit_node_free(other);
    return 0;
}
