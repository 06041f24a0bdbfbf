/* test_sockets.c: the sockets beside the node's own, with a fake librit: opened when sent from,
 * heard by their number, closed when they are not used, and never so many that others get none. */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_rit.h"
#include "internal.h"

#define SECOND 1000000u

static const char *state_dir;

static rit_posix *fresh(void) {
    struct rit_posix_config config = {.state_dir = state_dir};
    int error;
    rit_posix *port = rit_posix_new(&config, &error);

    CHECK(port != NULL && port->socket_count == 0);
    return port;
}

/* A peer at loopback; the path to it from the socket with this number. */
static int peer(struct rit_path *to, uint16_t number) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_storage storage;

    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    memset(&storage, 0, sizeof storage);
    memcpy(&storage, &at, sizeof at);
    ritp_path_from_address(to, &storage);
    to->socket = number;
    return fd;
}

static int32_t send_to(const struct rit_path *to) {
    return fake.io.send(fake.io.ctx, to, (const uint8_t *)"ask", 3);
}

/* Where the peer sees what comes next. */
static uint16_t taken_from(int fd, struct sockaddr_in *from) {
    socklen_t len = sizeof *from;
    char got[8];

    CHECK(recvfrom(fd, got, sizeof got, 0, (struct sockaddr *)from, &len) == 3);
    return ntohs(from->sin_port);
}

static void test_each_number_has_a_port_of_its_own(void) {
    rit_posix *port = fresh();
    struct rit_path to;
    struct sockaddr_in from;
    uint16_t seen[4];
    unsigned before = fake.datagrams;
    int i, fd = peer(&to, 0);

    for (i = 0; i < 3; i++) {
        to.socket = (uint16_t)(i * 7);
        CHECK(send_to(&to) == 0);
        seen[i] = taken_from(fd, &from);
        CHECK(sendto(fd, "answer", 6, 0, (struct sockaddr *)&from, sizeof from) == 6);
        CHECK(rit_posix_step(port, 1000) == 0);
        CHECK(fake.datagrams == ++before && fake.last_from.socket == to.socket);
    }
    CHECK(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2]);
    CHECK(port->socket_count == 2);
    /* The same one again; a train too. */
    CHECK(send_to(&to) == 0 && taken_from(fd, &from) == seen[2] && port->socket_count == 2);
    CHECK(fake.io.send_batch(fake.io.ctx, &to, (const uint8_t *)"askask", 6, 3) == 0);
    CHECK(taken_from(fd, &from) == seen[2] && taken_from(fd, &from) == seen[2]);
    CHECK(close(fd) == 0);
    rit_posix_free(port);
}

static void test_numbers_at_and_over_the_limit(void) {
    rit_posix *port = fresh();
    struct rit_path to;
    int fd = peer(&to, RITP_SOCKETS_MAX);

    CHECK(fake.io.sockets == RITP_SOCKETS_MAX);
    CHECK(send_to(&to) == 0 && port->socket_count == 1);
    to.socket = RITP_SOCKETS_MAX + 1;
    CHECK(send_to(&to) != 0);
    to.socket = RIT_SOCKET_TLS;
    CHECK(send_to(&to) != 0 && port->socket_count == 1);
    CHECK(close(fd) == 0);
    rit_posix_free(port);
}

static void test_unused_ones_are_closed(void) {
    rit_posix *port = fresh();
    struct rit_path to;
    struct sockaddr_in from;
    int fd = peer(&to, 1);

    CHECK(send_to(&to) == 0);
    (void)taken_from(fd, &from);
    CHECK(sendto(fd, "answer", 6, 0, (struct sockaddr *)&from, sizeof from) == 6);
    CHECK(rit_posix_step(port, 1000) == 0);
    to.socket = 2;
    CHECK(send_to(&to) == 0 && port->socket_count == 2);
    fake.now_us += 60 * SECOND - 1;
    CHECK(rit_posix_step(port, 0) == 0 && port->socket_count == 2);
    fake.now_us += 1;
    CHECK(rit_posix_step(port, 0) == 0 && port->socket_count == 1); /* nothing ever came there */
    CHECK(port->sockets[0].number == 1);
    fake.now_us += 90 * SECOND - 1;
    CHECK(rit_posix_step(port, 0) == 0 && port->socket_count == 1);
    fake.now_us += 1;
    CHECK(rit_posix_step(port, 0) == 0 && port->socket_count == 0 && port->sockets == NULL);
    CHECK(send_to(&to) == 0 && port->socket_count == 1);
    CHECK(close(fd) == 0);
    rit_posix_free(port);
}

static void test_descriptors_are_left_for_others(void) {
    rit_posix *port = fresh();
    struct rlimit before, few;
    struct rit_path to;
    int fd = peer(&to, 1), other;
    unsigned opened = 0;

    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    few = before;
    few.rlim_cur = 64;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    for (to.socket = 1; to.socket <= 100; to.socket++)
        opened += send_to(&to) == 0;
    CHECK(opened > 10 && opened < 32 && port->socket_count == opened);
    other = dup(fd);
    CHECK(other >= 0 && other < 40 && close(other) == 0);
    to.socket = 0;
    CHECK(send_to(&to) == 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0 && close(fd) == 0);
    rit_posix_free(port);
}

static void test_a_dead_one_is_opened_again(void) {
    rit_posix *port = fresh();
    struct rit_path to;
    int fd = peer(&to, 1);

    CHECK(send_to(&to) == 0);
    CHECK(close(port->sockets[0].fd) == 0);
    CHECK(send_to(&to) != 0 && !port->has_dead_socket);
    port->sockets[0].fd = dup(fd); /* something to close */
    CHECK(rit_posix_step(port, 0) == 0 && port->socket_count == 0);
    CHECK(send_to(&to) == 0 && port->socket_count == 1);
    CHECK(close(fd) == 0);
    rit_posix_free(port);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    state_dir = argv[1];
    fake.now_us = 1000 * (uint64_t)SECOND;
    test_each_number_has_a_port_of_its_own();
    test_numbers_at_and_over_the_limit();
    test_unused_ones_are_closed();
    test_descriptors_are_left_for_others();
    test_a_dead_one_is_opened_again();
    puts("test_sockets: 5 tests passed");
    return 0;
}
