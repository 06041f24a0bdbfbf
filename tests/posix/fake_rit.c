/* fake_rit.c: see fake_rit.h. Owns what the calls answer; the tests own when. */
#define _GNU_SOURCE /* struct mmsghdr */

#include "fake_rit.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct fake fake = {.deadline_us = UINT64_MAX, .now_us = 1000000};

struct rit_node {
    int unused;
};

static struct rit_node the_node;

int __wrap_clock_gettime(clockid_t which, struct timespec *out);

int __wrap_clock_gettime(clockid_t which, struct timespec *out) {
    uint64_t now_us = fake.now_us + (which == CLOCK_BOOTTIME ? fake.slept_us : 0);

    out->tv_sec = (time_t)(now_us / 1000000u);
    out->tv_nsec = (long)(now_us % 1000000u) * 1000;
    return 0;
}

/* ---- the system's resolver */

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);

/* The port asks for names in a thread of its own. Weak: a test may have another. */
__attribute__((weak)) int __wrap_getaddrinfo(const char *host, const char *service,
                                             const struct addrinfo *hints,
                                             struct addrinfo **out) {
    const struct timespec pause = {.tv_nsec = 1000000};
    struct addrinfo numeric = *hints;
    int failed;

    numeric.ai_flags |= AI_NUMERICHOST;
    failed = __real_getaddrinfo(host, service, &numeric, out);
    if (failed == 0 || (hints->ai_flags & AI_NUMERICHOST) || strchr(host, ' ') != NULL)
        return failed;
    __atomic_add_fetch(&fake.names_asked, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&fake.names_wait, __ATOMIC_SEQ_CST))
        (void)nanosleep(&pause, NULL);
    failed = __atomic_load_n(&fake.names_error, __ATOMIC_SEQ_CST);
    if (failed != 0)
        return failed;
    host = __atomic_load_n(&fake.names_answer, __ATOMIC_SEQ_CST);
    return __real_getaddrinfo(host != NULL ? host : "127.0.0.1", service, &numeric, out);
}

/* ---- the system's calls for datagrams, which a test has refused */

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
int __real_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __real_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *wait);
int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *wait);

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags) {
    fake.sendmsg.calls++;
    errno = fake.sendmsg.error;
    return errno != 0 ? -1 : __real_sendmsg(fd, message, flags);
}

int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
    fake.sendmmsg.calls++;
    if (fake.sendmmsg.most != 0 && count > fake.sendmmsg.most)
        count = fake.sendmmsg.most;
    errno = fake.sendmmsg.error;
    return errno != 0 ? -1 : __real_sendmmsg(fd, messages, count, flags);
}

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *wait) {
    fake.recvmmsg.calls++;
    errno = fake.recvmmsg.error;
    return errno != 0 ? -1 : __real_recvmmsg(fd, messages, count, flags, wait);
}

/* ---- for the tests */

struct fake_stream *fake_stream(rit_stream id) {
    CHECK(id >= 1 && id <= fake.stream_count);
    return &fake.streams[id - 1];
}

static struct fake_stream *new_stream(void) {
    struct fake_stream *stream;

    if (fake.stream_count == fake.stream_room) {
        fake.stream_room = fake.stream_room == 0 ? 64 : fake.stream_room * 2;
        fake.streams = realloc(fake.streams, fake.stream_room * sizeof *fake.streams);
        CHECK(fake.streams != NULL);
    }
    stream = &fake.streams[fake.stream_count++];
    memset(stream, 0, sizeof *stream);
    stream->id = fake.stream_count;
    stream->takes = SIZE_MAX / 2;
    return stream;
}

void fake_push(uint32_t type, rit_session session, rit_stream stream, int32_t error) {
    struct rit_event *event;

    CHECK(fake.event_count < 256);
    event = &fake.events[(fake.event_at + fake.event_count++) % 256];
    memset(event, 0, sizeof *event);
    event->type = type;
    event->session = session;
    event->stream = stream;
    event->error = error;
    memset(event->peer, 7, sizeof event->peer);
}

rit_stream fake_incoming(rit_session session, rit_service_id service) {
    struct fake_stream *stream = new_stream();

    stream->is_incoming = 1;
    fake_push(RIT_EVENT_STREAM_INCOMING, session, stream->id, 0);
    fake.events[(fake.event_at + fake.event_count - 1) % 256].service = service;
    return stream->id;
}

void fake_take(rit_stream id, size_t more) {
    fake_stream(id)->takes += more;
    fake_push(RIT_EVENT_STREAM_WRITABLE, 0, id, 0);
}

void fake_feed(rit_stream id, const uint8_t *bytes, size_t len, int has_ended) {
    struct fake_stream *stream = fake_stream(id);

    stream->feed = bytes;
    stream->feed_len = len;
    stream->feed_has_ended = has_ended;
    fake_push(RIT_EVENT_STREAM_READABLE, 0, id, 0);
}

void fake_forget(void) {
    size_t i;

    for (i = 0; i < fake.stream_count; i++)
        free(fake.streams[i].sent);
    free(fake.streams);
    fake.streams = NULL;
    fake.stream_count = fake.stream_room = 0;
    fake.flow_count = fake.flow_limit = 0;
}

/* ---- node */

const char *rit_strerror(int32_t err) {
    (void)err;
    return "an error";
}

void rit_config_init(struct rit_config *cfg) {
    memset(cfg, 0, sizeof *cfg);
    cfg->struct_size = (uint32_t)sizeof *cfg;
}

/* As the real one: the identity is loaded, or made and stored. */
rit_node *rit_node_new(const struct rit_config *cfg, const struct rit_io *io, int32_t *err) {
    uint8_t identity[64];
    int32_t len = 1;
    if (io->load != NULL)
        len = io->load(io->ctx, RIT_SLOT_IDENTITY, identity, sizeof identity);

    CHECK(cfg->struct_size == sizeof *cfg && io->struct_size == sizeof *io && !fake.has_node);
    *err = RIT_ERR_STORAGE;
    if (len < 0)
        return NULL;
    if (len == 0) {
        CHECK(io->entropy(io->ctx, identity, 32) == 0);
        if (io->store(io->ctx, RIT_SLOT_IDENTITY, identity, 32) != 0)
            return NULL;
    }
    *err = RIT_OK;
    fake.io = *io;
    fake.has_node = 1;
    return &the_node;
}

void rit_node_free(rit_node *node) {
    CHECK(node == NULL || fake.has_node);
    if (node != NULL)
        fake.has_node = 0;
}

static void on_datagram(const struct rit_path *from, const uint8_t *pkt, size_t len) {
    CHECK(len <= sizeof fake.last_datagram);
    fake.datagrams++;
    fake.last_from = *from;
    memcpy(fake.last_datagram, pkt, len);
    fake.last_len = len;
}

/* For polled stacks: one datagram at a time. */
int32_t rit_node_poll(rit_node *node) {
    uint8_t buf[sizeof fake.last_datagram];
    struct rit_path from;
    int32_t len;

    (void)node;
    CHECK(fake.io.recv != NULL);
    memset(&from, 0, sizeof from);
    from.struct_size = (uint32_t)sizeof from;
    while ((len = fake.io.recv(fake.io.ctx, &from, buf, sizeof buf)) > 0)
        on_datagram(&from, buf, (size_t)len);
    return RIT_OK;
}

int32_t rit_node_receive_batch(rit_node *node, const struct rit_path *from, uint8_t *pkts,
                               size_t len, size_t size) {
    size_t at;

    (void)node;
    for (at = 0; at < len; at += size)
        on_datagram(from, pkts + at, len - at < size ? len - at : size);
    return RIT_OK;
}

int32_t rit_node_tcp_receive(rit_node *node, const struct rit_path *path, const uint8_t *bytes,
                             size_t len) {
    (void)node;
    CHECK(path->socket == RIT_SOCKET_TLS && fake.tcp_len + len <= sizeof fake.tcp_bytes);
    memcpy(fake.tcp_bytes + fake.tcp_len, bytes, len);
    fake.tcp_len += len;
    return RIT_OK;
}

int32_t rit_node_tcp_writable(rit_node *node, const struct rit_path *path) {
    (void)node;
    CHECK(path->socket == RIT_SOCKET_TLS);
    fake.tcp_writables++;
    return RIT_OK;
}

int32_t rit_node_tcp_closed(rit_node *node, const struct rit_path *path) {
    (void)node;
    CHECK(path->socket == RIT_SOCKET_TLS);
    fake.tcp_closes++;
    return RIT_OK;
}

int32_t rit_node_timeout(rit_node *node) {
    (void)node;
    fake.deadline_us = UINT64_MAX;
    return RIT_OK;
}

uint64_t rit_node_deadline(const rit_node *node) {
    (void)node;
    return fake.deadline_us;
}

int32_t rit_node_next_event(rit_node *node, struct rit_event *out) {
    (void)node;
    CHECK(out->struct_size == sizeof *out);
    if (fake.event_count == 0)
        return RIT_ERR_AGAIN;
    *out = fake.events[fake.event_at];
    fake.event_at = (fake.event_at + 1) % 256;
    fake.event_count--;
    return RIT_OK;
}

int32_t rit_node_set_local_paths(rit_node *node, const struct rit_path *paths, size_t count) {
    (void)node;
    CHECK(count <= 8);
    memcpy(fake.paths, paths, count * sizeof *paths);
    fake.path_sets++;
    fake.path_count = count;
    return RIT_OK;
}

int32_t rit_node_network_changed(rit_node *node) {
    (void)node;
    fake.changes++;
    return RIT_OK;
}

int32_t rit_broker_connect(rit_node *node, const struct rit_broker *broker) {
    (void)node;
    CHECK(broker->path_count > 0 && broker->path_count <= 8);
    fake.broker_calls++;
    if (fake.broker_answer != RIT_OK)
        return fake.broker_answer;
    fake.broker_count = broker->path_count;
    memcpy(fake.broker_paths, broker->paths, broker->path_count * sizeof *broker->paths);
    (void)snprintf(fake.code, sizeof fake.code, "%s",
                   broker->enrol_code != NULL ? broker->enrol_code : "");
    return RIT_OK;
}

int32_t rit_gateway_connect(rit_node *node, const struct rit_broker *gateway) {
    (void)node;
    CHECK(gateway->struct_size == sizeof *gateway);
    CHECK(gateway->path_count > 0 && gateway->path_count <= 8);
    fake.gateway_calls++;
    fake.gateway_count = gateway->path_count;
    memcpy(fake.gateway_key, gateway->key, RIT_KEY_LEN);
    memcpy(fake.gateway_paths, gateway->paths, gateway->path_count * sizeof *gateway->paths);
    (void)snprintf(fake.gateway_code, sizeof fake.gateway_code, "%s",
                   gateway->enrol_code != NULL ? gateway->enrol_code : "");
    return RIT_OK;
}

int32_t rit_gateway_forget(rit_node *node) {
    (void)node;
    fake.gateway_forgets++;
    return RIT_OK;
}

int32_t rit_uri_parse(const char *uri, uint8_t key[RIT_KEY_LEN], char *host, size_t host_cap,
                      uint16_t *port) {
    static const char *const KNOWN[][2] = {
        {"rit://broker", "127.0.0.1"}, {"rit://named", "broker.example"},
        {"rit://lan", "_rit._udp.local"}, {"rit://gateway", "10.9.0.7"},
        {"rit://named-gateway", "gateway.example"}};
    size_t i;

    for (i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++) {
        if (strcmp(uri, KNOWN[i][0]) != 0)
            continue;
        memset(key, i < 2 ? 9 : 0x42, RIT_KEY_LEN);
        (void)snprintf(host, host_cap, "%s", KNOWN[i][1]);
        *port = 7480;
        return RIT_OK;
    }
    return RIT_ERR_ARG;
}

int32_t rit_loopback_address(const uint8_t device[RIT_KEY_LEN], const char *service,
                             uint32_t attempt, uint8_t out[4]) {
    if (service[0] == '\0')
        return RIT_ERR_NAME;
    out[0] = 127;
    out[1] = (uint8_t)(1 + service[0] % 100);
    out[2] = device[0];
    out[3] = (uint8_t)(1 + attempt);
    return RIT_OK;
}

/* Two letters for each octet, as many as there is room for: the last ones are to be equal. */
int32_t rit_key_to_text(const uint8_t key[RIT_KEY_LEN], char out[RIT_KEY_TEXT_LEN]) {
    size_t i;

    for (i = 0; i < RIT_KEY_TEXT_LEN - 1; i++)
        out[i] = (char)('a' + (i % 2 == 0 ? key[i / 2] >> 4 : key[i / 2] & 15));
    out[i] = '\0';
    return RIT_OK;
}

int32_t rit_key_from_text(const char *text, uint8_t out[RIT_KEY_LEN]) {
    size_t i, len = strlen(text);

    if (len != RIT_KEY_TEXT_LEN - 1 || strspn(text, "abcdefghijklmnop") != len)
        return RIT_ERR_ARG;
    memset(out, 0, RIT_KEY_LEN);
    for (i = 0; i < len; i++)
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | (text[i] - 'a'));
    memset(out + len / 2, out[len / 2 - 1], RIT_KEY_LEN - len / 2);
    return RIT_OK;
}

/* ---- services and sessions */

int32_t rit_service_add(rit_node *node, const struct rit_service *service, rit_service_id *out) {
    (void)node;
    CHECK(service->struct_size == sizeof *service);
    fake.offered_kind = service->kind;
    *out = ++fake.offered;
    return RIT_OK;
}

int32_t rit_service_remove(rit_node *node, rit_service_id service) {
    CHECK(node != NULL && service != 0);
    fake.withdrawn++;
    return RIT_OK;
}

int32_t rit_service_set_priority(rit_node *node, rit_service_id service, uint32_t urgency,
                                 uint32_t weight) {
    (void)node, (void)urgency;
    CHECK(service != 0 && service <= fake.offered);
    return weight == 0 ? RIT_ERR_ARG : RIT_OK;
}

int32_t rit_session_open(rit_node *node, const struct rit_target *target, rit_session *out) {
    (void)node;
    CHECK(target->struct_size == sizeof *target);
    fake.sessions_opened++;
    if (fake.session_answer != RIT_OK)
        return fake.session_answer;
    *out = ++fake.last_session;
    return RIT_OK;
}

int32_t rit_session_close(rit_node *node, rit_session session, uint64_t code) {
    (void)node, (void)session, (void)code;
    return RIT_OK;
}

int32_t rit_session_info(const rit_node *node, rit_session session, struct rit_session_info *out) {
    (void)node;
    (void)session;
    CHECK(out->struct_size == sizeof *out);
    memset(out->peer, 7, sizeof out->peer);
    return RIT_OK;
}

int32_t rit_session_service(const rit_node *node, rit_session session, uint32_t index,
                            struct rit_service_info *out) {
    (void)node;
    (void)session;
    CHECK(out->struct_size == sizeof *out);
    if (index >= fake.service_count)
        return RIT_ERR_ARG;
    *out = fake.services[index];
    out->struct_size = (uint32_t)sizeof *out;
    return RIT_OK;
}

/* ---- streams */

static struct fake_stream *live(rit_stream id) {
    struct fake_stream *stream = fake_stream(id);

    CHECK(!stream->is_released); /* the port must not use a handle that it gave back */
    return stream;
}

int32_t rit_stream_open(rit_node *node, rit_session session, const char *service,
                        rit_stream *out) {
    struct fake_stream *stream;

    (void)node;
    CHECK(session == fake.last_session);
    if (fake.open_answer != RIT_OK)
        return fake.open_answer;
    stream = new_stream();
    (void)snprintf(stream->service, sizeof stream->service, "%s", service);
    *out = stream->id;
    return RIT_OK;
}

int32_t rit_stream_accept(rit_node *node, rit_stream id) {
    struct fake_stream *stream = live(id);

    (void)node;
    CHECK(stream->is_incoming && !stream->is_accepted);
    if (fake.accept_answer != RIT_OK)
        return fake.accept_answer;
    stream->is_accepted = 1;
    return RIT_OK;
}

int32_t rit_stream_refuse(rit_node *node, rit_stream id, int32_t refusal) {
    struct fake_stream *stream = live(id);

    (void)node;
    CHECK(stream->is_incoming && !stream->is_accepted);
    stream->refusal = refusal;
    stream->is_released = 1;
    return RIT_OK;
}

int32_t rit_stream_write(rit_node *node, rit_stream id, const uint8_t *buf, size_t len,
                         size_t *written) {
    struct fake_stream *stream = live(id);

    (void)node;
    CHECK(len > 0 && !stream->is_finished && (!stream->is_incoming || stream->is_accepted));
    if (stream->takes == 0)
        return RIT_ERR_AGAIN;
    if (len > stream->takes)
        len = stream->takes;
    if (stream->sent_len + len > stream->sent_room) {
        stream->sent_room = (stream->sent_len + len) * 2;
        stream->sent = realloc(stream->sent, stream->sent_room);
        CHECK(stream->sent != NULL);
    }
    memcpy(stream->sent + stream->sent_len, buf, len);
    stream->sent_len += len;
    stream->takes -= len;
    *written = len;
    return RIT_OK;
}

int32_t rit_stream_write_parts(rit_node *node, rit_stream id, const struct rit_bytes *parts,
                               size_t count, size_t *written) {
    size_t i, all = 0;

    for (i = 0; i < count; i++) {
        int32_t failed = rit_stream_write(node, id, parts[i].data, parts[i].len, written);
        if (failed != RIT_OK && all == 0)
            return failed;
        if (failed != RIT_OK)
            *written = 0;
        all += *written;
        if (*written < parts[i].len)
            break;
    }
    *written = all;
    return RIT_OK;
}

int32_t rit_stream_read(rit_node *node, rit_stream id, uint8_t *buf, size_t cap, size_t *len) {
    struct fake_stream *stream = live(id);

    (void)node;
    if (stream->feed_len == 0 && !stream->feed_has_ended)
        return RIT_ERR_AGAIN;
    *len = stream->feed_len < cap ? stream->feed_len : cap;
    if (*len > 0) {
        memcpy(buf, stream->feed, *len);
        stream->feed += *len;
    }
    stream->feed_len -= *len;
    return RIT_OK;
}

int32_t rit_stream_finish(rit_node *node, rit_stream id) {
    struct fake_stream *stream = live(id);

    (void)node;
    CHECK(!stream->is_finished);
    stream->is_finished = 1;
    return RIT_OK;
}

int32_t rit_stream_release(rit_node *node, rit_stream id) {
    (void)node;
    live(id)->is_released = 1;
    return RIT_OK;
}
