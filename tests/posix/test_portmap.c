/* test_portmap.c: the conversation with a router: one that is good, refuses, is silent, lies, cuts
 * its answers short, restarts, or sends noise. */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "fake_rit.h"
#include "internal.h"

#define S UINT64_C(1000000)
#define START (1000 * S)

static const uint8_t CLIENT[4] = {192, 168, 1, 7}, OUTER[4] = {203, 0, 113, 9};
static const uint8_t NONCE[12] = {128, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};


static void put(uint8_t *out, uint32_t value, int len) {
    while (len-- > 0) {
        out[len] = (uint8_t)value;
        value >>= 8;
    }
}

static struct ritp_portmap started(void) {
    struct ritp_portmap map;

    ritp_portmap_start(&map, CLIENT, 7000, NONCE, START);

    return map;
}

/* What a PCP router answers to this request. */
static size_t pcp_answer(const uint8_t *request, uint8_t result, uint32_t lifetime_s,
                         uint32_t epoch_s, uint16_t outer_port, uint8_t *out) {
    memcpy(out, request, 60);
    out[1] |= 0x80;
    out[3] = result;
    put(out + 4, lifetime_s, 4);
    put(out + 8, epoch_s, 4);
    memset(out + 12, 0, 12);
    put(out + 42, outer_port, 2);
    memset(out + 44, 0, 10);
    out[54] = out[55] = 0xff;
    memcpy(out + 56, OUTER, 4);
    return 60;
}

static size_t pmp_address(uint16_t result, uint32_t epoch_s, uint8_t *out) {
    memset(out, 0, 12);
    out[1] = 128;
    put(out + 2, result, 2);
    put(out + 4, epoch_s, 4);
    memcpy(out + 8, OUTER, 4);
    return 12;
}

static size_t pmp_mapping(uint16_t result, uint32_t epoch_s, uint32_t lifetime_s, uint8_t *out) {
    memset(out, 0, 16);
    out[1] = 129;
    put(out + 2, result, 2);
    put(out + 4, epoch_s, 4);
    put(out + 8, 7000, 2);
    put(out + 10, 40000, 2);
    put(out + 12, lifetime_s, 4);
    return 16;
}

/* A mapping by PCP for 1200 s, from a router that has been up for 5000 s. */
static struct ritp_portmap mapped(void) {
    struct ritp_portmap map = started();
    uint8_t request[60], answer[60];

    CHECK(ritp_portmap_poll(&map, request, START) == 60);
    (void)pcp_answer(request, 0, 1200, 5000, 40000, answer);
    CHECK(ritp_portmap_take(&map, answer, 60, START) == 1);
    CHECK(map.is_mapped && map.is_pcp && map.outer_port == 40000);
    CHECK(memcmp(map.outer_ip, OUTER, 4) == 0);
    return map;
}

/* Brings a conversation with a router that knows no PCP to its first question by NAT-PMP. */
static struct ritp_portmap asking_pmp(void) {
    static const uint8_t ANSWER[8] = {0, 0x81, 0, 1, 0, 0, 0, 9}; /* RFC 6886 section 3.5 */
    struct ritp_portmap map = started();
    uint8_t out[60];

    CHECK(ritp_portmap_poll(&map, out, START) == 60);
    CHECK(ritp_portmap_take(&map, ANSWER, sizeof ANSWER, START) == 1);
    CHECK(ritp_portmap_deadline(&map) == START);
    CHECK(ritp_portmap_poll(&map, out, START) == 2 && out[0] == 0 && out[1] == 0);
    return map;
}

static void test_pcp_bytes(void) {
    static const uint8_t HEAD[24] = {2, 1, 0, 0, 0, 0, 4, 176, 0, 0, 0,    0,
                                     0, 0, 0, 0, 0, 0, 255, 255, 192, 168, 1, 7};
    static const uint8_t REST[24] = {17, 0, 0, 0, 0x1b, 0x58, 0,   0,   0, 0, 0, 0,
                                     0,  0, 0, 0, 0,    0,    255, 255, 0, 0, 0, 0};
    struct ritp_portmap map = started();
    uint8_t out[60];

    CHECK(ritp_portmap_deadline(&map) == START && ritp_portmap_poll(&map, out, START) == 60);
    CHECK(memcmp(out, HEAD, 24) == 0 && memcmp(out + 24, NONCE, 12) == 0);
    CHECK(memcmp(out + 36, REST, 24) == 0);
}

/* Renewed between 1/2 and 5/8 of its lifetime, with what is held suggested; released in the end. */
static void test_pcp_renewal(void) {
    struct ritp_portmap map = mapped();
    uint64_t due = ritp_portmap_deadline(&map);
    uint8_t out[60], answer[60];

    CHECK(due == START + 675 * S); /* the nonce's first octet, 128, is half of the way */
    CHECK(ritp_portmap_poll(&map, out, due - 1) == 0 && ritp_portmap_poll(&map, out, due) == 60);
    CHECK(out[42] == 40000 >> 8 && out[43] == (40000 & 255) && memcmp(out + 56, OUTER, 4) == 0);
    (void)pcp_answer(out, 0, 600, 5675, 40001, answer);
    CHECK(ritp_portmap_take(&map, answer, 60, due) == 1);
    CHECK(map.is_mapped && map.outer_port == 40001 && map.expires_us == due + 600 * S);
    CHECK(ritp_portmap_take(&map, answer, 60, due) == 0); /* nothing was asked */
    CHECK(ritp_portmap_release(&map, out) == 60);
    CHECK(out[4] == 0 && out[5] == 0 && out[6] == 0 && out[7] == 0 && out[42] == 0 && out[43] == 0);
    CHECK(memcmp(out + 24, NONCE, 12) == 0 && ritp_portmap_release(&map, out) == 0);
    CHECK(ritp_portmap_deadline(&map) == RITP_NEVER);
}

/* Asked again at 3 s, left at 9 s for NAT-PMP, asked nine times in 128 s, then left alone. */
static void test_silent(void) {
    struct ritp_portmap map = started();
    uint64_t now = START, gap[11];
    uint8_t out[60];
    unsigned i;

    for (i = 0; i < 11; i++) {
        now = ritp_portmap_deadline(&map);
        CHECK(ritp_portmap_poll(&map, out, now) == (i < 2 ? 60u : 2u));
        gap[i] = ritp_portmap_deadline(&map) - now;
        CHECK(gap[i] == (i < 2 ? 3 * S << i : S / 4 << (i - 2)));
    }
    now = ritp_portmap_deadline(&map);
    CHECK(ritp_portmap_poll(&map, out, now) == 0 && !map.is_mapped);
    CHECK(ritp_portmap_deadline(&map) == now + 1800 * S);
    /* The network changed: at once. */
    ritp_portmap_again(&map, now + S);
    CHECK(ritp_portmap_poll(&map, out, now + S) == 60);
    ritp_portmap_unreachable(&map, now + S);
    CHECK(ritp_portmap_deadline(&map) == now + 1801 * S);
}

/* A router that no longer answers: asked ever oftener until the mapping is over, then anew. */
static void test_falls_silent(void) {
    struct ritp_portmap map = mapped();
    uint64_t now = START, end = START + 1200 * S;
    unsigned requests = 0;
    uint8_t out[60];

    while (map.is_mapped) {
        now = ritp_portmap_deadline(&map);
        CHECK(now <= end);
        requests += ritp_portmap_poll(&map, out, now) > 0;
    }
    CHECK(now == end && requests >= 8 && requests <= 40);
    CHECK(ritp_portmap_release(&map, out) == 0);
}

static void test_pmp(void) {
    static const uint8_t ASK[12] = {0, 1, 0, 0, 0x1b, 0x58, 0, 0, 0, 0, 4, 176};
    struct ritp_portmap map = asking_pmp();
    uint8_t out[60], answer[16];
    uint64_t due;

    CHECK(ritp_portmap_take(&map, answer, pmp_mapping(0, 10, 1200, answer), START) == 0);
    CHECK(ritp_portmap_take(&map, answer, pmp_address(0, 10, answer), START) == 1);
    CHECK(!map.is_mapped && ritp_portmap_poll(&map, out, START) == 12);
    CHECK(memcmp(out, ASK, 12) == 0);
    CHECK(ritp_portmap_take(&map, answer, pmp_address(0, 10, answer), START) == 0);
    CHECK(ritp_portmap_take(&map, answer, pmp_mapping(0, 10, 1200, answer), START) == 1);
    CHECK(map.is_mapped && !map.is_pcp && map.outer_port == 40000);
    CHECK(memcmp(map.outer_ip, OUTER, 4) == 0);
    due = ritp_portmap_deadline(&map);
    CHECK(due == START + 675 * S && ritp_portmap_poll(&map, out, due) == 2);
    /* RFC 6886 section 3.6: 7/8 of 675 s must have gone by there, less 2 s. */
    CHECK(ritp_portmap_take(&map, answer, pmp_address(0, 598, answer), due) == 1);
    CHECK(map.is_mapped && ritp_portmap_poll(&map, out, due) == 12);
    CHECK(out[6] == 40000 >> 8 && out[7] == (40000 & 255));
    CHECK(ritp_portmap_take(&map, answer, pmp_mapping(0, 598, 1200, answer), due) == 1);
    CHECK(ritp_portmap_release(&map, out) == 12 && out[4] == 0x1b && out[5] == 0x58);
    CHECK(out[6] == 0 && out[7] == 0 && out[8] == 0 && out[10] == 0 && out[11] == 0);
}

static void test_pmp_restarted(void) {
    struct ritp_portmap map = asking_pmp();
    uint8_t out[60], answer[16];
    uint64_t due;

    CHECK(ritp_portmap_take(&map, answer, pmp_address(0, 10, answer), START) == 1);
    CHECK(ritp_portmap_poll(&map, out, START) == 12);
    CHECK(ritp_portmap_take(&map, answer, pmp_mapping(0, 10, 1200, answer), START) == 1);
    due = ritp_portmap_deadline(&map);
    CHECK(ritp_portmap_poll(&map, out, due) == 2);
    CHECK(ritp_portmap_take(&map, answer, pmp_address(0, 597, answer), due) == 1);
    CHECK(!map.is_mapped && ritp_portmap_poll(&map, out, due) == 12);
    CHECK(out[6] == 40000 >> 8); /* the same is asked for */
    /* A refusal leaves it at that, for five minutes. */
    CHECK(ritp_portmap_take(&map, answer, pmp_mapping(2, 597, 0, answer), due) == 1);
    CHECK(!map.is_mapped && ritp_portmap_deadline(&map) == due + 300 * S);
}

/* RFC 6887 section 8.5, at its edges: the clock went d s further than ours in 675 s. */
static void test_pcp_restarted(void) {
    static const struct {
        uint32_t epoch_s;
        int is_lost;
    } CASES[] = {{5675, 0}, {5722, 0}, {5723, 1}, {5631, 0}, {5630, 1}, {4999, 1}, {0, 1}};
    size_t i;

    for (i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct ritp_portmap map = mapped();
        uint64_t due = ritp_portmap_deadline(&map);
        uint8_t out[60], answer[60];
        CHECK(ritp_portmap_poll(&map, out, due) == 60);
        /* NO_RESOURCES: only the clock says whether what is held is still there. */
        (void)pcp_answer(out, 8, 90, CASES[i].epoch_s, 0, answer);
        CHECK(ritp_portmap_take(&map, answer, 60, due) == 1);
        CHECK(map.is_mapped == !CASES[i].is_lost);
        CHECK(ritp_portmap_deadline(&map) == due + 90 * S);
    }
}

/* Left alone for as long as it says, within 1 and 30 minutes. */
static void test_refused(void) {
    static const uint32_t SAID[] = {0, 60, 61, 1800, 1801, UINT32_MAX};
    static const uint32_t KEPT[] = {60, 60, 61, 1800, 1800, 1800};
    uint8_t out[60], answer[60];
    size_t i;

    for (i = 0; i < 6; i++) {
        struct ritp_portmap map = started();
        CHECK(ritp_portmap_poll(&map, out, START) == 60);
        (void)pcp_answer(out, 2, SAID[i], 1, 0, answer); /* NOT_AUTHORIZED */
        /* An error may be cut to its header. */
        CHECK(ritp_portmap_take(&map, answer, i % 2 == 0 ? 60 : 24, START) == 1);
        CHECK(!map.is_mapped && ritp_portmap_deadline(&map) == START + KEPT[i] * S);
    }
    {
        struct ritp_portmap map = started();
        CHECK(ritp_portmap_poll(&map, out, START) == 60);
        (void)pcp_answer(out, 4, 1800, 1, 0, answer); /* UNSUPP_OPCODE */
        CHECK(ritp_portmap_take(&map, answer, 60, START) == 1);
        CHECK(ritp_portmap_poll(&map, out, START) == 2);
    }
}

/* What no router would say is no mapping, and is not asked for again for half an hour. */
static void test_lies(void) {
    static const struct {
        uint8_t ip[4];
        uint16_t port;
        uint32_t lifetime_s;
        int is_good;
    } CASES[] = {{{0, 1, 2, 3}, 40000, 1200, 0},    {{127, 0, 0, 1}, 40000, 1200, 0},
                 {{169, 254, 1, 1}, 40000, 1200, 0}, {{224, 0, 0, 1}, 40000, 1200, 0},
                 {{255, 255, 255, 255}, 1, 1200, 0}, {{203, 0, 113, 9}, 0, 1200, 0},
                 {{203, 0, 113, 9}, 40000, 0, 0},    {{203, 0, 113, 9}, 40000, 119, 0},
                 {{203, 0, 113, 9}, 40000, 120, 1},  {{10, 0, 0, 1}, 1, 1200, 1},
                 {{203, 0, 113, 9}, 40000, UINT32_MAX, 1}};
    uint8_t out[60], answer[60];
    size_t i;

    for (i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct ritp_portmap map = started();
        CHECK(ritp_portmap_poll(&map, out, START) == 60);
        (void)pcp_answer(out, 0, CASES[i].lifetime_s, 1, CASES[i].port, answer);
        memcpy(answer + 56, CASES[i].ip, 4);
        CHECK(ritp_portmap_take(&map, answer, 60, START) == 1);
        CHECK(map.is_mapped == CASES[i].is_good);
        if (!map.is_mapped)
            CHECK(ritp_portmap_deadline(&map) == START + 1800 * S);
        else
            CHECK(map.expires_us <= START + 86400 * S);
    }
    { /* one that takes the place of a good answer */
        struct ritp_portmap map = mapped();
        uint64_t due = ritp_portmap_deadline(&map);
        CHECK(ritp_portmap_poll(&map, out, due) == 60);
        (void)pcp_answer(out, 0, 1200, 5675, 0, answer);
        CHECK(ritp_portmap_take(&map, answer, 60, due) == 1 && !map.is_mapped);
    }
    { /* an IPv6 address for an IPv4 client */
        struct ritp_portmap map = started();
        CHECK(ritp_portmap_poll(&map, out, START) == 60);
        (void)pcp_answer(out, 0, 1200, 1, 40000, answer);
        answer[44] = 0x20;
        CHECK(ritp_portmap_take(&map, answer, 60, START) == 1 && !map.is_mapped);
    }
}

/* Not the answer to what was asked: as if it had not come. */
static void test_foreign(void) {
    static const size_t CHANGED[] = {1, 24, 35, 36, 40, 41};
    struct ritp_portmap map = started();
    uint8_t out[60], answer[1200] = {0};
    size_t i;

    CHECK(ritp_portmap_poll(&map, out, START) == 60);
    for (i = 0; i < sizeof CHANGED / sizeof *CHANGED; i++) {
        (void)pcp_answer(out, 0, 1200, 1, 40000, answer);
        answer[CHANGED[i]] ^= 1;
        CHECK(ritp_portmap_take(&map, answer, 60, START) == 0 && !map.is_mapped);
    }
    (void)pcp_answer(out, 0, 1200, 1, 40000, answer);
    for (i = 0; i < 60; i++)
        CHECK(ritp_portmap_take(&map, answer, i, START) == 0);
    CHECK(ritp_portmap_take(&map, answer, 61, START) == 0);
    CHECK(ritp_portmap_take(&map, answer, 1104, START) == 0);
    CHECK(ritp_portmap_take(&map, out, 60, START) == 0); /* the question itself */
    CHECK(ritp_portmap_take(&map, answer, 1100, START) == 1 && map.is_mapped);
    map = asking_pmp();
    for (i = 0; i < 12; i++)
        CHECK(ritp_portmap_take(&map, answer, pmp_address(0, 1, answer) - 1 - i, START) == 0);
    CHECK(ritp_portmap_take(&map, answer, pmp_address(0, 1, answer), START) == 1);
    CHECK(ritp_portmap_poll(&map, out, START) == 12);
    for (i = 0; i < 16; i++)
        CHECK(ritp_portmap_take(&map, answer, pmp_mapping(0, 1, 1200, answer) - 1 - i, START) == 0);
    (void)pmp_mapping(0, 1, 1200, answer);
    answer[9] ^= 1; /* another inner port */
    CHECK(ritp_portmap_take(&map, answer, 16, START) == 0 && !map.is_mapped);
}

static uint64_t seed = 1;

static uint32_t chance(uint32_t below) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % below;
}

/* Bytes by chance, and answers changed by chance, each in memory of its own length, for the
 * sanitizer to watch: what is held is always possible, and it never asks too often. */
static void test_noise(void) {
    unsigned round, requests = 0, believed = 0, held = 0;
    struct ritp_portmap map = started();
    uint64_t now = START;
    uint8_t out[60];

    for (round = 0; round < 300000; round++) {
        size_t i, len = chance(chance(8) == 0 ? 1200 : 64);
        uint8_t whole[64] = {0}, *bytes;
        for (i = 0; i < sizeof whole; i++)
            whole[i] = (uint8_t)chance(256);
        if (chance(4) != 0) {
            unsigned kind = chance(3);
            len = kind == 0   ? pcp_answer(out, (uint8_t)(chance(3) * chance(14)), chance(4000),
                                           chance(4000), (uint16_t)chance(65536), whole)
                  : kind == 1 ? pmp_address((uint16_t)(chance(3) / 2), chance(4000), whole)
                              : pmp_mapping((uint16_t)(chance(3) / 2), chance(4000), chance(4000),
                                            whole);
            if (chance(2) == 0)
                whole[chance((uint32_t)len)] = (uint8_t)chance(256);
            if (chance(4) == 0)
                len = chance((uint32_t)len + 1);
        }
        bytes = malloc(len > 0 ? len : 1);
        CHECK(bytes != NULL);
        for (i = 0; i < len; i++)
            bytes[i] = i < sizeof whole ? whole[i] : (uint8_t)chance(256);
        believed += (unsigned)ritp_portmap_take(&map, bytes, len, now);
        free(bytes);
        CHECK(!map.is_mapped || (map.outer_port != 0 && map.outer_ip[0] != 127));
        held += map.is_mapped != 0;
        if (chance(4) == 0)
            now = ritp_portmap_deadline(&map) > now && chance(2) ? ritp_portmap_deadline(&map)
                                                                 : now + chance(2000000);
        requests += ritp_portmap_poll(&map, out, now) > 0;
    }
    CHECK(believed > 1000 && held > 1000);
    CHECK(requests < (now - START) / (2 * S));
    printf("noise: %u believed, %u requests in %u s\n", believed, requests,
           (unsigned)((now - START) / S));
}

/* ---- with sockets, and told to the node */

static struct sockaddr_in router_at(int fd) {
    struct sockaddr_in at;
    socklen_t len = sizeof at;

    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    return at;
}

static void test_told(const char *state_dir) {
    struct rit_posix_config config = {.state_dir = state_dir};
    const struct timeval patience = {.tv_sec = 10};
    struct sockaddr_in at = {.sin_family = AF_INET}, from;
    socklen_t from_len = sizeof from;
    struct rit_posix_event event;
    uint8_t in[64], answer[60];
    int error, fd = socket(AF_INET, SOCK_DGRAM, 0);
    rit_posix *port = rit_posix_new(&config, &error);


    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(port != NULL && bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(port->router_fd < 0); /* not wanted */
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    at = router_at(fd);
    ritp_router_open(port, &at, fake.now_us);
    CHECK(rit_posix_step(port, 0) == 0);
    CHECK(recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&from, &from_len) == 60);
    CHECK(in[20] == 127 && in[40] == port->udp_port[0] >> 8 &&
          in[41] == (port->udp_port[0] & 255));
    (void)pcp_answer(in, 0, 1200, 1, 40000, answer);
    CHECK(sendto(fd, answer, 60, 0, (struct sockaddr *)&from, from_len) == 60);
    CHECK(rit_posix_step(port, 1000) == 0);
    CHECK(fake.path_count > 0 && memcmp(fake.paths[0].ip + 12, OUTER, 4) == 0);
    CHECK(fake.paths[0].port == 40000 && fake.paths[0].ip[11] == 0xff);
    CHECK(rit_posix_next(port, &event) && event.type == RIT_POSIX_PORT_MAPPED);
    CHECK(strcmp(event.address, "203.0.113.9") == 0 && event.port == 40000);
    /* Given back, and the next one finds it dead. */
    rit_posix_free(port);
    CHECK(recv(fd, in, sizeof in, 0) == 60 && in[6] == 0 && in[7] == 0);
    CHECK(close(fd) == 0);
    port = rit_posix_new(&config, &error);
    CHECK(port != NULL);
    ritp_router_open(port, &at, fake.now_us);
    CHECK(rit_posix_step(port, 0) == 0 && rit_posix_step(port, 1000) == 0);
    CHECK(ritp_portmap_deadline(&port->map) == fake.now_us + 1800 * S && !port->map.is_mapped);
    rit_posix_free(port);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    test_pcp_bytes();
    test_pcp_renewal();
    test_silent();
    test_falls_silent();
    test_pmp();
    test_pmp_restarted();
    test_pcp_restarted();
    test_refused();
    test_lies();
    test_foreign();
    test_noise();
    test_told(argv[1]);
    puts("test_portmap: 12 tests passed");
    return 0;
}
