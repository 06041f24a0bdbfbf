/*
 * The poll loop: waits for sockets and timers, hands events on, keeps sessions open.
 */
#define _POSIX_C_SOURCE 200809L

#include "internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BROKER_ADDRESSES 8
#define MIN_RETRY_US 1000000u
#define MAX_RETRY_SHIFT 5 /* 32 s */
#define EVENTS_PER_ROUND 4096

/* ---- what the user is told */

struct rit_posix_event *px_tell(rit_posix *px, enum rit_posix_event_type type) {
  struct rit_posix_event *event;
  if (px->event_count == PX_EVENTS) {
    px->event_first = (px->event_first + 1) % PX_EVENTS;
    px->event_count--;
  }
  event = &px->events[(px->event_first + px->event_count++) % PX_EVENTS];
  memset(event, 0, sizeof *event);
  event->type = type;
  return event;
}

int rit_posix_next(rit_posix *px, struct rit_posix_event *out) {
  if (px == NULL || out == NULL || px->event_count == 0) return 0;
  *out = px->events[px->event_first];
  px->event_first = (px->event_first + 1) % PX_EVENTS;
  px->event_count--;
  return 1;
}

/* ---- what the user wants */

int rit_posix_broker(rit_posix *px, const char *uri, const char *enrol_code) {
  struct sockaddr_storage addrs[MAX_BROKER_ADDRESSES];
  struct rit_path paths[MAX_BROKER_ADDRESSES];
  struct rit_broker broker;
  char host[256];
  uint16_t port;
  size_t i, count;
  int rc;
  if (px == NULL || uri == NULL) return RIT_ERR_NULL;
  memset(&broker, 0, sizeof broker);
  rc = rit_uri_parse(uri, broker.key, host, sizeof host, &port);
  if (rc != RIT_OK) return rc;
  rc = px_resolve(host, port, SOCK_DGRAM, addrs, NULL, MAX_BROKER_ADDRESSES, &count);
  if (rc != RIT_OK) return rc;
  for (i = 0; i < count; i++) px_path_of(&addrs[i], &paths[i]);
  broker.struct_size = (uint32_t)sizeof broker;
  broker.paths = paths;
  broker.path_count = count;
  broker.enrol_code = enrol_code;
  return rit_broker_connect(px->node, &broker);
}

int rit_posix_offer(rit_posix *px, const char *name, const char *host, uint16_t port) {
  struct px_offer *offer;
  struct rit_service service;
  size_t count;
  int rc;
  if (px == NULL || name == NULL || host == NULL) return RIT_ERR_NULL;
  if (px->offer_count == PX_MAX_OFFERS) return RIT_ERR_LIMIT;
  offer = &px->offers[px->offer_count];
  rc = px_resolve(host, port, SOCK_STREAM, &offer->addr, &offer->addr_len, 1, &count);
  if (rc != RIT_OK) return rc;
  memset(&service, 0, sizeof service);
  service.struct_size = (uint32_t)sizeof service;
  service.kind = RIT_SERVICE_TCP;
  service.port = port;
  service.name = name;
  rc = rit_service_add(px->node, &service, &offer->id);
  if (rc == RIT_OK) px->offer_count++;
  return rc;
}

static void open_session(rit_posix *px, struct px_reach *reach) {
  struct rit_target target;
  int32_t rc;
  if (!px->is_online || reach->session != 0) return;
  memset(&target, 0, sizeof target);
  target.struct_size = (uint32_t)sizeof target;
  memcpy(target.device, reach->device, sizeof target.device);
  reach->retry_us = 0;
  rc = rit_session_open(px->node, &target, &reach->session);
  if (rc != RIT_OK) {
    reach->session = 0;
    reach->retry_us = px_now_us(NULL) + MIN_RETRY_US;
    px_log(px, RIT_LOG_WARN, "session: %s", rit_strerror(rc));
  }
}

int rit_posix_reach(rit_posix *px, const uint8_t device[RIT_KEY_LEN], const char *service,
                    uint16_t listen_port) {
  struct px_reach *reach;
  size_t i;
  if (px == NULL || device == NULL) return RIT_ERR_NULL;
  if (px->reach_count == PX_MAX_REACHES) return RIT_ERR_LIMIT;
  if (service != NULL && strlen(service) >= sizeof reach->service) return RIT_ERR_NAME;
  reach = &px->reaches[px->reach_count];
  memset(reach, 0, sizeof *reach);
  memcpy(reach->device, device, RIT_KEY_LEN);
  if (service != NULL) strcpy(reach->service, service);
  reach->listen_port = listen_port;
  px->reach_count++;
  /* Services of one device share its session. */
  for (i = 0; i + 1 < px->reach_count; i++) {
    if (memcmp(px->reaches[i].device, device, RIT_KEY_LEN) == 0) return RIT_OK;
  }
  open_session(px, reach);
  return RIT_OK;
}

/* ---- sessions */

static int same_device(const struct px_reach *a, const uint8_t device[RIT_KEY_LEN]) {
  return memcmp(a->device, device, RIT_KEY_LEN) == 0;
}

static void on_session_up(rit_posix *px, const struct rit_event *event) {
  struct rit_session_info info;
  size_t r;
  uint32_t s;
  memcpy(px_tell(px, RIT_POSIX_SESSION_UP)->peer, event->peer, RIT_KEY_LEN);
  if (!event->is_initiator) return;
  memset(&info, 0, sizeof info);
  info.struct_size = (uint32_t)sizeof info;
  if (rit_session_info(px->node, event->session, &info) != RIT_OK) return;
  for (r = 0; r < px->reach_count; r++) {
    struct px_reach *reach = &px->reaches[r];
    int found = 0;
    if (!same_device(reach, event->peer)) continue;
    reach->session = event->session;
    reach->is_up = 1;
    reach->failures = 0;
    for (s = 0; s < info.service_count; s++) {
      struct rit_service_info service;
      memset(&service, 0, sizeof service);
      service.struct_size = (uint32_t)sizeof service;
      if (rit_session_service(px->node, event->session, s, &service) != RIT_OK) continue;
      if (reach->service[0] != '\0' && strcmp(reach->service, service.name) != 0) continue;
      found = 1;
      px_listen(px, r, &service);
    }
    if (!found) px_log(px, RIT_LOG_WARN, "the device does not offer %s", reach->service);
  }
}

static void on_session_down(rit_posix *px, const struct rit_event *event) {
  struct rit_posix_event *told;
  size_t r;
  px_drop_session(px, event->session);
  told = px_tell(px, RIT_POSIX_SESSION_DOWN);
  told->error = event->error;
  memcpy(told->peer, event->peer, RIT_KEY_LEN);
  for (r = 0; r < px->reach_count; r++) {
    struct px_reach *reach = &px->reaches[r];
    unsigned shift = reach->failures < MAX_RETRY_SHIFT ? reach->failures : MAX_RETRY_SHIFT;
    int is_asker;
    if (reach->session != event->session) continue;
    memcpy(told->peer, reach->device, RIT_KEY_LEN);
    is_asker = r == 0 || !same_device(&px->reaches[r - 1], reach->device);
    reach->session = 0;
    reach->is_up = 0;
    reach->failures++;
    if (is_asker) reach->retry_us = px_now_us(NULL) + ((uint64_t)MIN_RETRY_US << shift);
  }
}

static void open_due_sessions(rit_posix *px, int all) {
  uint64_t now = px_now_us(NULL);
  size_t r, before;
  for (r = 0; r < px->reach_count; r++) {
    struct px_reach *reach = &px->reaches[r];
    int is_first = 1;
    for (before = 0; before < r; before++) {
      if (same_device(&px->reaches[before], reach->device)) is_first = 0;
    }
    if (!is_first || reach->session != 0) continue;
    if (all || (reach->retry_us != 0 && reach->retry_us <= now)) open_session(px, reach);
  }
}

/* ---- the loop */

static void handle_event(rit_posix *px, const struct rit_event *event) {
  switch (event->type) {
    case RIT_EVENT_BROKER_ONLINE:
      px->is_online = 1;
      (void)px_tell(px, RIT_POSIX_BROKER_ONLINE);
      open_due_sessions(px, 1);
      break;
    case RIT_EVENT_BROKER_OFFLINE:
      px->is_online = 0;
      px_tell(px, RIT_POSIX_BROKER_OFFLINE)->error = event->error;
      break;
    case RIT_EVENT_ENROLLED:
      (void)px_tell(px, RIT_POSIX_ENROLLED);
      break;
    case RIT_EVENT_ENROL_REFUSED:
      px_tell(px, RIT_POSIX_ENROL_REFUSED)->error = event->error;
      break;
    case RIT_EVENT_SESSION_UP:
      on_session_up(px, event);
      break;
    case RIT_EVENT_SESSION_DOWN:
      on_session_down(px, event);
      break;
    case RIT_EVENT_STREAM_INCOMING:
      px_on_incoming(px, event);
      break;
    default:
      px_on_stream_event(px, event);
  }
}

static void drain_events(rit_posix *px) {
  int i;
  for (i = 0; i < EVENTS_PER_ROUND; i++) {
    struct rit_event event;
    memset(&event, 0, sizeof event);
    event.struct_size = (uint32_t)sizeof event;
    if (rit_node_next_event(px->node, &event) != RIT_OK) return;
    handle_event(px, &event);
  }
}

static int wait_ms(const rit_posix *px, int timeout_ms) {
  uint64_t now = px_now_us(NULL), until = px->deadline_us;
  size_t r;
  for (r = 0; r < px->reach_count; r++) {
    uint64_t retry = px->reaches[r].retry_us;
    if (retry != 0 && px->is_online && px->reaches[r].session == 0 && retry < until) until = retry;
  }
  if (px->accept_again_us != 0 && px->accept_again_us < until) until = px->accept_again_us;
  if (until <= now) return 0;
  if (until != UINT64_MAX) {
    uint64_t ms = (until - now + 999) / 1000;
    if (timeout_ms < 0 || ms < (uint64_t)timeout_ms) return ms > 60000 ? 60000 : (int)ms;
  }
  return timeout_ms;
}

static void add_fd(rit_posix *px, nfds_t *count, int fd, short events) {
  px->fds[*count].fd = fd;
  px->fds[*count].events = events;
  px->fds[*count].revents = 0;
  (*count)++;
}

/* Order: UDP over IPv4 and IPv6 (a negative descriptor is passed over), listeners, connections. */
static int fill_fds(rit_posix *px, nfds_t *count) {
  size_t i, needed = 2 + px->listener_count + px->conn_count;
  int may_accept = px->accept_again_us == 0 || px->accept_again_us <= px_now_us(NULL);
  if (needed > px->fds_cap) {
    struct pollfd *fds = realloc(px->fds, needed * 2 * sizeof *fds);
    if (fds == NULL) return RIT_ERR_NOMEM;
    px->fds = fds;
    px->fds_cap = needed * 2;
  }
  if (may_accept) px->accept_again_us = 0;
  *count = 0;
  add_fd(px, count, px->udp4, POLLIN);
  add_fd(px, count, px->udp6, POLLIN);
  for (i = 0; i < px->listener_count; i++) {
    add_fd(px, count, may_accept ? px->listeners[i].fd : -1, POLLIN);
  }
  for (i = 0; i < px->conn_count; i++) {
    short events = px_poll_events(px->conns[i]);
    /* With nothing wanted, a hang-up would wake the loop for ever. */
    add_fd(px, count, events != 0 ? px->conns[i]->fd : -1, events);
  }
  return RIT_OK;
}

/* Connections may leave, and others take their place, while the list is walked: by descriptor. */
static void handle_conns(rit_posix *px, size_t first, size_t count) {
  size_t i = count;
  while (i-- > 0) {
    const struct pollfd *fd = &px->fds[first + i];
    if (fd->revents == 0 || i >= px->conn_count || px->conns[i]->fd != fd->fd) continue;
    px_on_poll(px, px->conns[i], fd->revents);
  }
}

int rit_posix_step(rit_posix *px, int timeout_ms) {
  size_t i, listeners, conns;
  nfds_t count;
  int rc;
  if (px == NULL) return RIT_ERR_NULL;
  drain_events(px);
  rc = fill_fds(px, &count);
  if (rc != RIT_OK) return rc;
  listeners = px->listener_count;
  conns = px->conn_count;
  if (poll(px->fds, count, wait_ms(px, timeout_ms)) < 0 && errno != EINTR) {
    px_log(px, RIT_LOG_ERROR, "poll: %s", strerror(errno));
    return RIT_POSIX_ERR_SYSTEM;
  }
  if (px->fds[0].revents != 0) px_read_udp(px, px->udp4);
  if (px->fds[1].revents != 0) px_read_udp(px, px->udp6);
  handle_conns(px, 2 + listeners, conns);
  for (i = 0; i < listeners; i++) {
    if (px->fds[2 + i].revents != 0) px_accept(px, &px->listeners[i]);
  }
  if (px_now_us(NULL) >= px->deadline_us) (void)rit_node_timeout(px->node);
  open_due_sessions(px, 0);
  drain_events(px);
  return RIT_OK;
}
