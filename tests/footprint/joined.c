/* joined.c: device.c's board for measuring: an emulated Cortex-M4F joined to a simulated network.
 *
 * Owns the pipe to the program on the host (tests/examples/footprint.rs) that plays the network,
 * broker and peer, and what is counted: heap by arena.c or malloc.c, stack by painting,
 * instructions by the board's timer. Time is what the host says. Interrupts are off, so that the same
 * input gives the same counts. The pipe is two FIFOs, which semihosting opens as files; numbers are little-endian.
 */
#include "device.h"
#include "heap.h"

#include "board.h"

#include <string.h>

#define SYS_OPEN 0x01u
#define SYS_WRITE 0x05u
#define SYS_READ 0x06u
#define MODE_READ 1u
#define MODE_WRITE 5u
#define SYSTICK_CTRL (*(volatile uint32_t *)0xE000E010)
#define STACK_PAINT 0x5AA55AA5u

/* From the host. */
#define DATAGRAM 'D' /* now, path, length, bytes */
#define TIMEOUT 'T'  /* now */
#define FIGURES 'F'  /* what was counted since the last time */
#define BLOCKS 'B'   /* print the live blocks */
#define END 'E'      /* free the node, and stop */
/* To the host. */
#define KEY 'K'  /* public key */
#define SEND 'S' /* path, length, bytes */
#define WAIT 'W' /* deadline */

struct start {
    uint64_t now_us;
    uint32_t max_datagram, max_sessions, max_services, max_peers, max_streams;
    uint32_t stream_window, session_window, stream_send_buffer;
    uint32_t max_flows, datagram_queue;
    uint8_t broker[RIT_KEY_LEN];
    uint8_t owner[RIT_KEY_LEN];
};

/* An address on the pipe. */
struct address {
    uint8_t ip[16];
    uint16_t port;
    uint16_t len; /* of the datagram that follows */
};

/* What the host is told at FIGURES: bytes, and ticks of 40 instructions. */
struct figures {
    uint32_t heap_live, heap_peak, stack_peak;
    uint32_t ticks;              /* in all calls */
    uint32_t longest;            /* in one */
    uint32_t receive, received;  /* ticks in calls that took 1 KiB or more; how many */
    uint32_t write, written;     /* ticks in calls that wrote 1 KiB; how many */
};

extern uint32_t board_stack_limit[], board_stack_top[];

static int32_t from_host, to_host;
static struct start start;
static uint64_t now_us;
static rit_node *the_node;
static struct figures figures;

/* Of device.c's calls, each of which is counted. */
rit_node *__real_rit_node_new(const struct rit_config *, const struct rit_io *, int32_t *);
rit_node *__wrap_rit_node_new(const struct rit_config *, const struct rit_io *, int32_t *);
int32_t __real_rit_node_receive(rit_node *, const struct rit_path *, uint8_t *, size_t);
int32_t __wrap_rit_node_receive(rit_node *, const struct rit_path *, uint8_t *, size_t);
int32_t __real_rit_node_timeout(rit_node *);
int32_t __wrap_rit_node_timeout(rit_node *);
int32_t __real_rit_node_next_event(rit_node *, struct rit_event *);
int32_t __wrap_rit_node_next_event(rit_node *, struct rit_event *);
int32_t __real_rit_broker_connect(rit_node *, const struct rit_broker *);
int32_t __wrap_rit_broker_connect(rit_node *, const struct rit_broker *);
int32_t __real_rit_stream_accept(rit_node *, rit_stream);
int32_t __wrap_rit_stream_accept(rit_node *, rit_stream);
int32_t __real_rit_stream_write(rit_node *, rit_stream, const uint8_t *, size_t, size_t *);
int32_t __wrap_rit_stream_write(rit_node *, rit_stream, const uint8_t *, size_t, size_t *);
int32_t __real_rit_stream_read(rit_node *, rit_stream, uint8_t *, size_t, size_t *);
int32_t __wrap_rit_stream_read(rit_node *, rit_stream, uint8_t *, size_t, size_t *);

/* ---- pipe */

static int32_t ask(uint32_t operation, const void *block) {
    register uint32_t r0 __asm("r0") = operation;
    register uint32_t r1 __asm("r1") = (uint32_t)(uintptr_t)block;

    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

static int32_t open_pipe(const char *name, uint32_t mode) {
    uint32_t block[3] = {(uint32_t)(uintptr_t)name, mode, (uint32_t)strlen(name)};
    int32_t file = ask(SYS_OPEN, block);

    if (file < 0)
        board_exit(2);
    return file;
}

static void move(uint32_t operation, int32_t file, const void *buf, size_t len) {
    uint32_t at = (uint32_t)(uintptr_t)buf;

    while (len > 0) {
        uint32_t block[3] = {(uint32_t)file, at, (uint32_t)len};
        int32_t left = ask(operation, block);

        if (left < 0 || left >= (int32_t)len) /* the host has ended */
            board_exit(3);
        at += (uint32_t)len - (uint32_t)left;
        len = (size_t)left;
    }
}

static void take(void *buf, size_t len) { move(SYS_READ, from_host, buf, len); }
static void tell(const void *buf, size_t len) { move(SYS_WRITE, to_host, buf, len); }

static void tell_kind(char kind) { tell(&kind, 1); }

/* ---- counting */

/* Word by word: a call of memset would run on the stack that it paints. */
static void paint_stack(void) {
    volatile uint32_t *word = board_stack_limit;
    volatile uint32_t *here = __builtin_frame_address(0);

    while (word < here - 32)
        *word++ = STACK_PAINT;
}

static uint32_t count(uint32_t began) {
    uint32_t ticks = board_ticks() - began;

    figures.ticks += ticks;
    if (ticks > figures.longest)
        figures.longest = ticks;
    return ticks;
}

static void tell_figures(void) {
    figures.heap_live = (uint32_t)heap_live();
    figures.heap_peak = (uint32_t)heap_peak();
    figures.stack_peak = (uint32_t)board_stack_peak();
    tell(&figures, sizeof figures);
    memset(&figures, 0, sizeof figures);
    heap_reset_peak();
    paint_stack();
}

rit_node *__wrap_rit_node_new(const struct rit_config *cfg, const struct rit_io *io, int32_t *err) {
    uint8_t key[RIT_KEY_LEN];
    uint32_t began = board_ticks();

    the_node = __real_rit_node_new(cfg, io, err);
    (void)count(began);
    if (rit_node_public_key(the_node, key) != RIT_OK)
        board_exit(4);
    tell_kind(KEY);
    tell(key, sizeof key);
    return the_node;
}

int32_t __wrap_rit_node_receive(rit_node *node, const struct rit_path *from, uint8_t *datagram,
                                size_t len) {
    uint32_t began = board_ticks(), ticks;
    int32_t result = __real_rit_node_receive(node, from, datagram, len);

    ticks = count(began);
    if (len >= 1024) {
        figures.receive += ticks;
        figures.received++;
    }
    return result;
}

int32_t __wrap_rit_node_timeout(rit_node *node) {
    uint32_t began = board_ticks();
    int32_t result = __real_rit_node_timeout(node);

    (void)count(began);
    return result;
}

int32_t __wrap_rit_node_next_event(rit_node *node, struct rit_event *out) {
    uint32_t began = board_ticks();
    int32_t result = __real_rit_node_next_event(node, out);

    (void)count(began);
    return result;
}

int32_t __wrap_rit_broker_connect(rit_node *node, const struct rit_broker *broker) {
    uint32_t began = board_ticks();
    int32_t result = __real_rit_broker_connect(node, broker);

    (void)count(began);
    return result;
}

int32_t __wrap_rit_stream_accept(rit_node *node, rit_stream stream) {
    uint32_t began = board_ticks();
    int32_t result = __real_rit_stream_accept(node, stream);

    (void)count(began);
    return result;
}

int32_t __wrap_rit_stream_write(rit_node *node, rit_stream stream, const uint8_t *data, size_t len,
                                size_t *written) {
    uint32_t began = board_ticks(), ticks;
    int32_t result = __real_rit_stream_write(node, stream, data, len, written);

    ticks = count(began);
    if (result == RIT_OK && *written == 1024) {
        figures.write += ticks;
        figures.written++;
    }
    return result;
}

int32_t __wrap_rit_stream_read(rit_node *node, rit_stream stream, uint8_t *buf, size_t cap,
                               size_t *len) {
    uint32_t began = board_ticks();
    int32_t result = __real_rit_stream_read(node, stream, buf, cap, len);

    (void)count(began);
    return result;
}

/* ---- what device.c asks for */

/* Called first of all. */
void *device_heap(size_t *size) {
    SYSTICK_CTRL = 0;
    return heap_memory(size);
}

const struct rit_config *device_limits(struct rit_config *config) {
    from_host = open_pipe("to-board", MODE_READ);
    to_host = open_pipe("from-board", MODE_WRITE);
    take(&start, sizeof start);
    now_us = start.now_us;
    rit_config_init(config);
    config->max_datagram = start.max_datagram;
    config->max_sessions = start.max_sessions;
    config->max_services = start.max_services;
    config->max_peers = start.max_peers;
    config->max_streams = start.max_streams;
    config->stream_window = start.stream_window;
    config->session_window = start.session_window;
    config->stream_send_buffer = start.stream_send_buffer;
    config->max_flows = start.max_flows;
    config->datagram_queue = start.datagram_queue;
    paint_stack();
    return config;
}

void device_peers(uint8_t broker[RIT_KEY_LEN], uint8_t owner[RIT_KEY_LEN]) {
    memcpy(broker, start.broker, RIT_KEY_LEN);
    memcpy(owner, start.owner, RIT_KEY_LEN);
}

uint64_t device_now_us(void *ctx) {
    (void)ctx;
    return now_us;
}

/* Not random at all, so that each run is the same (xorshift). */
int32_t device_entropy(void *ctx, uint8_t *out, size_t len) {
    static uint32_t state = 2463534242u;

    (void)ctx;
    while (len-- > 0) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *out++ = (uint8_t)(state >> 24);
    }
    return 0;
}

int32_t device_send(void *ctx, const struct rit_path *to, const uint8_t *pkt, size_t len) {
    struct address address;

    (void)ctx;
    memcpy(address.ip, to->ip, sizeof address.ip);
    address.port = to->port;
    address.len = (uint16_t)len;
    tell_kind(SEND);
    tell(&address, sizeof address);
    tell(pkt, len);
    return 0;
}

static size_t take_datagram(struct rit_path *from, uint8_t *buf, size_t cap) {
    struct address address;

    take(&now_us, sizeof now_us);
    take(&address, sizeof address);
    if (address.len > cap)
        board_exit(5);
    take(buf, address.len);
    memset(from, 0, sizeof *from);
    from->struct_size = (uint32_t)sizeof *from;
    memcpy(from->ip, address.ip, sizeof from->ip);
    from->port = address.port;
    return address.len;
}

size_t device_wait(struct rit_path *from, uint8_t *buf, size_t cap, uint64_t deadline_us) {
    char kind;

    tell_kind(WAIT);
    tell(&deadline_us, sizeof deadline_us);
    for (;;) {
        take(&kind, 1);
        switch (kind) {
        case DATAGRAM:
            return take_datagram(from, buf, cap);
        case TIMEOUT:
            take(&now_us, sizeof now_us);
            return 0;
        case FIGURES:
            tell_figures();
            break;
        case BLOCKS:
            heap_print();
            break;
        case END:
            rit_node_free(the_node);
            tell_figures();
            board_exit(0);
        default:
            board_exit(6);
        }
    }
}
