/*
 * A device: offers local TCP services to the peers it allows, through a broker.
 *
 *   device --state DIR --broker rit://KEY@HOST:PORT [--enrol CODE] [--allow KEY]... NAME=HOST:PORT...
 *
 *   device --state /var/lib/mydevice --broker rit://...@broker.example:7480 --enrol XXXX-XXXX \
 *          --allow <key that `reach --key` prints> www=127.0.0.1:80 ssh=127.0.0.1:22
 */
#include "rit_posix.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t is_stopped;

static void on_signal(int number) {
  (void)number;
  is_stopped = 1;
}

static int usage(void) {
  fprintf(stderr, "usage: device --state DIR --broker URI [--enrol CODE] [--allow KEY]... "
                  "NAME=HOST:PORT...\n");
  return 2;
}

/* Prints what went wrong and gives the exit status. */
static int fail(const char *what, int err) {
  fprintf(stderr, "device: %s: %s\n", what, rit_posix_strerror(err));
  return 1;
}

/* The value behind an option, if argv[*i] is that option. */
static const char *option(int argc, char **argv, int *i, const char *name) {
  if (strcmp(argv[*i], name) != 0 || *i + 1 >= argc) return NULL;
  return argv[++*i];
}

/* Offers "name=host:port". */
static int offer(rit_posix *px, const char *text) {
  char copy[400], *host, *port, *end;
  unsigned long number;
  if (strlen(text) >= sizeof copy) return RIT_ERR_ARG;
  strcpy(copy, text);
  host = strchr(copy, '=');
  port = strrchr(copy, ':');
  if (host == NULL || port == NULL || port < host) return RIT_ERR_ARG;
  *host++ = '\0';
  *port++ = '\0';
  number = strtoul(port, &end, 10);
  if (*end != '\0' || number == 0 || number > 65535) return RIT_ERR_ARG;
  return rit_posix_offer(px, copy, host, (uint16_t)number);
}

/* Says what happened; true if there is no point in going on. */
static int show(const struct rit_posix_event *event) {
  char peer[RIT_KEY_TEXT_LEN];
  rit_key_to_text(event->peer, peer);
  switch (event->type) {
    case RIT_POSIX_ENROLLED: printf("enrolled\n"); break;
    case RIT_POSIX_BROKER_ONLINE: printf("online\n"); break;
    case RIT_POSIX_BROKER_OFFLINE: printf("offline %s\n", rit_strerror(event->error)); break;
    case RIT_POSIX_SESSION_UP: printf("session-up %s\n", peer); break;
    case RIT_POSIX_SESSION_DOWN: printf("session-down %s\n", rit_strerror(event->error)); break;
    case RIT_POSIX_ENROL_REFUSED:
      fail("the broker refused", event->error);
      return 1;
    default: break;
  }
  fflush(stdout);
  return 0;
}

int main(int argc, char **argv) {
  struct rit_posix_config config;
  struct rit_posix_event event;
  const char *broker = NULL, *code = NULL, *value;
  uint8_t key[RIT_KEY_LEN];
  char text[RIT_KEY_TEXT_LEN];
  rit_posix *px;
  int err, i, status = 0, offered = 0;

  /* First the options that the node is made with. */
  memset(&config, 0, sizeof config);
  for (i = 1; i < argc; i++) {
    if ((value = option(argc, argv, &i, "--state")) != NULL) config.state_dir = value;
  }
  if (config.state_dir == NULL) return usage();
  px = rit_posix_new(&config, &err);
  if (px == NULL) return fail(config.state_dir, err);

  /* Then those that it is told. */
  for (i = 1; i < argc && status == 0; i++) {
    if (option(argc, argv, &i, "--state") != NULL) continue;
    if ((value = option(argc, argv, &i, "--broker")) != NULL) {
      broker = value;
    } else if ((value = option(argc, argv, &i, "--enrol")) != NULL) {
      code = value;
    } else if ((value = option(argc, argv, &i, "--allow")) != NULL) {
      err = rit_key_from_text(value, key);
      if (err == RIT_OK) err = rit_peer_allow(rit_posix_node(px), key);
      if (err != RIT_OK) status = fail(value, err);
    } else if (argv[i][0] == '-') {
      status = usage();
    } else {
      err = offer(px, argv[i]);
      if (err != RIT_OK) status = fail(argv[i], err);
      offered++;
    }
  }
  if (status == 0 && (broker == NULL || offered == 0)) status = usage();

  if (status == 0) {
    rit_node_public_key(rit_posix_node(px), key);
    rit_key_to_text(key, text);
    printf("key %s\n", text);
    fflush(stdout);
    err = rit_posix_broker(px, broker, code);
    if (err != RIT_OK) status = fail(broker, err);
  }
  signal(SIGINT, on_signal);
  signal(SIGTERM, on_signal);
  while (status == 0 && !is_stopped) {
    err = rit_posix_step(px, 1000);
    if (err != RIT_OK) status = fail("the loop", err);
    while (rit_posix_next(px, &event)) status |= show(&event);
  }
  rit_posix_free(px);
  return status;
}
