/* rit_posix.h: librit on POSIX sockets.
 *
 * Gives a node (rit.h) its UDP sockets, clock, entropy and a state folder, and bridges its streams
 * to TCP and its flows to UDP: a device's services are connected to, a remote device's services
 * appear at loopback addresses. Nothing but libc is needed; copy the files of this folder into your
 * tree.
 *
 *     struct rit_posix_config config = {.state_dir = "/var/lib/mydevice"};
 *     int err;
 *     rit_posix *port = rit_posix_new(&config, &err);
 *     rit_posix_offer(port, "web", "127.0.0.1", 80);
 *     rit_posix_broker(port, "rit://KEY@broker.example", code);
 *     while (rit_posix_step(port, 1000) == 0)
 *         while (rit_posix_next(port, &event))
 *             ...
 *
 * One rit_posix belongs to one thread at a time; several in one process are independent. All of it
 * runs inside rit_posix_step, which never waits but in its one poll(). It notices by itself that
 * addresses or routes change (at once on Linux, else within 30 s) and that the system was suspended
 * (when the step ends: give it a timeout), and has the node look for its peers anew. While a device's
 * owner lets it be found (RIT_EVENT_CLOAK), it has one UDP port more, RIT_IDENTIFY_PORT. Functions
 * that can fail return 0 (RIT_OK) or a negative number: one of RIT_ERR_* (rit.h) or of
 * RIT_POSIX_ERR_*; rit_posix_strerror names both, and the log has the detail (which file, which
 * address).
 */
#ifndef RIT_POSIX_H
#define RIT_POSIX_H

#include <stdint.h>

#include "rit.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Room for a service's name and the NUL. */
#define RIT_POSIX_NAME_LEN 64
/* TCP connections bridged at once; further ones wait to be accepted, or are refused on a device. */
#define RIT_POSIX_CONNECTIONS_MAX 4096
/* UDP flows at once: on the reaching side the one that was not used for the longest makes room for
 * another client, on a device further ones are refused. */
#define RIT_POSIX_FLOWS_MAX 256
/* To each neighbour's service, unless rit_posix_neighbour_limits says otherwise: connections
 * (flows) at once, and new ones in a second, as many of which may come together. */
#define RIT_POSIX_NEIGHBOUR_CONNECTIONS 64
#define RIT_POSIX_NEIGHBOUR_RATE 32

/* Errors of this port, beside those of rit.h. Numbers are never used twice. */
enum {
    /* A call of the system failed, as for lack of descriptors: see the log. */
    RIT_POSIX_ERR_SYSTEM = -1000,
    /* Another process uses this state folder: end it, or use another folder. */
    RIT_POSIX_ERR_IN_USE = -1001,
    /* A host name does not resolve: try again later, or correct it. */
    RIT_POSIX_ERR_RESOLVE = -1002,
    /* No loopback address and port could be listened on for a service: see the log. */
    RIT_POSIX_ERR_LISTEN = -1003,
    /* The device does not offer this service, or it is not reached. */
    RIT_POSIX_ERR_SERVICE = -1004,
    /* A connection was another user's: own_user_only. */
    RIT_POSIX_ERR_USER = -1005,
    /* No rule allows this address and port to be a neighbour's, or none can: add a rule, or see at
     * rit_posix_offer_neighbour what is never allowed. */
    RIT_POSIX_ERR_NOT_ALLOWED = -1006
};

typedef struct rit_posix rit_posix;

/* Set everything that is not used to 0. Nothing in it is kept after rit_posix_new but log_ctx. */
struct rit_posix_config {
    /* REQUIRED. The folder of the identity; made with mode 0700 (its parent must be there), files
     * in it with 0600. One process at a time may use it. */
    const char *state_dir;
    /* UDP port for IPv4 and IPv6; 0: any. */
    uint16_t udp_port;
    /* Limits of the node; NULL: those of rit_config_init but for larger buffers (stream_window and
     * stream_send_buffer 1 MiB, session_window 32 MiB) and datagrams (max_datagram 9000). */
    const struct rit_config *node;
    /* The most to log: RIT_LOG_ERROR .. RIT_LOG_DEBUG; 0: warnings and errors. */
    int32_t log_level;
    /* Takes a line without its end; NULL: to standard error. Must not call the port. */
    void (*log)(void *log_ctx, int32_t level, const char *msg);
    void *log_ctx;
    /* Not 0: asks the IPv4 router for a port that leads here, by PCP or NAT-PMP (RFC 6887, 6886),
     * keeps it while the port runs, and gives it back. The node is then reachable behind NATs that
     * cannot be punched through. 0 because it opens a port towards the internet, which somebody who
     * links this library does not expect: everything else it does goes outwards. Linux only. */
    int32_t port_mapping;
    /* TCP port of the broker for networks that block UDP, at the addresses of its name; 0: 443. */
    uint16_t tls_port;
    /* Not 0: does not look for peers on the host's own networks by multicast, nor listens for them
     * (rit_io.multicast). */
    uint16_t no_multicast;
    /* States what code runs here to peers that demand it, and checks what they state; as
     * rit_io.attest and rit_io.check_attestation of rit.h say, with attest_ctx. NULL: none, and
     * none is demanded. */
    int32_t (*attest)(void *attest_ctx, const uint8_t *challenge, uint8_t *out, size_t cap);
    int32_t (*check_attestation)(void *attest_ctx, const uint8_t *peer, const uint8_t *challenge,
                                 const uint8_t *statement, size_t len);
    void *attest_ctx;
    /* Not 0: TCP connections to the services that are reached are taken from this user's programs
     * and root's only, also none that its program has closed before it is accepted: the system
     * tells nothing of those. Linux (sock_diag(7)); where the system does not tell, a warning is
     * logged and all are taken. Of UDP nothing is told: datagrams are taken from everybody on this
     * machine, who can be kept out by a network namespace of one's own (unshare(1)). */
    int32_t own_user_only;
    /* For a program that talks on sessions, streams and flows itself instead of through sockets:
     * shown each of the node's events (rit.h) in rit_posix_step, before the port acts on it. Not 0:
     * it is the program's, and the port leaves it alone; 0 for all others, those of sessions among
     * them. It may call the node (rit_posix_node), not the port. See examples-c/camera.c. */
    int (*take_event)(void *event_ctx, const struct rit_event *event);
    void *event_ctx;
};

/* Locks the state folder, opens the sockets and makes the node; the first time, its identity too.
 * NULL on failure, with the reason in *err. */
rit_posix *rit_posix_new(const struct rit_posix_config *config, int *err);

/* Closes every connection, listener and session. NULL is fine. */
void rit_posix_free(rit_posix *port);

/* The node, for rit_node_public_key, rit_peer_allow, rit_trust_start, rit_device_claim and the
 * like, and for services, sessions and streams of the program's own (take_event). It lives as long
 * as the port, which fetches its events: do not fetch them. */
rit_node *rit_posix_node(rit_posix *port);

/* Connects to the broker at a rit:// address, and stays connected. The enrol code is needed
 * once; NULL when this identity is enrolled already. Blocks while the host name is resolved: 2 s
 * at most if the port can do without, because the state folder has the addresses at which the
 * broker was met last, or a gateway was set before; a name that does not resolve is then no
 * error. While the broker is offline its name is resolved again, at most once in 60 s and
 * without blocking anything: in a thread of the port's own, which takes no signals and ends with
 * its answer. */
int rit_posix_broker(rit_posix *port, const char *uri, const char *enrol_code);

/* The host of a gateway that is to be found. */
#define RIT_POSIX_GATEWAY_HOST "_rit._udp.local"

/* The gateway of the LAN, broker and relay there (`rit-server --lan`; to offer neighbours'
 * services is another thing, see rit_posix_offer_neighbour), for when the broker cannot be
 * reached: rit://KEY@HOST[:PORT], or, to have it found, rit://KEY@_rit._udp.local, for which the
 * networks of this host are asked by multicast (RFC 6762, 6763) while neither broker nor gateway
 * is online: after 1 s, 2 s, 4 s ... 60 s, and when the network changed; and until it is found
 * once three times in a row, then every 10 minutes. Whatever answers, only the holder of KEY is
 * talked to. Sessions are opened by whichever of the two is online, and run on when both are
 * not. Call it before rit_posix_broker; enrol_code as there, of the gateway; blocks for nothing.
 * uri NULL: no gateway any more. */
int rit_posix_gateway(rit_posix *port, const char *uri, const char *enrol_code);

/* Offers a TCP service under a name (1..63 of a-z 0-9 - _ .) to the peers that are allowed: each of
 * their connections becomes one to host:service_port here. Resolves the host once, and blocks while
 * it does. */
int rit_posix_offer(rit_posix *port, const char *name, const char *host, uint16_t service_port);

/* The same for a UDP service, which may have the name of a TCP service: each address that one of
 * their clients sends from becomes a socket of its own here, connected to host:service_port. It
 * ends when nothing was sent either way for two minutes, or when the service's port is closed. What
 * does not fit through is dropped, as UDP does. */
int rit_posix_offer_udp(rit_posix *port, const char *name, const char *host,
                        uint16_t service_port);

/* A gateway: services of neighbours, hosts that this one can reach and that have no librit. Each is
 * a service of its own with its own name, such as "web.hvac", granted and refused as any other;
 * whoever uses it never says an address, so nothing else of the network is reached.
 *
 * Adds a rule: neighbours' services may be connected to at these addresses, "192.168.1.20",
 * "192.168.1.0/24" or "fd00:1::/64", and ports. Without a rule there is no neighbour. Names are not
 * rules. A rule that is there is fine. RIT_ERR_ARG: no address, bits set behind the prefix, an IPv4
 * address in IPv6's notation, or no range of ports. */
int rit_posix_neighbour_allow(rit_posix *port, const char *addresses, uint16_t first_port,
                              uint16_t last_port);

/* Whether no rule can make an address in text a neighbour's, wherever this host is: loopback,
 * groups, broadcasts, link-local IPv4 addresses, those at which clouds answer their machines, and
 * all of these in IPv6's forms; as is what is no address. A host's own addresses are none either,
 * but that is seen when they are offered. */
int rit_posix_neighbour_is_never(const char *address);

/* Takes a rule back, as it was added: what no other allows is not connected to any more, and
 * connections that are there go on. RIT_ERR_UNKNOWN: there is no such rule. */
int rit_posix_neighbour_disallow(rit_posix *port, const char *addresses, uint16_t first_port,
                                 uint16_t last_port);

/* Limits of each neighbour's service: connections (flows, for UDP) at once, of which one session
 * has half at the most, and new ones in a second; 0: as usual. Beyond them peers are refused at once, but that a flow which was not used
 * for 5 s makes room. RIT_ERR_ARG: more than RIT_POSIX_CONNECTIONS_MAX. */
int rit_posix_neighbour_limits(rit_posix *port, uint32_t connections, uint32_t per_second);

/* Offers a neighbour's service, RIT_SERVICE_TCP or RIT_SERVICE_UDP, as rit_posix_offer offers one
 * of this host's. RIT_POSIX_ERR_NOT_ALLOWED unless rules allow every address that the host has.
 * Whether one does is looked at again for each connection. A name is looked up again when a
 * connection comes or fails, at most once in a minute and in a thread of its own, so that whoever
 * answers for the name cannot lead it elsewhere. Never allowed, by whatever rule: this host's own
 * addresses (rit_posix_offer), loopback, multicast, broadcast, unspecified and IPv4 link-local
 * ones, those at which clouds answer their machines, and all these inside IPv6 addresses.
 * A peer learns the same of a service that refuses, is filtered, or whose host is gone: it is
 * refused after 4 s. While a neighbour does not answer, one connection to it is tried at a time. To
 * a UDP service that is not there datagrams just vanish. */
int rit_posix_offer_neighbour(rit_posix *port, uint16_t kind, const char *name, const char *host,
                              uint16_t service_port);

/* Offers a service, this host's own or a neighbour's, no more; its connections and flows end.
 * RIT_POSIX_ERR_SERVICE: no service of this kind is offered by that name. */
int rit_posix_withdraw(rit_posix *port, uint16_t kind, const char *name);

/* How TCP connections of the service of this name that is offered here stand to others of the
 * session, those that come from now on, on their way from here: urgency 0, first, to 7, last (3
 * is usual), and weight, 1 to 256 (16 is usual), of what the service's connections get together
 * where those of several services of one urgency wait; see rit_service_set_priority.
 * RIT_POSIX_ERR_SERVICE: there is none of this name. */
int rit_posix_prioritise(rit_posix *port, const char *name, uint32_t urgency, uint32_t weight);

/* Reaches a service of a device, TCP, UDP, or both of that name: opens a session to it, again
 * whenever that ends (after 1 s, then longer, to 30 s), and listens for the service at its own
 * loopback address, which is the same in every run (the state folder keeps those of the last 4096)
 * and no other service's. service NULL: every service that the device offers. listen_port 0: the
 * service's own port, or 10000 above it where that one needs privilege. Where it listens is told by
 * RIT_POSIX_LISTENING. A connection that comes while there is no session waits 3 s for one and is
 * then reset, as is one that the device's service refuses. */
int rit_posix_reach(rit_posix *port, const uint8_t device[RIT_KEY_LEN], const char *service,
                    uint16_t listen_port);

/* Ends what rit_posix_reach began: the connections of the service end, and it is not listened for
 * any more. service NULL: of all services, and the session with the device is closed, as it is
 * after the last one. Where all services of a device were reached, the others that are listened for
 * stay, but what it will offer later is not reached. RIT_ERR_UNKNOWN: the device is not reached;
 * RIT_POSIX_ERR_SERVICE: this service of it is not. */
int rit_posix_leave(rit_posix *port, const uint8_t device[RIT_KEY_LEN], const char *service);

/* The chain of grants by which this node may use a device, as whoever granted it handed it over:
 * for sessions from now on; a new one is tried at once. Copied; len 0: none, as the device's owner
 * needs none. */
int rit_posix_set_grant(rit_posix *port, const uint8_t device[RIT_KEY_LEN], const uint8_t *chain,
                        size_t len);

/* The session that is up with a device that is reached, for rit_session_info, rit_session_path and
 * rit_node_explain; 0: there is none. Do not close it. */
rit_session rit_posix_session(const rit_posix *port, const uint8_t device[RIT_KEY_LEN]);

/* Waits for something to do, at most timeout_ms (negative: as long as it takes), and does it. 0, or
 * an error after which the port can only be freed. A signal ends the wait early. */
int rit_posix_step(rit_posix *port, int timeout_ms);

/* What happened. Numbers are never used twice. */
enum rit_posix_event_type {
    RIT_POSIX_BROKER_ONLINE = 1,  /* the broker answered and knows this node */
    RIT_POSIX_BROKER_OFFLINE = 2, /* error: why; tried again without being asked */
    RIT_POSIX_ENROLLED = 3,       /* the enrol code was accepted; it is not needed again */
    RIT_POSIX_ENROL_REFUSED = 4,  /* error: why; not tried again */
    RIT_POSIX_SESSION_UP = 5,     /* peer */
    RIT_POSIX_SESSION_DOWN = 6,   /* peer, error; opened again if it was asked for here */
    RIT_POSIX_LISTENING = 7,      /* peer, service, kind, address, port */
    RIT_POSIX_NOT_LISTENING = 8,  /* peer, service, error: RIT_POSIX_ERR_SERVICE or _LISTEN */
    RIT_POSIX_CONNECTION = 9,     /* peer, service, error: 0 open, else refused; TCP or a flow */
    RIT_POSIX_NETWORK_CHANGED = 10, /* own addresses or routes, or the system was asleep */
    RIT_POSIX_PORT_MAPPED = 11,   /* address, port: the router's that leads here; port 0: none */
    RIT_POSIX_CLAIMED = 12,       /* peer: this device's owner from now on; number: the epoch */
    RIT_POSIX_OWNER_CHANGED = 13, /* the same, of another owner; peer of zeros: none any more */
    RIT_POSIX_REVOKED = 14,       /* the owner took grants back; number: the list's */
    RIT_POSIX_OWNER_ANSWERED = 15, /* request, error, peer, number: RIT_EVENT_OWNER_ANSWERED */
    RIT_POSIX_CLOAK = 16,         /* number: for so many seconds it may be found; 0: no more */
    RIT_POSIX_GATEWAY_ONLINE = 17, /* the gateway answered and knows this node */
    RIT_POSIX_GATEWAY_OFFLINE = 18 /* error: why; 0: it is not needed */
};

struct rit_posix_event {
    enum rit_posix_event_type type;
    int error; /* 0 or why, for rit_posix_strerror */
    uint8_t peer[RIT_KEY_LEN];
    char service[RIT_POSIX_NAME_LEN];
    char address[16]; /* IPv4: where it listens, 127.x.y.z; or the router's */
    uint16_t port;
    uint16_t kind;    /* RIT_SERVICE_TCP or RIT_SERVICE_UDP */
    uint32_t request; /* of rit_device_claim or rit_owner_tell */
    uint64_t number;  /* see the type */
};

/* Fetches what happened: 1 and *out filled, or 0 if there is no more. At most 128 wait; beyond that
 * connections are no longer told, then the oldest are dropped. */
int rit_posix_next(rit_posix *port, struct rit_posix_event *out);

/* The words for a number that a function or an event gave. Static. */
const char *rit_posix_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif
