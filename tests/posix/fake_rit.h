/* fake_rit.h: a librit without network or cryptography, for tests of ports/posix.
 *
 * The test plays the peer: it pushes events, feeds and takes streams' bytes, decides how many a
 * stream takes and what calls answer. The clock is the test's too (link with --wrap=clock_gettime),
 * so nothing waits. One node at a time. Streams keep their number and are never used twice.
 */
#ifndef FAKE_RIT_H
#define FAKE_RIT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "rit.h"

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, __func__, #condition); \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

struct fake_stream {
    rit_stream id;
    char service[64];    /* opened by the port */
    uint8_t *sent;       /* by the port */
    size_t sent_len, sent_room;
    size_t takes;        /* how many more bytes it takes from the port */
    const uint8_t *feed; /* for the port to read; the test's memory */
    size_t feed_len;
    int feed_has_ended;
    int is_accepted, is_finished, is_released, is_incoming;
    int refusal;
};

#define FAKE_FLOWS 1024
#define FAKE_MESSAGES 16

struct fake_flow {
    char service[64];                 /* opened by the port */
    uint8_t sent[256];                /* by the port: the last message */
    size_t sent_len, sent_count;
    uint8_t feed[FAKE_MESSAGES][256]; /* for the port to receive */
    size_t feed_len[FAKE_MESSAGES], feed_at, feed_count;
    int is_accepted, is_closed, is_incoming;
    int refusal;
};

/* One of the system's calls. */
struct fake_call {
    int error; /* not 0: it fails so */
    unsigned most; /* not 0: it takes no more messages at once */
    unsigned calls;
};

struct fake {
    struct fake_call sendmsg, sendmmsg, recvmmsg;
    struct rit_io io;
    uint64_t now_us, deadline_us;
    uint64_t slept_us; /* of CLOCK_BOOTTIME */
    unsigned changes;  /* told by rit_node_network_changed */
    int has_node;
    struct rit_event events[256];
    size_t event_at, event_count;
    struct fake_stream *streams; /* by id - 1 */
    size_t stream_count, stream_room;
    struct rit_service_info services[4]; /* that the device offers */
    uint32_t service_count;
    struct fake_flow flows[FAKE_FLOWS]; /* by handle - 1 */
    size_t flow_count, flow_limit;      /* open ones that rit_flow_open allows; 0: any number */
    uint16_t offered_kind;              /* of the last */
    uint32_t offered, withdrawn; /* by the port */
    rit_session last_session;
    unsigned sessions_opened;
    int32_t open_answer, session_answer, accept_answer; /* 0: RIT_OK */
    unsigned datagrams;
    uint8_t last_datagram[2048];
    size_t last_len;
    struct rit_path last_from;
    uint8_t tcp_bytes[65536]; /* received by TCP */
    size_t tcp_len;
    unsigned tcp_writables, tcp_closes;
    size_t broker_count;
    struct rit_path broker_paths[8];
    size_t path_count;
    unsigned path_sets; /* told by rit_node_set_local_paths */
    struct rit_path paths[8];
    char code[32];
    int32_t broker_answer; /* of rit_broker_connect; 0: RIT_OK */
    unsigned broker_calls;
    unsigned gateway_calls, gateway_forgets;
    size_t gateway_count;
    struct rit_path gateway_paths[8];
    uint8_t gateway_key[RIT_KEY_LEN];
    char gateway_code[32];
    /* getaddrinfo() of names; numbers are what they are. */
    int names_error;          /* not 0: it fails so */
    int names_wait;           /* it takes until this is 0 */
    const char *names_answer; /* an address; NULL: 127.0.0.1 */
    unsigned names_asked;
};

extern struct fake fake;

struct fake_stream *fake_stream(rit_stream id);
rit_stream fake_incoming(rit_session session, rit_service_id service);
void fake_push(uint32_t type, rit_session session, rit_stream stream, int32_t error);
/* More bytes are taken from the port, or are there for it to read. */
void fake_take(rit_stream id, size_t more);
void fake_feed(rit_stream id, const uint8_t *bytes, size_t len, int has_ended);
struct fake_flow *fake_flow(rit_flow id);
rit_flow fake_flow_incoming(rit_session session, rit_service_id service);
void fake_flow_push(uint32_t type, rit_flow flow, int32_t error);
/* A message is there for the port to receive. */
void fake_message(rit_flow flow, const void *bytes, size_t len);
/* Forgets all streams and flows. */
void fake_forget(void);

#endif
