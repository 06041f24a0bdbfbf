/* device.h: what device.c wants of a board, and what it offers. */
#ifndef FOOTPRINT_DEVICE_H
#define FOOTPRINT_DEVICE_H

#include "rit.h"

extern const struct rit_config *device_limits(struct rit_config *config);
extern const uint8_t device_broker[RIT_KEY_LEN]; /* whom it dials */
extern const uint8_t device_owner[RIT_KEY_LEN];  /* whom it lets in */

uint64_t board_now_us(void *ctx);
int32_t board_entropy(void *ctx, uint8_t *out, size_t len);
int32_t board_send(void *ctx, const struct rit_path *to, const uint8_t *pkt, size_t len);
/* Sleeps until a datagram is there, whose length it gives, or the deadline, then 0. */
size_t board_wait(struct rit_path *from, uint8_t *buf, size_t cap, uint64_t deadline_us);

#endif
