/* rit_uip.h: librit on uIP, with its event model and its one packet buffer.
 *
 * Gives a node (rit.h) a UDP connection of uIP, a clock and a timer; services run in the program
 * itself, by callbacks. A datagram is decrypted in uIP's buffer where it came, and the next one to
 * send is built there: nothing is copied, nothing waits in a queue, and the port allocates nothing.
 * Fits uIP 1.0 with its global variables and its descendants with a stack argument, by
 * uip_adapter.h. Copy the files of this folder and rit.h into your tree. IPv4 only, as uIP is.
 *
 *     static struct rit_uip port;
 *     struct rit_uip_config config = {.entropy = my_rng, .now_us = my_clock};
 *     uip_init(); ...                                          address, netmask, router as ever
 *     rit_uip_start(&port, &config);
 *     rit_peer_allow(port.node, owners_key);
 *     rit_uip_serve(&port, "web", 80, &my_callbacks, NULL);
 *     rit_uip_broker(&port, "rit://KEY@192.0.2.1:7480", NULL, code);
 *
 * uIP's function for UDP, UIP_UDP_APPCALL, calls rit_uip_appcall; and the main loop gets two lines:
 *
 *     for (;;) {
 *         uip_len = driver_read();                              as ever: uip_input, uip_arp_arpin,
 *         ...                                                   uip_periodic, uip_arp_timer
 *         while (rit_uip_poll(&port)) { uip_arp_out(); driver_send(); }
 *         sleep until a frame comes, or until rit_node_deadline(port.node)
 *     }
 *
 * A datagram to an address that ARP does not know yet is replaced by the question, as ever with
 * uIP, and repeated by the library.
 *
 * All functions, and the callbacks they call, belong to the main loop; none into an interrupt.
 * Functions answer RIT_OK or RIT_ERR_* (rit.h). */
#ifndef RIT_UIP_H
#define RIT_UIP_H

#include "rit.h"
#include "uip_adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Services, and connections to them at once; further ones are refused. */
#ifndef RIT_UIP_SERVICES
#define RIT_UIP_SERVICES 2
#endif
#ifndef RIT_UIP_CONNECTIONS
#define RIT_UIP_CONNECTIONS 4
#endif

/* 0: no reaching of other devices' services. */
#ifndef RIT_UIP_CONNECT
#define RIT_UIP_CONNECT 1
#endif

struct rit_uip;

/* A service, or a connection to another device's. The stream is read by rit_stream_read and written
 * by rit_stream_write and rit_stream_finish of port->node, which never wait: what is not read stops
 * the peer, and what is not taken is the caller's to keep. conn is what open set, or what
 * rit_uip_connect was given. Any function may be called from here but rit_uip_stop, rit_uip_poll
 * and rit_uip_appcall; uIP's own, too, but those that use its packet buffer. */
struct rit_uip_callbacks {
    /* OPTIONAL. A peer asks for the service: 0, or RIT_REFUSED_* to refuse. ctx: that of
     * rit_uip_serve; *conn is NULL and may be set. */
    int32_t (*open)(void *ctx, struct rit_uip *port, rit_stream stream, const uint8_t *peer,
                    void **conn);
    /* REQUIRED. There are bytes to read, or the end: read until RIT_ERR_AGAIN, or until there is no
     * room for more; then it is the reader's to read on when there is. */
    void (*readable)(void *conn, struct rit_uip *port, rit_stream stream);
    /* OPTIONAL. Bytes can be written: at first, and again after a write that took less. */
    void (*writable)(void *conn, struct rit_uip *port, rit_stream stream);
    /* OPTIONAL. It is over: reset or stopped by the peer, refused, or its session is down. The
     * handle is not good any more, and nothing else will be called. */
    void (*closed)(void *conn, struct rit_uip *port, rit_stream stream, int32_t error);
};

/* Set what is not used to 0. Copied but for what it points to. */
struct rit_uip_config {
    void *ctx; /* handed back in every call */
    /* Which stack, where uIP has several; else NULL. Its buffer holds UIP_BUFSIZE bytes. */
    rit_uip_stack *stack;
    /* REQUIRED. As in rit.h: len bytes from a true random source, 0; else there is no node. */
    int32_t (*entropy)(void *ctx, uint8_t *out, size_t len);
    /* Microseconds, never going back. OPTIONAL if RIT_UIP_CLOCK names the header of uIP's
     * clock_time(), such as -DRIT_UIP_CLOCK='"clock.h"': that clock may wrap, but rit_uip_poll has
     * to be called once before it does. */
    uint64_t (*now_us)(void *ctx);
    /* OPTIONAL, together. As in rit.h: where the identity is kept. Without them it is a new one
     * each time, which has to be enrolled anew. */
    int32_t (*load)(void *ctx, uint32_t slot, uint8_t *buf, size_t cap);
    int32_t (*store)(void *ctx, uint32_t slot, const uint8_t *buf, size_t len);
    /* OPTIONAL. What happened to broker and sessions, as in rit.h; good during the call. */
    void (*event)(void *ctx, struct rit_uip *port, const struct rit_event *event);
    /* OPTIONAL. As in rit.h. Must not call the library. */
    void (*log)(void *ctx, int32_t level, const char *msg);
    /* Limits of the node; NULL: small ones. max_datagram 0: what UIP_BUFSIZE has room for; at most
     * 9 bytes less than a packet has for UDP payload, for a relay's header. */
    const struct rit_config *node;
    /* Local UDP port; 0: uIP's choice. */
    uint16_t udp_port;
};

/* A connection. Private. */
struct rit_uip_conn {
    const struct rit_uip_callbacks *callbacks; /* NULL: free */
    void *conn;
    const char *service; /* to be opened once the session is up */
    rit_session session;
    rit_stream stream;
};

/* The port. The caller provides it, zeroed, and it outlives rit_uip_stop. */
struct rit_uip {
    /* For rit_peer_allow, rit_node_public_key, rit_node_deadline and the like. Its events and its
     * datagrams are the port's: do not fetch them. NULL before rit_uip_start and after _stop. */
    rit_node *node;

    /* Private. */
    struct rit_uip_config config;
    struct uip_udp_conn *udp;
    uint64_t ticks;
    uint32_t last_tick;
    uint8_t hostaddr[4];
    uint8_t is_asked;
    struct rit_uip_service {
        const struct rit_uip_callbacks *callbacks;
        void *ctx;
        rit_service_id id;
    } services[RIT_UIP_SERVICES];
    struct rit_uip_conn conns[RIT_UIP_CONNECTIONS];
};

/* Makes the node and its UDP connection; the first time, its identity too. uIP is initialised; its
 * address may come later, and change. Errors: those of rit_node_new; ARG (max_datagram), LIMIT (uIP
 * has no UDP connection left). */
int32_t rit_uip_start(struct rit_uip *port, const struct rit_uip_config *config);

/* Frees the node and the UDP connection; no callback is called. To say goodbye, close sessions
 * first and poll. Not from a callback. */
void rit_uip_stop(struct rit_uip *port);

/* Connects to the broker at a rit:// address, and stays connected. address: its IPv4 address, where
 * the host in uri is a name that the caller has resolved; else NULL. enrol_code: needed once; NULL
 * when this identity is enrolled already. Nothing is kept. Errors: those of rit_uri_parse and
 * rit_broker_connect; ARG (a name, and no address). */
int32_t rit_uip_broker(struct rit_uip *port, const char *uri, const uint8_t *address,
                       const char *enrol_code);

/* Offers a service. service_port: the port people know such a service by, or 0. callbacks: kept.
 * Errors: those of rit_service_add; LIMIT (RIT_UIP_SERVICES). */
int32_t rit_uip_serve(struct rit_uip *port, const char *name, uint16_t service_port,
                      const struct rit_uip_callbacks *callbacks, void *ctx);

#if RIT_UIP_CONNECT
/* Connects to a TCP service of another device; opens a session if there is none. writable follows
 * once the stream is there, or closed. service and callbacks: kept until then. Errors: those of
 * rit_session_open and rit_stream_open; LIMIT (RIT_UIP_CONNECTIONS). */
int32_t rit_uip_connect(struct rit_uip *port, const uint8_t device[RIT_KEY_LEN],
                        const char *service, const struct rit_uip_callbacks *callbacks, void *conn);
#endif

/* Gives a stream back, from a callback or outside: what is finished still arrives, what is not is
 * reset. The peer's bytes that still come are refused, and a TCP connection at its end is reset for
 * that: who wants all to arrive there reads to the end first. closed is not called.
 * Errors: HANDLE. */
int32_t rit_uip_close(struct rit_uip *port, rit_stream stream);

/* To be called by UIP_UDP_APPCALL. 1 if the packet, or the question for one, was for the port; 0 if
 * it is another connection's. */
int rit_uip_appcall(struct rit_uip *port);

/* Does what is due, calls the callbacks, and builds the next datagram in uIP's buffer: 1, and
 * uip_len is that of an IP packet to send; 0 if there is none. The buffer must be free. */
int rit_uip_poll(struct rit_uip *port);

#ifdef __cplusplus
}
#endif

#endif
