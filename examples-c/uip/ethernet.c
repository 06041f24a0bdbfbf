/* ethernet.c: uIP on the board's Ethernet: the main loop that uIP's manual has, and the two lines
 * for librit in it. */
#include "board.h"
#include "example.h"

#include "uip_arp.h"

#define TCP_TIMER_US 500000u
#define ARP_TIMER_US 10000000u

static uint64_t tcp_timer_us, arp_timer_us;

/* What uIP calls for TCP: nobody listens. */
void example_tcp_appcall(void) { uip_abort(); }

int ethernet_start(const uint8_t ip[4], const uint8_t netmask[4], const uint8_t router[4]) {
    uint8_t mac[6];

    if (board_net_start(mac) != 0)
        return -1;
    uip_init();
    uip_arp_init();
    memcpy(&uip_ethaddr, mac, 6);
    memcpy(&uip_hostaddr, ip, 4);
    memcpy(&uip_netmask, netmask, 4);
    memcpy(&uip_draddr, router, 4);
    return 0;
}

rit_uip_stack *ethernet_stack(void) { return NULL; }

/* A frame that the chip has no room for is lost. */
static void send_frame(void) {
    if (board_net_begin(uip_len) == 0)
        board_net_write(uip_buf, uip_len);
}

static void send_packet(void) {
    if (uip_len > 0) {
        uip_arp_out();
        send_frame();
    }
}

/* 1: there was a frame. */
static int take_frame(void) {
    size_t len = board_net_next();

    if (len == 0)
        return 0;
    if (len <= UIP_BUFSIZE)
        board_net_read(uip_buf, len);
    board_net_end();
    if (len <= UIP_LLH_LEN || len > UIP_BUFSIZE)
        return 1;
    uip_len = (u16_t)len;
    if (uip_buf[12] == 0x08 && uip_buf[13] == 0x00) {
        uip_arp_ipin();
        if (uip_len == len) /* some uip_arp_ipin have taken it off, some do nothing */
            uip_len = (u16_t)(uip_len - UIP_LLH_LEN);
        uip_input();
        send_packet();
    } else if (uip_buf[12] == 0x08 && uip_buf[13] == 0x06) {
        uip_arp_arpin();
        if (uip_len > 0)
            send_frame();
    }
    return 1;
}

static void run_timers(void) {
    uint64_t now_us = board_now_us();
    int i;

    if (now_us - tcp_timer_us >= TCP_TIMER_US) {
        tcp_timer_us = now_us;
        for (i = 0; i < UIP_CONNS; i++) {
            uip_periodic(i);
            send_packet();
        }
    }
    if (now_us - arp_timer_us >= ARP_TIMER_US) {
        arp_timer_us = now_us;
        uip_arp_timer();
    }
}

void ethernet_turn(struct rit_uip *port) {
    int is_busy = take_frame();

    run_timers();
    while (rit_uip_poll(port)) {
        send_packet();
        is_busy = 1;
    }
    if (!is_busy)
        board_sleep();
}
