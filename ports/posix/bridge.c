/*
 * TCP connections joined to streams, both ways: loopback listeners, connectors to local services,
 * half-close, resets, back-pressure.
 *
 * Bytes are read from one side only when the other took what was read before, so what waits here is
 * one read's worth at most each way; the rest waits in the TCP peer's or the stream's window.
 */
#define _POSIX_C_SOURCE 200809L

#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS_PER_TURN 16        /* reads of one connection before others get their turn */
#define PRIVILEGED_OFFSET 10000   /* port 80 becomes 10080 where 80 is not allowed */
#define MAX_ADDRESS_ATTEMPTS 64
#define ACCEPT_PAUSE_US 200000u
#define ACCEPTS_PER_ROUND 64
#define CODE_TCP_RESET 0x10u      /* stream error code: the TCP side was reset */

/* ---- the table of connections */

static size_t bucket_of(const rit_posix *px, rit_stream stream) {
  return (size_t)((stream ^ (stream >> 32)) * 0x9e3779b97f4a7c15u >> 20) & (px->bucket_count - 1);
}

struct px_conn *px_find(rit_posix *px, rit_stream stream) {
  struct px_conn *conn;
  if (px->bucket_count == 0) return NULL;
  for (conn = px->buckets[bucket_of(px, stream)]; conn != NULL; conn = conn->next_in_bucket) {
    if (conn->stream == stream) return conn;
  }
  return NULL;
}

static int grow_table(rit_posix *px) {
  size_t i, cap = px->conn_cap != 0 ? px->conn_cap * 2 : 64;
  struct px_conn **buckets = calloc(cap, sizeof *buckets);
  struct px_conn **conns = realloc(px->conns, cap * sizeof *conns);
  if (conns != NULL) px->conns = conns;
  if (buckets == NULL || conns == NULL) {
    free(buckets);
    return -1;
  }
  free(px->buckets);
  px->buckets = buckets;
  px->bucket_count = cap;
  px->conn_cap = cap;
  for (i = 0; i < px->conn_count; i++) {
    struct px_conn **bucket = &px->buckets[bucket_of(px, px->conns[i]->stream)];
    px->conns[i]->next_in_bucket = *bucket;
    *bucket = px->conns[i];
  }
  return 0;
}

static struct px_conn *add(rit_posix *px, int fd, rit_stream stream, rit_session session) {
  struct px_conn *conn, **bucket;
  if (px->conn_count == px->conn_cap && grow_table(px) != 0) return NULL;
  conn = calloc(1, sizeof *conn);
  if (conn == NULL) return NULL;
  conn->fd = fd;
  conn->stream = stream;
  conn->session = session;
  conn->index = px->conn_count;
  px->conns[px->conn_count++] = conn;
  bucket = &px->buckets[bucket_of(px, stream)];
  conn->next_in_bucket = *bucket;
  *bucket = conn;
  return conn;
}

/* A TCP reset: the far end sees that the connection broke, as it would without a tunnel. */
static void close_tcp(int fd, int with_reset) {
  struct linger linger;
  linger.l_onoff = 1;
  linger.l_linger = 0;
  if (with_reset) setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  close(fd);
}

static void forget(rit_posix *px, struct px_conn *conn, int with_reset) {
  struct px_conn **at = &px->buckets[bucket_of(px, conn->stream)];
  while (*at != conn) at = &(*at)->next_in_bucket;
  *at = conn->next_in_bucket;
  px->conns[conn->index] = px->conns[--px->conn_count];
  px->conns[conn->index]->index = conn->index;
  close_tcp(conn->fd, with_reset);
  free(conn->up.data);
  free(conn->down.data);
  free(conn);
}

void px_drop(rit_posix *px, struct px_conn *conn, int with_reset) {
  rit_stream stream = conn->stream;
  forget(px, conn, with_reset);
  (void)rit_stream_release(px->node, stream);
}

void px_drop_session(rit_posix *px, rit_session session) {
  size_t i = 0;
  while (i < px->conn_count) {
    if (px->conns[i]->session == session) {
      forget(px, px->conns[i], 1);
    } else {
      i++;
    }
  }
}

/* ---- bytes */

static int keep(struct px_pending *pending, const uint8_t *data, size_t len) {
  pending->data = malloc(len);
  if (pending->data == NULL) return -1;
  memcpy(pending->data, data, len);
  pending->start = 0;
  pending->len = len;
  return 0;
}

static void advance(struct px_pending *pending, size_t len) {
  pending->start += len;
  pending->len -= len;
  if (pending->len == 0) {
    free(pending->data);
    memset(pending, 0, sizeof *pending);
  }
}

static int is_over(const struct px_conn *conn) {
  return conn->tcp_ended && conn->stream_ended && conn->up.len == 0 && conn->down.len == 0;
}

/* Hands bytes to the stream: 0 all taken, 1 blocked, -1 the stream wants no more. */
static int write_stream(rit_posix *px, struct px_conn *conn, const uint8_t *data, size_t len,
                        size_t *taken) {
  int32_t rc;
  *taken = 0;
  rc = rit_stream_write(px->node, conn->stream, data, len, taken);
  if (rc == RIT_OK && *taken == len) return 0;
  if (rc == RIT_OK || rc == RIT_ERR_AGAIN) return 1;
  return -1;
}

/* TCP -> stream. False if the connection is gone. */
static int pump_up(rit_posix *px, struct px_conn *conn) {
  size_t taken;
  int round, rc = 0;
  if (conn->up.len > 0) {
    rc = write_stream(px, conn, conn->up.data + conn->up.start, conn->up.len, &taken);
    advance(&conn->up, taken);
  }
  for (round = 0; rc == 0 && round < ROUNDS_PER_TURN && !conn->tcp_ended; round++) {
    ssize_t n = recv(conn->fd, px->scratch, sizeof px->scratch, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (n < 0) {
      (void)rit_stream_reset(px->node, conn->stream, CODE_TCP_RESET);
      px_drop(px, conn, 1);
      return 0;
    }
    if (n == 0) {
      conn->tcp_ended = 1;
      break;
    }
    rc = write_stream(px, conn, px->scratch, (size_t)n, &taken);
    if (rc == 1 && keep(&conn->up, px->scratch + taken, (size_t)n - taken) != 0) rc = -1;
  }
  if (rc < 0) {
    px_drop(px, conn, 1);
    return 0;
  }
  conn->is_up_blocked = rc == 1;
  if (conn->tcp_ended && conn->up.len == 0) (void)rit_stream_finish(px->node, conn->stream);
  return 1;
}

/* Hands bytes to TCP: 0 all taken, 1 blocked, -1 the connection broke. */
static int write_tcp(struct px_conn *conn, const uint8_t *data, size_t len, size_t *taken) {
  *taken = 0;
  while (*taken < len) {
    ssize_t n = send(conn->fd, data + *taken, len - *taken, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 1 : -1;
    *taken += (size_t)n;
  }
  return 0;
}

/* Stream -> TCP. False if the connection is gone. */
static int pump_down(rit_posix *px, struct px_conn *conn) {
  size_t taken, len;
  int round, rc = 0;
  if (conn->down.len > 0) {
    rc = write_tcp(conn, conn->down.data + conn->down.start, conn->down.len, &taken);
    advance(&conn->down, taken);
  }
  for (round = 0; rc == 0 && conn->is_readable && !conn->stream_ended; round++) {
    int32_t err;
    if (round == ROUNDS_PER_TURN) return 1; /* poll says again that TCP is writable */
    err = rit_stream_read(px->node, conn->stream, px->scratch, sizeof px->scratch, &len);
    if (err == RIT_ERR_AGAIN) {
      conn->is_readable = 0;
      break;
    }
    if (err != RIT_OK) {
      px_drop(px, conn, 1);
      return 0;
    }
    if (len == 0) {
      conn->stream_ended = 1;
      break;
    }
    rc = write_tcp(conn, px->scratch, len, &taken);
    if (rc == 1 && keep(&conn->down, px->scratch + taken, len - taken) != 0) rc = -1;
  }
  if (rc < 0) {
    px_drop(px, conn, 1);
    return 0;
  }
  if (conn->stream_ended && conn->down.len == 0) shutdown(conn->fd, SHUT_WR);
  return 1;
}

/* Ends a connection that is over on both sides; what is still in flight is delivered. */
static void settle(rit_posix *px, struct px_conn *conn) {
  if (is_over(conn)) px_drop(px, conn, 0);
}

/* ---- the far end asks for a service */

void px_on_incoming(rit_posix *px, const struct rit_event *event) {
  struct px_offer *offer = NULL;
  struct px_conn *conn;
  size_t i;
  int fd, one = 1;
  for (i = 0; i < px->offer_count; i++) {
    if (px->offers[i].id == event->service) offer = &px->offers[i];
  }
  if (offer == NULL) {
    (void)rit_stream_refuse(px->node, event->stream, RIT_REFUSED_UNKNOWN);
    return;
  }
  fd = socket(offer->addr.ss_family, SOCK_STREAM, 0);
  if (fd < 0 || px_set_nonblocking(fd) != 0) {
    px_log(px, RIT_LOG_WARN, "no socket for a service: %s", strerror(errno));
    if (fd >= 0) close(fd);
    (void)rit_stream_refuse(px->node, event->stream, RIT_REFUSED_LIMIT);
    return;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd, (struct sockaddr *)&offer->addr, offer->addr_len) != 0 && errno != EINPROGRESS) {
    close(fd);
    (void)rit_stream_refuse(px->node, event->stream, RIT_REFUSED_SERVICE);
    return;
  }
  conn = add(px, fd, event->stream, event->session);
  if (conn == NULL) {
    close(fd);
    (void)rit_stream_refuse(px->node, event->stream, RIT_REFUSED_LIMIT);
    return;
  }
  conn->is_connecting = 1;
}

static void on_connected(rit_posix *px, struct px_conn *conn) {
  int error = 0;
  socklen_t len = sizeof error;
  if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) error = errno;
  if (error == 0 && rit_stream_accept(px->node, conn->stream) == RIT_OK) {
    conn->is_connecting = 0;
    conn->is_readable = 1;
    return;
  }
  if (error != 0) {
    px_log(px, RIT_LOG_INFO, "the service refused: %s", strerror(error));
    (void)rit_stream_refuse(px->node, conn->stream, RIT_REFUSED_SERVICE);
  }
  px_drop(px, conn, 1);
}

/* ---- someone connects to a loopback address of ours */

void px_accept(rit_posix *px, struct px_listener *listener) {
  int i, one = 1;
  for (i = 0; i < ACCEPTS_PER_ROUND; i++) {
    const struct px_reach *reach = &px->reaches[listener->reach];
    rit_stream stream = 0;
    int32_t rc;
    int fd = accept(listener->fd, NULL, NULL);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd < 0) {
      if (errno != EAGAIN && errno != EWOULDBLOCK) {
        px_log(px, RIT_LOG_WARN, "accept: %s", strerror(errno));
        px->accept_again_us = px_now_us(NULL) + ACCEPT_PAUSE_US;
      }
      return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    rc = px_set_nonblocking(fd) != 0 ? RIT_ERR_LIMIT : RIT_ERR_OFFLINE;
    if (rc == RIT_ERR_OFFLINE && reach->is_up) {
      rc = rit_stream_open(px->node, reach->session, listener->service, &stream);
    }
    if (rc != RIT_OK) {
      px_log(px, RIT_LOG_INFO, "%s: %s", listener->service, rit_strerror(rc));
      close_tcp(fd, 1);
    } else if (add(px, fd, stream, reach->session) == NULL) {
      (void)rit_stream_release(px->node, stream);
      close_tcp(fd, 1);
    }
  }
}

/* The same address every time: another one only if someone else listens there. */
static int bind_loopback(rit_posix *px, size_t reach, const char *service, uint16_t port,
                         struct sockaddr_in *sin) {
  uint32_t attempt;
  for (attempt = 0; attempt < MAX_ADDRESS_ATTEMPTS; attempt++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0) return -1;
    memset(sin, 0, sizeof *sin);
    sin->sin_family = AF_INET;
    sin->sin_port = htons(port);
    (void)rit_loopback_address(px->reaches[reach].device, service, attempt,
                               (uint8_t *)&sin->sin_addr);
    /* Connections of an earlier run in TIME_WAIT do not count as someone else. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (px_set_nonblocking(fd) == 0 && bind(fd, (struct sockaddr *)sin, sizeof *sin) == 0 &&
        listen(fd, SOMAXCONN) == 0) {
      return fd;
    }
    one = errno;
    close(fd);
    errno = one;
    if (errno != EADDRINUSE) return -1;
  }
  return -1;
}

void px_listen(rit_posix *px, size_t reach, const struct rit_service_info *service) {
  struct px_listener *listener;
  struct rit_posix_event *event;
  struct sockaddr_in sin;
  const uint16_t chosen = px->reaches[reach].listen_port;
  uint16_t port = chosen != 0 ? chosen : service->port;
  size_t i;
  int fd;
  for (i = 0; i < px->listener_count; i++) {
    if (px->listeners[i].reach == reach && strcmp(px->listeners[i].service, service->name) == 0) return;
  }
  if (px->listener_count == PX_MAX_LISTENERS) {
    px_log(px, RIT_LOG_ERROR, "%s: too many listeners", service->name);
    return;
  }
  fd = bind_loopback(px, reach, service->name, port, &sin);
  if (fd < 0 && errno == EACCES && chosen == 0) {
    fd = bind_loopback(px, reach, service->name, (uint16_t)(port + PRIVILEGED_OFFSET), &sin);
  }
  if (fd < 0) {
    px_log(px, RIT_LOG_ERROR, "%s: cannot listen on port %u: %s", service->name, (unsigned)port,
           strerror(errno));
    return;
  }
  listener = &px->listeners[px->listener_count++];
  listener->fd = fd;
  listener->reach = reach;
  memcpy(listener->service, service->name, sizeof listener->service);
  event = px_tell(px, RIT_POSIX_LISTENING);
  memcpy(event->peer, px->reaches[reach].device, sizeof event->peer);
  memcpy(event->service, service->name, sizeof event->service);
  (void)inet_ntop(AF_INET, &sin.sin_addr, event->address, sizeof event->address);
  event->port = ntohs(sin.sin_port);
}

/* ---- events */

short px_poll_events(const struct px_conn *conn) {
  short events = 0;
  if (conn->is_connecting) return POLLOUT;
  if (!conn->tcp_ended && !conn->is_up_blocked) events |= POLLIN;
  if (conn->down.len > 0 || (conn->is_readable && !conn->stream_ended)) events |= POLLOUT;
  return events;
}

void px_on_poll(rit_posix *px, struct px_conn *conn, short revents) {
  if (conn->is_connecting) {
    on_connected(px, conn);
    return;
  }
  /* A broken connection with nothing to read is found out by the write or read that fails. */
  if ((revents & (POLLERR | POLLNVAL)) != 0 && conn->is_up_blocked) {
    px_drop(px, conn, 1);
    return;
  }
  if ((revents & POLLOUT) != 0 && !pump_down(px, conn)) return;
  if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !conn->is_up_blocked && !pump_up(px, conn)) return;
  /* Both directions are shut, and we cannot read: nobody is there for the rest. */
  if ((revents & POLLHUP) != 0 && conn->tcp_ended && conn->down.len > 0) {
    px_drop(px, conn, 1);
    return;
  }
  settle(px, conn);
}

void px_on_stream_event(rit_posix *px, const struct rit_event *event) {
  struct px_conn *conn = px_find(px, event->stream);
  if (conn == NULL) return;
  switch (event->type) {
    case RIT_EVENT_STREAM_OPENED:
      break;
    case RIT_EVENT_STREAM_READABLE:
      conn->is_readable = 1;
      if (conn->is_connecting || conn->down.len > 0 || !pump_down(px, conn)) return;
      break;
    case RIT_EVENT_STREAM_WRITABLE:
      conn->is_up_blocked = 0;
      if (!pump_up(px, conn)) return;
      break;
    case RIT_EVENT_STREAM_REFUSED:
      px_log(px, RIT_LOG_INFO, "the device refused a connection: %s", rit_strerror(event->error));
      px_drop(px, conn, 1);
      return;
    default: /* reset or stopped: TCP knows one kind of breaking off */
      px_drop(px, conn, 1);
      return;
  }
  settle(px, conn);
}
