/* What the files of the POSIX port share. */
#ifndef RIT_POSIX_INTERNAL_H
#define RIT_POSIX_INTERNAL_H

#include "rit_posix.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

#define PX_MAX_OFFERS 32
#define PX_MAX_REACHES 32
#define PX_MAX_LISTENERS 128
#define PX_EVENTS 64
#define PX_SCRATCH 65536

/* Bytes read from one side that the other did not take yet; at most one read's worth. */
struct px_pending {
  uint8_t *data;
  size_t start, len;
};

/* A TCP connection joined to a stream. */
struct px_conn {
  struct px_conn *next_in_bucket;
  size_t index; /* in px->conns */
  int fd;
  rit_stream stream;
  rit_session session;
  struct px_pending up;   /* TCP -> stream */
  struct px_pending down; /* stream -> TCP */
  unsigned is_connecting : 1;
  unsigned is_up_blocked : 1; /* the stream has no room */
  unsigned tcp_ended : 1;
  unsigned stream_ended : 1;
  unsigned is_readable : 1; /* the stream may have bytes */
};

struct px_offer {
  rit_service_id id;
  struct sockaddr_storage addr;
  socklen_t addr_len;
};

struct px_reach {
  uint8_t device[RIT_KEY_LEN];
  char service[64]; /* "": all */
  uint16_t listen_port;
  rit_session session; /* 0: none */
  int is_up;
  uint64_t retry_us; /* when to open it again; 0: not waiting */
  unsigned failures;
};

struct px_listener {
  int fd;
  size_t reach;
  char service[64];
};

struct rit_posix {
  rit_node *node;
  char *dir;
  int lock_fd;
  int udp4, udp6;
  uint64_t deadline_us;
  int32_t log_level;
  void (*log)(void *ctx, int32_t level, const char *msg);
  void *log_ctx;
  int is_online;
  struct px_offer offers[PX_MAX_OFFERS];
  size_t offer_count;
  struct px_reach reaches[PX_MAX_REACHES];
  size_t reach_count;
  struct px_listener listeners[PX_MAX_LISTENERS];
  size_t listener_count;
  uint64_t accept_again_us; /* out of descriptors until then */
  struct px_conn **conns;
  size_t conn_count, conn_cap;
  struct px_conn **buckets;
  size_t bucket_count;
  struct pollfd *fds;
  size_t fds_cap;
  struct rit_posix_event events[PX_EVENTS];
  size_t event_first, event_count;
  uint8_t scratch[PX_SCRATCH];
};

/* system.c */
void px_log(rit_posix *px, int32_t level, const char *format, ...);
uint64_t px_now_us(void *ctx);
int px_set_nonblocking(int fd);
int px_open_udp(rit_posix *px, uint16_t port);
void px_read_udp(rit_posix *px, int fd);
int px_resolve(const char *host, uint16_t port, int type, struct sockaddr_storage *out, socklen_t *len,
               size_t cap, size_t *count);
void px_path_of(const struct sockaddr_storage *addr, struct rit_path *out);

/* bridge.c */
struct px_conn *px_find(rit_posix *px, rit_stream stream);
void px_on_incoming(rit_posix *px, const struct rit_event *event);
void px_on_stream_event(rit_posix *px, const struct rit_event *event);
void px_accept(rit_posix *px, struct px_listener *listener);
short px_poll_events(const struct px_conn *conn);
void px_on_poll(rit_posix *px, struct px_conn *conn, short revents);
void px_drop(rit_posix *px, struct px_conn *conn, int with_reset);
void px_drop_session(rit_posix *px, rit_session session);
void px_listen(rit_posix *px, size_t reach, const struct rit_service_info *service);

/* loop.c */
struct rit_posix_event *px_tell(rit_posix *px, enum rit_posix_event_type type);

#endif
