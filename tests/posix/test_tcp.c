/* test_tcp.c: TCP connections of a node, against sockets of this machine, with a fake librit. */
#define _DEFAULT_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_rit.h"
#include "internal.h"

static rit_posix *port;
static struct rit_path to;

/* A listener on any port of 127.0.0.1, and the path to it. */
static int listener(void) {
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 8) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    memset(&to, 0, sizeof to);
    to.struct_size = (uint32_t)sizeof to;
    to.ip[10] = to.ip[11] = 0xff;
    to.ip[12] = 127;
    to.ip[15] = 1;
    to.port = ntohs(at.sin_port);
    to.socket = RIT_SOCKET_TLS;
    return fd;
}

static int32_t write_to(const void *bytes, size_t len) {
    return fake.io.tcp_write(fake.io.ctx, &to, bytes, len);
}

static void step_until(const unsigned *counter, unsigned value) {
    int i;

    for (i = 0; i < 1000 && *counter < value; i++)
        CHECK(rit_posix_step(port, 10) == 0);
    CHECK(*counter == value);
}

static int made(int listening) {
    unsigned before = fake.tcp_writables;
    int fd;

    CHECK(write_to("hello", 5) == 0);
    CHECK(write_to("hello", 5) == 0);
    step_until(&fake.tcp_writables, before + 1);
    fd = accept(listening, NULL, NULL);
    CHECK(fd >= 0);
    return fd;
}

static void bytes_go_both_ways(int listening) {
    char bytes[16];
    int fd = made(listening), i;

    CHECK(write_to("hello", 5) == 5);
    CHECK(recv(fd, bytes, sizeof bytes, 0) == 5 && memcmp(bytes, "hello", 5) == 0);
    CHECK(send(fd, "answer", 6, 0) == 6);
    for (i = 0; i < 1000 && fake.tcp_len < 6; i++)
        CHECK(rit_posix_step(port, 10) == 0);
    CHECK(fake.tcp_len == 6 && memcmp(fake.tcp_bytes, "answer", 6) == 0);
    /* The node closes: the other end is told, and a new one can be opened. */
    fake.io.tcp_close(fake.io.ctx, &to);
    fake.io.tcp_close(fake.io.ctx, &to);
    CHECK(recv(fd, bytes, sizeof bytes, 0) == 0 && fake.tcp_closes == 0);
    CHECK(close(fd) == 0);
}

static void the_other_end_closes(int listening) {
    int fd = made(listening);

    CHECK(close(fd) == 0);
    step_until(&fake.tcp_closes, 1);
}

/* It takes what there is room for, and says when there is some again. */
static void one_that_is_full(int listening) {
    static uint8_t much[1 << 20];
    unsigned before;
    int fd = made(listening), i;
    int32_t taken = 1;

    for (i = 0; i < 1000 && taken > 0; i++)
        taken = write_to(much, sizeof much);
    CHECK(taken == 0);
    before = fake.tcp_writables;
    CHECK(rit_posix_step(port, 0) == 0 && fake.tcp_writables == before);
    for (i = 0; i < 100000 && fake.tcp_writables == before; i++) {
        (void)recv(fd, much, sizeof much, MSG_DONTWAIT);
        CHECK(rit_posix_step(port, 0) == 0);
    }
    CHECK(fake.tcp_writables == before + 1);
    CHECK(close(fd) == 0);
    step_until(&fake.tcp_closes, 2);
}

static void nobody_listens(int listening) {
    unsigned before = fake.tcp_writables;

    CHECK(close(listening) == 0);
    if (write_to("hello", 5) == 0)
        step_until(&fake.tcp_closes, 3);
    CHECK(fake.tcp_writables == before);
}

static void one_too_many(void) {
    int fds[RITP_TCP_MAX + 1], i;

    for (i = 0; i < RITP_TCP_MAX; i++) {
        fds[i] = listener();
        CHECK(write_to("x", 1) == 0);
    }
    fds[i] = listener();
    CHECK(write_to("x", 1) == -1);
    for (i = 0; i <= RITP_TCP_MAX; i++)
        CHECK(close(fds[i]) == 0);
}

static void the_brokers_paths(void) {
    size_t i, tls = 0;

    CHECK(rit_posix_broker(port, "rit://broker", "CODE") == 0);
    for (i = 0; i < fake.broker_count; i++) {
        const struct rit_path *path = &fake.broker_paths[i];
        if (path->socket == RIT_SOCKET_TLS) {
            tls++;
            CHECK(path->port == 8443);
        }
    }
    CHECK(tls > 0 && tls == fake.broker_count - tls);
}

int main(int argc, char **argv) {
    struct rit_posix_config config;
    int error, listening;

    CHECK(argc == 2);
    memset(&config, 0, sizeof config);
    config.state_dir = argv[1];
    config.tls_port = 8443;
    port = rit_posix_new(&config, &error);
    CHECK(port != NULL);
    the_brokers_paths();
    listening = listener();
    bytes_go_both_ways(listening);
    the_other_end_closes(listening);
    one_that_is_full(listening);
    nobody_listens(listening);
    one_too_many();
    rit_posix_free(port);
    return 0;
}
