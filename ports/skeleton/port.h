/* port.h: librit on a vendor's stack: one node, one UDP socket, one main loop.
 *
 * The order: port_init, port_selftest while the port is being made, port_start, port_broker, then
 * in the main loop port_turn, the events of port->node until there are none, port_sleep.
 */
#ifndef PORT_H
#define PORT_H

#include "rit.h"

/* The longest datagram: rit_config.max_datagram and what a relay adds. */
#define PORT_DATAGRAM 1280
#define PORT_DATAGRAM_MAX (PORT_DATAGRAM + 9)
/* Datagrams between interrupt and main loop, a power of two: what comes at line speed while the main
 * loop is busy with a signature, and not so many that they are old. */
#define PORT_QUEUE 8

/* Bytes of the library's heap; ports/TEMPLATE.md has the sums. */
#ifndef PORT_HEAP
#define PORT_HEAP 49152
#endif

struct port_datagram {
    uint8_t ip[16];
    uint16_t port;
    uint16_t len;
    uint8_t bytes[PORT_DATAGRAM_MAX];
};

struct port {
    rit_node *node;
    rit_selftest *selftest; /* in the node's place while it runs */
    uint64_t deadline_us;
    /* Written by the interrupt: head; by the main loop: tail. Both only count up. */
    volatile uint32_t head, tail;
    volatile uint32_t dropped;
    struct port_datagram queue[PORT_QUEUE];
};

/* There is one; static, so that a receive callback without context finds it. */
extern struct port port;

/* Starts the board and opens the socket. udp_port: 0 for any. 0: done. */
int port_init(uint16_t udp_port);

/* Runs the self-test and says on vendor_log what it finds; how many faults. It keeps the main loop
 * for some seconds. */
unsigned port_selftest(const struct rit_selftest_config *config);

/* Makes the node. Null: the defaults. */
int32_t port_start(const struct rit_config *config);

/* Connects to rit://KEY@HOST:PORT; code: null once enrolled. */
int32_t port_broker(const char *uri, const char *code);

/* A turn of the main loop: what came, and what is due. */
void port_turn(void);

/* Sleeps until there is something to do. */
void port_sleep(void);

/* A datagram came. May be called from an interrupt, never from two at once. ip: as rit_path has it;
 * udp_port in host order. */
void port_on_datagram(const uint8_t ip[16], uint16_t udp_port, const uint8_t *bytes, size_t len);

#endif
