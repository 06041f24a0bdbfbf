/* device.c: a device on lwIP, for the tests: the port with every kind of service.
 *
 *   device --tap NAME --address A --mask M --gateway G --state DIR --broker URI [--enrol CODE]
 *          [--allow KEY]... [--port UDP-PORT] [--reach KEY --fetch COUNT]
 *
 * Offers `web`, which is http.c on lwIP's loopback interface; `call`, the same of callbacks;
 * `nobody`, a port where nothing listens; `echo`, UDP. Reaches the service `web` of the device KEY
 * and has fetch.c get a page from there, once it is listened for. Prints its key and what happens.
 * Ends on SIGTERM: closes everything, and says what of lwIP's memory is still in use; the exit
 * status is 0 if nothing is.
 */
#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch.h"
#include "host.h"
#include "http.h"
#include "lwip/udp.h"
#include "rit_lwip.h"

#define WEB_PORT 80
#define ECHO_PORT 7
#define SLICE 2048
#define TURNS_AT_END 400 /* of 10 ms, for lwIP to say goodbye */

static volatile sig_atomic_t is_stopped;

static void on_signal(int number) {
    (void)number;
    is_stopped = 1;
}

struct options {
    const char *tap, *address, *mask, *gateway, *state, *broker, *code, *reached;
    const char *allowed[8];
    int allowed_count;
    int coarse; /* lwIP's clock of milliseconds */
    uint16_t udp_port; /* 0: any */
    unsigned count; /* to fetch */
    rit_lwip *port;
    struct udp_pcb *echo;
    int status;
};

/* ---- the identity is a file */

static int32_t load(void *ctx, uint32_t slot, uint8_t *buf, size_t cap) {
    const struct options *options = ctx;
    char path[512];
    ssize_t len;
    int fd;

    (void)snprintf(path, sizeof path, "%s/slot%u", options->state, (unsigned)slot);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    len = read(fd, buf, cap);
    (void)close(fd);
    return (int32_t)len;
}

static int32_t store(void *ctx, uint32_t slot, const uint8_t *buf, size_t len) {
    const struct options *options = ctx;
    char path[512];
    ssize_t put;
    int fd;

    (void)snprintf(path, sizeof path, "%s/slot%u", options->state, (unsigned)slot);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    put = write(fd, buf, len);
    return close(fd) == 0 && put == (ssize_t)len ? 0 : -1;
}

/* ---- what happens */

static void log_line(void *ctx, int32_t level, const char *msg) {
    (void)ctx;
    printf("log %d %s\n", (int)level, msg);
    fflush(stdout);
}

static void on_event(void *ctx, rit_lwip *port, const struct rit_lwip_event *event) {
    static const char *const WORDS[] = {"", "online", "offline", "enrolled", "enrol-refused",
        "session-up", "session-down", "listening", "unavailable", "connection", "network-changed"};
    char peer[RIT_KEY_TEXT_LEN] = "";
    const struct options *options = ctx;

    (void)port;
    printf("%s", WORDS[event->type]);
    if (event->peer != NULL && rit_key_to_text(event->peer, peer) == RIT_OK)
        printf(" %s", peer);
    if (event->service != NULL)
        printf(" %s", event->service);
    if (event->error != 0)
        printf(": %s", rit_lwip_strerror(event->error));
    printf("\n");
    fflush(stdout);
    if (event->type == RIT_LWIP_LISTENING)
        fetch_start(event->address, event->port, options->count);
}

/* ---- a service of callbacks */

struct call {
    struct http http;
    uint8_t held[SLICE];
    size_t held_at, held_len;
    int has_ended;
};

static int32_t call_open(void *ctx, rit_lwip *port, rit_stream stream, const uint8_t *peer,
                         void **conn) {
    struct call *call = malloc(sizeof *call);

    (void)ctx;
    (void)port;
    (void)stream;
    (void)peer;
    if (call == NULL)
        return RIT_REFUSED_LIMIT;
    memset(call, 0, sizeof *call);
    http_begin(&call->http);
    *conn = call;
    return 0;
}

static void call_closed(void *conn, rit_lwip *port, rit_stream stream, int error) {
    (void)port;
    (void)stream;
    (void)error;
    free(conn);
}

static void call_writable(void *conn, rit_lwip *port, rit_stream stream) {
    struct call *call = conn;

    for (;;) {
        size_t put = 0;
        if (call->held_at == call->held_len) {
            call->held_at = 0;
            call->held_len = http_give(&call->http, call->held, sizeof call->held);
        }
        if (call->held_len == 0)
            break;
        if (rit_stream_write(rit_lwip_node(port), stream, call->held + call->held_at,
                             call->held_len - call->held_at, &put) != RIT_OK)
            return; /* until there is room, or it is closed */
        call->held_at += put;
    }
    if (http_is_over(&call->http)) {
        (void)rit_lwip_close(port, stream);
        free(call);
    }
}

static void call_readable(void *conn, rit_lwip *port, rit_stream stream) {
    struct call *call = conn;
    uint8_t bytes[SLICE];
    size_t len = 0;

    while (rit_stream_read(rit_lwip_node(port), stream, bytes, sizeof bytes, &len) == RIT_OK) {
        if (len == 0)
            break;
        http_take(&call->http, bytes, len);
    }
    call_writable(call, port, stream);
}

static const struct rit_lwip_callbacks CALLS = {call_open, call_readable, call_writable,
                                                call_closed};

/* ---- a UDP service */

static void on_echo(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                    u16_t number) {
    (void)arg;
    (void)udp_sendto(pcb, p, from, number);
    pbuf_free(p);
}

static int echo_serve(struct options *options) {
    options->echo = udp_new_ip_type(IPADDR_TYPE_ANY);
    if (options->echo == NULL || udp_bind(options->echo, IP_ANY_TYPE, ECHO_PORT) != ERR_OK)
        return -1;
    udp_recv(options->echo, on_echo, NULL);
    return 0;
}

/* ---- the device */

static int failed(struct options *options, const char *what, int error) {
    fprintf(stderr, "device: %s: %s\n", what, rit_lwip_strerror(error));
    options->status = 1;
    return 1;
}

static void set_up(void *arg) {
    struct options *options = arg;
    struct rit_lwip_config config = {0};
    uint8_t key[RIT_KEY_LEN];
    char text[RIT_KEY_TEXT_LEN];
    int i, err = 0;

    config.ctx = options;
    config.entropy = host_entropy;
    config.load = load;
    config.store = store;
    config.now_us = options->coarse ? NULL : host_now_us;
    config.event = on_event;
    config.log = log_line;
    config.udp_port = options->udp_port;
    options->port = rit_lwip_new(&config, &err);
    if (options->port == NULL) {
        (void)failed(options, "no node", err);
        return;
    }
    for (i = 0; i < options->allowed_count; i++) {
        err = rit_key_from_text(options->allowed[i], key);
        if (err == 0)
            err = rit_peer_allow(rit_lwip_node(options->port), key);
        if (err != 0 && failed(options, options->allowed[i], err))
            return;
    }
    (void)rit_node_public_key(rit_lwip_node(options->port), key);
    (void)rit_key_to_text(key, text);
    printf("key %s\n", text);
    fflush(stdout);
    if (http_serve(WEB_PORT) != 0 || echo_serve(options) != 0)
        err = RIT_LWIP_ERR_SYSTEM;
    if (err == 0)
        err = rit_lwip_offer(options->port, "web", NULL, WEB_PORT);
    if (err == 0)
        err = rit_lwip_offer(options->port, "nobody", NULL, 4);
    if (err == 0)
        err = rit_lwip_serve(options->port, "call", 81, &CALLS, NULL);
    if (err == 0)
        err = rit_lwip_offer_udp(options->port, "echo", NULL, ECHO_PORT);
    if (err == 0 && options->reached != NULL)
        err = rit_key_from_text(options->reached, key);
    if (err == 0 && options->reached != NULL)
        err = rit_lwip_reach(options->port, key, "web", 0);
    if (err == 0)
        err = rit_lwip_broker(options->port, options->broker, options->code);
    if (err != 0)
        (void)failed(options, options->broker, err);
}

static void tear_down(void *arg) {
    struct options *options = arg;

    rit_lwip_free(options->port);
    http_stop();
    if (options->echo != NULL)
        udp_remove(options->echo);
}

static void look(void *arg) {
    *(unsigned *)arg = host_memory_in_use(0) + http_open() + fetch_open();
}

static void say(void *arg) {
    (void)arg;
    (void)host_memory_in_use(1);
}

static int parse(struct options *options, int argc, char **argv) {
    int i;

    for (i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(name, "--coarse") == 0) {
            options->coarse = 1;
            i--;
        } else if (value == NULL) {
            return -1;
        } else if (strcmp(name, "--tap") == 0) {
            options->tap = value;
        } else if (strcmp(name, "--address") == 0) {
            options->address = value;
        } else if (strcmp(name, "--mask") == 0) {
            options->mask = value;
        } else if (strcmp(name, "--gateway") == 0) {
            options->gateway = value;
        } else if (strcmp(name, "--state") == 0) {
            options->state = value;
        } else if (strcmp(name, "--broker") == 0) {
            options->broker = value;
        } else if (strcmp(name, "--enrol") == 0) {
            options->code = value;
        } else if (strcmp(name, "--port") == 0) {
            options->udp_port = (uint16_t)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--reach") == 0) {
            options->reached = value;
        } else if (strcmp(name, "--fetch") == 0) {
            options->count = (unsigned)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--allow") == 0 && options->allowed_count < 8) {
            options->allowed[options->allowed_count++] = value;
        } else {
            return -1;
        }
    }
    return options->tap != NULL && options->address != NULL && options->mask != NULL &&
                   options->gateway != NULL && options->state != NULL && options->broker != NULL
               ? 0
               : -1;
}

int main(int argc, char **argv) {
    struct options options;
    unsigned in_use = 1;
    int turns;

    memset(&options, 0, sizeof options);
    if (parse(&options, argc, argv) != 0) {
        fputs("usage: see the top of device.c\n", stderr);
        return 2;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    host_start(options.tap, options.address, options.mask, options.gateway);
    host_call(set_up, &options);
    while (!is_stopped && options.status == 0)
        host_turn(100);
    host_call(tear_down, &options);
    for (turns = 0; turns < TURNS_AT_END && in_use != 0; turns++) {
        host_turn(10);
        host_call(look, &in_use);
    }
    if (in_use != 0)
        host_call(say, NULL);
    printf("ended %u\n", in_use);
    return options.status != 0 ? options.status : in_use != 0;
}
