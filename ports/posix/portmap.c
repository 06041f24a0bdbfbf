/* portmap.c: a UDP port of the router that leads here, asked for by PCP (RFC 6887), and by NAT-PMP
 * (RFC 6886) where the router knows no PCP.
 *
 * Owns the conversation, which takes bytes and the time and gives bytes: what is asked when, which
 * answers are believed, the mapping and when it is renewed or over. Does not own the socket nor who
 * is told: network.c does. Invariants: an answer is looked at only while a question is open and is
 * never read past its length; one request is out at a time; no answer, however wrong, makes it ask
 * more often than every 60 s.
 */
#define _POSIX_C_SOURCE 200809L

#include <string.h>

#include "internal.h"

#define SECOND_US UINT64_C(1000000)
#define PCP_VERSION 2
#define PCP_MAP 1
#define PCP_MAP_LEN 60
#define PCP_HEADER_LEN 24
#define PCP_LEN_MAX 1100
#define PMP_VERSION 0
#define PMP_ADDRESS_LEN 12
#define PMP_MAP_LEN 16
#define IS_ANSWER 0x80
#define UDP 17
/* Results of PCP; those of NAT-PMP have the same number where it has them. */
#define SUCCESS 0
#define UNSUPPORTED_VERSION 1
#define UNSUPPORTED_OPCODE 4

/* RFC 6887 section 8.1.1: 3 s, then twice that; then NAT-PMP is tried. */
#define PCP_WAIT_US (3 * SECOND_US)
#define PCP_TRIES 2
/* RFC 6886 section 3.1. */
#define PMP_WAIT_US (SECOND_US / 4)
#define PMP_TRIES 9
/* Asked for. Less than the 7200 s of RFC 6886: a router that restarts forgets its mappings, and is
 * found out at the next renewal. */
#define LIFETIME_S 1200u
/* What a router may give: less is of no use, more is not relied upon (RFC 6887 section 15). */
#define LIFETIME_MIN_S 120u
#define LIFETIME_MAX_S 86400u
/* Between two renewals that nobody answered (RFC 6887 section 11.2.1). */
#define RENEW_MIN_US (4 * SECOND_US)
/* After a refusal, or when nobody is there to ask. */
#define REST_MIN_S 60u
#define REST_MAX_S 1800u

enum { OFF, ASK_PCP, ASK_PMP_ADDRESS, ASK_PMP_MAP, HELD, RESTING };

/* ---- numbers in network order */

static void put16(uint8_t *out, uint16_t value) {
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static void put32(uint8_t *out, uint32_t value) {
    put16(out, (uint16_t)(value >> 16));
    put16(out + 2, (uint16_t)value);
}

static uint16_t get16(const uint8_t *in) {
    return (uint16_t)(in[0] << 8 | in[1]);
}

static uint32_t get32(const uint8_t *in) {
    return (uint32_t)get16(in) << 16 | get16(in + 2);
}

/* ---- what is asked */

static void put_mapped(uint8_t out[16], const uint8_t ip[4]) {
    memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    memcpy(out + 12, ip, 4);
}

/* Suggests what is held, so that a router that restarted gives the same again. */
static size_t pcp_request(const struct ritp_portmap *map, uint32_t lifetime_s, uint8_t *out) {
    memset(out, 0, PCP_MAP_LEN);
    out[0] = PCP_VERSION;
    out[1] = PCP_MAP;
    put32(out + 4, lifetime_s);
    put_mapped(out + 8, map->client);
    memcpy(out + 24, map->nonce, sizeof map->nonce);
    out[36] = UDP;
    put16(out + 40, map->inner_port);
    put16(out + 42, lifetime_s != 0 ? map->outer_port : 0);
    put_mapped(out + 44, map->outer_ip);
    return PCP_MAP_LEN;
}

static size_t pmp_request(const struct ritp_portmap *map, uint32_t lifetime_s, uint8_t *out) {
    memset(out, 0, 12);
    out[0] = PMP_VERSION;
    out[1] = 1; /* UDP */
    put16(out + 4, map->inner_port);
    put16(out + 6, lifetime_s != 0 ? map->outer_port : 0);
    put32(out + 8, lifetime_s);
    return 12;
}

static size_t request(const struct ritp_portmap *map, uint8_t *out) {
    if (map->phase == ASK_PCP)
        return pcp_request(map, LIFETIME_S, out);
    if (map->phase == ASK_PMP_MAP)
        return pmp_request(map, LIFETIME_S, out);
    out[0] = PMP_VERSION;
    out[1] = 0; /* the outer address */
    return 2;
}

/* ---- when */

void ritp_portmap_start(struct ritp_portmap *map, const uint8_t client[4], uint16_t inner_port,
                        const uint8_t nonce[12], uint64_t now_us) {
    memset(map, 0, sizeof *map);
    memcpy(map->client, client, sizeof map->client);
    memcpy(map->nonce, nonce, sizeof map->nonce);
    map->inner_port = inner_port;
    map->phase = ASK_PCP;
    map->due_us = now_us;
}

static void ask(struct ritp_portmap *map, int phase, uint64_t now_us) {
    map->phase = phase;
    map->tries = 0;
    map->due_us = now_us;
}

void ritp_portmap_again(struct ritp_portmap *map, uint64_t now_us) {
    if (map->phase == HELD || map->phase == RESTING)
        map->due_us = now_us;
}

/* Leaves it alone for a while. A mapping that is held is good until its end all the same. */
static void rest(struct ritp_portmap *map, uint32_t seconds, uint64_t now_us) {
    if (seconds < REST_MIN_S)
        seconds = REST_MIN_S;
    if (seconds > REST_MAX_S)
        seconds = REST_MAX_S;
    map->phase = map->is_mapped ? HELD : RESTING;
    map->due_us = now_us + seconds * SECOND_US;
}

void ritp_portmap_unreachable(struct ritp_portmap *map, uint64_t now_us) {
    if (map->phase != OFF)
        rest(map, REST_MAX_S, now_us);
}

/* Nobody answers. */
static void give_up(struct ritp_portmap *map, uint64_t now_us) {
    uint64_t wait_us;

    if (map->is_mapped) {
        wait_us = (map->expires_us - now_us) / 2;
        map->phase = HELD;
        map->due_us = now_us + (wait_us > RENEW_MIN_US ? wait_us : RENEW_MIN_US);
    } else if (map->phase == ASK_PCP) {
        ask(map, ASK_PMP_ADDRESS, now_us);
    } else {
        rest(map, REST_MAX_S, now_us);
    }
}

uint64_t ritp_portmap_deadline(const struct ritp_portmap *map) {
    if (map->phase == OFF)
        return RITP_NEVER;
    return map->is_mapped && map->expires_us < map->due_us ? map->expires_us : map->due_us;
}

size_t ritp_portmap_poll(struct ritp_portmap *map, uint8_t out[RITP_PORTMAP_LEN],
                         uint64_t now_us) {
    unsigned most;
    uint64_t wait_us;

    if (map->is_mapped && map->expires_us <= now_us) {
        map->is_mapped = 0;
        if (map->phase == HELD)
            map->phase = RESTING;
    }
    if (map->phase == OFF || map->due_us > now_us)
        return 0;
    if (map->phase == RESTING)
        ask(map, ASK_PCP, now_us);
    else if (map->phase == HELD)
        ask(map, map->is_pcp ? ASK_PCP : ASK_PMP_ADDRESS, now_us);
    most = map->phase == ASK_PCP ? PCP_TRIES : PMP_TRIES;
    if (map->tries == most) {
        give_up(map, now_us);
        if (map->due_us > now_us)
            return 0;
    }
    wait_us = map->phase == ASK_PCP ? PCP_WAIT_US : PMP_WAIT_US;
    map->due_us = now_us + (wait_us << map->tries);
    map->tries++;
    return request(map, out);
}

size_t ritp_portmap_release(struct ritp_portmap *map, uint8_t out[RITP_PORTMAP_LEN]) {
    size_t len = 0;

    if (map->is_mapped)
        len = map->is_pcp ? pcp_request(map, 0, out) : pmp_request(map, 0, out);
    memset(map, 0, sizeof *map);
    return len;
}

/* ---- what is answered */

/* Whether the router forgot its mappings since it was last heard: its clock, which counts from when
 * it lost them, does not go as ours does. */
static int has_restarted(struct ritp_portmap *map, uint32_t epoch_s, int is_pcp,
                         uint64_t now_us) {
    uint64_t own = (now_us - map->epoch_at_us) / SECOND_US, before = map->epoch_s;
    uint64_t since = epoch_s > before ? epoch_s - before : 0;
    int is_first = !map->has_epoch, restarted;

    map->has_epoch = 1;
    map->epoch_s = epoch_s;
    map->epoch_at_us = now_us;
    if (is_first)
        restarted = 0;
    else if (!is_pcp) /* RFC 6886 section 3.6 */
        restarted = (uint64_t)epoch_s + 2 < before + own * 7 / 8;
    else /* RFC 6887 section 8.5 */
        restarted = (uint64_t)epoch_s + 1 < before || own + 2 < since - since / 16 ||
                    since + 2 < own - own / 16;
    return restarted;
}

/* An address that a datagram can be sent to. It may be private: that of a NAT before a NAT. */
static int is_usable(const uint8_t ip[4]) {
    return ip[0] != 0 && ip[0] != 127 && ip[0] < 224 && !(ip[0] == 169 && ip[1] == 254);
}

static void hold(struct ritp_portmap *map, int is_pcp, const uint8_t ip[4], uint16_t outer_port,
                 uint32_t lifetime_s, uint64_t now_us) {
    uint64_t lifetime_us;

    if (!is_usable(ip) || outer_port == 0 || lifetime_s < LIFETIME_MIN_S) {
        map->is_mapped = 0; /* whatever it is, it is not what was held */
        rest(map, REST_MAX_S, now_us);
        return;
    }
    if (lifetime_s > LIFETIME_MAX_S)
        lifetime_s = LIFETIME_MAX_S;
    lifetime_us = lifetime_s * SECOND_US;
    map->is_mapped = 1;
    map->is_pcp = is_pcp;
    memcpy(map->outer_ip, ip, sizeof map->outer_ip);
    map->outer_port = outer_port;
    map->expires_us = now_us + lifetime_us;
    map->phase = HELD;
    /* Between 1/2 and 5/8, so that those who started together do not come together. */
    map->due_us = now_us + lifetime_us / 2 + lifetime_us / 8 * map->nonce[0] / 256;
}

static int take_pcp(struct ritp_portmap *map, const uint8_t *in, size_t len, uint64_t now_us) {
    static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t NOWHERE[4] = {0, 0, 0, 0};
    uint8_t result;
    int restarted;

    if (len < PCP_HEADER_LEN || len > PCP_LEN_MAX || len % 4 != 0 ||
        in[1] != (IS_ANSWER | PCP_MAP))
        return 0;
    result = in[3];
    /* Only an error may come without what it is the answer to. */
    if (len < PCP_MAP_LEN
            ? result == SUCCESS
            : memcmp(in + 24, map->nonce, sizeof map->nonce) != 0 || in[36] != UDP ||
                  get16(in + 40) != map->inner_port)
        return 0;
    restarted = has_restarted(map, get32(in + 8), 1, now_us);
    if (result == SUCCESS) {
        hold(map, 1, memcmp(in + 44, MAPPED, 12) == 0 ? in + 56 : NOWHERE, get16(in + 42),
             get32(in + 4), now_us);
        return 1;
    }
    if (restarted)
        map->is_mapped = 0;
    if ((result == UNSUPPORTED_VERSION || result == UNSUPPORTED_OPCODE) && !map->is_mapped)
        ask(map, ASK_PMP_ADDRESS, now_us);
    else
        rest(map, get32(in + 4), now_us);
    return 1;
}

static int take_pmp(struct ritp_portmap *map, const uint8_t *in, size_t len, uint64_t now_us) {
    int is_address = map->phase == ASK_PMP_ADDRESS;
    uint16_t result;

    if (len < 8 || in[1] != (is_address ? IS_ANSWER : IS_ANSWER + 1))
        return 0;
    result = get16(in + 2);
    if (result == SUCCESS && len < (is_address ? PMP_ADDRESS_LEN : PMP_MAP_LEN))
        return 0;
    if (!is_address && len >= PMP_MAP_LEN && get16(in + 8) != map->inner_port)
        return 0;
    if (has_restarted(map, get32(in + 4), 0, now_us))
        map->is_mapped = 0;
    if (result != SUCCESS) {
        rest(map, REST_MIN_S * 5, now_us);
    } else if (is_address) {
        memcpy(map->told_ip, in + 8, sizeof map->told_ip);
        ask(map, ASK_PMP_MAP, now_us);
    } else {
        hold(map, 0, map->told_ip, get16(in + 10), get32(in + 12), now_us);
    }
    return 1;
}

int ritp_portmap_take(struct ritp_portmap *map, const uint8_t *in, size_t len, uint64_t now_us) {
    if (len < 4 || map->tries == 0)
        return 0;
    if (map->phase == ASK_PMP_ADDRESS || map->phase == ASK_PMP_MAP)
        return in[0] == PMP_VERSION ? take_pmp(map, in, len, now_us) : 0;
    if (map->phase != ASK_PCP)
        return 0;
    if (in[0] == PCP_VERSION)
        return take_pcp(map, in, len, now_us);
    /* "I do not speak PCP": both protocols have the result in the same place for that. */
    if (!(in[1] & IS_ANSWER) || in[3] != UNSUPPORTED_VERSION)
        return 0;
    map->is_mapped = 0; /* it did once: another router */
    ask(map, ASK_PMP_ADDRESS, now_us);
    return 1;
}
