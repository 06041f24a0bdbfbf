/* rit_lwip.h: librit on lwIP's raw API, 2.1 or 2.2, with an operating system or without.
 *
 * Gives a node (rit.h) its UDP socket, clock and timer, and bridges its streams to TCP and its
 * flows to UDP inside lwIP: a device's services are connected to, by lwIP's loopback interface or
 * elsewhere, or are a few callbacks; a remote device's services appear at loopback addresses, or
 * are callbacks too. Copy the files of this folder and rit.h into your tree.
 *
 *     struct rit_lwip_config config = {.entropy = my_rng, .load = my_read, .store = my_write};
 *     int err;
 *     rit_lwip *port = rit_lwip_new(&config, &err);
 *     rit_peer_allow(rit_lwip_node(port), owners_key);
 *     rit_lwip_offer(port, "web", NULL, 80);
 *     rit_lwip_broker(port, "rit://KEY@broker.example", code);
 *
 * All the rest happens by itself, in lwIP's callbacks and timeouts. Without an operating system
 * (NO_SYS 1) the main loop is as ever: the driver's input, sys_check_timeouts(), and for services
 * on the loopback interface netif_poll_all().
 *
 * LOCKING. Every function here belongs into lwIP's core context, and every callback is called
 * there: with NO_SYS the main loop, and never an interrupt; with an operating system the tcpip
 * thread (tcpip_callback), or any thread between LOCK_TCPIP_CORE() and UNLOCK_TCPIP_CORE(). The
 * node is used there only, too. LWIP_ASSERT_CORE_LOCKED says so where it is defined. The stack of
 * that thread has to hold a handshake.
 *
 * lwipopts.h. LWIP_UDP, LWIP_TCP, LWIP_TIMERS, LWIP_CALLBACK_API 1. One MEMP_NUM_SYS_TIMEOUT more
 * than else, one MEMP_NUM_UDP_PCB (and one for each flow). For bridging to services in this lwIP:
 * LWIP_NETIF_LOOPBACK, LWIP_HAVE_LOOPIF 1, and two MEMP_NUM_TCP_PCB for each connection, as both
 * its ends are here. For names of brokers LWIP_DNS. LWIP_NETIF_EXT_STATUS_CALLBACK 1 tells the node
 * of a new address at once; else it is noticed within 5 s. With PBUF_POOL_BUFSIZE as large as a
 * packet nothing that arrives is copied: it is decrypted where it lies. LWIP_SINGLE_NETIF must be 0
 * for services on the loopback interface. With an operating system
 * LWIP_NETIF_LOOPBACK_MULTITHREADING 1, and MEMP_NUM_TCPIP_MSG_INPKT (8) as large as bursts of
 * frames: what finds none is lost. lwIP sets no "don't fragment", so that a router with a smaller
 * MTU cuts packets up; rit_config.max_datagram keeps them small. See tests/lwip/lwipopts.h.
 *
 * Functions that can fail return 0 (RIT_OK) or a negative number: one of RIT_ERR_* (rit.h) or of
 * RIT_LWIP_ERR_*; rit_lwip_strerror names both.
 */
#ifndef RIT_LWIP_H
#define RIT_LWIP_H

#include "lwip/ip_addr.h"
#include "rit.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where the port's own memory is from, and bytes of it that are asked for at once at the most. */
#ifndef RIT_LWIP_MALLOC
#include "lwip/mem.h"
#define RIT_LWIP_MALLOC(size) mem_malloc((mem_size_t)(size))
#define RIT_LWIP_FREE(memory) mem_free(memory)
#endif

/* 0: no reaching of others' services (rit_lwip_reach, rit_lwip_connect), for devices. */
#ifndef RIT_LWIP_REACH
#define RIT_LWIP_REACH 1
#endif

/* 0: no UDP services, neither offered nor reached: as if the device did not offer them. */
#ifndef RIT_LWIP_FLOWS
#define RIT_LWIP_FLOWS 1
#endif

/* Bytes moved from a stream to TCP at once. */
#ifndef RIT_LWIP_CHUNK
#define RIT_LWIP_CHUNK TCP_MSS
#endif

/* 1: packets are given to the network interface as PBUF_REF, without a copy; for drivers that have
 * copied or sent a packet when linkoutput returns, or that copy what PBUF_NEEDS_COPY says before
 * they queue it. The library uses the memory again for the next packet. */
#ifndef RIT_LWIP_SEND_REF
#define RIT_LWIP_SEND_REF 0
#endif

/* Errors of this port, beside those of rit.h. Numbers are never used twice. */
enum {
    /* lwIP has no more of something: a udp_pcb, an address. */
    RIT_LWIP_ERR_SYSTEM = -1000,
    /* A host name does not resolve, or there is no LWIP_DNS; it is tried again. */
    RIT_LWIP_ERR_RESOLVE = -1002,
    /* No loopback address and port could be listened on for a service. */
    RIT_LWIP_ERR_LISTEN = -1003,
    /* The device does not offer this service. */
    RIT_LWIP_ERR_SERVICE = -1004
};

typedef struct rit_lwip rit_lwip;

/* What happened. Numbers are never used twice. */
enum rit_lwip_event_type {
    RIT_LWIP_BROKER_ONLINE = 1,  /* the broker answered and knows this node */
    RIT_LWIP_BROKER_OFFLINE = 2, /* error: why; tried again without being asked */
    RIT_LWIP_ENROLLED = 3,       /* the enrol code was accepted; it is not needed again */
    RIT_LWIP_ENROL_REFUSED = 4,  /* error: why; not tried again */
    RIT_LWIP_SESSION_UP = 5,     /* peer */
    RIT_LWIP_SESSION_DOWN = 6,   /* peer, error; opened again if it was asked for here */
    RIT_LWIP_LISTENING = 7,      /* peer, service, kind, address, port */
    RIT_LWIP_NOT_LISTENING = 8,  /* peer, service, error: RIT_LWIP_ERR_SERVICE or _LISTEN */
    RIT_LWIP_CONNECTION = 9,     /* peer, service, error: 0 open, else refused; TCP or a flow */
    RIT_LWIP_NETWORK_CHANGED = 10 /* own addresses */
};

/* Good only during the call that tells it. */
struct rit_lwip_event {
    enum rit_lwip_event_type type;
    int error;           /* 0 or why, for rit_lwip_strerror */
    const uint8_t *peer; /* RIT_KEY_LEN bytes, or NULL */
    const char *service; /* or NULL */
    uint8_t address[4];  /* where it listens, 127.x.y.z */
    uint16_t port;
    uint16_t kind;       /* RIT_SERVICE_TCP or RIT_SERVICE_UDP */
};

/* Set everything that is not used to 0. Copied but for what it points to. */
struct rit_lwip_config {
    void *ctx; /* handed back in every call */
    /* REQUIRED. As in rit.h: len bytes from a true random source, 0; else no node. */
    int32_t (*entropy)(void *ctx, uint8_t *out, size_t len);
    /* OPTIONAL, together. As in rit.h: where the identity is kept. Without them it is a new one
     * each time, which has to be enrolled anew. */
    int32_t (*load)(void *ctx, uint32_t slot, uint8_t *buf, size_t cap);
    int32_t (*store)(void *ctx, uint32_t slot, const uint8_t *buf, size_t len);
    /* OPTIONAL. Microseconds, never going back; NULL: sys_now() and its 1000 a second. */
    uint64_t (*now_us)(void *ctx);
    /* OPTIONAL. What happened. Any function may be called from there but rit_lwip_free. */
    void (*event)(void *ctx, rit_lwip *port, const struct rit_lwip_event *event);
    /* OPTIONAL. A line for people, without its end, at a level RIT_LOG_*. It calls no port. */
    void (*log)(void *ctx, int32_t level, const char *msg);
    /* Limits of the node; NULL: those of rit_config_init. */
    const struct rit_config *node;
    /* UDP port; 0: any, which with LWIP_RAND is another one after a reset. Who had a session then
     * sends to the old one, where nobody says that it is over, and opens it again only after its
     * idle timeout (rit_config.idle_timeout_ms), 30 s; broker and others see the new one at once.
     * At the same port as before, that takes a second. */
    uint16_t udp_port;
    /* Connections and flows at once, of either kind; further ones are refused. 0: 16. */
    uint16_t max_connections;
};

/* Makes the node and its UDP socket; the first time, its identity too. The network interface may
 * come later. NULL on failure, with the reason in *err. */
rit_lwip *rit_lwip_new(const struct rit_lwip_config *config, int *err);

/* Closes every connection, listener and session. Not from a callback. NULL is fine. */
void rit_lwip_free(rit_lwip *port);

/* The node, for rit_node_public_key, rit_peer_allow, rit_node_stats and the like, and for streams
 * of callbacks (below). It lives as long as the port. Its events are the port's: fetch none. */
rit_node *rit_lwip_node(rit_lwip *port);

/* Connects to the broker at a rit:// address, and stays connected. A name is resolved by lwIP and
 * asked for again until it is; that is told as BROKER_OFFLINE with RIT_LWIP_ERR_RESOLVE. The enrol
 * code is needed once; NULL when this identity is enrolled already. Both are copied. */
int rit_lwip_broker(rit_lwip *port, const char *uri, const char *enrol_code);

/* Offers a TCP service under a name (1..63 of a-z 0-9 - _ .) to the peers that are allowed: each of
 * their connections becomes one to address:service_port. NULL: 127.0.0.1, which is in this lwIP. */
int rit_lwip_offer(rit_lwip *port, const char *name, const ip_addr_t *address,
                   uint16_t service_port);

/* The same for a UDP service, which may have the name of a TCP service: each address that one of
 * their clients sends from becomes a udp_pcb of its own here. It ends when nothing was sent either
 * way for two minutes. What does not fit through is dropped, as UDP does. */
int rit_lwip_offer_udp(rit_lwip *port, const char *name, const ip_addr_t *address,
                       uint16_t service_port);

/* A service, or a connection to one, without TCP. Streams are read and written by rit_stream_read,
 * rit_stream_write and rit_stream_finish of rit_lwip_node(port), which never wait; what is not read
 * stops the peer, and what is not taken is the caller's to keep. `conn` is what `open` set, or what
 * rit_lwip_connect was given. Whoever calls these outside of a callback calls rit_lwip_run
 * afterwards. */
struct rit_lwip_callbacks {
    /* OPTIONAL. A peer asks for the service: 0, or RIT_REFUSED_* to refuse. ctx: of
     * rit_lwip_serve; *conn is NULL and may be set. */
    int32_t (*open)(void *ctx, rit_lwip *port, rit_stream stream, const uint8_t *peer,
                    void **conn);
    /* REQUIRED. There are bytes to read, or the end: read until RIT_ERR_AGAIN. */
    void (*readable)(void *conn, rit_lwip *port, rit_stream stream);
    /* OPTIONAL. Bytes can be written: at first, and again after a write that took less. */
    void (*writable)(void *conn, rit_lwip *port, rit_stream stream);
    /* OPTIONAL. It is over: reset or stopped by the peer, refused, or its session is down. The
     * handle is not good any more, and nothing else will be called. */
    void (*closed)(void *conn, rit_lwip *port, rit_stream stream, int error);
};

/* Offers a service of callbacks. service_port: the port people know such a service by, or 0.
 * callbacks: kept, must live as long as the port. */
int rit_lwip_serve(rit_lwip *port, const char *name, uint16_t service_port,
                   const struct rit_lwip_callbacks *callbacks, void *ctx);

/* Ends a stream of callbacks, from a callback or outside; the handle is not good any more, and
 * `closed` is not called. What was written still arrives, and what the peer still sends is thrown
 * away; to end both sides at once, rit_stream_reset first. */
int rit_lwip_close(rit_lwip *port, rit_stream stream);

/* Takes the events that calls of rit_stream_* outside of callbacks have caused. */
void rit_lwip_run(rit_lwip *port);

#if RIT_LWIP_REACH
/* Reaches a service of a device, TCP, UDP, or both of that name: opens a session to it, again
 * whenever that ends (after 1 s, then longer, to 30 s), and listens for the service at its own
 * loopback address in this lwIP, which is the same in every run. listen_port 0: the service's own.
 * Where it listens is told by RIT_LWIP_LISTENING. A connection that comes while there is no session
 * waits 3 s for one and is then reset, as is one that the device's service refuses. Needs
 * LWIP_NETIF_LOOPBACK. */
int rit_lwip_reach(rit_lwip *port, const uint8_t device[RIT_KEY_LEN], const char *service,
                   uint16_t listen_port);

/* Connects to a TCP service of a device by callbacks; opens a session if there is none. `writable`
 * follows once the stream is there, or `closed` within 10 s. callbacks: kept until then. */
int rit_lwip_connect(rit_lwip *port, const uint8_t device[RIT_KEY_LEN], const char *service,
                     const struct rit_lwip_callbacks *callbacks, void *conn);
#endif

/* The words for a number that a function or an event gave. Static. */
const char *rit_lwip_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif
