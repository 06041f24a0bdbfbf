/* test_gateway.c: how the gateway of a LAN is found, with a fake librit and real sockets in a
 * network namespace; without one the test is skipped. The LAN is the host itself, by other
 * addresses. */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answers.h"
#include "internal.h"

#define SECOND ((uint64_t)1000000u)

static const char *state_dir;
static int group_fd;

static void on_log(void *ctx, int32_t level, const char *msg) {
    (void)ctx, (void)level, (void)msg;
}

static rit_posix *fresh(const char *gateway) {
    struct rit_posix_config config = {.state_dir = state_dir, .log = on_log, .no_multicast = 1};
    int error;
    rit_posix *port = rit_posix_new(&config, &error);

    CHECK(port != NULL);
    fake.gateway_calls = 0;
    fake.gateway_count = 0;
    CHECK(rit_posix_gateway(port, gateway, "CODE") == 0);
    CHECK(rit_posix_broker(port, "rit://broker", NULL) == 0);
    return port;
}

static void forget_file(void) {
    char path[4096];

    (void)snprintf(path, sizeof path, "%s/gateway-at", state_dir);
    CHECK(unlink(path) == 0 || errno == ENOENT);
}

/* ve0 is the LAN, with all of 10.9.0.0/24 and 10.9.1.0/24; 10.8.0.1 is elsewhere. */
static int make_network(void) {
    static const char SETUP[] =
        "exec 2>/dev/null; ip link set lo up && ip link add ve0 type veth peer name ve1 && "
        "echo 1 >/proc/sys/net/ipv6/conf/ve1/disable_ipv6 && "
        "echo 0 >/proc/sys/net/ipv6/conf/ve0/accept_dad && "
        "ip addr add 10.9.0.1/23 dev ve0 && ip link set ve1 up && ip link set ve0 up && "
        "ip addr add 10.8.0.1/32 dev lo && ip route add local 10.9.0.0/23 dev ve0";
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(5353)};
    struct ip_mreqn join = {.imr_ifindex = 0};
    int on = 1;

    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return -1;
    if (system(SETUP) != 0)
        return -1;
    CHECK(inet_pton(AF_INET, "224.0.0.251", &at.sin_addr) == 1);
    join.imr_multiaddr = at.sin_addr;
    join.imr_ifindex = (int)if_nametoindex("ve0");
    group_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    CHECK(setsockopt(group_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
    CHECK(bind(group_fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(setsockopt(group_fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join) == 0);
    return 0;
}

static int count_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    CHECK(folder != NULL);
    while (readdir(folder) != NULL)
        count++;
    CHECK(closedir(folder) == 0);
    return count;
}

static void step(rit_posix *port) {
    CHECK(rit_posix_step(port, 0) == 0);
}

/* Lets time pass, in small steps. */
static void pass(rit_posix *port, uint64_t us) {
    uint64_t end = fake.now_us + us;

    while (fake.now_us < end) {
        fake.now_us += us < SECOND ? 10000 : 50000;
        step(port);
    }
}

/* The next question that the LAN heard; its ID, 0: there was none. */
static unsigned asked(struct sockaddr_in *by) {
    uint8_t bytes[512];
    socklen_t len = sizeof *by;
    ssize_t got = recvfrom(group_fd, bytes, sizeof bytes, 0, (struct sockaddr *)by, &len);

    CHECK(got < 0 || got == RITP_MDNS_QUERY_LEN);
    return got < 0 ? 0 : (unsigned)bytes[0] << 8 | bytes[1] | 0x10000u;
}

static int count_asked(void) {
    struct sockaddr_in by;
    int count = 0;

    while (asked(&by) != 0)
        count++;
    return count;
}

/* Until it asks; the ID, and who is to be answered. */
static unsigned wait_asked(rit_posix *port, struct sockaddr_in *by) {
    unsigned id = 0;
    int i;

    for (i = 0; i < 65000 && id == 0; i++) {
        fake.now_us += 10000;
        step(port);
        id = asked(by);
    }
    CHECK(id != 0);
    return id & 0xffff;
}

static void say(const struct answer *answer, const char *from, uint16_t number,
                const struct sockaddr_in *to) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(number)};
    int on = 1, fd = socket(AF_INET, SOCK_DGRAM, 0);

    CHECK(inet_pton(AF_INET, from, &at.sin_addr) == 1);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(sendto(fd, answer->bytes, answer->len, 0, (const struct sockaddr *)to, sizeof *to) ==
          (ssize_t)answer->len);
    CHECK(close(fd) == 0);
}

static int is_told(uint8_t third, uint8_t last, uint16_t number) {
    const uint8_t ip[4] = {10, 9, third, last};
    size_t i;

    for (i = 0; i < fake.gateway_count; i++) {
        if (memcmp(fake.gateway_paths[i].ip + 12, ip, 4) == 0 &&
            fake.gateway_paths[i].port == number)
            return 1;
    }
    return 0;
}

static void test_when_the_lan_is_asked(void) {
    rit_posix *port = fresh("rit://lan");
    int descriptors = count_descriptors(), i;
    struct sockaddr_in by;
    struct answer answer;
    unsigned id;

    step(port);
    pass(port, 900000);
    CHECK(count_asked() == 0); /* the broker may be about to answer */
    pass(port, 200000);
    CHECK(count_asked() == 1 && count_descriptors() > descriptors);
    pass(port, 500000);
    CHECK(count_descriptors() == descriptors); /* no port stays open */
    for (i = 1; i <= 32; i *= 2) { /* a random quarter is taken off each pause */
        uint64_t began = fake.now_us;
        (void)wait_asked(port, &by);
        CHECK(fake.now_us - began <= (uint64_t)i * SECOND);
    }
    CHECK(count_asked() == 0);
    pass(port, 600 * SECOND);
    i = count_asked();
    CHECK(i >= 9 && i <= 14); /* each 45 s to 60 s */
    /* Where the network is another, at once. */
    fake.slept_us += 5 * SECOND;
    step(port);
    CHECK(count_asked() == 1);
    pass(port, 3 * SECOND);
    CHECK(count_asked() >= 2);
    /* Rarely while either is online and it was not found, and not at all once it was. */
    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    pass(port, 60 * SECOND);
    CHECK(count_asked() <= 1);
    pass(port, 1800 * SECOND);
    i = count_asked();
    CHECK(i >= 2 && i <= 5);
    id = wait_asked(port, &by);
    put_gateway(&answer, id, 5, 7480);
    say(&answer, "10.9.0.5", 5353, &by);
    pass(port, 400000);
    CHECK(fake.gateway_calls == 1 && count_descriptors() == descriptors);
    pass(port, 1800 * SECOND);
    fake_push(RIT_EVENT_BROKER_OFFLINE, 0, 0, RIT_ERR_TIMEOUT);
    fake_push(RIT_EVENT_GATEWAY_ONLINE, 0, 0, 0);
    pass(port, 100 * SECOND);
    CHECK(count_asked() == 0 && port->is_online);
    fake_push(RIT_EVENT_GATEWAY_OFFLINE, 0, 0, RIT_ERR_TIMEOUT);
    step(port);
    CHECK(!port->is_online);
    pass(port, 1500000);
    CHECK(count_asked() == 1);
    rit_posix_free(port);
    forget_file();
}

static void test_it_is_asked_for_before_it_is_needed(void) {
    rit_posix *port = fresh("rit://lan");

    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    pass(port, 900000);
    CHECK(count_asked() == 0);
    pass(port, 10 * SECOND);
    CHECK(count_asked() == 3);
    pass(port, 400 * SECOND);
    CHECK(count_asked() == 0);
    fake.slept_us += 5 * SECOND; /* another network */
    pass(port, 10 * SECOND);
    CHECK(count_asked() == 3);
    rit_posix_free(port);
}

static void test_what_answers_is_called(void) {
    rit_posix *port = fresh("rit://lan");
    struct sockaddr_in by;
    struct answer answer;
    unsigned id = wait_asked(port, &by);

    CHECK(fake.gateway_calls == 0);
    put_gateway(&answer, id, 5, 7480);
    say(&answer, "10.9.0.5", 5353, &by);
    pass(port, 400000);
    CHECK(fake.gateway_calls == 1 && fake.gateway_count == 1 && is_told(0, 5, 7480));
    CHECK(fake.gateway_key[0] == 0x42 && strcmp(fake.gateway_code, "CODE") == 0);
    /* The same again is no news, another address is. */
    id = wait_asked(port, &by);
    put_gateway(&answer, id, 5, 7480);
    say(&answer, "10.9.0.5", 5353, &by);
    pass(port, 400000);
    CHECK(fake.gateway_calls == 1);
    id = wait_asked(port, &by);
    put_gateway(&answer, id, 6, 7480);
    say(&answer, "10.9.0.6", 5353, &by);
    pass(port, 400000);
    CHECK(fake.gateway_calls == 2 && fake.gateway_count == 1 && is_told(0, 6, 7480));
    rit_posix_free(port);
    CHECK(count_asked() == 0);
}

static void test_whom_it_does_not_listen_to(void) {
    rit_posix *port = fresh("rit://lan");
    static const uint8_t FAR[4] = {10, 8, 0, 1};
    struct sockaddr_in by;
    struct answer answer;
    unsigned id = wait_asked(port, &by);

    put_gateway(&answer, id, 5, 7480);
    say(&answer, "10.8.0.1", 5353, &by);    /* not of this network */
    say(&answer, "10.9.0.5", 40000, &by);   /* not by multicast DNS */
    put_gateway(&answer, id + 1, 5, 7480);  /* to another question */
    say(&answer, "10.9.0.5", 5353, &by);
    begin(&answer, id);                     /* who leads elsewhere */
    put_ptr(&answer, "x._rit._udp.local");
    put_txt(&answer, "x._rit._udp.local", "\003v=1\012k=" TAG);
    put_srv(&answer, "x._rit._udp.local", 7480, "x.local");
    put_address(&answer, "x.local", FAR, 4);
    say(&answer, "10.9.0.5", 5353, &by);
    pass(port, 400000);
    CHECK(fake.gateway_calls == 0);
    rit_posix_free(port);
}

static void test_a_liar_has_one_place(void) {
    rit_posix *port = fresh("rit://lan");
    struct sockaddr_in by;
    struct answer answer;
    unsigned id = wait_asked(port, &by);
    int i;

    for (i = 0; i < 200; i++) {
        put_gateway(&answer, id, (uint8_t)(10 + i), 1000);
        say(&answer, "10.9.0.66", 5353, &by);
        if (i == 100) {
            put_gateway(&answer, id, 5, 7480);
            say(&answer, "10.9.0.5", 5353, &by);
        }
        step(port);
    }
    pass(port, 400000);
    CHECK(fake.gateway_calls == 1 && fake.gateway_count == 2);
    CHECK(is_told(0, 5, 7480) && is_told(0, 10, 1000));
    rit_posix_free(port);
}

static void test_all_who_answer_have_their_turn(void) {
    rit_posix *port = fresh("rit://lan");
    struct sockaddr_in by;
    struct answer answer;
    unsigned id = wait_asked(port, &by), forgets = fake.gateway_forgets;
    int i, turns, is_called = 0;

    for (i = 0; i < 51; i++) {
        char from[32];
        (void)snprintf(from, sizeof from, "10.9.1.%d", 10 + i);
        put_gateway(&answer, id, (uint8_t)(10 + i), i == 30 ? 7480 : 1000);
        say(&answer, from, 5353, &by);
        step(port);
    }
    pass(port, 400000);
    for (turns = 1; turns <= 7; turns++) { /* of eight each */
        CHECK(fake.gateway_calls == (unsigned)turns && count_asked() == 0);
        is_called |= is_told(0, 40, 7480);
        pass(port, 2 * SECOND);
    }
    CHECK(is_called && count_asked() == 1);
    CHECK(fake.gateway_forgets - forgets == fake.gateway_calls); /* the attempt before is over */
    rit_posix_free(port);

    /* Whom the true one refuses has found it. */
    port = fresh("rit://lan");
    id = wait_asked(port, &by);
    for (i = 0; i < 20; i++) {
        char from[32];
        (void)snprintf(from, sizeof from, "10.9.1.%d", 10 + i);
        put_gateway(&answer, id, (uint8_t)(10 + i), 1000);
        say(&answer, from, 5353, &by);
    }
    pass(port, 400000);
    CHECK(fake.gateway_calls == 1);
    fake_push(RIT_EVENT_GATEWAY_OFFLINE, 0, 0, RIT_ERR_DENIED);
    forgets = fake.gateway_forgets;
    pass(port, 20 * SECOND);
    CHECK(fake.gateway_calls == 1 && fake.gateway_forgets == forgets);
    rit_posix_free(port);
    (void)count_asked();
}

static void test_many_liars_are_no_obstacle_for_long(void) {
    rit_posix *port = fresh("rit://lan");
    struct answer answer;
    int round, is_called = 0;

    /* Two hundred addresses answer, of which 8 are called: one in 25 each time. That it is not in
     * 500 rounds has a chance of 1 in 700 million. */
    for (round = 0; round < 500 && !is_called; round++) {
        struct sockaddr_in by;
        unsigned id = wait_asked(port, &by);
        int i;
        for (i = 0; i < 200; i++) {
            char from[32];
            (void)snprintf(from, sizeof from, "10.9.1.%d", 10 + i);
            put_gateway(&answer, id, (uint8_t)(10 + i), i == 150 ? 7480 : 1000);
            say(&answer, from, 5353, &by);
            step(port);
        }
        pass(port, 400000);
        CHECK(fake.gateway_count == RITP_PATHS_MAX);
        is_called = is_told(0, 160, 7480);
        fake.slept_us += 5 * SECOND; /* the next question comes soon */
    }
    CHECK(is_called);
    rit_posix_free(port);
}

static void test_where_it_was_met_is_called_first(void) {
    rit_posix *port = fresh("rit://lan");
    struct sockaddr_in by;
    struct answer answer;
    unsigned id = wait_asked(port, &by), forgets;
    int i;

    put_gateway(&answer, id, 5, 7480);
    say(&answer, "10.9.0.5", 5353, &by);
    pass(port, 400000);
    fake_push(RIT_EVENT_GATEWAY_ONLINE, 0, 0, 0);
    step(port);
    rit_posix_free(port);

    port = fresh("rit://lan");
    CHECK(fake.gateway_calls == 1 && fake.gateway_count == 1 && is_told(0, 5, 7480));
    id = wait_asked(port, &by);
    for (i = 0; i < 100; i++) { /* liars do not displace it */
        char from[32];
        (void)snprintf(from, sizeof from, "10.9.1.%d", 10 + i);
        put_gateway(&answer, id, (uint8_t)(10 + i), 1000);
        say(&answer, from, 5353, &by);
        step(port);
    }
    pass(port, 400000);
    CHECK(fake.gateway_count == RITP_PATHS_MAX && is_told(0, 5, 7480));
    /* It is forgotten where there is to be none. */
    forgets = fake.gateway_forgets;
    CHECK(rit_posix_gateway(port, NULL, NULL) == 0 && fake.gateway_forgets == forgets + 1);
    pass(port, 100 * SECOND);
    (void)count_asked();
    pass(port, 100 * SECOND);
    CHECK(count_asked() == 0);
    rit_posix_free(port);
    forget_file();
}

static void test_one_with_an_address_is_not_looked_for(void) {
    rit_posix *port = fresh("rit://gateway");

    CHECK(fake.gateway_calls == 1 && fake.gateway_count == 1 && is_told(0, 7, 7480));
    pass(port, 100 * SECOND);
    CHECK(count_asked() == 0 && fake.gateway_calls == 1);
    rit_posix_free(port);
}

/* The next event, but for those of the namespace, which may settle still. */
static int next_event(rit_posix *port, struct rit_posix_event *event) {
    while (rit_posix_next(port, event)) {
        if (event->type != RIT_POSIX_NETWORK_CHANGED)
            return 1;
    }
    return 0;
}

static void test_what_is_told_of_it(void) {
    struct rit_posix_event event;
    rit_posix *port = fresh("rit://gateway");

    fake_push(RIT_EVENT_GATEWAY_ONLINE, 0, 0, 0);
    fake_push(RIT_EVENT_GATEWAY_OFFLINE, 0, 0, RIT_ERR_DENIED);
    step(port);
    CHECK(next_event(port, &event) && event.type == RIT_POSIX_GATEWAY_ONLINE);
    CHECK(next_event(port, &event) && event.type == RIT_POSIX_GATEWAY_OFFLINE);
    CHECK(event.error == RIT_ERR_DENIED && !next_event(port, &event));
    /* Whichever is online opens sessions. */
    CHECK(!port->is_online);
    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    fake_push(RIT_EVENT_GATEWAY_ONLINE, 0, 0, 0);
    fake_push(RIT_EVENT_BROKER_OFFLINE, 0, 0, RIT_ERR_TIMEOUT);
    step(port);
    CHECK(port->is_online);
    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    fake_push(RIT_EVENT_GATEWAY_OFFLINE, 0, 0, 0);
    step(port);
    CHECK(port->is_online);
    rit_posix_free(port);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    state_dir = argv[1];
    fake.now_us = 1000 * SECOND;
    if (make_network() != 0) {
        puts("test_gateway: skipped, no network namespace to be had");
        return 0;
    }
    test_when_the_lan_is_asked();
    test_it_is_asked_for_before_it_is_needed();
    test_what_answers_is_called();
    test_whom_it_does_not_listen_to();
    test_a_liar_has_one_place();
    test_all_who_answer_have_their_turn();
    test_many_liars_are_no_obstacle_for_long();
    test_where_it_was_met_is_called_first();
    test_one_with_an_address_is_not_looked_for();
    test_what_is_told_of_it();
    puts("test_gateway: 10 tests passed");
    return 0;
}
