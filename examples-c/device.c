/* device.c: offers local TCP and UDP services to the peers it allows, through a broker.
 *
 *   device --state DIR --broker rit://KEY@HOST:PORT [--enrol CODE]
 *          [--gateway rit://KEY@HOST [--gateway-enrol CODE]] [--allow KEY]...
 *          [--owner SECRET | --owner-by-code | --owner-reset] [--code HASH]... [--map-port]
 *          NAME=[udp:]HOST:PORT... [--priority NAME=URGENCY,WEIGHT]...
 *
 * KEY after --allow is what `reach --key` prints; a service is web=127.0.0.1:80, or
 * dns=udp:127.0.0.1:53. The services stay bound to loopback, and nothing else listens.
 *
 * With --owner it obeys an owner: whoever claims it with SECRET, the text of its label (owner
 * claim), and from then on lets in whom that owner granted it. With --owner-by-code it prints a
 * code to claim it by; with --owner-reset, which stands for a button that is held, it forgets its
 * owner. With --code only peers are let in that state to run code of one of these hashes, 64
 * hexadecimal digits; see sensor.c. With --map-port the router is asked for a port that leads here.
 * With --priority a service's bytes go before those of another of higher
 * URGENCY (0 to 7, else 3), and beside others of its own by WEIGHT (1 to 256, else 16). With
 * --gateway it turns to the gateway of its LAN (rit-server --lan) while the broker cannot be
 * reached; HOST is _rit._udp.local where it is to be found. Prints its own key, then what happens.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rit_posix.h"

static volatile sig_atomic_t is_stopped;

static void on_signal(int number) {
    (void)number;
    is_stopped = 1;
}

static int usage(void) {
    fputs("usage: device --state DIR --broker URI [--enrol CODE]\n"
          "              [--gateway URI [--gateway-enrol CODE]] [--allow KEY]...\n"
          "              [--owner SECRET | --owner-by-code | --owner-reset] [--code HASH]...\n"
          "              [--map-port] NAME=[udp:]HOST:PORT...\n"
          "              [--priority NAME=URGENCY,WEIGHT]...\n", stderr);
    return 2;
}

/* Says what went wrong; the exit status. */
static int failed(const char *what, int error) {
    fprintf(stderr, "device: %s: %s\n", what, rit_posix_strerror(error));
    return 1;
}

/* Lets the owner of a key, as `reach --key` prints it, open sessions. */
static int allow(rit_posix *port, const char *text) {
    uint8_t key[RIT_KEY_LEN];
    int error = rit_key_from_text(text, key);

    return error != RIT_OK ? error : rit_peer_allow(rit_posix_node(port), key);
}

/* Offers "name=host:port" or "name=udp:host:port". */
static int offer(rit_posix *port, const char *text) {
    char name[400], *host, *number, *end;
    unsigned long value;

    if (strlen(text) >= sizeof name)
        return RIT_ERR_ARG;
    strcpy(name, text);
    host = strchr(name, '=');
    number = strrchr(name, ':');
    if (host == NULL || number == NULL || number < host)
        return RIT_ERR_ARG;
    *host++ = '\0';
    *number++ = '\0';
    value = strtoul(number, &end, 10);
    if (*end != '\0' || value == 0 || value > 65535)
        return RIT_ERR_ARG;
    if (strncmp(host, "udp:", 4) == 0)
        return rit_posix_offer_udp(port, name, host + 4, (uint16_t)value);
    return rit_posix_offer(port, name, host, (uint16_t)value);
}

/* "name=urgency,weight" of a service that is offered. */
static int prioritise(rit_posix *port, const char *text) {
    char name[RIT_POSIX_NAME_LEN], rest;
    unsigned urgency, weight;

    if (sscanf(text, "%63[^=]=%u,%u%c", name, &urgency, &weight, &rest) != 3)
        return RIT_ERR_ARG;
    return rit_posix_prioritise(port, name, urgency, weight);
}

/* Hashes of code whose peers are let in. */
static const char *listed[16];
static int listed_count;

/* rit_io.check_attestation: a listed hash, then the challenge; see sensor.c. */
static int32_t check(void *ctx, const uint8_t *peer, const uint8_t *challenge,
                     const uint8_t *statement, size_t len) {
    char hash[65];
    int i;

    (void)ctx, (void)peer;
    if (len != 64 || memcmp(statement + 32, challenge, 32) != 0)
        return -1;
    for (i = 0; i < 32; i++)
        (void)sprintf(hash + 2 * i, "%02x", statement[i]);
    for (i = 0; i < listed_count; i++)
        if (strcmp(hash, listed[i]) == 0)
            return 0;
    printf("unlisted-code %s\n", hash);
    fflush(stdout);
    return -1;
}

/* Obeys an owner: claimed by the text of a secret, or by a code that it prints. */
static int obey(rit_posix *port, const char *how, const char *secret_text) {
    rit_node *node = rit_posix_node(port);
    uint8_t secret[RIT_CLAIM_SECRET_LEN];
    struct rit_ownership ownership = {0};
    char code[RIT_CLAIM_CODE_LEN];
    int error = RIT_OK;

    if (secret_text != NULL)
        error = rit_claim_secret_from_text(secret_text, secret);
    if (error == RIT_OK)
        error = rit_trust_start(node, secret_text != NULL ? secret : NULL);
    if (error == RIT_OK && strcmp(how, "--owner-reset") == 0)
        error = rit_factory_reset(node);
    ownership.struct_size = (uint32_t)sizeof ownership;
    if (error == RIT_OK)
        error = rit_owner_info(node, &ownership);
    if (error == RIT_OK && !ownership.is_claimed && strcmp(how, "--owner-by-code") == 0) {
        error = rit_claim_code_show(node, code);
        if (error == RIT_OK)
            printf("claim-code %s\n", code);
    }
    return error;
}

static void print_key(rit_posix *port) {
    uint8_t key[RIT_KEY_LEN];
    char text[RIT_KEY_TEXT_LEN];

    rit_node_public_key(rit_posix_node(port), key);
    rit_key_to_text(key, text);
    printf("key %s\n", text);
    fflush(stdout); /* whoever reads a pipe wants it now */
}

/* Prints what happened; 1 if there is no point in going on. */
static int show(const struct rit_posix_event *event) {
    static const char *const WORDS[] = {"", "online", "offline", "enrolled", "enrol-refused",
        "session-up", "session-down", "listening", "unavailable", "connection", "network-changed",
        "port-mapped", "claimed", "owner-changed", "revoked", "owner-answered", "cloak-off",
        "gateway-online", "gateway-offline"};
    int is_cloaked = event->type == RIT_POSIX_CLOAK && event->number == 0;
    char peer[RIT_KEY_TEXT_LEN];

    rit_key_to_text(event->peer, peer);
    printf("%s", is_cloaked ? "cloaked" : WORDS[event->type]);
    if (event->type == RIT_POSIX_SESSION_UP || event->type == RIT_POSIX_SESSION_DOWN ||
        event->type == RIT_POSIX_CLAIMED || event->type == RIT_POSIX_OWNER_CHANGED)
        printf(" %s", peer);
    if (event->number != 0)
        printf(" %lu", (unsigned long)event->number);
    if (event->type == RIT_POSIX_CONNECTION)
        printf(" %s", event->service);
    if (event->type == RIT_POSIX_PORT_MAPPED)
        printf(" %s:%u", event->port != 0 ? event->address : "none", (unsigned)event->port);
    if (event->error != 0)
        printf(": %s", rit_posix_strerror(event->error));
    printf("\n");
    fflush(stdout);
    return event->type == RIT_POSIX_ENROL_REFUSED ? failed("the broker", event->error) : 0;
}

/* Whom it connects to. */
static const char *broker, *code, *gateway, *gateway_code;

static int connect_to_all(rit_posix *port) {
    int error = gateway != NULL ? rit_posix_gateway(port, gateway, gateway_code) : RIT_OK;

    if (error != RIT_OK)
        return failed(gateway, error);
    error = rit_posix_broker(port, broker, code);
    return error != RIT_OK ? failed(broker, error) : 0;
}

/* Does what the arguments say. */
static int set_up(rit_posix *port, int argc, char **argv) {
    int i, error = RIT_OK, offered = 0;

    for (i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            error = offer(port, argv[i]);
            offered++;
        } else if (strcmp(argv[i], "--map-port") == 0) {
            continue;
        } else if (strcmp(argv[i], "--owner-by-code") == 0 ||
                   strcmp(argv[i], "--owner-reset") == 0) {
            error = obey(port, argv[i], NULL);
        } else if (i + 1 == argc) {
            return usage();
        } else if (strcmp(argv[i++], "--allow") == 0) {
            error = allow(port, argv[i]);
        } else if (strcmp(argv[i - 1], "--priority") == 0) {
            continue; /* once there are services */
        } else if (strcmp(argv[i - 1], "--owner") == 0) {
            error = obey(port, argv[i - 1], argv[i]);
        } else if (strcmp(argv[i - 1], "--broker") == 0) {
            broker = argv[i];
        } else if (strcmp(argv[i - 1], "--enrol") == 0) {
            code = argv[i];
        } else if (strcmp(argv[i - 1], "--gateway") == 0) {
            gateway = argv[i];
        } else if (strcmp(argv[i - 1], "--gateway-enrol") == 0) {
            gateway_code = argv[i];
        } else if (strcmp(argv[i - 1], "--state") != 0 && strcmp(argv[i - 1], "--code") != 0) {
            return usage();
        }
        if (error != RIT_OK)
            return failed(argv[i], error);
    }
    for (i = 1; i + 1 < argc && error == RIT_OK; i++) {
        if (strcmp(argv[i], "--priority") == 0) {
            error = prioritise(port, argv[++i]);
            if (error != RIT_OK)
                return failed(argv[i], error);
        }
    }
    return broker == NULL || offered == 0 ? usage() : 0;
}

int main(int argc, char **argv) {
    struct rit_posix_config config = {0};
    struct rit_posix_event event;
    rit_posix *port;
    int i, error, status;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--state") == 0 && i + 1 < argc)
            config.state_dir = argv[i + 1];
        if (strcmp(argv[i], "--map-port") == 0)
            config.port_mapping = 1;
        if (strcmp(argv[i], "--code") == 0 && i + 1 < argc && listed_count < 16) {
            listed[listed_count++] = argv[i + 1];
            config.check_attestation = check;
        }
    }
    if (config.state_dir == NULL)
        return usage();
    port = rit_posix_new(&config, &error);
    if (port == NULL)
        return failed(config.state_dir, error);
    status = set_up(port, argc, argv);
    if (status == 0) {
        print_key(port);
        status = connect_to_all(port);
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    while (status == 0 && !is_stopped) {
        error = rit_posix_step(port, 1000);
        if (error != 0)
            status = failed("the loop ended", error);
        while (rit_posix_next(port, &event))
            status |= show(&event);
    }
    rit_posix_free(port);
    return status;
}
