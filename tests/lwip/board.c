/* board.c: what examples-c/lwip-device.c asks of its board, on a host: see there. The settings and
 * the folder of the identity come from the environment (RIT_TAP, RIT_ADDRESS, RIT_MASK,
 * RIT_GATEWAY, RIT_STATE; RIT_broker, RIT_code, RIT_owner).
 */
#include <stdio.h>
#include <stdlib.h>

#include "host.h"

int32_t board_random(void *ctx, uint8_t *out, size_t len);
int32_t board_load(void *ctx, uint32_t slot, uint8_t *buf, size_t cap);
int32_t board_store(void *ctx, uint32_t slot, const uint8_t *buf, size_t len);
void board_network_start(void);
void board_network_poll(void);
const char *board_setting(const char *name);

const char *board_setting(const char *name) {
    char variable[64];

    (void)snprintf(variable, sizeof variable, "RIT_%s", name);
    return getenv(variable);
}

int32_t board_random(void *ctx, uint8_t *out, size_t len) {
    return host_entropy(ctx, out, len);
}

static FILE *slot_file(uint32_t slot, const char *how) {
    char path[512];

    (void)snprintf(path, sizeof path, "%s/slot%u", board_setting("STATE"), (unsigned)slot);
    return fopen(path, how);
}

int32_t board_load(void *ctx, uint32_t slot, uint8_t *buf, size_t cap) {
    FILE *file = slot_file(slot, "rb");
    size_t len = 0;

    (void)ctx;
    if (file != NULL) {
        len = fread(buf, 1, cap, file);
        (void)fclose(file);
    }
    return (int32_t)len;
}

int32_t board_store(void *ctx, uint32_t slot, const uint8_t *buf, size_t len) {
    FILE *file = slot_file(slot, "wb");
    size_t put;

    (void)ctx;
    if (file == NULL)
        return -1;
    put = fwrite(buf, 1, len, file);
    return fclose(file) == 0 && put == len ? 0 : -1;
}

void board_network_start(void) {
    host_attach(board_setting("TAP"), board_setting("ADDRESS"), board_setting("MASK"),
                board_setting("GATEWAY"));
}

void board_network_poll(void) {
    host_turn(100);
}
