/*
 * librit on POSIX: UDP sockets, a poll loop, state in files, loopback listeners and connectors.
 *
 * One rit_posix is one node and belongs to one thread. Nothing here is global, nothing but
 * rit_posix_broker (which resolves a name) blocks, except rit_posix_step for as long as it is told.
 * Numbers returned are RIT_OK, a negative rit_err, or one of the errors below.
 */
#ifndef RIT_POSIX_H
#define RIT_POSIX_H

#include "rit.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RIT_POSIX_ERR_SYSTEM (-1000)  /* a system call failed; the log says which */
#define RIT_POSIX_ERR_IN_USE (-1001)  /* another process uses the state folder */
#define RIT_POSIX_ERR_RESOLVE (-1002) /* the broker's or the service's host has no address */

typedef struct rit_posix rit_posix;

struct rit_posix_config {
  const char *state_dir;         /* REQUIRED; made with mode 0700, its files with 0600 */
  uint16_t udp_port;             /* 0: any free one */
  const struct rit_config *node; /* NULL: the defaults */
  int32_t log_level;             /* RIT_LOG_ERROR .. RIT_LOG_DEBUG; 0: RIT_LOG_WARN */
  void (*log)(void *log_ctx, int32_t level, const char *msg); /* NULL: to standard error */
  void *log_ctx;
};

enum rit_posix_event_type {
  RIT_POSIX_BROKER_ONLINE = 1,
  RIT_POSIX_BROKER_OFFLINE = 2,  /* error says why; it is tried again */
  RIT_POSIX_ENROLLED = 3,
  RIT_POSIX_ENROL_REFUSED = 4,   /* error says why; it is not tried again */
  RIT_POSIX_SESSION_UP = 5,      /* peer */
  RIT_POSIX_SESSION_DOWN = 6,    /* peer, error; one that we reach is tried again */
  RIT_POSIX_LISTENING = 7        /* peer, service, address, port */
};

struct rit_posix_event {
  enum rit_posix_event_type type;
  int error;
  uint8_t peer[RIT_KEY_LEN];
  char service[64];
  char address[16]; /* 127.x.y.z */
  uint16_t port;
};

/* Opens the state folder, makes or loads the identity, opens the sockets. NULL and *err on failure. */
rit_posix *rit_posix_new(const struct rit_posix_config *config, int *err);

/* Ends all connections and frees everything. NULL is fine. */
void rit_posix_free(rit_posix *px);

/* The node, for calls of rit.h. Do not fetch its events or free it. */
rit_node *rit_posix_node(rit_posix *px);

/* Connects to rit://KEY@HOST:PORT and stays connected. enrol_code: NULL once enrolled. */
int rit_posix_broker(rit_posix *px, const char *uri, const char *enrol_code);

/* Offers the TCP service at host:port under a name; each stream becomes one connection to it. */
int rit_posix_offer(rit_posix *px, const char *name, const char *host, uint16_t port);

/*
 * Reaches a device: opens a session, again whenever it ends, and listens on a loopback address for
 * the service, or for all it offers (NULL). listen_port 0: the service's own port, or 10000 + that
 * where it needs a privilege this process lacks. RIT_POSIX_LISTENING tells the address.
 */
int rit_posix_reach(rit_posix *px, const uint8_t device[RIT_KEY_LEN], const char *service,
                    uint16_t listen_port);

/* One round of the loop: waits at most timeout_ms (-1: as long as it takes). < 0: fatal. */
int rit_posix_step(rit_posix *px, int timeout_ms);

/* Fetches the next event: 1 filled, 0 none. Events not fetched are forgotten, oldest first. */
int rit_posix_next(rit_posix *px, struct rit_posix_event *out);

/* Names an error of this header or of rit.h. */
const char *rit_posix_strerror(int err);

#ifdef __cplusplus
}
#endif

#endif
