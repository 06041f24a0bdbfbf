/*
 * The system underneath: clock, entropy, log, UDP sockets, state files. Owns the descriptors of the
 * UDP sockets and of the lock, and the io table handed to the node.
 */
#define _GNU_SOURCE /* getrandom, getifaddrs with strict C99 */

#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_BUFFER (4 * 1024 * 1024) /* a burst of a session's whole window; the kernel may cap it */
#define READS_PER_ROUND 256             /* so that TCP and timers get their turn */
#define MAX_LOCAL_PATHS 8

void px_log(rit_posix *px, int32_t level, const char *format, ...) {
  char line[512];
  va_list args;
  if (level > px->log_level) return;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  px->log(px->log_ctx, level, line);
}

static void log_to_stderr(void *ctx, int32_t level, const char *msg) {
  static const char *const names[] = {"", "error", "warning", "info", "debug"};
  (void)ctx;
  fprintf(stderr, "rit: %s: %s\n", level >= 1 && level <= 4 ? names[level] : "log", msg);
}

/* ---- io table: ctx is the rit_posix */

uint64_t px_now_us(void *ctx) {
  struct timespec ts;
  (void)ctx;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static int32_t on_entropy(void *ctx, uint8_t *out, size_t len) {
  (void)ctx;
  while (len > 0) {
    ssize_t n = getrandom(out, len, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    out += n;
    len -= (size_t)n;
  }
  return 0;
}

static int is_v4(const uint8_t ip[16]) {
  static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return memcmp(ip, prefix, sizeof prefix) == 0;
}

static int32_t on_send(void *ctx, const struct rit_path *to, const uint8_t *pkt, size_t len) {
  rit_posix *px = ctx;
  ssize_t sent;
  if (is_v4(to->ip)) {
    struct sockaddr_in sin;
    memset(&sin, 0, sizeof sin);
    sin.sin_family = AF_INET;
    sin.sin_port = htons(to->port);
    memcpy(&sin.sin_addr, to->ip + 12, 4);
    if (px->udp4 < 0) return -1;
    sent = sendto(px->udp4, pkt, len, MSG_NOSIGNAL, (struct sockaddr *)&sin, sizeof sin);
  } else {
    struct sockaddr_in6 sin6;
    memset(&sin6, 0, sizeof sin6);
    sin6.sin6_family = AF_INET6;
    sin6.sin6_port = htons(to->port);
    sin6.sin6_scope_id = to->ifindex;
    memcpy(&sin6.sin6_addr, to->ip, 16);
    if (px->udp6 < 0) return -1;
    sent = sendto(px->udp6, pkt, len, MSG_NOSIGNAL, (struct sockaddr *)&sin6, sizeof sin6);
  }
  /* A full socket or an unreachable network is a lost packet; the transport repairs it. */
  return sent == (ssize_t)len ? 0 : -1;
}

static void on_timer(void *ctx, uint64_t deadline_us) {
  ((rit_posix *)ctx)->deadline_us = deadline_us;
}

static void on_log(void *ctx, int32_t level, const char *msg) {
  px_log(ctx, level, "%s", msg);
}

static int slot_path(const rit_posix *px, uint32_t slot, const char *suffix, char *out, size_t cap) {
  static const char *const names[] = {"", "identity", "broker"};
  int n = slot < 3 && slot > 0
              ? snprintf(out, cap, "%s/%s%s", px->dir, names[slot], suffix)
              : snprintf(out, cap, "%s/slot-%lu%s", px->dir, (unsigned long)slot, suffix);
  return n > 0 && (size_t)n < cap ? 0 : -1;
}

static int32_t on_load(void *ctx, uint32_t slot, uint8_t *buf, size_t cap) {
  rit_posix *px = ctx;
  char path[4096];
  size_t len = 0;
  int fd;
  if (slot_path(px, slot, "", path, sizeof path) != 0) return -1;
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return 0;
    px_log(px, RIT_LOG_ERROR, "%s: %s", path, strerror(errno));
    return -1;
  }
  while (len < cap) {
    ssize_t n = read(fd, buf + len, cap - len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      px_log(px, RIT_LOG_ERROR, "%s: %s", path, strerror(errno));
      close(fd);
      return -1;
    }
    if (n == 0) break;
    len += (size_t)n;
  }
  close(fd);
  return (int32_t)len;
}

static int write_all(int fd, const uint8_t *buf, size_t len) {
  while (len > 0) {
    ssize_t n = write(fd, buf, len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    buf += n;
    len -= (size_t)n;
  }
  return fsync(fd);
}

/* Written aside, synced, then renamed: a crash or a full disk leaves the old file whole. */
static int32_t on_store(void *ctx, uint32_t slot, const uint8_t *buf, size_t len) {
  rit_posix *px = ctx;
  char path[4096], temp[4096];
  int fd, dir_fd;
  if (slot_path(px, slot, "", path, sizeof path) != 0) return -1;
  if (slot_path(px, slot, ".new", temp, sizeof temp) != 0) return -1;
  fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || fchmod(fd, 0600) != 0 || write_all(fd, buf, len) != 0) {
    px_log(px, RIT_LOG_ERROR, "%s: %s", temp, strerror(errno));
    if (fd >= 0) close(fd);
    unlink(temp);
    return -1;
  }
  close(fd);
  if (rename(temp, path) != 0) {
    px_log(px, RIT_LOG_ERROR, "%s: %s", path, strerror(errno));
    unlink(temp);
    return -1;
  }
  dir_fd = open(px->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir_fd >= 0) {
    (void)fsync(dir_fd);
    close(dir_fd);
  }
  return 0;
}

/* ---- sockets */

int px_set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL, 0);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -1;
  return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int open_udp(int family, uint16_t port) {
  struct sockaddr_storage addr;
  socklen_t len;
  int size = SOCKET_BUFFER, one = 1;
  int fd = socket(family, SOCK_DGRAM, 0);
  if (fd < 0) return -1;
  memset(&addr, 0, sizeof addr);
  if (family == AF_INET) {
    ((struct sockaddr_in *)&addr)->sin_family = AF_INET;
    ((struct sockaddr_in *)&addr)->sin_port = htons(port);
    len = sizeof(struct sockaddr_in);
  } else {
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    ((struct sockaddr_in6 *)&addr)->sin6_family = AF_INET6;
    ((struct sockaddr_in6 *)&addr)->sin6_port = htons(port);
    len = sizeof(struct sockaddr_in6);
  }
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  if (px_set_nonblocking(fd) != 0 || bind(fd, (struct sockaddr *)&addr, len) != 0) {
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
  }
  return fd;
}

static uint16_t port_of(int fd) {
  struct sockaddr_storage addr;
  socklen_t len = sizeof addr;
  memset(&addr, 0, sizeof addr);
  if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0) return 0;
  return addr.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&addr)->sin_port)
                                   : ntohs(((struct sockaddr_in6 *)&addr)->sin6_port);
}

void px_path_of(const struct sockaddr_storage *addr, struct rit_path *out) {
  memset(out, 0, sizeof *out);
  out->struct_size = (uint32_t)sizeof *out;
  if (addr->ss_family == AF_INET) {
    const struct sockaddr_in *sin = (const struct sockaddr_in *)addr;
    out->ip[10] = out->ip[11] = 0xff;
    memcpy(out->ip + 12, &sin->sin_addr, 4);
    out->port = ntohs(sin->sin_port);
  } else {
    const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)addr;
    memcpy(out->ip, &sin6->sin6_addr, 16);
    out->port = ntohs(sin6->sin6_port);
    if (IN6_IS_ADDR_LINKLOCAL(&sin6->sin6_addr)) out->ifindex = sin6->sin6_scope_id;
  }
}

/* Tells the node its own addresses, so that a peer on the same network need not go around. */
static void tell_local_paths(rit_posix *px) {
  struct rit_path paths[MAX_LOCAL_PATHS];
  struct ifaddrs *all, *one;
  size_t count = 0;
  if (getifaddrs(&all) != 0) return;
  for (one = all; one != NULL && count < MAX_LOCAL_PATHS; one = one->ifa_next) {
    struct sockaddr_storage addr;
    int is_v6;
    if (one->ifa_addr == NULL || (one->ifa_flags & IFF_LOOPBACK) || !(one->ifa_flags & IFF_UP)) continue;
    is_v6 = one->ifa_addr->sa_family == AF_INET6;
    if (!is_v6 && one->ifa_addr->sa_family != AF_INET) continue;
    if ((is_v6 ? px->udp6 : px->udp4) < 0) continue;
    memset(&addr, 0, sizeof addr);
    memcpy(&addr, one->ifa_addr, is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    /* A link-local address means nothing on another host. */
    if (is_v6 && IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)&addr)->sin6_addr)) continue;
    px_path_of(&addr, &paths[count]);
    paths[count].port = port_of(is_v6 ? px->udp6 : px->udp4);
    count++;
  }
  freeifaddrs(all);
  (void)rit_node_set_local_paths(px->node, paths, count);
}

int px_open_udp(rit_posix *px, uint16_t port) {
  px->udp4 = open_udp(AF_INET, port);
  if (px->udp4 < 0) px_log(px, RIT_LOG_WARN, "no UDP over IPv4: %s", strerror(errno));
  px->udp6 = open_udp(AF_INET6, port);
  if (px->udp6 < 0) px_log(px, RIT_LOG_INFO, "no UDP over IPv6: %s", strerror(errno));
  if (px->udp4 < 0 && px->udp6 < 0) return RIT_POSIX_ERR_SYSTEM;
  return RIT_OK;
}

void px_read_udp(rit_posix *px, int fd) {
  int i;
  for (i = 0; i < READS_PER_ROUND; i++) {
    struct sockaddr_storage addr;
    socklen_t addr_len = sizeof addr;
    struct rit_path from;
    ssize_t n = recvfrom(fd, px->scratch, sizeof px->scratch, 0, (struct sockaddr *)&addr, &addr_len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return; /* nothing more; ICMP errors are the transport's timers' business */
    px_path_of(&addr, &from);
    (void)rit_node_receive(px->node, &from, px->scratch, (size_t)n);
  }
}

int px_resolve(const char *host, uint16_t port, int type, struct sockaddr_storage *out, socklen_t *len,
               size_t cap, size_t *count) {
  struct addrinfo hints, *all, *one;
  char service[8];
  *count = 0;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = type;
  snprintf(service, sizeof service, "%u", (unsigned)port);
  if (getaddrinfo(host, service, &hints, &all) != 0) return RIT_POSIX_ERR_RESOLVE;
  for (one = all; one != NULL && *count < cap; one = one->ai_next) {
    if (one->ai_family != AF_INET && one->ai_family != AF_INET6) continue;
    memset(&out[*count], 0, sizeof out[*count]);
    memcpy(&out[*count], one->ai_addr, one->ai_addrlen);
    if (len != NULL) len[*count] = one->ai_addrlen;
    (*count)++;
  }
  freeaddrinfo(all);
  return *count > 0 ? RIT_OK : RIT_POSIX_ERR_RESOLVE;
}

/* ---- life */

/* Two processes with one identity would push each other off the broker for ever. */
static int lock_state(rit_posix *px) {
  char path[4096];
  if (mkdir(px->dir, 0700) != 0 && errno != EEXIST) {
    px_log(px, RIT_LOG_ERROR, "%s: %s", px->dir, strerror(errno));
    return RIT_ERR_STORAGE;
  }
  if ((size_t)snprintf(path, sizeof path, "%s/lock", px->dir) >= sizeof path) return RIT_ERR_ARG;
  px->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (px->lock_fd < 0) {
    px_log(px, RIT_LOG_ERROR, "%s: %s", path, strerror(errno));
    return RIT_ERR_STORAGE;
  }
  if (flock(px->lock_fd, LOCK_EX | LOCK_NB) != 0) {
    px_log(px, RIT_LOG_ERROR, "%s: another process uses this identity", px->dir);
    return RIT_POSIX_ERR_IN_USE;
  }
  return RIT_OK;
}

static int start(rit_posix *px, const struct rit_posix_config *config) {
  struct rit_io io;
  int32_t err = RIT_OK;
  int rc;
  px->dir = strdup(config->state_dir);
  if (px->dir == NULL) return RIT_ERR_NOMEM;
  if ((rc = lock_state(px)) != RIT_OK) return rc;
  if ((rc = px_open_udp(px, config->udp_port)) != RIT_OK) return rc;
  memset(&io, 0, sizeof io);
  io.struct_size = (uint32_t)sizeof io;
  io.ctx = px;
  io.now_us = px_now_us;
  io.entropy = on_entropy;
  io.send = on_send;
  io.set_timer = on_timer;
  io.load = on_load;
  io.store = on_store;
  io.log = on_log;
  px->node = rit_node_new(config->node, &io, &err);
  if (px->node == NULL) return err;
  tell_local_paths(px);
  return RIT_OK;
}

rit_posix *rit_posix_new(const struct rit_posix_config *config, int *err) {
  rit_posix *px;
  int rc;
  if (config == NULL || config->state_dir == NULL) {
    if (err != NULL) *err = RIT_ERR_NULL;
    return NULL;
  }
  px = calloc(1, sizeof *px);
  if (px == NULL) {
    if (err != NULL) *err = RIT_ERR_NOMEM;
    return NULL;
  }
  px->lock_fd = px->udp4 = px->udp6 = -1;
  px->deadline_us = UINT64_MAX;
  px->log = config->log != NULL ? config->log : log_to_stderr;
  px->log_ctx = config->log_ctx;
  px->log_level = config->log_level != 0 ? config->log_level : RIT_LOG_WARN;
  rc = start(px, config);
  if (err != NULL) *err = rc;
  if (rc == RIT_OK) return px;
  rit_posix_free(px);
  return NULL;
}

void rit_posix_free(rit_posix *px) {
  size_t i;
  if (px == NULL) return;
  while (px->conn_count > 0) px_drop(px, px->conns[px->conn_count - 1], 1);
  for (i = 0; i < px->reach_count; i++) {
    if (px->reaches[i].session != 0) (void)rit_session_close(px->node, px->reaches[i].session, 0);
  }
  for (i = 0; i < px->listener_count; i++) close(px->listeners[i].fd);
  rit_node_free(px->node);
  if (px->udp4 >= 0) close(px->udp4);
  if (px->udp6 >= 0) close(px->udp6);
  if (px->lock_fd >= 0) close(px->lock_fd);
  free(px->conns);
  free(px->buckets);
  free(px->fds);
  free(px->dir);
  free(px);
}

rit_node *rit_posix_node(rit_posix *px) {
  return px != NULL ? px->node : NULL;
}

const char *rit_posix_strerror(int err) {
  switch (err) {
    case RIT_POSIX_ERR_SYSTEM: return "a system call failed";
    case RIT_POSIX_ERR_IN_USE: return "another process uses this state folder";
    case RIT_POSIX_ERR_RESOLVE: return "the host name has no address";
    default: return rit_strerror(err);
  }
}
