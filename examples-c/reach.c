/* reach.c: makes a device's services appear at loopback addresses here.
 *
 *   reach --state DIR --key
 *   reach --state DIR --broker rit://KEY@HOST:PORT [--enrol CODE] [--grant FILE]
 *         [--gateway rit://KEY@HOST [--gateway-enrol CODE]] DEVICE-KEY [SERVICE[@PORT]]...
 *
 * The first form prints this user's own key, which the device must allow, or whose holder the
 * device's owner grants its services in a FILE (owner grant). The second reaches the services that
 * are named, or all that the device offers, and prints for each
 *
 *   listening SERVICE 127.x.y.z:PORT [udp]
 *
 * which is where to point a browser, ssh or any other client, now and in every later run. With
 * --gateway the gateway of the LAN stands in while the broker cannot be reached; see device.c.
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
    fprintf(stderr, "usage: reach --state DIR --key\n"
                    "       reach --state DIR --broker URI [--enrol CODE] [--grant FILE]\n"
                    "             [--gateway URI [--gateway-enrol CODE]] "
                    "DEVICE-KEY [SERVICE[@PORT]]...\n");
    return 2;
}

/* Says what went wrong; the exit status. */
static int failed(const char *what, int error) {
    fprintf(stderr, "reach: %s: %s\n", what, rit_posix_strerror(error));
    return 1;
}

static int print_key(rit_posix *port) {
    uint8_t key[RIT_KEY_LEN];
    char text[RIT_KEY_TEXT_LEN];

    rit_node_public_key(rit_posix_node(port), key);
    rit_key_to_text(key, text);
    printf("key %s\n", text);
    return 0;
}

/* Reaches "service" at its own port, or "service@port". */
static int reach(rit_posix *port, const uint8_t *device, const char *text) {
    char service[RIT_POSIX_NAME_LEN + 8], *at, *end;
    unsigned long number = 0;

    if (strlen(text) >= sizeof service)
        return RIT_ERR_NAME;
    strcpy(service, text);
    at = strchr(service, '@');
    if (at != NULL) {
        *at++ = '\0';
        number = strtoul(at, &end, 10);
        if (*end != '\0' || number == 0 || number > 65535)
            return RIT_ERR_ARG;
    }
    return rit_posix_reach(port, device, service, (uint16_t)number);
}

/* Gives the port the chain of grants in a file. */
static int use_grant(rit_posix *port, const uint8_t *device, const char *name) {
    uint8_t chain[RIT_CHAIN_MAX];
    FILE *file = fopen(name, "rb");
    size_t len;

    if (file == NULL)
        return RIT_POSIX_ERR_SYSTEM;
    len = fread(chain, 1, sizeof chain, file);
    fclose(file);
    return rit_posix_set_grant(port, device, chain, len);
}

/* What the options say. */
static const char *broker, *code, *grant, *gateway, *gateway_code;

/* The device's key, then the services; connects to gateway and broker. */
static int set_up(rit_posix *port, char **argv) {
    uint8_t device[RIT_KEY_LEN];
    int error = rit_key_from_text(*argv, device);

    if (error == 0 && grant != NULL) {
        error = use_grant(port, device, grant);
        if (error != 0)
            return failed(grant, error);
    }
    if (error == 0 && argv[1] == NULL)
        error = rit_posix_reach(port, device, NULL, 0);
    while (error == 0 && argv[1] != NULL)
        error = reach(port, device, *++argv);
    if (error != 0)
        return failed(*argv, error);
    if (gateway != NULL)
        error = rit_posix_gateway(port, gateway, gateway_code);
    if (error != 0)
        return failed(gateway, error);
    error = rit_posix_broker(port, broker, code);
    return error != 0 ? failed(broker, error) : 0;
}

/* Prints what happened; 1 if there is no point in going on. */
static int show(const struct rit_posix_event *event) {
    const char *why = rit_posix_strerror(event->error);

    if (event->type == RIT_POSIX_BROKER_ONLINE)
        printf("online\n");
    else if (event->type == RIT_POSIX_BROKER_OFFLINE)
        printf("offline %s\n", why);
    else if (event->type == RIT_POSIX_GATEWAY_ONLINE)
        printf("gateway-online\n");
    else if (event->type == RIT_POSIX_GATEWAY_OFFLINE)
        printf("gateway-offline %s\n", why);
    else if (event->type == RIT_POSIX_ENROLLED)
        printf("enrolled\n");
    else if (event->type == RIT_POSIX_SESSION_UP)
        printf("session-up\n");
    else if (event->type == RIT_POSIX_SESSION_DOWN && event->error == RIT_ERR_TIMEOUT)
        printf("session-down no answer: the device is offline or does not allow this key\n");
    else if (event->type == RIT_POSIX_SESSION_DOWN)
        printf("session-down %s\n", why);
    else if (event->type == RIT_POSIX_LISTENING)
        printf("listening %s %s:%u%s\n", event->service, event->address, (unsigned)event->port,
               event->kind == RIT_SERVICE_UDP ? " udp" : "");
    else if (event->type == RIT_POSIX_NOT_LISTENING)
        printf("unavailable %s: %s\n", event->service, why);
    else if (event->type == RIT_POSIX_CONNECTION && event->error != 0)
        printf("connection %s: %s\n", event->service, why);
    else if (event->type == RIT_POSIX_NETWORK_CHANGED)
        printf("network-changed\n");
    else if (event->type == RIT_POSIX_ENROL_REFUSED)
        return failed("the broker refused", event->error);
    fflush(stdout);
    return 0;
}

/* The option of an argument that takes a value. */
static const char **option(struct rit_posix_config *config, const char *name) {
    return strcmp(name, "--state") == 0           ? &config->state_dir
           : strcmp(name, "--broker") == 0        ? &broker
           : strcmp(name, "--enrol") == 0         ? &code
           : strcmp(name, "--grant") == 0         ? &grant
           : strcmp(name, "--gateway") == 0       ? &gateway
           : strcmp(name, "--gateway-enrol") == 0 ? &gateway_code
                                                  : NULL;
}

int main(int argc, char **argv) {
    struct rit_posix_config config = {0};
    struct rit_posix_event event;
    int i, error, status, wants_key = 0;
    rit_posix *port;

    for (i = 1; i < argc && argv[i][0] == '-'; i++) {
        const char **value = option(&config, argv[i]);
        if (strcmp(argv[i], "--key") == 0)
            wants_key = 1;
        else if (value != NULL && i + 1 < argc)
            *value = argv[++i];
        else
            return usage();
    }
    if (config.state_dir == NULL || (!wants_key && (broker == NULL || i == argc)))
        return usage();
    port = rit_posix_new(&config, &error);
    if (port == NULL)
        return failed(config.state_dir, error);
    status = wants_key ? print_key(port) : set_up(port, argv + i);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    while (status == 0 && !wants_key && !is_stopped) {
        error = rit_posix_step(port, 1000);
        if (error != 0)
            status = failed("the loop ended", error);
        while (rit_posix_next(port, &event))
            status |= show(&event);
    }
    rit_posix_free(port);
    return status;
}
