/* answers.h: multicast DNS answers for tests of ports/posix, written octet by octet. */
#ifndef ANSWERS_H
#define ANSWERS_H

#include <string.h>

#include "fake_rit.h"

#define TAG "ecececec" /* of the key that the fake gives gateways */

struct answer {
    uint8_t bytes[1400];
    size_t len;
};

static inline void put(struct answer *to, const void *bytes, size_t len) {
    CHECK(to->len + len <= sizeof to->bytes);
    memcpy(to->bytes + to->len, bytes, len);
    to->len += len;
}

static inline void put_16(struct answer *to, unsigned value) {
    const uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};

    put(to, bytes, 2);
}

/* A dotted name, without pointers. */
static inline void put_name(struct answer *to, const char *name) {
    while (*name != '\0') {
        size_t len = strcspn(name, ".");
        uint8_t octet = (uint8_t)len;
        put(to, &octet, 1);
        put(to, name, len);
        name += len + (name[len] == '.');
    }
    put(to, "", 1);
}

/* A record up to its data, whose length is put in by end_record. */
static inline size_t begin_record(struct answer *to, const char *owner, unsigned type) {
    put_name(to, owner);
    put_16(to, type);
    put_16(to, 0x8001);
    put_16(to, 0);
    put_16(to, 120);
    put_16(to, 0);
    to->bytes[7]++; /* of the answers, fewer than 256 */
    return to->len;
}

static inline void end_record(struct answer *to, size_t began) {
    size_t len = to->len - began;

    to->bytes[began - 2] = (uint8_t)(len >> 8);
    to->bytes[began - 1] = (uint8_t)len;
}

static inline void begin(struct answer *to, unsigned id) {
    static const uint8_t REST[10] = {0x84};

    to->len = 0;
    put_16(to, id);
    put(to, REST, sizeof REST);
}

static inline void put_ptr(struct answer *to, const char *instance) {
    size_t at = begin_record(to, "_rit._udp.local", 12);

    put_name(to, instance);
    end_record(to, at);
}

/* Strings with their lengths before them. */
static inline void put_txt(struct answer *to, const char *instance, const char *strings) {
    size_t at = begin_record(to, instance, 16);

    put(to, strings, strlen(strings));
    end_record(to, at);
}

static inline void put_srv(struct answer *to, const char *instance, unsigned port,
                           const char *host) {
    size_t at = begin_record(to, instance, 33);

    put_16(to, 0);
    put_16(to, 0);
    put_16(to, port);
    put_name(to, host);
    end_record(to, at);
}

static inline void put_address(struct answer *to, const char *host, const uint8_t *ip,
                               size_t len) {
    size_t at = begin_record(to, host, len == 4 ? 1 : 28);

    put(to, ip, len);
    end_record(to, at);
}

/* What a gateway at 10.9.0.LAST says. */
static inline void put_gateway(struct answer *to, unsigned id, uint8_t last, unsigned port) {
    const uint8_t ip[4] = {10, 9, 0, last};

    begin(to, id);
    put_ptr(to, "rit-x._rit._udp.local");
    put_txt(to, "rit-x._rit._udp.local", "\003v=1\012k=" TAG);
    put_srv(to, "rit-x._rit._udp.local", port, "rit-x.local");
    put_address(to, "rit-x.local", ip, 4);
}

#endif
