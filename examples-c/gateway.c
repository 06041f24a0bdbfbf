/* gateway.c: offers a neighbour's web page, that of a host which has no librit.
 *
 *   gateway STATE-DIR rit://KEY@HOST:PORT CODE KEY NEIGHBOUR
 *
 * CODE enrols it; the owner of KEY (reach --key) may use it. NEIGHBOUR is an address such as
 * 192.168.1.20: its port 80 appears as the service web.neighbour, and nothing else of its network
 * does. The command `rit gateway` does this and more.
 */
#include <stdio.h>

#include "rit_posix.h"

static void print_key(rit_posix *port) {
    uint8_t key[RIT_KEY_LEN];
    char text[RIT_KEY_TEXT_LEN];

    rit_node_public_key(rit_posix_node(port), key);
    rit_key_to_text(key, text);
    printf("key %s\n", text);
}

static int run(rit_posix *port, char **argv) {
    struct rit_posix_event event;
    uint8_t user[RIT_KEY_LEN];
    int error = rit_key_from_text(argv[4], user);

    print_key(port);
    if (error == 0)
        error = rit_peer_allow(rit_posix_node(port), user);
    if (error == 0)
        error = rit_posix_neighbour_allow(port, argv[5], 80, 80);
    if (error == 0)
        error = rit_posix_offer_neighbour(port, RIT_SERVICE_TCP, "web.neighbour", argv[5], 80);
    if (error == 0)
        error = rit_posix_broker(port, argv[2], argv[3]);
    while (error == 0) {
        error = rit_posix_step(port, -1);
        while (rit_posix_next(port, &event))
            printf("event %d: %s\n", (int)event.type, rit_posix_strerror(event.error));
        fflush(stdout);
    }
    return error;
}

int main(int argc, char **argv) {
    struct rit_posix_config config = {0};
    rit_posix *port = NULL;
    int error = RIT_ERR_ARG;

    if (argc == 6) {
        config.state_dir = argv[1];
        port = rit_posix_new(&config, &error);
    }
    if (port != NULL)
        error = run(port, argv);
    fprintf(stderr, "gateway: %s\n", rit_posix_strerror(error));
    rit_posix_free(port);
    return 1;
}
