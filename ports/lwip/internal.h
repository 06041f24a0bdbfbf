/* internal.h: what the files of this port share. Not for users of the port.
 *
 * node.c owns the UDP socket, time, own addresses and the node's events; broker.c the broker and
 * its name; bridge.c connections, TCP or callbacks on one side and a stream on the other; relay.c
 * the bytes between TCP and a stream; offer.c services that are offered, and connections to them
 * until they are accepted; connect.c services that are reached, their sessions and listeners, and
 * connections to them until they have a stream; flow.c UDP services of either kind. Invariants: the
 * library is called in lwIP's core context and never from inside one of its callbacks; every event
 * is fetched by ritl_pump; one sys_timeout serves all deadlines.
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
#define RITL_ROUNDS_MAX 8     /* pieces moved before others have their turn */
#define RITL_RETRY_US 20000u  /* after a limit or lack of memory that passes by itself */

/* Whether there can be loopback addresses of services that are reached. */
#define RITL_HAS_LISTENERS \
    (RIT_LWIP_REACH && ENABLE_LOOPBACK && LWIP_IPV4 && !LWIP_SINGLE_NETIF)

/* Ways of a relay. */
#define RITL_UP 1u   /* to the stream */
#define RITL_DOWN 2u /* to TCP */

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

enum ritl_conn_state {
    RITL_WAITING,      /* accepted or asked for here; no stream yet */
    RITL_CONNECTING,   /* to the service; the stream is not answered */
    RITL_ANSWERING,    /* connected to the service; the answer did not fit into the stream yet */
    RITL_OPEN,
    RITL_CLOSING_DOWN, /* its user is done, its peer not yet: what that sends is thrown away */
    RITL_GONE          /* to be freed */
};

/* A TCP connection or one of callbacks, and its stream. */
struct ritl_conn {
    struct ritl_conn *next;
    struct rit_lwip *port;
    enum ritl_conn_state state;
    rit_session session;
    rit_stream stream;              /* 0: none */
    const struct ritl_offer *offer; /* device side */
    struct ritl_want *want;         /* reaching side */
    const struct rit_lwip_callbacks *calls; /* or TCP: */
    void *ctx;
    struct tcp_pcb *pcb;            /* NULL: none, or none any more */
    struct pbuf *up, *down;         /* to the stream, to TCP; what is left of it */
    uint64_t due_us, give_up_us;    /* when to try again, until when */
    int tcp_has_ended, stream_has_ended; /* its peer sent the end of its bytes */
    int is_finished, is_shut;            /* which was handed on */
    int is_blocked;                      /* the stream takes no bytes now */
    int is_readable;                     /* the stream may have bytes */
    int has_failed;                      /* lwIP gave the connection up */
};

struct ritl_broker; /* broker.c */
struct ritl_flow;   /* flow.c */

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
    struct ritl_session *sessions;
    struct rit_path told[RITL_PATHS_MAX]; /* own addresses, to the node */
    size_t told_count;

    struct ritl_broker *broker; /* broker.c; NULL: none */
    struct ritl_offer *offers;  /* offer.c */

    /* bridge.c */
    struct ritl_conn *conns;
    unsigned conn_count;        /* with flows */
    unsigned walkers;           /* see ritl_enter */
    struct tcp_pcb *calling;    /* lwIP is in a callback of this one, */
    int was_aborted;            /* and has to be told if it is gone */

    /* connect.c */
    struct ritl_peer *peers;
    struct ritl_want *wants;

    struct ritl_flow *flows;    /* flow.c */
};

/* ---- node.c */

uint64_t ritl_now_us(struct rit_lwip *port);
/* The ritl_*_run are called at this time, or before. */
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
void ritl_set_path(struct rit_path *path, const ip_addr_t *address, uint16_t number);

/* ---- broker.c */

void ritl_broker_event(struct rit_lwip *port, const struct rit_event *event);
/* Has the name resolved if it is time to. */
void ritl_broker_run(struct rit_lwip *port, uint64_t now_us);
void ritl_broker_free(struct rit_lwip *port);

/* ---- bridge.c */

/* Around whatever may drop a connection: it is freed when the last is left. */
void ritl_enter(struct rit_lwip *port);
void ritl_leave(struct rit_lwip *port);
/* What every callback of lwIP's but that for errors begins and ends with. */
void ritl_tcp_enter(struct rit_lwip *port, struct tcp_pcb *pcb);
err_t ritl_tcp_leave(struct rit_lwip *port);
/* Room for one more connection or flow. */
int ritl_has_room(const struct rit_lwip *port);
/* A connection in the list; NULL: there can be none. */
struct ritl_conn *ritl_conn_add(struct rit_lwip *port, rit_session session);
void ritl_conn_attach(struct ritl_conn *conn, struct tcp_pcb *pcb);
/* lwIP calls nothing for it any more. */
struct tcp_pcb *ritl_conn_detach(struct ritl_conn *conn);
void ritl_conn_tell(struct rit_lwip *port, const struct ritl_conn *conn, int error);
void ritl_conn_refuse(struct rit_lwip *port, struct ritl_conn *conn, int32_t refusal);
/* Both directions end at once: RST to TCP, reset and stop to the stream. */
void ritl_conn_abort(struct rit_lwip *port, struct ritl_conn *conn, int error);
/* Without a word to the stream or to its user; RST to TCP. */
void ritl_conn_drop(struct rit_lwip *port, struct ritl_conn *conn);
/* It is run again after RITL_RETRY_US, or once others had their turn. */
void ritl_conn_later(struct rit_lwip *port, struct ritl_conn *conn);
void ritl_conn_next(struct rit_lwip *port, struct ritl_conn *conn);
void ritl_bridge_event(struct rit_lwip *port, const struct rit_event *event);
void ritl_bridge_session_down(struct rit_lwip *port, rit_session session, int error);
/* Does what is due. */
void ritl_bridge_run(struct rit_lwip *port, uint64_t now_us);
void ritl_bridge_free(struct rit_lwip *port);

/* ---- relay.c */

/* Moves what can be moved, RITL_UP, RITL_DOWN or both; it may be gone afterwards. */
void ritl_relay(struct rit_lwip *port, struct ritl_conn *conn, unsigned ways);

/* ---- offer.c */

const struct ritl_offer *ritl_find_offer(const struct rit_lwip *port, rit_service_id id);
void ritl_offer_incoming(struct rit_lwip *port, const struct rit_event *event);
/* Connects to the service, and accepts the stream; either may have to be tried again. */
void ritl_offer_connect(struct rit_lwip *port, struct ritl_conn *conn);
void ritl_offer_answer(struct rit_lwip *port, struct ritl_conn *conn);
/* After what uses offers. */
void ritl_offer_free(struct rit_lwip *port);

/* ---- connect.c */

#if RIT_LWIP_REACH
/* Has the stream opened, now or once its session is up. */
void ritl_open_stream(struct rit_lwip *port, struct ritl_conn *conn);
#endif
void ritl_connect_session_up(struct rit_lwip *port, rit_session session);
void ritl_connect_session_down(struct rit_lwip *port, rit_session session);
void ritl_connect_run(struct rit_lwip *port, uint64_t now_us);
/* After the bridge's and the flows', which refer to what is reached. */
void ritl_connect_free(struct rit_lwip *port);

/* ---- flow.c */

#if RIT_LWIP_FLOWS && RITL_HAS_LISTENERS
/* Listens for a UDP service at its loopback address; 0, or -1. */
int ritl_flow_listen(struct ritl_want *want, uint16_t number);
#endif
void ritl_flow_event(struct rit_lwip *port, const struct rit_event *event);
void ritl_flow_session_down(struct rit_lwip *port, rit_session session);
/* Takes what waited, ends what is over. */
void ritl_flow_run(struct rit_lwip *port);
void ritl_flow_free(struct rit_lwip *port);

#endif
