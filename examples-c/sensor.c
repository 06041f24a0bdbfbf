/* sensor.c: a sensor without screen or user, which reports to the host that it trusts.
 *
 *   sensor --state DIR --key
 *   sensor --state DIR --broker URI [--enrol CODE] [--grant FILE] --code HASH HOST SERVICE
 *
 * HOST is the key of the host: no other can take its place, whatever the broker says. The host lets
 * the sensor in by its list (device --allow) or by a grant of its owner, and may demand to know
 * what code the sensor runs (device --code): HASH, 64 hexadecimal digits, is what this board's boot
 * loader measured. On a real board its secure element signs that hash with the challenge; here the
 * statement is the two side by side, which shows the way of it and proves nothing. Each second a
 * line with a reading goes to the service; what was acknowledged is printed.
 */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "rit_posix.h"

#define HASH_LEN 32
#define CHALLENGE_LEN 32

static volatile sig_atomic_t is_stopped;

static void on_signal(int number) {
    (void)number;
    is_stopped = 1;
}

static int usage(void) {
    fputs("usage: sensor --state DIR --key\n"
          "       sensor --state DIR --broker URI [--enrol CODE] [--grant FILE] --code HASH "
          "HOST SERVICE\n", stderr);
    return 2;
}

/* Says what went wrong; the exit status. */
static int failed(const char *what, int error) {
    fprintf(stderr, "sensor: %s: %s\n", what, rit_posix_strerror(error));
    return 1;
}

/* What the boot loader measured. */
static uint8_t measured[HASH_LEN];

static int read_hash(const char *text) {
    size_t i;

    if (strlen(text) != 2 * HASH_LEN || strspn(text, "0123456789abcdef") != 2 * HASH_LEN)
        return usage();
    for (i = 0; i < HASH_LEN; i++) {
        unsigned int byte = 0;
        (void)sscanf(text + 2 * i, "%2x", &byte);
        measured[i] = (uint8_t)byte;
    }
    return 0;
}

/* rit_io.attest: the hash and the challenge; a secure element would sign them. */
static int32_t attest(void *ctx, const uint8_t *challenge, uint8_t *out, size_t cap) {
    (void)ctx;
    if (cap < HASH_LEN + CHALLENGE_LEN)
        return 0;
    memcpy(out, measured, HASH_LEN);
    memcpy(out + HASH_LEN, challenge, CHALLENGE_LEN);
    return HASH_LEN + CHALLENGE_LEN;
}

static int use_grant(rit_posix *port, const uint8_t *host, const char *name) {
    uint8_t chain[RIT_CHAIN_MAX];
    FILE *file = fopen(name, "rb");
    size_t len;

    if (file == NULL) {
        perror(name);
        return 1;
    }
    len = fread(chain, 1, sizeof chain, file);
    (void)fclose(file);
    return rit_posix_set_grant(port, host, chain, len) == 0 ? 0 : failed(name, RIT_ERR_ARG);
}

/* Connects to where the service appears here; -1: not yet. */
static int dial(const struct rit_posix_event *at) {
    struct sockaddr_in address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(at->port);
    if (fd < 0 || inet_pton(AF_INET, at->address, &address.sin_addr) != 1)
        return -1;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK); /* the port has its part in it */
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* Writes a reading and prints what the host says to the last one; the connection, or -1. */
static int report(int fd) {
    static unsigned count;
    char line[128];
    ssize_t got = read(fd, line, sizeof line - 1);
    int len;

    if (got > 0) {
        line[got] = '\0';
        printf("host %s", line);
        (void)fflush(stdout);
    }
    count++;
    len = snprintf(line, sizeof line, "reading %u temperature=%u.%u\n", count, 20 + count % 3,
                   count % 10);
    if (got == 0 || (write(fd, line, (size_t)len) < 0 && errno != EAGAIN && errno != ENOTCONN)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void run(rit_posix *port, int *status) {
    struct rit_posix_event event, at;
    time_t last = 0;
    int fd = -1;

    memset(&at, 0, sizeof at);
    while (*status == 0 && !is_stopped) {
        int error = rit_posix_step(port, 200);
        if (error != 0)
            *status = failed("the loop ended", error);
        while (rit_posix_next(port, &event)) {
            if (event.type == RIT_POSIX_LISTENING)
                at = event;
            if (event.type == RIT_POSIX_SESSION_UP)
                printf("trusted host reached\n");
            if (event.type == RIT_POSIX_SESSION_DOWN)
                printf("session-down: %s\n", rit_posix_strerror(event.error));
            if (event.type == RIT_POSIX_ENROL_REFUSED)
                *status = failed("the broker", event.error);
            (void)fflush(stdout);
        }
        if (at.port != 0 && time(NULL) != last) {
            last = time(NULL);
            fd = fd < 0 ? dial(&at) : report(fd);
        }
    }
}

int main(int argc, char **argv) {
    struct rit_posix_config config = {0};
    const char *broker = NULL, *code = NULL, *grant = NULL;
    uint8_t host[RIT_KEY_LEN];
    char text[RIT_KEY_TEXT_LEN];
    rit_posix *port;
    int error, i, shows_key = 0, status = 0;

    for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(option, "--key") == 0) {
            shows_key = 1;
            continue;
        }
        if (value == NULL)
            return usage();
        if (strcmp(option, "--state") == 0)
            config.state_dir = value;
        else if (strcmp(option, "--broker") == 0)
            broker = value;
        else if (strcmp(option, "--enrol") == 0)
            code = value;
        else if (strcmp(option, "--grant") == 0)
            grant = value;
        else if (strcmp(option, "--code") != 0 || read_hash(value) != 0)
            return usage();
        i++;
    }
    if (config.state_dir == NULL || (!shows_key && (broker == NULL || argc - i != 2)))
        return usage();
    config.attest = attest;
    port = rit_posix_new(&config, &error);
    if (port == NULL)
        return failed(config.state_dir, error);
    if (shows_key) {
        rit_node_public_key(rit_posix_node(port), host);
        rit_key_to_text(host, text);
        printf("key %s\n", text);
    } else {
        error = rit_key_from_text(argv[i], host);
        if (error == 0 && grant != NULL)
            status = use_grant(port, host, grant);
        if (error == 0 && status == 0)
            error = rit_posix_reach(port, host, argv[i + 1], 0);
        if (error == 0 && status == 0)
            error = rit_posix_broker(port, broker, code);
        if (error != 0)
            status = failed(argv[i], error);
        (void)signal(SIGINT, on_signal);
        (void)signal(SIGTERM, on_signal);
        (void)signal(SIGPIPE, SIG_IGN);
        run(port, &status);
    }
    rit_posix_free(port);
    return status;
}
