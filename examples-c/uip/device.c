/* device.c: a whole device on uIP: a web page that those may see who are allowed, anywhere.
 *
 * Its options are broker=rit://KEY@IP:PORT, code=CODE the first time, allow=KEY, ip=A.B.C.D, and
 * router=A.B.C.D; the board says where it has them from. Ends when q is typed. */
#include "board.h"
#include "example.h"

#include <stdlib.h>

#define UDP_PORT 7481

static struct rit_uip port;

/* uIP calls it for each UDP packet. */
void example_udp_appcall(void) { (void)rit_uip_appcall(&port); }

#ifdef DEVICE_HEAP /* the library's own heap, where there is no C library's */
static int32_t begin_memory(void) {
    return rit_heap_init(board_heap_start, (size_t)(board_heap_end - board_heap_start));
}

static void show_memory(void) {
    struct rit_heap_info info;

    info.struct_size = (uint32_t)sizeof info;
    if (rit_heap_info(&info) == RIT_OK)
        board_print("heap live %lu peak %lu of %lu\n", (unsigned long)info.live,
                    (unsigned long)info.peak, (unsigned long)info.size);
    board_print("stack %u of %u\n", (unsigned)board_stack_peak(), (unsigned)board_stack_size());
}
#else
static int32_t begin_memory(void) { return RIT_OK; }
static void show_memory(void) {}
#endif

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

static void show(void *ctx, struct rit_uip *from, const struct rit_event *event) {
    (void)ctx, (void)from;
    if (event->type == RIT_EVENT_BROKER_ONLINE)
        board_print("online\n");
    else if (event->type == RIT_EVENT_SESSION_UP)
        board_print("session-up\n");
    else if (event->error != RIT_OK)
        board_print("event %u: %s\n", (unsigned)event->type, rit_strerror(event->error));
}

static void address_option(const char *name, uint8_t ip[4]) {
    char text[16], *at = text;
    int i;

    if (board_option(name, text, sizeof text) != 0)
        return;
    for (i = 0; i < 4; i++, at += *at == '.')
        ip[i] = (uint8_t)strtoul(at, &at, 10);
}

static int32_t allow_option(void) {
    char text[RIT_KEY_TEXT_LEN];
    uint8_t key[RIT_KEY_LEN];
    int32_t error;

    if (board_option("allow", text, sizeof text) != 0)
        return RIT_ERR_ARG;
    error = rit_key_from_text(text, key);
    return error != RIT_OK ? error : rit_peer_allow(port.node, key);
}

static int32_t start(void) {
    struct rit_uip_config config;
    char uri[128], code[64] = "", text[RIT_KEY_TEXT_LEN];
    uint8_t key[RIT_KEY_LEN];
    int32_t error;

    memset(&config, 0, sizeof config);
    config.stack = ethernet_stack();
    config.now_us = now_us;
    config.entropy = entropy;
    config.load = load;
    config.store = store;
    config.event = show;
    config.udp_port = UDP_PORT;
    error = rit_uip_start(&port, &config);
    if (error != RIT_OK)
        return error;
    rit_node_public_key(port.node, key);
    rit_key_to_text(key, text);
    board_print("key %s\n", text);
    (void)board_option("code", code, sizeof code);
    error = allow_option();
    if (error == RIT_OK)
        error = rit_uip_serve(&port, "web", 80, &page_callbacks, NULL);
    if (error == RIT_OK)
        error = board_option("broker", uri, sizeof uri) == 0 ? RIT_OK : RIT_ERR_ARG;
    if (error == RIT_OK)
        error = rit_uip_broker(&port, uri, NULL, code[0] != '\0' ? code : NULL);
    return error;
}

int main(void) {
    uint8_t ip[4] = {10, 0, 2, 15}, netmask[4] = {255, 255, 255, 0}, router[4] = {10, 0, 2, 2};
    int32_t error;

    address_option("ip", ip);
    address_option("router", router);
    if (ethernet_start(ip, netmask, router) != 0) {
        board_print("no Ethernet\n");
        return 1;
    }
    error = begin_memory();
    if (error == RIT_OK)
        error = start();
    if (error != RIT_OK)
        board_print("not started: %s\n", rit_strerror(error));
    while (error == RIT_OK && board_key() != 'q')
        ethernet_turn(&port);
    show_memory();
    rit_uip_stop(&port);
    show_memory();
    return error == RIT_OK ? 0 : 1;
}
