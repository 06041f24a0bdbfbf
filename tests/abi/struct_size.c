/* struct_size: too small, wild, of a newer caller; the ABI version; reserved fields. */
#include "fake.h"

/* What a later version of a struct might look like. */
#define LATER(type)        \
    struct later_##type {  \
        struct type known; \
        uint64_t more[2];  \
    }

LATER(rit_config);
LATER(rit_io);
LATER(rit_path);
LATER(rit_broker);
LATER(rit_event);
LATER(rit_stats);

static const uint32_t wild[] = {0, 1, 4, 8, 27, 100000, UINT32_MAX};
#define WILD (sizeof(wild) / sizeof(wild[0]))

static int32_t make(const struct rit_config *config, const struct rit_io *io) {
    int32_t err = 1;
    rit_node *node = rit_node_new(config, io, &err);
    CHECK((node != NULL) == (err == RIT_OK));
    rit_node_free(node);
    return err;
}

static void creation(struct fake *fake) {
    struct later_rit_config config;
    struct later_rit_io io;
    size_t i;
    memset(&config, 0, sizeof(config));
    memset(&io, 0, sizeof(io));
    rit_config_init(&config.known);
    io.known = fake_io(fake);
    CHECK(config.known.struct_size == sizeof(struct rit_config));
    CHECK(config.known.abi_version == RIT_ABI_VERSION && rit_abi_version() == RIT_ABI_VERSION);
    for (i = 0; i < WILD; i++) {
        config.known.struct_size = wild[i];
        ANSWERS(RIT_ERR_SIZE, make(&config.known, &io.known));
        rit_config_init(&config.known);
        io.known.struct_size = wild[i];
        ANSWERS(RIT_ERR_SIZE, make(&config.known, &io.known));
        io.known.struct_size = (uint32_t)sizeof(struct rit_io);
    }
    /* Newer: fine as long as what is new is not used. */
    config.known.struct_size = (uint32_t)sizeof(config);
    io.known.struct_size = (uint32_t)sizeof(io);
    ANSWERS(RIT_OK, make(&config.known, &io.known));
    config.more[1] = 1;
    ANSWERS(RIT_ERR_SIZE, make(&config.known, &io.known));
    config.more[1] = 0;
    io.more[0] = 1;
    ANSWERS(RIT_ERR_SIZE, make(&config.known, &io.known));
    io.more[0] = 0;

    config.known.abi_version = RIT_ABI_VERSION + 1;
    ANSWERS(RIT_ERR_VERSION, make(&config.known, &io.known));
    config.known.abi_version = 0;
    ANSWERS(RIT_ERR_VERSION, make(&config.known, &io.known));
    config.known.abi_version = RIT_ABI_VERSION;
    config.known.reserved[1] = 1;
    ANSWERS(RIT_ERR_ARG, make(&config.known, &io.known));
    config.known.reserved[1] = 0;
    io.known.multicast = 2;
    ANSWERS(RIT_ERR_ARG, make(&config.known, &io.known));
    io.known.multicast = 1;
    ANSWERS(RIT_OK, make(&config.known, &io.known));
    io.known.reserved = 1;
    ANSWERS(RIT_ERR_ARG, make(&config.known, &io.known));
    io.known.reserved = 0;
    io.known.sockets = RIT_SOCKETS_MAX + 1;
    ANSWERS(RIT_ERR_ARG, make(&config.known, &io.known));
}

static void inputs(rit_node *node) {
    struct rit_path path = fake_path(1);
    struct later_rit_path paths[2];
    struct later_rit_broker broker;
    struct rit_service service = fake_service("web");
    struct rit_target target;
    uint8_t bytes[4] = {0};
    uint64_t handle;
    size_t i;
    SIZED(target);
    memset(&broker, 0, sizeof(broker));
    memset(paths, 0, sizeof(paths));
    for (i = 0; i < WILD; i++) {
        path.struct_size = wild[i];
        ANSWERS(RIT_ERR_SIZE, rit_node_receive(node, &path, bytes, 4));
        ANSWERS(RIT_ERR_SIZE, rit_node_receive_batch(node, &path, bytes, 4, 2));
        ANSWERS(RIT_ERR_SIZE, rit_node_set_local_paths(node, &path, 1));
        broker.known = fake_broker(&path);
        ANSWERS(RIT_ERR_SIZE, rit_broker_connect(node, &broker.known));
        broker.known.struct_size = wild[i];
        ANSWERS(RIT_ERR_SIZE, rit_broker_connect(node, &broker.known));
        ANSWERS(RIT_ERR_SIZE, rit_gateway_connect(node, &broker.known));
        /* It has 24 bytes, or 16: 27 may be a later caller's. */
        service.struct_size = wild[i] == 8 || wild[i] == 27 ? 7 : wild[i];
        ANSWERS(RIT_ERR_SIZE, rit_service_add(node, &service, &handle));
        target.struct_size = wild[i];
        ANSWERS(RIT_ERR_SIZE, rit_session_open(node, &target, &handle));
    }
    SIZED(target);
    target.reserved = 1;
    ANSWERS(RIT_ERR_ARG, rit_session_open(node, &target, &handle));
    path = fake_path(1);
    path.reserved[2] = 1;
    ANSWERS(RIT_ERR_ARG, rit_node_receive(node, &path, bytes, 4));
    path = fake_path(1);
    path.ecn = 3;
    ANSWERS(RIT_OK, rit_node_receive(node, &path, bytes, 4));
    path.ecn = 4;
    ANSWERS(RIT_ERR_ARG, rit_node_receive(node, &path, bytes, 4));
    path = fake_path(1);
    path.port = 0;
    ANSWERS(RIT_ERR_ARG, rit_node_receive(node, &path, bytes, 4));

    /* An array's elements are as far apart as the caller's structs are. */
    paths[0].known = fake_path(1);
    paths[1].known = fake_path(2);
    paths[0].known.struct_size = paths[1].known.struct_size = (uint32_t)sizeof(paths[0]);
    ANSWERS(RIT_OK, rit_node_set_local_paths(node, &paths[0].known, 2));
    paths[1].known.struct_size = (uint32_t)sizeof(struct rit_path);
    ANSWERS(RIT_ERR_SIZE, rit_node_set_local_paths(node, &paths[0].known, 2));
    paths[1].known.struct_size = (uint32_t)sizeof(paths[0]);
    paths[1].more[0] = 5;
    ANSWERS(RIT_ERR_SIZE, rit_node_set_local_paths(node, &paths[0].known, 2));
    paths[1].more[0] = 0;
    broker.known = fake_broker(&paths[0].known);
    broker.known.path_count = 2;
    broker.known.struct_size = (uint32_t)sizeof(broker);
    broker.more[0] = 1;
    ANSWERS(RIT_ERR_SIZE, rit_broker_connect(node, &broker.known));
    broker.more[0] = 0;
    broker.known.reserved = 1;
    ANSWERS(RIT_ERR_ARG, rit_broker_connect(node, &broker.known));
    ANSWERS(RIT_ERR_ARG, rit_gateway_connect(node, &broker.known));
    broker.known.reserved = 0;
    ANSWERS(RIT_OK, rit_broker_connect(node, &broker.known));
}

static void outputs(struct fake *fake, rit_node *node) {
    struct later_rit_stats stats;
    struct later_rit_event event;
    struct rit_session_info session_info;
    struct rit_service_info service_info;
    struct rit_path_info path_info;
    struct rit_pipe pipe_state;
    int32_t err;
    size_t i;
    memset(&stats, 0xee, sizeof(stats));
    memset(&event, 0xee, sizeof(event));
    for (i = 0; i < WILD; i++) {
        stats.known.struct_size = event.known.struct_size = wild[i];
        session_info.struct_size = service_info.struct_size = wild[i];
        ANSWERS(RIT_ERR_SIZE, rit_node_stats(node, &stats.known));
        ANSWERS(RIT_ERR_SIZE, rit_node_next_event(node, &event.known));
        ANSWERS(RIT_ERR_SIZE, rit_session_info(node, 1, &session_info));
        ANSWERS(RIT_ERR_SIZE, rit_session_service(node, 1, 0, &service_info));
        path_info.struct_size = wild[i];
        ANSWERS(RIT_ERR_SIZE, rit_session_path(node, 1, 0, &path_info));
        pipe_state.struct_size = wild[i];
        ANSWERS(RIT_ERR_SIZE, rit_session_pipe(node, 1, &pipe_state));
    }
    CHECK(stats.known.datagrams_sent == UINT64_C(0xeeeeeeeeeeeeeeee));

    stats.known.struct_size = (uint32_t)sizeof(stats);
    ANSWERS(RIT_OK, rit_node_stats(node, &stats.known));
    CHECK(stats.known.struct_size == sizeof(stats) && stats.known.datagrams_sent == fake->sent);
    CHECK(stats.more[0] == 0 && stats.more[1] == 0);

    /* An answer that does not fit leaves the event where it is. */
    for (i = 0; i < 100; i++) {
        fake->now_us = rit_node_deadline(node);
        ANSWERS(RIT_OK, rit_node_timeout(node));
        event.known.struct_size = 8;
        ANSWERS(RIT_ERR_SIZE, rit_node_next_event(node, &event.known));
        event.known.struct_size = (uint32_t)sizeof(event);
        err = rit_node_next_event(node, &event.known);
        if (err == RIT_OK) break;
        CHECK(err == RIT_ERR_AGAIN && event.known.type == 0xeeeeeeee);
    }
    CHECK(event.known.type == RIT_EVENT_BROKER_OFFLINE && event.known.error == RIT_ERR_TIMEOUT);
    CHECK(event.known.struct_size == sizeof(event) && event.more[1] == 0);
}

int main(void) {
    struct fake fake;
    fake_init(&fake, 1);
    creation(&fake);
    fake_init(&fake, 2);
    fake_node(&fake);
    inputs(fake.node);
    outputs(&fake, fake.node);
    rit_node_free(fake.node);
    return 0;
}
