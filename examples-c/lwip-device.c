/* lwip-device.c: a whole device on lwIP without an operating system, in less than 100 lines.
 *
 * It offers a page, "hello", made by callbacks, and "web", whatever listens at port 80 of this lwIP
 * (its httpd, say). The board gives what is declared below. tests/lwip runs this on a host.
 */
#include <stdio.h>
#include <string.h>

#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/timeouts.h"
#include "rit_lwip.h"

/* The board's: true random numbers, a few hundred bytes of flash for the identity, an Ethernet
 * interface with an address (netif_add, dhcp_start), and what its owner has set. */
int32_t board_random(void *ctx, uint8_t *out, size_t len);
int32_t board_load(void *ctx, uint32_t slot, uint8_t *buf, size_t cap);
int32_t board_store(void *ctx, uint32_t slot, const uint8_t *buf, size_t len);
void board_network_start(void);
void board_network_poll(void); /* gives lwIP what arrived; may sleep until something does */
const char *board_setting(const char *name);

/* ---- the service: reads a request up to its empty line, answers, and is done */

static struct request {
    int is_used;
    char last[4];
} requests[4]; /* as many at once */

static int32_t hello_open(void *ctx, rit_lwip *port, rit_stream stream, const uint8_t *peer,
                          void **conn) {
    int i;

    (void)ctx, (void)port, (void)stream, (void)peer;
    for (i = 0; i < 4 && requests[i].is_used; i++)
        continue;
    if (i == 4)
        return RIT_REFUSED_LIMIT;
    memset(&requests[i], 0, sizeof requests[i]);
    requests[i].is_used = 1;
    *conn = &requests[i];
    return 0;
}

static void hello_closed(void *conn, rit_lwip *port, rit_stream stream, int error) {
    (void)port, (void)stream, (void)error;
    ((struct request *)conn)->is_used = 0;
}

static void hello_readable(void *conn, rit_lwip *port, rit_stream stream) {
    static const char PAGE[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nHello from lwIP.\n";
    struct request *request = conn;
    rit_node *node = rit_lwip_node(port);
    size_t len = 0, put = 0;
    uint8_t byte;

    while (memcmp(request->last, "\r\n\r\n", 4) != 0) {
        if (rit_stream_read(node, stream, &byte, 1, &len) != RIT_OK)
            return; /* there will be more, or hello_closed */
        if (len == 0)
            break;
        memmove(request->last, request->last + 1, 3);
        request->last[3] = (char)byte;
    }
    (void)rit_stream_write(node, stream, (const uint8_t *)PAGE, sizeof PAGE - 1, &put);
    (void)rit_lwip_close(port, stream); /* what was written still arrives */
    hello_closed(conn, port, stream, 0);
}

static const struct rit_lwip_callbacks HELLO = {hello_open, hello_readable, NULL, hello_closed};

/* ---- the device */

int main(void) {
    struct rit_lwip_config config = {.entropy = board_random, .load = board_load,
                                     .store = board_store, .udp_port = 7485 /* after resets too */};
    uint8_t key[RIT_KEY_LEN];
    char text[RIT_KEY_TEXT_LEN];
    rit_lwip *port;
    int err;

    lwip_init();
    board_network_start();
    port = rit_lwip_new(&config, &err);
    if (port == NULL || rit_key_from_text(board_setting("owner"), key) != RIT_OK ||
        rit_peer_allow(rit_lwip_node(port), key) != RIT_OK ||
        rit_lwip_serve(port, "hello", 80, &HELLO, NULL) != 0 ||
        rit_lwip_offer(port, "web", NULL, 80) != 0 ||
        rit_lwip_broker(port, board_setting("broker"), board_setting("code")) != 0)
        return 1;
    rit_node_public_key(rit_lwip_node(port), key);
    rit_key_to_text(key, text);
    printf("key %s\n", text); /* what the owner's side is given */
    fflush(stdout);
    for (;;) {
        board_network_poll();
        sys_check_timeouts();
        netif_poll_all();
    }
}
