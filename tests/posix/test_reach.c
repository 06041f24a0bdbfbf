/* test_reach.c: which services of a device are listened for, with a fake librit. */
#define _POSIX_C_SOURCE 200809L

#include <string.h>
#include <unistd.h>

#include "fake_rit.h"
#include "internal.h"

static const char *state_dir;

static rit_posix *new_port(void) {
    struct rit_posix_config config = {.state_dir = state_dir};
    int error;
    rit_posix *port = rit_posix_new(&config, &error);

    CHECK(port != NULL);
    return port;
}

static void steps(rit_posix *port, int count) {
    struct rit_posix_event event;

    while (count-- > 0)
        CHECK(rit_posix_step(port, 0) == 0);
    while (rit_posix_next(port, &event))
        ;
}

static size_t count_auto(const rit_posix *port) {
    const struct ritp_want *want;
    size_t count = 0;

    for (want = port->wants; want != NULL; want = want->next)
        count += (size_t)(want->is_auto != 0);
    return count;
}

/* A device of which all is reached has others each time: those it had make room. */
static void test_services_that_change(void) {
    static const char LETTERS[] = "0123456789abcdefghijklmnopqrstuvwxyz-_";
    uint8_t device[RIT_KEY_LEN] = {7};
    rit_posix *port = new_port();
    uint16_t number = 0;
    size_t i;
    int fd = ritp_udp_socket(0, &number); /* a number that is free */

    CHECK(fd >= 0);
    CHECK(rit_posix_reach(port, device, NULL, 0) == 0);
    CHECK(rit_posix_reach(port, device, "chosen", 0) == 0);
    fake.service_count = 2;
    fake.services[0].port = fake.services[1].port = number;
    fake_push(RIT_EVENT_BROKER_ONLINE, 0, 0, 0);
    for (i = 0; i < RITP_AUTO_MAX; i++) {
        (void)sprintf(fake.services[0].name, "%c%u", LETTERS[i % 38], (unsigned)i);
        (void)sprintf(fake.services[1].name, "%cx%u", LETTERS[(i + 19) % 38], (unsigned)i);
        fake.now_us += 60000000;
        steps(port, 2);
        fake_push(RIT_EVENT_SESSION_UP, fake.last_session, 0, 0);
        steps(port, 2);
        CHECK(count_auto(port) == (2 * (i + 1) < RITP_AUTO_MAX ? 2 * (i + 1) : RITP_AUTO_MAX));
        CHECK(strcmp(port->wants->service, fake.services[1].name) == 0 && port->wants->fd >= 0);
        fake_push(RIT_EVENT_SESSION_DOWN, fake.last_session, 0, RIT_ERR_CLOSED);
        steps(port, 2);
    }
    CHECK(rit_posix_leave(port, device, "chosen") == RIT_OK); /* which was in nobody's way */
    rit_posix_free(port);
    fake_forget();
    CHECK(close(fd) == 0);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    state_dir = argv[1];
    test_services_that_change();
    puts("test_reach: 1 test passed");
    return 0;
}
