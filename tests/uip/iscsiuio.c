/* iscsiuio.c: what examples-c/uip/ethernet.c is, for the uIP with a stack argument that is inside
 * of open-iscsi's iscsiuio; and what that uIP expects of the program around it, which here is
 * nothing. */
#include "board.h"
#include "example.h"

#include "ipv6_ndpc.h"
#include "logger.h"
#include "packet.h"
#include "uip_arp.h"

#define TCP_TIMER_US 500000u
#define ARP_TIMER_US 10000000u

/* uIP calls these. */
void dhcpc_appcall(struct uip_stack *stack);
void example_tcp_appcall(struct uip_stack *stack);
int process_icmp_packet(struct uip_icmpv4_hdr *header, struct uip_stack *stack);

void dhcpc_appcall(struct uip_stack *one) {
    (void)one;
    example_udp_appcall();
}
void example_tcp_appcall(struct uip_stack *one) { one->uip_flags = UIP_ABORT; }
void ndpc_call(struct uip_stack *one) { (void)one; }
void ndpc_exit(struct ndpc_state *state) { (void)state; }
int process_icmp_packet(struct uip_icmpv4_hdr *header, struct uip_stack *one) {
    (void)header, (void)one;
    return 0;
}
void log_uip(int level, char *text, ...) { (void)level, (void)text; }
struct logger main_log;

static struct uip_stack stack;
static uint8_t buffer[UIP_BUFSIZE + 2];
static nic_interface_t interface;
static uint64_t tcp_timer_us, arp_timer_us;

int ethernet_start(const uint8_t ip[4], const uint8_t netmask[4], const uint8_t router[4]) {
    uint8_t mac[6];
    uip_ip4addr_t addresses[3];

    if (board_net_start(mac) != 0)
        return -1;
    memcpy(addresses[0], ip, 4);
    memcpy(addresses[1], netmask, 4);
    memcpy(addresses[2], router, 4);
    uip_init(&stack, 0);
    uip_arp_init();
    set_uip_stack(&stack, &addresses[0], &addresses[1], &addresses[2], mac);
    stack.uip_buf = stack.data_link_layer = buffer;
    stack.network_layer = buffer + UIP_LLH_LEN;
    return 0;
}

rit_uip_stack *ethernet_stack(void) { return &stack; }

static void send_frame(size_t len) {
    if (board_net_begin(len) == 0)
        board_net_write(buffer, len);
}

static void send_packet(void) {
    struct arp_entry *entry = NULL;
    packet_t packet;
    u16_t next_hop[2];

    if (stack.uip_len == 0)
        return;
    memset(&packet, 0, sizeof packet);
    if (uip_determine_dest_ipv4_addr(&stack, next_hop) != LOCAL_BROADCAST &&
        is_in_arp_table(next_hop, &entry) != (arp_out_t)IS_IN_ARP_TABLE)
        uip_build_arp_request(&stack, next_hop);
    else
        uip_build_eth_header(&stack, next_hop, entry, &packet, 0);
    send_frame(stack.uip_len);
}

static int take_frame(void) {
    size_t len = board_net_next();
    packet_t packet;

    if (len == 0)
        return 0;
    if (len <= UIP_BUFSIZE)
        board_net_read(buffer, len);
    board_net_end();
    if (len <= UIP_LLH_LEN || len > UIP_BUFSIZE)
        return 1;
    memset(&packet, 0, sizeof packet);
    packet.buf_size = len;
    packet.data_link_layer = buffer;
    packet.network_layer = buffer + UIP_LLH_LEN;
    if (buffer[12] == 0x08 && buffer[13] == 0x00) {
        uip_arp_ipin(&stack, &packet);
        stack.uip_len = (u16_t)(len - UIP_LLH_LEN);
        uip_input(&stack);
        send_packet();
    } else if (buffer[12] == 0x08 && buffer[13] == 0x06) {
        uip_arp_arpin(&interface, &stack, &packet);
        if (packet.buf_size > 0)
            send_frame(packet.buf_size);
    }
    return 1;
}

static void run_timers(void) {
    uint64_t now_us = board_now_us();
    int i;

    if (now_us - tcp_timer_us >= TCP_TIMER_US) {
        tcp_timer_us = now_us;
        for (i = 0; i < UIP_CONNS; i++) {
            uip_periodic(&stack, i);
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
