/* places.c: at which loopback address a service of a device appears.
 *
 * Owns what was chosen for each service, kept in the state folder's file `addresses`, and listening
 * there. The address that key and name give is taken by whoever comes first; another whose key and
 * name give the same moves on. One whose address another program has is elsewhere for that run.
 * Invariants: no two services have one address, and each keeps its own in later runs, whichever
 * comes first then. The file is a memory and no more: one that is damaged is read as far as it
 * goes.
 */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define FILE_NAME "addresses"
#define LINE_MAX_LEN 160    /* an address, a key, a name */
#define LISTEN_ATTEMPTS 8   /* addresses tried for one service and port */
#define UNPRIVILEGED_OFFSET 10000

struct ritp_place {
    uint8_t device[RIT_KEY_LEN];
    char service[RIT_POSIX_NAME_LEN];
    uint8_t address[4];
    uint8_t for_now[4]; /* in this run, as another program has its own; 0.0.0.0: none */
};

/* ---- what was chosen */

static struct ritp_place *find(struct rit_posix *port, const uint8_t *device,
                               const char *service) {
    size_t i;

    for (i = 0; i < port->place_count; i++) {
        struct ritp_place *place = &port->places[i];
        if (memcmp(place->device, device, RIT_KEY_LEN) == 0 &&
            strcmp(place->service, service) == 0)
            return place;
    }
    return NULL;
}

static int is_taken(const struct rit_posix *port, const uint8_t address[4]) {
    size_t i;

    for (i = 0; i < port->place_count; i++) {
        if (memcmp(port->places[i].address, address, 4) == 0 ||
            memcmp(port->places[i].for_now, address, 4) == 0)
            return 1;
    }
    return 0;
}

/* Forgets one if there are as many as there may be: of a device with many its own first one, else
 * the first of all. */
static void make_room(struct rit_posix *port, const uint8_t *device) {
    size_t i, own = 0, gone = 0;

    for (i = port->place_count; i-- > 0;) {
        if (memcmp(port->places[i].device, device, RIT_KEY_LEN) == 0) {
            own++;
            gone = i;
        }
    }
    if (own < RITP_PLACES_OF_DEVICE_MAX) {
        if (port->place_count < RITP_PLACES_MAX)
            return;
        gone = 0;
    }
    port->place_count--;
    memmove(port->places + gone, port->places + gone + 1,
            (port->place_count - gone) * sizeof *port->places);
}

/* A service that has an address keeps it, whatever it is listened for at in this run. Without
 * memory for it nothing is remembered. */
static void remember(struct rit_posix *port, const uint8_t *device, const char *service,
                     const uint8_t address[4]) {
    struct ritp_place *place = find(port, device, service);

    if (place != NULL) {
        memset(place->for_now, 0, 4);
        if (memcmp(place->address, address, 4) != 0)
            memcpy(place->for_now, address, 4);
        return;
    }
    if (port->places == NULL)
        port->places = malloc(RITP_PLACES_MAX * sizeof *port->places);
    if (port->places == NULL)
        return;
    make_room(port, device);
    place = &port->places[port->place_count++];
    memset(place, 0, sizeof *place);
    memcpy(place->device, device, RIT_KEY_LEN);
    (void)snprintf(place->service, sizeof place->service, "%s", service);
    memcpy(place->address, address, 4);
    port->places_have_changed = 1;
}

/* ---- the file */

/* Whether it was a line of ours. */
static int take_line(struct rit_posix *port, const char *line) {
    char text[16], key[64], service[RIT_POSIX_NAME_LEN], rest;
    uint8_t address[4], derived[4], device[RIT_KEY_LEN];

    if (sscanf(line, "%15s %63s %63s %c", text, key, service, &rest) != 3 ||
        inet_pton(AF_INET, text, address) != 1 || address[0] != 127 ||
        rit_key_from_text(key, device) != RIT_OK ||
        rit_loopback_address(device, service, 0, derived) != RIT_OK ||
        find(port, device, service) != NULL || is_taken(port, address))
        return 0;
    remember(port, device, service, address);
    return 1;
}

void ritp_places_open(struct rit_posix *port) {
    size_t room = RITP_PLACES_MAX * LINE_MAX_LEN;
    char *text = malloc(room + 1), *line, *end;
    int32_t len = text != NULL ? ritp_load(port, FILE_NAME, (uint8_t *)text, room) : 0;
    int is_good = len >= 0;

    if (len > 0) {
        text[len] = '\0';
        for (line = text; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = '\0';
            is_good &= take_line(port, line);
        }
        is_good &= *line == '\0';
    }
    if (!is_good)
        ritp_log(port, RIT_LOG_WARN, "%s/%s is damaged: some services may get other addresses",
                 port->state_dir, FILE_NAME);
    port->places_have_changed = 0;
    free(text);
}

void ritp_places_save(struct rit_posix *port) {
    char *text, key[RIT_KEY_TEXT_LEN];
    size_t i, len = 0;

    if (!port->places_have_changed)
        return;
    port->places_have_changed = 0;
    text = malloc(port->place_count * LINE_MAX_LEN);
    if (text == NULL)
        return;
    for (i = 0; i < port->place_count; i++) {
        const struct ritp_place *place = &port->places[i];
        const uint8_t *ip = place->address;
        (void)rit_key_to_text(place->device, key);
        len += (size_t)snprintf(text + len, LINE_MAX_LEN, "%u.%u.%u.%u %s %s\n", ip[0], ip[1],
                                ip[2], ip[3], key, place->service);
    }
    (void)ritp_store(port, FILE_NAME, (uint8_t *)text, len); /* which logs why not */
    free(text);
}

void ritp_places_close(struct rit_posix *port) {
    free(port->places);
    port->places = NULL;
}

/* ---- listening */

/* The attempt's address, 0: its own; 0, or -1: there is none, or it is another's. */
static int choose(struct rit_posix *port, const struct ritp_want *want, uint32_t attempt,
                  uint8_t address[4]) {
    const struct ritp_place *place = find(port, want->peer->device, want->service);

    if (attempt == 0) {
        if (place != NULL)
            memcpy(address, place->address, 4);
        return place != NULL ? 0 : -1;
    }
    if (rit_loopback_address(want->peer->device, want->service, attempt - 1, address) != 0)
        return -1;
    if (place != NULL && memcmp(place->for_now, address, 4) == 0)
        return 0;
    return is_taken(port, address) ? -1 : 0;
}

void ritp_listen(struct rit_posix *port, struct ritp_want *want, uint16_t kind,
                 uint16_t service_port) {
    int *fd = kind == RIT_SERVICE_TCP ? &want->fd : &want->udp_fd;
    unsigned number = want->listen_port != 0 ? want->listen_port : service_port;
    /* A port that was asked for is that port or none. */
    unsigned last = want->listen_port != 0 ? number : number + UNPRIVILEGED_OFFSET;
    const char *why = "no port";
    uint32_t attempt;

    for (; number > 0 && number <= last && number <= 65535; number += UNPRIVILEGED_OFFSET) {
        for (attempt = 0; attempt <= LISTEN_ATTEMPTS; attempt++) {
            uint8_t address[4];
            if (choose(port, want, attempt, address) != 0)
                continue;
            *fd = ritp_listen_at(address, (uint16_t)number,
                                 kind == RIT_SERVICE_TCP ? SOCK_STREAM : SOCK_DGRAM);
            if (*fd >= 0) {
                if (attempt > 0 && find(port, want->peer->device, want->service) != NULL)
                    ritp_log(port, RIT_LOG_WARN, "the address of %s is taken by another program: "
                             "it has another in this run", want->service);
                remember(port, want->peer->device, want->service, address);
                ritp_tell_listening(port, want, kind, address, (uint16_t)number);
                return;
            }
            why = strerror(errno);
            if (errno != EADDRINUSE)
                break;
        }
    }
    ritp_log(port, RIT_LOG_ERROR, "cannot listen for %s: %s", want->service, why);
    ritp_tell(port, RIT_POSIX_NOT_LISTENING, RIT_POSIX_ERR_LISTEN, want->peer->device,
              want->service);
}
