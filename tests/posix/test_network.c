/* test_network.c: own addresses, changes of the network and of the sockets, with a fake librit.
 * What real interfaces do is tested in network namespaces (tests/nat). */
#define _DEFAULT_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_rit.h"
#include "internal.h"

#define MS UINT64_C(1000)

static rit_posix *new_port(const char *state_dir, struct rit_path *own) {
    struct rit_posix_config config = {.state_dir = state_dir};
    int error;
    rit_posix *port = rit_posix_new(&config, &error);

    CHECK(port != NULL && rit_posix_broker(port, "rit://broker", "CODE") == 0);
    CHECK(fake.path_count > 0 && fake.paths[0].ip[12] == 127 && port->news_fd >= 0);
    *own = fake.paths[0];
    own->ifindex = 0;
    /* What happens on this machine meanwhile is not ours. */
    CHECK(close(port->news_fd) == 0);
    port->news_fd = -1;
    CHECK(rit_posix_step(port, 0) == 0);
    fake.changes = 0;
    return port;
}

/* How often the node is told by then, if nothing more comes. */
static unsigned changes_after(rit_posix *port, uint64_t wait_us) {
    fake.changes = 0;
    fake.now_us += wait_us;
    CHECK(rit_posix_step(port, 0) == 0);
    return fake.changes;
}

static void test_sleep(const char *state_dir) {
    struct rit_posix_event event;
    struct rit_path own;
    rit_posix *port = new_port(state_dir, &own);

    fake.slept_us += 1000 * MS;
    CHECK(changes_after(port, 0) == 0);
    fake.slept_us += 1001 * MS;
    CHECK(changes_after(port, 0) == 1);
    CHECK(changes_after(port, 0) == 0);
    CHECK(rit_posix_next(port, &event) && event.type == RIT_POSIX_NETWORK_CHANGED);
    CHECK(!rit_posix_next(port, &event));
    rit_posix_free(port);
}

/* One message of rtnetlink. */
static size_t news(uint8_t out[64], int type, int dst_len, int route_type, unsigned flags) {
    struct nlmsghdr head;
    struct rtmsg route;

    memset(out, 0, 64);
    memset(&head, 0, sizeof head);
    memset(&route, 0, sizeof route);
    head.nlmsg_len = (uint32_t)(sizeof head + sizeof route);
    head.nlmsg_type = (uint16_t)type;
    route.rtm_dst_len = (uint8_t)dst_len;
    route.rtm_type = (uint8_t)route_type;
    route.rtm_flags = flags;
    memcpy(out, &head, sizeof head);
    memcpy(out + sizeof head, &route, sizeof route);
    return head.nlmsg_len;
}

static void test_what_is_a_change(const char *state_dir) {
    struct rit_path own;
    rit_posix *port = new_port(state_dir, &own);
    unsigned sets = fake.path_sets;
    uint8_t bytes[64];

    /* An address that is told again, as each router advertisement does, is none. */
    ritp_network_news(port, bytes, news(bytes, RTM_NEWADDR, 24, 0, 0), fake.now_us);
    CHECK(ritp_network_prepare(port) == fake.now_us + 100 * MS);
    CHECK(changes_after(port, 100 * MS) == 0 && fake.path_sets == sets);
    CHECK(ritp_network_prepare(port) == RITP_NEVER);
    /* But for those that we have not. */
    port->own_count--;
    ritp_network_news(port, bytes, news(bytes, RTM_DELADDR, 24, 0, 0), fake.now_us);
    port->told_count--;
    CHECK(changes_after(port, 100 * MS) == 1 && fake.path_sets == sets + 1);
    /* Nor are routes to a few hosts, to nowhere, or of the cache. */
    ritp_network_news(port, bytes, news(bytes, RTM_NEWROUTE, 9, RTN_UNICAST, 0), fake.now_us);
    ritp_network_news(port, bytes, news(bytes, RTM_NEWROUTE, 0, RTN_LOCAL, 0), fake.now_us);
    ritp_network_news(port, bytes, news(bytes, RTM_DELROUTE, 0, RTN_UNICAST, RTM_F_CLONED),
                      fake.now_us);
    CHECK(ritp_network_prepare(port) == RITP_NEVER);
    ritp_network_news(port, bytes, news(bytes, RTM_NEWROUTE, 8, RTN_UNICAST, 0), fake.now_us);
    CHECK(changes_after(port, 99 * MS) == 0 && changes_after(port, MS) == 1);
    CHECK(changes_after(port, 100 * MS) == 0);
    ritp_network_news(port, bytes, news(bytes, RTM_DELROUTE, 0, RTN_UNICAST, 0), fake.now_us);
    CHECK(changes_after(port, 100 * MS) == 1);
    rit_posix_free(port);
}

/* A burst is told once, and at last after half a second. */
static void test_burst(const char *state_dir) {
    struct rit_path own;
    rit_posix *port = new_port(state_dir, &own);
    unsigned i, changes = 0;
    uint8_t bytes[64];

    for (i = 0; i < 10; i++) {
        ritp_network_news(port, bytes, news(bytes, RTM_NEWROUTE, 0, RTN_UNICAST, 0), fake.now_us);
        changes += changes_after(port, 50 * MS);
        CHECK(changes == (i == 9));
    }
    rit_posix_free(port);
}

/* Messages cut anywhere, and with wild lengths, in memory of their own length. */
static void test_broken_news(const char *state_dir) {
    struct rit_path own;
    rit_posix *port = new_port(state_dir, &own);
    size_t whole, len;
    uint32_t said;
    uint8_t bytes[64];

    whole = news(bytes, RTM_NEWROUTE, 0, RTN_UNICAST, 0);
    for (len = 0; len < whole; len++) {
        uint8_t *copy = malloc(len > 0 ? len : 1);
        CHECK(copy != NULL);
        memcpy(copy, bytes, len);
        for (said = 0; said < 40; said++) {
            uint32_t lie = said < 36 ? said : UINT32_MAX - (said - 36);
            if (len >= sizeof lie)
                memcpy(copy, &lie, sizeof lie);
            ritp_network_news(port, copy, len, fake.now_us);
        }
        free(copy);
    }
    CHECK(ritp_network_prepare(port) == RITP_NEVER);
    rit_posix_free(port);
}

/* A socket that the system made unusable is opened again, at its port. */
static void test_dead_socket(const char *state_dir) {
    struct rit_path own;
    rit_posix *port = new_port(state_dir, &own);
    int which, null = open("/dev/null", O_RDWR);

    for (which = 0; which < 2; which++) { /* seen when sending, and when receiving */
        unsigned before = fake.datagrams;
        CHECK(dup2(null, port->udp[0]) == port->udp[0]);
        if (which == 0)
            CHECK(fake.io.send(fake.io.ctx, &own, (const uint8_t *)"a", 1) != 0 &&
                  port->has_dead_socket);
        fake.changes = 0;
        CHECK(rit_posix_step(port, 0) == 0 && rit_posix_step(port, 0) == 0);
        CHECK(fake.changes == 1 && port->udp_port[0] == own.port);
        CHECK(fake.io.send(fake.io.ctx, &own, (const uint8_t *)"b", 1) == 0);
        CHECK(rit_posix_step(port, 1000) == 0 && fake.datagrams == before + 1);
    }
    /* One that could not be opened is tried again, in time. */
    CHECK(close(port->udp[0]) == 0);
    port->udp[0] = -1;
    CHECK(changes_after(port, 29000 * MS) == 0 && changes_after(port, 1000 * MS) == 1);
    CHECK(port->udp[0] >= 0 && port->udp_port[0] == own.port);
    CHECK(close(null) == 0);
    rit_posix_free(port);
}

/* A datagram leaves by the interface of its path, and one that comes back by it says so. */
static void test_interfaces(const char *state_dir) {
    uint32_t lo = if_nametoindex("lo");
    struct rit_path own;
    rit_posix *port = new_port(state_dir, &own);
    unsigned i;

    for (i = 0; i < 2; i++) {
        struct rit_path to = own;
        if (i == 1) {
            memset(to.ip, 0, sizeof to.ip);
            to.ip[15] = 1;
            to.port = port->udp_port[1];
        }
        CHECK(fake.io.send(fake.io.ctx, &to, (const uint8_t *)"a", 1) == 0);
        CHECK(rit_posix_step(port, 1000) == 0 && fake.last_from.ifindex == 0);
        to.ifindex = lo;
        to.ecn = 2;
        CHECK(fake.io.send(fake.io.ctx, &to, (const uint8_t *)"a", 1) == 0);
        CHECK(rit_posix_step(port, 1000) == 0 && fake.last_from.ifindex == lo);
        CHECK(fake.io.send_batch(fake.io.ctx, &to, (const uint8_t *)"abc", 3, 1) == 0);
        CHECK(rit_posix_step(port, 1000) == 0 && fake.last_from.ifindex == lo);
        CHECK(fake.last_from.ecn == 2);
        to.ifindex = 9999;
        CHECK(fake.io.send(fake.io.ctx, &to, (const uint8_t *)"a", 1) != 0);
        CHECK(fake.io.send_batch(fake.io.ctx, &to, (const uint8_t *)"abc", 3, 1) != 0);
        fake.sendmsg.error = EINVAL; /* whatever for: there was no mark */
        to.ecn = 0;
        CHECK(fake.io.send(fake.io.ctx, &to, (const uint8_t *)"a", 1) != 0);
        fake.sendmsg.error = 0;
        CHECK(!port->sends_no_marks && !port->has_dead_socket);
    }
    CHECK(port->pin_count == 4);
    /* Many are too many: the oldest is forgotten. */
    own.ifindex = 9999;
    for (i = 0; i < RITP_PINS_MAX; i++) {
        own.port = (uint16_t)(1000 + i);
        CHECK(fake.io.send(fake.io.ctx, &own, (const uint8_t *)"a", 1) != 0);
    }
    CHECK(port->pin_count == RITP_PINS_MAX);
    own.ifindex = 0;
    own.port = port->udp_port[0];
    CHECK(fake.io.send(fake.io.ctx, &own, (const uint8_t *)"a", 1) == 0);
    CHECK(rit_posix_step(port, 1000) == 0 && fake.last_from.ifindex == 0);
    rit_posix_free(port);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    test_sleep(argv[1]);
    test_what_is_a_change(argv[1]);
    test_burst(argv[1]);
    test_broken_news(argv[1]);
    test_dead_socket(argv[1]);
    test_interfaces(argv[1]);
    puts("test_network: 6 tests passed");
    return 0;
}
