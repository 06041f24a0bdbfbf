/* test_port.c: ports/lwip over a fake librit, in one process with the service it bridges to.
 *
 * The test is the peer (tests/posix/fake_rit.h), the clock, the local service and, for datagrams,
 * the network. lwIP's heap is C's, so that the sanitizers see each use, and can be made to run out.
 */
#include "fake_rit.h"

#include <string.h>
#include <time.h>

#include "lwip/dns.h"
#include "lwip/init.h"
#include "lwip/inet_chksum.h"
#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"
#include "lwip/udp.h"
#include "rit_lwip.h"

#define MS 1000u
#define SERVICE_PORT 80

/* ---- lwIP's surroundings */

#define TIMEOUT_SIZE (LWIP_MEM_ALIGN_SIZE(sizeof(struct sys_timeo)) + MEM_ALIGNMENT)

static unsigned allocations_left = 0xffffffff; /* then there are none */
static unsigned blocks;                        /* in use */

void *test_malloc(size_t size) {
    /* Timeouts have a pool of their own, of known size, on a device. */
    if (allocations_left != 0xffffffff && size != TIMEOUT_SIZE) {
        if (allocations_left == 0)
            return NULL;
        allocations_left--;
    }
    blocks++;
    return malloc(size);
}

void *test_calloc(size_t count, size_t size) {
    void *memory = test_malloc(count * size);

    if (memory != NULL)
        memset(memory, 0, count * size);
    return memory;
}

void test_free(void *memory) {
    blocks--;
    free(memory);
}

u32_t sys_now(void) {
    return (u32_t)(fake.now_us / 1000u);
}

unsigned sys_random(void) {
    static unsigned number = 1;

    return number = number * 1664525u + 1013904223u;
}

static int32_t entropy(void *ctx, uint8_t *out, size_t len) {
    (void)ctx;
    while (len-- > 0)
        *out++ = (uint8_t)sys_random();
    return 0;
}

/* Some turns of the main loop, a millisecond each. */
static void turns(unsigned count) {
    while (count-- > 0) {
        fake.now_us += MS;
        sys_check_timeouts();
        netif_poll_all();
    }
}

/* ---- an interface that the test looks at */

static struct netif net;
static uint8_t sent[2048]; /* the last packet with its IP header */
static size_t sent_len;
static unsigned sent_count;

static err_t net_output(struct netif *netif, struct pbuf *p, const ip4_addr_t *to) {
    (void)netif;
    (void)to;
    sent_len = pbuf_copy_partial(p, sent, sizeof sent, 0);
    sent_count++;
    return ERR_OK;
}

static err_t net_init(struct netif *netif) {
    netif->name[0] = 'n';
    netif->name[1] = 't';
    netif->mtu = 1500;
    netif->output = net_output;
    return ERR_OK;
}

static void net_up(void) {
    ip4_addr_t at, mask, by;

    IP4_ADDR(&at, 10, 0, 0, 2);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    IP4_ADDR(&by, 10, 0, 0, 1);
    netif_add(&net, &at, &mask, &by, NULL, net_init, ip_input);
    netif_set_default(&net);
    netif_set_link_up(&net);
    netif_set_up(&net);
}

/* A UDP datagram comes from 10.0.0.9:999, in pbufs of so many bytes (0: in one). */
static void arrive(uint16_t number, const uint8_t *bytes, size_t len, size_t piece) {
    uint8_t packet[2048] = {0x45, 2 /* ECT(0) */, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 9, 10,
                            0, 0, 2, 999 / 256, 999 % 256};
    size_t all = 28 + len, at = 0;
    struct pbuf *p = NULL;
    u16_t sum;

    packet[2] = (uint8_t)(all >> 8);
    packet[3] = (uint8_t)all;
    packet[22] = (uint8_t)(number >> 8);
    packet[23] = (uint8_t)number;
    packet[24] = (uint8_t)((len + 8) >> 8);
    packet[25] = (uint8_t)(len + 8);
    memcpy(packet + 28, bytes, len);
    sum = inet_chksum(packet, 20);
    memcpy(packet + 10, &sum, 2);
    while (at < all) { /* the headers are whole, as drivers give them */
        size_t next = piece == 0 ? all : at == 0 ? 28 + piece : piece;
        struct pbuf *q;
        if (next > all - at)
            next = all - at;
        q = pbuf_alloc(PBUF_RAW, (u16_t)next, PBUF_RAM);
        CHECK(q != NULL);
        memcpy(q->payload, packet + at, next);
        at += next;
        if (p == NULL)
            p = q;
        else
            pbuf_cat(p, q);
    }
    CHECK(net.input(p, &net) == ERR_OK);
}

/* ---- the local service: what it got, and it says only what the test wants */

static struct tcp_pcb *listener, *service;
static uint8_t got[1 << 20];
static size_t got_len, unread; /* unread: not tcp_recved yet */
static int reads = 1, has_ended;
static err_t service_error;

static err_t service_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err) {
    (void)arg;
    (void)err;
    if (p == NULL) {
        has_ended = 1;
        return ERR_OK;
    }
    CHECK(got_len + p->tot_len <= sizeof got);
    got_len += pbuf_copy_partial(p, got + got_len, p->tot_len, 0);
    if (reads)
        tcp_recved(pcb, p->tot_len);
    else
        unread += p->tot_len;
    pbuf_free(p);
    return ERR_OK;
}

static void service_err(void *arg, err_t err) {
    (void)arg;
    service = NULL;
    service_error = err;
}

static err_t service_accept(void *arg, struct tcp_pcb *pcb, err_t err) {
    (void)arg;
    if (err != ERR_OK)
        return ERR_VAL; /* it has no memory for it */
    service = pcb;
    tcp_recv(pcb, service_recv);
    tcp_err(pcb, service_err);
    return ERR_OK;
}

static void service_start(void) {
    struct tcp_pcb *pcb = tcp_new();

    CHECK(pcb != NULL && tcp_bind(pcb, IP_ANY_TYPE, SERVICE_PORT) == ERR_OK);
    listener = tcp_listen(pcb);
    CHECK(listener != NULL);
    tcp_accept(listener, service_accept);
    service = NULL;
    got_len = unread = 0;
    reads = 1;
    has_ended = 0;
    service_error = ERR_OK;
}

static void service_say(const uint8_t *bytes, size_t len) {
    while (len > 0) {
        size_t piece = tcp_sndbuf(service);
        if (piece > len)
            piece = len;
        if (piece == 0)
            return;
        CHECK(tcp_write(service, bytes, (u16_t)piece, TCP_WRITE_FLAG_COPY) == ERR_OK);
        bytes += piece;
        len -= piece;
    }
    CHECK(tcp_output(service) == ERR_OK);
}

/* ---- the port */

static struct rit_lwip_event last_event;
static unsigned event_count[16];

static void on_event(void *ctx, rit_lwip *port, const struct rit_lwip_event *event) {
    (void)ctx;
    (void)port;
    last_event = *event;
    event_count[event->type]++;
}

static rit_lwip *start(uint16_t most) {
    struct rit_lwip_config config = {0};
    rit_lwip *port;
    int err = 99;

    memset(&fake, 0, sizeof fake.sendmsg);
    memset(event_count, 0, sizeof event_count);
    fake.deadline_us = UINT64_MAX;
    fake.offered = 0;
    config.entropy = entropy;
    config.event = on_event;
    config.udp_port = 7000;
    config.max_connections = most;
    port = rit_lwip_new(&config, &err);
    CHECK(port != NULL && err == 0);
    CHECK(rit_lwip_offer(port, "web", NULL, SERVICE_PORT) == 0);
    return port;
}

static rit_stream connected(void) {
    rit_stream stream = fake_incoming(1, 1);

    rit_lwip_run(NULL);
    (void)stream;
    return stream;
}

/* Frees everything; what lwIP keeps for a while is over by then. */
static void stop(rit_lwip *port) {
    rit_lwip_free(port);
    if (service != NULL) {
        tcp_arg(service, NULL);
        tcp_err(service, NULL);
        tcp_recv(service, NULL);
        tcp_abort(service);
        service = NULL;
    }
    if (listener != NULL)
        CHECK(tcp_close(listener) == ERR_OK);
    listener = NULL;
    turns(10);
    while (tcp_tw_pcbs != NULL)
        turns(1000);
    turns(1000); /* until TCP's timer stops */
    fake_forget();
}

static uint8_t pattern[400000];

static void bytes_and_ends(void) {
    rit_lwip *port = start(0);
    rit_stream stream;

    service_start();
    stream = connected();
    rit_lwip_run(port);
    turns(600);
    CHECK(service != NULL && fake_stream(stream)->is_accepted);
    service_say(pattern, 5000);
    turns(600);
    CHECK(fake_stream(stream)->sent_len == 5000 &&
          memcmp(fake_stream(stream)->sent, pattern, 5000) == 0);
    fake_feed(stream, pattern, 9000, 1);
    rit_lwip_run(port);
    turns(700);
    CHECK(got_len == 9000 && memcmp(got, pattern, 9000) == 0 && has_ended);
    CHECK(!fake_stream(stream)->is_finished && !fake_stream(stream)->is_released);
    service_say(pattern, 100); /* after the peer's end */
    tcp_err(service, NULL);
    CHECK(tcp_close(service) == ERR_OK);
    service = NULL;
    turns(700);
    CHECK(fake_stream(stream)->sent_len == 5100 && fake_stream(stream)->is_finished);
    CHECK(fake_stream(stream)->is_released);
    stop(port);
}

/* A service whose small pieces wait for each other's acknowledgement gets it at once. */
static void small_pieces(void) {
    rit_lwip *port = start(0);
    rit_stream stream;
    int i;

    service_start();
    stream = connected();
    rit_lwip_run(port);
    turns(600);
    for (i = 1; i <= 5; i++) {
        service_say(pattern, 10);
        service_say(pattern, 10);
        turns(10);
        CHECK(fake_stream(stream)->sent_len == (size_t)i * 20);
    }
    stop(port);
}

static void service_is_held_up(void) {
    rit_lwip *port = start(0);
    rit_stream stream;
    size_t before;

    service_start();
    stream = connected();
    fake_stream(stream)->takes = 1000;
    rit_lwip_run(port);
    turns(600);
    service_say(pattern, TCP_SND_BUF);
    turns(200);
    service_say(pattern + TCP_SND_BUF, sizeof pattern - TCP_SND_BUF);
    turns(400);
    before = tcp_sndbuf(service);
    CHECK(fake_stream(stream)->sent_len == 1000);
    turns(400);
    CHECK(tcp_sndbuf(service) == before && before < TCP_SND_BUF); /* nothing is taken any more */
    fake_take(stream, 500);
    rit_lwip_run(port);
    turns(700);
    CHECK(fake_stream(stream)->sent_len == 1500);
    fake_take(stream, SIZE_MAX / 4);
    rit_lwip_run(port);
    turns(4000);
    CHECK(fake_stream(stream)->sent_len > TCP_SND_BUF);
    CHECK(memcmp(fake_stream(stream)->sent, pattern, TCP_SND_BUF) == 0);
    stop(port);
}

static void peer_is_held_up(void) {
    rit_lwip *port = start(0);
    rit_stream stream;

    service_start();
    reads = 0;
    stream = connected();
    rit_lwip_run(port);
    fake_feed(stream, pattern, sizeof pattern, 0);
    turns(1000);
    /* Its window and TCP's buffer are full, and no more was read. */
    CHECK(got_len == TCP_WND && fake_stream(stream)->feed_len > 200000);
    reads = 1;
    while (unread > 0) {
        u16_t piece = unread > 60000 ? 60000 : (u16_t)unread;
        tcp_recved(service, piece);
        unread -= piece;
    }
    turns(4000);
    CHECK(got_len == sizeof pattern && memcmp(got, pattern, sizeof pattern) == 0);
    stop(port);
}

static void refusals(void) {
    rit_lwip *port = start(2);
    rit_stream stream = connected(), other, third;

    rit_lwip_run(port); /* nobody listens */
    turns(600);
    CHECK(fake_stream(stream)->refusal == RIT_REFUSED_SERVICE);
    service_start();
    stream = fake_incoming(1, 1);
    other = fake_incoming(1, 1);
    third = fake_incoming(1, 1);
    rit_lwip_run(port);
    turns(600);
    CHECK(fake_stream(stream)->is_accepted && fake_stream(other)->is_accepted);
    CHECK(fake_stream(third)->refusal == RIT_REFUSED_LIMIT);
    third = fake_incoming(1, 77);
    rit_lwip_run(port);
    CHECK(fake_stream(third)->refusal == RIT_REFUSED_UNKNOWN);
    /* The session is over: the service's ends are reset. */
    fake_push(RIT_EVENT_SESSION_DOWN, 1, 0, RIT_ERR_TIMEOUT);
    rit_lwip_run(port);
    turns(600);
    CHECK(service == NULL && service_error == ERR_RST);
    stop(port);
}

static void resets(void) {
    rit_lwip *port = start(0);
    rit_stream stream;

    service_start();
    stream = connected();
    rit_lwip_run(port);
    turns(600);
    fake_push(RIT_EVENT_STREAM_RESET, 1, stream, 0);
    rit_lwip_run(port);
    turns(600);
    CHECK(service == NULL && service_error == ERR_RST && fake_stream(stream)->is_released);
    stream = fake_incoming(1, 1);
    rit_lwip_run(port);
    turns(600);
    CHECK(service != NULL);
    tcp_err(service, NULL);
    tcp_abort(service);
    service = NULL;
    turns(600);
    CHECK(fake_stream(stream)->is_released && !fake_stream(stream)->is_finished);
    stop(port);
}

static void nobody_answers(void) {
    rit_lwip *port = start(0);
    ip_addr_t away;
    rit_stream stream;

    IP_ADDR4(&away, 10, 0, 0, 77); /* the interface swallows it */
    CHECK(rit_lwip_offer(port, "far", &away, 80) == 0);
    stream = fake_incoming(1, 2);
    rit_lwip_run(port);
    turns(9000);
    CHECK(fake_stream(stream)->refusal == 0);
    turns(2000);
    CHECK(fake_stream(stream)->refusal == RIT_REFUSED_SERVICE);
    stop(port);
}

/* Without memory for a while, in the middle: everything arrives all the same. */
static void memory_comes_back(void) {
    unsigned left;

    for (left = 0; left < 40; left++) {
        rit_lwip *port = start(0);
        rit_stream stream;
        service_start();
        stream = connected();
        rit_lwip_run(port);
        turns(600);
        CHECK(service != NULL);
        fake_feed(stream, pattern, 30000, 1);
        service_say(pattern, 20000);
        allocations_left = left;
        rit_lwip_run(port);
        turns(100);
        allocations_left = 0xffffffff;
        turns(30000);
        CHECK(got_len == 30000 && memcmp(got, pattern, 30000) == 0 && has_ended);
        CHECK(fake_stream(stream)->sent_len == 20000);
        stop(port);
    }
}

/* And without it from the start: refused, or as ever. */
static void memory_fails(void) {
    unsigned left;

    for (left = 0; left < 30; left++) {
        rit_lwip *port = start(0);
        rit_stream stream;
        service_start();
        stream = connected();
        allocations_left = left;
        rit_lwip_run(port);
        turns(700);
        allocations_left = 0xffffffff;
        turns(12000);
        CHECK(fake_stream(stream)->is_accepted || fake_stream(stream)->refusal != 0);
        stop(port);
    }
}

static void datagrams(void) {
    rit_lwip *port = start(0);
    struct rit_path to = {0};
    unsigned before = fake.datagrams;

    arrive(7000, pattern, 1200, 0);
    CHECK(fake.datagrams == before + 1 && fake.last_len == 1200);
    CHECK(memcmp(fake.last_datagram, pattern, 1200) == 0);
    CHECK(fake.last_from.port == 999);
    CHECK(fake.last_from.ip[15] == 9 && fake.last_from.ip[10] == 0xff);
    CHECK(fake.last_from.ecn == 2);
    arrive(7000, pattern + 5, 1200, 100); /* chained */
    CHECK(fake.datagrams == before + 2 && fake.last_len == 1200);
    CHECK(memcmp(fake.last_datagram, pattern + 5, 1200) == 0);
    to.struct_size = (uint32_t)sizeof to;
    to.port = 4321;
    to.ecn = 1;
    memcpy(to.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x07", 16);
    CHECK(fake.io.send(fake.io.ctx, &to, pattern, 1300) == 0);
    CHECK(sent_len == 1328 && memcmp(sent + 28, pattern, 1300) == 0);
    CHECK(sent[1] == 1 && sent[19] == 7 && sent[22] == 4321 / 256 && sent[23] == 4321 % 256);
    CHECK(fake.io.send(fake.io.ctx, &to, pattern, 1473) != 0); /* wider than the interface */
    to.socket = 3;
    CHECK(fake.io.send(fake.io.ctx, &to, pattern, 100) != 0);
    CHECK(fake.path_count == 1 && fake.paths[0].ip[15] == 2 && fake.paths[0].port == 7000);
    stop(port);
}

static void own_addresses(void) {
    rit_lwip *port = start(0);
    unsigned sets = fake.path_sets, changes = fake.changes;
    ip4_addr_t at;

    IP4_ADDR(&at, 10, 0, 0, 3);
    netif_set_ipaddr(&net, &at);
    turns(700);
    CHECK(fake.path_sets == sets + 1 && fake.changes == changes + 1 && fake.paths[0].ip[15] == 3);
    CHECK(event_count[RIT_LWIP_NETWORK_CHANGED] == 1);
    netif_set_down(&net);
    turns(700);
    CHECK(fake.path_count == 0);
    netif_set_up(&net);
    IP4_ADDR(&at, 10, 0, 0, 2);
    netif_set_ipaddr(&net, &at);
    turns(700);
    CHECK(fake.path_count == 1 && fake.paths[0].ip[15] == 2);
    stop(port);
}

/* ---- the broker */

static void broker_by_address(void) {
    rit_lwip *port = start(0);

    CHECK(rit_lwip_broker(port, "nonsense", NULL) == RIT_ERR_ARG);
    CHECK(rit_lwip_broker(port, "rit://broker", "CODE") == 0);
    CHECK(fake.broker_count == 1 && fake.broker_paths[0].port == 7480);
    CHECK(fake.broker_paths[0].ip[12] == 127 && fake.broker_paths[0].ip[15] == 1);
    CHECK(strcmp(fake.code, "CODE") == 0);
    stop(port);
}

/* The answer of a name server to the query that was sent last: 10.0.0.55. */
static void answer_query(void) {
    static const uint8_t FLAGS[] = {0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0};
    static const uint8_t RECORD[] = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 55};
    uint8_t answer[512];
    size_t len = sent_len - 28;

    memcpy(answer, sent + 28, len);
    memcpy(answer + 2, FLAGS, sizeof FLAGS);
    memcpy(answer + len, RECORD, sizeof RECORD);
    arrive((uint16_t)(sent[20] << 8 | sent[21]), answer, len + sizeof RECORD, 0);
}

static void broker_by_name(void) {
    rit_lwip *port = start(0);
    ip_addr_t server;

    IP_ADDR4(&server, 10, 0, 0, 9);
    dns_setserver(0, &server);
    fake.broker_count = 0;
    sent_len = 0;
    CHECK(rit_lwip_broker(port, "rit://named", NULL) == 0);
    turns(5);
    CHECK(sent_len > 28 && fake.broker_count == 0);
    turns(60000); /* nobody answers */
    CHECK(event_count[RIT_LWIP_BROKER_OFFLINE] >= 1);
    CHECK(last_event.error == RIT_LWIP_ERR_RESOLVE && fake.broker_count == 0);
    sent_len = 0;
    while (sent_len == 0)
        turns(1);
    answer_query();
    turns(5);
    CHECK(fake.broker_count == 1 && fake.broker_paths[0].ip[15] == 55);
    /* The resolver may still be asking when the port is freed. */
    CHECK(rit_lwip_broker(port, "rit://named", NULL) == 0);
    stop(port);
    turns(60000);
}

/* ---- services of callbacks */

struct calls {
    unsigned opened, readable, writable, closed;
    int32_t refusal;
    int error;
    rit_stream stream;
    int closes; /* once it can be read */
} calls;

static int32_t on_open(void *ctx, rit_lwip *port, rit_stream stream, const uint8_t *peer,
                       void **conn) {
    struct calls *is = ctx;

    (void)port;
    (void)peer;
    is->opened++;
    is->stream = stream;
    *conn = is;
    return is->refusal;
}

static void on_readable(void *conn, rit_lwip *port, rit_stream stream) {
    struct calls *is = conn;

    is->readable++;
    if (is->closes)
        CHECK(rit_lwip_close(port, stream) == 0);
}

static void on_writable(void *conn, rit_lwip *port, rit_stream stream) {
    struct calls *is = conn;

    (void)port;
    is->writable++;
    is->stream = stream;
}

static void on_closed(void *conn, rit_lwip *port, rit_stream stream, int error) {
    struct calls *is = conn;

    (void)port;
    CHECK(is->stream == 0 || is->stream == stream);
    is->closed++;
    is->error = error;
}

static const struct rit_lwip_callbacks CALLS = {on_open, on_readable, on_writable, on_closed};

static void serves_callbacks(void) {
    rit_lwip *port = start(0);
    rit_stream stream;

    memset(&calls, 0, sizeof calls);
    CHECK(rit_lwip_serve(port, "call", 0, &CALLS, &calls) == 0);
    calls.refusal = RIT_REFUSED_DENIED;
    stream = fake_incoming(1, 2);
    rit_lwip_run(port);
    CHECK(calls.opened == 1 && fake_stream(stream)->refusal == RIT_REFUSED_DENIED);
    CHECK(calls.closed == 0);
    calls.refusal = 0;
    stream = fake_incoming(1, 2);
    rit_lwip_run(port);
    CHECK(calls.writable == 1 && calls.readable == 1 && fake_stream(stream)->is_accepted);
    fake_push(RIT_EVENT_STREAM_RESET, 1, stream, 0);
    rit_lwip_run(port);
    CHECK(calls.closed == 1 && calls.error == RIT_ERR_RESET && fake_stream(stream)->is_released);
    CHECK(rit_lwip_close(port, stream) == RIT_ERR_HANDLE);
    /* Closed from its own callback: finished, and read to its peer's end before it is released. */
    stream = fake_incoming(1, 2);
    rit_lwip_run(port);
    calls.closes = 1;
    fake_feed(stream, pattern, 3000, 0);
    rit_lwip_run(port);
    turns(100);
    CHECK(fake_stream(stream)->is_finished && !fake_stream(stream)->is_released);
    CHECK(fake_stream(stream)->feed_len == 0);
    fake_feed(stream, pattern, 10, 1);
    rit_lwip_run(port);
    turns(100);
    CHECK(fake_stream(stream)->is_released && calls.closed == 1);
    stop(port);
}

/* ---- UDP services */

#if RIT_LWIP_FLOWS
static uint8_t client_udp[64];
static size_t client_udp_len;

static void on_client_udp(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                          u16_t number) {
    (void)arg;
    (void)pcb;
    (void)from;
    (void)number;
    client_udp_len = pbuf_copy_partial(p, client_udp, sizeof client_udp, 0);
    pbuf_free(p);
}

static void offers_udp(void) {
    rit_lwip *port = start(0);
    struct udp_pcb *pcb = udp_new();
    rit_flow flow;

    fake.flow_count = 0;
    CHECK(udp_bind(pcb, IP_ANY_TYPE, 53) == ERR_OK);
    udp_recv(pcb, on_client_udp, NULL);
    CHECK(rit_lwip_offer_udp(port, "dns", NULL, 53) == 0 && fake.offered_kind == RIT_SERVICE_UDP);
    flow = fake_flow_incoming(1, 2);
    rit_lwip_run(port);
    CHECK(fake_flow(flow)->is_accepted);
    client_udp_len = 0;
    fake_message(flow, "query", 5);
    fake_message(flow, "", 0);
    fake_message(flow, "again!", 6);
    rit_lwip_run(port);
    turns(5);
    CHECK(client_udp_len == 6 && memcmp(client_udp, "again!", 6) == 0);
    udp_remove(pcb);
    stop(port);
    CHECK(fake.has_node == 0);
}
#else
static void offers_udp(void) {
    rit_lwip *port = start(0);
    rit_flow flow;

    fake.flow_count = 0;
    CHECK(rit_lwip_offer_udp(port, "dns", NULL, 53) == RIT_ERR_LIMIT);
    flow = fake_flow_incoming(1, 2);
    rit_lwip_run(port);
    CHECK(fake_flow(flow)->refusal == RIT_REFUSED_UNKNOWN);
    stop(port);
    CHECK(fake.has_node == 0);
}
#endif

/* ---- reaching */

#if RIT_LWIP_REACH
static const uint8_t DEVICE[RIT_KEY_LEN] = {5};

static void session_up(rit_lwip *port) {
    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    rit_lwip_run(port);
    turns(5);
    fake_push(RIT_EVENT_SESSION_UP, fake.last_session, 0, 0);
    rit_lwip_run(port);
    turns(5);
}

static void offer_there(uint32_t place, uint16_t kind, uint16_t number, const char *name) {
    fake.services[place].kind = kind;
    fake.services[place].port = number;
    (void)snprintf(fake.services[place].name, sizeof fake.services[place].name, "%s", name);
    fake.service_count = place + 1;
}

static struct tcp_pcb *client;
static err_t client_error;

static void client_err(void *arg, err_t err) {
    (void)arg;
    client = NULL;
    client_error = err;
}

static err_t client_connected(void *arg, struct tcp_pcb *pcb, err_t err) {
    (void)arg;
    (void)err;
    service = pcb; /* for service_say */
    return ERR_OK;
}

static void client_start(const uint8_t address[4], u16_t number) {
    ip_addr_t at;

    IP_ADDR4(&at, address[0], address[1], address[2], address[3]);
    client = tcp_new();
    CHECK(client != NULL);
    client_error = ERR_OK;
    got_len = 0;
    has_ended = 0;
    tcp_recv(client, service_recv);
    tcp_err(client, client_err);
    CHECK(tcp_connect(client, &at, number, client_connected) == ERR_OK);
    turns(10);
}

static void reaches_tcp(void) {
    rit_lwip *port = start(0);
    uint8_t address[4];

    offer_there(0, RIT_SERVICE_TCP, 80, "shop");
    fake.stream_count = 0;
    CHECK(rit_lwip_reach(port, DEVICE, "shop", 0) == 0);
    CHECK(rit_lwip_reach(port, DEVICE, "shop", 0) == RIT_ERR_EXISTS);
    CHECK(rit_lwip_reach(port, DEVICE, "nope", 0) == 0);
    CHECK(rit_lwip_reach(port, DEVICE, "", 0) == RIT_ERR_NAME);
    session_up(port);
    CHECK(event_count[RIT_LWIP_LISTENING] == 1 && event_count[RIT_LWIP_NOT_LISTENING] == 1);
    CHECK(rit_loopback_address(DEVICE, "shop", 0, address) == 0);
    client_start(address, 80);
    CHECK(service == client && fake.stream_count == 1);
    CHECK(strcmp(fake_stream(1)->service, "shop") == 0);
    service_say(pattern, 4000);
    turns(600);
    CHECK(fake_stream(1)->sent_len == 4000 && memcmp(fake_stream(1)->sent, pattern, 4000) == 0);
    fake_feed(1, pattern, 6000, 1);
    rit_lwip_run(port);
    turns(600);
    CHECK(got_len == 6000 && memcmp(got, pattern, 6000) == 0 && has_ended);
    tcp_err(client, NULL);
    CHECK(tcp_close(client) == ERR_OK);
    turns(600);
    CHECK(fake_stream(1)->is_finished && fake_stream(1)->is_released);
    /* Refused there is reset here. */
    client_start(address, 80);
    fake_push(RIT_EVENT_STREAM_REFUSED, 1, 2, RIT_ERR_REFUSED);
    rit_lwip_run(port);
    turns(10);
    CHECK(client == NULL && client_error == ERR_RST && fake_stream(2)->is_released);
    /* Without a session it waits for one, and then no more. */
    fake_push(RIT_EVENT_SESSION_DOWN, fake.last_session, 0, RIT_ERR_TIMEOUT);
    fake.session_answer = RIT_ERR_OFFLINE;
    rit_lwip_run(port);
    client_start(address, 80);
    turns(2500);
    CHECK(client != NULL && fake.stream_count == 2);
    turns(1000);
    CHECK(client == NULL && client_error == ERR_RST);
    fake.session_answer = RIT_OK;
    turns(35000); /* opened again */
    CHECK(fake.last_session >= 2);
    service = NULL;
    stop(port);
}

static void connects_callbacks(void) {
    rit_lwip *port = start(0);

    memset(&calls, 0, sizeof calls);
    fake.stream_count = 0;
    CHECK(rit_lwip_connect(port, DEVICE, "shop", &CALLS, &calls) == 0);
    turns(9000);
    CHECK(calls.closed == 0);
    turns(2000); /* there is no broker */
    CHECK(calls.closed == 1 && calls.error == RIT_ERR_OFFLINE && calls.writable == 0);
    CHECK(rit_lwip_connect(port, DEVICE, "shop", &CALLS, &calls) == 0);
    session_up(port);
    CHECK(fake.stream_count == 1 && calls.writable == 1 && calls.stream == 1);
    fake_push(RIT_EVENT_STREAM_READABLE, 1, 1, 0);
    rit_lwip_run(port);
    CHECK(calls.readable == 1);
    fake_push(RIT_EVENT_SESSION_DOWN, fake.last_session, 0, RIT_ERR_TIMEOUT);
    rit_lwip_run(port);
    CHECK(calls.closed == 2 && calls.error == RIT_ERR_TIMEOUT);
    stop(port);
}

#if RIT_LWIP_FLOWS
static void reaches_udp(void) {
    rit_lwip *port = start(0);
    struct udp_pcb *pcb = udp_new();
    struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, 5, PBUF_RAM);
    uint8_t address[4];
    ip_addr_t at;

    offer_there(0, RIT_SERVICE_UDP, 53, "dns");
    fake.flow_count = 0;
    CHECK(rit_lwip_reach(port, DEVICE, "dns", 5353) == 0);
    session_up(port);
    CHECK(event_count[RIT_LWIP_LISTENING] == 1 && last_event.type == RIT_LWIP_LISTENING);
    CHECK(last_event.port == 5353 && last_event.address[0] == 127);
    CHECK(rit_loopback_address(DEVICE, "dns", 0, address) == 0);
    IP_ADDR4(&at, address[0], address[1], address[2], address[3]);
    memcpy(p->payload, "hello", 5);
    udp_recv(pcb, on_client_udp, NULL);
    CHECK(udp_sendto(pcb, p, &at, 5353) == ERR_OK);
    pbuf_free(p);
    turns(5);
    CHECK(fake.flow_count == 1 && fake_flow(1)->sent_len == 5);
    CHECK(memcmp(fake_flow(1)->sent, "hello", 5) == 0);
    fake_message(1, "answer", 6);
    rit_lwip_run(port);
    turns(5);
    CHECK(client_udp_len == 6 && memcmp(client_udp, "answer", 6) == 0);
    fake_flow_push(RIT_EVENT_FLOW_CLOSED, 1, RIT_ERR_CLOSED);
    rit_lwip_run(port);
    CHECK(fake_flow(1)->is_closed);
    udp_remove(pcb);
    stop(port);
}
#else
/* What is UDP alone is not there for who has no UDP services. */
static void reaches_udp(void) {
    rit_lwip *port = start(0);

    offer_there(0, RIT_SERVICE_UDP, 53, "dns");
    CHECK(rit_lwip_reach(port, DEVICE, "dns", 5353) == 0);
    session_up(port);
    CHECK(event_count[RIT_LWIP_LISTENING] == 0 && event_count[RIT_LWIP_NOT_LISTENING] == 1);
    CHECK(last_event.error == RIT_LWIP_ERR_SERVICE);
    stop(port);
}
#endif
#endif

int main(void) {
    static const struct {
        const char *name;
        void (*run)(void);
    } TESTS[] = {
        {"bytes_and_ends", bytes_and_ends}, {"small_pieces", small_pieces},
        {"service_is_held_up", service_is_held_up},
        {"peer_is_held_up", peer_is_held_up}, {"refusals", refusals}, {"resets", resets},
        {"nobody_answers", nobody_answers}, {"memory_comes_back", memory_comes_back},
        {"memory_fails", memory_fails}, {"datagrams", datagrams},
        {"own_addresses", own_addresses}, {"broker_by_address", broker_by_address},
        {"broker_by_name", broker_by_name}, {"serves_callbacks", serves_callbacks},
        {"offers_udp", offers_udp},
#if RIT_LWIP_REACH
        {"reaches_tcp", reaches_tcp}, {"connects_callbacks", connects_callbacks},
        {"reaches_udp", reaches_udp},
#endif
    };
    size_t i;

    for (i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 31u + (i >> 8) * 17u);
    lwip_init();
    net_up();
    turns(1);
    for (i = 0; i < sizeof TESTS / sizeof TESTS[0]; i++) {
        unsigned before = blocks;
        TESTS[i].run();
        if (blocks != before)
            fprintf(stderr, "%s: %u blocks of memory before, %u after\n", TESTS[i].name, before,
                    blocks);
        CHECK(blocks == before);
    }
    return 0;
}
