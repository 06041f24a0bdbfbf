/* functions.h: what the files of this port do for each other, by file. Include internal.h, which has
 * the types, and includes this.
 */
#ifndef RIT_POSIX_FUNCTIONS_H
#define RIT_POSIX_FUNCTIONS_H

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
void ritp_path_from_address(struct rit_path *path, const struct sockaddr_storage *from);
int ritp_path_is_loopback(const struct rit_path *path);
socklen_t ritp_address_from_path(struct sockaddr_storage *out, const struct rit_path *path);

/* ---- names.c */

/* Waits for the addresses of a host, and logs why there are none. 0 or an error. */
int ritp_resolve(struct rit_posix *port, const char *host, uint16_t number, int type,
                 struct ritp_found *out);
/* Whether the host is an address itself, and which. */
int ritp_is_address(const char *host, uint16_t number, int type, struct ritp_found *out);
/* Looks the host up in a thread. Where it answers, to be polled; -1: logged. */
int ritp_ask_name(struct rit_posix *port, const char *host, uint16_t number, int type);
/* Waits so long for the answer (negative: as long as it takes); whether it is there. */
int ritp_wait_for_name(int fd, int patience_ms);
/* Takes the answer and closes *fd, if it is there. Whether there is an address; else why not is
 * logged. */
int ritp_take_name(struct rit_posix *port, const char *host, int *fd, struct ritp_found *out);

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
/* Whether a refusal is to be told, of which the last was so lately: what comes without end is told
 * once. */
int ritp_is_news(uint64_t *again_us, uint64_t now_us);
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
/* How many are being connected to a service offered here. */
size_t ritp_conns_made(const struct rit_posix *port, const struct ritp_offer *offer);

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
void ritp_offer_look(struct rit_posix *port, struct ritp_offer *offer, uint64_t now_us);
/* Tells that a peer was refused by a limit, but not without end. */
void ritp_tell_refused(struct rit_posix *port, rit_session session, struct ritp_offer *offer,
                       uint64_t now_us);
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
/* Whether so many open connections (flows) to a neighbour's service are all that there may be, or
 * own ones, which are those of one session. */
int ritp_is_full(const struct rit_posix *port, size_t open, size_t own);
/* Whether one more connection (flow) to a neighbour's service may begin, where so many are open; it
 * is counted then. */
int ritp_may_begin(const struct rit_posix *port, struct ritp_offer *offer, size_t open, size_t own,
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
