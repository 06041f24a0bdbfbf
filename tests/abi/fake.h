/*
 * What the tests of the C interface share: a table of callbacks that does what a test tells it to,
 * and checks that say where they failed. Compiled as C99 and as C++17.
 */
#ifndef RIT_ABI_FAKE_H
#define RIT_ABI_FAKE_H

#include "rit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(is_true)                                                                  \
    do {                                                                                \
        if (!(is_true)) {                                                               \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #is_true);       \
            exit(1);                                                                    \
        }                                                                               \
    } while (0)

/* An answer of the library. */
#define ANSWERS(wanted, call)                                                           \
    do {                                                                                \
        int32_t got_ = (call);                                                          \
        if (got_ != (wanted)) {                                                         \
            fprintf(stderr, "%s:%d: %s answered %ld (%s), not %s\n", __FILE__,          \
                    __LINE__, #call, (long)got_, rit_strerror(got_), #wanted);          \
            exit(1);                                                                    \
        }                                                                               \
    } while (0)

#define SIZED(thing) (memset(&(thing), 0, sizeof(thing)), (thing).struct_size = (uint32_t)sizeof(thing))

struct fake {
    rit_node *node;
    uint64_t now_us;
    uint64_t noise;
    /* entropy: how many calls succeed before it fails; how many bytes of each it really writes */
    unsigned entropy_calls, entropy_good;
    size_t entropy_written;
    int entropy_is_stuck;
    int entropy_constant; /* -1: none */
    /* storage */
    uint8_t slot[RIT_SLOT_MAX];
    int32_t slot_len;
    int32_t load_answer; /* 0: the slot */
    int32_t store_answer;
    unsigned loads, stores;
    /* network */
    unsigned sent;
    int32_t send_answer;
    uint8_t last[9000];
    size_t last_len;
    struct rit_path last_to;
    const uint8_t *inbox;
    int32_t inbox_len;
    unsigned inbox_count;
    uint16_t inbox_port;
    /* TCP: how much is taken in one call, negative: none can be opened */
    int32_t tcp_room;
    unsigned tcp_writes, tcp_closes;
    size_t tcp_written;
    uint8_t tcp_first;
    /* timer and log */
    uint64_t timer_us;
    unsigned timers, logs;
    char last_log[256];
    /* called in every callback, if set */
    void (*hook)(struct fake *fake, const char *callback);
};

static inline void fake_hook(struct fake *fake, const char *callback) {
    if (fake->hook != NULL) fake->hook(fake, callback);
}

static inline uint64_t fake_now_us(void *ctx) {
    struct fake *fake = (struct fake *)ctx;
    fake_hook(fake, "now_us");
    return fake->now_us;
}

/* splitmix64: good enough to look like entropy, and the same in every run. */
static inline uint64_t fake_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline int32_t fake_entropy(void *ctx, uint8_t *out, size_t len) {
    struct fake *fake = (struct fake *)ctx;
    size_t i;
    uint64_t noise = fake->noise;
    fake_hook(fake, "entropy");
    if (fake->entropy_calls++ >= fake->entropy_good) return -1;
    for (i = 0; i < len && i < fake->entropy_written; i++) {
        out[i] = fake->entropy_constant >= 0 ? (uint8_t)fake->entropy_constant
                                             : (uint8_t)fake_random(&noise);
    }
    if (!fake->entropy_is_stuck) fake->noise = noise;
    return 0;
}

static inline int32_t fake_send(void *ctx, const struct rit_path *to, const uint8_t *pkt, size_t len) {
    struct fake *fake = (struct fake *)ctx;
    fake_hook(fake, "send");
    CHECK(to != NULL && pkt != NULL && len > 0 && len <= sizeof(fake->last));
    CHECK(to->struct_size == sizeof(struct rit_path) && to->port != 0 && to->reserved[0] == 0);
    fake->sent++;
    memcpy(fake->last, pkt, len);
    fake->last_len = len;
    fake->last_to = *to;
    return fake->send_answer;
}

static inline int32_t fake_recv(void *ctx, struct rit_path *from, uint8_t *buf, size_t cap) {
    struct fake *fake = (struct fake *)ctx;
    fake_hook(fake, "recv");
    CHECK(from != NULL && from->struct_size == sizeof(struct rit_path) && cap > 0);
    if (fake->inbox_count == 0) return 0;
    fake->inbox_count--;
    from->ip[10] = from->ip[11] = 0xff;
    from->ip[15] = 1;
    from->port = fake->inbox_port;
    if (fake->inbox_len > 0 && (size_t)fake->inbox_len <= cap) {
        memcpy(buf, fake->inbox, (size_t)fake->inbox_len);
    }
    return fake->inbox_len;
}

static inline void fake_set_timer(void *ctx, uint64_t deadline_us) {
    struct fake *fake = (struct fake *)ctx;
    fake_hook(fake, "set_timer");
    fake->timer_us = deadline_us;
    fake->timers++;
}

static inline int32_t fake_load(void *ctx, uint32_t slot, uint8_t *buf, size_t cap) {
    struct fake *fake = (struct fake *)ctx;
    fake_hook(fake, "load");
    CHECK(slot == RIT_SLOT_IDENTITY && cap == RIT_SLOT_MAX);
    fake->loads++;
    if (fake->load_answer != 0) return fake->load_answer;
    memcpy(buf, fake->slot, (size_t)fake->slot_len);
    return fake->slot_len;
}

static inline int32_t fake_store(void *ctx, uint32_t slot, const uint8_t *buf, size_t len) {
    struct fake *fake = (struct fake *)ctx;
    fake_hook(fake, "store");
    CHECK(slot == RIT_SLOT_IDENTITY && len > 0 && len <= RIT_SLOT_MAX);
    fake->stores++;
    if (fake->store_answer != 0) return fake->store_answer;
    memcpy(fake->slot, buf, len);
    fake->slot_len = (int32_t)len;
    return 0;
}

static inline void fake_log(void *ctx, int32_t level, const char *msg) {
    struct fake *fake = (struct fake *)ctx;
    fake_hook(fake, "log");
    CHECK(level >= RIT_LOG_ERROR && level <= RIT_LOG_DEBUG && msg != NULL && msg[0] != '\0');
    fake->logs++;
    strncpy(fake->last_log, msg, sizeof(fake->last_log) - 1);
}

static inline int32_t fake_tcp_write(void *ctx, const struct rit_path *to, const uint8_t *bytes,
                                     size_t len) {
    struct fake *fake = (struct fake *)ctx;
    int32_t taken = fake->tcp_room < (int32_t)len ? fake->tcp_room : (int32_t)len;
    fake_hook(fake, "tcp_write");
    CHECK(to->struct_size == sizeof(*to) && to->socket == RIT_SOCKET_TLS && to->ifindex == 0);
    CHECK(len > 0);
    fake->tcp_writes++;
    if (taken > 0 && fake->tcp_written == 0) fake->tcp_first = bytes[0];
    if (taken > 0) fake->tcp_written += (size_t)taken;
    return taken;
}

static inline void fake_tcp_close(void *ctx, const struct rit_path *to) {
    struct fake *fake = (struct fake *)ctx;
    fake_hook(fake, "tcp_close");
    CHECK(to->struct_size == sizeof(*to) && to->socket == RIT_SOCKET_TLS);
    fake->tcp_closes++;
}

/* A world in which everything works. Seeds differ, so nodes do. */
static inline void fake_init(struct fake *fake, uint64_t seed) {
    memset(fake, 0, sizeof(*fake));
    fake->now_us = UINT64_C(1000000);
    fake->noise = seed;
    fake->entropy_good = 1000;
    fake->entropy_written = 1000;
    fake->entropy_constant = -1;
    fake->inbox_port = 5000;
    fake->timer_us = 1;
}

static inline struct rit_io fake_io(struct fake *fake) {
    struct rit_io io;
    SIZED(io);
    io.ctx = fake;
    io.now_us = fake_now_us;
    io.entropy = fake_entropy;
    io.send = fake_send;
    io.recv = fake_recv;
    io.set_timer = fake_set_timer;
    io.load = fake_load;
    io.store = fake_store;
    io.log = fake_log;
    return io;
}

/* A node with default limits, which must come to be. */
static inline rit_node *fake_node(struct fake *fake) {
    struct rit_io io = fake_io(fake);
    struct rit_config config;
    int32_t err = 1;
    rit_config_init(&config);
    fake->node = rit_node_new(&config, &io, &err);
    CHECK(fake->node != NULL && err == RIT_OK);
    return fake->node;
}

static inline struct rit_path fake_path(uint8_t last_byte) {
    struct rit_path path;
    SIZED(path);
    path.ip[10] = path.ip[11] = 0xff;
    path.ip[12] = 192;
    path.ip[14] = 2;
    path.ip[15] = last_byte;
    path.port = 7480;
    return path;
}

/* A broker that is nobody: no key pair has this public key, nothing answers at the path. */
static inline struct rit_broker fake_broker(const struct rit_path *path) {
    struct rit_broker broker;
    SIZED(broker);
    memset(broker.key, 9, sizeof(broker.key));
    broker.paths = path;
    broker.path_count = 1;
    return broker;
}

static inline struct rit_service fake_service(const char *name) {
    struct rit_service service;
    SIZED(service);
    service.kind = RIT_SERVICE_TCP;
    service.port = 80;
    service.name = name;
    return service;
}

#endif
