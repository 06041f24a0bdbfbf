/* test_bridge.c: the relay between TCP and streams, with a fake librit and real sockets.
 *
 * Half-close, resets, refusals, back-pressure in both directions, sessions that go and come back,
 * limits, and nothing left over. Each test ends with the port freed; the runner's sanitizers look
 * for what was not.
 */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_rit.h"
#include "rit_posix.h"

#define STEPS 50 /* without news, of a millisecond each, that count as silence */
#define MEGABYTE (1u << 20)

static const char *state_dir;
static uint16_t web_port; /* of the service that is reached */
static uint8_t pattern[16 * MEGABYTE]; /* more than the buffers of TCP on both ends */

/* ---- tools */

static rit_posix *new_port(void) {
    struct rit_posix_config config = {.state_dir = state_dir, .log_level = RIT_LOG_ERROR};
    int error = -1;
    rit_posix *port = rit_posix_new(&config, &error);

    CHECK(port != NULL && error == 0);
    fake.event_count = fake.service_count = fake.offered = 0;
    fake.open_answer = fake.session_answer = fake.accept_answer = RIT_OK;
    return port;
}

static void free_port(rit_posix *port) {
    rit_posix_free(port);
    fake_forget();
}

static void steps(rit_posix *port, int count) {
    while (count-- > 0)
        CHECK(rit_posix_step(port, 0) == 0);
}

static size_t descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    if (folder == NULL)
        return 0;
    while (readdir(folder) != NULL)
        count++;
    (void)closedir(folder);
    return count;
}

/* The next event of this type; others are passed over. */
static struct rit_posix_event expect(rit_posix *port, enum rit_posix_event_type type) {
    struct rit_posix_event event;

    while (rit_posix_next(port, &event)) {
        if (event.type == type)
            return event;
    }
    fprintf(stderr, "no event %d\n", (int)type);
    exit(1);
}

/* A service on 127.0.0.1; its port. Small buffers, so that back-pressure is soon felt. */
static int serve(uint16_t *number) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int small = 65536, fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 64) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    *number = ntohs(at.sin_port);
    return fd;
}

/* The kernel's own timers, as of a delayed ACK, need real time: the rest does not. */
static void pause_if(rit_posix *port, int is_idle) {
    if (is_idle)
        (void)poll(NULL, 0, 1);
    steps(port, 1);
}

static void never_block(int fd) {
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
}

/* Reads what there is, while the port runs, until nothing more comes. */
static size_t take(rit_posix *port, int fd, uint8_t *out, size_t cap, int *has_ended) {
    size_t len = 0;
    int idle = 0;

    *has_ended = 0;
    never_block(fd);
    while (idle < STEPS && len < cap && !*has_ended) {
        ssize_t got = recv(fd, out + len, cap - len, 0);
        if (got > 0)
            len += (size_t)got;
        CHECK(got >= 0 || errno == EAGAIN);
        *has_ended = got == 0;
        idle = got > 0 ? 0 : idle + 1;
        pause_if(port, idle > 0);
    }
    return len;
}

/* Writes what goes, while the port runs, until nothing more does. */
static size_t give(rit_posix *port, int fd, const uint8_t *bytes, size_t len) {
    size_t put = 0;
    int idle = 0;

    never_block(fd);
    while (idle < STEPS && put < len) {
        ssize_t n = send(fd, bytes + put, len - put, MSG_NOSIGNAL);
        if (n > 0)
            put += (size_t)n;
        CHECK(n >= 0 || errno == EAGAIN);
        idle = n > 0 ? 0 : idle + 1;
        pause_if(port, idle > 0);
    }
    return put;
}

static int is_reset(int fd) {
    uint8_t byte;

    never_block(fd);
    return recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET;
}

static void reset(int fd) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    CHECK(close(fd) == 0);
}

/* A port that offers a service, and one accepted connection through it. */
struct device {
    rit_posix *port;
    int listener, tcp;
    rit_stream stream;
};

static struct device new_device(void) {
    struct device device = {.port = new_port()};
    uint16_t number;

    device.listener = serve(&number);
    CHECK(rit_posix_offer(device.port, "web", "127.0.0.1", number) == 0);
    device.stream = fake_incoming(1, fake.offered);
    steps(device.port, 5);
    device.tcp = accept(device.listener, NULL, NULL);
    CHECK(device.tcp >= 0 && fake_stream(device.stream)->is_accepted);
    return device;
}

static void free_device(struct device *device) {
    if (device->tcp >= 0)
        CHECK(close(device->tcp) == 0);
    CHECK(close(device->listener) == 0);
    free_port(device->port);
}

/* A port that reaches a service whose session is up; where it listens is in *at. */
static rit_posix *new_reach(struct sockaddr_in *at) {
    static const uint8_t DEVICE[RIT_KEY_LEN] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
                                                7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
    struct rit_posix_event event;
    rit_posix *port = new_port();

    CHECK(rit_posix_reach(port, DEVICE, "web", 0) == 0);
    CHECK(rit_posix_reach(port, DEVICE, "nosuch", 0) == 0);
    CHECK(rit_posix_reach(port, DEVICE, "web", 0) == RIT_ERR_EXISTS);
    CHECK(rit_posix_reach(port, DEVICE, "", 0) == RIT_ERR_NAME);
    fake.service_count = 1;
    fake.services[0].port = web_port;
    strcpy(fake.services[0].name, "web");
    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    steps(port, 2);
    fake_push(RIT_EVENT_SESSION_UP, fake.last_session, 0, 0);
    steps(port, 2);
    event = expect(port, RIT_POSIX_LISTENING);
    CHECK(strcmp(event.service, "web") == 0 && event.port == web_port);
    memset(at, 0, sizeof *at);
    at->sin_family = AF_INET;
    at->sin_port = htons(event.port);
    CHECK(inet_pton(AF_INET, event.address, &at->sin_addr) == 1);
    event = expect(port, RIT_POSIX_NOT_LISTENING);
    CHECK(strcmp(event.service, "nosuch") == 0 && event.error == RIT_POSIX_ERR_SERVICE);
    return port;
}

static int dial(const struct sockaddr_in *at) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) == 0);
    return fd;
}

/* ---- device side */

static void test_bytes_and_ends_both_ways(void) {
    struct device device = new_device();
    struct fake_stream *stream = fake_stream(device.stream);
    uint8_t got[64];
    int has_ended;

    CHECK(send(device.tcp, "hello", 5, 0) == 5);
    steps(device.port, 5);
    CHECK(stream->sent_len == 5 && memcmp(stream->sent, "hello", 5) == 0);
    /* The service's FIN ends one direction; the other goes on. */
    CHECK(shutdown(device.tcp, SHUT_WR) == 0);
    steps(device.port, 5);
    CHECK(stream->is_finished && !stream->is_released);
    fake_feed(device.stream, (const uint8_t *)"later", 5, 1);
    CHECK(take(device.port, device.tcp, got, sizeof got, &has_ended) == 5 && has_ended);
    CHECK(memcmp(got, "later", 5) == 0 && stream->is_released);
    CHECK(expect(device.port, RIT_POSIX_CONNECTION).error == 0);
    free_device(&device);
}

static void test_stream_ends_first(void) {
    struct device device = new_device();
    struct fake_stream *stream = fake_stream(device.stream);
    uint8_t got[64];
    int has_ended;

    fake_feed(device.stream, (const uint8_t *)"request", 7, 1);
    CHECK(take(device.port, device.tcp, got, sizeof got, &has_ended) == 7 && has_ended);
    CHECK(!stream->is_finished && !stream->is_released);
    CHECK(send(device.tcp, "answer", 6, 0) == 6);
    CHECK(close(device.tcp) == 0);
    device.tcp = -1;
    steps(device.port, 5);
    CHECK(stream->sent_len == 6 && stream->is_finished && stream->is_released);
    free_device(&device);
}

static void test_stream_takes_little(void) {
    struct device device = new_device();
    struct fake_stream *stream = fake_stream(device.stream);
    size_t put;
    int turns = 0;

    stream->takes = 1000;
    put = give(device.port, device.tcp, pattern, sizeof pattern);
    CHECK(put < sizeof pattern && stream->sent_len == 1000);
    /* It is TCP that waits: one buffer was read, and no more while nothing is taken. */
    steps(device.port, STEPS);
    put += give(device.port, device.tcp, pattern + put, sizeof pattern - put);
    CHECK(put < sizeof pattern && stream->sent_len == 1000);
    while (put < sizeof pattern || stream->sent_len < sizeof pattern) {
        CHECK(turns++ < 10000);
        fake_take(device.stream, 100000);
        put += give(device.port, device.tcp, pattern + put, sizeof pattern - put);
        pause_if(device.port, 1);
    }
    CHECK(memcmp(stream->sent, pattern, sizeof pattern) == 0);
    free_device(&device);
}

static void test_service_reads_nothing(void) {
    struct device device = new_device();
    struct fake_stream *stream = fake_stream(device.stream);
    uint8_t *got = malloc(sizeof pattern);
    int has_ended;
    size_t left;

    CHECK(got != NULL);
    fake_feed(device.stream, pattern, sizeof pattern, 1);
    steps(device.port, STEPS);
    left = stream->feed_len;
    CHECK(left > 0); /* what TCP does not take stays in the stream */
    steps(device.port, STEPS);
    CHECK(stream->feed_len == left);
    CHECK(take(device.port, device.tcp, got, sizeof pattern, &has_ended) == sizeof pattern);
    CHECK(memcmp(got, pattern, sizeof pattern) == 0);
    free(got);
    free_device(&device);
}

static void test_resets(void) {
    struct device device = new_device();
    struct fake_stream *stream = fake_stream(device.stream);

    reset(device.tcp);
    device.tcp = -1;
    steps(device.port, 5);
    CHECK(stream->is_released && !stream->is_finished); /* which resets both directions */
    free_device(&device);

    device = new_device();
    fake_push(RIT_EVENT_STREAM_RESET, 0, device.stream, 0);
    steps(device.port, 2);
    CHECK(is_reset(device.tcp) && fake_stream(device.stream)->is_released);
    free_device(&device);

    device = new_device();
    fake_push(RIT_EVENT_STREAM_STOPPED, 0, device.stream, 0);
    steps(device.port, 2);
    CHECK(is_reset(device.tcp) && fake_stream(device.stream)->is_released);
    free_device(&device);
}

/* While the stream takes nothing, TCP is not read; a reset is noticed all the same, and a hang-up
 * does not make the loop busy. */
static void test_reset_while_blocked(void) {
    struct device device = new_device();
    struct fake_stream *stream = fake_stream(device.stream);

    stream->takes = 0;
    CHECK(give(device.port, device.tcp, pattern, 100000) > 0);
    reset(device.tcp);
    device.tcp = -1;
    steps(device.port, 5);
    CHECK(stream->is_released);
    free_device(&device);
}

static void test_service_refuses(void) {
    struct device device = new_device();
    rit_stream refused, unknown;

    CHECK(close(device.listener) == 0);
    refused = fake_incoming(1, fake.offered);
    unknown = fake_incoming(1, fake.offered + 1);
    steps(device.port, 5);
    CHECK(fake_stream(refused)->refusal == RIT_REFUSED_SERVICE);
    CHECK(fake_stream(unknown)->refusal == RIT_REFUSED_UNKNOWN);
    CHECK(!fake_stream(device.stream)->is_released);
    CHECK(close(device.tcp) == 0);
    free_port(device.port);
}

static void test_answer_does_not_fit_yet(void) {
    struct device device = new_device();
    rit_stream stream;

    fake.accept_answer = RIT_ERR_AGAIN;
    stream = fake_incoming(1, fake.offered);
    steps(device.port, 5);
    CHECK(!fake_stream(stream)->is_accepted && !fake_stream(stream)->is_released);
    fake.accept_answer = RIT_OK;
    fake.now_us += 20000;
    steps(device.port, 2);
    CHECK(fake_stream(stream)->is_accepted);
    free_device(&device);
}

/* ---- reaching side */

static void test_reach(void) {
    struct sockaddr_in at;
    rit_posix *port = new_reach(&at);
    int tcp = dial(&at), has_ended;
    uint8_t got[64];

    CHECK(send(tcp, "GET", 3, 0) == 3);
    steps(port, 5);
    CHECK(fake.stream_count == 1 && strcmp(fake_stream(1)->service, "web") == 0);
    CHECK(fake_stream(1)->sent_len == 3); /* not held back until the answer */
    fake_push(RIT_EVENT_STREAM_OPENED, 0, 1, 0);
    fake_feed(1, (const uint8_t *)"page", 4, 1);
    CHECK(take(port, tcp, got, sizeof got, &has_ended) == 4 && has_ended);
    CHECK(close(tcp) == 0);
    steps(port, 5);
    CHECK(fake_stream(1)->is_finished && fake_stream(1)->is_released);
    tcp = dial(&at);
    steps(port, 3);
    fake_push(RIT_EVENT_STREAM_REFUSED, 0, 2, RIT_ERR_REFUSED);
    steps(port, 3);
    CHECK(is_reset(tcp) && fake_stream(2)->is_released);
    CHECK(expect(port, RIT_POSIX_CONNECTION).error == 0);
    CHECK(expect(port, RIT_POSIX_CONNECTION).error == RIT_ERR_REFUSED);
    CHECK(close(tcp) == 0);
    free_port(port);
}

static void test_sessions_come_back(void) {
    struct sockaddr_in at;
    rit_posix *port = new_reach(&at);
    unsigned opened = fake.sessions_opened;
    int first = dial(&at), waiting, late;

    steps(port, 3);
    fake_push(RIT_EVENT_SESSION_DOWN, fake.last_session, 0, RIT_ERR_TIMEOUT);
    fake_stream(1)->is_released = 1; /* the handle is stale now: using it fails the test */
    steps(port, 3);
    CHECK(is_reset(first) && fake.sessions_opened == opened);
    /* A connection waits for the next session, but not for long. */
    late = dial(&at);
    steps(port, 3);
    fake.session_answer = RIT_ERR_UNKNOWN;
    fake.now_us += 3100000;
    steps(port, 3);
    CHECK(is_reset(late) && fake.sessions_opened == opened + 1);
    fake.session_answer = RIT_OK;
    waiting = dial(&at);
    steps(port, 3);
    CHECK(fake.sessions_opened == opened + 1); /* the second wait is longer than the first */
    fake.now_us += 2000000;
    steps(port, 3);
    CHECK(fake.sessions_opened == opened + 2);
    fake_push(RIT_EVENT_SESSION_UP, fake.last_session, 0, 0);
    steps(port, 3);
    fake.now_us += 20000;
    steps(port, 3);
    CHECK(fake.stream_count == 2 && !is_reset(waiting));
    CHECK(close(first) == 0 && close(late) == 0 && close(waiting) == 0);
    free_port(port);
}

static void test_broker_gone(void) {
    struct sockaddr_in at;
    rit_posix *port = new_reach(&at);
    unsigned opened = fake.sessions_opened;
    int tcp;

    fake_push(RIT_EVENT_BROKER_OFFLINE, 0, 0, RIT_ERR_TIMEOUT);
    steps(port, 2);
    tcp = dial(&at);
    steps(port, 3);
    CHECK(fake.stream_count == 1); /* the session goes on */
    fake_push(RIT_EVENT_SESSION_DOWN, fake.last_session, 0, RIT_ERR_TIMEOUT);
    fake_stream(1)->is_released = 1;
    fake.now_us += 60000000;
    steps(port, 3);
    CHECK(fake.sessions_opened == opened); /* nobody could be asked */
    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    fake.now_us += 60000000;
    steps(port, 3);
    CHECK(fake.sessions_opened == opened + 1);
    CHECK(close(tcp) == 0);
    free_port(port);
}

static void test_session_is_full(void) {
    struct sockaddr_in at;
    rit_posix *port = new_reach(&at);
    int tcp, other;

    fake.open_answer = RIT_ERR_LIMIT;
    tcp = dial(&at);
    other = dial(&at);
    steps(port, 3);
    CHECK(fake.stream_count == 0 && !is_reset(tcp));
    fake.open_answer = RIT_OK;
    fake.now_us += 20000;
    steps(port, 5);
    CHECK(fake.stream_count == 2);
    CHECK(close(tcp) == 0 && close(other) == 0);
    free_port(port);
}

static void test_address_in_use(void) {
    struct sockaddr_in at, taken = {.sin_family = AF_INET, .sin_port = htons(web_port)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    rit_posix *port;

    CHECK(inet_pton(AF_INET, "127.20.7.1", &taken.sin_addr) == 1); /* the fake's first choice */
    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&taken, sizeof taken) == 0 && listen(fd, 1) == 0);
    port = new_reach(&at);
    CHECK(ntohl(at.sin_addr.s_addr) == ntohl(taken.sin_addr.s_addr) + 1);
    CHECK(close(fd) == 0);
    free_port(port);
}

/* Many in a row: no descriptor is left. What memory is left the sanitizer tells. */
/* One service is left, with its connection; then all, with the session. */
static void test_leave(void) {
    struct sockaddr_in at;
    rit_posix *port = new_reach(&at);
    size_t before = descriptors();
    rit_session session = fake.last_session;
    uint8_t device[RIT_KEY_LEN], other[RIT_KEY_LEN] = {8};
    int tcp = dial(&at), again;

    memset(device, 7, sizeof device);
    steps(port, 5);
    CHECK(fake.stream_count == 1 && descriptors() == before + 2);
    CHECK(rit_posix_leave(NULL, device, "web") == RIT_ERR_NULL);
    CHECK(rit_posix_leave(port, other, NULL) == RIT_ERR_UNKNOWN);
    CHECK(rit_posix_leave(port, device, "ssh") == RIT_POSIX_ERR_SERVICE);
    CHECK(rit_posix_leave(port, device, "") == RIT_POSIX_ERR_SERVICE);
    CHECK(rit_posix_leave(port, device, "web") == RIT_OK);
    steps(port, 2);
    CHECK(is_reset(tcp) && fake_stream(1)->is_released);
    again = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(again, (const struct sockaddr *)&at, sizeof at) < 0 && errno == ECONNREFUSED);
    CHECK(close(again) == 0 && close(tcp) == 0 && descriptors() == before - 1);
    CHECK(rit_posix_leave(port, device, "web") == RIT_POSIX_ERR_SERVICE);
    CHECK(rit_posix_session(port, device) == session);
    /* Another one is reached still, and this one again. */
    CHECK(rit_posix_reach(port, device, "web", 0) == 0);
    CHECK(expect(port, RIT_POSIX_LISTENING).port == web_port);
    CHECK(rit_posix_leave(port, device, NULL) == RIT_OK);
    CHECK(rit_posix_session(port, device) == 0 && descriptors() == before - 1);
    CHECK(rit_posix_leave(port, device, NULL) == RIT_ERR_UNKNOWN);
    /* Its session's end is told, and no other is opened. */
    fake_push(RIT_EVENT_SESSION_DOWN, session, 0, RIT_ERR_CLOSED);
    steps(port, 5);
    CHECK(memcmp(expect(port, RIT_POSIX_SESSION_DOWN).peer, device, sizeof device) == 0);
    CHECK(fake.last_session == session);
    free_port(port);
}

/* Of all services one is left: the others stay. */
static void test_leave_one_of_all(void) {
    uint8_t device[RIT_KEY_LEN] = {7};
    rit_posix *port = new_port();

    CHECK(rit_posix_reach(port, device, NULL, 0) == 0);
    fake.service_count = 2;
    fake.services[0].port = fake.services[1].port = web_port;
    strcpy(fake.services[0].name, "web");
    strcpy(fake.services[1].name, "ssh");
    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    steps(port, 2);
    fake_push(RIT_EVENT_SESSION_UP, fake.last_session, 0, 0);
    steps(port, 2);
    CHECK(rit_posix_leave(port, device, "web") == RIT_OK);
    CHECK(rit_posix_session(port, device) != 0);
    CHECK(rit_posix_leave(port, device, "web") == RIT_POSIX_ERR_SERVICE);
    CHECK(rit_posix_leave(port, device, "ssh") == RIT_OK);
    CHECK(rit_posix_session(port, device) == 0);
    free_port(port);
}

static void test_many_in_a_row(void) {
    struct sockaddr_in at;
    rit_posix *port = new_reach(&at);
    size_t before = descriptors();
    int i;

    for (i = 1; i <= 10000; i++) {
        int tcp = dial(&at);
        CHECK(send(tcp, "x", 1, 0) == 1 && shutdown(tcp, SHUT_WR) == 0);
        while (fake.stream_count < (size_t)i || !fake_stream((rit_stream)i)->is_finished)
            steps(port, 1);
        fake_feed((rit_stream)i, NULL, 0, 1);
        steps(port, 1);
        CHECK(fake_stream((rit_stream)i)->is_released);
        CHECK(close(tcp) == 0);
    }
    CHECK(descriptors() == before);
    free_port(port);
}

int main(int argc, char **argv) {
    size_t i, before;

    CHECK(argc == 2);
    state_dir = argv[1];
    CHECK(close(serve(&web_port)) == 0); /* a number that is free */
    for (i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)((i * 2654435761u) >> 13);
    before = descriptors();
    test_bytes_and_ends_both_ways();
    test_stream_ends_first();
    test_stream_takes_little();
    test_service_reads_nothing();
    test_resets();
    test_reset_while_blocked();
    test_service_refuses();
    test_answer_does_not_fit_yet();
    test_reach();
    test_sessions_come_back();
    test_broker_gone();
    test_session_is_full();
    test_address_in_use();
    test_leave();
    test_leave_one_of_all();
    test_many_in_a_row();
    CHECK(descriptors() == before);
    puts("test_bridge: 16 tests passed");
    return 0;
}
