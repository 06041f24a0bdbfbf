/* host.c: see host.h. Owns the TAP device's descriptor and the host's clock and entropy. */
#define _GNU_SOURCE

#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/init.h"
#include "lwip/priv/memp_priv.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/stats.h"
#include "lwip/sys.h"
#include "lwip/tcpip.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

#define FRAME_MAX 1514
#define FRAMES_IN_TURN 64
#if NO_SYS
#define TAP_INPUT ethernet_input
#else
#define TAP_INPUT tcpip_input
#endif

static struct netif tap_netif;
static int tap_fd = -1;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- clock and entropy */

uint64_t host_now_us(void *ctx) {
    struct timespec now;

    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

u32_t sys_now(void) {
    return (u32_t)(host_now_us(NULL) / 1000u);
}

int32_t host_entropy(void *ctx, uint8_t *out, size_t len) {
    (void)ctx;
    return getrandom(out, len, 0) == (ssize_t)len ? 0 : -1;
}

unsigned sys_random(void) {
    unsigned number = 0;

    (void)host_entropy(NULL, (uint8_t *)&number, sizeof number);
    return number;
}

/* ---- the driver */

static err_t tap_output(struct netif *netif, struct pbuf *p) {
    uint8_t frame[FRAME_MAX];
    u16_t len = pbuf_copy_partial(p, frame, sizeof frame, 0);

    (void)netif;
    /* A full queue is a full cable: the frame is lost. */
    return write(tap_fd, frame, len) == (ssize_t)len ? ERR_OK : ERR_IF;
}

/* A frame, in as many pbufs as it takes; 0: there was none. */
static int tap_input(void) {
    uint8_t frame[FRAME_MAX];
    ssize_t len = read(tap_fd, frame, sizeof frame);
    struct pbuf *p;

    if (len <= 0)
        return 0;
    p = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_POOL);
    if (p == NULL)
        return 1; /* lost */
    (void)pbuf_take(p, frame, (u16_t)len);
    if (tap_netif.input(p, &tap_netif) != ERR_OK)
        pbuf_free(p);
    return 1;
}

static err_t tap_init(struct netif *netif) {
    static const uint8_t MAC[6] = {2, 0, 0, 0x72, 0x69, 0x74};

    netif->name[0] = 't';
    netif->name[1] = 'p';
    netif->mtu = 1500;
    netif->hwaddr_len = sizeof MAC;
    memcpy(netif->hwaddr, MAC, sizeof MAC);
    netif->output = etharp_output;
#if LWIP_IPV6
    netif->output_ip6 = ethip6_output;
#endif
    netif->linkoutput = tap_output;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    return ERR_OK;
}

static void open_tap(const char *name) {
    struct ifreq request;

    tap_fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap_fd < 0)
        fail("/dev/net/tun");
    memset(&request, 0, sizeof request);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (ioctl(tap_fd, TUNSETIFF, &request) != 0)
        fail(name);
}

static void add_tap(const char *address, const char *mask, const char *gateway) {
    ip4_addr_t at, of, by;

    if (!ip4addr_aton(address, &at) || !ip4addr_aton(mask, &of) || !ip4addr_aton(gateway, &by)) {
        fprintf(stderr, "not an address: %s %s %s\n", address, mask, gateway);
        exit(2);
    }
    netif_add(&tap_netif, &at, &of, &by, NULL, tap_init, TAP_INPUT);
    netif_set_default(&tap_netif);
    netif_set_link_up(&tap_netif);
    netif_set_up(&tap_netif);
}

/* ---- the loop */

static void wait_for_frame(unsigned timeout_ms) {
    struct pollfd tap = {.fd = tap_fd, .events = POLLIN};

    (void)poll(&tap, 1, (int)timeout_ms);
}

#if NO_SYS
void host_attach(const char *tap, const char *address, const char *mask, const char *gateway) {
    open_tap(tap);
    add_tap(address, mask, gateway);
}

void host_start(const char *tap, const char *address, const char *mask, const char *gateway) {
    lwip_init();
    host_attach(tap, address, mask, gateway);
}

void host_call(void (*function)(void *arg), void *arg) {
    function(arg);
}

/* Whether a loopback interface has something. */
static int loops(void) {
    struct netif *netif;

    NETIF_FOREACH(netif) {
        if (netif->loop_first != NULL)
            return 1;
    }
    return 0;
}

void host_turn(unsigned timeout_ms) {
    u32_t sleep_ms = sys_timeouts_sleeptime();
    int count;

    if (sleep_ms > timeout_ms)
        sleep_ms = timeout_ms;
    wait_for_frame(loops() ? 0 : sleep_ms);
    for (count = 0; count < FRAMES_IN_TURN && tap_input(); count++)
        netif_poll_all();
    sys_check_timeouts();
    netif_poll_all();
}
#else
static void drive(void *arg) {
    (void)arg;
    for (;;) {
        wait_for_frame(1000);
        while (tap_input())
            continue;
    }
}

static sys_sem_t started;

static void on_started(void *arg) {
    (void)arg;
    sys_sem_signal(&started);
}

void host_start(const char *tap, const char *address, const char *mask, const char *gateway) {
    open_tap(tap);
    (void)sys_sem_new(&started, 0);
    tcpip_init(on_started, NULL);
    (void)sys_arch_sem_wait(&started, 0);
    LOCK_TCPIP_CORE();
    add_tap(address, mask, gateway);
    UNLOCK_TCPIP_CORE();
    (void)sys_thread_new("tap", drive, NULL, DEFAULT_THREAD_STACKSIZE, 1);
}

void host_call(void (*function)(void *arg), void *arg) {
    LOCK_TCPIP_CORE();
    function(arg);
    UNLOCK_TCPIP_CORE();
}

void host_turn(unsigned timeout_ms) {
    (void)poll(NULL, 0, (int)timeout_ms);
}
#endif

/* Connections that are over and only wait, for two minutes, so that no late segment is mistaken. */
static unsigned waiting_pcbs(void) {
    const struct tcp_pcb *pcb = tcp_tw_pcbs;
    unsigned count = 0;

    for (; pcb != NULL; pcb = pcb->next)
        count++;
    return count;
}

unsigned host_memory_in_use(int is_said) {
    unsigned all = (unsigned)lwip_stats.mem.used;
    int i;

    if (is_said && all != 0)
        fprintf(stderr, "lwIP's heap: %u bytes in use\n", all);
    for (i = 0; i < MEMP_MAX; i++) {
        unsigned used = (unsigned)lwip_stats.memp[i]->used;
        if (i == MEMP_SYS_TIMEOUT) /* lwIP's own come and go */
            continue;
        if (i == MEMP_TCP_PCB)
            used -= waiting_pcbs();
        if (is_said && used != 0)
            fprintf(stderr, "pool %s: %u in use\n", memp_pools[i]->desc, used);
        all += used;
    }
    return all;
}
