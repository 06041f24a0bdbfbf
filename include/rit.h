/*
 * librit: offer a device's local services to those who may use them, anywhere, through encrypted
 * tunnels; or reach such services. Licence: Apache-2.0 OR MIT.
 *
 * This comment and those below are the whole manual. Names of errors are given without RIT_ERR_,
 * names of events without RIT_EVENT_.
 *
 * WHAT THERE IS. A *node* is this library's view of the world: one key pair, whose public key is
 * its name. A node dials out to a *broker*, which introduces it to others. A node that offers
 * *services* is a device; one that opens *sessions* to devices is a user; a node may be both. A
 * session is an encrypted connection between two nodes, whose keys the broker does not have. In a
 * session, each TCP connection of a service is a *stream* of bytes both ways.
 *
 * WHAT YOU PROVIDE. struct rit_io: a clock, entropy, a way to send a UDP datagram; if you like
 * also a timer, storage for the key, a log. And you hand in each UDP datagram that arrives. The
 * library opens no socket or file, starts no thread, never blocks, never prints. ports/posix does
 * all this for systems with sockets.
 *
 * THE RULE. After any call: the library has already sent, through rit_io.send, what there is to
 * send, and set the timer. What is left to you: fetch events with rit_node_next_event until
 * AGAIN, then sleep until a datagram comes (rit_node_receive) or the deadline is reached
 * (rit_node_timeout). What you do about an event may cause others, so fetch to the end. Without
 * rit_io.send you fetch datagrams too, with rit_node_transmit until AGAIN, before you sleep.
 *
 * THREADS. A node belongs to one thread at a time; where several use it, put a lock around it.
 * Nodes are independent of each other. A library built without the standard library (for devices)
 * wants all its nodes driven by one task. Callbacks run inside your call, on your thread; from
 * inside one, every call on the same node answers REENTRY and does nothing. No function may be
 * called from an interrupt unless its comment says "callable anywhere". An exception or longjmp
 * must not leave a callback.
 *
 * OWNERSHIP. What you pass in by pointer is copied or used during the call, and not kept; the
 * exception is rit_io.ctx. Nothing is handed out that you must free, but the node itself
 * (rit_node_free). Handles of sessions, streams and services are numbers with a generation
 * inside; one that is out of date is answered by HANDLE, never by harm. 0 is never a handle.
 *
 * STRUCTS. Set struct_size to sizeof the struct, in those you fill in and in those you let fill,
 * and everything else that you do not use to 0 (memset first). Later versions add fields at the
 * end.
 *
 * ERRORS. Functions return RIT_OK (0) or a negative RIT_ERR_*: -1 to -99 the call was wrong and
 * nothing changed; -100 to -199 it is not possible now; -200 and below fatal. Outputs are written
 * only with RIT_OK unless the comment says otherwise. Any function may answer NULL, SIZE and
 * REENTRY as described there, and INTERNAL if the library is broken; rit_strerror names an error,
 * and rit_node_last_error gives the detail. UTF-8 and ASCII only.
 *
 * SECURITY. All secrets follow from rit_io.entropy, so that has to be a true source. The wall
 * clock is never asked. What comes from the network cannot harm more than the connection it
 * belongs to; a stranger gets no answer at all.
 *
 * A DEVICE, without error handling:
 *
 *     struct rit_config cfg;                        the limits: all defaults
 *     struct rit_io io;                             zeroed, struct_size set, then:
 *     rit_config_init(&cfg);
 *     io.now_us = my_clock; io.entropy = my_rng; io.send = my_udp_send;
 *     io.load = my_flash_read; io.store = my_flash_write;
 *     node = rit_node_new(&cfg, &io, &err);         null: see rit_strerror(err)
 *     rit_peer_allow(node, owners_key);
 *     service.struct_size = sizeof service; service.name = "web"; service.port = 80;
 *     rit_service_add(node, &service, &web);
 *     rit_uri_parse(uri, broker.key, host, sizeof host, &path.port);
 *     resolve(host, path.ip);                       broker.paths = &path; broker.path_count = 1;
 *     rit_broker_connect(node, &broker);            broker.enrol_code = code the first time
 *     for (;;) {
 *         len = my_udp_receive(&from, buf, sizeof buf, rit_node_deadline(node));
 *         if (len > 0) rit_node_receive(node, &from, buf, len);
 *         rit_node_timeout(node);                   early is harmless
 *         ev.struct_size = sizeof ev;
 *         while (rit_node_next_event(node, &ev) == RIT_OK) switch (ev.type) {
 *         case RIT_EVENT_STREAM_INCOMING:           a peer asks for ev.service
 *             rit_stream_accept(node, ev.stream);
 *             break;
 *         case RIT_EVENT_STREAM_READABLE:
 *             while (rit_stream_read(node, ev.stream, buf, sizeof buf, &len) == RIT_OK) {
 *                 if (len == 0) { rit_stream_finish(node, ev.stream); break; }
 *                 rit_stream_write(node, ev.stream, buf, len, &written);     an echo
 *             }
 *             break;
 *         }
 *     }
 *
 * A real one also gives each stream back by rit_stream_release, keeps what did not fit until
 * STREAM_WRITABLE, and looks at the results. A user's node does the same, but that after
 * BROKER_ONLINE it calls rit_session_open, and after SESSION_UP rit_stream_open.
 */
#ifndef RIT_H
#define RIT_H

/* Made by `cargo run -p rit-ffi --example header` from the crate in ffi: change it there. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A node. Opaque: made by rit_node_new, freed by rit_node_free. */
typedef struct rit_node rit_node;

/** A self-test. Opaque: made by rit_selftest_new, freed by rit_selftest_free. */
typedef struct rit_selftest rit_selftest;

/**
 * The version of this interface. Goes into rit_config.abi_version (rit_config_init does it), so
 * that a library of another version refuses to start instead of misbehaving.
 */
#define RIT_ABI_VERSION 1

/**
 * Bytes of a node's name: its public key of Ed25519, or where its key is on P-256 a hash of that.
 */
#define RIT_KEY_LEN 32

/**
 * Bytes of a key's text form: 52 characters of a-z and 2-7, and a NUL.
 */
#define RIT_KEY_TEXT_LEN 53

/**
 * Done.
 */
#define RIT_OK 0

/**
 * A pointer that must not be null is null. Nothing changed; fix the call.
 */
#define RIT_ERR_NULL -1

/**
 * An argument is outside its range, or a reserved field is not zero. Nothing changed; fix the
 * call.
 */
#define RIT_ERR_ARG -2

/**
 * A struct_size is that of no known version, or the struct has fields set that this library does
 * not know. Nothing changed; set struct_size to sizeof the struct, or update the library.
 */
#define RIT_ERR_SIZE -3

/**
 * rit_config.abi_version is not the library's: header and library do not belong together.
 */
#define RIT_ERR_VERSION -4

/**
 * Not at this point: the session is not up, the stream not accepted, already finished, and so on.
 * Nothing changed; wait for the event that the function's comment names.
 */
#define RIT_ERR_STATE -5

/**
 * The session, stream or service handle is stale, or never was one. Nothing changed; forget it.
 */
#define RIT_ERR_HANDLE -6

/**
 * Called from inside a callback of the same node, or while another thread is in a call on it.
 * Nothing changed; call again after the callback returned.
 */
#define RIT_ERR_REENTRY -7

/**
 * The buffer for the answer is too small. Nothing was written.
 */
#define RIT_ERR_BUFFER -8

/**
 * Not a service name: 1 to 63 characters of a-z 0-9 - _ and dot.
 */
#define RIT_ERR_NAME -9

/**
 * It is there already. Nothing changed; take another name.
 */
#define RIT_ERR_EXISTS -10

/**
 * A message longer than RIT_MESSAGE_MAX, or than a window of one of the ends. Nothing was sent;
 * send less.
 */
#define RIT_ERR_TOO_LARGE -11

/**
 * Nothing now: no event, nothing to read, no room to write. Wait for the event; do not poll.
 */
#define RIT_ERR_AGAIN -100

/**
 * A limit of this node, of the peer or of the broker is reached. Others are not affected; release
 * something, or try later.
 */
#define RIT_ERR_LIMIT -101

/**
 * There is no memory for it.
 */
#define RIT_ERR_NOMEM -102

/**
 * Neither broker nor gateway can be asked now, or the device is not online. Try later.
 */
#define RIT_ERR_OFFLINE -103

/**
 * The broker knows no such device, or the device no such service.
 */
#define RIT_ERR_UNKNOWN -104

/**
 * The other end does not let this node in, is not who it should be, or this node is not enrolled.
 */
#define RIT_ERR_DENIED -105

/**
 * The service itself refused the stream, as a closed TCP port does.
 */
#define RIT_ERR_REFUSED -106

/**
 * The peer reset the stream: its bytes that were not read are lost. Release the stream.
 */
#define RIT_ERR_RESET -107

/**
 * The other end closed: the peer's application ended the session, or wants no more of the stream.
 */
#define RIT_ERR_CLOSED -108

/**
 * No answer in time; or the stream's deadline passed, and what had not arrived is given up.
 */
#define RIT_ERR_TIMEOUT -109

/**
 * The enrol code is wrong, expired or used: get a new one.
 */
#define RIT_ERR_CODE -110

/**
 * The other end broke the protocol.
 */
#define RIT_ERR_PEER -111

/**
 * Another process with the same identity took the link to the broker over: stop one of the two.
 */
#define RIT_ERR_REPLACED -112

/**
 * The other end was restarted and knows nothing of it any more: open it anew.
 */
#define RIT_ERR_FORGOTTEN -113

/**
 * A callback of rit_crypto failed. What it was for is over, nothing else: open it anew. From
 * rit_node_new: there is no node.
 */
#define RIT_ERR_CRYPTO -114

/**
 * What is to be signed would be no grant, list or transfer that a device could accept. Nothing was
 * written; rit_node_last_error says what is wrong.
 */
#define RIT_ERR_GRANT -115

/**
 * The entropy callback failed, or what it gives is evidently not random. There is no node.
 */
#define RIT_ERR_ENTROPY -200

/**
 * The load or store callback failed. There is no node.
 */
#define RIT_ERR_STORAGE -201

/**
 * What is stored as identity is damaged or of a later version; it is left as it is. There is no
 * node. Restoring a copy keeps the node's name; erasing the slot makes a new node.
 */
#define RIT_ERR_IDENTITY -202

/**
 * What is stored as trust state is damaged or of a later version; it is left as it is. The node
 * goes on without an owner's rule: it lets in those of rit_peer_allow alone.
 */
#define RIT_ERR_TRUST -204

/**
 * A promise of this library was broken. As the answer of a call: the node is unusable, free it.
 * As an event's error: only what the event names is lost. Please report it.
 */
#define RIT_ERR_INTERNAL -203

/**
 * rit_path.socket of a path that is a TCP connection with TLS.
 */
#define RIT_SOCKET_TLS 65535

/**
 * rit_path.socket of what comes by RIT_IDENTIFY_PORT, where the port has opened it, and of the
 * answers; nothing else is sent by it, and nothing but a probe is taken.
 */
#define RIT_SOCKET_IDENTIFY 65534

/**
 * rit_io.sockets is at most this.
 */
#define RIT_SOCKETS_MAX 1024

/**
 * UDP port of multicast on the local network; see rit_io.multicast.
 */
#define RIT_LAN_PORT 7484

/**
 * IPv4 address of its group: 239.255.114.116. That of IPv6, ff12::efff:7274, has the same last
 * four bytes.
 */
#define RIT_LAN_GROUP 4026495604

/**
 * UDP port at which a device is asked who it is, while its owner lets it be found
 * (RIT_EVENT_CLOAK). A port that has a socket to spare opens it for that time, and hands in what
 * comes there with rit_path.socket RIT_SOCKET_IDENTIFY; without, the node answers at its own
 * ports.
 */
#define RIT_IDENTIFY_PORT 7485

/**
 * No statement of rit_io.attest is longer; nor than stream_send_buffer of the one who makes it.
 */
#define RIT_ATTESTATION_MAX 2048

/**
 * Datagrams in one call of rit_io.send_batch at the most.
 */
#define RIT_BATCH_MAX 64

/**
 * Bytes in one call of rit_io.send_batch at the most.
 */
#define RIT_BATCH_LEN_MAX 65000

/**
 * Level of rit_io.log: something does not work.
 */
#define RIT_LOG_ERROR 1

/**
 * Level of rit_io.log: something is not as it should be.
 */
#define RIT_LOG_WARN 2

/**
 * Level of rit_io.log: what an operator wants to know.
 */
#define RIT_LOG_INFO 3

/**
 * Level of rit_io.log: what a developer wants to know.
 */
#define RIT_LOG_DEBUG 4

/**
 * Storage slot of the node's private key.
 */
#define RIT_SLOT_IDENTITY 1

/**
 * Storage slot of what a port needs to find its broker again; this version of the library neither
 * loads nor stores it.
 */
#define RIT_SLOT_BROKER 2

/**
 * Storage slot of rit_selftest_new: what one run leaves for the next; no node uses it.
 */
#define RIT_SLOT_SELFTEST 3

/**
 * Storage slot of whom a device obeys, and of what its owner took back; only of a node for which
 * rit_trust_start is called.
 */
#define RIT_SLOT_TRUST 4

/**
 * Storage slot of the last statement by which the owner let a device be found, so that none works
 * twice; only of a node for which rit_trust_start is called. Where it cannot be stored, the device
 * stays cloaked.
 */
#define RIT_SLOT_CLOAK 5

/**
 * RIT_SLOT_TRUST holds no more bytes than this.
 */
#define RIT_SLOT_TRUST_MAX 1612

/**
 * No other slot ever holds more bytes than this.
 */
#define RIT_SLOT_MAX 512

/**
 * rit_crypto.flags: AES-GCM is faster than ChaCha20-Poly1305 here, as with an accelerator; it is
 * used where the other end says the same.
 */
#define RIT_CRYPTO_FAST_AES 1

/**
 * Answer of aes_gcm_open and chacha_open: the tag is wrong. Anybody can send such packets.
 */
#define RIT_CRYPTO_FORGED 1

/**
 * rit_crypto.key_kind: the key is of Ed25519 (RFC 8032).
 */
#define RIT_KEY_ED25519 1

/**
 * rit_crypto.key_kind: the key is on P-256, for secure elements that have nothing else. The node's
 * name is then a hash of it. Other ends can tell such a node's signature if they are a hosted
 * build, or a firmware build with P-256.
 */
#define RIT_KEY_P256 2

/**
 * struct rit_bytes in one call of rit_crypto.sha256 at the most.
 */
#define RIT_SHA256_PARTS_MAX 16

/**
 * The broker answered and knows this node: sessions can be opened, peers can find it.
 */
#define RIT_EVENT_BROKER_ONLINE 1

/**
 * The link to the broker is gone; sessions go on, and the node tries the broker again by itself.
 * error: TIMEOUT; DENIED (it does not hold the key it should); CLOSED; REPLACED (another process
 * with this identity took over); LIMIT; OFFLINE (its storage failed); PEER; INTERNAL.
 */
#define RIT_EVENT_BROKER_OFFLINE 2

/**
 * The enrol code was accepted; it is used up. BROKER_ONLINE follows.
 */
#define RIT_EVENT_ENROLLED 3

/**
 * The broker does not take this node, and the node does not try again until rit_broker_connect.
 * error: CODE (wrong, expired or used: get a new one); DENIED (not enrolled, and no code given).
 */
#define RIT_EVENT_ENROL_REFUSED 4

/**
 * A session is up: the peer has proved to hold its key. session, peer, is_initiator (1: this node
 * opened it, and may open streams to the peer's services; 0: the peer did).
 */
#define RIT_EVENT_SESSION_UP 5

/**
 * A session is over, or never came up; its handle and those of its streams and flows are stale.
 * session; error: RIT_OK (closed here); CLOSED (by the peer's application, code); TIMEOUT; UNKNOWN
 * and OFFLINE (the broker says so of the device, or is away itself); DENIED; LIMIT; PEER;
 * INTERNAL.
 */
#define RIT_EVENT_SESSION_DOWN 6

/**
 * The peer asks for a service of this node: rit_stream_accept or rit_stream_refuse.
 * stream, session, service.
 */
#define RIT_EVENT_STREAM_INCOMING 7

/**
 * The peer's service accepted the stream. stream.
 */
#define RIT_EVENT_STREAM_OPENED 8

/**
 * The peer's service did not: rit_stream_release. stream; code: RIT_REFUSED_*; error:
 * the same as REFUSED, DENIED, UNKNOWN or LIMIT.
 */
#define RIT_EVENT_STREAM_REFUSED 9

/**
 * There are bytes, or the end of the stream, to read: rit_stream_read until RIT_ERR_AGAIN; what is
 * left unread is not told again before more comes. stream.
 */
#define RIT_EVENT_STREAM_READABLE 10

/**
 * There is room again, after a write that took less than it was given. stream.
 */
#define RIT_EVENT_STREAM_WRITABLE 11

/**
 * The peer gave up its side as a TCP RST does; what was not read is lost. stream, code.
 */
#define RIT_EVENT_STREAM_RESET 12

/**
 * The peer wants no more bytes; writing is over, reading is not. stream, code.
 */
#define RIT_EVENT_STREAM_STOPPED 13

/**
 * The deadline that rit_stream_set_deadline gave this side passed before all had arrived: the rest
 * is given up, writing is over, reading is not. stream.
 */
#define RIT_EVENT_STREAM_EXPIRED 14

/**
 * The peer asks for a UDP service of this node: rit_flow_accept or rit_flow_refuse.
 * flow, session, service.
 */
#define RIT_EVENT_FLOW_INCOMING 15

/**
 * The peer's UDP service accepted the flow. flow.
 */
#define RIT_EVENT_FLOW_OPENED 16

/**
 * The peer's UDP service did not: rit_flow_close. flow; code: RIT_REFUSED_*; error: the same as
 * REFUSED, DENIED, UNKNOWN or LIMIT.
 */
#define RIT_EVENT_FLOW_REFUSED 17

/**
 * There is a message to receive: rit_datagram_recv until RIT_ERR_AGAIN. flow.
 */
#define RIT_EVENT_FLOW_READABLE 18

/**
 * The flow is over and all of it was received: rit_flow_close. flow; error: CLOSED (by the peer),
 * TIMEOUT (no message either way for the service's flow_idle_ms).
 */
#define RIT_EVENT_FLOW_CLOSED 19

/**
 * The session goes another way than before; streams and flows go on. session; code: RIT_PATH_*;
 * rit_session_info tells the address and the round-trip time.
 */
#define RIT_EVENT_SESSION_PATH 20

/**
 * This device has an owner now; it is stored. peer: the owner; code: the epoch.
 */
#define RIT_EVENT_CLAIMED 21

/**
 * This device has another owner now, or none any more (peer of zeros, after rit_factory_reset); it
 * is stored, and sessions that are no longer permitted have ended. peer: the owner; code: the
 * epoch.
 */
#define RIT_EVENT_OWNER_CHANGED 22

/**
 * The owner took grants back; it is stored, and their sessions have ended. code: the list's
 * number.
 */
#define RIT_EVENT_REVOKED 23

/**
 * What came of rit_device_claim or rit_owner_tell. request; peer: the device, where it answered;
 * error: RIT_OK (code: of a claim the epoch); from the device, with its own number as code: STATE
 * (it obeys no owner, has none yet, or shows no code), EXISTS (it is another's), DENIED (wrong
 * secret, not its owner, or wrong too often), GRANT (of another device or ownership, an older
 * number, or its time is over by the device's clock or has not come), AGAIN (busy), STORAGE (it
 * cannot store); from elsewhere: OFFLINE, UNKNOWN, TIMEOUT, LIMIT, CRYPTO, PEER.
 */
#define RIT_EVENT_OWNER_ANSWERED 24

/**
 * What a session's pipe holds crossed a threshold of rit_session_watch. session; code: 1: delay_us
 * rose above the high one; 0: it fell below the low one. It says how it is when it is fetched.
 */
#define RIT_EVENT_SESSION_PIPE 25

/**
 * The broker is away, and the gateway of rit_gateway_connect answered and knows this node:
 * sessions can be opened, and peers of the LAN can find it.
 */
#define RIT_EVENT_GATEWAY_ONLINE 26

/**
 * The link to the gateway is gone, or could not be had; sessions go on. error: RIT_OK (closed
 * here: the broker is back, or rit_gateway_forget); CODE and DENIED (the gateway does not take
 * this node; it is asked again after 15 minutes, without the code); otherwise as of
 * BROKER_OFFLINE, and the node tries again by itself.
 */
#define RIT_EVENT_GATEWAY_OFFLINE 27

/**
 * The owner lets this device be found: it answers who asks who is there (PROTOCOL.md, section 12),
 * at the node's ports and at RIT_IDENTIFY_PORT where the port opens that now. code: for so many
 * seconds; 0: it is over, and the device answers nobody any more. It ends by itself, and with a
 * restart.
 */
#define RIT_EVENT_CLOAK 28

/**
 * The peer is reached at its own address.
 */
#define RIT_PATH_DIRECT 0

/**
 * The peer is reached through a relay, which sees sealed packets.
 */
#define RIT_PATH_RELAY 1

/**
 * Bytes of a grant's ID.
 */
#define RIT_GRANT_ID_LEN 16

/**
 * No chain of grants is longer.
 */
#define RIT_CHAIN_MAX 2048

/**
 * No revocation list is longer.
 */
#define RIT_REVOKED_MAX 2048

/**
 * No transfer is longer.
 */
#define RIT_TRANSFER_MAX 256

/**
 * No statement of rit_cloak_sign is longer.
 */
#define RIT_CLOAK_MAX 256

/**
 * For no longer than this lets an owner a device be found, in seconds: a day.
 */
#define RIT_CLOAK_FOR_MAX_S 86400

/**
 * rit_grant.rights: to use the services.
 */
#define RIT_RIGHT_USE 1

/**
 * rit_grant.rights: to pass them on, as often as depth says.
 */
#define RIT_RIGHT_SHARE 2

/**
 * rit_grant.rights: to manage the device, whatever that is to its application.
 */
#define RIT_RIGHT_MANAGE 4

/**
 * Bytes of a claim secret.
 */
#define RIT_CLAIM_SECRET_LEN 15

/**
 * Bytes of a claim secret's text, with a NUL.
 */
#define RIT_CLAIM_SECRET_TEXT_LEN 30

/**
 * Bytes of a claim code's text, with a NUL.
 */
#define RIT_CLAIM_CODE_LEN 17

/**
 * What rit_owner_tell takes: what rit_revoked_sign made.
 */
#define RIT_TELL_REVOKED 5

/**
 * What rit_owner_tell takes: what rit_transfer_sign made.
 */
#define RIT_TELL_TRANSFER 6

/**
 * What rit_owner_tell takes: what rit_cloak_sign made.
 */
#define RIT_TELL_CLOAK 8

/**
 * rit_service.kind: a TCP service. Each stream is one connection.
 */
#define RIT_SERVICE_TCP 0

/**
 * rit_service.kind: a UDP service. Each flow is one remote address.
 */
#define RIT_SERVICE_UDP 1

/**
 * Bytes of the longest service name with its NUL.
 */
#define RIT_SERVICE_NAME_MAX 64

/**
 * rit_path_info.state: the peer never answered there.
 */
#define RIT_PATH_UNKNOWN 0

/**
 * rit_path_info.state: the peer answers there.
 */
#define RIT_PATH_ANSWERS 1

/**
 * rit_path_info.state: it did, and does not any more.
 */
#define RIT_PATH_SILENT 2

/**
 * rit_session_set_congestion: CUBIC (RFC 9438), for bulk: fills the path and its queues. The
 * default.
 */
#define RIT_CONGESTION_CUBIC 0

/**
 * rit_session_set_congestion: keeps what it sends from queueing for much longer than a target, on
 * links whose rate varies (cellular, Wi-Fi); for interactive media and for control beside them.
 */
#define RIT_CONGESTION_DELAY_BOUNDED 1

/**
 * The service itself refused, as a closed TCP port does.
 */
#define RIT_REFUSED_SERVICE 1

/**
 * This peer may not use it.
 */
#define RIT_REFUSED_DENIED 2

/**
 * There is no such service.
 */
#define RIT_REFUSED_UNKNOWN 3

/**
 * A limit of the device is reached.
 */
#define RIT_REFUSED_LIMIT 4

/**
 * The last urgency of rit_stream_set_priority.
 */
#define RIT_URGENCY_MAX 7

/**
 * STREAM_RESET's code when the peer's deadline for what it sends passed.
 */
#define RIT_CODE_DEADLINE 3

/**
 * Bytes of the longest message of a flow; less where the windows of either end are smaller.
 */
#define RIT_MESSAGE_MAX 65527

/**
 * Value of RIT_SELFTEST_REENTRY: the heap is tested; no callback but now_us is called.
 */
#define RIT_SELFTEST_STAGE_HEAP 1

/**
 * Value of RIT_SELFTEST_REENTRY: cryptography is tested, by the entries of rit_io.crypto.
 */
#define RIT_SELFTEST_STAGE_CRYPTO 2

/**
 * Value of RIT_SELFTEST_REENTRY: the clock is tested, by now_us.
 */
#define RIT_SELFTEST_STAGE_CLOCK 3

/**
 * Value of RIT_SELFTEST_REENTRY: storage is tested, by load and store.
 */
#define RIT_SELFTEST_STAGE_STORAGE 4

/**
 * Value of RIT_SELFTEST_REENTRY: entropy is tested, by entropy.
 */
#define RIT_SELFTEST_STAGE_ENTROPY 5

/**
 * Value of RIT_SELFTEST_REENTRY: the timer is tested, by set_timer.
 */
#define RIT_SELFTEST_STAGE_TIMER 6

/**
 * Value of RIT_SELFTEST_REENTRY: sockets are tested, by send, send_batch and recv.
 */
#define RIT_SELFTEST_STAGE_SOCKET 7

/**
 * rit_io.now_us went back. value: by how many microseconds.
 */
#define RIT_SELFTEST_CLOCK_BACK 1

/**
 * It does not move, or only each second. value: what it stands at.
 */
#define RIT_SELFTEST_CLOCK_STILL 2

/**
 * It counts too slowly: milliseconds, perhaps. value: what it counted during work that takes at
 * least wanted.
 */
#define RIT_SELFTEST_CLOCK_SLOW 3

/**
 * It counts too fast: nanoseconds or cycles, perhaps. value: what it counted during work that
 * takes at most wanted. Without rit_selftest_config.cpu_mhz only the grossest case is noticed.
 */
#define RIT_SELFTEST_CLOCK_FAST 4

/**
 * It began anew. value: the last time before that.
 */
#define RIT_SELFTEST_CLOCK_WRAPS 5

/**
 * It leapt forward by more than half an hour. value: by how many microseconds.
 */
#define RIT_SELFTEST_CLOCK_LEAPS 6

/**
 * rit_io.entropy failed. value: which call, from 1.
 */
#define RIT_SELFTEST_ENTROPY_FAILS 10

/**
 * It does not write all bytes. value: the first that it leaves as it was, from 0.
 */
#define RIT_SELFTEST_ENTROPY_SHORT 11

/**
 * It writes past the end. value: what it was asked for.
 */
#define RIT_SELFTEST_ENTROPY_LONG 12

/**
 * It gives one value only. value: that.
 */
#define RIT_SELFTEST_ENTROPY_CONSTANT 13

/**
 * It gives the same 16 bytes again. value: which call, from 1.
 */
#define RIT_SELFTEST_ENTROPY_REPEATS 14

/**
 * Some values are far more frequent than others. value: chi squared of 2048 bytes; wanted: what it
 * is at most by chance.
 */
#define RIT_SELFTEST_ENTROPY_BIASED 15

/**
 * It gave the same when the test ran before. value: how often the test ran before.
 */
#define RIT_SELFTEST_ENTROPY_RESET 16

/**
 * rit_selftest_timeout was not called. value: microseconds waited; wanted: microseconds set.
 */
#define RIT_SELFTEST_TIMER_NEVER 20

/**
 * It was called too early. value: microseconds after it was set; wanted: microseconds set.
 */
#define RIT_SELFTEST_TIMER_EARLY 21

/**
 * It was called too late. value: microseconds after it was set; wanted: microseconds set.
 */
#define RIT_SELFTEST_TIMER_LATE 22

/**
 * A deadline was not replaced by the next. value and wanted as in TIMER_EARLY.
 */
#define RIT_SELFTEST_TIMER_NOT_REPLACED 23

/**
 * UINT64_MAX did not stop it. value: microseconds after that.
 */
#define RIT_SELFTEST_TIMER_NOT_STOPPED 24

/**
 * It went off for a deadline that is 49 days away. value and wanted as in TIMER_EARLY.
 */
#define RIT_SELFTEST_TIMER_CUT 25

/**
 * It did not go off for a deadline in the past. value: microseconds waited.
 */
#define RIT_SELFTEST_TIMER_PAST 26

/**
 * rit_io.load failed. value: its answer.
 */
#define RIT_SELFTEST_STORAGE_LOAD 30

/**
 * rit_io.store failed. value: its answer; wanted: 0.
 */
#define RIT_SELFTEST_STORAGE_STORE 31

/**
 * There is something in a slot in which nothing was ever stored. value: its length; wanted: 0.
 */
#define RIT_SELFTEST_STORAGE_NOT_EMPTY 32

/**
 * load answers another length than was stored. value: its answer; wanted: what was stored.
 */
#define RIT_SELFTEST_STORAGE_LENGTH 33

/**
 * load gives other bytes than were stored. value: the first that differs, from 0; wanted: how many
 * were stored.
 */
#define RIT_SELFTEST_STORAGE_DIFFERS 34

/**
 * What was stored before the reset is not there any more.
 */
#define RIT_SELFTEST_STORAGE_FORGETS 35

/**
 * Storing in one slot changed another.
 */
#define RIT_SELFTEST_STORAGE_MIXED 36

/**
 * No datagram came back. value: how many were sent.
 */
#define RIT_SELFTEST_SOCKET_SILENT 40

/**
 * rit_io.send failed. value: its answer; wanted: the datagram's length.
 */
#define RIT_SELFTEST_SOCKET_SEND 41

/**
 * rit_io.send answers the length, which counts as a failure. value: its answer; wanted: 0.
 */
#define RIT_SELFTEST_SOCKET_SEND_LENGTH 42

/**
 * Datagrams of some lengths do not come back. value: the first such length.
 */
#define RIT_SELFTEST_SOCKET_SIZE 43

/**
 * A datagram is handed in cut short. value: its length; wanted: what was sent.
 */
#define RIT_SELFTEST_SOCKET_CUT 44

/**
 * A datagram is handed in with more than was sent. value: its length; wanted: what was sent.
 */
#define RIT_SELFTEST_SOCKET_LONG 45

/**
 * A datagram comes back altered. value: the first byte that differs, from 0; wanted: its length.
 */
#define RIT_SELFTEST_SOCKET_ALTERED 46

/**
 * rit_io.send kept the pointer: what came back was written to the buffer after the call. value:
 * the datagram's length.
 */
#define RIT_SELFTEST_SOCKET_KEPT 47

/**
 * A datagram is handed in twice. value: its length.
 */
#define RIT_SELFTEST_SOCKET_TWICE 48

/**
 * The bytes of rit_path.port are swapped. value: the port; wanted: what it should be.
 */
#define RIT_SELFTEST_SOCKET_PORT_ORDER 49

/**
 * The bytes of rit_path.ip are swapped. value: the last four, the first of them highest; wanted:
 * what they should be.
 */
#define RIT_SELFTEST_SOCKET_IP_ORDER 50

/**
 * An IPv4 address is not written as ::ffff:a.b.c.d. value: the first byte of rit_path.ip that is
 * wrong, from 0.
 */
#define RIT_SELFTEST_SOCKET_IP_FORM 51

/**
 * A datagram comes from another address or port than it was sent to. value: the port; wanted: the
 * port it was sent to.
 */
#define RIT_SELFTEST_SOCKET_FROM 52

/**
 * rit_path.ifindex is set though nothing was sent with it. value: that.
 */
#define RIT_SELFTEST_SOCKET_INTERFACE 53

/**
 * rit_path.socket is not 0. value: that; wanted: 0.
 */
#define RIT_SELFTEST_SOCKET_NUMBER 54

/**
 * A rit_path that was handed in is not valid. value: what rit_node_receive answers.
 */
#define RIT_SELFTEST_SOCKET_PATH 55

/**
 * rit_io.recv answers more than there is room for.
 */
#define RIT_SELFTEST_SOCKET_RECV 56

/**
 * rit_io.send_batch does not send each datagram by itself. value: how many came; wanted: how many
 * should.
 */
#define RIT_SELFTEST_SOCKET_BATCH 57

/**
 * There is too little memory. value: bytes that could be had; wanted: rit_selftest_config.heap.
 */
#define RIT_SELFTEST_HEAP_SMALL 60

/**
 * A block is not aligned. value: its address modulo wanted; wanted: the alignment.
 */
#define RIT_SELFTEST_HEAP_ALIGN 61

/**
 * Blocks overlap, or memory does not hold what is written. value: the block's length.
 */
#define RIT_SELFTEST_HEAP_OVERLAP 62

/**
 * What was given back cannot be had again. value: after how many bytes; wanted: bytes at a time.
 */
#define RIT_SELFTEST_HEAP_LEAKS 63

/**
 * SHA-256 computes wrong.
 */
#define RIT_SELFTEST_CRYPTO_SHA256 70

/**
 * HMAC-SHA-256 computes wrong.
 */
#define RIT_SELFTEST_CRYPTO_HMAC 71

/**
 * AES-128-GCM computes wrong.
 */
#define RIT_SELFTEST_CRYPTO_AES_GCM 72

/**
 * ChaCha20-Poly1305 computes wrong.
 */
#define RIT_SELFTEST_CRYPTO_CHACHA20 73

/**
 * X25519 computes wrong.
 */
#define RIT_SELFTEST_CRYPTO_X25519 74

/**
 * Ed25519 computes wrong.
 */
#define RIT_SELFTEST_CRYPTO_ED25519 75

/**
 * The library was called from inside a callback. value: RIT_SELFTEST_STAGE_*.
 */
#define RIT_SELFTEST_REENTRY 80

/**
 * From this number on it is no fault, but something that was not tested.
 */
#define RIT_SELFTEST_NOTE 1000

/**
 * The clock has not passed 2^32 yet. value: how far it is.
 */
#define RIT_SELFTEST_NOTE_CLOCK 1000

/**
 * Timers and sockets were not tested, because the clock is wrong.
 */
#define RIT_SELFTEST_NOTE_AFTER_CLOCK 1001

/**
 * There is no rit_io.set_timer.
 */
#define RIT_SELFTEST_NOTE_TIMER 1002

/**
 * There is no rit_io.load and store.
 */
#define RIT_SELFTEST_NOTE_STORAGE 1003

/**
 * Whether storage and entropy outlive a reset. value: how often the test has run.
 */
#define RIT_SELFTEST_NOTE_RESET 1004

/**
 * There is no rit_selftest_config.echo.
 */
#define RIT_SELFTEST_NOTE_SOCKET 1005

/**
 * Of several datagrams sent at once some were lost. value: how many came; wanted: how many were
 * sent.
 */
#define RIT_SELFTEST_NOTE_BURST 1006

/**
 * A node: a device, a user, or both. One thread at a time; nodes are independent of each other.
 */
struct rit_node;

/**
 * A self-test that is being run. Opaque: made by rit_selftest_new, freed by rit_selftest_free.
 */
struct rit_selftest;

/**
 * Figures of the heap given to rit_heap_init, in bytes.
 */
struct rit_heap_info {
    /**
     * sizeof(struct rit_heap_info); set by the caller.
     */
    uint32_t struct_size;
    /**
     * Of the memory given, what can be used.
     */
    uint32_t size;
    /**
     * In use now, with what the heap itself takes for each block. 0 when there is no node.
     */
    uint32_t live;
    /**
     * The most that was in use since the start, or since rit_heap_reset_peak.
     */
    uint32_t peak;
    /**
     * The largest block that could be had now. Much less than size - live: the heap is fragmented.
     */
    uint32_t largest;
    /**
     * Times that memory was asked for and there was none, since the start.
     */
    uint32_t refused;
    /**
     * 0.
     */
    uint32_t reserved[2];
};

/**
 * Limits and timers of a node. 0 in any of them means its default. Reaching a limit is
 * an ordinary error of that one operation. Buffers grow as they are needed, up to these bounds.
 */
struct rit_config {
    /**
     * sizeof(struct rit_config).
     */
    uint32_t struct_size;
    /**
     * RIT_ABI_VERSION.
     */
    uint32_t abi_version;
    /**
     * Sessions at once, opened here and by peers together; default 16.
     */
    uint32_t max_sessions;
    /**
     * Services offered here, at most 32; default 16.
     */
    uint32_t max_services;
    /**
     * Peers that rit_peer_allow has let in; default 64.
     */
    uint32_t max_peers;
    /**
     * Streams of one session, for each end that opens them, at most 2^30; default 1024.
     */
    uint32_t max_streams;
    /**
     * Bytes received and not read yet of one stream, 256 to session_window; default 262144. More
     * than that only a stream has whose reader keeps up.
     */
    uint32_t stream_window;
    /**
     * Bytes received and not read yet of all streams of one session, where addresses have 32 bits
     * at most 2^30; default 4194304.
     */
    uint32_t session_window;
    /**
     * Bytes written and not acknowledged yet of one stream, at least 256, where addresses have 32
     * bits at most 2^30; default 262144.
     */
    uint32_t stream_send_buffer;
    /**
     * The largest UDP payload sent and received, 512 to 9000 bytes; default 1452. What goes
     * through a relay is 9 bytes longer, 71 until the relay has answered, unless rit_node_transmit
     * is given less room. For a link of 576 bytes that may not be passed: 539.
     */
    uint32_t max_datagram;
    /**
     * A session without a packet for this long is over, in milliseconds; default 30000.
     */
    uint32_t idle_timeout_ms;
    /**
     * A quiet session, and the link to the broker, sends a packet this often, in milliseconds;
     * UINT32_MAX: never; default 10000 for sessions, and for the link as seldom as the NAT lets
     * it: 28500, or 115000 where rit_io.sockets is not 0 and the broker finds that possible.
     */
    uint32_t keep_alive_ms;
    /**
     * Flows of one session, both directions together; default 64; UINT32_MAX: none.
     */
    uint32_t max_flows;
    /**
     * Datagrams of one session that may wait, each way; default 256; UINT32_MAX: none, so that
     * messages of flows go on streams only.
     */
    uint32_t datagram_queue;
    /**
     * Bytes of datagrams that may wait to be sent, at most 2^30; default 65536.
     */
    uint32_t datagram_send_buffer;
    /**
     * Bytes of datagrams received and not read yet, at most 2^30; default 65536. For more the
     * oldest makes room.
     */
    uint32_t datagram_recv_buffer;
    /**
     * 0.
     */
    uint64_t reserved[2];
};

/**
 * A remote UDP address as the port sees it.
 */
struct rit_path {
    /**
     * sizeof(struct rit_path).
     */
    uint32_t struct_size;
    /**
     * The port's number of the interface; 0: whichever routing chooses. Two paths that differ in
     * it are different paths: a datagram that came in has the number only if the node sent to that
     * address by that interface, or the address means nothing without it (IPv6 link-local).
     */
    uint32_t ifindex;
    /**
     * IPv6 address in network order; IPv4 as ::ffff:a.b.c.d.
     */
    uint8_t ip[16];
    /**
     * UDP port in host order, not 0; of a RIT_SOCKET_TLS the TCP port.
     */
    uint16_t port;
    /**
     * Which of the port's own sockets the datagram leaves from or came in by: 0 the one that it
     * always has, 1 to rit_io.sockets one of those, RIT_SOCKET_IDENTIFY that of RIT_IDENTIFY_PORT,
     * RIT_SOCKET_TLS none but a TCP connection.
     */
    uint16_t socket;
    /**
     * The ECN codepoint of the IP packet (RFC 3168), 0 to 3: that a datagram came with, in
     * rit_node_receive and rit_io.recv; that it is to be sent with, in rit_io.send and
     * rit_io.send_batch. A system that cannot tell or set it leaves it 0, and 0 elsewhere.
     */
    uint8_t ecn;
    /**
     * 0.
     */
    uint8_t reserved[3];
};

/**
 * Bytes that lie together: a piece of what is hashed, or of what is written to a stream.
 */
struct rit_bytes {
    /**
     * Null only if len is 0.
     */
    const uint8_t *data;
    /**
     * How many bytes.
     */
    size_t len;
};

/**
 * Crypto that the integrator computes: by an accelerator, a secure element, another library. Each
 * entry is OPTIONAL; what is null the library computes itself, and a library built without `aes`
 * uses AES only if aes_gcm_seal, aes_gcm_open and aes_block are all there. For each the answer is
 * 0 for done; anything else is a failure, of which nothing else is believed. A packet that could
 * not be sealed or opened counts as lost and is repeated in time. A failure in a handshake ends
 * that handshake: the session ends with RIT_ERR_CRYPTO, the link to the broker is tried again. A
 * session that times out while packets fail here ends with RIT_ERR_CRYPTO too. A hash that fails
 * outside of a handshake is computed by the library.
 *
 * The rules of rit_io hold: called on your thread, inside a call of the node, which answers
 * RIT_ERR_REENTRY meanwhile; no blocking, throwing, or jumping out. Pointers are good only during
 * the call; keys are secret and not to be kept. Buffers may have any alignment, and aad, parts and
 * buf never overlap.
 */
struct rit_crypto {
    /**
     * sizeof(struct rit_crypto).
     */
    uint32_t struct_size;
    /**
     * RIT_CRYPTO_FAST_AES or 0; without aes_gcm_seal it is ignored.
     */
    uint32_t flags;
    /**
     * Handed back in every call; the library does not look at it. Must outlive the node.
     */
    void *ctx;
    /**
     * OPTIONAL. AES-128-GCM (RFC 5116): encrypts the len bytes of buf in place and writes the 16
     * bytes of the tag behind them, to buf + len. key: 16 bytes, nonce: 12, aad: aad_len bytes,
     * 1 to 64; len may be 0. For each packet; no nonce comes twice with a key.
     */
    int32_t (*aes_gcm_seal)(void *ctx,
                            const uint8_t *key,
                            const uint8_t *nonce,
                            const uint8_t *aad,
                            size_t aad_len,
                            uint8_t *buf,
                            size_t len);
    /**
     * OPTIONAL. The reverse: decrypts the len bytes of buf in place, if the tag at buf + len is
     * right; else RIT_CRYPTO_FORGED, and buf may hold anything. It compares tags in constant time.
     */
    int32_t (*aes_gcm_open)(void *ctx,
                            const uint8_t *key,
                            const uint8_t *nonce,
                            const uint8_t *aad,
                            size_t aad_len,
                            uint8_t *buf,
                            size_t len);
    /**
     * OPTIONAL. ChaCha20-Poly1305 (RFC 8439): as aes_gcm_seal, with a key of 32 bytes.
     */
    int32_t (*chacha_seal)(void *ctx,
                           const uint8_t *key,
                           const uint8_t *nonce,
                           const uint8_t *aad,
                           size_t aad_len,
                           uint8_t *buf,
                           size_t len);
    /**
     * OPTIONAL. As aes_gcm_open, with a key of 32 bytes.
     */
    int32_t (*chacha_open)(void *ctx,
                           const uint8_t *key,
                           const uint8_t *nonce,
                           const uint8_t *aad,
                           size_t aad_len,
                           uint8_t *buf,
                           size_t len);
    /**
     * OPTIONAL. AES-128 encryption of one block (ECB), for header protection: in and out have 16
     * bytes, as the key has. Once for each packet under AES-GCM.
     */
    int32_t (*aes_block)(void *ctx, const uint8_t *key, const uint8_t *block, uint8_t *out);
    /**
     * OPTIONAL. One block of ChaCha20's key stream (RFC 8439 section 2.3), for header protection:
     * key 32 bytes, any counter, nonce 12, out 64. Once for each packet under ChaCha20-Poly1305.
     */
    int32_t (*chacha_block)(void *ctx,
                            const uint8_t *key,
                            uint32_t counter,
                            const uint8_t *nonce,
                            uint8_t *out);
    /**
     * OPTIONAL. SHA-256 of the count parts one after the other, 0 to RIT_SHA256_PARTS_MAX, in one
     * go; 32 bytes to out. HMAC is made of it too, so parts may be secret. The hash of the
     * handshake's transcript, taken several times while it grows, is always the library's.
     */
    int32_t (*sha256)(void *ctx, const struct rit_bytes *parts, size_t count, uint8_t *out);
    /**
     * OPTIONAL. X25519 (RFC 7748): scalar, point and out have 32 bytes, little-endian; the scalar
     * is to be clamped, the highest bit of the point is to be ignored. Twice for each handshake,
     * once of them with the base point, 9. It takes the same time for each scalar.
     */
    int32_t (*x25519)(void *ctx, const uint8_t *scalar, const uint8_t *point, uint8_t *out);
    /**
     * OPTIONAL, together with sign: the node's private key is held elsewhere. Then neither load
     * nor store of rit_io are called for RIT_SLOT_IDENTITY. Writes the public key to out: of
     * RIT_KEY_ED25519 32 bytes, of RIT_KEY_P256 65, the uncompressed point (4, x, y). Called only
     * by rit_node_new, once.
     */
    int32_t (*public_key)(void *ctx, uint8_t *out);
    /**
     * OPTIONAL, together with public_key. Writes the 64 bytes of a signature to out. For
     * RIT_KEY_ED25519 msg is the message; for RIT_KEY_P256 it is the message's SHA-256, 32 bytes,
     * and the signature is r and s of ECDSA, 32 bytes each, big-endian. Once for each handshake;
     * 0.1 s is not too long, for what comes meanwhile waits in your stack.
     */
    int32_t (*sign)(void *ctx, const uint8_t *msg, size_t len, uint8_t *out);
    /**
     * RIT_KEY_ED25519 or RIT_KEY_P256; 0 without sign.
     */
    uint32_t key_kind;
    /**
     * 0.
     */
    uint32_t reserved;
};

/**
 * What the integrator provides. The table is copied at creation; ctx is handed back in every call
 * and must outlive the node. Callbacks are called on the thread that called the library, only from
 * inside such a call, and must not block, throw, or jump out. Calling the library for the same
 * node from inside a callback answers RIT_ERR_REENTRY.
 */
struct rit_io {
    /**
     * sizeof(struct rit_io).
     */
    uint32_t struct_size;
    /**
     * How many local UDP ports send can leave from beside its own: 0 to RIT_SOCKETS_MAX, 512 where
     * there is room for them for some seconds, 0 where there is not. A node behind a NAT that
     * gives each address called another port needs them to be reached directly by one that such
     * ports are strange to (RFC 4787, endpoint-dependent mapping and filtering). rit_path.socket
     * says which; the port opens one when it is first sent from, hands over what arrives there,
     * and closes it once nothing was sent from it for 150 s, or for a minute if nothing ever
     * arrived there. The last is for finding out how long the NAT remembers.
     */
    uint32_t sockets;
    /**
     * Handed back in every call; the library does not look at it.
     */
    void *ctx;
    /**
     * REQUIRED. Microseconds since any fixed moment, never going back. Called once per call into
     * the library.
     */
    uint64_t (*now_us)(void *ctx);
    /**
     * REQUIRED. Fills out with len bytes from a true random source and returns 0; anything else:
     * failure. Called only by rit_node_new, a few times for 32 bytes each; everything secret
     * follows from them. On a device: the hardware generator, not a seeded rand().
     */
    int32_t (*entropy)(void *ctx, uint8_t *out, size_t len);
    /**
     * REQUIRED of those who do not call rit_node_transmit instead. Sends one UDP datagram; 0:
     * taken; anything else: it counts as lost on the way and is repeated in time. to and pkt are
     * good only during the call.
     */
    int32_t (*send)(void *ctx, const struct rit_path *to, const uint8_t *pkt, size_t len);
    /**
     * OPTIONAL, for polled stacks: rit_node_poll takes datagrams through it. Writes one datagram
     * of at most cap bytes to buf and its source to from (struct_size is filled in already);
     * returns its length, 0 if there is none, negative on failure (taken as none). A longer
     * datagram may be dropped.
     */
    int32_t (*recv)(void *ctx, struct rit_path *from, uint8_t *buf, size_t cap);
    /**
     * OPTIONAL for those who ask rit_node_deadline instead. The one timer: rit_node_timeout is to
     * be called at deadline_us on the clock of now_us; replaces the former deadline. UINT64_MAX:
     * none. May lie in the past: then call soon, but not from in here. Called when the deadline
     * changed, and by rit_node_timeout.
     */
    void (*set_timer)(void *ctx, uint64_t deadline_us);
    /**
     * OPTIONAL, together with store. Reads what was stored in a slot (RIT_SLOT_*) into buf;
     * returns its length, 0 if nothing was ever stored, negative on failure. Without load and
     * store the node has a new identity each time.
     */
    int32_t (*load)(void *ctx, uint32_t slot, uint8_t *buf, size_t cap);
    /**
     * OPTIONAL, together with load. Replaces what is in a slot by len bytes, at most RIT_SLOT_MAX
     * (RIT_SLOT_TRUST: RIT_SLOT_TRUST_MAX);
     * 0: it is safe there even if power fails now; anything else: failure, and the old content is
     * still there. The identity slot holds a private key: let nobody else read it.
     */
    int32_t (*store)(void *ctx, uint32_t slot, const uint8_t *buf, size_t len);
    /**
     * OPTIONAL. A line of text for people, without a line end, at a level RIT_LOG_*; never a
     * secret. msg is good only during the call. A library built without texts does not call it.
     */
    void (*log)(void *ctx, int32_t level, const char *msg);
    /**
     * OPTIONAL, for systems that send many datagrams in one call (UDP_SEGMENT of Linux): called
     * instead of send where several go to one address. pkts holds len bytes: datagrams of size
     * bytes each, end to end; the last may be shorter. At most RIT_BATCH_MAX of them and
     * RIT_BATCH_LEN_MAX bytes, for which the node keeps a buffer. Answers as send does.
     */
    int32_t (*send_batch)(void *ctx,
                          const struct rit_path *to,
                          const uint8_t *pkts,
                          size_t len,
                          size_t size);
    /**
     * OPTIONAL, together with tcp_close: for networks that block UDP. Writes bytes to the TCP
     * connection to the address of to, whose socket is RIT_SOCKET_TLS and whose ifindex is 0; that
     * path is the connection's name. Where there is none yet, begins to open it and takes none.
     * Returns how many of the len bytes it took, 0 if none can be taken now, negative if there is
     * no connection and none can be opened. After less than len it is not called again for this
     * connection before rit_node_tcp_writable. The bytes are TLS already; there are at most 8
     * connections. On lwIP's raw API: tcp_new and tcp_connect the first time, then tcp_write of up
     * to tcp_sndbuf with TCP_WRITE_FLAG_COPY, and tcp_output; the callbacks of tcp_connect and
     * tcp_sent call rit_node_tcp_writable, that of tcp_recv gives each pbuf to
     * rit_node_tcp_receive, or for a null one closes and calls rit_node_tcp_closed, as that of
     * tcp_err does without closing. None of them runs inside a call of the library, but where
     * tcp_output delivers at once (a loopback interface): there put it off.
     */
    int32_t (*tcp_write)(void *ctx, const struct rit_path *to, const uint8_t *bytes, size_t len);
    /**
     * OPTIONAL, together with tcp_write. Closes the connection to to, if there is one; nothing is
     * called for it any more. What was written need not arrive. The next tcp_write opens another.
     */
    void (*tcp_close)(void *ctx, const struct rit_path *to);
    /**
     * OPTIONAL: 1, or 0 where the port does nothing of this. A peer on the same network is found
     * even if nobody could tell its address. The port listens at RIT_LAN_PORT of the groups of
     * RIT_LAN_GROUP, on each interface and beside other programs (SO_REUSEADDR), and hands in what
     * comes there as if it had come to its own socket: from the sender's own address, with socket
     * 0 and ifindex as ever. What send is given for a group leaves from that socket too, by each
     * of those interfaces, with a TTL or hop limit of 1. It is a few datagrams a session, and none
     * where the peer is near already. On lwIP: igmp_joingroup and mld6_joingroup, and a second
     * udp_pcb.
     */
    uint32_t multicast;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * OPTIONAL. Crypto that the integrator computes, and the node's private key if it is held
     * elsewhere; copied. Null: the library computes all itself. In a library built without
     * `own-crypto` it must be null, or rit_node_new and rit_selftest_new answer ARG.
     */
    const struct rit_crypto *crypto;
    /**
     * OPTIONAL. Makes a statement of what code runs here, for a peer that demands one: writes it
     * to out, at most cap bytes (RIT_ATTESTATION_MAX), and returns its length; 0 or less: there is
     * none, and that peer ends the session. The statement must have challenge, 32 bytes, in it: it
     * names the session, this node and the question, so that a statement cannot be passed on by
     * somebody else. What makes it is the integrator's: a quote of a TPM, what a secure element
     * signs of the boot's measurements. Called once for each session in which it is demanded. In a
     * library built without `attest` it must be null.
     */
    int32_t (*attest)(void *ctx, const uint8_t *challenge, uint8_t *out, size_t cap);
    /**
     * OPTIONAL. Where it is set, each peer must state what code it runs before a session with it
     * is up, whoever opened it; 10 s are given. Checks the statement of peer (RIT_KEY_LEN bytes):
     * that it is of code that is trusted, that whoever measures signed it, and that challenge, 32
     * bytes, is in it. 0: the session begins; anything else, or a peer that gives none: it ends,
     * and SESSION_DOWN tells DENIED to whoever was to be told. In a library built without
     * `attest` it must be null.
     */
    int32_t (*check_attestation)(void *ctx,
                                 const uint8_t *peer,
                                 const uint8_t *challenge,
                                 const uint8_t *statement,
                                 size_t len);
};

/**
 * Counters of a node. They start at 0 with it and do not go back, but for those marked "now".
 */
struct rit_stats {
    /**
     * sizeof(struct rit_stats); set by the caller.
     */
    uint32_t struct_size;
    /**
     * 0.
     */
    uint32_t reserved0;
    /**
     * Datagrams handed in.
     */
    uint64_t datagrams_received;
    /**
     * Datagrams handed to rit_io.send.
     */
    uint64_t datagrams_sent;
    /**
     * Payload bytes of the datagrams handed in.
     */
    uint64_t bytes_received;
    /**
     * Payload bytes of the datagrams handed to rit_io.send.
     */
    uint64_t bytes_sent;
    /**
     * Datagrams that belong to nothing known here; they are never answered.
     */
    uint64_t datagrams_dropped;
    /**
     * Packets declared lost on the connections there are now.
     */
    uint64_t packets_lost;
    /**
     * Sessions, now.
     */
    uint32_t sessions;
    /**
     * Streams, now.
     */
    uint32_t streams;
    /**
     * Bytes of streams not read by the application or not acknowledged by the peer, now.
     */
    uint64_t buffered_bytes;
    /**
     * Memory of stream and datagram buffers in bytes, now.
     */
    uint64_t buffer_memory;
    /**
     * Flows, now.
     */
    uint64_t flows;
    /**
     * Messages of flows given up before they were sent, for their expiry or because the path
     * carries less than it did; on the connections there are now.
     */
    uint64_t messages_unsent;
    /**
     * Messages that came as datagrams and were dropped unread, because too many waited or their
     * flow was over; on the connections there are now.
     */
    uint64_t messages_unread;
    /**
     * 0.
     */
    uint64_t reserved[1];
};

/**
 * Handle of a session; 0 is none. A generation is inside: a stale one is RIT_ERR_HANDLE.
 */
typedef uint64_t rit_session;

/**
 * Handle of a stream, of whichever session; 0 is none. A generation is inside: a stale one is
 * RIT_ERR_HANDLE.
 */
typedef uint64_t rit_stream;

/**
 * Handle of a service offered here; 0 is none.
 */
typedef uint64_t rit_service_id;

/**
 * Handle of a UDP flow, of whichever session; 0 is none. A generation is inside: a stale one is
 * RIT_ERR_HANDLE.
 */
typedef uint64_t rit_flow;

/**
 * What happened. Fields that the type's comment does not name are 0.
 */
struct rit_event {
    /**
     * sizeof(struct rit_event); set by the caller.
     */
    uint32_t struct_size;
    /**
     * RIT_EVENT_*. Types of later versions may come: ignore those you do not know.
     */
    uint32_t type;
    /**
     * RIT_OK or RIT_ERR_*.
     */
    int32_t error;
    /**
     * 1 or 0.
     */
    uint32_t is_initiator;
    /**
     * Which session.
     */
    rit_session session;
    /**
     * Which stream.
     */
    rit_stream stream;
    /**
     * Which service of this node.
     */
    rit_service_id service;
    /**
     * A number from the peer.
     */
    uint64_t code;
    /**
     * The peer's public key.
     */
    uint8_t peer[RIT_KEY_LEN];
    /**
     * Which flow.
     */
    rit_flow flow;
    /**
     * Which request.
     */
    uint64_t request;
    /**
     * 0.
     */
    uint64_t reserved[2];
};

/**
 * Where a broker is, or a gateway that is one, and who it must be.
 */
struct rit_broker {
    /**
     * sizeof(struct rit_broker).
     */
    uint32_t struct_size;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * Its public key: whoever answers at its addresses must prove to hold it. From rit_uri_parse.
     */
    uint8_t key[RIT_KEY_LEN];
    /**
     * Its addresses, 1 to 8; all are tried at once.
     */
    const struct rit_path *paths;
    /**
     * How many.
     */
    size_t path_count;
    /**
     * The one-time code from the broker's operator, 1 to 64 bytes; null once enrolled. It is
     * used only if the broker does not know this node yet.
     */
    const char *enrol_code;
};

/**
 * What a grant says: who may do what with a device, until when.
 */
struct rit_grant {
    /**
     * sizeof(struct rit_grant).
     */
    uint32_t struct_size;
    /**
     * Sum of RIT_RIGHT_*, not 0.
     */
    uint32_t rights;
    /**
     * The device's key.
     */
    uint8_t device[RIT_KEY_LEN];
    /**
     * Who may: the key of the node that will open sessions.
     */
    uint8_t subject[RIT_KEY_LEN];
    /**
     * By this it is taken back; keep it. All zero: a random one is drawn, and rit_grant_sign
     * writes it here.
     */
    uint8_t id[RIT_GRANT_ID_LEN];
    /**
     * When it is made, in seconds since 1970; 0 where nobody knows. A list with a floor takes back
     * what was made before.
     */
    uint64_t issued_s;
    /**
     * Not good before this second; 0: at once.
     */
    uint64_t not_before_s;
    /**
     * No longer good from this second on; 0: for ever, or until it is taken back.
     */
    uint64_t expires_s;
    /**
     * The ownership that it belongs to: the epoch of rit_ownership, as the claim told it.
     */
    uint32_t epoch;
    /**
     * How often it may be passed on, 0 to 3, each time once less.
     */
    uint8_t depth;
    /**
     * 1: the device lets nobody in by it without a fresh word of its broker; 0 otherwise.
     */
    uint8_t must_be_fresh;
    /**
     * Names in services, at most 32; 0: all services, those that come later included.
     */
    uint16_t service_count;
    /**
     * The services, by name; null for all.
     */
    const char *const *services;
    /**
     * 0.
     */
    size_t reserved;
};

/**
 * What an owner has taken back: the whole list, which takes the place of the one before.
 */
struct rit_revoked {
    /**
     * sizeof(struct rit_revoked).
     */
    uint32_t struct_size;
    /**
     * The ownership that it belongs to.
     */
    uint32_t epoch;
    /**
     * The device's key.
     */
    uint8_t device[RIT_KEY_LEN];
    /**
     * Higher than in the list before, from 1 on.
     */
    uint64_t number;
    /**
     * Now, in seconds since 1970.
     */
    uint64_t issued_s;
    /**
     * Grants made before this second are no longer good; 0: none for that.
     */
    uint64_t floor_s;
    /**
     * IDs of grants, RIT_GRANT_ID_LEN bytes each, end to end; null if there are none.
     */
    const uint8_t *ids;
    /**
     * How many, at most 64.
     */
    size_t id_count;
    /**
     * Keys that nothing is granted to any more, nor through them, RIT_KEY_LEN bytes each, end to
     * end; null if there are none.
     */
    const uint8_t *keys;
    /**
     * How many, at most 16.
     */
    size_t key_count;
};

/**
 * What rit_cloak_sign signs: that a device answers who asks who is there, or no more.
 */
struct rit_cloak {
    /**
     * sizeof(struct rit_cloak).
     */
    uint32_t struct_size;
    /**
     * The ownership that it belongs to.
     */
    uint32_t epoch;
    /**
     * The device's key.
     */
    uint8_t device[RIT_KEY_LEN];
    /**
     * Higher than in any before for this device, from 1 on; such as the time in seconds.
     */
    uint64_t number;
    /**
     * Now, in seconds since 1970.
     */
    uint64_t issued_s;
    /**
     * For so many seconds, at most RIT_CLOAK_FOR_MAX_S; 0: no more, at once.
     */
    uint32_t for_s;
    /**
     * 0.
     */
    uint32_t reserved;
};

/**
 * Whom a device obeys.
 */
struct rit_ownership {
    /**
     * sizeof(struct rit_ownership); set by the caller.
     */
    uint32_t struct_size;
    /**
     * 1: it has an owner; 0: whoever knows its claim secret may become it.
     */
    uint32_t is_claimed;
    /**
     * The owner's key; zero where there is none.
     */
    uint8_t owner[RIT_KEY_LEN];
    /**
     * The number of this ownership, or of the last one.
     */
    uint32_t epoch;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * The number of the newest revocation list; 0: there was none.
     */
    uint64_t list;
};

/**
 * A service to offer.
 */
struct rit_service {
    /**
     * sizeof(struct rit_service).
     */
    uint32_t struct_size;
    /**
     * RIT_SERVICE_TCP or RIT_SERVICE_UDP.
     */
    uint16_t kind;
    /**
     * The port people know such a service by, such as 80; told to the peer. 0: none.
     */
    uint16_t port;
    /**
     * Its name: 1 to 63 characters of a-z 0-9 - _ and dot, with a NUL.
     */
    const char *name;
    /**
     * A flow of a UDP service ends after so many milliseconds without a message either way, at
     * least 30000; 0: 120000 (RFC 4787, REQ-5).
     */
    uint32_t flow_idle_ms;
    /**
     * 1: it may be used by a grant only if the broker said just before the session that it still
     * holds, so that a list that is on its way cannot be kept from the device; the peers of
     * rit_peer_allow are not concerned. 0 otherwise, and in a library built without `trust`.
     */
    uint32_t must_be_fresh;
};

/**
 * Whom to reach.
 */
struct rit_target {
    /**
     * sizeof(struct rit_target).
     */
    uint32_t struct_size;
    /**
     * 0.
     */
    uint32_t reserved;
    /**
     * The device's public key.
     */
    uint8_t device[RIT_KEY_LEN];
    /**
     * The chain of grants by which this node may use it, as whoever granted it handed it over;
     * null for the device's owner, and where the device has this node on its list.
     */
    const uint8_t *chain;
    /**
     * Its bytes, at most RIT_CHAIN_MAX; 0 without one.
     */
    size_t chain_len;
};

/**
 * What is known of a session.
 */
struct rit_session_info {
    /**
     * sizeof(struct rit_session_info); set by the caller.
     */
    uint32_t struct_size;
    /**
     * 1: opened here; 0: by the peer.
     */
    uint32_t is_initiator;
    /**
     * 1: streams can be opened; 0: not yet.
     */
    uint32_t is_up;
    /**
     * Services the device offers; 0 at the device itself. See rit_session_service.
     */
    uint32_t service_count;
    /**
     * The public key at the other end.
     */
    uint8_t peer[RIT_KEY_LEN];
    /**
     * Where the peer is; port 0 before it has answered.
     */
    struct rit_path path;
    /**
     * RIT_PATH_DIRECT or RIT_PATH_RELAY; path is the relay's then.
     */
    uint32_t path_kind;
    /**
     * Paths that rit_session_path tells of.
     */
    uint32_t path_count;
    /**
     * Smoothed round-trip time in microseconds; 0 before it is known.
     */
    uint64_t rtt_us;
    /**
     * 0.
     */
    uint64_t reserved[3];
};

/**
 * A service that the device at the other end of a session offers.
 */
struct rit_service_info {
    /**
     * sizeof(struct rit_service_info); set by the caller.
     */
    uint32_t struct_size;
    /**
     * RIT_SERVICE_TCP or RIT_SERVICE_UDP; ignore services of other kinds.
     */
    uint16_t kind;
    /**
     * The port people know it by; 0: none.
     */
    uint16_t port;
    /**
     * Its name, with a NUL.
     */
    char name[RIT_SERVICE_NAME_MAX];
};

/**
 * A path of a session, and what is known of it.
 */
struct rit_path_info {
    /**
     * sizeof(struct rit_path_info); set by the caller.
     */
    uint32_t struct_size;
    /**
     * RIT_PATH_DIRECT or RIT_PATH_RELAY; path is the relay's then.
     */
    uint32_t kind;
    /**
     * Where the peer may be.
     */
    struct rit_path path;
    /**
     * Questions sent there since the last answer.
     */
    uint32_t asked;
    /**
     * RIT_PATH_UNKNOWN, RIT_PATH_ANSWERS or RIT_PATH_SILENT.
     */
    uint32_t state;
    /**
     * Microseconds: the least of its last round trips, of the path in use the smoothed one; 0: the
     * peer never answered there.
     */
    uint64_t rtt_us;
    /**
     * RIT_PATH_SILENT: microseconds since the last answer; otherwise 0.
     */
    uint64_t silent_us;
    /**
     * Datagrams of this session sent there. Of paths that carried little it may be forgotten.
     */
    uint64_t datagrams_sent;
    /**
     * Their bytes of UDP payload, without what a relay adds.
     */
    uint64_t bytes_sent;
    /**
     * Datagrams of this session that came from there, bogus ones included.
     */
    uint64_t datagrams_received;
    /**
     * Their bytes.
     */
    uint64_t bytes_received;
    /**
     * 0.
     */
    uint64_t reserved[2];
};

/**
 * How full the pipe to a session's peer is.
 *
 * A sender that makes its own bytes, as a camera does, asks before it makes the next ones: it has
 * room for about forecast_bytes - queued_bytes in the next 100 ms. While delay_us is large,
 * drain_rate is what the path carries, and a rate to aim at is somewhat below it. While it is
 * small, drain_rate is no more than what was sent: go on as before, and try a little more from
 * time to time. examples-c/camera.c does so.
 */
struct rit_pipe {
    /**
     * sizeof(struct rit_pipe); set by the caller.
     */
    uint32_t struct_size;
    /**
     * 0.
     */
    uint32_t reserved0;
    /**
     * Bytes of streams and messages that wait in the library.
     */
    uint64_t queued_bytes;
    /**
     * Bytes sent, with headers, of which nothing is known yet.
     */
    uint64_t in_flight_bytes;
    /**
     * Bytes a second, with headers, that arrived at the peer in the last 200 ms; 0 before it is
     * known. A path that is not full would carry more.
     */
    uint64_t drain_rate;
    /**
     * Microseconds that queues on the way add: the last round trip less the shortest on this path.
     */
    uint64_t queueing_delay_us;
    /**
     * Microseconds that a byte written now waits, here and on the way, beyond what an empty path
     * takes; no more than a minute. What may leave at once by the congestion controller does not
     * count as waiting here.
     */
    uint64_t delay_us;
    /**
     * Bytes, with headers, that will be delivered within the next 100 ms with a probability of
     * about 95 %, by how the path varied lately; 0 before it is known. As with drain_rate, a path
     * that is not full would deliver more.
     */
    uint64_t forecast_bytes;
    /**
     * 0.
     */
    uint64_t reserved[3];
};

/**
 * What the self-test is to know. 0 in any of them is fine.
 */
struct rit_selftest_config {
    /**
     * sizeof(struct rit_selftest_config).
     */
    uint32_t struct_size;
    /**
     * The processor's frequency in MHz, which tells a clock that is wrong by a factor of a hundred
     * for certain; 0: unknown, and only a clock that no processor could have is wrong.
     */
    uint32_t cpu_mhz;
    /**
     * Where datagrams come back from: this device's own address and port, if its stack delivers to
     * itself, or an echo service (RFC 862). Null: sockets are not tested. Needs rit_io.send. Not
     * kept.
     */
    const struct rit_path *echo;
    /**
     * As rit_config.max_datagram: 512 to 9000; 0: 1452.
     */
    uint32_t max_datagram;
    /**
     * Bytes of heap that should be free, in 64 blocks; 0: 32768.
     */
    uint32_t heap;
    /**
     * 1: the test ran before on this device and the device was switched off since, so that storage
     * must remember it and entropy be new; 0: not so, or unknown.
     */
    uint32_t is_after_reset;
    /**
     * 0.
     */
    uint32_t reserved;
};

/**
 * What the self-test found.
 */
struct rit_finding {
    /**
     * sizeof(struct rit_finding); set by the caller.
     */
    uint32_t struct_size;
    /**
     * RIT_SELFTEST_*; from RIT_SELFTEST_NOTE on it is no fault.
     */
    uint32_t code;
    /**
     * What was measured; the code's comment says what it is.
     */
    int64_t value;
    /**
     * What it should have been; 0 where the code's comment names none.
     */
    int64_t wanted;
};

/**
 * The library's RIT_ABI_VERSION, for comparison with the header's. Callable anywhere.
 */
uint32_t rit_abi_version(void);

/**
 * The library's version as text, such as "0.1.0"; good for ever. Callable anywhere.
 */
const char *rit_version(void);

/**
 * A short English description of an error code; good for ever, never null, also for numbers that
 * are no code; empty in a library built without texts. Callable anywhere.
 */
const char *rit_strerror(int32_t err);

/**
 * Gives the library the memory that it allocates from, once, before anything else. For builds for
 * bare metal; without it every rit_node_new answers NOMEM. A library built for a system with
 * processes, or with the option `malloc`, has C's heap and answers STATE.
 *
 * memory: size bytes, of any alignment, the library's for good. Nodes of all kinds share it, and
 * no pointer into it is handed out but rit_node. The least of use, for a device with one session
 * and one stream at a time, windows and buffers of 2048 bytes and datagrams of 1280: 24 KiB on
 * 32-bit targets, 32 KiB on 64-bit ones. Some of it is asked for and given back at once: whatever
 * is kept leaves room for what goes on, and a connection is not begun that could not be finished.
 * What there is no room for is answered by NOMEM, or taken for lost on the way where the network
 * brings it; all else goes on, and works again once there is room.
 * Errors: NULL, ARG (too small for anything; more than UINT32_MAX), STATE (it has its memory, or
 * this build takes none). Callable in a callback, not in an ISR.
 */
int32_t rit_heap_init(void *memory, size_t size);

/**
 * Figures of that heap. The caller sets out->struct_size.
 *
 * Errors: NULL, SIZE, STATE (this build has C's heap). Callable in a callback, not in an ISR.
 */
int32_t rit_heap_info(struct rit_heap_info *out);

/**
 * Lets rit_heap_info.peak begin anew, at what is in use now: to see what one operation takes.
 *
 * Errors: STATE (this build has C's heap). Callable in a callback, not in an ISR.
 */
int32_t rit_heap_reset_peak(void);

/**
 * Fills in a configuration that means "all defaults": struct_size and abi_version set, the rest
 * zero. cfg need not be initialised; null is ignored. Callable anywhere.
 */
void rit_config_init(struct rit_config *cfg);

/**
 * Makes a node. It is not connected to anything yet: tell it what to offer and whom to let in,
 * then call rit_broker_connect.
 *
 * cfg: limits, from rit_config_init, or null for the defaults; copied. io: the callbacks; copied,
 * but io->ctx must outlive the node. err: where the reason of a failure goes (RIT_OK otherwise),
 * or null; details go to io->log. Returns the node, to be given to rit_node_free in the end; null
 * on failure.
 *
 * Draws randomness; loads the identity from RIT_SLOT_IDENTITY or, where that is empty, makes one
 * and stores it; where rit_io.crypto holds the key, it does neither. Calls now_us, entropy, load,
 * store, log, and entries of rit_io.crypto.
 *
 * Errors: NULL, ARG, SIZE, VERSION, NOMEM, ENTROPY, STORAGE, IDENTITY, CRYPTO. Not in a callback
 * of a node being made (that would not end), not in an ISR.
 */
struct rit_node *rit_node_new(const struct rit_config *cfg, const struct rit_io *io, int32_t *err);

/**
 * Frees a node and all its sessions, without a word to the peers, who notice by their idle
 * timeout; to say goodbye, close sessions first. Calls no callback. Null is ignored. Handles and
 * the pointer are invalid afterwards. Inside a callback of the node it does nothing. Not in an
 * ISR.
 */
void rit_node_free(struct rit_node *node);

/**
 * Who this node is: writes its public key, 32 bytes, to out.
 *
 * Errors: NULL, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_node_public_key(const struct rit_node *node, uint8_t out[RIT_KEY_LEN]);

/**
 * The detail of the last call on this node that failed, as English text for a log; empty if none
 * did, or in a library built without texts.
 *
 * out: cap bytes, of which the text takes what fits, always with a NUL at its end; null if cap is
 * 0. Returns the length of the whole text without the NUL, so a result of cap or more means that
 * it was cut. Errors: NULL, REENTRY. Not in a callback, not in an ISR.
 */
int32_t rit_node_last_error(const struct rit_node *node, char *out, size_t cap);

/**
 * Tells the node its own addresses, for peers that can reach it directly; replaces the former
 * ones. Not needed to be reachable at the address that the broker sees.
 *
 * paths: count addresses with the UDP port the node receives at; copied. At most 8.
 * Errors: NULL, ARG (port 0), SIZE, LIMIT, NOMEM (the former ones stay), REENTRY, INTERNAL.
 * Not in a callback, not in an ISR.
 */
int32_t rit_node_set_local_paths(struct rit_node *node, const struct rit_path *paths, size_t count);

/**
 * Tells the node that the system's addresses or routes changed, or that it was asleep: the broker
 * and every peer are asked at once whether they are there, from wherever this node is now, instead
 * of when they are next due. Ports call it when they know, after rit_node_set_local_paths if
 * addresses changed. Harmless at any time; it costs a packet or two for each session, so that a
 * burst of changes is better told once it is over.
 *
 * Errors: NULL, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_node_network_changed(struct rit_node *node);

/**
 * Counters. The caller sets out->struct_size.
 *
 * Errors: NULL, SIZE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_node_stats(const struct rit_node *node, struct rit_stats *out);

/**
 * Hands in one UDP datagram as it came from the network. What belongs to nothing known is dropped
 * without an answer, and RIT_OK: strangers are no error.
 *
 * from: the source. pkt: len bytes, not kept; an empty one, or one longer than max_datagram and
 * the 9 bytes of a relay, is dropped. Errors: NULL, ARG (from), SIZE, NOMEM (as if it had been
 * lost on the way: it will come again), REENTRY, INTERNAL. Not in a callback, not in an ISR: queue
 * datagrams there and hand them in from the main loop.
 */
int32_t rit_node_receive(struct rit_node *node,
                         const struct rit_path *from,
                         const uint8_t *pkt,
                         size_t len);

/**
 * Hands in several UDP datagrams of one source, as a system gives them that receives many in one
 * call (UDP_GRO of Linux): the same as rit_node_receive for each, with less work and no copy.
 *
 * from: the source; its ecn is that of all. pkts: datagrams of size bytes each, end to end, len
 * bytes in all; the last may be shorter. They are decrypted in place: what is in pkts afterwards
 * is of no use. Datagrams longer than max_datagram and the 9 bytes of a relay are dropped.
 * Errors: NULL, ARG (from; size 0), SIZE, NOMEM (for some of them, as in rit_node_receive),
 * REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_node_receive_batch(struct rit_node *node,
                               const struct rit_path *from,
                               uint8_t *pkts,
                               size_t len,
                               size_t size);

/**
 * For stacks with one packet buffer and for drivers whose frames are filled in place, instead of
 * rit_io.send: writes the next UDP datagram to send to buf. After any call of the library call it
 * until AGAIN, or as often as there is a frame free: what is not fetched is not lost, only later.
 * The deadline is that of a node that has nothing left to send.
 *
 * to: where it goes; the caller sets to->struct_size. buf: room for cap bytes, at least
 * max_datagram and 9 for a relay; the datagram takes no more than cap, also where a relay's header
 * is longer. len: gets its length.
 * Errors: AGAIN (nothing to send now), NULL, SIZE, BUFFER (cap), STATE (there is rit_io.send),
 * REENTRY, INTERNAL; *len is 0 then. Not in a callback, not in an ISR.
 */
int32_t rit_node_transmit(struct rit_node *node,
                          struct rit_path *to,
                          uint8_t *buf,
                          size_t cap,
                          size_t *len);

/**
 * Does what is due. Call it at or after the deadline; earlier is harmless: while there is a
 * deadline, rit_io.set_timer is told of it anew.
 *
 * Errors: NULL, NOMEM (something was put off, such as to call the broker again), REENTRY,
 * INTERNAL.
 * Not in a callback (not in set_timer either), not in an ISR.
 */
int32_t rit_node_timeout(struct rit_node *node);

/**
 * For polled stacks, one turn of the main loop: takes datagrams through rit_io.recv until there
 * are none, at most 64, then does what is due.
 *
 * Errors: NULL, STATE (there is no rit_io.recv), ARG (recv returned more than cap, or no valid
 * path), NOMEM (as in rit_node_receive), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_node_poll(struct rit_node *node);

/**
 * When rit_node_timeout is to be called next: microseconds on the clock of rit_io.now_us,
 * UINT64_MAX if never; also UINT64_MAX for null. May lie in the past. It is the same that
 * rit_io.set_timer is told. In a callback the answer is UINT64_MAX; not in an ISR.
 */
uint64_t rit_node_deadline(const struct rit_node *node);

/**
 * Hands in bytes as they came by a connection that rit_io.tcp_write opened.
 *
 * path: what tcp_write called it. bytes: len of them, not kept; any number, 16 KiB are plenty. Of
 * a connection that the node does not have (any more) they are dropped. Errors: NULL, ARG (path),
 * SIZE, STATE (there is no rit_io.tcp_write, or the library is built without TCP), REENTRY,
 * INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_node_tcp_receive(struct rit_node *node,
                             const struct rit_path *path,
                             const uint8_t *bytes,
                             size_t len);

/**
 * Says that a connection takes bytes again, after rit_io.tcp_write took less than all; also when
 * it is made. Calls tcp_write if there are some.
 *
 * path: what tcp_write called it. Errors: NULL, ARG (path), SIZE, STATE (as in
 * rit_node_tcp_receive), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_node_tcp_writable(struct rit_node *node, const struct rit_path *path);

/**
 * Says that a connection is over: closed or reset by the other end, or it could not be made. The
 * port has closed its socket. The node opens another one when it has to.
 *
 * path: what tcp_write called it. Errors: NULL, ARG (path), SIZE, STATE (as in
 * rit_node_tcp_receive), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_node_tcp_closed(struct rit_node *node, const struct rit_path *path);

/**
 * Takes the next event. Call it until RIT_ERR_AGAIN, after every call or every turn of the main
 * loop; memory for events is bounded, as each stream and flow waits in the queue at most once.
 *
 * The caller sets out->struct_size; out is written only with RIT_OK. Calls log.
 * Errors: AGAIN (none now), NULL, SIZE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_node_next_event(struct rit_node *node, struct rit_event *out);

/**
 * Connects to a broker and stays connected, trying again by itself with growing pauses of up to a
 * minute. Events: BROKER_ONLINE and BROKER_OFFLINE, as often as that changes; ENROLLED; or
 * ENROL_REFUSED, and then the node waits for the next call of this function.
 *
 * broker: copied with all it points to. Errors: NULL, ARG (no path, a port 0, length of the code),
 * SIZE, LIMIT (more than 8 paths), STATE (a link is up or being made), REENTRY, INTERNAL. Between
 * attempts a call replaces broker and code. Not in a callback, not in an ISR.
 */
int32_t rit_broker_connect(struct rit_node *node, const struct rit_broker *broker);

/**
 * Tells the node of a gateway of its LAN: a node that its operator lets be broker and relay there.
 * While the broker of rit_broker_connect is online, nothing is said to the gateway. Once it has
 * not been for 3 s, the node calls the gateway, again and again with pauses of up to 15 s, and
 * both ends of new sessions meet there; it goes on calling the broker, with pauses of up to 20 s.
 * When the broker has been online for 60 s, the gateway is left. Sessions go on through all of
 * that. So the broker's absence is noticed sooner, idle links ask for an answer each 28.5 s.
 *
 * Whoever answers must prove to hold the gateway's key, so that its addresses may come from where
 * nobody vouches for them, such as mDNS. Call this again whenever they are others: they are used
 * from the next attempt on, a link that is up is left alone, and the same again changes nothing.
 * Another key takes the place of the former gateway, and ends the link to it.
 *
 * Events: GATEWAY_ONLINE and GATEWAY_OFFLINE. rit_session_open works while either is online, and
 * where the broker does not find the device, and the gateway is online too, it asks there before
 * the session is given up. What asks for a fresh word of the broker (rit_service.must_be_fresh,
 * and grants that are to be fresh) is refused while only the gateway is online.
 *
 * gateway: copied with all it points to, as of rit_broker_connect; enrol_code: of the gateway.
 * Errors: NULL, ARG (as there), SIZE, LIMIT (more than 8 paths), STATE (the library is built
 * without `gateway`), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_gateway_connect(struct rit_node *node, const struct rit_broker *gateway);

/**
 * There is no gateway any more: a link to it is closed, with GATEWAY_OFFLINE if it was online, and
 * it is not called again. Sessions go on. Without a gateway nothing happens.
 *
 * Errors: NULL, STATE (the library is built without `gateway`), REENTRY, INTERNAL. Not in a
 * callback, not in an ISR.
 */
int32_t rit_gateway_forget(struct rit_node *node);

/**
 * Signs a grant with this node's key, and gives the chain to hand to whom it is for, who gives it
 * to rit_session_open.
 *
 * grant: copied; an id of zeros gets the drawn one. chain: the chain_len bytes of the chain that
 * this node was given itself, which the new grant narrows; null and 0 for the device's owner. out:
 * room for cap bytes, RIT_CHAIN_MAX always do; len: gets the length.
 * Errors: NULL, SIZE, ARG (a text or a number out of its range), GRANT (that is no grant, or no
 * chain; rit_node_last_error says why), BUFFER, CRYPTO (the key gave no signature), STATE (a
 * library built without `trust`), NOMEM, REENTRY, INTERNAL. Whether the chain lets this node pass
 * on so much, the device decides. Not in a callback, not in an ISR.
 */
int32_t rit_grant_sign(struct rit_node *node,
                       struct rit_grant *grant,
                       const uint8_t *chain,
                       size_t chain_len,
                       uint8_t *out,
                       size_t cap,
                       size_t *len);

/**
 * Signs a revocation list with this node's key, the device's owner's. rit_owner_tell takes it to
 * the device; whoever holds it may.
 *
 * list: copied with all it points to. out: room for cap bytes, RIT_REVOKED_MAX always do; len:
 * gets the length. Errors: NULL, SIZE, GRANT (too long, or no such list), BUFFER, CRYPTO, STATE (a
 * library built without `trust`), NOMEM, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_revoked_sign(struct rit_node *node,
                         const struct rit_revoked *list,
                         uint8_t *out,
                         size_t cap,
                         size_t *len);

/**
 * Signs that a device of this node's goes to a new owner. It works once; rit_owner_tell takes it
 * to the device. Grants and revocations of this ownership end with it.
 *
 * device, new_owner: RIT_KEY_LEN bytes each. epoch: of the ownership that ends. out: room for cap
 * bytes, RIT_TRANSFER_MAX always do; len: gets the length. Errors: NULL, BUFFER, CRYPTO, STATE (a
 * library built without `trust`), NOMEM, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_transfer_sign(struct rit_node *node,
                          const uint8_t device[RIT_KEY_LEN],
                          uint32_t epoch,
                          const uint8_t new_owner[RIT_KEY_LEN],
                          uint8_t *out,
                          size_t cap,
                          size_t *len);

/**
 * Signs with this node's key, the device's owner's, that the device may be found for a while, or
 * no more. rit_owner_tell takes it to the device, where it works once.
 *
 * cloak: copied. out: room for cap bytes, RIT_CLOAK_MAX always do; len: gets the length.
 * Errors: NULL, SIZE, ARG (number 0, for_s, reserved), BUFFER, CRYPTO, STATE (a library built
 * without `trust`), NOMEM, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_cloak_sign(struct rit_node *node,
                       const struct rit_cloak *cloak,
                       uint8_t *out,
                       size_t cap,
                       size_t *len);

/**
 * From now on the node obeys an owner, and lets in whom the owner granted it, beside the peers of
 * rit_peer_allow. Loads RIT_SLOT_TRUST: without an owner there, whoever proves to know the claim
 * secret, or a code that rit_claim_code_show made, becomes it. To be called once, before
 * rit_broker_connect. Events: CLAIMED, OWNER_CHANGED, REVOKED, CLOAK; each comes once it is
 * stored. Loads RIT_SLOT_CLOAK, too; what is wrong there only keeps this owner from uncloaking it.
 *
 * claim_secret: the RIT_CLAIM_SECRET_LEN bytes that this device was made with, and that its label
 * shows; copied. null: it can be claimed by a shown code alone.
 * Errors: NULL, STATE (called before; a library built without `trust`), STORAGE, TRUST (what is
 * stored is damaged: only rit_io.store of an empty state gets out of that), NOMEM, REENTRY,
 * INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_trust_start(struct rit_node *node, const uint8_t *claim_secret);

/**
 * Whom this node obeys. The caller sets out->struct_size.
 *
 * Errors: NULL, SIZE, STATE (rit_trust_start was not called; a library built without `trust`),
 * REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_owner_info(const struct rit_node *node, struct rit_ownership *out);

/**
 * Makes the device forget its owner and what was taken back: nobody may use it, and it can be
 * claimed anew. To be called only where somebody showed to be at the device, by a button that is
 * held or the like; nothing from the network can do it. OWNER_CHANGED follows, with a peer of
 * zeros.
 *
 * Errors: NULL, STATE (rit_trust_start was not called, or another change is not stored yet; a
 * library built without `trust`), NOMEM, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_factory_reset(struct rit_node *node);

/**
 * Makes a code for the device to show, on its display, its console or how it can: with it, and
 * within ten minutes, whoever sees it can claim the device once. It ends the one before, and lets
 * claims go on that were wrong too often.
 *
 * out: gets RIT_CLAIM_CODE_LEN bytes, a text with its NUL.
 * Errors: NULL, STATE (there is an owner, or rit_trust_start was not called; a library built
 * without `trust`), NOMEM, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_claim_code_show(struct rit_node *node, char out[RIT_CLAIM_CODE_LEN]);

/**
 * The code is shown no more, and good for nothing. Errors: NULL, STATE (a library built without
 * `trust`), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_claim_code_hide(struct rit_node *node);

/**
 * Tells the node the time of day, which it then believes before what its broker says. Where
 * nobody tells it, grants that expire need a broker that says the time. Sessions end whose grants
 * are over by it. Tell it again after the clock was set, not regularly.
 *
 * unix_s: seconds since 1970. Errors: NULL, STATE (a library built without `trust`), REENTRY,
 * INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_time_set(struct rit_node *node, uint64_t unix_s);

/**
 * Claims a device, which makes this node's key its owner's. OWNER_ANSWERED follows with the
 * request: error RIT_OK and code the epoch, which goes into grants; or why not.
 *
 * device: RIT_KEY_LEN bytes. text: the claim secret of its label, or the code that it shows, as
 * people type them. request: gets the number.
 * Errors: NULL, ARG (text: too long, a character or the check character is wrong), OFFLINE, LIMIT
 * (8 wait for an answer), STATE (a library built without `trust` or `initiator`), NOMEM, REENTRY,
 * INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_device_claim(struct rit_node *node,
                         const uint8_t device[RIT_KEY_LEN],
                         const char *text,
                         uint32_t *request);

/**
 * Sends a device what its owner signed. OWNER_ANSWERED follows with the request: error RIT_OK once
 * the device stored it, or why it did not.
 *
 * device: RIT_KEY_LEN bytes. what: RIT_TELL_*. statement: its len bytes. request: gets the number.
 * Errors: NULL, ARG (what; longer than 2048 bytes), OFFLINE, LIMIT (8 wait for an answer), STATE
 * (a library built without `trust` or `initiator`), NOMEM, REENTRY, INTERNAL. Not in a callback,
 * not in an ISR.
 */
int32_t rit_owner_tell(struct rit_node *node,
                       const uint8_t device[RIT_KEY_LEN],
                       uint32_t what,
                       const uint8_t *statement,
                       size_t len,
                       uint32_t *request);

/**
 * The claim secret of a text as people type it: 24 characters and a check character, in whatever
 * case, with or without hyphens and spaces.
 *
 * out: gets RIT_CLAIM_SECRET_LEN bytes. Errors: NULL, ARG (it is none), STATE (a library built
 * without `trust`). Callable anywhere but in an ISR.
 */
int32_t rit_claim_secret_from_text(const char *text, uint8_t out[RIT_CLAIM_SECRET_LEN]);

/**
 * The text of a claim secret, for a label or a QR code.
 *
 * secret: RIT_CLAIM_SECRET_LEN bytes. out: gets RIT_CLAIM_SECRET_TEXT_LEN bytes, with a NUL.
 * Errors: NULL, NOMEM, STATE (a library built without `trust`). Callable anywhere but in an ISR.
 */
int32_t rit_claim_secret_to_text(const uint8_t secret[RIT_CLAIM_SECRET_LEN],
                                 char out[RIT_CLAIM_SECRET_TEXT_LEN]);

/**
 * Lets a peer open sessions to this node and use all its services. Without it nobody may.
 *
 * key: the peer's public key, 32 bytes. Not stored: call it at each start. Allowing twice
 * is fine.
 * Errors: NULL, LIMIT (max_peers), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_peer_allow(struct rit_node *node, const uint8_t key[RIT_KEY_LEN]);

/**
 * Takes rit_peer_allow back. Sessions that the peer has opened end: SESSION_DOWN follows for each.
 *
 * key: the peer's public key, 32 bytes.
 * Errors: NULL, UNKNOWN (it was not allowed), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_peer_forbid(struct rit_node *node, const uint8_t key[RIT_KEY_LEN]);

/**
 * Offers a service, online or not. Peers that are allowed open streams or flows to it by its name,
 * each of which is told as STREAM_INCOMING or FLOW_INCOMING with this handle.
 *
 * service: copied with its name. out: gets the handle, good until rit_service_remove.
 * Errors: NULL, ARG (kind, flow_idle_ms, reserved), SIZE, NAME, EXISTS (the name, among services
 * of this kind), LIMIT (max_services), REENTRY,
 * INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_service_add(struct rit_node *node,
                        const struct rit_service *service,
                        rit_service_id *out);

/**
 * Withdraws a service; streams and flows that are open go on.
 *
 * Errors: NULL, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_service_remove(struct rit_node *node, rit_service_id service);

/**
 * Asks the broker, or the gateway while that is away, for a session with a device. SESSION_UP or
 * SESSION_DOWN follows with the handle. Opening is not waiting for: other sessions go on
 * meanwhile.
 *
 * target: copied with all it points to. out: gets the handle, good until SESSION_DOWN.
 * Errors: NULL, ARG (this node's own key; chain_len), SIZE, OFFLINE (neither is online: wait for
 * BROKER_ONLINE or GATEWAY_ONLINE), STATE (the library is built without `initiator`), LIMIT
 * (max_sessions), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_session_open(struct rit_node *node, const struct rit_target *target, rit_session *out);

/**
 * Ends a session and resets its streams. SESSION_DOWN follows with error RIT_OK; the peer gets its
 * own with error CLOSED and this code.
 *
 * code: 0 to 2^62 - 1, meaning what the two applications agree on; 0 for "done".
 * Errors: NULL, ARG (code), HANDLE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_session_close(struct rit_node *node, rit_session session, uint64_t code);

/**
 * What is known of a session. The caller sets out->struct_size.
 *
 * Errors: NULL, SIZE, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_session_info(const struct rit_node *node,
                         rit_session session,
                         struct rit_session_info *out);

/**
 * A service of the device at the other end, by its index from 0 to service_count - 1; as the
 * device told the broker when it was asked. The caller sets out->struct_size.
 *
 * Errors: NULL, ARG (no such index), SIZE, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an
 * ISR.
 */
int32_t rit_session_service(const struct rit_node *node,
                            rit_session session,
                            uint32_t index,
                            struct rit_service_info *out);

/**
 * A path of a session by its index from 0 to path_count - 1: 0 is the one in use, once the peer
 * answered; the others are those that were tried, in an order that may change from call to call.
 * The caller sets out->struct_size.
 *
 * Errors: NULL, ARG (no such index), SIZE, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an
 * ISR.
 */
int32_t rit_session_path(struct rit_node *node,
                         rit_session session,
                         uint32_t index,
                         struct rit_path_info *out);

/**
 * Writes why a session goes the way it does, in words, for people and logs: how each side's NAT
 * maps, the addresses that were tried and what came of it, and why the path is a relay, if it is.
 * The words may change with each version.
 *
 * out: gets the text, cut to cap - 1 bytes, and a NUL. A kilobyte holds most of them.
 * Errors: NULL, ARG (cap 0), HANDLE, NOMEM, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_node_explain(struct rit_node *node, rit_session session, char *out, size_t cap);

/**
 * How full the pipe is. The caller sets out->struct_size. Of a session that sends by CUBIC,
 * drain_rate and forecast_bytes are measured from the first call of this or rit_session_watch on.
 *
 * Errors: NULL, SIZE, HANDLE, STATE (the session is not up, or the library is built without
 * `media`), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_session_pipe(struct rit_node *node, rit_session session, struct rit_pipe *out);

/**
 * Asks for SESSION_PIPE events: one when rit_pipe.delay_us rises above high_us, one when it falls
 * below low_us after that, and so on.
 *
 * low_us: less than high_us. high_us: 0 ends it; low_us is 0 then too.
 * Errors: NULL, ARG (low_us), HANDLE, STATE (the library is built without `media`), REENTRY,
 * INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_session_watch(struct rit_node *node,
                          rit_session session,
                          uint32_t low_us,
                          uint32_t high_us);

/**
 * Which congestion controller this end sends by on the session; the peer chooses its own. Another
 * than before begins as on a new session. It may be called at any time once the session is up.
 *
 * congestion: RIT_CONGESTION_*. target_us: of DELAY_BOUNDED, how long what is sent may queue on
 * the way, to 1 s; 0: 80 ms. Less of it is less delay and, where the link varies, less throughput.
 * 0 for CUBIC.
 * Errors: NULL, ARG (congestion, target_us), HANDLE, STATE (the session is not up, or the library
 * is built without `media`), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_session_set_congestion(struct rit_node *node,
                                   rit_session session,
                                   uint32_t congestion,
                                   uint32_t target_us);

/**
 * Makes the stream one of those that have a share together, and gives that share a weight. While
 * streams of an urgency wait that take turns (rit_stream_set_priority, is_incremental 1), each
 * share has of what this end sends as much as its weight is of all their weights, whichever of its
 * streams have it; a stream without a share counts as one of weight 16. What a share does not use
 * goes to the others. Messages of flows are not in it: at most each second packet begins with them
 * while streams wait.
 *
 * share: 0 to 31, a number of your choice within the session. weight: 1 to 256; the last one set
 * is that of the share.
 * Errors: NULL, ARG (share, weight), HANDLE, STATE (as for other functions, or the library is
 * built without `media`), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_stream_set_share(struct rit_node *node,
                             rit_stream stream,
                             uint32_t share,
                             uint32_t weight);

/**
 * How streams of a service offered here begin, those that come from now on: with this urgency,
 * incremental, and, all of a session together, with a share of this weight (see
 * rit_stream_set_share, whose numbers are others'). So a bundle of services has its parts without
 * a look at each stream. It concerns what this end sends. Flows of UDP services have none.
 *
 * urgency: 0, first, to 7, last; 3 is that of all others. weight: 1 to 256; 16 is that of a stream
 * without a share.
 * Errors: NULL, ARG (urgency, weight), HANDLE, STATE (the library is built without `media`),
 * REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_service_set_priority(struct rit_node *node,
                                 rit_service_id service,
                                 uint32_t urgency,
                                 uint32_t weight);

/**
 * Opens a stream to a service of the device at the other end of a session that is up. Bytes may be
 * written at once. STREAM_OPENED or STREAM_REFUSED follows.
 *
 * service: the name, not kept. out: gets the handle, good until rit_stream_release or
 * SESSION_DOWN. Errors: NULL, NAME, HANDLE, STATE (the session is not up), LIMIT (the peer's
 * max_streams are open), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_stream_open(struct rit_node *node,
                        rit_session session,
                        const char *service,
                        rit_stream *out);

/**
 * Accepts a stream of STREAM_INCOMING, once the service behind it is connected. From then on it
 * can be written to; it can be read before.
 *
 * Errors: NULL, HANDLE, STATE (not an incoming one, or answered already), REENTRY, INTERNAL. Not
 * in a callback, not in an ISR.
 */
int32_t rit_stream_accept(struct rit_node *node, rit_stream stream);

/**
 * Refuses a stream of STREAM_INCOMING; its handle is stale from then on.
 *
 * refusal: RIT_REFUSED_*, told to the peer. Errors: NULL, ARG (refusal), HANDLE (stale, not an
 * incoming one, or answered already), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_stream_refuse(struct rit_node *node, rit_stream stream, int32_t refusal);

/**
 * Takes bytes to send, as many as there is room for.
 *
 * buf: len bytes, copied. written: gets how many were taken, 1 to len; if fewer than len,
 * STREAM_WRITABLE follows when there is room again. len 0 takes none and is fine.
 * Errors: AGAIN (no room: STREAM_WRITABLE follows), NULL, HANDLE, STATE (not accepted yet, or
 * finished), RESET or CLOSED (the peer wants no more: see STREAM_STOPPED), TIMEOUT (its deadline
 * passed), REENTRY, INTERNAL; *written is 0 then. Not in a callback, not in an ISR.
 */
int32_t rit_stream_write(struct rit_node *node,
                         rit_stream stream,
                         const uint8_t *buf,
                         size_t len,
                         size_t *written);

/**
 * Takes bytes to send that lie in several places, such as a chain of network buffers: the same as
 * rit_stream_write of all of them end to end, without copying them together first. They leave in
 * as few datagrams as they fit into, where a call for each piece may leave one for each.
 *
 * parts: count of them, copied. written: as there, of all bytes together.
 * Errors: as of rit_stream_write. Not in a callback, not in an ISR.
 */
int32_t rit_stream_write_parts(struct rit_node *node,
                               rit_stream stream,
                               const struct rit_bytes *parts,
                               size_t count,
                               size_t *written);

/**
 * Gives bytes that came, in order. Reading makes room for the peer to send more; a stream that is
 * not read stops its sender, and nobody else.
 *
 * buf: room for cap bytes, at least 1. len: gets how many there are; RIT_OK with 0 is the end of
 * the stream. Errors: AGAIN (none now: STREAM_READABLE follows), NULL, ARG (cap 0), HANDLE, STATE
 * (the end was read before), RESET (the peer gave up; what was not read is lost), REENTRY,
 * INTERNAL; *len is 0 then. Not in a callback, not in an ISR.
 */
int32_t rit_stream_read(struct rit_node *node,
                        rit_stream stream,
                        uint8_t *buf,
                        size_t cap,
                        size_t *len);

/**
 * Ends this side after what was written, as a TCP FIN does; the other side goes on.
 *
 * Errors: NULL, HANDLE, STATE (not accepted yet, or finished before), RESET, CLOSED, REENTRY,
 * INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_stream_finish(struct rit_node *node, rit_stream stream);

/**
 * Gives this side up, as a TCP RST does: what was not sent yet never will be. The peer gets
 * STREAM_RESET with the code; its bytes still come.
 *
 * code: 0 to 2^62 - 1. Errors: NULL, ARG (code), HANDLE, STATE, REENTRY, INTERNAL. Not in a
 * callback, not in an ISR.
 */
int32_t rit_stream_reset(struct rit_node *node, rit_stream stream, uint64_t code);

/**
 * Asks the peer to send no more. The peer gets STREAM_STOPPED with the code; this side may write
 * on.
 *
 * code: 0 to 2^62 - 1. Errors: NULL, ARG (code), HANDLE, STATE, REENTRY, INTERNAL. Not in a
 * callback, not in an ISR.
 */
int32_t rit_stream_stop(struct rit_node *node, rit_stream stream, uint64_t code);

/**
 * How the stream's data stands to that of the session's other streams (RFC 9218), on its way from
 * here: the peer is not told and sets its own. A stream begins with urgency 3, incremental.
 *
 * urgency: 0, first, to 7, last. Nothing of a lower level is sent as long as a more urgent one has
 * data that the peer takes: a lower level can starve. Limits, resets and requests to stop do not
 * wait. is_incremental: 1, takes turns with others of its level; 0, goes before those, the streams
 * opened first first, each to its end.
 * Errors: NULL, ARG (urgency, is_incremental), HANDLE, STATE, REENTRY, INTERNAL. Not in a
 * callback, not in an ISR.
 */
int32_t rit_stream_set_priority(struct rit_node *node,
                                rit_stream stream,
                                uint32_t urgency,
                                uint32_t is_incremental);

/**
 * Sets until when what is written is worth sending. What has not arrived by then, the end of the
 * stream included, is given up: STREAM_EXPIRED follows here, and STREAM_RESET with
 * RIT_CODE_DEADLINE at the peer. If nothing is on its way then, nothing happens, and there is no
 * deadline any more. The last call counts.
 *
 * us: microseconds from now; UINT64_MAX: no deadline, as at first.
 * Errors: NULL, HANDLE, STATE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_stream_set_deadline(struct rit_node *node, rit_stream stream, uint64_t us);

/**
 * Gives the handle back; every stream wants this in the end, but for refused incoming ones and
 * those of a session that is down. What is finished still arrives at the peer; what is not is
 * reset.
 *
 * Errors: NULL, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_stream_release(struct rit_node *node, rit_stream stream);

/**
 * Opens a flow to a UDP service of the device at the other end of a session that is up: one for
 * each address that UDP comes from here. Messages may be sent at once. FLOW_OPENED or FLOW_REFUSED
 * follows.
 *
 * service: the name, not kept. out: gets the handle, good until rit_flow_close or SESSION_DOWN.
 * Errors: NULL, NAME, HANDLE, STATE (the session is not up), LIMIT (max_flows here, or the peer's
 * max_streams), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_flow_open(struct rit_node *node,
                      rit_session session,
                      const char *service,
                      rit_flow *out);

/**
 * Accepts a flow of FLOW_INCOMING. From then on messages can be sent and received.
 *
 * Errors: AGAIN (no room for the answer now: try later), NULL, HANDLE, STATE (not an incoming one,
 * or answered already), RESET or CLOSED (the peer gave it up: rit_flow_close), REENTRY, INTERNAL.
 * Not in a callback, not in an ISR.
 */
int32_t rit_flow_accept(struct rit_node *node, rit_flow flow);

/**
 * Refuses a flow of FLOW_INCOMING; its handle is stale from then on.
 *
 * refusal: RIT_REFUSED_*, told to the peer. Errors: NULL, ARG (refusal), HANDLE (stale, not an
 * incoming one, or answered already), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_flow_refuse(struct rit_node *node, rit_flow flow, int32_t refusal);

/**
 * Sends a message, whole or not at all. As with UDP it may be lost, and messages may overtake each
 * other. Up to rit_datagram_max bytes it is one datagram, sent once or never; longer ones, and
 * those sent before FLOW_OPENED, go on the flow's stream, which repeats what is lost.
 *
 * buf: len bytes, copied; 0 to RIT_MESSAGE_MAX. expiry_us: microseconds from now after which it is
 * not worth sending any more and is dropped if it is still here; 0: none. On the stream there is
 * none.
 * Errors: LIMIT (too much waits to be sent; no event follows: drop the message, as UDP would),
 * TOO_LARGE, NULL, HANDLE, STATE (not accepted, or over), REENTRY, INTERNAL. Not in a callback,
 * not in an ISR.
 */
int32_t rit_datagram_send(struct rit_node *node,
                          rit_flow flow,
                          const uint8_t *buf,
                          size_t len,
                          uint64_t expiry_us);

/**
 * Gives the next message that came, whole.
 *
 * buf: room for cap bytes. len: gets how many there are, 0 for an empty message.
 * Errors: AGAIN (none now: FLOW_READABLE follows), BUFFER (it has more than cap bytes; it stays,
 * and *len says how many), NULL, HANDLE, REENTRY, INTERNAL; *len is 0 but with BUFFER. Not in a
 * callback, not in an ISR.
 */
int32_t rit_datagram_recv(struct rit_node *node,
                          rit_flow flow,
                          uint8_t *buf,
                          size_t cap,
                          size_t *len);

/**
 * How long a message may be to go as one datagram now; it changes with the path. 0: the peer takes
 * none, and all go on the flow's stream.
 *
 * Errors: NULL, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_datagram_max(struct rit_node *node, rit_flow flow, size_t *out);

/**
 * Ends a flow and gives the handle back; every flow wants this in the end, but for refused
 * incoming ones and those of a session that is down. The peer gets FLOW_CLOSED.
 *
 * Errors: NULL, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_flow_close(struct rit_node *node, rit_flow flow);

/**
 * Takes a broker's address, rit://KEY@HOST:PORT, apart. HOST is a name, an IPv4 address, or an
 * IPv6 address in brackets; without a PORT it is 7480. Resolving the host is the caller's.
 *
 * key: gets 32 bytes. host: gets the host without brackets and with a NUL, if that fits host_cap
 * bytes (254 always do). port: gets the UDP port in host order. All are written, or none.
 * Errors: NULL, ARG (not such an address), BUFFER (host_cap). Callable in a callback, not in an
 * ISR.
 */
int32_t rit_uri_parse(const char *uri,
                      uint8_t key[RIT_KEY_LEN],
                      char *host,
                      size_t host_cap,
                      uint16_t *port);

/**
 * Writes a key as text: 52 characters of a-z and 2-7, and a NUL. Each key has exactly one text.
 *
 * key: 32 bytes. out: room for RIT_KEY_TEXT_LEN bytes. Errors: NULL. Callable in a callback, not
 * in an ISR.
 */
int32_t rit_key_to_text(const uint8_t key[RIT_KEY_LEN], char out[RIT_KEY_TEXT_LEN]);

/**
 * Reads a key's text.
 *
 * text: 52 characters and a NUL. out: gets 32 bytes. Errors: NULL, ARG (not a key's text).
 * Callable in a callback, not in an ISR.
 */
int32_t rit_key_from_text(const char *text, uint8_t out[RIT_KEY_LEN]);

/**
 * The loopback address, 127.x.y.z, at which a device's service belongs on the user's machine: the
 * same everywhere and always, so that bookmarks and known_hosts stay true.
 *
 * device: its public key, 32 bytes. service: its name. attempt: 0; if something else listens at
 * that address and port already, 1, and so on. out: gets four bytes, 127 first. Errors: NULL,
 * NAME. Callable in a callback, not in an ISR.
 */
int32_t rit_loopback_address(const uint8_t device[RIT_KEY_LEN],
                             const char *service,
                             uint32_t attempt,
                             uint8_t out[4]);

/**
 * Begins a self-test of a port: its clock, entropy, storage, timer, sockets and heap, and the
 * library's cryptography. It is driven by the same main loop as a node, and in its place: what
 * comes goes to rit_selftest_receive, the timer to rit_selftest_timeout, and each turn calls
 * rit_selftest_step, without sleeping, and fetches findings with rit_selftest_next:
 *
 *   do {
 *       a turn of the main loop, for the test instead of a node
 *       result = rit_selftest_step(test);
 *       while (rit_selftest_next(test, &finding) == RIT_OK)
 *           printf("%lu %ld (%ld) %s\n", (unsigned long)finding.code, (long)finding.value,
 *                  (long)finding.wanted, rit_selftest_text(finding.code));
 *   } while (result == RIT_ERR_AGAIN);
 *
 * Findings below RIT_SELFTEST_NOTE are faults. It takes some seconds, more where the sockets are
 * silent. It stores its own slot, RIT_SLOT_SELFTEST, five times a run; other slots are only read.
 *
 * config: copied; null: all defaults, without sockets. io: the callbacks, as for rit_node_new;
 * copied, but io->ctx must outlive the test. err: where the reason of a failure goes (RIT_OK
 * otherwise), or null. Returns the test, to be given to rit_selftest_free in the end; null on
 * failure. Calls no callback.
 *
 * Errors: NULL, ARG, SIZE, NOMEM. Not in an ISR.
 */
struct rit_selftest *rit_selftest_new(const struct rit_selftest_config *config,
                                      const struct rit_io *io,
                                      int32_t *err);

/**
 * Does the next small piece of a self-test: a signature's time at most, or 64 blocks of heap.
 * Calls now_us, entropy, send, send_batch, recv, set_timer, load, store and entries of
 * rit_io.crypto but those of the key.
 *
 * Returns RIT_OK when it is over; RIT_ERR_AGAIN: call it again in the next turn of the main loop.
 * Other errors: NULL, NOMEM (and it is over), REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_selftest_step(struct rit_selftest *test);

/**
 * Hands in a datagram, as rit_node_receive does.
 *
 * from: the source. pkt: len bytes, not kept. Errors: NULL, ARG (from), SIZE, REENTRY, INTERNAL.
 * Not in a callback, not in an ISR.
 */
int32_t rit_selftest_receive(struct rit_selftest *test,
                             const struct rit_path *from,
                             const uint8_t *pkt,
                             size_t len);

/**
 * Says that the timer went off, as rit_node_timeout does: when the deadline that rit_io.set_timer
 * was given last is reached.
 *
 * Errors: NULL, REENTRY, INTERNAL. Not in a callback (not in set_timer either), not in an ISR.
 */
int32_t rit_selftest_timeout(struct rit_selftest *test);

/**
 * Takes the next finding. Each is told once.
 *
 * The caller sets out->struct_size; out is written only with RIT_OK.
 * Errors: AGAIN (none now), NULL, SIZE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
 */
int32_t rit_selftest_next(struct rit_selftest *test, struct rit_finding *out);

/**
 * Ends a self-test and frees it. Calls no callback: a timer that is set must be taken for none.
 * Null is ignored. Inside a callback of the test it does nothing. Not in an ISR.
 */
void rit_selftest_free(struct rit_selftest *test);

/**
 * What a finding means and what to do about it; good for ever, never null, also for numbers that
 * are no code. Callable anywhere.
 */
const char *rit_selftest_text(uint32_t code);

#ifdef __cplusplus
}
#endif

#endif /* RIT_H */
