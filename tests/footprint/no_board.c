/* no_board.c: a board of registers only, so that the linker has something to link. */
#include "device.h"

#include <string.h>

#define HEAP_BYTES 24576

static volatile uint32_t registers[4];

void *device_heap(size_t *size) {
    static uint64_t memory[HEAP_BYTES / sizeof(uint64_t)];

    *size = sizeof memory;
    return memory;
}

const struct rit_config *device_limits(struct rit_config *config) {
    rit_config_init(config);
    return config;
}

void device_peers(uint8_t broker[RIT_KEY_LEN], uint8_t owner[RIT_KEY_LEN]) {
    memset(broker, 0, RIT_KEY_LEN);
    memset(owner, 0, RIT_KEY_LEN);
}

uint64_t device_now_us(void *ctx) {
    (void)ctx;
    return registers[0];
}

int32_t device_entropy(void *ctx, uint8_t *out, size_t len) {
    (void)ctx;
    while (len-- > 0)
        *out++ = (uint8_t)registers[1];
    return 0;
}

int32_t device_send(void *ctx, const struct rit_path *to, const uint8_t *pkt, size_t len) {
    (void)ctx;
    registers[2] = to->port;
    while (len-- > 0)
        registers[2] = *pkt++;
    return 0;
}

size_t device_wait(struct rit_path *from, uint8_t *buf, size_t cap, uint64_t deadline_us) {
    (void)deadline_us;
    memset(from, 0, sizeof *from);
    from->struct_size = (uint32_t)sizeof *from;
    buf[0] = (uint8_t)registers[3];
    return cap;
}
