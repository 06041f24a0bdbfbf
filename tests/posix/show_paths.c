/* show_paths.c: the POSIX port over a fake librit, which says what it is told of the network.
 *
 *   show_paths STATE-DIR
 *
 * Prints "paths ADDRESS%INTERFACE..." each time own addresses are told, "changed" each time that
 * the network is said to have changed. For tests/nat, in a network namespace; ends by a signal.
 */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <string.h>

#include "fake_rit.h"
#include "internal.h"

static void show_path(const struct rit_path *path) {
    static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    int is_v4 = memcmp(path->ip, MAPPED, sizeof MAPPED) == 0;
    char text[INET6_ADDRSTRLEN];

    CHECK(path->port != 0 && inet_ntop(is_v4 ? AF_INET : AF_INET6,
                                       is_v4 ? path->ip + 12 : path->ip, text, sizeof text));
    printf(" %s%%%u", text, (unsigned)path->ifindex);
}

int main(int argc, char **argv) {
    struct rit_posix_config config = {0};
    unsigned sets = 0, changes = 0;
    struct rit_posix_event event;
    rit_posix *port;
    int error, is_first = 1;
    size_t i;

    CHECK(argc == 2);
    config.state_dir = argv[1];
    port = rit_posix_new(&config, &error);
    CHECK(port != NULL);
    do {
        if (is_first || fake.path_sets != sets) {
            is_first = 0;
            sets = fake.path_sets;
            printf("paths");
            for (i = 0; i < fake.path_count; i++)
                show_path(&fake.paths[i]);
            printf("\n");
        }
        for (; changes < fake.changes; changes++)
            printf("changed\n");
        (void)fflush(stdout);
        while (rit_posix_next(port, &event))
            ;
    } while (rit_posix_step(port, 1000) == 0);
    return 1;
}
