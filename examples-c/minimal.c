/*
 * A node driven by hand, with no port: two callbacks that matter, entropy and send, and a clock that
 * this program advances itself. It offers a service, tries to reach a broker that is not there, and
 * shows what a firmware's main loop does: feed datagrams in, call rit_node_timeout at the deadline,
 * fetch events. Ends by itself.
 */
#include "rit.h"

#include <stdio.h>
#include <string.h>

struct board {
  uint64_t now_us;     /* a hardware timer on a real board */
  uint32_t noise;      /* a random number generator on a real board */
  unsigned sent;
};

static uint64_t now_us(void *ctx) {
  return ((struct board *)ctx)->now_us;
}

/* Not entropy at all: for a real device this must come from a true source. */
static int32_t entropy(void *ctx, uint8_t *out, size_t len) {
  struct board *board = ctx;
  while (len-- > 0) {
    board->noise = board->noise * 1664525u + 1013904223u;
    *out++ = (uint8_t)(board->noise >> 24);
  }
  return 0;
}

static int32_t send_datagram(void *ctx, const struct rit_path *to, const uint8_t *pkt, size_t len) {
  struct board *board = ctx;
  (void)pkt;
  board->sent++;
  printf("%8.3f s  send %u bytes to %u.%u.%u.%u:%u\n", (double)board->now_us / 1e6, (unsigned)len,
         to->ip[12], to->ip[13], to->ip[14], to->ip[15], (unsigned)to->port);
  return 0; /* taken */
}

int main(void) {
  struct board board = {0, 1, 0};
  struct rit_config config;
  struct rit_io io;
  struct rit_service service;
  struct rit_broker broker;
  struct rit_path path;
  struct rit_event event;
  rit_service_id id;
  rit_node *node;
  int32_t err;
  int has_given_up = 0;

  /* 1. The node: what it may use, and how it reaches the world. */
  rit_config_init(&config);
  config.max_sessions = 2;
  memset(&io, 0, sizeof io);
  io.struct_size = (uint32_t)sizeof io;
  io.ctx = &board;
  io.now_us = now_us;
  io.entropy = entropy;
  io.send = send_datagram;
  node = rit_node_new(&config, &io, &err);
  if (node == NULL) {
    printf("no node: %s\n", rit_strerror(err));
    return 1;
  }

  /* 2. What it offers. */
  memset(&service, 0, sizeof service);
  service.struct_size = (uint32_t)sizeof service;
  service.name = "www";
  service.port = 80;
  err = rit_service_add(node, &service, &id);
  if (err != RIT_OK) printf("no service: %s\n", rit_strerror(err));

  /* 3. Its broker: a key and an address (192.0.2.1 is nobody's, RFC 5737). */
  memset(&path, 0, sizeof path);
  path.struct_size = (uint32_t)sizeof path;
  path.ip[10] = path.ip[11] = 0xff;
  path.ip[12] = 192, path.ip[14] = 2, path.ip[15] = 1;
  path.port = 7480;
  memset(&broker, 0, sizeof broker);
  broker.struct_size = (uint32_t)sizeof broker;
  memset(broker.key, 9, sizeof broker.key);
  broker.paths = &path;
  broker.path_count = 1;
  err = rit_broker_connect(node, &broker);
  if (err != RIT_OK) printf("no broker: %s\n", rit_strerror(err));

  /* 4. The main loop. A board would sleep until the deadline or the next datagram. */
  while (!has_given_up) {
    board.now_us = rit_node_deadline(node);
    rit_node_timeout(node);
    memset(&event, 0, sizeof event);
    event.struct_size = (uint32_t)sizeof event;
    while (rit_node_next_event(node, &event) == RIT_OK) {
      if (event.type == RIT_EVENT_BROKER_OFFLINE) {
        printf("%8.3f s  broker offline: %s\n", (double)board.now_us / 1e6, rit_strerror(event.error));
        has_given_up = 1;
      }
    }
  }
  printf("%u datagrams, all of them sealed; nobody answered\n", board.sent);
  rit_node_free(node);
  return board.sent > 0 ? 0 : 1;
}
