/* broker.c: the broker: its address, its name in lwIP's resolver, and what the node says of it.
 *
 * Owns when a name is resolved: at first, again until it is, and anew where its address does not
 * answer. Does not own the link, which the node keeps up by itself.
 */
#include "internal.h"

#include "lwip/dns.h"

#define ASK_US 5000000u       /* until a name that does not resolve is asked for again */
#define ASK_ANEW_US 30000000u /* and one whose address does not answer */

/* What is known of the broker; apart from the port, as lwIP's resolver cannot be called off. */
struct ritl_broker {
    struct rit_lwip *port; /* NULL: freed meanwhile */
    int is_asking;         /* the resolver has it */
    int is_name;
    uint64_t ask_us;       /* when to resolve the name again */
    uint8_t key[RIT_KEY_LEN];
    uint16_t number;
    char code[65];
    char host[];
};

static int connect_broker(struct rit_lwip *port, const ip_addr_t *address) {
    struct ritl_broker *is = port->broker;
    struct rit_broker broker;
    struct rit_path path;

    memset(&broker, 0, sizeof broker);
    broker.struct_size = (uint32_t)sizeof broker;
    memcpy(broker.key, is->key, sizeof broker.key);
    ritl_set_path(&path, address, is->number);
    broker.paths = &path;
    broker.path_count = 1;
    broker.enrol_code = is->code[0] != '\0' ? is->code : NULL;
    return rit_broker_connect(port->node, &broker);
}

/* What the resolver found, or NULL. A link that is up meanwhile stays as it is. */
static void found(struct rit_lwip *port, const ip_addr_t *address) {
    if (address != NULL) {
        (void)connect_broker(port, address);
    } else {
        port->broker->ask_us = ritl_now_us(port) + ASK_US;
        ritl_wake(port, port->broker->ask_us);
        ritl_tell(port, RIT_LWIP_BROKER_OFFLINE, RIT_LWIP_ERR_RESOLVE, NULL, NULL);
    }
    ritl_pump(port);
}

#if LWIP_DNS
static void on_found(const char *name, const ip_addr_t *address, void *arg) {
    struct ritl_broker *broker = arg;

    (void)name;
    broker->is_asking = 0;
    if (broker->port == NULL)
        RIT_LWIP_FREE(broker);
    else
        found(broker->port, address);
}
#endif

void ritl_broker_run(struct rit_lwip *port, uint64_t now_us) {
    struct ritl_broker *broker = port->broker;

    if (broker == NULL || broker->is_asking || broker->ask_us == RITL_NEVER)
        return;
    if (broker->ask_us > now_us) {
        ritl_wake(port, broker->ask_us);
        return;
    }
    broker->ask_us = RITL_NEVER;
#if LWIP_DNS
    {
        ip_addr_t address;
        err_t err = dns_gethostbyname(broker->host, &address, on_found, broker);
        broker->is_asking = err == ERR_INPROGRESS;
        if (!broker->is_asking)
            found(port, err == ERR_OK ? &address : NULL);
    }
#else
    found(port, NULL);
#endif
}

void ritl_broker_free(struct rit_lwip *port) {
    if (port->broker != NULL && port->broker->is_asking)
        port->broker->port = NULL; /* on_found frees it */
    else if (port->broker != NULL)
        RIT_LWIP_FREE(port->broker);
    port->broker = NULL;
}

int rit_lwip_broker(rit_lwip *port, const char *uri, const char *enrol_code) {
    struct ritl_broker *broker, parsed;
    char host[256];
    ip_addr_t address;
    int failed = 0;

    LWIP_ASSERT_CORE_LOCKED();
    if (port == NULL || uri == NULL)
        return RIT_ERR_NULL;
    if (enrol_code != NULL && strlen(enrol_code) >= sizeof parsed.code)
        return RIT_ERR_ARG;
    memset(&parsed, 0, sizeof parsed);
    failed = rit_uri_parse(uri, parsed.key, host, sizeof host, &parsed.number);
    if (failed != 0)
        return failed;
    broker = ritl_new(sizeof *broker + strlen(host) + 1);
    if (broker == NULL)
        return RIT_ERR_NOMEM;
    *broker = parsed;
    broker->port = port;
    broker->is_name = !ipaddr_aton(host, &address);
    broker->ask_us = RITL_NEVER;
    memcpy(broker->host, host, strlen(host) + 1);
    if (enrol_code != NULL)
        memcpy(broker->code, enrol_code, strlen(enrol_code) + 1);
    ritl_broker_free(port);
    port->broker = broker;
    if (broker->is_name) {
        broker->ask_us = 0;
        ritl_wake(port, 0);
    } else {
        failed = connect_broker(port, &address);
        ritl_pump(port);
    }
    return failed;
}

void ritl_broker_event(struct rit_lwip *port, const struct rit_event *event) {
    static const enum rit_lwip_event_type TYPES[] = {
        RIT_LWIP_BROKER_ONLINE, RIT_LWIP_BROKER_OFFLINE, RIT_LWIP_ENROLLED,
        RIT_LWIP_ENROL_REFUSED};

    /* Sessions go on without the broker. */
    port->is_online = event->type == RIT_EVENT_BROKER_ONLINE ||
                      (event->type == RIT_EVENT_ENROLLED && port->is_online);
    if (port->broker != NULL && event->type == RIT_EVENT_ENROLLED)
        port->broker->code[0] = '\0';
    if (port->broker != NULL && event->type == RIT_EVENT_BROKER_OFFLINE && port->broker->is_name) {
        port->broker->ask_us = ritl_now_us(port) + ASK_ANEW_US;
        ritl_wake(port, port->broker->ask_us);
    }
    if (port->broker != NULL && event->type == RIT_EVENT_BROKER_ONLINE)
        port->broker->ask_us = RITL_NEVER;
    if (port->is_online)
        ritl_wake(port, 0); /* sessions that wait for it */
    ritl_tell(port, TYPES[event->type - RIT_EVENT_BROKER_ONLINE], event->error, NULL, NULL);
}
