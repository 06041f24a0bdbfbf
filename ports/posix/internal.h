/* internal.h: what the files of this port share. Not for users of the port.
 *
 * system.c owns clock, entropy, files and the log; udp.c the node's UDP sockets; sockets.c those
 * that it has for a while; lan.c those that hear multicast; tcp.c its TCP connections for where UDP
 * is blocked; network.c own addresses and that they change; portmap.c what is said to the router;
 * loop.c the poll loop; reach.c the devices that are reached, and their sessions; bridge.c
 * connectors and the relay between TCP and streams, conns.c their table; flow.c the same between UDP
 * and flows; places.c at which addresses services are listened for; users.c whose connections are
 * taken; names.c names of hosts; offers.c what is offered here; neighbours.c which neighbours may
 * be; broker.c when broker and gateway are called, where.c at which addresses, gateway.c how one is
 * found, mdns.c what is said for that. Invariant: every descriptor is non-blocking and close-on-exec.
 */
#ifndef RIT_POSIX_INTERNAL_H
#define RIT_POSIX_INTERNAL_H

#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

#include "rit_posix.h"

#define RITP_PATHS_MAX 8       /* addresses of a broker, and own ones told to it: rit.h's limit */
#define RITP_OWN_MAX 16        /* own addresses of a family that are looked at */
#define RITP_TCP_MAX 8         /* connections of the node: rit.h's limit */
#define RITP_TLS_PORT 443      /* of a broker, if the user says nothing */
#define RITP_PINS_MAX 32       /* see struct ritp_pin */
#define RITP_PORTMAP_LEN 60    /* the longest request to a router */
#define RITP_ADDRESSES_MAX 4   /* addresses tried for one offered service */
#define RITP_FOUND_MAX 6       /* taken of one name; a broker's leave room for two by TCP */
#define RITP_EVENTS_MAX 128    /* see rit_posix_next */
#define RITP_BUFFER 131072     /* relayed at once in each direction of a connection */
#define RITP_SERVICE_BUFFER (1 << 20) /* of UDP services' sockets: a burst of video waits in it */
#define RITP_PLACES_MAX 4096   /* services whose addresses are remembered */
#define RITP_PLACES_OF_DEVICE_MAX 256
#define RITP_AUTO_MAX 64       /* services of a device listened for because it offers them */
#define RITP_HASH 4096         /* buckets; a power of two */
#define RITP_SOCKETS_MAX 512   /* numbers of sockets beside the node's own */
#define RITP_LANS_MAX 16       /* interfaces that are listened on, counted once for each family */
#define RITP_HOST_LEN 256      /* of a broker's or gateway's address, with the NUL */
#define RITP_CODE_LEN 65       /* of an enrol code, with the NUL */
#define RITP_TAG_LEN 8         /* of a gateway's key in text, by which it is told from others */
#define RITP_MDNS_QUERY_LEN 33
#define RITP_NEVER UINT64_MAX

struct ritp_address {
    struct sockaddr_storage at;
    socklen_t len;
};

/* What came of looking a name up. */
struct ritp_found {
    int failed; /* of getaddrinfo() */
    size_t count;
    struct ritp_address addresses[RITP_FOUND_MAX];
};

/* A device that is reached. */
struct ritp_peer {
    struct ritp_peer *next;
    uint8_t device[RIT_KEY_LEN];
    rit_session session; /* 0: none */
    int is_up;
    unsigned failures;   /* since the last session that came up and was not refused */
    uint64_t retry_us;
};

/* By which a device may be used. */
struct ritp_grant {
    struct ritp_grant *next;
    uint8_t device[RIT_KEY_LEN];
    size_t len;
    uint8_t chain[RIT_CHAIN_MAX];
};

/* A service that is, or shall be, listened for. */
struct ritp_want {
    struct ritp_want *next;
    struct ritp_peer *peer;
    char service[RIT_POSIX_NAME_LEN]; /* "": stands for all that the device offers */
    uint16_t listen_port;
    int fd;                           /* -1: not listening */
    int poll;                         /* its place in the poll array; -1: none */
    int is_auto;                      /* by one for all that the device offers */
    uint64_t paused_until_us;         /* no connection is accepted before */
    uint64_t refused_again_us;        /* another user's connection is not told before */
    int udp_fd, udp_poll;             /* the same for UDP */
    uint64_t udp_paused_until_us;
};

/* A service offered here. */
struct ritp_offer {
    struct ritp_offer *next;
    rit_service_id id;
    char name[RIT_POSIX_NAME_LEN];
    struct ritp_address addresses[RITP_ADDRESSES_MAX];
    size_t address_count;
    uint16_t kind, port;
    int is_neighbour;  /* else it is this host's own */
    int is_silent;     /* the last connection to the neighbour failed */
    uint64_t full_us;  /* when as many connections as in a second can begin at once again */
    char *host;        /* to be looked up again; NULL: it was an address */
    int look_fd;       /* a thread answers there; -1: none */
    int look_poll;     /* its place in the poll array; -1: none */
    uint64_t look_after_us;
    uint64_t refused_again_us; /* a refusal by a limit is not told before */
};

/* A session that is up, to know whose it was when it ends. */
struct ritp_session {
    struct ritp_session *next;
    rit_session id;
    uint8_t peer[RIT_KEY_LEN];
};

/* Received in one call of the system at the most; each has 64 KiB for it. */
#define RITP_TRAINS_MAX 8

/* Datagrams that came coalesced into one, end to end. */
struct ritp_train {
    uint8_t *bytes;
    size_t len;
    size_t size; /* of each but the last */
    struct rit_path from;
};

/* A path that the node sends to by a certain interface: what comes back by that one is said to. To
 * all others a datagram's interface says nothing: a path without one is whichever it comes by. */
struct ritp_pin {
    uint8_t ip[16];
    uint16_t port;
    uint32_t ifindex; /* 0: an empty place */
};

/* A TCP connection of the node's. */
struct ritp_tcp {
    struct rit_path path;
    int fd;      /* -1: an empty place */
    int poll;    /* its place in the poll array; -1: none */
    int is_up;   /* else it is being made */
    int is_full; /* it took less than it was given */
};

/* A UDP socket beside the node's own. */
struct ritp_socket {
    uint16_t number;          /* rit_path.socket */
    int which;                /* 0: IPv4, 1: IPv6 */
    int fd;
    int poll;                 /* its place in the poll array; -1: none */
    int is_ready, was_heard;  /* may have datagrams; ever had */
    int is_dead;              /* to be closed */
    uint64_t sent_us;
};

/* A socket that hears what goes to a group on an interface. */
struct ritp_lan {
    int which;        /* 0: IPv4, 1: IPv6 */
    uint32_t ifindex;
    int fd;           /* -1: it cannot be joined */
    int poll;         /* its place in the poll array; -1: none */
    int is_ready;
};

/* The conversation with a router about one UDP port. */
struct ritp_portmap {
    int phase;
    unsigned tries;           /* requests in this phase */
    uint64_t due_us;          /* of the next request */
    uint8_t nonce[12];
    uint8_t client[4];        /* own address on the way to the router */
    uint16_t inner_port;
    int is_mapped, is_pcp;    /* a mapping is held, and by which protocol */
    uint8_t outer_ip[4];      /* of the mapping; of the last one to suggest it again */
    uint16_t outer_port;
    uint64_t expires_us;
    uint8_t told_ip[4];       /* by NAT-PMP, before there is a mapping */
    int has_epoch;
    uint32_t epoch_s;         /* the router's clock, and when it said so */
    uint64_t epoch_at_us;
};

enum ritp_conn_state {
    RITP_WAITING,    /* accepted here; no stream yet */
    RITP_CONNECTING, /* to the service; the stream is not answered */
    RITP_ANSWERING,  /* connected to the service; the answer did not fit into the stream yet */
    RITP_OPEN
};

/* What one direction holds. */
struct ritp_buffer {
    size_t at, len;
    uint8_t bytes[RITP_BUFFER];
};

struct ritp_conn {
    struct ritp_conn *next_by_stream;
    size_t index; /* in port->conns */
    enum ritp_conn_state state;
    int fd;       /* -1: none */
    int poll;
    rit_session session;
    rit_stream stream;           /* 0: none */
    struct ritp_want *want;      /* reaching side */
    struct ritp_offer *offer;    /* device side */
    size_t address;              /* of the offer's, being tried */
    uint64_t due_us, give_up_us; /* when to try again, until when */
    int tcp_has_ended, stream_has_ended;     /* its peer sent the end of its bytes */
    int is_finished, is_shut;                /* which was handed on */
    int is_blocked;                          /* the stream takes no bytes now */
    int is_readable;                         /* the stream may have bytes */
    int tcp_is_readable;                     /* and so may TCP */
    int has_hung_up;                         /* poll() would only say so again */
    struct ritp_buffer up, down;             /* to the stream, to TCP */
};

/* Where a broker or a gateway is. */
struct ritp_where {
    uint8_t key[RIT_KEY_LEN];
    char host[RITP_HOST_LEN]; /* "": there is none */
    uint16_t number;
    const char *file;         /* of the state folder, with the addresses where it was met */
    int is_literal;           /* the host is an address */
    int is_resolved;
    struct rit_path paths[RITP_PATHS_MAX];
    size_t count;
    int fd;                   /* of the thread that resolves the name; -1: none does */
    uint64_t ask_us;          /* when to have it resolved again */
};

struct ritp_gateway; /* gateway.c */
struct ritp_place; /* places.c */
struct ritp_flow; /* flow.c */
struct ritp_rule; /* neighbours.c */

struct rit_posix {
    rit_node *node;
    int32_t log_level;
    void (*log)(void *ctx, int32_t level, const char *msg);
    void *log_ctx;
    int32_t (*attest)(void *, const uint8_t *, uint8_t *, size_t);
    int32_t (*check_attestation)(void *, const uint8_t *, const uint8_t *, const uint8_t *, size_t);
    void *attest_ctx;
    int (*take_event)(void *, const struct rit_event *);
    void *event_ctx;

    /* system.c */
    char *state_dir;
    int dir_fd, lock_fd;

    /* network.c */
    int has_loopback_broker;
    struct rit_path own[2 * RITP_OWN_MAX];
    size_t own_count;
    struct rit_path told[RITP_PATHS_MAX]; /* to the node */
    size_t told_count;
    uint64_t looked_us;
    int news_fd;             /* rtnetlink; -1: none */
    int has_new_route;
    uint64_t news_first_us, news_last_us; /* of the burst that is on; 0: none */
    uint64_t slept_us;
    int maps;                /* a port mapping is wanted */
    int router_fd;           /* -1: there is nobody to ask */
    struct sockaddr_in router;
    struct ritp_portmap map;

    /* udp.c */
    int udp[2]; /* IPv4, IPv6; -1: none */
    uint16_t udp_port[2];
    int udp_poll[2];     /* their places in the poll array */
    int udp_is_ready[2]; /* may have datagrams */
    int has_dead_socket; /* one of them has to be opened again */
    struct ritp_pin pins[RITP_PINS_MAX];
    size_t pin_count, pin_next;
    /* What the kernel refused. */
    int sends_no_trains, sends_one_by_one, sends_no_marks, receives_one_by_one;
    uint8_t *train_bytes;
    struct ritp_train trains[RITP_TRAINS_MAX];

    /* tcp.c */
    uint16_t tls_port;
    struct ritp_tcp tcp[RITP_TCP_MAX];

    /* sockets.c */
    struct ritp_socket *sockets; /* compact, in no order; NULL: there is none */
    size_t socket_count;
    struct ritp_socket identify[2]; /* IPv4, IPv6; fd -1: not open */

    /* lan.c */
    int has_multicast;
    struct ritp_lan lans[RITP_LANS_MAX];
    size_t lan_count;
    int lan_has_failed; /* which was logged */

    /* reach.c */
    struct ritp_peer *peers;
    struct ritp_grant *grants;
    struct ritp_want *wants;
    struct ritp_session *sessions;

    /* broker.c */
    struct ritp_where broker;
    char code[RITP_CODE_LEN];
    uint64_t broker_news_us; /* the node is to be told of other addresses then; 0: it knows */
    int is_broker_online, is_gateway_online;

    /* gateway.c */
    struct ritp_gateway *gateway; /* NULL: there is none */

    /* loop.c */
    int is_online; /* either is */
    int has_more; /* work was left over: do not wait */
    struct rit_posix_event events[RITP_EVENTS_MAX];
    size_t event_at, event_count;
    struct pollfd *polls;
    size_t poll_count, poll_room;

    /* offers.c, neighbours.c */
    struct ritp_offer *offers;
    struct ritp_rule *rules;
    uint32_t neighbour_connections, neighbour_rate; /* 0: as usual */

    /* bridge.c */
    struct ritp_conn *by_stream[RITP_HASH];
    struct ritp_conn **conns; /* compact, in no order */
    size_t conn_count, conn_room;
    uint64_t accept_after_us; /* out of descriptors until then */

    /* places.c */
    struct ritp_place *places; /* in the order in which they were chosen */
    size_t place_count;
    int places_have_changed;

    /* users.c */
    int users_fd; /* -1: everybody is served */
    uint32_t users_seq;

    /* flow.c */
    struct ritp_flow *flows; /* compact, in no order */
    size_t flow_count;
    uint8_t *flow_buf;
};

#include "functions.h"

#endif
