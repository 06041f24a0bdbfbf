/*
 * Reaches a device's services: each listens at its own loopback address from now on.
 *
 *   reach --state DIR --key
 *   reach --state DIR --broker rit://KEY@HOST:PORT [--enrol CODE] DEVICE-KEY [SERVICE[@PORT]]...
 *
 * The first form prints this user's key, which the device must allow. The second opens the services
 * named, or all, and prints a line `listening SERVICE 127.x.y.z:PORT` for each.
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
  fprintf(stderr, "usage: reach --state DIR --key\n"
                  "       reach --state DIR --broker URI [--enrol CODE] DEVICE-KEY [SERVICE[@PORT]]...\n");
  return 2;
}

/* Prints what went wrong and gives the exit status. */
static int fail(const char *what, int err) {
  fprintf(stderr, "reach: %s: %s\n", what, rit_posix_strerror(err));
  return 1;
}

static int print_key(rit_posix *px) {
  uint8_t key[RIT_KEY_LEN];
  char text[RIT_KEY_TEXT_LEN];
  rit_node_public_key(rit_posix_node(px), key);
  rit_key_to_text(key, text);
  printf("%s\n", text);
  return 0;
}

/* Reaches "service" or "service@port". */
static int reach(rit_posix *px, const uint8_t *device, const char *text) {
  char service[64], *at, *end;
  unsigned long port = 0;
  if (strlen(text) >= sizeof service) return RIT_ERR_NAME;
  strcpy(service, text);
  at = strchr(service, '@');
  if (at != NULL) {
    *at++ = '\0';
    port = strtoul(at, &end, 10);
    if (*end != '\0' || port == 0 || port > 65535) return RIT_ERR_ARG;
  }
  return rit_posix_reach(px, device, service, (uint16_t)port);
}

/* Says what happened; true if there is no point in going on. */
static int show(const struct rit_posix_event *event) {
  switch (event->type) {
    case RIT_POSIX_ENROLLED: printf("enrolled\n"); break;
    case RIT_POSIX_BROKER_ONLINE: printf("online\n"); break;
    case RIT_POSIX_BROKER_OFFLINE: printf("offline %s\n", rit_strerror(event->error)); break;
    case RIT_POSIX_SESSION_UP: printf("session-up\n"); break;
    case RIT_POSIX_SESSION_DOWN: printf("session-down %s\n", rit_strerror(event->error)); break;
    case RIT_POSIX_LISTENING:
      printf("listening %s %s:%u\n", event->service, event->address, (unsigned)event->port);
      break;
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
  const char *broker = NULL, *code = NULL;
  uint8_t device[RIT_KEY_LEN];
  int err, i, status = 0, wants_key = 0;
  rit_posix *px;

  memset(&config, 0, sizeof config);
  for (i = 1; i < argc && argv[i][0] == '-'; i++) {
    if (strcmp(argv[i], "--key") == 0) {
      wants_key = 1;
    } else if (i + 1 < argc && strcmp(argv[i], "--state") == 0) {
      config.state_dir = argv[++i];
    } else if (i + 1 < argc && strcmp(argv[i], "--broker") == 0) {
      broker = argv[++i];
    } else if (i + 1 < argc && strcmp(argv[i], "--enrol") == 0) {
      code = argv[++i];
    } else {
      return usage();
    }
  }
  if (config.state_dir == NULL || (!wants_key && (broker == NULL || i >= argc))) return usage();
  px = rit_posix_new(&config, &err);
  if (px == NULL) return fail(config.state_dir, err);
  if (wants_key) {
    status = print_key(px);
    rit_posix_free(px);
    return status;
  }

  err = rit_key_from_text(argv[i], device);
  if (err != RIT_OK) status = fail(argv[i], err);
  if (status == 0 && i + 1 == argc) err = rit_posix_reach(px, device, NULL, 0);
  while (status == 0 && err == RIT_OK && ++i < argc) err = reach(px, device, argv[i]);
  if (status == 0 && err != RIT_OK) status = fail(argv[i], err);
  if (status == 0) {
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
