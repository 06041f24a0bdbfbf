/* internal.h: what the files of this port share. Not for users of the port.
 *
 * system.c owns clock, entropy, files and the log; udp.c the node's UDP sockets; sockets.c those
 * that it has for a while; lan.c those that hear multicast; tcp.c its TCP connections for where UDP
 * is blocked; network.c own addresses and that they change; portmap.c what is said to the router;
 * loop.c the poll loop; reach.c the devices that are reached, and their sessions; bridge.c
 * connectors and the relay between TCP and streams, conns.c their table; flow.c the same between UDP
 * and flows; places.c at which addresses services are listened for; users.c whose connections are
 * taken; offers.c what is offered here; neighbours.c which neighbours may be; broker.c when broker
 * and gateway are called, where.c at which addresses, gateway.c how one is found, mdns.c what is
 * said for that. Invariant: every descriptor is non-blocking and close-on-exec.
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

/* ---- system.c */

int ritp_system_open(struct rit_posix *port, const struct rit_posix_config *config);
void ritp_system_close(struct rit_posix *port);
void ritp_system_io(struct rit_posix *port, struct rit_io *io);
uint64_t ritp_now_us(void);
/* A file of the state folder: its length, 0: there is none; replaces it. -1: logged. */
int32_t ritp_load(struct rit_posix *port, const char *file, uint8_t *buf, size_t cap);
int ritp_store(struct rit_posix *port, const char *file, const uint8_t *buf, size_t len);
int ritp_random(uint8_t *out, size_t len);
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void ritp_log(struct rit_posix *port, int32_t level, const char *format, ...);
/* Non-blocking and close-on-exec; 0 or -1. */
int ritp_prepare_fd(int fd);
void ritp_no_delay(int fd);
/* Closes with an RST; what is unsent is forgotten. */
void ritp_close_with_reset(int fd);
/* Buffers of a socket, of so many bytes or as many as the system lets one have. */
void ritp_enlarge(int fd, int size);
/* A listening socket, or for SOCK_DGRAM a bound one; -1 and errno. */
int ritp_listen_at(const uint8_t address[4], uint16_t number, int type);
/* Whether a failed call was for lack of descriptors or memory, which passes. */
int ritp_is_short_of_room(int error);
/* Addresses of a host; 0 on success. *count is their number on return. */
int ritp_resolve(struct rit_posix *port, const char *host, uint16_t number, int type,
                 struct ritp_address *out, size_t room, size_t *count);
/* The same in any thread; answers as getaddrinfo does. */
int ritp_look_up(const char *host, uint16_t number, int type, struct ritp_address *out,
                 size_t room, size_t *count);
void ritp_path_from_address(struct rit_path *path, const struct sockaddr_storage *from);
int ritp_path_is_loopback(const struct rit_path *path);
socklen_t ritp_address_from_path(struct sockaddr_storage *out, const struct rit_path *path);

/* ---- udp.c */

int ritp_udp_open(struct rit_posix *port, uint16_t number);
/* Opens what is missing or dead, at the former port if that is free; whether any was. */
int ritp_udp_reopen(struct rit_posix *port);
void ritp_udp_close(struct rit_posix *port);
void ritp_udp_io(struct rit_io *io);
/* A socket of IPv4 (which 0) or IPv6 (1) at a port; 0: any, which is said then. -1 and errno. */
int ritp_udp_socket(int which, uint16_t *number);
/* Gives the node what arrived at the socket with this number, up to a limit; answers as it does. */
int ritp_udp_receive(struct rit_posix *port, int fd, uint16_t number, int *is_ready);

/* ---- sockets.c */

/* The one with this number, opened if it has to be; -1: there is none. */
int ritp_socket_for(struct rit_posix *port, uint16_t number, int which);
/* It has to be opened again. */
void ritp_socket_is_dead(struct rit_posix *port, uint16_t number);
/* Fills the poll array; when one is to be closed. */
int ritp_sockets_prepare(struct rit_posix *port, uint64_t now_us, uint64_t *wake_us);
/* What poll() found. */
void ritp_sockets_look(struct rit_posix *port);
/* Gives the node what arrived, up to a limit for each; answers as the node does. */
int ritp_sockets_receive(struct rit_posix *port);
void ritp_sockets_close(struct rit_posix *port);
/* The device may be found, or no more: RIT_IDENTIFY_PORT is opened or closed, and it is told. */
void ritp_cloak_event(struct rit_posix *port, const struct rit_event *event);

/* ---- lan.c */

/* Listens anew if the interfaces are others, or is_new. */
void ritp_lan_look(struct rit_posix *port, int is_new);
void ritp_lan_close(struct rit_posix *port);
/* Whether `to` is a group, and then the answer of rit_io.send: datagrams of `size` bytes. */
int ritp_lan_send(struct rit_posix *port, const struct rit_path *to, const uint8_t *pkts,
                  size_t len, size_t size, int32_t *answer);
/* Fills the poll array; what poll() found; gives the node what arrived, answers as it does. */
void ritp_lan_prepare(struct rit_posix *port);
void ritp_lan_polled(struct rit_posix *port);
int ritp_lan_receive(struct rit_posix *port);

/* Sends a datagram to a group from a socket, by an interface; 0 or -1. */
int ritp_lan_send_by(int fd, int which, uint32_t ifindex, const struct rit_path *to,
                     const uint8_t *pkt, size_t len);

/* ---- tcp.c */

void ritp_tcp_io(struct rit_io *io);
/* tls_port: of a broker; 0: the usual one. */
void ritp_tcp_open(struct rit_posix *port, uint16_t tls_port);
void ritp_tcp_close(struct rit_posix *port);
/* Adds to a broker's paths those by TCP, as far as there is room; how many there are then. */
size_t ritp_tcp_paths(const struct rit_posix *port, struct rit_path paths[RITP_PATHS_MAX],
                      size_t count);
/* Fills the poll array. */
void ritp_tcp_prepare(struct rit_posix *port);
/* Does what poll() found; answers as the node does. */
int ritp_tcp_run(struct rit_posix *port);

/* ---- network.c */

/* With the node made. maps: ask the router for a port. */
void ritp_network_open(struct rit_posix *port, int maps);
void ritp_network_close(struct rit_posix *port);
/* Tells the node its own addresses if they are others. */
void ritp_network_look(struct rit_posix *port, uint64_t now_us);
/* Fills the poll array; returns when there is something to do. */
uint64_t ritp_network_prepare(struct rit_posix *port);
void ritp_network_run(struct rit_posix *port, uint64_t now_us);
/* Takes rtnetlink's messages; a burst of what matters is noted. */
void ritp_network_news(struct rit_posix *port, const uint8_t *bytes, size_t len, uint64_t now_us);
/* Asks this router from now on. */
void ritp_router_open(struct rit_posix *port, const struct sockaddr_in *router, uint64_t now_us);

/* ---- where.c */

/* Of a rit:// address; `file` is its place in the state folder. */
int ritp_where_open(struct ritp_where *where, const char *uri, const char *file);
/* Has the name resolved and waits for that, so long at most; negative: as long as it takes. */
int ritp_where_resolve(struct rit_posix *port, struct ritp_where *where, int patience_ms);
/* Takes the addresses where it was met last, if they are of this key and host. */
void ritp_where_load(struct rit_posix *port, struct ritp_where *where);
/* It was met at these addresses. */
void ritp_where_keep(struct rit_posix *port, const struct ritp_where *where);
/* Fills the poll array; when there is something to do. is_needed: it is not there now. */
uint64_t ritp_where_prepare(struct rit_posix *port, struct ritp_where *where, int is_needed);
/* Does it; whether its addresses are others now. */
int ritp_where_run(struct rit_posix *port, struct ritp_where *where, int is_needed,
                   uint64_t now_us);
void ritp_where_close(struct ritp_where *where);

/* ---- broker.c */

uint64_t ritp_broker_prepare(struct rit_posix *port);
void ritp_broker_run(struct rit_posix *port, uint64_t now_us);
/* The broker, or the gateway, came or went. */
void ritp_broker_event(struct rit_posix *port, const struct rit_event *event);
void ritp_broker_close(struct rit_posix *port);
void ritp_look_for_loopback(struct rit_posix *port, const struct ritp_where *where);
void ritp_wipe(void *secret, size_t len);
/* Keeps an enrol code, or that there is none (NULL); RIT_ERR_ARG: it is too long. */
int ritp_keep_code(char kept[RITP_CODE_LEN], const char *code);

/* ---- gateway.c */

uint64_t ritp_gateway_prepare(struct rit_posix *port, uint64_t now_us);
void ritp_gateway_run(struct rit_posix *port, uint64_t now_us);
/* Asks the LAN now, if it is to be asked: the network is another. */
void ritp_gateway_ask_now(struct rit_posix *port, uint64_t now_us);
/* It came, or went, or could not be had, and why. */
void ritp_gateway_met(struct rit_posix *port, int error);
void ritp_gateway_close(struct rit_posix *port);

/* ---- mdns.c */

/* The question for gateways with this ID; its length. */
size_t ritp_mdns_query(uint16_t id, uint8_t out[RITP_MDNS_QUERY_LEN]);
/* The addresses that an answer with this ID has for gateways of this tag; how many. */
size_t ritp_mdns_answer(const uint8_t *in, size_t len, uint16_t id,
                        const char tag[RITP_TAG_LEN + 1], struct rit_path out[RITP_PATHS_MAX]);

/* ---- portmap.c */

void ritp_portmap_start(struct ritp_portmap *map, const uint8_t client[4], uint16_t inner_port,
                        const uint8_t nonce[12], uint64_t now_us);
/* Asks now instead of later, unless it is asking. */
void ritp_portmap_again(struct ritp_portmap *map, uint64_t now_us);
uint64_t ritp_portmap_deadline(const struct ritp_portmap *map);
/* Does what is due: the length of what to send, 0: nothing. */
size_t ritp_portmap_poll(struct ritp_portmap *map, uint8_t out[RITP_PORTMAP_LEN],
                         uint64_t now_us);
/* What came from the router; whether it was an answer. */
int ritp_portmap_take(struct ritp_portmap *map, const uint8_t *in, size_t len, uint64_t now_us);
/* The router says that nobody listens there. */
void ritp_portmap_unreachable(struct ritp_portmap *map, uint64_t now_us);
/* Ends it: the length of what to send so that the router forgets the mapping, 0: nothing. */
size_t ritp_portmap_release(struct ritp_portmap *map, uint8_t out[RITP_PORTMAP_LEN]);

/* ---- loop.c */

void ritp_tell(struct rit_posix *port, enum rit_posix_event_type type, int error,
               const uint8_t *peer, const char *service);
/* RIT_POSIX_CONNECTION of a peer's to a service that is offered here. */
void ritp_tell_offered(struct rit_posix *port, rit_session session, const char *service,
                       int error);
void ritp_tell_listening(struct rit_posix *port, const struct ritp_want *want, uint16_t kind,
                         const uint8_t address[4], uint16_t number);
void ritp_tell_mapped(struct rit_posix *port);
void ritp_tell_owner(struct rit_posix *port, const struct rit_event *event);

/* Whether the node is unusable. */
int ritp_is_fatal(int error);
/* A place in the poll array, or -1. */
int ritp_poll_add(struct rit_posix *port, int fd, short events);

/* ---- reach.c */

/* A device that is reached without a session is tried at once. */
void ritp_try_now(struct rit_posix *port, const uint8_t *device);
/* Opens what is due; returns when the next is. */
uint64_t ritp_open_sessions(struct rit_posix *port, uint64_t now_us);
void ritp_session_up(struct rit_posix *port, const struct rit_event *event);
void ritp_session_down(struct rit_posix *port, const struct rit_event *event);
/* Nothing is wanted any more; then closes sessions and forgets peers. */
void ritp_reach_leave_all(struct rit_posix *port);
void ritp_reach_free(struct rit_posix *port);

/* ---- grants.c */

/* Gives a target the chain that was set for its device, which stays the port's. */
void ritp_add_grant(struct rit_posix *port, struct rit_target *target);
void ritp_free_grants(struct rit_posix *port);

/* ---- places.c */

/* Starts to listen for a service that the device offers at this port; tells so, or why not. */
void ritp_listen(struct rit_posix *port, struct ritp_want *want, uint16_t kind,
                 uint16_t service_port);
void ritp_places_open(struct rit_posix *port);
/* Keeps what was chosen since the last time. */
void ritp_places_save(struct rit_posix *port);
void ritp_places_close(struct rit_posix *port);

/* ---- users.c */

void ritp_users_open(struct rit_posix *port, int own_user_only);
/* Whether an accepted connection is one's own user's or root's, or everybody is served. */
int ritp_is_own_user(struct rit_posix *port, int fd);
void ritp_users_close(struct rit_posix *port);

/* ---- conns.c: the table; the last one takes the place of one that is dropped */

struct ritp_conn *ritp_conn_find(struct rit_posix *port, rit_stream stream);
/* NULL: there is no room. */
struct ritp_conn *ritp_conn_add(struct rit_posix *port, rit_session session);
void ritp_conn_set_stream(struct rit_posix *port, struct ritp_conn *conn, rit_stream stream);
void ritp_conn_clear_stream(struct rit_posix *port, struct ritp_conn *conn);
void ritp_conn_drop(struct rit_posix *port, struct ritp_conn *conn);
/* How many there are to a service offered here, or (only_made) are being connected to it. */
size_t ritp_conn_count(const struct rit_posix *port, const struct ritp_offer *offer,
                       int only_made);

/* ---- bridge.c */

void ritp_bridge_event(struct rit_posix *port, const struct rit_event *event);
void ritp_bridge_session_down(struct rit_posix *port, rit_session session);
/* Ends the connections through it, and listens no more. */
void ritp_bridge_leave(struct rit_posix *port, const struct ritp_want *want);
/* Ends the connections to a service offered here. */
void ritp_bridge_withdraw(struct rit_posix *port, const struct ritp_offer *offer);
/* Fills the poll array; returns when the bridge wants to be woken. */
uint64_t ritp_bridge_prepare(struct rit_posix *port, uint64_t now_us);
/* Does what poll() found, and what is due. */
void ritp_bridge_run(struct rit_posix *port, uint64_t now_us);
void ritp_bridge_free(struct rit_posix *port);

/* ---- offers.c */

/* NULL: there is none (any more). */
struct ritp_offer *ritp_find_offer(const struct rit_posix *port, rit_service_id id);
/* Looks the neighbour's name up again, if it has one and the last time is long enough ago. */
void ritp_offer_look(struct ritp_offer *offer, uint64_t now_us);
/* Fills the poll array; takes what was found. */
void ritp_offers_prepare(struct rit_posix *port);
void ritp_offers_run(struct rit_posix *port);
/* With the rules. */
void ritp_offers_free(struct rit_posix *port);

/* ---- neighbours.c */

/* Whether an address may be a neighbour's, by whatever rule. */
int ritp_is_neighbour(const struct ritp_address *to);
/* And a rule allows it with its port. */
int ritp_is_allowed(const struct rit_posix *port, const struct ritp_address *to);
/* Whether so many open connections (flows) to a neighbour's service are all that there may be. */
int ritp_is_full(const struct rit_posix *port, size_t open);
/* Whether one more connection (flow) to a neighbour's service may begin, where so many are open; it
 * is counted then. */
int ritp_may_begin(const struct rit_posix *port, struct ritp_offer *offer, size_t open,
                   uint64_t now_us);
void ritp_rules_free(struct rit_posix *port);

/* ---- flow.c: the same, before the bridge's free */

void ritp_flow_event(struct rit_posix *port, const struct rit_event *event);
void ritp_flow_session_down(struct rit_posix *port, rit_session session);
void ritp_flow_leave(struct rit_posix *port, const struct ritp_want *want);
void ritp_flow_withdraw(struct rit_posix *port, const struct ritp_offer *offer);
void ritp_flow_prepare(struct rit_posix *port);
void ritp_flow_run(struct rit_posix *port);
void ritp_flow_free(struct rit_posix *port);

#endif
