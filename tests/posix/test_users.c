/* test_users.c: whose connections are taken, with a fake librit and real sockets. As root it tries
 * with another user too.
 */
#define _DEFAULT_SOURCE /* setuid's kin */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_rit.h"
#include "internal.h"

static const char *state_dir;
static uint16_t web_port;
static const uint8_t DEVICE[RIT_KEY_LEN] = {7};

/* With a device that offers a service, reached. */
static rit_posix *new_port(int own_user_only, struct sockaddr_in *at) {
    struct rit_posix_config config = {.state_dir = state_dir, .log_level = RIT_LOG_ERROR,
                                      .own_user_only = own_user_only};
    struct rit_posix_event event = {.port = 0};
    int error, i;
    rit_posix *port = rit_posix_new(&config, &error);

    CHECK(port != NULL);
    fake.event_count = 0;
    fake.open_answer = fake.session_answer = fake.accept_answer = RIT_OK;
    fake.service_count = 1;
    (void)snprintf(fake.services[0].name, sizeof fake.services[0].name, "web");
    fake.services[0].kind = RIT_SERVICE_TCP;
    fake.services[0].port = web_port;
    CHECK(rit_posix_reach(port, DEVICE, "web", 0) == 0);
    CHECK(rit_posix_broker(port, "rit://broker", NULL) == 0);
    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    for (i = 0; i < 3; i++)
        CHECK(rit_posix_step(port, 0) == 0);
    fake_push(RIT_EVENT_SESSION_UP, fake.last_session, 0, 0);
    CHECK(rit_posix_step(port, 0) == 0);
    while (event.type != RIT_POSIX_LISTENING)
        CHECK(rit_posix_next(port, &event));
    memset(at, 0, sizeof *at);
    at->sin_family = AF_INET;
    at->sin_port = htons(event.port);
    CHECK(inet_pton(AF_INET, event.address, &at->sin_addr) == 1);
    return port;
}

static int dial(const struct sockaddr_in *at) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) == 0);
    return fd;
}

/* The same from a socket for both families, as Java has them. */
static int dial_mapped(const struct sockaddr_in *at) {
    struct sockaddr_in6 mapped;
    int off = 0, fd = socket(AF_INET6, SOCK_STREAM, 0);

    if (fd < 0)
        return dial(at);
    memset(&mapped, 0, sizeof mapped);
    mapped.sin6_family = AF_INET6;
    mapped.sin6_port = at->sin_port;
    mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
    memcpy(mapped.sin6_addr.s6_addr + 12, &at->sin_addr, 4);
    CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0);
    CHECK(connect(fd, (struct sockaddr *)&mapped, sizeof mapped) == 0);
    return fd;
}

/* Connections that were taken, after everything that came was looked at. */
static size_t taken(rit_posix *port) {
    size_t before = fake.stream_count;

    CHECK(rit_posix_step(port, 0) == 0 && rit_posix_step(port, 0) == 0);
    return fake.stream_count - before;
}

static int was_refused(rit_posix *port) {
    struct rit_posix_event event;

    while (rit_posix_next(port, &event)) {
        if (event.type == RIT_POSIX_CONNECTION && event.error == RIT_POSIX_ERR_USER)
            return strcmp(event.service, "web") == 0;
    }
    return 0;
}

static void test_own(void) {
    struct sockaddr_in at;
    rit_posix *port = new_port(1, &at);
    int tcp = dial(&at), mapped = dial_mapped(&at);

    CHECK(port->users_fd >= 0 || geteuid() != 0);
    CHECK(taken(port) == 2 && !was_refused(port));
    CHECK(close(tcp) == 0 && close(mapped) == 0);
    rit_posix_free(port);
    fake_forget();
}

/* The kernel does not know any more whose it was. */
static void test_gone_at_once(void) {
    struct sockaddr_in at;
    rit_posix *port = new_port(1, &at);
    int is_told = port->users_fd >= 0;

    CHECK(close(dial(&at)) == 0);
    CHECK(taken(port) == (is_told ? 0 : 1) && was_refused(port) == is_told);
    rit_posix_free(port);
    fake_forget();
}

/* Another user's program tries; whether it was let in. */
static int lets_in(int own_user_only) {
    struct sockaddr_in at;
    rit_posix *port = new_port(own_user_only, &at);
    int done, is_in;
    char byte;
    int pipes[2], status;
    pid_t child;

    CHECK(pipe(pipes) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int tcp = setgid(65534) == 0 && setuid(65534) == 0 ? dial(&at) : -1;
        done = tcp >= 0 && write(pipes[1], "x", 1) == 1;
        _exit(done && recv(tcp, &byte, 1, 0) < 0 && errno == ECONNRESET ? 0 : 1);
    }
    CHECK(read(pipes[0], &byte, 1) == 1);
    is_in = taken(port) == 1;
    CHECK(is_in != was_refused(port));
    rit_posix_free(port); /* which resets what was let in */
    fake_forget();
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(close(pipes[0]) == 0 && close(pipes[1]) == 0);
    return is_in;
}

int main(int argc, char **argv) {
    uint16_t number = 0;
    int fd;

    CHECK(argc == 2);
    state_dir = argv[1];
    fd = ritp_udp_socket(0, &number); /* a number that is free */
    CHECK(fd >= 0 && close(fd) == 0);
    web_port = number;
    test_own();
    test_gone_at_once();
    if (geteuid() == 0) {
        CHECK(lets_in(0));
        CHECK(!lets_in(1));
    }
    puts(geteuid() == 0 ? "test_users: 4 tests passed" : "test_users: 2 tests passed, 2 need root");
    return 0;
}
