/* test_system.c: the state folder, the UDP sockets and the events, with a fake librit. */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_rit.h"
#include "internal.h"

static const char *state_dir;
static char last_log[512];

static void on_log(void *ctx, int32_t level, const char *msg) {
    (void)ctx;
    (void)level;
    (void)snprintf(last_log, sizeof last_log, "%s", msg);
}

static rit_posix *try_port(const char *folder, int *error) {
    struct rit_posix_config config = {.state_dir = folder, .log = on_log};

    last_log[0] = '\0';
    return rit_posix_new(&config, error);
}

static const char *inside(const char *file) {
    static char path[4096];

    (void)snprintf(path, sizeof path, "%s/%s", state_dir, file);
    return path;
}

static mode_t mode_of(const char *path) {
    struct stat found;

    CHECK(stat(path, &found) == 0);
    return found.st_mode & 07777;
}

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static void test_identity_is_kept(void) {
    uint8_t first[64], again[64];
    int error;
    rit_posix *port = try_port(state_dir, &error);

    CHECK(port != NULL && error == 0);
    CHECK(mode_of(state_dir) == 0700 && mode_of(inside("identity")) == 0600);
    CHECK(mode_of(inside("lock")) == 0600);
    CHECK(fake.io.load(fake.io.ctx, RIT_SLOT_IDENTITY, first, sizeof first) == 32);
    CHECK(fake.io.load(fake.io.ctx, RIT_SLOT_BROKER, again, sizeof again) == 0);
    CHECK(fake.io.store(fake.io.ctx, RIT_SLOT_BROKER, (const uint8_t *)"one", 3) == 0);
    CHECK(fake.io.store(fake.io.ctx, RIT_SLOT_BROKER, (const uint8_t *)"other", 5) == 0);
    rit_posix_free(port);
    /* What a crash left half-written is not taken for it. */
    write_file(inside("identity.new"), "hal");
    port = try_port(state_dir, &error);
    CHECK(port != NULL);
    CHECK(fake.io.load(fake.io.ctx, RIT_SLOT_IDENTITY, again, sizeof again) == 32);
    CHECK(memcmp(first, again, 32) == 0);
    CHECK(fake.io.load(fake.io.ctx, RIT_SLOT_BROKER, again, sizeof again) == 5);
    CHECK(memcmp(again, "other", 5) == 0);
    CHECK(fake.io.store(fake.io.ctx, RIT_SLOT_IDENTITY, first, 32) == 0);
    CHECK(access(inside("identity.new"), F_OK) != 0);
    rit_posix_free(port);
}

static void test_second_process(void) {
    int error, second = 0;
    rit_posix *port = try_port(state_dir, &error);

    /* A lock of flock() belongs to the open file: the same process is a second one here. */
    CHECK(port != NULL && try_port(state_dir, &second) == NULL);
    CHECK(second == RIT_POSIX_ERR_IN_USE && strstr(last_log, "in use") != NULL);
    CHECK(strstr(rit_posix_strerror(second), "in use") != NULL);
    rit_posix_free(port);
    port = try_port(state_dir, &error);
    CHECK(port != NULL);
    rit_posix_free(port);
}

static void test_bad_folders(void) {
    int error = 0;

    CHECK(try_port(NULL, &error) == NULL && error == RIT_ERR_NULL);
    CHECK(rit_posix_new(NULL, &error) == NULL && error == RIT_ERR_NULL);
    CHECK(try_port(inside("identity/below"), &error) == NULL && error == RIT_ERR_STORAGE);
    CHECK(strstr(last_log, "identity/below") != NULL);
    CHECK(try_port(inside("not/there"), &error) == NULL && error == RIT_ERR_STORAGE);
    /* An empty identity is damage: a new one in its place would be somebody else. */
    write_file(inside("identity"), "");
    CHECK(try_port(state_dir, &error) == NULL && error == RIT_ERR_STORAGE);
    CHECK(strstr(last_log, "empty") != NULL);
    CHECK(unlink(inside("identity")) == 0);
    /* A folder where the new file should be: the store fails, and says which file. */
    CHECK(mkdir(inside("identity.new"), 0700) == 0);
    CHECK(try_port(state_dir, &error) == NULL && error == RIT_ERR_STORAGE);
    CHECK(strstr(last_log, "identity.new") != NULL);
    CHECK(rmdir(inside("identity.new")) == 0);
}

/* A port with a broker on this host, so that loopback is a way to it: the first. */
static rit_posix *local_port(struct rit_path *own) {
    int error;
    rit_posix *port = try_port(state_dir, &error);

    CHECK(rit_posix_broker(port, "rit://broker", "CODE") == 0 && fake.path_count > 0);
    CHECK(fake.paths[0].ifindex != 0);
    *own = fake.paths[0];
    own->ifindex = 0; /* wherever routing says */
    return port;
}

static int dial_udp(const struct rit_path *to) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(to->port)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    memcpy(&at.sin_addr, to->ip + 12, 4);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
    return fd;
}

static void test_datagrams(void) {
    struct rit_path own;
    static uint8_t long_one[70000];
    uint8_t got[16];
    int fd;
    unsigned before = fake.datagrams;
    rit_posix *port = local_port(&own);

    CHECK(strcmp(fake.code, "CODE") == 0);
    CHECK(rit_posix_broker(port, "http://broker", NULL) == RIT_ERR_ARG);
    CHECK(own.ip[10] == 0xff && own.ip[12] == 127 && own.port != 0);
    fd = dial_udp(&own);
    CHECK(send(fd, "", 0, 0) == 0); /* an empty one hides nothing behind it */
    CHECK(send(fd, "first", 5, 0) == 5 && send(fd, "second", 6, 0) == 6);
    CHECK(rit_posix_step(port, 1000) == 0);
    CHECK(fake.datagrams == before + 2 && fake.last_len == 6);
    CHECK(memcmp(fake.last_datagram, "second", 6) == 0);
    CHECK(fake.last_from.ip[12] == 127 && fake.last_from.ip[10] == 0xff);
    CHECK(fake.io.send(fake.io.ctx, &fake.last_from, (const uint8_t *)"back", 4) == 0);
    CHECK(recv(fd, got, sizeof got, 0) == 4 && memcmp(got, "back", 4) == 0);
    /* Longer than any datagram: lost, and said so. */
    CHECK(fake.io.send(fake.io.ctx, &fake.last_from, long_one, sizeof long_one) != 0);
    CHECK(close(fd) == 0);
    rit_posix_free(port);
}

/* Several at once arrive as those that were sent, however the kernel moves them. */
static void test_trains(void) {
    static uint8_t bytes[5000];
    struct rit_path own;
    unsigned before;
    int steps;
    rit_posix *port = local_port(&own);

    bytes[4999] = 7;
    before = fake.datagrams;
    CHECK(fake.io.send_batch(fake.io.ctx, &own, bytes, sizeof bytes, 1200) == 0);
    for (steps = 0; fake.datagrams < before + 5 && steps < 10; steps++)
        CHECK(rit_posix_step(port, 1000) == 0);
    CHECK(fake.datagrams == before + 5 && fake.last_len == 200 && fake.last_datagram[199] == 7);
    /* More than a kernel takes in one call: they go one by one, and so do all from then on. */
    before = fake.datagrams;
    CHECK(fake.io.send_batch(fake.io.ctx, &own, bytes, sizeof bytes, 10) == 0);
    for (steps = 0; fake.datagrams < before + 500 && steps < 100; steps++)
        CHECK(rit_posix_step(port, 1000) == 0);
    CHECK(fake.datagrams == before + 500 && fake.last_len == 10);
    before = fake.datagrams;
    CHECK(fake.io.send_batch(fake.io.ctx, &own, bytes, 3000, 1200) == 0);
    for (steps = 0; fake.datagrams < before + 3 && steps < 10; steps++)
        CHECK(rit_posix_step(port, 1000) == 0);
    CHECK(fake.datagrams == before + 3 && fake.last_len == 600);
    rit_posix_free(port);
}

/* Sends 40 datagrams of 100 bytes to the port's own socket, and sees that they arrive in order. */
static void pass_forty(rit_posix *port, const struct rit_path *own) {
    static uint8_t bytes[4000];
    unsigned before = fake.datagrams;
    int steps;

    bytes[3999]++;
    CHECK(fake.io.send_batch(fake.io.ctx, own, bytes, sizeof bytes, 100) == 0);
    for (steps = 0; fake.datagrams < before + 40 && steps < 50; steps++)
        CHECK(rit_posix_step(port, 1000) == 0);
    CHECK(fake.datagrams == before + 40 && fake.last_len == 100);
    CHECK(fake.last_datagram[99] == bytes[3999]);
}

/* What the kernel refuses is asked once; what fails for a while is asked again. */
static void test_refused_calls(void) {
    static const int refusals[] = {ENOSYS, EINVAL, EIO};
    static uint8_t bytes[4000];
    size_t i;

    for (i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct rit_path own;
        rit_posix *port = local_port(&own);

        memset(&fake.sendmsg, 0, sizeof fake.sendmsg);
        memset(&fake.sendmmsg, 0, sizeof fake.sendmmsg);
        memset(&fake.recvmmsg, 0, sizeof fake.recvmmsg);
        fake.sendmsg.error = ENOBUFS;
        CHECK(fake.io.send_batch(fake.io.ctx, &own, bytes, 4000, 100) != 0);
        CHECK(fake.sendmsg.calls == 1 && fake.sendmmsg.calls == 0);
        fake.sendmsg.error = 0;
        pass_forty(port, &own);
        CHECK(fake.sendmsg.calls == 2 && fake.recvmmsg.calls > 0);
        fake.sendmsg.error = refusals[i];
        pass_forty(port, &own);
        CHECK(fake.sendmsg.calls == 3 && fake.sendmmsg.calls == 2);
        fake.sendmmsg.most = 3;
        pass_forty(port, &own);
        CHECK(fake.sendmsg.calls == 3 && fake.sendmmsg.calls == 2 + 14);
        fake.sendmmsg.error = refusals[i];
        pass_forty(port, &own);
        CHECK(fake.sendmmsg.calls == 2 + 15);
        fake.recvmmsg.error = refusals[i];
        fake.recvmmsg.calls = 0;
        pass_forty(port, &own);
        pass_forty(port, &own);
        CHECK(fake.sendmmsg.calls == 2 + 15 && fake.recvmmsg.calls == 1);
        memset(&fake.sendmsg, 0, sizeof fake.sendmsg);
        memset(&fake.sendmmsg, 0, sizeof fake.sendmmsg);
        memset(&fake.recvmmsg, 0, sizeof fake.recvmmsg);
        rit_posix_free(port);
    }
}

/* Datagrams arrive marked as they were sent, alone or with others. */
static void test_marks(void) {
    static uint8_t bytes[3000];
    size_t family, families = 0;
    struct rit_path first, own;
    rit_posix *port = local_port(&first);

    for (family = 0; family < 2; family++) {
        own = first;
        uint8_t ecn;
        if (family == 1) {
            if (port->udp[1] < 0)
                break;
            memset(own.ip, 0, sizeof own.ip);
            own.ip[15] = 1;
            own.port = port->udp_port[1];
        }
        families++;
        for (ecn = 0; ecn < 4; ecn++) {
            unsigned before = fake.datagrams;
            own.ecn = ecn;
            CHECK(fake.io.send(fake.io.ctx, &own, bytes, 100) == 0);
            CHECK(rit_posix_step(port, 1000) == 0);
            CHECK(fake.datagrams == before + 1 && fake.last_from.ecn == ecn);
            for (port->sends_no_trains = 0; port->sends_no_trains < 2; port->sends_no_trains++) {
                before = fake.datagrams;
                CHECK(fake.io.send_batch(fake.io.ctx, &own, bytes, sizeof bytes, 1000) == 0);
                CHECK(rit_posix_step(port, 1000) == 0);
                CHECK(fake.datagrams == before + 3 && fake.last_from.ecn == ecn);
            }
        }
    }
    printf("marks: %zu of 2 address families\n", families);
    /* A kernel that does not know of them: asked once, and all go without. */
    own = first;
    own.ecn = 2;
    fake.sendmsg.error = EINVAL;
    fake.sendmsg.calls = 0;
    for (family = 0; family < 2; family++) {
        unsigned before = fake.datagrams;
        CHECK(fake.io.send(fake.io.ctx, &own, bytes, 100) == 0);
        CHECK(rit_posix_step(port, 1000) == 0);
        CHECK(fake.datagrams == before + 1 && fake.last_from.ecn == 0 && fake.sendmsg.calls == 1);
    }
    memset(&fake.sendmsg, 0, sizeof fake.sendmsg);
    rit_posix_free(port);
}

static void test_events_wait_in_order(void) {
    struct rit_posix_event event;
    int error, i, count = 0;
    rit_posix *port = try_port(state_dir, &error);

    for (i = 0; i < 200; i++)
        fake_push(i % 2 == 0 ? RIT_EVENT_BROKER_ONLINE : RIT_EVENT_BROKER_OFFLINE, 0, 0, -i);
    CHECK(rit_posix_step(port, 0) == 0);
    while (rit_posix_next(port, &event)) {
        CHECK(event.error == -(72 + count));
        count++;
    }
    CHECK(count == 128); /* the latest */
    CHECK(rit_posix_next(NULL, &event) == 0 && rit_posix_next(port, NULL) == 0);
    rit_posix_free(port);
}

static void test_wrong_calls(void) {
    uint8_t device[RIT_KEY_LEN] = {1};
    int error;
    rit_posix *port = try_port(state_dir, &error);

    CHECK(rit_posix_offer(NULL, "web", "127.0.0.1", 80) == RIT_ERR_NULL);
    CHECK(rit_posix_offer(port, "web", "127.0.0.1", 0) == RIT_ERR_ARG);
    CHECK(rit_posix_offer(port, "web", "no such host.", 80) == RIT_POSIX_ERR_RESOLVE);
    CHECK(rit_posix_reach(port, NULL, "web", 0) == RIT_ERR_NULL);
    CHECK(rit_posix_reach(NULL, device, "web", 0) == RIT_ERR_NULL);
    CHECK(rit_posix_broker(port, NULL, NULL) == RIT_ERR_NULL);
    CHECK(rit_posix_step(NULL, 0) == RIT_ERR_NULL && rit_posix_node(NULL) == NULL);
    rit_posix_free(NULL);
    rit_posix_free(port);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    state_dir = argv[1];
    test_identity_is_kept();
    test_second_process();
    test_bad_folders();
    test_datagrams();
    test_trains();
    test_refused_calls();
    test_marks();
    test_events_wait_in_order();
    test_wrong_calls();
    puts("test_system: 8 tests passed");
    return 0;
}
