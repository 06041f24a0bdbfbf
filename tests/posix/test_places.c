/* test_places.c: the addresses of services, with a fake librit whose addresses collide: its names
 * with the same first letter have the same ones, and so have all devices with the same first octet.
 */
#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_rit.h"
#include "internal.h"

static const uint8_t ANN[RIT_KEY_LEN] = {7, 1}, BOB[RIT_KEY_LEN] = {7, 2};
static const char *state_dir;
static char last_log[512];

static void on_log(void *ctx, int32_t level, const char *msg) {
    (void)ctx;
    (void)level;
    (void)snprintf(last_log, sizeof last_log, "%s", msg);
}

static rit_posix *new_port(void) {
    struct rit_posix_config config = {.state_dir = state_dir, .log = on_log};
    int error;
    rit_posix *port;

    last_log[0] = '\0';
    port = rit_posix_new(&config, &error);
    CHECK(port != NULL);
    return port;
}

/* Listens for a service at this port; the address. */
static const char *listened_at(rit_posix *port, const uint8_t *device, const char *service,
                               uint16_t number) {
    static char text[16];
    struct ritp_peer peer;
    struct ritp_want want;
    struct rit_posix_event event;

    memset(&peer, 0, sizeof peer);
    memset(&want, 0, sizeof want);
    memcpy(peer.device, device, RIT_KEY_LEN);
    want.peer = &peer;
    want.fd = want.udp_fd = -1;
    (void)snprintf(want.service, sizeof want.service, "%s", service);
    ritp_listen(port, &want, RIT_SERVICE_TCP, number);
    CHECK(want.fd >= 0 && close(want.fd) == 0);
    ritp_places_save(port);
    while (rit_posix_next(port, &event)) {
        if (event.type == RIT_POSIX_LISTENING)
            (void)snprintf(text, sizeof text, "%s", event.address);
    }
    return text;
}

static uint16_t free_number(void) {
    uint16_t number = 0;
    int fd = ritp_udp_socket(0, &number);

    CHECK(fd >= 0 && close(fd) == 0);
    return number;
}

static const char *listened(rit_posix *port, const uint8_t *device, const char *service) {
    return listened_at(port, device, service, free_number());
}

static void check_at(const uint8_t *device, const char *service, const char *address) {
    rit_posix *port = new_port();
    const char *found = listened(port, device, service);

    if (strcmp(found, address) != 0) {
        fprintf(stderr, "%s at %s, not %s\n", service, found, address);
        exit(1);
    }
    rit_posix_free(port);
    fake_forget();
}

static void write_file(const char *text) {
    char path[4096];
    int fd;

    (void)snprintf(path, sizeof path, "%s/addresses", state_dir);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

/* Each run has its own order. */
static void test_collisions_and_restarts(void) {
    rit_posix *port = new_port();

    CHECK(strcmp(listened(port, ANN, "web"), "127.20.7.1") == 0);
    CHECK(strcmp(listened(port, BOB, "web"), "127.20.7.2") == 0);
    CHECK(strcmp(listened(port, ANN, "wob"), "127.20.7.3") == 0);
    CHECK(strcmp(listened(port, ANN, "web"), "127.20.7.1") == 0); /* again, in the same run */
    rit_posix_free(port);
    fake_forget();
    check_at(ANN, "wob", "127.20.7.3");
    check_at(BOB, "web", "127.20.7.2");
    check_at(ANN, "web", "127.20.7.1");
}

/* The first choice of one is what another was given in a run without it. */
static void test_taken_by_a_second_choice(void) {
    static const uint8_t CAROL[RIT_KEY_LEN] = {7, 3};

    check_at(CAROL, "wab", "127.20.7.4");
    check_at(CAROL, "web", "127.20.7.5");
    check_at(CAROL, "wab", "127.20.7.4");
}

static void test_damage(void) {
    static const char *const BAD[] = {
        "x\n", "127.20.7.9", "1.2.3.4 k web\n", "127.20.7.9 key web\n", "\n",
        "10.20.7.9 ahacaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa web\n",
        "127.20.7.9 ahacaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa web more\n",
        "127.20.7.9 ahacaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa web\n",
        "127.20.7.9 ahacaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
    };
    size_t i;

    for (i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        write_file(BAD[i]);
        check_at(BOB, "web", "127.20.7.1");
        CHECK(strstr(last_log, "damaged") != NULL);
    }
    write_file("127.20.7.9 ahacaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa web\n"
               "127.20.7.9 ahabaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa web\nx");
    check_at(BOB, "web", "127.20.7.9"); /* what is good is used, and nobody shares it */
    CHECK(strstr(last_log, "damaged") != NULL);
    check_at(ANN, "web", "127.20.7.1");
    write_file("");
    check_at(ANN, "web", "127.20.7.1");
}

/* Another program has a service's address: it is elsewhere while that is so, and no longer. */
static void test_elsewhere_for_now(void) {
    static const uint8_t TAKEN[4] = {127, 20, 7, 1};
    uint16_t number = free_number();
    rit_posix *port;
    int fd;

    write_file("");
    check_at(ANN, "web", "127.20.7.1");
    fd = ritp_listen_at(TAKEN, number, SOCK_STREAM);
    CHECK(fd >= 0);
    port = new_port();
    CHECK(strcmp(listened_at(port, ANN, "web", number), "127.20.7.2") == 0);
    CHECK(strstr(last_log, "in this run") != NULL);
    CHECK(strcmp(listened(port, BOB, "web"), "127.20.7.3") == 0); /* nor is that shared */
    CHECK(strcmp(listened_at(port, ANN, "web", number), "127.20.7.2") == 0);
    rit_posix_free(port);
    fake_forget();
    CHECK(close(fd) == 0);
    check_at(ANN, "web", "127.20.7.1");
    check_at(BOB, "web", "127.20.7.3");
}

/* A device with ever more services makes nobody forget others'. */
static void test_limit_of_a_device(void) {
    static const char LETTERS[] = "0123456789abcdefghijklmnopqrstuvwxyz-_";
    rit_posix *port;
    char name[16];
    unsigned i;

    write_file("");
    port = new_port();
    CHECK(strcmp(listened(port, ANN, "web"), "127.20.7.1") == 0);
    for (i = 0; i <= RITP_PLACES_OF_DEVICE_MAX; i++) {
        (void)snprintf(name, sizeof name, "%c%u", LETTERS[i % 38], i);
        (void)listened(port, BOB, name);
        CHECK(port->place_count == 1 + (i < RITP_PLACES_OF_DEVICE_MAX
                                            ? i + 1 : RITP_PLACES_OF_DEVICE_MAX));
    }
    rit_posix_free(port);
    fake_forget();
    check_at(ANN, "web", "127.20.7.1");
}

/* At and over the number that is remembered. */
static void test_limit(void) {
    rit_posix *port;
    uint8_t device[RIT_KEY_LEN] = {1};
    char line[256], *text = malloc(RITP_PLACES_MAX * 128), key[RIT_KEY_TEXT_LEN];
    size_t i, len = 0;

    CHECK(text != NULL);
    for (i = 0; i < RITP_PLACES_MAX; i++) {
        device[1] = (uint8_t)(i >> 8);
        device[2] = (uint8_t)i;
        (void)rit_key_to_text(device, key);
        (void)snprintf(line, sizeof line, "127.200.%u.%u %s s\n", (unsigned)(i >> 8),
                       (unsigned)(i & 255), key);
        memcpy(text + len, line, strlen(line) + 1);
        len += strlen(line);
    }
    write_file(text);
    free(text);
    port = new_port();
    CHECK(last_log[0] == '\0' && port->place_count == RITP_PLACES_MAX);
    CHECK(strcmp(listened(port, device, "s"), "127.200.15.255") == 0);
    CHECK(strcmp(listened(port, ANN, "web"), "127.20.7.1") == 0);
    CHECK(port->place_count == RITP_PLACES_MAX);
    device[1] = device[2] = 0; /* which was the first */
    CHECK(strcmp(listened(port, device, "s"), "127.16.1.1") == 0);
    rit_posix_free(port);
    fake_forget();
    check_at(ANN, "web", "127.20.7.1");
    check_at(device, "s", "127.16.1.1");
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    state_dir = argv[1];
    test_collisions_and_restarts();
    test_taken_by_a_second_choice();
    test_damage();
    test_elsewhere_for_now();
    test_limit_of_a_device();
    test_limit();
    puts("test_places: 6 tests passed");
    return 0;
}
