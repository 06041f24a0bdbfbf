/* where.c: at which addresses a broker or a gateway is: its name resolved, and what was good
 * before.
 *
 * Owns the one thread of this port: getaddrinfo() blocks for as long as its servers are silent, so
 * it runs in a thread that is started for one name, writes what it found to a socket and ends; it
 * touches nothing else. Owns a file for each in the state folder, with the addresses at which it
 * was met last. Does not own what is done with them (broker.c, gateway.c). A kept address need not
 * be believed: whoever answers there must prove to hold the key.
 */
#define _DEFAULT_SOURCE

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

/* Between two tries at a name while what it names is not there; each is one thread at most. */
#define AGAIN_US 60000000u
#define NAMED_MAX (RITP_PATHS_MAX - 2) /* of a name; there is room for two by TCP */

/* ---- resolving */

/* What a thread is given, and frees. */
struct question {
    int fd;
    uint16_t number;
    char host[RITP_HOST_LEN];
};

struct answer {
    int failed; /* of getaddrinfo() */
    size_t count;
    struct rit_path paths[NAMED_MAX];
};

static void resolve(const char *host, uint16_t number, int flags, struct answer *out) {
    struct addrinfo hints, *found = NULL, *each;
    struct sockaddr_storage at;
    char service[8];

    memset(out, 0, sizeof *out);
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_DGRAM;
    hints.ai_flags = flags;
    (void)snprintf(service, sizeof service, "%u", (unsigned)number);
    out->failed = getaddrinfo(host, service, &hints, &found);
    if (out->failed != 0)
        return;
    for (each = found; each != NULL && out->count < NAMED_MAX; each = each->ai_next) {
        if (each->ai_addrlen > sizeof at)
            continue;
        memset(&at, 0, sizeof at);
        memcpy(&at, each->ai_addr, each->ai_addrlen);
        ritp_path_from_address(&out->paths[out->count++], &at);
    }
    freeaddrinfo(found);
}

static void *run_thread(void *given) {
    struct question *question = given;
    struct answer answer;

    resolve(question->host, question->number, 0, &answer);
    (void)send(question->fd, &answer, sizeof answer, MSG_NOSIGNAL);
    (void)close(question->fd);
    free(question);
    return NULL;
}

/* Starts the thread, which takes no signal of the process's. 0 or -1. */
static int start_thread(struct question *question) {
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    int failed = -1;

    if (pthread_attr_init(&attributes) != 0)
        return -1;
    (void)sigfillset(&all);
    if (pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
        pthread_sigmask(SIG_SETMASK, &all, &before) == 0) {
        failed = pthread_create(&thread, &attributes, run_thread, question) == 0 ? 0 : -1;
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_attr_destroy(&attributes);
    return failed;
}

/* Asks for the name, unless it is being asked for. */
static void ask(struct rit_posix *port, struct ritp_where *where, uint64_t now_us) {
    struct question *question;
    int fds[2], i;

    where->ask_us = now_us + AGAIN_US;
    if (where->fd >= 0)
        return;
    question = malloc(sizeof *question);
    if (question != NULL && socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0) {
        question->fd = fds[1];
        question->number = where->number;
        memcpy(question->host, where->host, sizeof question->host);
        if (ritp_prepare_fd(fds[0]) == 0 && ritp_prepare_fd(fds[1]) == 0 &&
            start_thread(question) == 0) {
            where->fd = fds[0];
            return;
        }
        for (i = 0; i < 2; i++)
            (void)close(fds[i]);
    }
    ritp_log(port, RIT_LOG_WARN, "cannot resolve %s now: %s", where->host, strerror(errno));
    free(question);
}

/* Takes the thread's answer, if it is there. Whether the addresses are others now. */
static int take_answer(struct rit_posix *port, struct ritp_where *where) {
    struct answer answer;
    ssize_t got = recv(where->fd, &answer, sizeof answer, 0);

    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    (void)close(where->fd);
    where->fd = -1;
    if (got != (ssize_t)sizeof answer)
        return 0;
    if (answer.failed != 0 || answer.count == 0) {
        ritp_log(port, RIT_LOG_WARN, "cannot resolve %s: %s", where->host,
                 answer.failed != 0 ? gai_strerror(answer.failed) : "no address");
        return 0;
    }
    where->is_resolved = 1;
    if (answer.count == where->count &&
        memcmp(answer.paths, where->paths, answer.count * sizeof *answer.paths) == 0)
        return 0;
    memcpy(where->paths, answer.paths, answer.count * sizeof *answer.paths);
    where->count = answer.count;
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
    struct answer answer;
    int failed;

    memset(where, 0, sizeof *where);
    where->fd = -1;
    where->file = file;
    failed = rit_uri_parse(uri, where->key, where->host, sizeof where->host, &where->number);
    if (failed != 0)
        return failed;
    resolve(where->host, where->number, AI_NUMERICHOST, &answer);
    if (answer.failed == 0 && answer.count > 0) {
        where->is_literal = where->is_resolved = 1;
        where->paths[0] = answer.paths[0];
        where->count = 1;
    }
    return 0;
}

int ritp_where_resolve(struct rit_posix *port, struct ritp_where *where, int patience_ms) {
    struct pollfd poll_fd;

    if (where->is_literal)
        return 0;
    ask(port, where, ritp_now_us());
    if (where->fd < 0)
        return RIT_POSIX_ERR_SYSTEM;
    memset(&poll_fd, 0, sizeof poll_fd);
    poll_fd.fd = where->fd;
    poll_fd.events = POLLIN;
    while (poll(&poll_fd, 1, patience_ms) < 0 && errno == EINTR)
        ;
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
