/* ethernet.c: see ethernet.h. Owns the interface; frames are copied between the chip's FIFOs and
 * pbufs, and nowhere else. */
#include "ethernet.h"

#include "board.h"
#include "lwip/etharp.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/sys.h"
#include "netif/ethernet.h"

#if NO_SYS
#define INPUT ethernet_input
#else
#include "lwip/tcpip.h"
#define INPUT tcpip_input
#endif

#define FRAMES_MAX 8 /* before timeouts have their turn again */

static struct netif netif;

void lwip_failed(const char *what, int line) {
    board_print("lwIP: %s (line %d)\n", what, line);
    board_exit(98);
}

u32_t sys_now(void) { return (u32_t)(board_now_us() / 1000u); }

/* For lwIP's port numbers only. */
unsigned lwip_random(void) {
    uint32_t number;

    return board_entropy((uint8_t *)&number, sizeof number) == 0 ? number : board_ticks();
}

static err_t output(struct netif *to, struct pbuf *p) {
    (void)to;
    if (board_net_begin(p->tot_len) != 0)
        return ERR_MEM; /* lost, as on a full cable */
    for (; p != NULL; p = p->next)
        board_net_write(p->payload, p->len);
    return ERR_OK;
}

unsigned ethernet_poll(void) {
    struct pbuf *p, *piece;
    unsigned count;
    size_t len;

    for (count = 0; count < FRAMES_MAX && (len = board_net_next()) > 0; count++) {
        p = len <= BOARD_FRAME_MAX ? pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_POOL) : NULL;
        for (piece = p; piece != NULL; piece = piece->next)
            board_net_read(piece->payload, piece->len);
        board_net_end(); /* without a pbuf for it the frame is lost */
        if (p != NULL && netif.input(p, &netif) != ERR_OK)
            pbuf_free(p);
    }
    return count;
}

static err_t init(struct netif *it) {
    it->name[0] = 'e';
    it->name[1] = 'n';
    it->mtu = BOARD_FRAME_MAX - 14;
    it->output = etharp_output;
    it->linkoutput = output;
    it->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    it->hwaddr_len = sizeof it->hwaddr;
    return board_net_start(it->hwaddr) == 0 ? ERR_OK : ERR_IF;
}

int ethernet_start(const char *address, const char *gateway) {
    ip4_addr_t own, mask, router;

    IP4_ADDR(&mask, 255, 255, 255, 0);
    if (!ip4addr_aton(address, &own) || !ip4addr_aton(gateway, &router) ||
        netif_add(&netif, &own, &mask, &router, NULL, init, INPUT) == NULL)
        return -1;
    netif_set_default(&netif);
    netif_set_up(&netif);
    netif_set_link_up(&netif);
    return 0;
}

void ethernet_stop(void) { netif_remove(&netif); }
