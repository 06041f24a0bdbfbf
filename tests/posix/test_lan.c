/* test_lan.c: multicast on the host's own networks, with a fake librit and real sockets: in a
 * network namespace with an interface for it. Where none can be made, the test is skipped. */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fake_rit.h"
#include "internal.h"

#define SECOND 1000000u

static const char *state_dir;
static unsigned complaints;

static void on_log(void *ctx, int32_t level, const char *msg) {
    (void)ctx;
    (void)level;
    complaints += strstr(msg, "no multicast") != NULL;
}

static rit_posix *fresh(uint16_t no_multicast) {
    struct rit_posix_config config = {.state_dir = state_dir,
                                      .log_level = RIT_LOG_INFO,
                                      .log = on_log,
                                      .no_multicast = no_multicast};
    int error;
    rit_posix *port = rit_posix_new(&config, &error);

    CHECK(port != NULL);
    return port;
}

static void run(const char *command) {
    CHECK(system(command) == 0);
}

/* ve0 has addresses of both families, ve1, its other end, none. */
static int make_network(void) {
    static const char SETUP[] =
        "exec 2>/dev/null; ip link set lo up && ip link add ve0 type veth peer name ve1 && "
        "echo 1 >/proc/sys/net/ipv6/conf/ve1/disable_ipv6 && "
        "echo 0 >/proc/sys/net/ipv6/conf/ve0/accept_dad && "
        "ip addr add 10.9.0.1/24 dev ve0 && ip link set ve1 up && ip link set ve0 up";

    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return -1;
    return system(SETUP) == 0 ? 0 : -1;
}

/* The group of a family, as the core names it. */
static struct rit_path group(int which) {
    struct rit_path to;

    memset(&to, 0, sizeof to);
    to.struct_size = (uint32_t)sizeof to;
    CHECK(inet_pton(AF_INET6, which == 0 ? "::ffff:239.255.114.116" : "ff12::efff:7274", to.ip));
    to.port = 7484;
    return to;
}

/* Another program on this host, which is in the group too and says with what TTL a datagram came;
 * it sends to the group by the interface. */
static int other_program(int which, const char *device) {
    const int level = which == 0 ? IPPROTO_IP : IPPROTO_IPV6;
    struct rit_path path = group(which);
    struct sockaddr_storage at;
    struct group_req joined;
    struct timeval patience = {.tv_sec = 2};
    int on = 1, fd = socket(which == 0 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    socklen_t len;

    path.ifindex = if_nametoindex(device);
    len = ritp_address_from_path(&at, &path);
    memset(&joined, 0, sizeof joined);
    joined.gr_interface = path.ifindex;
    joined.gr_group = at;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    CHECK(bind(fd, (struct sockaddr *)&at, len) == 0);
    CHECK(setsockopt(fd, level, MCAST_JOIN_GROUP, &joined, sizeof joined) == 0);
    CHECK(setsockopt(fd, level, which == 0 ? IP_RECVTTL : IPV6_RECVHOPLIMIT, &on, sizeof on) == 0);
    return fd;
}

/* Its bytes, where it came from and how far it could have gone. */
static size_t take(int fd, char got[16], struct rit_path *from, int *hops) {
    struct sockaddr_storage at;
    char control[64];
    struct iovec data = {.iov_base = got, .iov_len = 16};
    struct msghdr message = {.msg_name = &at, .msg_namelen = sizeof at, .msg_iov = &data,
                             .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t len = recvmsg(fd, &message, 0);

    CHECK(len >= 0 && CMSG_FIRSTHDR(&message) != NULL);
    memcpy(hops, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof *hops);
    ritp_path_from_address(from, &at);
    return (size_t)len;
}

/* Somebody on the network asks; the address that it asks from. */
static struct rit_path ask_group(int which, const char *device) {
    const int level = which == 0 ? IPPROTO_IP : IPPROTO_IPV6;
    struct rit_path path = group(which), own;
    struct ip_mreqn by4 = {.imr_ifindex = (int)if_nametoindex(device)};
    unsigned by6 = if_nametoindex(device);
    int fd = socket(which == 0 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_storage at;
    socklen_t len;

    path.ifindex = which == 0 ? 0 : by6;
    len = ritp_address_from_path(&at, &path);
    if (which == 0)
        CHECK(setsockopt(fd, level, IP_MULTICAST_IF, &by4, sizeof by4) == 0);
    else
        CHECK(setsockopt(fd, level, IPV6_MULTICAST_IF, &by6, sizeof by6) == 0);
    CHECK(sendto(fd, "ask", 3, 0, (struct sockaddr *)&at, len) == 3);
    len = sizeof at;
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    ritp_path_from_address(&own, &at);
    CHECK(close(fd) == 0);
    return own;
}

static void step(rit_posix *port) {
    CHECK(rit_posix_step(port, 0) == 0);
}

static void test_what_comes_by_a_group_is_handed_in_as_the_senders(void) {
    rit_posix *port = fresh(0);
    struct rit_path from;
    unsigned before = fake.datagrams;

    CHECK(fake.io.multicast == 1 && port->lan_count == 2);
    from = ask_group(0, "ve0");
    step(port);
    CHECK(fake.datagrams == ++before && fake.last_len == 3);
    CHECK(memcmp(fake.last_from.ip + 12, "\x0a\x09\x00\x01", 4) == 0);
    CHECK(fake.last_from.port == from.port && fake.last_from.socket == 0);
    CHECK(fake.last_from.ifindex == 0);
    from = ask_group(1, "ve0");
    step(port);
    CHECK(fake.datagrams == ++before && fake.last_from.port == from.port);
    CHECK(fake.last_from.ip[0] == 0xfe && fake.last_from.ip[1] == 0x80);
    CHECK(fake.last_from.socket == 0 && fake.last_from.ifindex == if_nametoindex("ve0"));
    CHECK(complaints == 0);
    rit_posix_free(port);
}

static void test_what_goes_to_a_group_reaches_other_programs_and_no_router(void) {
    rit_posix *port = fresh(0);
    int which;

    for (which = 0; which < 2; which++) {
        int hops = 0, fd = other_program(which, "ve0");
        struct rit_path to = group(which), from;
        unsigned before = fake.datagrams;
        char got[16];
        to.ecn = 2; /* which nobody looks at here */
        CHECK(fake.io.send(fake.io.ctx, &to, (const uint8_t *)"ask", 3) == 0);
        CHECK(take(fd, got, &from, &hops) == 3 && memcmp(got, "ask", 3) == 0 && hops == 1);
        CHECK(from.port == port->udp_port[which]);
        CHECK(fake.io.send_batch(fake.io.ctx, &to, (const uint8_t *)"oneb", 4, 3) == 0);
        CHECK(take(fd, got, &from, &hops) == 3 && memcmp(got, "one", 3) == 0);
        CHECK(take(fd, got, &from, &hops) == 1 && got[0] == 'b' && hops == 1);
        step(port); /* and this one, which is as good as another */
        CHECK(fake.datagrams == before + 3 && fake.last_from.port == from.port);
        CHECK(close(fd) == 0);
    }
    rit_posix_free(port);
}

static void test_no_port_is_open_for_it(void) {
    rit_posix *port = fresh(0);
    const char *const addresses[] = {"::ffff:127.0.0.1", "::ffff:10.9.0.1", "::1"};
    size_t i;

    for (i = 0; i < 3; i++) {
        struct rit_path to = group(0);
        struct sockaddr_storage at;
        unsigned before = fake.datagrams;
        char got[4];
        socklen_t len;
        int fd;
        CHECK(inet_pton(AF_INET6, addresses[i], to.ip) == 1);
        len = ritp_address_from_path(&at, &to);
        fd = socket(at.ss_family, SOCK_DGRAM, 0);
        CHECK(connect(fd, (struct sockaddr *)&at, len) == 0 && send(fd, "ask", 3, 0) == 3);
        CHECK(recv(fd, got, sizeof got, 0) < 0 && errno == ECONNREFUSED);
        step(port);
        CHECK(fake.datagrams == before && close(fd) == 0);
    }
    rit_posix_free(port);
}

/* The kernel's news are taken, which may need a while for a carrier, until it listens to so many. */
static void becomes(rit_posix *port, size_t count) {
    const struct timespec pause = {.tv_nsec = 20000000};
    int i;

    for (i = 0; i < 250 && (i < 10 || port->lan_count != count); i++) {
        step(port);
        fake.now_us += SECOND / 20;
        CHECK(nanosleep(&pause, NULL) == 0);
    }
    CHECK(port->lan_count == count);
}

static void test_interfaces_come_and_go(void) {
    rit_posix *port = fresh(0);
    unsigned before = fake.datagrams;

    CHECK(port->lan_count == 2);
    run("ip link add ve2 type veth peer name ve3 && ip addr add 10.9.1.1/24 dev ve2 && "
        "echo 1 >/proc/sys/net/ipv6/conf/ve2/disable_ipv6 && "
        "echo 1 >/proc/sys/net/ipv6/conf/ve3/disable_ipv6 && "
        "ip link set ve3 up && ip link set ve2 up");
    becomes(port, 3);
    (void)ask_group(0, "ve2");
    step(port);
    CHECK(fake.datagrams == ++before && fake.last_from.ip[14] == 1);
    (void)ask_group(0, "ve0");
    step(port);
    CHECK(fake.datagrams == ++before && fake.last_from.ip[14] == 0);
    run("ip link del ve2");
    becomes(port, 2);
    /* It has a link-local address alone, which nobody is told: no change, and yet a network. */
    run("ip link set ve1 down && echo 0 >/proc/sys/net/ipv6/conf/ve1/accept_dad && "
        "echo 0 >/proc/sys/net/ipv6/conf/ve1/disable_ipv6 && ip link set ve1 up");
    becomes(port, 3);
    run("ip link set ve1 down && echo 1 >/proc/sys/net/ipv6/conf/ve1/disable_ipv6");
    becomes(port, 0); /* ve0 has no carrier */
    run("ip link set ve1 up");
    becomes(port, 2);
    (void)ask_group(0, "ve0");
    step(port);
    CHECK(fake.datagrams == ++before);
    rit_posix_free(port);
}

static void test_without_it_all_else_goes_on(void) {
    struct rit_path to4 = group(0), to6 = group(1);
    rit_posix *port = fresh(0);
    struct rlimit limit, few;
    int spare;

    /* There is a descriptor for one of the two alone, which is told once. */
    ritp_lan_close(port);
    spare = dup(0);
    CHECK(spare >= 0 && close(spare) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
    few = limit;
    few.rlim_cur = (rlim_t)spare + 1;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    ritp_lan_look(port, 1);
    ritp_lan_close(port);
    ritp_lan_look(port, 1);
    ritp_lan_look(port, 1); /* which interfaces there are is not to be known now */
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(port->lan_count == 2 && complaints == 1);
    CHECK(fake.io.send(fake.io.ctx, &to4, (const uint8_t *)"ask", 3) == 0);
    CHECK(fake.io.send(fake.io.ctx, &to6, (const uint8_t *)"ask", 3) != 0);
    step(port);
    ritp_lan_look(port, 1);
    CHECK(fake.io.send(fake.io.ctx, &to6, (const uint8_t *)"ask", 3) == 0);
    rit_posix_free(port);

    /* It is not wanted. */
    port = fresh(1);
    CHECK(fake.io.multicast == 0 && port->lan_count == 0);
    CHECK(fake.io.send(fake.io.ctx, &to4, (const uint8_t *)"ask", 3) != 0);
    becomes(port, 0);
    rit_posix_free(port);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    state_dir = argv[1];
    fake.now_us = 1000 * (uint64_t)SECOND;
    if (make_network() != 0) {
        puts("test_lan: skipped, no network namespace to be had");
        return 0;
    }
    test_what_comes_by_a_group_is_handed_in_as_the_senders();
    test_what_goes_to_a_group_reaches_other_programs_and_no_router();
    test_no_port_is_open_for_it();
    test_interfaces_come_and_go();
    test_without_it_all_else_goes_on();
    puts("test_lan: 5 tests passed");
    return 0;
}
