/*
 * struct rit_crypto by mbedTLS, with what a test wants to know of it and do to it.
 */
#ifndef RIT_TEST_MBEDTLS_H
#define RIT_TEST_MBEDTLS_H

#include "rit.h"

/* The entries, in the order of struct rit_crypto. */
enum {
    ENTRY_AES_GCM_SEAL,
    ENTRY_AES_GCM_OPEN,
    ENTRY_CHACHA_SEAL,
    ENTRY_CHACHA_OPEN,
    ENTRY_AES_BLOCK,
    ENTRY_CHACHA_BLOCK,
    ENTRY_SHA256,
    ENTRY_X25519,
    ENTRY_PUBLIC_KEY,
    ENTRY_SIGN,
    ENTRIES
};

/* A table; with a key on P-256 made from seed, or without one for seed 0. Null: no memory. */
struct mbed *mbed_new(uint8_t seed, uint32_t flags);
void mbed_free(struct mbed *mbed);
const struct rit_crypto *mbed_table(const struct mbed *mbed);
/* Takes an entry out, or for ENTRY_PUBLIC_KEY and ENTRY_SIGN both. Before the node is made. */
void mbed_leave_out(struct mbed *mbed, uint32_t entry);
/* The entries whose bit is set fail from now on. */
void mbed_fail(struct mbed *mbed, uint32_t mask);
uint32_t mbed_calls(const struct mbed *mbed, uint32_t entry);
/* Called in every entry, if set. */
void mbed_hook(struct mbed *mbed, void (*hook)(void *hook_ctx), void *hook_ctx);

#endif
