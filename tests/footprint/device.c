/* device.c: the device whose size is measured: what the comment in rit.h shows, with the errors
 * looked at. It dials its broker, lets one peer in, offers one TCP service, and answers what comes
 * there by the same bytes. It uses no more of the library than such a device needs. */
#include "device.h"

#include <string.h>

static uint8_t packet[1500];
static uint8_t held[1024]; /* bytes read and not yet written back */
static size_t held_len;
static rit_stream stream; /* one at a time */

static rit_node *start(void) {
    struct rit_config config;
    struct rit_io io;
    struct rit_service service;
    struct rit_broker broker;
    struct rit_path path;
    uint8_t owner[RIT_KEY_LEN];
    rit_service_id id;
    rit_node *node;
    size_t size = 0;
    void *heap = device_heap(&size);
    int32_t error = RIT_OK;

    if (heap != NULL && rit_heap_init(heap, size) != RIT_OK)
        return NULL;
    memset(&io, 0, sizeof io);
    io.struct_size = (uint32_t)sizeof io;
    io.now_us = device_now_us;
    io.entropy = device_entropy;
    io.send = device_send;
    node = rit_node_new(device_limits(&config), &io, &error);
    if (node == NULL)
        return NULL;
    memset(&service, 0, sizeof service);
    service.struct_size = (uint32_t)sizeof service;
    service.kind = RIT_SERVICE_TCP;
    service.port = 80;
    service.name = "web";
    memset(&path, 0, sizeof path);
    path.struct_size = (uint32_t)sizeof path;
    path.ip[10] = path.ip[11] = 0xff; /* ::ffff:192.0.2.1 */
    path.ip[12] = 192;
    path.ip[14] = 2;
    path.ip[15] = 1;
    path.port = 7480;
    memset(&broker, 0, sizeof broker);
    broker.struct_size = (uint32_t)sizeof broker;
    device_peers(broker.key, owner);
    broker.paths = &path;
    broker.path_count = 1;
    if (rit_peer_allow(node, owner) != RIT_OK ||
        rit_service_add(node, &service, &id) != RIT_OK ||
        rit_broker_connect(node, &broker) != RIT_OK) {
        rit_node_free(node);
        return NULL;
    }
    return node;
}

/* Sends what is held and reads on, until either end makes it wait. */
static void echo(rit_node *node) {
    size_t len;

    for (;;) {
        if (held_len > 0) {
            if (rit_stream_write(node, stream, held, held_len, &len) != RIT_OK)
                return;
            held_len -= len;
            memmove(held, held + len, held_len);
            continue;
        }
        if (rit_stream_read(node, stream, held, sizeof held, &held_len) != RIT_OK)
            return;
        if (held_len == 0) {
            (void)rit_stream_finish(node, stream);
            (void)rit_stream_release(node, stream);
            stream = 0;
            return;
        }
    }
}

static void handle(rit_node *node, const struct rit_event *event) {
    switch (event->type) {
    case RIT_EVENT_STREAM_INCOMING:
        if (stream != 0 || rit_stream_accept(node, event->stream) != RIT_OK) {
            (void)rit_stream_refuse(node, event->stream, RIT_REFUSED_LIMIT);
            break;
        }
        stream = event->stream;
        held_len = 0;
        break;
    case RIT_EVENT_STREAM_READABLE:
    case RIT_EVENT_STREAM_WRITABLE:
        if (event->stream == stream)
            echo(node);
        break;
    case RIT_EVENT_STREAM_RESET:
    case RIT_EVENT_STREAM_STOPPED:
        if (event->stream == stream) {
            (void)rit_stream_reset(node, stream, event->code);
            (void)rit_stream_release(node, stream);
            stream = 0;
        }
        break;
    case RIT_EVENT_SESSION_DOWN:
        stream = 0;
        break;
    default:
        break;
    }
}

int main(void) {
    struct rit_event event;
    struct rit_path from;
    rit_node *node = start();
    size_t len;

    if (node == NULL)
        return 1;
    for (;;) {
        len = device_wait(&from, packet, sizeof packet, rit_node_deadline(node));
        if (len > 0)
            (void)rit_node_receive(node, &from, packet, len);
        else
            (void)rit_node_timeout(node);
        event.struct_size = (uint32_t)sizeof event;
        while (rit_node_next_event(node, &event) == RIT_OK)
            handle(node, &event);
    }
}
