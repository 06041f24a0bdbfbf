/* owner.c: owns a device: claims it, grants its services to others, takes that back, gives it away.
 *
 *   owner --state DIR --broker URI [--enrol CODE] claim DEVICE SECRET
 *   owner --state DIR grant DEVICE EPOCH KEY SECONDS FILE [SERVICE]...
 *   owner --state DIR --broker URI revoke DEVICE EPOCH NUMBER ID...
 *   owner --state DIR --broker URI transfer DEVICE EPOCH NEW-OWNER
 *   owner --state DIR --broker URI cloak DEVICE EPOCH NUMBER SECONDS
 *
 * SECRET is what the device's label says, or the code that it shows. `claim` prints the epoch,
 * which the others need. `grant` needs no network: it writes FILE, which goes to whoever has KEY
 * (reach --grant FILE), and prints its ID; SECONDS from now it expires, 0: never. `revoke` takes the
 * whole list of IDs, with a NUMBER higher than the last one's. `cloak` lets the device answer who
 * asks who is there for so many SECONDS, 0: no more; its NUMBER is higher each time, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rit_posix.h"

#define IDS_MAX 64
#define SERVICES_MAX 32

static int usage(void) {
    fputs("usage: owner --state DIR --broker URI [--enrol CODE] claim DEVICE SECRET\n"
          "       owner --state DIR grant DEVICE EPOCH KEY SECONDS FILE [SERVICE]...\n"
          "       owner --state DIR --broker URI revoke DEVICE EPOCH NUMBER ID...\n"
          "       owner --state DIR --broker URI transfer DEVICE EPOCH NEW-OWNER\n"
          "       owner --state DIR --broker URI cloak DEVICE EPOCH NUMBER SECONDS\n", stderr);
    return 2;
}

/* Says what went wrong; the exit status. */
static int failed(const char *what, int error) {
    fprintf(stderr, "owner: %s: %s\n", what, rit_posix_strerror(error));
    return 1;
}

static int key_of(const char *text, uint8_t key[RIT_KEY_LEN]) {
    int error = rit_key_from_text(text, key);

    return error == RIT_OK ? 0 : failed(text, error);
}

static uint8_t nibble(char c) {
    return (uint8_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
}

/* Reads a grant's ID in hexadecimal. */
static int id_of(const char *text, uint8_t id[RIT_GRANT_ID_LEN]) {
    size_t i;

    if (strspn(text, "0123456789abcdefABCDEF") != 2 * RIT_GRANT_ID_LEN ||
        text[2 * RIT_GRANT_ID_LEN] != '\0')
        return usage();
    for (i = 0; i < RIT_GRANT_ID_LEN; i++)
        id[i] = (uint8_t)(nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]));
    return 0;
}

static int write_file(const char *name, const uint8_t *bytes, size_t len) {
    FILE *file = fopen(name, "wb");
    int is_written = file != NULL && fwrite(bytes, 1, len, file) == len;

    if (file != NULL && fclose(file) != 0)
        is_written = 0;
    if (!is_written)
        perror(name);
    return is_written ? 0 : 1;
}

/* grant DEVICE EPOCH KEY SECONDS FILE [SERVICE]... */
static int grant(rit_posix *port, int argc, char **argv) {
    uint8_t chain[RIT_CHAIN_MAX];
    struct rit_grant terms;
    size_t len = 0;
    uint64_t now = (uint64_t)time(NULL), seconds;
    int error, i;

    memset(&terms, 0, sizeof terms);
    terms.struct_size = (uint32_t)sizeof terms;
    terms.rights = RIT_RIGHT_USE;
    if (argc < 5 || argc > 5 + SERVICES_MAX || key_of(argv[0], terms.device) != 0 ||
        key_of(argv[2], terms.subject) != 0)
        return usage();
    terms.epoch = (uint32_t)strtoul(argv[1], NULL, 10);
    seconds = strtoul(argv[3], NULL, 10);
    terms.issued_s = now;
    terms.expires_s = seconds != 0 ? now + seconds : 0;
    terms.service_count = (uint16_t)(argc - 5);
    terms.services = argc > 5 ? (const char *const *)&argv[5] : NULL;
    error = rit_grant_sign(rit_posix_node(port), &terms, NULL, 0, chain, sizeof chain, &len);
    if (error != RIT_OK)
        return failed("no grant", error);
    if (write_file(argv[4], chain, len) != 0)
        return 1;
    printf("grant ");
    for (i = 0; i < RIT_GRANT_ID_LEN; i++)
        printf("%02x", terms.id[i]);
    printf("\n");
    return 0;
}

/* Waits for an event of this type; its error, or that of what came in its place. */
static int await(rit_posix *port, enum rit_posix_event_type wanted, struct rit_posix_event *event) {
    int error = 0;

    while (error == 0) {
        while (rit_posix_next(port, event)) {
            if (event->type == wanted)
                return event->error;
            if (event->type == RIT_POSIX_ENROL_REFUSED)
                return event->error;
        }
        error = rit_posix_step(port, 1000);
    }
    return error;
}

/* cloak DEVICE EPOCH NUMBER SECONDS */
static int sign_cloak(rit_node *node, const uint8_t device[RIT_KEY_LEN], char **argv, uint8_t *out,
                      size_t cap, size_t *len) {
    struct rit_cloak cloak;

    memset(&cloak, 0, sizeof cloak);
    cloak.struct_size = (uint32_t)sizeof cloak;
    memcpy(cloak.device, device, RIT_KEY_LEN);
    cloak.epoch = (uint32_t)strtoul(argv[1], NULL, 10);
    cloak.number = strtoul(argv[2], NULL, 10);
    cloak.issued_s = (uint64_t)time(NULL);
    cloak.for_s = (uint32_t)strtoul(argv[3], NULL, 10);
    return rit_cloak_sign(node, &cloak, out, cap, len);
}

/* claim DEVICE SECRET / revoke DEVICE EPOCH NUMBER ID... / transfer DEVICE EPOCH NEW-OWNER
 * / cloak DEVICE EPOCH NUMBER SECONDS */
static int tell(rit_posix *port, const char *what, int argc, char **argv, uint32_t *request) {
    uint8_t device[RIT_KEY_LEN], other[RIT_KEY_LEN], ids[IDS_MAX][RIT_GRANT_ID_LEN];
    uint8_t statement[RIT_REVOKED_MAX];
    rit_node *node = rit_posix_node(port);
    uint32_t kind = RIT_TELL_TRANSFER;
    struct rit_revoked list;
    size_t len = 0;
    int error, i;

    if (argc < 2 || key_of(argv[0], device) != 0)
        return usage();
    if (strcmp(what, "claim") == 0)
        return (error = rit_device_claim(node, device, argv[1], request)) == RIT_OK
                   ? 0 : failed(argv[1], error);
    if (argc < 3 || argc - 3 > IDS_MAX)
        return usage();
    if (strcmp(what, "revoke") == 0) {
        memset(&list, 0, sizeof list);
        list.struct_size = (uint32_t)sizeof list;
        memcpy(list.device, device, RIT_KEY_LEN);
        list.epoch = (uint32_t)strtoul(argv[1], NULL, 10);
        list.number = strtoul(argv[2], NULL, 10);
        list.issued_s = (uint64_t)time(NULL);
        for (i = 3; i < argc; i++)
            if (id_of(argv[i], ids[i - 3]) != 0)
                return 2;
        list.ids = ids[0];
        list.id_count = (size_t)(argc - 3);
        error = rit_revoked_sign(node, &list, statement, sizeof statement, &len);
        kind = RIT_TELL_REVOKED;
    } else if (strcmp(what, "transfer") == 0 && key_of(argv[2], other) == 0) {
        error = rit_transfer_sign(node, device, (uint32_t)strtoul(argv[1], NULL, 10), other,
                                  statement, sizeof statement, &len);
    } else if (strcmp(what, "cloak") == 0 && argc == 4) {
        error = sign_cloak(node, device, argv, statement, sizeof statement, &len);
        kind = RIT_TELL_CLOAK;
    } else {
        return usage();
    }
    if (error == RIT_OK)
        error = rit_owner_tell(node, device, kind, statement, len, request);
    return error == RIT_OK ? 0 : failed(what, error);
}

int main(int argc, char **argv) {
    struct rit_posix_config config = {0};
    struct rit_posix_event event;
    const char *broker = NULL, *code = NULL;
    uint32_t request = 0;
    rit_posix *port;
    int error, status, i = 1;

    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        if (strcmp(argv[i], "--state") == 0)
            config.state_dir = argv[i + 1];
        else if (strcmp(argv[i], "--broker") == 0)
            broker = argv[i + 1];
        else if (strcmp(argv[i], "--enrol") == 0)
            code = argv[i + 1];
        else
            return usage();
    }
    if (config.state_dir == NULL || i >= argc || (broker == NULL && strcmp(argv[i], "grant") != 0))
        return usage();
    port = rit_posix_new(&config, &error);
    if (port == NULL)
        return failed(config.state_dir, error);
    if (strcmp(argv[i], "grant") == 0) {
        status = grant(port, argc - i - 1, argv + i + 1);
    } else {
        error = rit_posix_broker(port, broker, code);
        if (error == 0)
            error = await(port, RIT_POSIX_BROKER_ONLINE, &event);
        status = error != 0 ? failed(broker, error)
                            : tell(port, argv[i], argc - i - 1, argv + i + 1, &request);
        if (status == 0) {
            error = await(port, RIT_POSIX_OWNER_ANSWERED, &event);
            status = error != 0 ? failed(argv[i], error) : 0;
        }
        if (status == 0)
            printf("%s %lu\n", strcmp(argv[i], "claim") == 0 ? "epoch" : "done",
                   (unsigned long)event.number);
    }
    rit_posix_free(port);
    return status;
}
