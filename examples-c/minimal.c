/* minimal.c: a node driven by hand, without a port or an operating system's help.
 *
 * The program is the board: its clock, its random numbers, and a radio that prints what it gets.
 * The node offers a service and calls a broker that is not there. What is to be seen: the library
 * does something only when it is called; it says when it wants to be called again; datagrams leave
 * through a callback; what happened is fetched. Ends by itself once the broker is given up.
 */
#include <stdio.h>
#include <string.h>

#include "rit.h"

struct board {
    uint64_t now_us; /* a hardware timer on a real board */
    uint32_t noise;  /* a hardware random number generator on a real board */
    unsigned sent;
};

static uint64_t now_us(void *ctx) {
    struct board *board = ctx;

    return board->now_us;
}

/* No entropy at all: whoever knows this program knows the node's keys. Never do this. */
static int32_t entropy(void *ctx, uint8_t *out, size_t len) {
    struct board *board = ctx;

    while (len-- > 0) {
        board->noise = board->noise * 1664525u + 1013904223u;
        *out++ = (uint8_t)(board->noise >> 24);
    }
    return 0;
}

static int32_t send_datagram(void *ctx, const struct rit_path *to, const uint8_t *pkt, size_t len) {
    struct board *board = ctx;

    (void)pkt; /* sealed: a radio would send it as it is */
    board->sent++;
    printf("%7.3f s  send %u bytes to %u.%u.%u.%u:%u\n", (double)board->now_us / 1e6,
           (unsigned)len, to->ip[12], to->ip[13], to->ip[14], to->ip[15], (unsigned)to->port);
    return 0;
}

/* What the node gets from the board. */
static rit_node *make_node(struct board *board) {
    struct rit_config config;
    struct rit_io io;
    rit_node *node;
    int32_t error = RIT_OK;

    rit_config_init(&config);
    config.max_sessions = 2; /* little memory */
    config.stream_window = 4096;
    config.session_window = 16384;
    memset(&io, 0, sizeof io);
    io.struct_size = (uint32_t)sizeof io;
    io.ctx = board;
    io.now_us = now_us;
    io.entropy = entropy;
    io.send = send_datagram;
    node = rit_node_new(&config, &io, &error);
    if (node == NULL)
        printf("no node: %s\n", rit_strerror(error));
    return node;
}

static int32_t offer_web(rit_node *node) {
    struct rit_service service;
    rit_service_id id;

    memset(&service, 0, sizeof service);
    service.struct_size = (uint32_t)sizeof service;
    service.kind = RIT_SERVICE_TCP;
    service.port = 80;
    service.name = "web";
    return rit_service_add(node, &service, &id);
}

/* 192.0.2.1 is nobody's (RFC 5737). An IPv4 address is written as ::ffff:192.0.2.1. */
static int32_t call_broker(rit_node *node) {
    static const uint8_t NOBODY[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1};
    struct rit_broker broker;
    struct rit_path path;

    memset(&path, 0, sizeof path);
    path.struct_size = (uint32_t)sizeof path;
    path.port = 7480;
    memcpy(path.ip, NOBODY, sizeof NOBODY);
    memset(&broker, 0, sizeof broker);
    broker.struct_size = (uint32_t)sizeof broker;
    memset(broker.key, 9, sizeof broker.key);
    broker.paths = &path;
    broker.path_count = 1;
    return rit_broker_connect(node, &broker);
}

/* Fetches what happened until there is no more; 1 once the broker was given up. */
static int fetch_events(rit_node *node, const struct board *board) {
    struct rit_event event;
    int is_over = 0;

    memset(&event, 0, sizeof event);
    event.struct_size = (uint32_t)sizeof event;
    while (rit_node_next_event(node, &event) == RIT_OK) {
        if (event.type == RIT_EVENT_BROKER_OFFLINE) {
            printf("%7.3f s  broker: %s\n", (double)board->now_us / 1e6, rit_strerror(event.error));
            is_over = 1;
        }
    }
    return is_over;
}

int main(void) {
    struct board board = {0, 1, 0};
    rit_node *node = make_node(&board);
    int32_t error;

    if (node == NULL)
        return 1;
    error = offer_web(node);
    if (error == RIT_OK)
        error = call_broker(node);
    if (error != RIT_OK)
        printf("not started: %s\n", rit_strerror(error));

    /* The main loop. A board sleeps until the deadline or a datagram, which it would hand in with
     * rit_node_receive. Here time jumps to the deadline. */
    while (error == RIT_OK && !fetch_events(node, &board)) {
        board.now_us = rit_node_deadline(node);
        error = rit_node_timeout(node);
    }
    rit_node_free(node);
    printf("%u datagrams sent, all of them sealed; nobody answered\n", board.sent);
    return error == RIT_OK && board.sent > 0 ? 0 : 1;
}
