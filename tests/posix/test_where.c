/* test_where.c: a broker whose name does not resolve now, and where it was before; with a fake
 * librit and a fake resolver, which the port asks in a thread of its own. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fake_rit.h"
#include "internal.h"

#define SECOND 1000000u

static const char *state_dir;

static void on_log(void *ctx, int32_t level, const char *msg) {
    (void)ctx, (void)level, (void)msg;
}

static const char *inside(const char *file) {
    static char path[4096];

    (void)snprintf(path, sizeof path, "%s/%s", state_dir, file);
    return path;
}

static rit_posix *fresh(void) {
    struct rit_posix_config config = {.state_dir = state_dir, .log = on_log};
    int error;
    rit_posix *port = rit_posix_new(&config, &error);

    CHECK(port != NULL);
    fake.broker_count = fake.broker_calls = 0;
    return port;
}

static void forget_files(void) {
    CHECK(unlink(inside("broker-at")) == 0 || errno == ENOENT);
    CHECK(unlink(inside("gateway-at")) == 0 || errno == ENOENT);
}

/* Steps until the thread's answer was taken. */
static void answered(rit_posix *port) {
    const struct timespec pause = {.tv_nsec = 2000000};
    int i;

    for (i = 0; i < 2500 && port->broker.fd >= 0; i++) {
        CHECK(rit_posix_step(port, 0) == 0 && nanosleep(&pause, NULL) == 0);
    }
    CHECK(port->broker.fd < 0);
}

static int has_path(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    const uint8_t ip[4] = {a, b, c, d};

    return fake.broker_count > 0 && memcmp(fake.broker_paths[0].ip + 12, ip, 4) == 0;
}

static void test_an_address_needs_no_resolver(void) {
    rit_posix *port = fresh();

    fake.names_asked = 0;
    CHECK(rit_posix_broker(port, "rit://broker", NULL) == 0 && has_path(127, 0, 0, 1));
    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    CHECK(rit_posix_step(port, 0) == 0 && port->is_online);
    fake_push(RIT_EVENT_BROKER_OFFLINE, 0, 0, RIT_ERR_TIMEOUT);
    fake.now_us += 100 * (uint64_t)SECOND;
    CHECK(rit_posix_step(port, 0) == 0 && !port->is_online);
    CHECK(fake.names_asked == 0 && access(inside("broker-at"), F_OK) != 0);
    rit_posix_free(port);
}

static void test_without_another_way_it_is_an_error(void) {
    rit_posix *port = fresh();

    fake.names_error = EAI_AGAIN;
    CHECK(rit_posix_broker(port, "rit://named", "CODE") == RIT_POSIX_ERR_RESOLVE);
    CHECK(fake.broker_calls == 0);
    fake.now_us += 100 * (uint64_t)SECOND;
    CHECK(rit_posix_step(port, 0) == 0 && fake.broker_calls == 0);
    fake.names_error = 0;
    CHECK(rit_posix_broker(port, "rit://named", "CODE") == 0 && has_path(127, 0, 0, 1));
    rit_posix_free(port);
    CHECK(access(inside("broker-at"), F_OK) != 0); /* it was never met there */
}

static void test_where_it_was_met_is_kept(void) {
    struct stat found;
    rit_posix *port = fresh();

    fake.names_answer = "192.0.2.7";
    CHECK(rit_posix_broker(port, "rit://named", NULL) == 0 && has_path(192, 0, 2, 7));
    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    CHECK(rit_posix_step(port, 0) == 0);
    CHECK(stat(inside("broker-at"), &found) == 0 && (found.st_mode & 0777) == 0600);
    rit_posix_free(port);

    port = fresh();
    fake.names_error = EAI_AGAIN;
    CHECK(rit_posix_broker(port, "rit://named", NULL) == 0 && has_path(192, 0, 2, 7));
    rit_posix_free(port);

    /* Where it resolves, that is newer. */
    port = fresh();
    fake.names_error = 0;
    fake.names_answer = "192.0.2.8";
    CHECK(rit_posix_broker(port, "rit://named", NULL) == 0 && has_path(192, 0, 2, 8));
    rit_posix_free(port);
    fake.names_answer = NULL;
}

static void test_a_silent_resolver_holds_nothing_up(void) {
    time_t before;
    rit_posix *port = fresh();

    fake.names_wait = 1;
    /* The real clock: the port's is the test's. */
    before = time(NULL);
    CHECK(rit_posix_broker(port, "rit://named", NULL) == 0 && has_path(192, 0, 2, 7));
    CHECK(time(NULL) - before <= 10);
    CHECK(rit_posix_step(port, 0) == 0 && fake.broker_calls == 1);
    /* Other addresses come between two attempts. */
    fake.names_answer = "192.0.2.9";
    __atomic_store_n(&fake.names_wait, 0, __ATOMIC_SEQ_CST);
    fake.broker_answer = RIT_ERR_STATE;
    answered(port);
    CHECK(has_path(192, 0, 2, 7) && fake.broker_calls > 1);
    fake.broker_answer = RIT_OK;
    CHECK(rit_posix_step(port, 0) == 0 && has_path(192, 0, 2, 7)); /* not at once again */
    fake.now_us += SECOND;
    CHECK(rit_posix_step(port, 0) == 0 && has_path(192, 0, 2, 9));
    rit_posix_free(port);
    fake.names_answer = NULL;
}

static void test_a_gateway_is_another_way(void) {
    rit_posix *port = fresh();
    unsigned asked;

    forget_files();
    fake.names_error = EAI_NONAME;
    CHECK(rit_posix_gateway(port, "rit://gateway", "GATE") == 0);
    CHECK(fake.gateway_count == 1 && strcmp(fake.gateway_code, "GATE") == 0);
    CHECK(rit_posix_broker(port, "rit://named", "CODE") == 0 && fake.broker_calls == 0);
    /* It is asked for again once in 60 s, and not while it is being asked for. */
    asked = fake.names_asked;
    fake.now_us += 59 * (uint64_t)SECOND;
    CHECK(rit_posix_step(port, 0) == 0 && fake.names_asked == asked);
    fake.names_wait = 1;
    fake.names_error = 0;
    fake.now_us += 2 * (uint64_t)SECOND;
    CHECK(rit_posix_step(port, 0) == 0 && port->broker.fd >= 0);
    fake.now_us += 200 * (uint64_t)SECOND;
    CHECK(rit_posix_step(port, 0) == 0);
    __atomic_store_n(&fake.names_wait, 0, __ATOMIC_SEQ_CST);
    answered(port);
    CHECK(fake.names_asked == asked + 1);
    CHECK(fake.broker_calls == 1 && strcmp(fake.code, "CODE") == 0 && has_path(127, 0, 0, 1));
    /* What was needed once is not kept for longer. */
    fake_push(RIT_EVENT_ENROLLED, 0, 0, 0);
    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    CHECK(rit_posix_step(port, 0) == 0 && port->code[0] == '\0' && port->is_online);
    fake.now_us += 200 * (uint64_t)SECOND;
    CHECK(rit_posix_step(port, 0) == 0 && fake.names_asked == asked + 1); /* it is online */
    rit_posix_free(port);
}

static void test_it_may_be_freed_while_the_resolver_is_silent(void) {
    rit_posix *port = fresh();

    fake.names_wait = 1;
    CHECK(rit_posix_gateway(port, "rit://gateway", NULL) == 0);
    CHECK(rit_posix_broker(port, "rit://named", NULL) == 0 && port->broker.fd >= 0);
    rit_posix_free(port);
    __atomic_store_n(&fake.names_wait, 0, __ATOMIC_SEQ_CST);
}

static void write_file(const uint8_t *bytes, size_t len) {
    int fd = open(inside("broker-at"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && close(fd) == 0);
}

/* Whether the file with these bytes says where rit://named is. */
static int is_taken(rit_posix *port, const uint8_t *bytes, size_t len) {
    struct ritp_where where;

    write_file(bytes, len);
    CHECK(ritp_where_open(&where, "rit://named", "broker-at") == 0);
    ritp_where_load(port, &where);
    CHECK(where.count <= RITP_PATHS_MAX);
    return where.count > 0;
}

static void test_a_damaged_file_says_nothing(void) {
    struct ritp_where where;
    rit_posix *port = fresh();
    uint8_t good[512], bent[512];
    size_t len, i, head, count;
    int fd;

    CHECK(ritp_where_open(&where, "rit://named", "broker-at") == 0);
    for (count = 0; count < RITP_PATHS_MAX; count++) {
        where.paths[count].ip[0] = 0x20;
        where.paths[count].ip[15] = (uint8_t)count;
        where.paths[count].port = 7480;
    }
    where.count = count;
    ritp_where_keep(port, &where);
    fd = open(inside("broker-at"), O_RDONLY);
    len = (size_t)read(fd, good, sizeof good);
    CHECK(close(fd) == 0 && len == 5 + 32 + 2 + 1 + 14 + 1 + 8 * 18);
    CHECK(is_taken(port, good, len));
    for (i = 1; i < len; i++)
        CHECK(!is_taken(port, good, i));
    memcpy(bent, good, len);
    CHECK(!is_taken(port, bent, len + 1));
    head = len - 8 * 18;
    for (i = 0; i < head; i++) { /* another key, port or host, or count */
        bent[i] ^= 1;
        CHECK(!is_taken(port, bent, len));
        bent[i] ^= 1;
    }
    bent[head - 1] = 9; /* more than there may be */
    memcpy(bent + len, good + len - 18, 18);
    CHECK(!is_taken(port, bent, len + 18));
    bent[head - 1] = 8;
    bent[head + 16] = bent[head + 17] = 0; /* a port that there is not */
    CHECK(!is_taken(port, bent, len));
    memcpy(bent, good, len);
    bent[head] = 0xff; /* a group */
    CHECK(!is_taken(port, bent, len));
    bent[head] = 0xfe;
    bent[head + 1] = 0x80; /* link-local: on which link? */
    CHECK(!is_taken(port, bent, len));
    forget_files();
    /* What nobody could use is not kept. */
    where.count = 1;
    where.paths[0].port = 0;
    ritp_where_keep(port, &where);
    CHECK(access(inside("broker-at"), F_OK) != 0);
    rit_posix_free(port);
}

static void test_codes_and_calls_that_are_wrong(void) {
    rit_posix *port = fresh();
    char code[RITP_CODE_LEN + 1];

    memset(code, 'A', sizeof code);
    code[RITP_CODE_LEN] = '\0';
    CHECK(rit_posix_broker(port, "rit://broker", code) == RIT_ERR_ARG);
    CHECK(rit_posix_gateway(port, "rit://gateway", code) == RIT_ERR_ARG);
    code[RITP_CODE_LEN - 1] = '\0'; /* 64 characters */
    CHECK(rit_posix_broker(port, "rit://broker", code) == 0);
    CHECK(rit_posix_gateway(NULL, "rit://gateway", NULL) == RIT_ERR_NULL);
    CHECK(rit_posix_gateway(port, "http://gateway", NULL) == RIT_ERR_ARG);
    CHECK(port->gateway == NULL);
    rit_posix_free(port);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    state_dir = argv[1];
    fake.now_us = 1000 * (uint64_t)SECOND;
    test_an_address_needs_no_resolver();
    test_without_another_way_it_is_an_error();
    test_where_it_was_met_is_kept();
    test_a_silent_resolver_holds_nothing_up();
    test_a_gateway_is_another_way();
    test_it_may_be_freed_while_the_resolver_is_silent();
    test_a_damaged_file_says_nothing();
    test_codes_and_calls_that_are_wrong();
    puts("test_where: 8 tests passed");
    return 0;
}
