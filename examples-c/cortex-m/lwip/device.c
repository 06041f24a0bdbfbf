/* device.c: see device.h. Owns the node's limits, its options and what is printed of its events. */
#include "device.h"

#include <string.h>

#include "board.h"
#include "ethernet.h"
#include "http.h"
#include "lwip/memp.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/stats.h"
#include "rit_lwip.h"

#define WEB_PORT 80
#define NODE_PORT 7485 /* the same after a reset, so that peers learn of it at once */

static rit_lwip *port;
static unsigned left_before;

/* ---- what the port asks of the board */

static uint64_t now_us(void *ctx) {
    (void)ctx;
    return board_now_us();
}

static int32_t entropy(void *ctx, uint8_t *out, size_t len) {
    (void)ctx;
    return board_entropy(out, len);
}

static int32_t load(void *ctx, uint32_t slot, uint8_t *buf, size_t cap) {
    (void)ctx;
    return board_load(slot, buf, cap);
}

static int32_t store(void *ctx, uint32_t slot, const uint8_t *buf, size_t len) {
    (void)ctx;
    return board_store(slot, buf, len);
}

static void print_log(void *ctx, int32_t level, const char *msg) {
    (void)ctx;
    board_print("log %d %s\n", (int)level, msg);
}

static void on_event(void *ctx, rit_lwip *from, const struct rit_lwip_event *event) {
    static const char *const WORDS[] = {"",           "online",       "offline",
                                        "enrolled",   "enrol-refused", "session-up",
                                        "session-down"};

    (void)ctx, (void)from;
    if (event->type <= RIT_LWIP_SESSION_DOWN)
        board_print(event->error != 0 ? "%s %s\n" : "%s%s\n", WORDS[event->type],
                    event->error != 0 ? rit_lwip_strerror(event->error) : "");
    else if (event->type == RIT_LWIP_CONNECTION && event->error != 0)
        board_print("connection refused %s\n", rit_lwip_strerror(event->error));
}

/* ---- start and end */

int device_heap(void *memory, size_t size) {
    return rit_heap_init(memory, size) == RIT_OK ? 0 : -1;
}

static int refused(const char *what, int error) {
    board_print("refused: %s: %s\n", what, rit_lwip_strerror(error));
    return -1;
}

/* A device serves a few people at a time. */
static void set_limits(struct rit_config *limits) {
    rit_config_init(limits);
    limits->max_sessions = 2;
    limits->max_services = 1;
    limits->max_peers = 4;
    limits->max_streams = 4;
    limits->max_datagram = 1280;
    limits->stream_window = 8192;
    limits->session_window = 16384;
    limits->stream_send_buffer = 8192;
    limits->max_flows = UINT32_MAX;
    limits->datagram_queue = UINT32_MAX;
}

static int start_node(void) {
    struct rit_lwip_config config;
    struct rit_config limits;
    uint8_t key[RIT_KEY_LEN];
    char text[RIT_KEY_TEXT_LEN];
    int error;

    set_limits(&limits);
    memset(&config, 0, sizeof config);
    config.entropy = entropy;
    config.load = load;
    config.store = store;
    config.now_us = now_us;
    config.event = on_event;
    config.log = print_log;
    config.node = &limits;
    config.max_connections = 4;
    config.udp_port = NODE_PORT;
    port = rit_lwip_new(&config, &error);
    if (port == NULL)
        return refused("node", error);
    error = rit_node_public_key(rit_lwip_node(port), key);
    if (error == 0)
        error = rit_key_to_text(key, text);
    if (error == 0)
        error = rit_lwip_offer(port, "web", NULL, WEB_PORT);
    if (error != 0)
        return refused("service", error);
    board_print("READY %s\n", text);
    return 0;
}

/* Who may come in, and the broker. */
static int join(void) {
    char broker[128], code[72], text[RIT_KEY_TEXT_LEN];
    uint8_t key[RIT_KEY_LEN];
    int error = RIT_ERR_ARG;

    if (board_option("allow", text, sizeof text) != 0)
        return refused("allow", error);
    error = rit_key_from_text(text, key);
    if (error == 0)
        error = rit_peer_allow(rit_lwip_node(port), key);
    if (error != 0)
        return refused("allow", error);
    error = RIT_ERR_ARG;
    if (board_option("broker", broker, sizeof broker) == 0)
        error = rit_lwip_broker(port, broker,
                                board_option("code", code, sizeof code) == 0 ? code : NULL);
    return error == 0 ? 0 : refused("broker", error);
}

int device_start(void) {
    char address[16] = "10.77.0.2", gateway[16] = "10.77.0.1";

    left_before = 0;
    left_before = device_left();
    (void)board_option("address", address, sizeof address);
    (void)board_option("gateway", gateway, sizeof gateway);
    if (ethernet_start(address, gateway) != 0)
        return refused("network", RIT_ERR_ARG);
    if (http_start(WEB_PORT) != 0)
        return refused("web", RIT_LWIP_ERR_SYSTEM);
    return start_node() == 0 ? join() : -1;
}

void device_stop(void) {
    rit_lwip_free(port);
    port = NULL;
    http_stop();
    while (tcp_tw_pcbs != NULL) /* those that wait for stragglers, of which there are none here */
        tcp_abort(tcp_tw_pcbs);
    ethernet_stop();
}

unsigned device_left(void) {
    unsigned used = (unsigned)lwip_stats.mem.used;
    int i;

    for (i = 0; i < MEMP_MAX; i++)
        used += (unsigned)lwip_stats.memp[i]->used;
    return used - left_before;
}

int device_report(size_t stack_size, size_t stack_peak) {
    struct rit_heap_info heap;
    unsigned left = device_left();

    memset(&heap, 0, sizeof heap);
    heap.struct_size = (uint32_t)sizeof heap;
    if (rit_heap_info(&heap) != RIT_OK)
        return 1;
    board_print("{\"heap_size\": %lu, \"heap_live\": %lu, \"heap_peak\": %lu, ",
                (unsigned long)heap.size, (unsigned long)heap.live, (unsigned long)heap.peak);
    board_print("\"stack_size\": %lu, \"stack_peak\": %lu, ", (unsigned long)stack_size,
                (unsigned long)stack_peak);
    board_print("\"lwip_heap_peak\": %lu, \"lwip_left\": %u}\n",
                (unsigned long)lwip_stats.mem.max, left);
    return heap.live == 0 && left == 0 ? 0 : 1;
}
