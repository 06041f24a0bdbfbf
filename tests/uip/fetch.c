/* fetch.c: a program on uIP that reaches a device's service by callbacks, from /file of its web
 * server. Prints how much came, and its Adler-32. Options: device=KEY broker= code= ip= router=;
 * with only-key=1 it prints its own key and ends. */
#include "board.h"
#include "clock16.h"
#include "example.h"

#include <stdlib.h>

static struct rit_uip port;
static char head[4] = {0};
static int has_head, is_over, is_good, is_refused;
static unsigned long count;
static uint32_t sum = 1, sums;

void example_udp_appcall(void) { (void)rit_uip_appcall(&port); }

/* Wraps for the first time soon after the start. */
clock_time_t clock_time(void) {
    static uint64_t began_us;

    if (began_us == 0)
        began_us = board_now_us();
    return (clock_time_t)((board_now_us() - began_us) * CLOCK_SECOND / 1000000 + 65535 - 500);
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

static void take(uint8_t byte) {
    if (has_head) {
        sum = (sum + byte) % 65521;
        sums = (sums + sum) % 65521;
        count++;
        return;
    }
    memmove(head, head + 1, 3);
    head[3] = (char)byte;
    has_head = memcmp(head, "\r\n\r\n", 4) == 0;
}

static void writable(void *conn, struct rit_uip *from, rit_stream stream) {
    static const uint8_t REQUEST[] = "GET /file HTTP/1.0\r\n\r\n";
    size_t written;

    (void)conn;
    if (rit_stream_write(from->node, stream, REQUEST, sizeof REQUEST - 1, &written) != RIT_OK ||
        written != sizeof REQUEST - 1)
        board_print("the request does not fit\n");
    rit_stream_finish(from->node, stream);
}

static void readable(void *conn, struct rit_uip *from, rit_stream stream) {
    uint8_t chunk[200];
    size_t len, i;

    while (rit_stream_read(from->node, stream, chunk, sizeof chunk, &len) == RIT_OK) {
        if (len == 0) {
            is_over = is_good = 1;
            *(int *)conn = 1;
            rit_uip_close(from, stream);
            return;
        }
        for (i = 0; i < len; i++)
            take(chunk[i]);
    }
}

static void closed(void *conn, struct rit_uip *from, rit_stream stream, int32_t error) {
    (void)conn, (void)from, (void)stream;
    board_print("closed: %s\n", rit_strerror(error));
    is_over = 1;
}

static const struct rit_uip_callbacks CALLBACKS = {NULL, readable, writable, closed};

/* What comes of a service that is not there. */
static void refused(void *conn, struct rit_uip *from, rit_stream stream, int32_t error) {
    (void)conn, (void)from, (void)stream;
    board_print("refused: %s\n", rit_strerror(error));
    is_refused = 1;
}

static const struct rit_uip_callbacks REFUSED = {NULL, readable, NULL, refused};

static void show(void *ctx, struct rit_uip *from, const struct rit_event *event) {
    char text[RIT_KEY_TEXT_LEN];
    uint8_t key[RIT_KEY_LEN];
    int32_t error = RIT_ERR_ARG;

    (void)ctx;
    if (event->type == RIT_EVENT_SESSION_DOWN)
        board_print("session-down\n");
    if (event->type != RIT_EVENT_BROKER_ONLINE)
        return;
    if (board_option("device", text, sizeof text) == 0)
        error = rit_key_from_text(text, key);
    /* The second goes by the session that the first has opened. */
    if (error == RIT_OK)
        error = rit_uip_connect(from, key, "web", &CALLBACKS, &is_over);
    if (error == RIT_OK)
        error = rit_uip_connect(from, key, "absent", &REFUSED, &is_over);
    if (error != RIT_OK) {
        board_print("not reached: %s\n", rit_strerror(error));
        is_over = 1;
    }
}

static void address_option(const char *name, uint8_t ip[4]) {
    char text[16], *at = text;
    int i;

    if (board_option(name, text, sizeof text) != 0)
        return;
    for (i = 0; i < 4; i++, at += *at == '.')
        ip[i] = (uint8_t)strtoul(at, &at, 10);
}

static int32_t start(void) {
    struct rit_uip_config config;
    char text[RIT_KEY_TEXT_LEN];
    uint8_t key[RIT_KEY_LEN];
    int32_t error;

    memset(&config, 0, sizeof config);
    config.stack = ethernet_stack();
    config.entropy = entropy; /* and uIP's clock */
    config.load = load;
    config.store = store;
    config.event = show;
    error = rit_uip_start(&port, &config);
    if (error != RIT_OK)
        return error;
    rit_node_public_key(port.node, key);
    rit_key_to_text(key, text);
    board_print("key %s\n", text);
    return RIT_OK;
}

static int32_t fetch(void) {
    char uri[128], code[64] = "";
    int32_t error = RIT_ERR_ARG;
    int i;

    (void)board_option("code", code, sizeof code);
    if (board_option("broker", uri, sizeof uri) == 0)
        error = rit_uip_broker(&port, uri, NULL, code[0] != '\0' ? code : NULL);
    while (error == RIT_OK && board_key() != 'q' && !(is_over && is_refused))
        ethernet_turn(&port);
    /* The session that was opened for the two is closed with the last of them. */
    for (i = 0; i < 100; i++)
        ethernet_turn(&port);
    board_print("fetched %lu %lu\n", count, (unsigned long)(sums << 16 | sum));
    return error == RIT_OK && is_good && is_refused ? RIT_OK : RIT_ERR_CLOSED;
}

int main(void) {
    uint8_t ip[4] = {10, 0, 2, 15}, netmask[4] = {255, 255, 255, 0}, router[4] = {10, 0, 2, 2};
    char text[2];
    int32_t error;

    address_option("ip", ip);
    address_option("router", router);
    if (ethernet_start(ip, netmask, router) != 0)
        return 1;
    error = start();
    if (error == RIT_OK && board_option("only-key", text, sizeof text) != 0)
        error = fetch();
    rit_uip_stop(&port);
    return error == RIT_OK ? 0 : 1;
}
