/* uip_adapter.h: what rit_uip.c asks of uIP, in the words of the copy that it is compiled with.
 *
 * uIP 1.0 and its kin have one stack in global variables, or, as in open-iscsi's iscsiuio, any
 * number of them in a struct that each call is given. All that differs is in this file; for another
 * copy, change it here. The IP header is read by its bytes, so that no copy's names of its fields
 * matter.
 *
 * What uIP must be configured with: UIP_UDP, UIP_UDP_CHECKSUMS, one of UIP_UDP_CONNS, and
 * UIP_BUFSIZE of the link's MTU and UIP_LLH_LEN, 576 + 14 at least. */
#ifndef RIT_UIP_ADAPTER_H
#define RIT_UIP_ADAPTER_H

#include <stdint.h>
#include <string.h>

#include "uip.h"

/* Bytes of IP and UDP header. uIP takes and sends no IP options. */
#define RIT_UIP_HEADERS 28
/* Bytes of UDP payload that a packet has room for. */
#define RIT_UIP_ROOM ((UIP_BUFSIZE) - (UIP_LLH_LEN) - RIT_UIP_HEADERS)

#ifdef UIP_IPv4_UDPH_LEN /* a stack argument: this name is iscsiuio's */

typedef struct uip_stack rit_uip_stack;

static inline uint8_t *rit_uip_ip(rit_uip_stack *stack) { return stack->network_layer; }

static inline uint16_t rit_uip_len(rit_uip_stack *stack) { return stack->uip_len; }

static inline int rit_uip_has_newdata(rit_uip_stack *stack) {
    return (stack->uip_flags & UIP_NEWDATA) != 0;
}

static inline struct uip_udp_conn *rit_uip_current(rit_uip_stack *stack) {
    return stack->uip_udp_conn;
}

static inline const void *rit_uip_hostaddr(rit_uip_stack *stack) { return stack->hostaddr; }

/* A connection with whoever sends to its port. */
static inline struct uip_udp_conn *rit_uip_udp_new(rit_uip_stack *stack) {
    return uip_udp_new(stack, NULL, 0);
}

/* Has uIP ask the connection for a packet. Which kind of packet it builds, this uIP reads from the
 * Ethernet header that is in the buffer. */
static inline void rit_uip_ask(rit_uip_stack *stack, struct uip_udp_conn *conn) {
    stack->data_link_layer[12] = 0x08;
    stack->data_link_layer[13] = 0x00;
    uip_udp_periodic(stack, (int)(conn - stack->uip_udp_conns));
}

/* The answer to that: len bytes that are in their place already. */
static inline void rit_uip_udp_send(rit_uip_stack *stack, uint16_t len) {
    uip_appsend(stack, stack->uip_appdata, len);
}

#else /* global variables */

typedef struct rit_uip_no_stack rit_uip_stack; /* NULL */

static inline uint8_t *rit_uip_ip(rit_uip_stack *stack) {
    (void)stack;
    return &uip_buf[UIP_LLH_LEN];
}

static inline uint16_t rit_uip_len(rit_uip_stack *stack) {
    (void)stack;
    return uip_len;
}

static inline int rit_uip_has_newdata(rit_uip_stack *stack) {
    (void)stack;
    return uip_newdata() != 0;
}

static inline struct uip_udp_conn *rit_uip_current(rit_uip_stack *stack) {
    (void)stack;
    return uip_udp_conn;
}

static inline const void *rit_uip_hostaddr(rit_uip_stack *stack) {
    (void)stack;
    return &uip_hostaddr;
}

static inline struct uip_udp_conn *rit_uip_udp_new(rit_uip_stack *stack) {
    (void)stack;
    return uip_udp_new(NULL, 0);
}

static inline void rit_uip_ask(rit_uip_stack *stack, struct uip_udp_conn *conn) {
    (void)stack;
    uip_udp_periodic_conn(conn);
}

static inline void rit_uip_udp_send(rit_uip_stack *stack, uint16_t len) {
    (void)stack;
    uip_udp_send(len);
}

#endif

static inline void rit_uip_set_lport(struct uip_udp_conn *conn, uint16_t port) {
    uint8_t bytes[2];

    bytes[0] = (uint8_t)(port >> 8);
    bytes[1] = (uint8_t)port;
    memcpy(&conn->lport, bytes, 2);
}

static inline uint16_t rit_uip_lport(const struct uip_udp_conn *conn) {
    uint8_t bytes[2];

    memcpy(bytes, &conn->lport, 2);
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* Where the connection sends; an address and port of 0: it takes from anyone. */
static inline void rit_uip_set_remote(struct uip_udp_conn *conn, const uint8_t ip[4],
                                      uint16_t port) {
    uint8_t bytes[2];

    bytes[0] = (uint8_t)(port >> 8);
    bytes[1] = (uint8_t)port;
    memcpy(&conn->rport, bytes, 2);
    memcpy(&conn->ripaddr, ip, 4);
}

#endif
