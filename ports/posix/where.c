/* where.c: at which addresses a broker or a gateway is: its name resolved, and what was good
 * before.
 *
 * Owns when its name is looked up (names.c), and a file for each in the state folder, with the
 * addresses at which it was met last. Does not own what is done with them (broker.c, gateway.c). A
 * kept address need not be believed: whoever answers there must prove to hold the key.
 */
#define _DEFAULT_SOURCE

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

/* Between two tries at a name while what it names is not there; each is one thread at most. */
#define AGAIN_US 60000000u

/* ---- resolving */

static void to_paths(const struct ritp_found *found, struct rit_path paths[RITP_FOUND_MAX]) {
    size_t i;

    for (i = 0; i < found->count; i++)
        ritp_path_from_address(&paths[i], &found->addresses[i].at);
}

/* Asks for the name, unless it is being asked for. */
static void ask(struct rit_posix *port, struct ritp_where *where, uint64_t now_us) {
    where->ask_us = now_us + AGAIN_US;
    if (where->fd < 0)
        where->fd = ritp_ask_name(port, where->host, where->number, SOCK_DGRAM);
}

/* Takes the answer, if it is there. Whether the addresses are others now. */
static int take_answer(struct rit_posix *port, struct ritp_where *where) {
    struct rit_path paths[RITP_FOUND_MAX];
    struct ritp_found found;

    if (!ritp_take_name(port, where->host, &where->fd, &found))
        return 0;
    where->is_resolved = 1;
    to_paths(&found, paths);
    if (found.count == where->count &&
        memcmp(paths, where->paths, found.count * sizeof *paths) == 0)
        return 0;
    memcpy(where->paths, paths, found.count * sizeof *paths);
    where->count = found.count;
    return 1;
}

/* ---- what was good before */

#define MAGIC "RITw\x01"
#define MAGIC_LEN 5
#define FILE_MAX (MAGIC_LEN + RIT_KEY_LEN + 2 + 1 + RITP_HOST_LEN + 1 + 18 * RITP_PATHS_MAX)

/* An address that somebody else can be at, and that needs no interface to be named with. */
static int is_plain(const struct rit_path *path) {
    static const uint8_t ZEROS[16] = {0};
    int is_v4 = memcmp(path->ip, ZEROS, 10) == 0 && path->ip[10] == 0xff && path->ip[11] == 0xff;

    if (path->port == 0 || path->ip[0] == 0xff || memcmp(path->ip, ZEROS, 16) == 0)
        return 0;
    if (is_v4)
        return path->ip[12] != 0 && path->ip[12] < 224;
    return !(path->ip[0] == 0xfe && (path->ip[1] & 0xc0) == 0x80);
}

/* "RITw", version 1, key, port 2, length 1 and host, count 1, and 16 + 2 for each address. */
static size_t encode(const struct ritp_where *where, uint8_t out[FILE_MAX]) {
    size_t i, host_len = strlen(where->host), at = 0;
    uint8_t *count;

    memcpy(out, MAGIC, MAGIC_LEN);
    at += MAGIC_LEN;
    memcpy(out + at, where->key, RIT_KEY_LEN);
    at += RIT_KEY_LEN;
    out[at++] = (uint8_t)(where->number >> 8);
    out[at++] = (uint8_t)where->number;
    out[at++] = (uint8_t)host_len;
    memcpy(out + at, where->host, host_len);
    at += host_len;
    count = &out[at++];
    *count = 0;
    for (i = 0; i < where->count; i++) {
        const struct rit_path *path = &where->paths[i];
        if (!is_plain(path))
            continue;
        memcpy(out + at, path->ip, 16);
        out[at + 16] = (uint8_t)(path->port >> 8);
        out[at + 17] = (uint8_t)path->port;
        at += 18;
        (*count)++;
    }
    return *count > 0 ? at : 0;
}

/* The addresses of a file that is of this key, host and port, and as this wrote it; else none. */
static void decode(struct ritp_where *where, const uint8_t *in, size_t len) {
    struct ritp_where none = *where;
    uint8_t head[FILE_MAX];
    size_t i, count, at;

    none.count = 0;
    (void)encode(&none, head);
    at = MAGIC_LEN + RIT_KEY_LEN + 3 + strlen(where->host);
    if (len < at + 1 || memcmp(in, head, at) != 0)
        return;
    count = in[at++];
    if (count == 0 || count > RITP_PATHS_MAX || len != at + 18 * count)
        return;
    for (i = 0; i < count; i++, at += 18) {
        struct rit_path *path = &where->paths[i];
        memset(path, 0, sizeof *path);
        path->struct_size = (uint32_t)sizeof *path;
        memcpy(path->ip, in + at, 16);
        path->port = (uint16_t)(in[at + 16] << 8 | in[at + 17]);
        if (!is_plain(path))
            return;
    }
    where->count = count;
}

void ritp_where_load(struct rit_posix *port, struct ritp_where *where) {
    uint8_t bytes[FILE_MAX + 1];
    int32_t len = ritp_load(port, where->file, bytes, sizeof bytes);

    if (len > 0)
        decode(where, bytes, (size_t)len);
}

void ritp_where_keep(struct rit_posix *port, const struct ritp_where *where) {
    uint8_t bytes[FILE_MAX], before[FILE_MAX + 1];
    size_t len = encode(where, bytes);
    int32_t had;

    if (len == 0 || where->is_literal)
        return;
    had = ritp_load(port, where->file, before, sizeof before);
    if (had != (int32_t)len || memcmp(before, bytes, len) != 0)
        (void)ritp_store(port, where->file, bytes, len);
}

/* ---- one broker or gateway */

int ritp_where_open(struct ritp_where *where, const char *uri, const char *file) {
    struct ritp_found found;
    int failed;

    memset(where, 0, sizeof *where);
    where->fd = -1;
    where->file = file;
    failed = rit_uri_parse(uri, where->key, where->host, sizeof where->host, &where->number);
    if (failed != 0)
        return failed;
    if (ritp_is_address(where->host, where->number, SOCK_DGRAM, &found)) {
        where->is_literal = where->is_resolved = 1;
        ritp_path_from_address(&where->paths[0], &found.addresses[0].at);
        where->count = 1;
    }
    return 0;
}

int ritp_where_resolve(struct rit_posix *port, struct ritp_where *where, int patience_ms) {
    if (where->is_literal)
        return 0;
    ask(port, where, ritp_now_us());
    if (where->fd < 0)
        return RIT_POSIX_ERR_SYSTEM;
    if (ritp_wait_for_name(where->fd, patience_ms))
        (void)take_answer(port, where);
    return where->is_resolved ? 0 : RIT_POSIX_ERR_RESOLVE;
}

uint64_t ritp_where_prepare(struct rit_posix *port, struct ritp_where *where, int is_needed) {
    if (where->fd >= 0)
        (void)ritp_poll_add(port, where->fd, POLLIN);
    return is_needed && !where->is_literal ? where->ask_us : RITP_NEVER;
}

int ritp_where_run(struct rit_posix *port, struct ritp_where *where, int is_needed,
                   uint64_t now_us) {
    if (is_needed && !where->is_literal && where->ask_us <= now_us)
        ask(port, where, now_us);
    return where->fd >= 0 && take_answer(port, where);
}

void ritp_where_close(struct ritp_where *where) {
    if (where->fd >= 0)
        (void)close(where->fd); /* the thread ends when the resolver answers it */
    where->fd = -1;
}
