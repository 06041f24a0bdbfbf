/* Handles that are stale, of another kind, or made up: an error code, never harm. */
#include "fake.h"

#define CODE_MAX ((UINT64_C(1) << 62) - 1)

static void try_all(rit_node *node, uint64_t handle) {
    struct rit_session_info session_info;
    struct rit_service_info service_info;
    struct rit_path_info path_info;
    struct rit_pipe pipe_state;
    uint8_t bytes[4] = {0};
    struct rit_bytes parts[2] = {{bytes, 2}, {NULL, 0}};
    char text[16];
    uint64_t out = 77;
    size_t len = 77;
    SIZED(session_info);
    SIZED(service_info);
    SIZED(path_info);
    SIZED(pipe_state);
    session_info.is_up = 77;
    ANSWERS(RIT_ERR_HANDLE, rit_service_remove(node, handle));
    ANSWERS(RIT_ERR_HANDLE, rit_session_close(node, handle, 0));
    ANSWERS(RIT_ERR_HANDLE, rit_session_close(node, handle, CODE_MAX));
    ANSWERS(RIT_ERR_ARG, rit_session_close(node, handle, CODE_MAX + 1));
    ANSWERS(RIT_ERR_HANDLE, rit_session_info(node, handle, &session_info));
    ANSWERS(RIT_ERR_HANDLE, rit_node_explain(node, handle, text, sizeof(text)));
    ANSWERS(RIT_ERR_NULL, rit_node_explain(node, handle, NULL, 10));
    ANSWERS(RIT_ERR_ARG, rit_node_explain(node, handle, text, 0));
    ANSWERS(RIT_ERR_HANDLE, rit_session_service(node, handle, 0, &service_info));
    ANSWERS(RIT_ERR_HANDLE, rit_session_path(node, handle, 0, &path_info));
    ANSWERS(RIT_ERR_HANDLE, rit_session_pipe(node, handle, &pipe_state));
    ANSWERS(RIT_ERR_HANDLE, rit_session_watch(node, handle, 1000, 2000));
    ANSWERS(RIT_ERR_HANDLE, rit_session_watch(node, handle, 0, 0));
    ANSWERS(RIT_ERR_ARG, rit_session_watch(node, handle, 2000, 2000));
    ANSWERS(RIT_ERR_ARG, rit_session_watch(node, handle, 1, 0));
    ANSWERS(RIT_ERR_HANDLE,
            rit_session_set_congestion(node, handle, RIT_CONGESTION_DELAY_BOUNDED, 1000000));
    ANSWERS(RIT_ERR_ARG,
            rit_session_set_congestion(node, handle, RIT_CONGESTION_DELAY_BOUNDED, 1000001));
    ANSWERS(RIT_ERR_HANDLE, rit_session_set_congestion(node, handle, RIT_CONGESTION_CUBIC, 0));
    ANSWERS(RIT_ERR_ARG, rit_session_set_congestion(node, handle, RIT_CONGESTION_CUBIC, 1));
    ANSWERS(RIT_ERR_ARG, rit_session_set_congestion(node, handle, 2, 0));
    ANSWERS(RIT_ERR_HANDLE, rit_stream_set_share(node, handle, 31, 256));
    ANSWERS(RIT_ERR_ARG, rit_stream_set_share(node, handle, 32, 1));
    ANSWERS(RIT_ERR_ARG, rit_stream_set_share(node, handle, 256, 1));
    ANSWERS(RIT_ERR_ARG, rit_stream_set_share(node, handle, 0, 0));
    ANSWERS(RIT_ERR_ARG, rit_stream_set_share(node, handle, 0, 257));
    ANSWERS(RIT_ERR_ARG, rit_stream_set_share(node, handle, 0, 65537));
    ANSWERS(RIT_ERR_HANDLE, rit_service_set_priority(node, handle, 7, 256));
    ANSWERS(RIT_ERR_ARG, rit_service_set_priority(node, handle, 8, 16));
    ANSWERS(RIT_ERR_ARG, rit_service_set_priority(node, handle, 259, 16));
    ANSWERS(RIT_ERR_HANDLE, rit_stream_open(node, handle, "web", &out));
    ANSWERS(RIT_ERR_NAME, rit_stream_open(node, handle, "Web", &out));
    ANSWERS(RIT_ERR_HANDLE, rit_stream_accept(node, handle));
    ANSWERS(RIT_ERR_HANDLE, rit_stream_refuse(node, handle, RIT_REFUSED_LIMIT));
    ANSWERS(RIT_ERR_ARG, rit_stream_refuse(node, handle, 0));
    ANSWERS(RIT_ERR_ARG, rit_stream_refuse(node, handle, 5));
    ANSWERS(RIT_ERR_HANDLE, rit_stream_write(node, handle, bytes, 4, &len));
    CHECK(len == 0);
    ANSWERS(RIT_ERR_HANDLE, rit_stream_write_parts(node, handle, parts, 2, &len));
    CHECK(len == 0);
    ANSWERS(RIT_ERR_HANDLE, rit_stream_read(node, handle, bytes, 4, &len));
    CHECK(len == 0);
    ANSWERS(RIT_ERR_HANDLE, rit_stream_finish(node, handle));
    ANSWERS(RIT_ERR_HANDLE, rit_stream_reset(node, handle, 0));
    ANSWERS(RIT_ERR_ARG, rit_stream_reset(node, handle, UINT64_MAX));
    ANSWERS(RIT_ERR_HANDLE, rit_stream_stop(node, handle, CODE_MAX));
    ANSWERS(RIT_ERR_ARG, rit_stream_stop(node, handle, CODE_MAX + 1));
    ANSWERS(RIT_ERR_HANDLE, rit_stream_set_priority(node, handle, 0, 0));
    ANSWERS(RIT_ERR_HANDLE, rit_stream_set_priority(node, handle, RIT_URGENCY_MAX, 1));
    ANSWERS(RIT_ERR_ARG, rit_stream_set_priority(node, handle, RIT_URGENCY_MAX + 1, 1));
    ANSWERS(RIT_ERR_ARG, rit_stream_set_priority(node, handle, 256, 1));
    ANSWERS(RIT_ERR_ARG, rit_stream_set_priority(node, handle, 3, 2));
    ANSWERS(RIT_ERR_HANDLE, rit_stream_set_deadline(node, handle, 0));
    ANSWERS(RIT_ERR_HANDLE, rit_stream_set_deadline(node, handle, UINT64_MAX - 1));
    ANSWERS(RIT_ERR_HANDLE, rit_stream_set_deadline(node, handle, UINT64_MAX));
    ANSWERS(RIT_ERR_HANDLE, rit_stream_release(node, handle));
    ANSWERS(RIT_ERR_HANDLE, rit_flow_open(node, handle, "web", &out));
    ANSWERS(RIT_ERR_NAME, rit_flow_open(node, handle, "Web", &out));
    ANSWERS(RIT_ERR_HANDLE, rit_flow_accept(node, handle));
    ANSWERS(RIT_ERR_HANDLE, rit_flow_refuse(node, handle, RIT_REFUSED_LIMIT));
    ANSWERS(RIT_ERR_ARG, rit_flow_refuse(node, handle, 0));
    ANSWERS(RIT_ERR_ARG, rit_flow_refuse(node, handle, 5));
    ANSWERS(RIT_ERR_HANDLE, rit_datagram_send(node, handle, bytes, 4, UINT64_MAX));
    ANSWERS(RIT_ERR_HANDLE, rit_datagram_recv(node, handle, bytes, 4, &len));
    CHECK(len == 0);
    len = 77;
    ANSWERS(RIT_ERR_HANDLE, rit_datagram_max(node, handle, &len));
    CHECK(len == 77);
    ANSWERS(RIT_ERR_HANDLE, rit_flow_close(node, handle));
    CHECK(out == 77 && session_info.is_up == 77);
}

int main(void) {
    struct fake fake;
    struct rit_service service = fake_service("web");
    struct rit_target target;
    struct rit_event event;
    rit_service_id id;
    rit_session session = 77;
    uint64_t noise = 5;
    int i;
    fake_init(&fake, 1);
    fake_node(&fake);
    ANSWERS(RIT_OK, rit_service_add(fake.node, &service, &id));
    ANSWERS(RIT_OK, rit_service_remove(fake.node, id));
    try_all(fake.node, 0);
    try_all(fake.node, 1);
    try_all(fake.node, UINT64_MAX);
    try_all(fake.node, id);
    for (i = 0; i < 1000; i++) try_all(fake.node, fake_random(&noise));

    /* Nobody to ask for a session yet. */
    SIZED(target);
    memset(target.device, 3, sizeof(target.device));
    ANSWERS(RIT_ERR_OFFLINE, rit_session_open(fake.node, &target, &session));
    CHECK(session == 77);
    SIZED(event);
    ANSWERS(RIT_ERR_AGAIN, rit_node_next_event(fake.node, &event));
    CHECK(fake.sent == 0);
    rit_node_free(fake.node);
    return 0;
}
