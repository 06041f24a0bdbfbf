/* port.c: librit's callbacks on the vendor's functions, and the main loop's part.
 *
 * Owns the queue between the stack's receive callback and the main loop. Nothing here needs to be
 * changed for another vendor.
 */
#include "port.h"

#include <string.h>

#include "vendor.h"

struct port port;

/* ---- what the library calls */

static uint64_t on_now_us(void *ctx) {
    (void)ctx;
    return vendor_now_us();
}

static int32_t on_entropy(void *ctx, uint8_t *out, size_t len) {
    (void)ctx;
    return vendor_random(out, len);
}

static int32_t on_send(void *ctx, const struct rit_path *to, const uint8_t *pkt, size_t len) {
    (void)ctx;
    return vendor_udp_send(to->ip, to->port, pkt, len);
}

/* Only noted: the main loop looks at it. The library is never called from here. */
static void on_set_timer(void *ctx, uint64_t deadline_us) {
    struct port *self = ctx;
    self->deadline_us = deadline_us;
}

static int32_t on_load(void *ctx, uint32_t slot, uint8_t *buf, size_t cap) {
    (void)ctx;
    return vendor_flash_read(slot, buf, cap);
}

static int32_t on_store(void *ctx, uint32_t slot, const uint8_t *buf, size_t len) {
    (void)ctx;
    return vendor_flash_write(slot, buf, len);
}

static void on_log(void *ctx, int32_t level, const char *msg) {
    (void)ctx;
    if (level <= RIT_LOG_INFO) vendor_log(msg);
}

static struct rit_io io_table(void) {
    struct rit_io io;
    memset(&io, 0, sizeof io);
    io.struct_size = (uint32_t)sizeof io;
    io.ctx = &port;
    io.now_us = on_now_us;
    io.entropy = on_entropy;
    io.send = on_send;
    io.set_timer = on_set_timer;
    io.load = on_load;
    io.store = on_store;
    io.log = on_log;
    return io;
}

/* ---- from the interrupt to the main loop */

void port_on_datagram(const uint8_t ip[16], uint16_t udp_port, const uint8_t *bytes, size_t len) {
    struct port_datagram *slot = &port.queue[port.head % PORT_QUEUE];

    if (port.head - port.tail == PORT_QUEUE || len > PORT_DATAGRAM_MAX || udp_port == 0) {
        port.dropped++; /* it counts as lost on the way, and is repeated in time */
        return;
    }
    memcpy(slot->ip, ip, sizeof slot->ip);
    slot->port = udp_port;
    slot->len = (uint16_t)len;
    memcpy(slot->bytes, bytes, len);
    vendor_barrier(); /* what is written is there before it is counted */
    port.head++;
}

static void hand_in(const struct port_datagram *datagram) {
    struct rit_path from;

    memset(&from, 0, sizeof from);
    from.struct_size = (uint32_t)sizeof from;
    memcpy(from.ip, datagram->ip, sizeof from.ip);
    from.port = datagram->port;
    if (port.selftest != NULL)
        (void)rit_selftest_receive(port.selftest, &from, datagram->bytes, datagram->len);
    else
        (void)rit_node_receive(port.node, &from, datagram->bytes, datagram->len);
}

void port_turn(void) {
    unsigned i;

    /* As many as the queue has at most, so that a flood leaves the rest its turn. */
    for (i = 0; i < PORT_QUEUE && port.tail != port.head; i++) {
        vendor_barrier();
        hand_in(&port.queue[port.tail % PORT_QUEUE]);
        vendor_barrier(); /* and is read before its place is given away */
        port.tail++;
    }
    if (vendor_now_us() >= port.deadline_us) {
        port.deadline_us = UINT64_MAX;
        if (port.selftest != NULL)
            (void)rit_selftest_timeout(port.selftest);
        else
            (void)rit_node_timeout(port.node);
    }
}

void port_sleep(void) {
    /* With interrupts off, so that none comes between the look and the sleep. */
    vendor_lock();
    if (port.tail == port.head) vendor_sleep_until(port.deadline_us);
    vendor_unlock();
}

/* ---- start */

int port_init(uint16_t udp_port) {
    static uint64_t heap[PORT_HEAP / 8];

    /* STATE: this library has C's malloc; as on the machine that tests this. */
    (void)rit_heap_init(heap, sizeof heap);
    memset(&port, 0, sizeof port);
    port.deadline_us = UINT64_MAX;
    return vendor_start() != 0 ? -1 : vendor_udp_open(udp_port);
}

int32_t port_start(const struct rit_config *config) {
    struct rit_config own;
    struct rit_io io = io_table();
    int32_t err;

    if (config == NULL) {
        rit_config_init(&own);
        own.max_datagram = PORT_DATAGRAM;
        config = &own;
    }
    port.deadline_us = UINT64_MAX;
    port.node = rit_node_new(config, &io, &err);
    return err;
}

int32_t port_broker(const char *uri, const char *code) {
    struct rit_broker broker;
    struct rit_path path;
    char host[254];
    int32_t err;

    memset(&broker, 0, sizeof broker);
    broker.struct_size = (uint32_t)sizeof broker;
    memset(&path, 0, sizeof path);
    path.struct_size = (uint32_t)sizeof path;
    err = rit_uri_parse(uri, broker.key, host, sizeof host, &path.port);
    if (err != RIT_OK) return err;
    if (vendor_resolve(host, path.ip) != 0) return RIT_ERR_OFFLINE;
    broker.paths = &path;
    broker.path_count = 1;
    broker.enrol_code = code;
    return rit_broker_connect(port.node, &broker);
}

/* ---- self-test */

static char *append(char *at, const char *end, const char *text) {
    while (*text != '\0' && at < end) *at++ = *text++;
    return at;
}

/* A number without printf, which a small C library may not have for 64 bits. */
static char *append_number(char *at, const char *end, int64_t value) {
    char digits[21];
    unsigned n = 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do digits[n++] = (char)('0' + (char)(rest % 10));
    while ((rest /= 10) != 0);
    if (value < 0) digits[n++] = '-';
    while (n > 0 && at < end) *at++ = digits[--n];
    return at;
}

static void tell(const struct rit_finding *finding) {
    char line[256];
    char *at = line;
    const char *end = line + sizeof line - 1;

    at = append(at, end, finding->code < RIT_SELFTEST_NOTE ? "fault " : "note ");
    at = append_number(at, end, (int64_t)finding->code);
    at = append(at, end, " (");
    at = append_number(at, end, finding->value);
    at = append(at, end, ", wanted ");
    at = append_number(at, end, finding->wanted);
    at = append(at, end, "): ");
    at = append(at, end, rit_selftest_text(finding->code));
    *at = '\0';
    vendor_log(line);
}

unsigned port_selftest(const struct rit_selftest_config *config) {
    struct rit_io io = io_table();
    struct rit_finding finding;
    int32_t result;
    unsigned faults = 0;

    port.deadline_us = UINT64_MAX;
    port.selftest = rit_selftest_new(config, &io, &result);
    if (port.selftest == NULL) {
        vendor_log(rit_strerror(result));
        return 1;
    }
    do {
        port_turn();
        result = rit_selftest_step(port.selftest);
        memset(&finding, 0, sizeof finding);
        finding.struct_size = (uint32_t)sizeof finding;
        while (rit_selftest_next(port.selftest, &finding) == RIT_OK) {
            tell(&finding);
            faults += finding.code < RIT_SELFTEST_NOTE;
        }
    } while (result == RIT_ERR_AGAIN);
    if (result != RIT_OK) {
        vendor_log(rit_strerror(result));
        faults++;
    }
    rit_selftest_free(port.selftest);
    port.selftest = NULL;
    port.deadline_us = UINT64_MAX;
    return faults;
}
