/* names.c: the addresses of hosts, by the system's resolver.
 *
 * Owns the one kind of thread of this port: getaddrinfo() blocks for as long as its servers are
 * silent, so a name that is looked up while the port runs has a thread that is started for it,
 * writes what it found to a socket, and ends; it touches nothing else, and nobody waits for its
 * end. Does not own when a name is looked up, nor what is done with what was found (offers.c,
 * where.c).
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

/* What a thread is given, and frees. */
struct question {
    int fd; /* its end, of which it is the owner */
    int type;
    uint16_t number;
    char host[RITP_HOST_LEN];
};

static void look_up(const char *host, uint16_t number, int type, int flags,
                    struct ritp_found *out) {
    struct addrinfo hints, *found = NULL, *each;
    char service[8];

    memset(out, 0, sizeof *out);
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = type;
    hints.ai_flags = flags;
    (void)snprintf(service, sizeof service, "%u", (unsigned)number);
    out->failed = getaddrinfo(host, service, &hints, &found);
    if (out->failed != 0)
        return;
    for (each = found; each != NULL && out->count < RITP_FOUND_MAX; each = each->ai_next) {
        struct ritp_address *address = &out->addresses[out->count];
        if (each->ai_addrlen > sizeof address->at)
            continue;
        memcpy(&address->at, each->ai_addr, each->ai_addrlen);
        address->len = each->ai_addrlen;
        out->count++;
    }
    freeaddrinfo(found);
}

int ritp_resolve(struct rit_posix *port, const char *host, uint16_t number, int type,
                 struct ritp_found *out) {
    look_up(host, number, type, 0, out);
    if (out->failed != 0)
        ritp_log(port, RIT_LOG_ERROR, "cannot resolve %s: %s", host, gai_strerror(out->failed));
    return out->count > 0 ? 0 : RIT_POSIX_ERR_RESOLVE;
}

int ritp_is_address(const char *host, uint16_t number, int type, struct ritp_found *out) {
    look_up(host, number, type, AI_NUMERICHOST, out);
    return out->count > 0;
}

static void *run_thread(void *given) {
    struct question *question = given;
    struct ritp_found found;

    look_up(question->host, question->number, question->type, 0, &found);
    (void)send(question->fd, &found, sizeof found, MSG_NOSIGNAL);
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

int ritp_ask_name(struct rit_posix *port, const char *host, uint16_t number, int type) {
    struct question *question = malloc(sizeof *question);
    int ends[2];

    if (question != NULL && strlen(host) < sizeof question->host &&
        socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0) {
        question->fd = ends[1];
        question->type = type;
        question->number = number;
        strcpy(question->host, host);
        if (ritp_prepare_fd(ends[0]) == 0 && ritp_prepare_fd(ends[1]) == 0 &&
            start_thread(question) == 0)
            return ends[0];
        (void)close(ends[0]);
        (void)close(ends[1]);
    }
    ritp_log(port, RIT_LOG_WARN, "cannot look %s up now: %s", host, strerror(errno));
    free(question);
    return -1;
}

int ritp_wait_for_name(int fd, int patience_ms) {
    struct pollfd answered;
    int count;

    memset(&answered, 0, sizeof answered);
    answered.fd = fd;
    answered.events = POLLIN;
    do
        count = poll(&answered, 1, patience_ms);
    while (count < 0 && errno == EINTR);
    return count > 0;
}

int ritp_take_name(struct rit_posix *port, const char *host, int *fd, struct ritp_found *out) {
    ssize_t got = recv(*fd, out, sizeof *out, 0);

    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    (void)close(*fd);
    *fd = -1;
    if (got != (ssize_t)sizeof *out)
        return 0;
    if (out->failed != 0 || out->count == 0)
        ritp_log(port, RIT_LOG_WARN, "cannot resolve %s: %s", host,
                 out->failed != 0 ? gai_strerror(out->failed) : "no address");
    return out->count > 0;
}
