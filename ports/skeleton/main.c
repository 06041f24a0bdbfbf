/* main.c: a device on the skeleton: the self-test, then a service that says hello as HTTP does, and
 * one that sends back what it gets. FILL IN the settings; keep the loop. */
#include <string.h>

#include "port.h"
#include "vendor.h"

/* FILL IN: the broker's address and the one-time code it prints, the key that may use the device
 * (`reach --key` prints it), the UDP port to bind, and where the self-test's datagrams come back
 * from, which is this device itself or an echo service, in rit_path's form; without that address
 * there is no self-test. */
#ifndef SETTING_BROKER
#define SETTING_BROKER "rit://KEY@broker.example:7480"
#define SETTING_CODE NULL
#define SETTING_OWNER "52 characters"
#define SETTING_PORT 7000
#define SETTING_ECHO                                                                               \
    {sizeof(struct rit_path), 0, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 20}, 7000, \
     0, 0, {0}}
#endif

#define CONNECTIONS 4
#define BUFFER 512

/* What was read and did not fit yet. */
struct connection {
    rit_stream stream; /* 0: free */
    size_t at, len;
    uint8_t bytes[BUFFER];
    int is_echo, is_over;
};

static struct connection connections[CONNECTIONS];
static rit_service_id web, echo;

static const char PAGE[] = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n"
                           "Content-Length: 6\r\nConnection: close\r\n\r\nhello\n";

static struct connection *connection_of(rit_stream stream) {
    unsigned i;

    for (i = 0; i < CONNECTIONS; i++)
        if (connections[i].stream == stream) return &connections[i];
    return NULL;
}

static void on_incoming(rit_node *node, const struct rit_event *event) {
    struct connection *connection = connection_of(0);

    if (connection == NULL) {
        (void)rit_stream_refuse(node, event->stream, RIT_REFUSED_LIMIT);
        return;
    }
    if (rit_stream_accept(node, event->stream) != RIT_OK) return;
    memset(connection, 0, sizeof *connection);
    connection->stream = event->stream;
    connection->is_echo = event->service == echo;
}

static void release(rit_node *node, struct connection *connection) {
    (void)rit_stream_release(node, connection->stream);
    connection->stream = 0;
}

/* Bytes go on as fast as the other side takes them: nothing is read before the last was written, so
 * that a slow reader stops its own sender and nobody else. 1: go on. */
static int move(rit_node *node, struct connection *connection) {
    size_t n = 0;
    int32_t err;

    while (connection->at < connection->len) {
        err = rit_stream_write(node, connection->stream, connection->bytes + connection->at,
                               connection->len - connection->at, &n);
        if (err == RIT_ERR_AGAIN) return 0; /* STREAM_WRITABLE follows */
        if (err != RIT_OK) {
            release(node, connection);
            return 0;
        }
        connection->at += n;
    }
    if (connection->is_over) {
        (void)rit_stream_finish(node, connection->stream);
        release(node, connection);
        return 0;
    }
    err = rit_stream_read(node, connection->stream, connection->bytes, BUFFER, &n);
    if (err == RIT_ERR_AGAIN) return 0; /* STREAM_READABLE follows */
    if (err != RIT_OK) {
        release(node, connection);
        return 0;
    }
    connection->at = 0;
    connection->len = n;
    connection->is_over = n == 0;
    if (!connection->is_echo) {
        /* Whatever is asked for, this is the answer. */
        memcpy(connection->bytes, PAGE, sizeof PAGE - 1);
        connection->len = sizeof PAGE - 1;
        connection->is_over = 1;
    }
    return 1;
}

static void on_event(rit_node *node, const struct rit_event *event) {
    struct connection *connection = event->stream != 0 ? connection_of(event->stream) : NULL;
    unsigned i;

    switch (event->type) {
    case RIT_EVENT_BROKER_ONLINE: vendor_log("online"); break;
    case RIT_EVENT_BROKER_OFFLINE:
    case RIT_EVENT_ENROL_REFUSED: vendor_log(rit_strerror(event->error)); break;
    case RIT_EVENT_STREAM_INCOMING: on_incoming(node, event); break;
    case RIT_EVENT_STREAM_READABLE:
    case RIT_EVENT_STREAM_WRITABLE:
        while (connection != NULL && move(node, connection)) {
        }
        break;
    case RIT_EVENT_STREAM_RESET:
    case RIT_EVENT_STREAM_STOPPED:
        if (connection != NULL) release(node, connection);
        break;
    case RIT_EVENT_SESSION_DOWN: /* its streams are gone, and their handles stale */
        for (i = 0; i < CONNECTIONS; i++)
            while (connections[i].stream != 0 && move(node, &connections[i])) {
            }
        break;
    default: break;
    }
}

static int32_t offer(const char *name, uint16_t number, rit_service_id *id) {
    struct rit_service service;

    memset(&service, 0, sizeof service);
    service.struct_size = (uint32_t)sizeof service;
    service.name = name;
    service.port = number;
    return rit_service_add(port.node, &service, id);
}

static int32_t start(void) {
    uint8_t owner[RIT_KEY_LEN];
    uint8_t own[RIT_KEY_LEN];
    char text[RIT_KEY_TEXT_LEN];
    int32_t err = port_start(NULL);

    if (err == RIT_OK) err = rit_node_public_key(port.node, own);
    if (err == RIT_OK) err = rit_key_to_text(own, text);
    if (err == RIT_OK) vendor_log(text);
    if (err == RIT_OK) err = rit_key_from_text(SETTING_OWNER, owner);
    if (err == RIT_OK) err = rit_peer_allow(port.node, owner);
    if (err == RIT_OK) err = offer("web", 80, &web);
    if (err == RIT_OK) err = offer("echo", 7, &echo);
    if (err == RIT_OK) err = port_broker(SETTING_BROKER, SETTING_CODE);
    return err;
}

int main(void) {
    struct rit_event event;
    int32_t err;

    if (port_init(SETTING_PORT) != 0) {
        vendor_log("the board does not start");
        return 1;
    }
#ifdef SETTING_ECHO
    {
        static const struct rit_path ECHO = SETTING_ECHO;
        struct rit_selftest_config config;
        unsigned faults;

        memset(&config, 0, sizeof config);
        config.struct_size = (uint32_t)sizeof config;
        config.echo = &ECHO;
        config.max_datagram = PORT_DATAGRAM;
        faults = port_selftest(&config);
        vendor_log(faults == 0 ? "self-test: no fault" : "self-test: FAULTS");
        if (faults != 0) return 1;
    }
#endif
    err = start();
    if (err != RIT_OK) {
        vendor_log(rit_strerror(err));
        return 1;
    }
    memset(&event, 0, sizeof event);
    event.struct_size = (uint32_t)sizeof event;
    for (;;) {
        port_turn();
        while (rit_node_next_event(port.node, &event) == RIT_OK) on_event(port.node, &event);
        port_sleep();
    }
}
