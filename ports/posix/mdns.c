/* mdns.c: what is asked of a LAN to find a gateway in it, and what its answers say.
 *
 * Owns the bytes of one-shot queries for the service type _rit._udp (RFC 6762 section 5.1, RFC
 * 6763) and of their answers (RFC 1035 section 4). Does not own sockets, nor what is done about an
 * answer (gateway.c). An answer is anybody's word: invariants are that nothing outside of it is
 * read, that a pointer in a name leads back only, and that work and results are bounded by the
 * limits here.
 */
#define _POSIX_C_SOURCE 200809L

#include <string.h>

#include "internal.h"

#define HEADER_LEN 12
#define NAME_MAX_LEN 255 /* RFC 1035 section 2.3.4, in the form of the wire */
#define LABEL_MAX_LEN 63
#define QUESTIONS_MAX 4
#define RECORDS_MAX 32   /* in an answer; one of ours has a few */
#define POINTERS_MAX 8   /* in a name */
#define INSTANCES_MAX 8  /* looked at in an answer */
#define TYPE_A 1
#define TYPE_PTR 12
#define TYPE_TXT 16
#define TYPE_AAAA 28
#define TYPE_SRV 33
#define CLASS_IN 1
#define TOP_BIT 0x8000u  /* of a class: cache-flush in a record, unicast wanted in a question */

static const uint8_t SERVICE[] = "\x04_rit\x04_udp\x05local"; /* with the root's octet */

struct name {
    uint8_t octets[NAME_MAX_LEN]; /* in lower case, without pointers */
    size_t len;
};

struct record {
    size_t name_at, data_at, data_len;
    unsigned type;
};

struct message {
    const uint8_t *bytes;
    size_t len;
    struct record records[RECORDS_MAX];
    size_t count;
};

static unsigned get_16(const uint8_t *bytes) {
    return (unsigned)bytes[0] << 8 | bytes[1];
}

size_t ritp_mdns_query(uint16_t id, uint8_t out[RITP_MDNS_QUERY_LEN]) {
    static const uint8_t TAIL[] = {0, TYPE_PTR, 0, CLASS_IN};

    memset(out, 0, HEADER_LEN);
    out[0] = (uint8_t)(id >> 8);
    out[1] = (uint8_t)id;
    out[5] = 1; /* one question */
    memcpy(out + HEADER_LEN, SERVICE, sizeof SERVICE);
    memcpy(out + HEADER_LEN + sizeof SERVICE, TAIL, sizeof TAIL);
    return HEADER_LEN + sizeof SERVICE + sizeof TAIL;
}

/* ---- names */

/* Reads the name at `at`; where what follows it is, 0: it is none. */
static size_t read_name(const struct message *message, size_t at, struct name *out) {
    size_t behind = 0, began = at;
    int pointers = 0;

    out->len = 0;
    while (at < message->len) {
        size_t i, len = message->bytes[at];
        if ((len & 0xc0) == 0xc0) {
            size_t to;
            if (at + 2 > message->len || ++pointers > POINTERS_MAX)
                return 0;
            to = get_16(message->bytes + at) & 0x3fff;
            if (behind == 0)
                behind = at + 2;
            if (to < HEADER_LEN || to >= began) /* always further back, so it ends */
                return 0;
            at = began = to;
            continue;
        }
        if (len > LABEL_MAX_LEN || at + 1 + len > message->len ||
            out->len + 1 + len > sizeof out->octets)
            return 0;
        out->octets[out->len++] = (uint8_t)len;
        for (i = 1; i <= len; i++) {
            uint8_t octet = message->bytes[at + i];
            out->octets[out->len++] =
                octet >= 'A' && octet <= 'Z' ? (uint8_t)(octet - 'A' + 'a') : octet;
        }
        at += 1 + len;
        if (len == 0)
            return behind != 0 ? behind : at;
    }
    return 0;
}

static int is_same(const struct name *a, const struct name *b) {
    return a->len == b->len && memcmp(a->octets, b->octets, a->len) == 0;
}

/* ---- records */

/* Finds the records of an answer. 0, or -1: it is none, or not well formed. */
static int read_message(struct message *message, uint16_t id) {
    unsigned questions, i, records = 0;
    size_t at = HEADER_LEN;
    struct name name;

    if (message->len < HEADER_LEN || get_16(message->bytes) != id)
        return -1;
    /* An answer, of a standard query, without an error; cut off or not. */
    if ((get_16(message->bytes + 2) & 0xf80fu) != 0x8000u)
        return -1;
    questions = get_16(message->bytes + 4);
    for (i = 6; i < HEADER_LEN; i += 2)
        records += get_16(message->bytes + i);
    if (questions > QUESTIONS_MAX || records > RECORDS_MAX)
        return -1;
    while (questions-- > 0) {
        at = read_name(message, at, &name);
        if (at == 0 || at + 4 > message->len)
            return -1;
        at += 4;
    }
    for (message->count = 0; message->count < records; message->count++) {
        struct record *record = &message->records[message->count];
        record->name_at = at;
        at = read_name(message, at, &name);
        if (at == 0 || at + 10 > message->len)
            return -1;
        record->type = get_16(message->bytes + at);
        if ((get_16(message->bytes + at + 2) & ~TOP_BIT) != CLASS_IN)
            record->type = 0;
        record->data_len = get_16(message->bytes + at + 8);
        record->data_at = at + 10;
        at = record->data_at + record->data_len;
        if (at > message->len)
            return -1;
    }
    return 0;
}

/* The next record of a type and a name, from a place on; NULL: there is none more. */
static const struct record *next_of(const struct message *message, size_t *from, unsigned type,
                                    const struct name *owner) {
    struct name name;

    while (*from < message->count) {
        const struct record *record = &message->records[(*from)++];
        if (record->type == type && read_name(message, record->name_at, &name) != 0 &&
            is_same(&name, owner))
            return record;
    }
    return NULL;
}

/* Whether one of the strings of a TXT record is this (RFC 6763 section 6). */
static int has_string(const struct message *message, const struct record *txt, const char *wanted,
                      size_t wanted_len) {
    const uint8_t *bytes = message->bytes + txt->data_at;
    size_t at = 0;

    while (at < txt->data_len) {
        size_t len = bytes[at++];
        if (len > txt->data_len - at)
            return 0;
        if (len == wanted_len && memcmp(bytes + at, wanted, len) == 0)
            return 1;
        at += len;
    }
    return 0;
}

/* Whether this instance is of version 1, and of the gateway with this tag. */
static int is_wanted(const struct message *message, const struct name *instance,
                     const char tag[RITP_TAG_LEN + 1]) {
    char wanted[2 + RITP_TAG_LEN];
    const struct record *txt;
    size_t from = 0;

    memcpy(wanted, "k=", 2);
    memcpy(wanted + 2, tag, RITP_TAG_LEN);
    txt = next_of(message, &from, TYPE_TXT, instance);
    return txt != NULL && has_string(message, txt, "v=1", 3) &&
           has_string(message, txt, wanted, sizeof wanted);
}

/* Adds the addresses of a host. */
static size_t add_addresses(const struct message *message, const struct name *host, unsigned port,
                            struct rit_path out[RITP_PATHS_MAX], size_t count) {
    static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const unsigned types[] = {TYPE_A, TYPE_AAAA};
    const struct record *record;
    size_t i, from;

    for (i = 0; i < 2; i++) {
        size_t len = types[i] == TYPE_A ? 4 : 16;
        for (from = 0; count < RITP_PATHS_MAX &&
                       (record = next_of(message, &from, types[i], host)) != NULL;) {
            struct rit_path *path = &out[count];
            if (record->data_len != len)
                continue;
            memset(path, 0, sizeof *path);
            path->struct_size = (uint32_t)sizeof *path;
            if (len == 4)
                memcpy(path->ip, MAPPED, sizeof MAPPED);
            memcpy(path->ip + 16 - len, message->bytes + record->data_at, len);
            path->port = (uint16_t)port;
            count++;
        }
    }
    return count;
}

size_t ritp_mdns_answer(const uint8_t *in, size_t len, uint16_t id,
                        const char tag[RITP_TAG_LEN + 1], struct rit_path out[RITP_PATHS_MAX]) {
    struct name service, instance, host;
    const struct record *ptr, *srv;
    struct message message;
    size_t from = 0, srv_from, count = 0;
    int left = INSTANCES_MAX;

    message.bytes = in;
    message.len = len;
    message.count = 0;
    if (read_message(&message, id) != 0)
        return 0;
    memcpy(service.octets, SERVICE, sizeof SERVICE);
    service.len = sizeof SERVICE;
    while (left-- > 0 && (ptr = next_of(&message, &from, TYPE_PTR, &service)) != NULL) {
        if (read_name(&message, ptr->data_at, &instance) != ptr->data_at + ptr->data_len ||
            !is_wanted(&message, &instance, tag))
            continue;
        srv_from = 0;
        srv = next_of(&message, &srv_from, TYPE_SRV, &instance);
        /* Priority, weight, port, and the host. */
        if (srv == NULL || srv->data_len < 7 || get_16(in + srv->data_at + 4) == 0 ||
            read_name(&message, srv->data_at + 6, &host) != srv->data_at + srv->data_len)
            continue;
        count = add_addresses(&message, &host, get_16(in + srv->data_at + 4), out, count);
    }
    return count;
}
