/* internal.h: what the files of this port share. Not for users of the port.
 *
 * node.c owns the UDP socket, time, own addresses, the broker and the node's events; bridge.c
 * offers and what moves between streams and TCP or callbacks; connect.c sessions opened here,
 * listeners and flows. Invariants: the library is called in lwIP's core context and never from
 * inside one of its callbacks; every event is fetched by ritl_pump; one sys_timeout serves all
 * deadlines.
 */
#ifndef RIT_LWIP_INTERNAL_H
#define RIT_LWIP_INTERNAL_H

#include <stddef.h>
#include <string.h>

#include "lwip/netif.h"
#include "lwip/opt.h"
#include "lwip/pbuf.h"
#include "lwip/tcp.h"
#include "lwip/udp.h"
#include "rit_lwip.h"

#if !LWIP_UDP || !LWIP_TCP || !LWIP_TIMERS || !LWIP_CALLBACK_API
#error "rit_lwip needs LWIP_UDP, LWIP_TCP, LWIP_TIMERS and LWIP_CALLBACK_API"
#endif

#define RITL_PATHS_MAX 8      /* addresses of a broker, and own ones told to it: rit.h's limit */
#define RITL_NEVER UINT64_MAX
#define RITL_RETRY_US 20000u  /* after a limit or lack of memory that passes by itself */

/* A service offered here: to be connected to, or of callbacks. */
struct ritl_offer {
    struct ritl_offer *next;
    rit_service_id id;
    const struct rit_lwip_callbacks *calls; /* NULL: address and port */
    void *ctx;
    ip_addr_t address;
    uint16_t port;
    char name[RIT_SERVICE_NAME_MAX];
};

/* A device that is reached. */
struct ritl_peer {
    struct ritl_peer *next;
    uint8_t device[RIT_KEY_LEN];
    rit_session session; /* 0: none */
    int is_up;
    unsigned failures; /* since the last session that came up */
    uint64_t retry_us;
};

/* A service of a device that is listened for, or connected to. */
struct ritl_want {
    struct ritl_want *next;
    struct rit_lwip *port;
    struct ritl_peer *peer;
    int listens;             /* or is only connected to */
    uint16_t listen_port;
    int has_netif;
    struct netif netif;      /* has its loopback address */
    struct tcp_pcb *tcp;
    struct udp_pcb *udp;
    uint64_t udp_paused_until_us;
    char service[RIT_SERVICE_NAME_MAX];
};

/* A session that is up, to know whose it was when it ends. */
struct ritl_session {
    struct ritl_session *next;
    rit_session id;
    uint8_t peer[RIT_KEY_LEN];
};

/* What is known of the broker; apart from the port, as lwIP's resolver cannot be called off. */
struct ritl_broker {
    struct rit_lwip *port; /* NULL: freed meanwhile */
    int is_asking;         /* the resolver has it */
    int is_name;
    uint64_t ask_us;       /* when to resolve the name again */
    uint8_t key[RIT_KEY_LEN];
    uint16_t number;
    char code[65];
    char host[];
};

struct ritl_conn; /* bridge.c */
struct ritl_flow; /* connect.c */

struct rit_lwip {
    struct rit_lwip *next; /* of all there are */
    struct rit_lwip_config config;
    rit_node *node;

    /* node.c */
    struct udp_pcb *udp;
    struct pbuf *chain;         /* for rit_io.recv, and where it came from */
    struct rit_path chain_from;
    uint32_t last_ms;           /* sys_now() at the last look, and all of it */
    uint64_t clock_ms;
    uint64_t node_due_us, due_us; /* the node's deadline, the port's own */
    uint64_t armed_us;          /* when the sys_timeout comes; RITL_NEVER: none */
    uint64_t look_us;           /* at the own addresses */
    int is_pumping, is_timing;    /* inside ritl_pump, the sys_timeout */
    int is_online;
    struct ritl_broker *broker;
    struct ritl_session *sessions;
    struct rit_path told[RITL_PATHS_MAX]; /* own addresses, to the node */
    size_t told_count;

    /* bridge.c */
    struct ritl_offer *offers;
    struct ritl_conn *conns;
    unsigned conn_count;        /* with flows */
    unsigned walkers;           /* see ritl_enter */
    struct tcp_pcb *calling;    /* lwIP is in a callback of this one, */
    int was_aborted;            /* and has to be told if it is gone */

    /* connect.c */
    struct ritl_peer *peers;
    struct ritl_want *wants;
    struct ritl_flow *flows;
};

/* ---- node.c */

uint64_t ritl_now_us(struct rit_lwip *port);
/* ritl_bridge_run and ritl_connect_run are called at this time, or before. */
void ritl_wake(struct rit_lwip *port, uint64_t at_us);
/* Fetches the node's events; after everything that calls the node. */
void ritl_pump(struct rit_lwip *port);
void ritl_tell(struct rit_lwip *port, enum rit_lwip_event_type type, int error, const uint8_t *peer,
               const char *service);
/* 0-filled; NULL: no memory. */
void *ritl_new(size_t size);
uint32_t ritl_random(struct rit_lwip *port);
/* The peer of a session, or NULL. */
const uint8_t *ritl_peer_of(const struct rit_lwip *port, rit_session session);

/* ---- bridge.c */

/* Around whatever may drop a connection: it is freed when the last is left. */
void ritl_enter(struct rit_lwip *port);
void ritl_leave(struct rit_lwip *port);
const struct ritl_offer *ritl_find_offer(const struct rit_lwip *port, rit_service_id id);
/* Room for one more connection or flow. */
int ritl_has_room(const struct rit_lwip *port);
void ritl_bridge_event(struct rit_lwip *port, const struct rit_event *event);
void ritl_bridge_session_down(struct rit_lwip *port, rit_session session, int error);
/* Does what is due. */
void ritl_bridge_run(struct rit_lwip *port, uint64_t now_us);
void ritl_bridge_free(struct rit_lwip *port);
#if RIT_LWIP_REACH
/* A listener's callback: arg is the struct ritl_want. */
err_t ritl_on_accept(void *arg, struct tcp_pcb *pcb, err_t err);
/* A connection of callbacks that waits for the peer's session. */
int ritl_connect(struct rit_lwip *port, struct ritl_want *want,
                 const struct rit_lwip_callbacks *calls, void *ctx);
int ritl_is_waited_for(const struct rit_lwip *port, const struct ritl_peer *peer);
/* The peer's session is up: those that wait for it go on. */
void ritl_bridge_session_up(struct rit_lwip *port, const struct ritl_peer *peer);
#endif

/* ---- connect.c */

void ritl_connect_run(struct rit_lwip *port, uint64_t now_us);
void ritl_connect_session_up(struct rit_lwip *port, rit_session session);
void ritl_connect_session_down(struct rit_lwip *port, rit_session session);
void ritl_flow_event(struct rit_lwip *port, const struct rit_event *event);
/* Before the bridge's, and after it. */
void ritl_flow_free(struct rit_lwip *port);
void ritl_connect_free(struct rit_lwip *port);

#endif
