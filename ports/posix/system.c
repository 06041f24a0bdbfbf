/* system.c: what the node is given: clock, entropy, files and the log; addresses in its form and
 * the system's.
 *
 * Owns the state folder (mode 0700, locked against a second process, files 0600 and replaced as a
 * whole). Does not own when it is used: loop.c does. IPv4 addresses are written as RFC 4291 section
 * 2.5.5.2 maps them.
 */
#define _DEFAULT_SOURCE /* flock */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/random.h>
#endif

#include "internal.h"

/* ---- log, clock, entropy */

void ritp_log(struct rit_posix *port, int32_t level, const char *format, ...) {
    char line[512];
    va_list arguments;

    if (level > port->log_level)
        return;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (port->log != NULL)
        port->log(port->log_ctx, level, line);
    else
        (void)fprintf(stderr, "rit: %s\n", line);
}

static void on_log(void *ctx, int32_t level, const char *msg) {
    ritp_log(ctx, level, "%s", msg);
}

uint64_t ritp_now_us(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static uint64_t on_now(void *ctx) {
    (void)ctx;
    return ritp_now_us();
}

static int random_from_file(uint8_t *out, size_t len) {
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    while (len > 0) {
        ssize_t got = read(fd, out, len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        out += got;
        len -= (size_t)got;
    }
    (void)close(fd);
    return len == 0 ? 0 : -1;
}

int ritp_random(uint8_t *out, size_t len) {
#if defined(__linux__)
    while (len > 0) {
        ssize_t got = getrandom(out, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break; /* an old kernel */
        out += got;
        len -= (size_t)got;
    }
#endif
    return len == 0 ? 0 : random_from_file(out, len);
}

static int32_t on_entropy(void *ctx, uint8_t *out, size_t len) {
    (void)ctx;
    return ritp_random(out, len);
}

/* ---- state folder */

static int state_error(struct rit_posix *port, const char *what, const char *file) {
    ritp_log(port, RIT_LOG_ERROR, "cannot %s %s%s%s: %s", what, port->state_dir,
             file[0] != '\0' ? "/" : "", file, strerror(errno));
    return RIT_ERR_STORAGE;
}

static int open_state(struct rit_posix *port, const char *path) {
    size_t len = strlen(path) + 1;

    port->state_dir = malloc(len);
    if (port->state_dir == NULL)
        return RIT_ERR_NOMEM;
    memcpy(port->state_dir, path, len);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return state_error(port, "make the state folder", "");
    port->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (port->dir_fd < 0)
        return state_error(port, "open the state folder", "");
    port->lock_fd = openat(port->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (port->lock_fd < 0)
        return state_error(port, "write", "lock");
    if (flock(port->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return state_error(port, "lock", "lock");
        ritp_log(port, RIT_LOG_ERROR, "the state folder %s is in use by another process", path);
        return RIT_POSIX_ERR_IN_USE;
    }
    return 0;
}

static const char *slot_file(uint32_t slot) {
    switch (slot) {
    case RIT_SLOT_IDENTITY:
        return "identity";
    case RIT_SLOT_BROKER:
        return "broker";
    case RIT_SLOT_TRUST:
        return "trust";
    case RIT_SLOT_CLOAK:
        return "cloak";
    default:
        return NULL;
    }
}

int32_t ritp_load(struct rit_posix *port, const char *file, uint8_t *buf, size_t cap) {
    size_t len = 0;
    ssize_t got = 1;
    int fd = openat(port->dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0) {
        (void)state_error(port, "read", file);
        return -1;
    }
    while (len < cap && got != 0) {
        got = read(fd, buf + len, cap - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            (void)state_error(port, "read", file);
            (void)close(fd);
            return -1;
        }
        len += (size_t)got;
    }
    (void)close(fd);
    if (len == 0) { /* never written so: damage, not absence */
        ritp_log(port, RIT_LOG_ERROR, "%s/%s is empty", port->state_dir, file);
        return -1;
    }
    return (int32_t)len;
}

static int32_t on_load(void *ctx, uint32_t slot, uint8_t *buf, size_t cap) {
    const char *file = slot_file(slot);

    return file != NULL ? ritp_load(ctx, file, buf, cap) : 0;
}

static int write_all(int fd, const uint8_t *buf, size_t len) {
    while (len > 0) {
        ssize_t put = write(fd, buf, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return -1;
        buf += put;
        len -= (size_t)put;
    }
    return fsync(fd);
}

/* Under another name first: whatever happens, the file is the old one or the new one. */
int ritp_store(struct rit_posix *port, const char *file, const uint8_t *buf, size_t len) {
    char temporary[16];
    int fd, failed;

    (void)snprintf(temporary, sizeof temporary, "%s.new", file);
    (void)unlinkat(port->dir_fd, temporary, 0);
    fd = openat(port->dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        (void)state_error(port, "write", temporary);
        return -1;
    }
    failed = write_all(fd, buf, len);
    if (failed)
        (void)state_error(port, "write", temporary);
    if (close(fd) != 0 && !failed) {
        failed = -1;
        (void)state_error(port, "write", temporary);
    }
    if (!failed && renameat(port->dir_fd, temporary, port->dir_fd, file) != 0) {
        failed = -1;
        (void)state_error(port, "replace", file);
    }
    if (failed) {
        (void)unlinkat(port->dir_fd, temporary, 0);
        return -1;
    }
    (void)fsync(port->dir_fd);
    return 0;
}

static int32_t on_store(void *ctx, uint32_t slot, const uint8_t *buf, size_t len) {
    const char *file = slot_file(slot);

    return file != NULL ? ritp_store(ctx, file, buf, len) : -1;
}

/* ---- addresses */

static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static int is_mapped(const struct rit_path *path) {
    return memcmp(path->ip, MAPPED, sizeof MAPPED) == 0;
}

void ritp_path_from_address(struct rit_path *path, const struct sockaddr_storage *from) {
    memset(path, 0, sizeof *path);
    path->struct_size = (uint32_t)sizeof *path;
    if (from->ss_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, from, sizeof v4);
        memcpy(path->ip, MAPPED, sizeof MAPPED);
        memcpy(path->ip + sizeof MAPPED, &v4.sin_addr, 4);
        path->port = ntohs(v4.sin_port);
    } else if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, from, sizeof v6);
        memcpy(path->ip, &v6.sin6_addr, 16);
        path->port = ntohs(v6.sin6_port);
        path->ifindex = v6.sin6_scope_id;
    }
}

socklen_t ritp_address_from_path(struct sockaddr_storage *out, const struct rit_path *path) {
    memset(out, 0, sizeof *out);
    if (is_mapped(path)) {
        struct sockaddr_in v4;
        memset(&v4, 0, sizeof v4);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(path->port);
        memcpy(&v4.sin_addr, path->ip + sizeof MAPPED, 4);
        memcpy(out, &v4, sizeof v4);
        return (socklen_t)sizeof v4;
    } else {
        struct sockaddr_in6 v6;
        memset(&v6, 0, sizeof v6);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(path->port);
        v6.sin6_scope_id = path->ifindex;
        memcpy(&v6.sin6_addr, path->ip, 16);
        memcpy(out, &v6, sizeof v6);
        return (socklen_t)sizeof v6;
    }
}

int ritp_path_is_loopback(const struct rit_path *path) {
    static const uint8_t LOOPBACK[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

    return is_mapped(path) ? path->ip[12] == 127 : memcmp(path->ip, LOOPBACK, 16) == 0;
}

int ritp_look_up(const char *host, uint16_t number, int type, struct ritp_address *out,
                 size_t room, size_t *count) {
    struct addrinfo hints, *found = NULL, *each;
    char service[8];
    int failed;

    *count = 0;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = type;
    (void)snprintf(service, sizeof service, "%u", (unsigned)number);
    failed = getaddrinfo(host, service, &hints, &found);
    if (failed != 0)
        return failed;
    for (each = found; each != NULL && *count < room; each = each->ai_next) {
        if (each->ai_addrlen > sizeof out->at)
            continue;
        memset(&out[*count], 0, sizeof *out);
        memcpy(&out[*count].at, each->ai_addr, each->ai_addrlen);
        out[*count].len = each->ai_addrlen;
        (*count)++;
    }
    freeaddrinfo(found);
    return 0;
}

int ritp_resolve(struct rit_posix *port, const char *host, uint16_t number, int type,
                 struct ritp_address *out, size_t room, size_t *count) {
    int failed = ritp_look_up(host, number, type, out, room, count);

    if (failed != 0)
        ritp_log(port, RIT_LOG_ERROR, "cannot resolve %s: %s", host, gai_strerror(failed));
    return *count > 0 ? 0 : RIT_POSIX_ERR_RESOLVE;
}

/* ---- sockets */

int ritp_prepare_fd(int fd) {
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return -1;
    return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void ritp_no_delay(int fd) {
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void ritp_close_with_reset(int fd) {
    struct linger now;

    now.l_onoff = 1;
    now.l_linger = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(fd);
}

int ritp_is_short_of_room(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void enlarge(int fd, int size, int plain, int forced) {
    if (forced < 0 || setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

void ritp_enlarge(int fd, int size) {
#if defined(SO_RCVBUFFORCE) && defined(SO_SNDBUFFORCE)
    enlarge(fd, size, SO_RCVBUF, SO_RCVBUFFORCE);
    enlarge(fd, size, SO_SNDBUF, SO_SNDBUFFORCE);
#else
    enlarge(fd, size, SO_RCVBUF, -1);
    enlarge(fd, size, SO_SNDBUF, -1);
#endif
}

int ritp_listen_at(const uint8_t address[4], uint16_t number, int type) {
    struct sockaddr_in at;
    int on = 1, error, fd = socket(AF_INET, type, 0);

    if (fd < 0)
        return -1;
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_port = htons(number);
    memcpy(&at.sin_addr, address, 4);
    /* So that connections of an earlier run, still waiting, do not keep the address. */
    if (type == SOCK_STREAM)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    else
        ritp_enlarge(fd, RITP_SERVICE_BUFFER);
    if (ritp_prepare_fd(fd) == 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
        (type != SOCK_STREAM || listen(fd, SOMAXCONN) == 0))
        return fd;
    error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

/* ---- open and close */

int ritp_system_open(struct rit_posix *port, const struct rit_posix_config *config) {
    port->dir_fd = port->lock_fd = -1;
    if (config->state_dir == NULL)
        return RIT_ERR_NULL;
    return open_state(port, config->state_dir);
}

void ritp_system_close(struct rit_posix *port) {
    if (port->lock_fd >= 0)
        (void)close(port->lock_fd);
    if (port->dir_fd >= 0)
        (void)close(port->dir_fd);
    port->lock_fd = port->dir_fd = -1;
    free(port->state_dir);
    port->state_dir = NULL;
}

static int32_t on_attest(void *ctx, const uint8_t *challenge, uint8_t *out, size_t cap) {
    const struct rit_posix *port = ctx;

    return port->attest(port->attest_ctx, challenge, out, cap);
}

static int32_t on_check(void *ctx, const uint8_t *peer, const uint8_t *challenge,
                        const uint8_t *statement, size_t len) {
    const struct rit_posix *port = ctx;

    return port->check_attestation(port->attest_ctx, peer, challenge, statement, len);
}

void ritp_system_io(struct rit_posix *port, struct rit_io *io) {
    memset(io, 0, sizeof *io);
    io->struct_size = (uint32_t)sizeof *io;
    io->ctx = port;
    io->now_us = on_now;
    io->entropy = on_entropy;
    io->load = on_load;
    io->store = on_store;
    io->log = on_log;
    io->attest = port->attest != NULL ? on_attest : NULL;
    io->check_attestation = port->check_attestation != NULL ? on_check : NULL;
}
