/* test_flow.c: UDP services with a fake librit and real sockets.
 *
 * Both sides, several clients, a service that is gone, refusals, limits, sessions that end, and
 * nothing left over.
 */
#define _GNU_SOURCE /* SO_RCVBUFFORCE */

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_rit.h"
#include "rit_posix.h"

static const char *state_dir;

/* ---- tools */

static rit_posix *new_port(void) {
    struct rit_posix_config config = {.state_dir = state_dir, .log_level = RIT_LOG_ERROR};
    int error = -1;
    rit_posix *port = rit_posix_new(&config, &error);

    CHECK(port != NULL && error == 0);
    fake.event_count = fake.service_count = fake.offered = 0;
    return port;
}

static void free_port(rit_posix *port) {
    rit_posix_free(port);
    fake_forget();
}

/* Datagrams over loopback are there at once; the rest is not timed. */
static void steps(rit_posix *port) {
    int count;

    for (count = 0; count < 4; count++)
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

static struct rit_posix_event expect(rit_posix *port, enum rit_posix_event_type type) {
    struct rit_posix_event event;

    while (rit_posix_next(port, &event)) {
        if (event.type == type)
            return event;
    }
    fprintf(stderr, "no event %d\n", (int)type);
    exit(1);
}

/* A UDP socket on 127.0.0.1; its port. */
static int bound(uint16_t *number) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    if (number != NULL)
        *number = ntohs(at.sin_port);
    return fd;
}

/* What is there; -1: nothing. */
static ssize_t got(int fd, char *out, size_t cap, struct sockaddr_in *from) {
    socklen_t len = sizeof *from;
    return recvfrom(fd, out, cap, MSG_DONTWAIT, (struct sockaddr *)from, &len);
}

static int is_sent(rit_flow flow, const char *text) {
    const struct fake_flow *sent = fake_flow(flow);
    return sent->sent_len == strlen(text) && memcmp(sent->sent, text, sent->sent_len) == 0;
}

/* ---- device side */

static void test_service_answers(void) {
    uint16_t number;
    int service = bound(&number);
    rit_posix *port = new_port();
    size_t before = descriptors();
    struct sockaddr_in from[2];
    rit_flow flow, other;
    char text[16];

    CHECK(rit_posix_offer_udp(port, "dns", "127.0.0.1", number) == 0);
    CHECK(fake.offered_kind == RIT_SERVICE_UDP);
    flow = fake_flow_incoming(1, 1);
    other = fake_flow_incoming(1, 1);
    fake_message(flow, "one", 3);
    fake_message(flow, "", 0);
    fake_message(other, "two", 3);
    steps(port);
    CHECK(fake_flow(flow)->is_accepted && fake_flow(other)->is_accepted);
    CHECK(descriptors() == before + 2);
    CHECK(got(service, text, sizeof text, &from[0]) == 3 && memcmp(text, "one", 3) == 0);
    CHECK(got(service, text, sizeof text, &from[0]) == 0);
    CHECK(got(service, text, sizeof text, &from[1]) == 3 && memcmp(text, "two", 3) == 0);
    CHECK(from[0].sin_port != from[1].sin_port);
    CHECK(sendto(service, "1!", 2, 0, (struct sockaddr *)&from[0], sizeof from[0]) == 2);
    CHECK(sendto(service, "2!", 2, 0, (struct sockaddr *)&from[1], sizeof from[1]) == 2);
    steps(port);
    CHECK(is_sent(flow, "1!") && is_sent(other, "2!"));
    /* The peer's end is the socket's end. */
    fake_flow_push(RIT_EVENT_FLOW_CLOSED, flow, RIT_ERR_CLOSED);
    steps(port);
    CHECK(fake_flow(flow)->is_closed && descriptors() == before + 1);
    (void)close(service);
    free_port(port);
}

static void test_service_is_gone(void) {
    uint16_t number;
    int service = bound(&number);
    rit_posix *port = new_port();
    size_t before;
    rit_flow flow;

    CHECK(rit_posix_offer_udp(port, "dns", "127.0.0.1", number) == 0);
    CHECK(close(service) == 0);
    before = descriptors();
    flow = fake_flow_incoming(1, 1);
    fake_message(flow, "lost", 4);
    steps(port);
    CHECK(fake_flow(flow)->is_accepted && fake_flow(flow)->is_closed);
    CHECK(descriptors() == before);
    /* The next is a flow like the first. */
    flow = fake_flow_incoming(1, 1);
    steps(port);
    CHECK(fake_flow(flow)->is_accepted && !fake_flow(flow)->is_closed);
    free_port(port);
}

static void test_device_limit(void) {
    uint16_t number;
    int service = bound(&number), i;
    rit_posix *port = new_port();
    rit_flow flow = 0;

    CHECK(rit_posix_offer_udp(port, "dns", "127.0.0.1", number) == 0);
    for (i = 0; i < RIT_POSIX_FLOWS_MAX + 1; i++) {
        flow = fake_flow_incoming(1, 1);
        steps(port);
        CHECK(fake_flow(flow)->is_accepted == (i < RIT_POSIX_FLOWS_MAX));
    }
    CHECK(fake_flow(flow)->refusal == RIT_REFUSED_LIMIT);
    flow = fake_flow_incoming(1, 99);
    steps(port);
    CHECK(fake_flow(flow)->refusal == RIT_REFUSED_UNKNOWN);
    free_port(port);
    (void)close(service);
}

/* ---- reaching side */

static rit_posix *new_reach(struct sockaddr_in *at) {
    static const uint8_t DEVICE[RIT_KEY_LEN] = {7};
    struct rit_posix_event event;
    rit_posix *port = new_port();
    uint16_t number;

    CHECK(close(bound(&number)) == 0); /* a number that is free */
    CHECK(rit_posix_reach(port, DEVICE, "dns", 0) == 0);
    memset(fake.services, 0, sizeof fake.services);
    fake.service_count = 1;
    fake.services[0].port = number;
    fake.services[0].kind = RIT_SERVICE_UDP;
    strcpy(fake.services[0].name, "dns");
    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    steps(port);
    fake_push(RIT_EVENT_SESSION_UP, fake.last_session, 0, 0);
    steps(port);
    event = expect(port, RIT_POSIX_LISTENING);
    CHECK(event.kind == RIT_SERVICE_UDP && event.port == number);
    memset(at, 0, sizeof *at);
    at->sin_family = AF_INET;
    at->sin_port = htons(event.port);
    CHECK(inet_pton(AF_INET, event.address, &at->sin_addr) == 1);
    return port;
}

static void say(int fd, const struct sockaddr_in *at, const char *text) {
    ssize_t len = (ssize_t)strlen(text);
    CHECK(sendto(fd, text, strlen(text), 0, (const struct sockaddr *)at, sizeof *at) == len);
}

static void test_clients(void) {
    struct sockaddr_in at, from;
    rit_posix *port = new_reach(&at);
    int one = bound(NULL), two = bound(NULL);
    char text[16];

    say(one, &at, "a");
    say(two, &at, "b");
    say(one, &at, "aa");
    steps(port);
    CHECK(fake.flow_count == 2 && strcmp(fake_flow(1)->service, "dns") == 0);
    CHECK(is_sent(1, "aa") && fake_flow(1)->sent_count == 2 && is_sent(2, "b"));
    fake_flow_push(RIT_EVENT_FLOW_OPENED, 2, 0);
    fake_message(2, "B", 1);
    fake_message(1, "A", 1);
    steps(port);
    CHECK(expect(port, RIT_POSIX_CONNECTION).error == 0);
    CHECK(got(one, text, sizeof text, &from) == 1 && text[0] == 'A');
    CHECK(from.sin_port == at.sin_port && from.sin_addr.s_addr == at.sin_addr.s_addr);
    CHECK(got(two, text, sizeof text, &from) == 1 && text[0] == 'B');
    /* A client that is gone harms nobody; the device ends its flow when it is idle. */
    (void)close(two);
    fake_message(2, "B", 1);
    fake_message(1, "A", 1);
    steps(port);
    CHECK(got(one, text, sizeof text, &from) == 1 && !fake_flow(2)->is_closed);
    fake_flow_push(RIT_EVENT_FLOW_CLOSED, 1, RIT_ERR_CLOSED);
    steps(port);
    say(one, &at, "again");
    steps(port);
    CHECK(fake_flow(1)->is_closed && fake.flow_count == 3 && is_sent(3, "again"));
    (void)close(one);
    free_port(port);
}

static void test_room_is_made(void) {
    struct sockaddr_in at;
    rit_posix *port = new_reach(&at);
    int fds[RIT_POSIX_FLOWS_MAX + 60], first = bound(NULL), i;
    size_t open = 0;

    for (i = 0; i < RIT_POSIX_FLOWS_MAX + 60; i++) {
        fds[i] = bound(NULL);
        say(fds[i], &at, "x");
        say(first, &at, "first");
        fake.now_us += 10;
        steps(port);
    }
    for (i = 0; i < (int)fake.flow_count; i++)
        open += !fake.flows[i].is_closed;
    /* One for each client that there ever was, and for the first no second one. */
    CHECK(open == RIT_POSIX_FLOWS_MAX && fake.flow_count == RIT_POSIX_FLOWS_MAX + 61);
    for (i = 0, open = 0; i < (int)fake.flow_count; i++)
        open += !fake.flows[i].is_closed && is_sent((rit_flow)i + 1, "first");
    CHECK(open == 1);
    for (i = 0; i < RIT_POSIX_FLOWS_MAX + 60; i++)
        (void)close(fds[i]);
    (void)close(first);
    free_port(port);
}

/* As above, where the node allows fewer than the port. */
static void test_node_limit(void) {
    struct sockaddr_in at;
    rit_posix *port = new_reach(&at);
    int fds[20], i;

    fake.flow_limit = 4;
    for (i = 0; i < 20; i++) {
        fds[i] = bound(NULL);
        say(fds[i], &at, "y");
        fake.now_us += 10;
        steps(port);
    }
    CHECK(fake.flow_count == 20);
    for (i = 0; i < 20; i++) {
        CHECK(fake.flows[i].is_closed == (i < 16));
        (void)close(fds[i]);
    }
    free_port(port);
}

static void test_refusal_and_session_down(void) {
    struct sockaddr_in at;
    rit_posix *port = new_reach(&at);
    int fd = bound(NULL);

    say(fd, &at, "x");
    steps(port);
    fake_flow_push(RIT_EVENT_FLOW_REFUSED, 1, RIT_ERR_DENIED);
    steps(port);
    CHECK(fake_flow(1)->is_closed);
    CHECK(expect(port, RIT_POSIX_CONNECTION).error == RIT_ERR_DENIED);
    say(fd, &at, "x");
    steps(port);
    CHECK(fake.flow_count == 1);
    fake.now_us += 600000;
    say(fd, &at, "x");
    steps(port);
    CHECK(fake.flow_count == 2);
    /* The handles of a session that is down are stale: the port must not use them. */
    fake_push(RIT_EVENT_SESSION_DOWN, fake.last_session, 0, RIT_ERR_TIMEOUT);
    steps(port);
    CHECK(!fake_flow(2)->is_closed);
    say(fd, &at, "x");
    steps(port);
    CHECK(fake.flow_count == 2);
    (void)close(fd);
    free_port(port);
}

/* What comes while the port is busy waits, where the system gives it the room. */
static void test_burst(void) {
    static char message[1200];
    struct sockaddr_in at;
    rit_posix *port = new_reach(&at);
    int fd = bound(NULL), size = 1 << 20, has_room = 0, i;

#ifdef SO_RCVBUFFORCE
    has_room = setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) == 0;
#endif
    memset(message, 'm', sizeof message - 1);
    for (i = 0; i < 400; i++)
        say(fd, &at, message);
    for (i = 0; i < 20; i++)
        steps(port);
    if (has_room)
        CHECK(fake_flow(1)->sent_count == 400);
    else
        CHECK(fake_flow(1)->sent_count > 0);
    (void)close(fd);
    free_port(port);
}

/* What is left has no flow and no socket; what the node says of its flow later harms nothing. */
static void test_leave(void) {
    static const uint8_t DEVICE[RIT_KEY_LEN] = {7};
    struct sockaddr_in at;
    rit_posix *port = new_reach(&at);
    size_t before = descriptors();
    int fd = bound(NULL), again;

    say(fd, &at, "x");
    steps(port);
    CHECK(fake.flow_count == 1 && rit_posix_leave(port, DEVICE, "dns") == RIT_OK);
    CHECK(fake_flow(1)->is_closed && descriptors() == before);
    fake_flow_push(RIT_EVENT_FLOW_CLOSED, 1, RIT_ERR_CLOSED);
    steps(port);
    again = bound(NULL);
    CHECK(connect(again, (const struct sockaddr *)&at, sizeof at) == 0);
    CHECK(send(again, "x", 1, 0) == 1 && recv(again, &before, 1, 0) < 0 && errno == ECONNREFUSED);
    CHECK(close(again) == 0 && close(fd) == 0);
    free_port(port);
}

int main(int argc, char **argv) {
    size_t before;

    CHECK(argc == 2);
    state_dir = argv[1];
    before = descriptors();
    test_service_answers();
    test_service_is_gone();
    test_device_limit();
    test_clients();
    test_room_is_made();
    test_node_limit();
    test_refusal_and_session_down();
    test_burst();
    test_leave();
    CHECK(descriptors() == before);
    puts("test_flow: 9 tests passed");
    return 0;
}
