/* device.h: what device.c wants of a board, and what it offers. */
#ifndef FOOTPRINT_DEVICE_H
#define FOOTPRINT_DEVICE_H

#include "rit.h"

/* The memory for rit_heap_init; null with a library that takes C's malloc. */
void *device_heap(size_t *size);
const struct rit_config *device_limits(struct rit_config *config);
/* Whom it dials, and whom it lets in. */
void device_peers(uint8_t broker[RIT_KEY_LEN], uint8_t owner[RIT_KEY_LEN]);

uint64_t device_now_us(void *ctx);
int32_t device_entropy(void *ctx, uint8_t *out, size_t len);
int32_t device_send(void *ctx, const struct rit_path *to, const uint8_t *pkt, size_t len);
/* Sleeps until a datagram is there, whose length it gives, or the deadline, then 0. */
size_t device_wait(struct rit_path *from, uint8_t *buf, size_t cap, uint64_t deadline_us);

#endif
