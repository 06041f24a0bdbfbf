/*
 * The integrator's crypto by mbedTLS (2.28 of Debian 12, 3.6 of Debian 13), as one would write it
 * for a device: every entry of struct rit_crypto. The key is on P-256, because mbedTLS has no
 * Ed25519. Contexts are set up for each call, as the table has keys and no handles.
 */
#include "mbedtls.h"

#include <stdlib.h>
#include <string.h>

#include <mbedtls/aes.h>
#include <mbedtls/chacha20.h>
#include <mbedtls/chachapoly.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/ecp.h>
#include <mbedtls/gcm.h>
#include <mbedtls/md.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define mbedtls_sha256_starts mbedtls_sha256_starts_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#endif

#define KEY_LEN 32
#define TAG_LEN 16

struct mbed {
    struct rit_crypto table;
    uint8_t key[KEY_LEN];
    uint64_t noise;
    uint32_t failing;
    uint32_t calls[ENTRIES];
    void (*hook)(void *hook_ctx);
    void *hook_ctx;
};

/* Counts a call; whether it is to fail. */
static int enter(void *ctx, uint32_t entry) {
    struct mbed *mbed = ctx;
    mbed->calls[entry]++;
    if (mbed->hook != NULL) mbed->hook(mbed->hook_ctx);
    return (mbed->failing >> entry & 1) != 0;
}

/* Blinds computations; nothing that is sent depends on it. A device has a true source. */
static int blind(void *ctx, unsigned char *out, size_t len) {
    struct mbed *mbed = ctx;
    size_t i;
    for (i = 0; i < len; i++) {
        mbed->noise = mbed->noise * UINT64_C(6364136223846793005) + 1;
        out[i] = (unsigned char)(mbed->noise >> 56);
    }
    return 0;
}

/* ---- AES-128-GCM */

static int32_t aes_gcm_seal(void *ctx, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
                            size_t aad_len, uint8_t *buf, size_t len) {
    mbedtls_gcm_context gcm;
    int failed;
    if (enter(ctx, ENTRY_AES_GCM_SEAL)) return -1;
    mbedtls_gcm_init(&gcm);
    failed = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key, 128);
    if (failed == 0) {
        failed = mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, len, nonce, 12, aad, aad_len,
                                           buf, buf, TAG_LEN, buf + len);
    }
    mbedtls_gcm_free(&gcm);
    return failed;
}

static int32_t aes_gcm_open(void *ctx, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
                            size_t aad_len, uint8_t *buf, size_t len) {
    mbedtls_gcm_context gcm;
    int failed;
    if (enter(ctx, ENTRY_AES_GCM_OPEN)) return -1;
    mbedtls_gcm_init(&gcm);
    failed = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key, 128);
    if (failed == 0) {
        failed = mbedtls_gcm_auth_decrypt(&gcm, len, nonce, 12, aad, aad_len, buf + len, TAG_LEN,
                                          buf, buf);
    }
    mbedtls_gcm_free(&gcm);
    return failed == MBEDTLS_ERR_GCM_AUTH_FAILED ? RIT_CRYPTO_FORGED : failed;
}

/* ---- ChaCha20-Poly1305 */

static int32_t chacha_seal(void *ctx, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
                           size_t aad_len, uint8_t *buf, size_t len) {
    mbedtls_chachapoly_context chacha;
    int failed;
    if (enter(ctx, ENTRY_CHACHA_SEAL)) return -1;
    mbedtls_chachapoly_init(&chacha);
    failed = mbedtls_chachapoly_setkey(&chacha, key);
    if (failed == 0) {
        failed = mbedtls_chachapoly_encrypt_and_tag(&chacha, len, nonce, aad, aad_len, buf, buf,
                                                    buf + len);
    }
    mbedtls_chachapoly_free(&chacha);
    return failed;
}

static int32_t chacha_open(void *ctx, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
                           size_t aad_len, uint8_t *buf, size_t len) {
    mbedtls_chachapoly_context chacha;
    int failed;
    if (enter(ctx, ENTRY_CHACHA_OPEN)) return -1;
    mbedtls_chachapoly_init(&chacha);
    failed = mbedtls_chachapoly_setkey(&chacha, key);
    if (failed == 0) {
        failed = mbedtls_chachapoly_auth_decrypt(&chacha, len, nonce, aad, aad_len, buf + len, buf,
                                                 buf);
    }
    mbedtls_chachapoly_free(&chacha);
    return failed == MBEDTLS_ERR_CHACHAPOLY_AUTH_FAILED ? RIT_CRYPTO_FORGED : failed;
}

/* ---- blocks for header protection */

static int32_t aes_block(void *ctx, const uint8_t *key, const uint8_t *block, uint8_t *out) {
    mbedtls_aes_context aes;
    int failed;
    if (enter(ctx, ENTRY_AES_BLOCK)) return -1;
    mbedtls_aes_init(&aes);
    failed = mbedtls_aes_setkey_enc(&aes, key, 128);
    if (failed == 0) failed = mbedtls_aes_crypt_ecb(&aes, MBEDTLS_AES_ENCRYPT, block, out);
    mbedtls_aes_free(&aes);
    return failed;
}

static int32_t chacha_block(void *ctx, const uint8_t *key, uint32_t counter, const uint8_t *nonce,
                            uint8_t *out) {
    static const uint8_t zeros[64];
    if (enter(ctx, ENTRY_CHACHA_BLOCK)) return -1;
    return mbedtls_chacha20_crypt(key, nonce, counter, sizeof(zeros), zeros, out);
}

/* ---- SHA-256 */

static int32_t sha256(void *ctx, const struct rit_bytes *parts, size_t count, uint8_t *out) {
    mbedtls_sha256_context sha;
    size_t i;
    int failed;
    if (enter(ctx, ENTRY_SHA256)) return -1;
    mbedtls_sha256_init(&sha);
    failed = mbedtls_sha256_starts(&sha, 0);
    for (i = 0; i < count && failed == 0; i++) {
        failed = mbedtls_sha256_update(&sha, parts[i].data, parts[i].len);
    }
    if (failed == 0) failed = mbedtls_sha256_finish(&sha, out);
    mbedtls_sha256_free(&sha);
    return failed;
}

/* ---- X25519 */

static int32_t x25519(void *ctx, const uint8_t *scalar, const uint8_t *point, uint8_t *out) {
    mbedtls_ecp_group group;
    mbedtls_ecp_point from, to;
    mbedtls_mpi number;
    uint8_t clamped[32];
    size_t len;
    int failed;
    if (enter(ctx, ENTRY_X25519)) return -1;
    memcpy(clamped, scalar, sizeof(clamped));
    clamped[0] = (uint8_t)(clamped[0] & 248);
    clamped[31] = (uint8_t)((clamped[31] & 127) | 64);
    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&from);
    mbedtls_ecp_point_init(&to);
    mbedtls_mpi_init(&number);
    failed = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_CURVE25519);
    if (failed == 0) failed = mbedtls_mpi_read_binary_le(&number, clamped, sizeof(clamped));
    if (failed == 0) failed = mbedtls_ecp_point_read_binary(&group, &from, point, 32);
    if (failed == 0) failed = mbedtls_ecp_mul(&group, &to, &number, &from, blind, ctx);
    if (failed == 0) {
        failed = mbedtls_ecp_point_write_binary(&group, &to, MBEDTLS_ECP_PF_UNCOMPRESSED, &len, out,
                                                32);
    } else if (failed == MBEDTLS_ERR_ECP_INVALID_KEY) {
        /* A point of small order, which is the peer's fault: what RFC 7748 computes of it. */
        memset(out, 0, 32);
        failed = 0;
    }
    mbedtls_mpi_free(&number);
    mbedtls_ecp_point_free(&to);
    mbedtls_ecp_point_free(&from);
    mbedtls_ecp_group_free(&group);
    memset(clamped, 0, sizeof(clamped));
    return failed;
}

/* ---- the key on P-256 */

static int32_t public_key(void *ctx, uint8_t *out) {
    struct mbed *mbed = ctx;
    mbedtls_ecp_group group;
    mbedtls_ecp_point point;
    mbedtls_mpi key;
    size_t len;
    int failed;
    if (enter(ctx, ENTRY_PUBLIC_KEY)) return -1;
    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&point);
    mbedtls_mpi_init(&key);
    failed = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1);
    if (failed == 0) failed = mbedtls_mpi_read_binary(&key, mbed->key, KEY_LEN);
    if (failed == 0) failed = mbedtls_ecp_mul(&group, &point, &key, &group.G, blind, mbed);
    if (failed == 0) {
        failed = mbedtls_ecp_point_write_binary(&group, &point, MBEDTLS_ECP_PF_UNCOMPRESSED, &len,
                                                out, 65);
    }
    mbedtls_mpi_free(&key);
    mbedtls_ecp_point_free(&point);
    mbedtls_ecp_group_free(&group);
    return failed;
}

/* msg is the message's SHA-256, as the key is on P-256. */
static int32_t sign(void *ctx, const uint8_t *msg, size_t len, uint8_t *out) {
    struct mbed *mbed = ctx;
    mbedtls_ecp_group group;
    mbedtls_mpi key, r, s;
    int failed;
    if (enter(ctx, ENTRY_SIGN) || len != 32) return -1;
    mbedtls_ecp_group_init(&group);
    mbedtls_mpi_init(&key);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    failed = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1);
    if (failed == 0) failed = mbedtls_mpi_read_binary(&key, mbed->key, KEY_LEN);
    if (failed == 0) {
        failed = mbedtls_ecdsa_sign_det_ext(&group, &r, &s, &key, msg, len, MBEDTLS_MD_SHA256,
                                            blind, mbed);
    }
    if (failed == 0) failed = mbedtls_mpi_write_binary(&r, out, 32);
    if (failed == 0) failed = mbedtls_mpi_write_binary(&s, out + 32, 32);
    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&r);
    mbedtls_mpi_free(&key);
    mbedtls_ecp_group_free(&group);
    return failed;
}

/* ---- the table */

struct mbed *mbed_new(uint8_t seed, uint32_t flags) {
    struct mbed *mbed = calloc(1, sizeof(*mbed));
    if (mbed == NULL) return NULL;
    mbed->noise = seed;
    memset(mbed->key, seed, KEY_LEN);
    mbed->table.struct_size = (uint32_t)sizeof(mbed->table);
    mbed->table.flags = flags;
    mbed->table.ctx = mbed;
    mbed->table.aes_gcm_seal = aes_gcm_seal;
    mbed->table.aes_gcm_open = aes_gcm_open;
    mbed->table.chacha_seal = chacha_seal;
    mbed->table.chacha_open = chacha_open;
    mbed->table.aes_block = aes_block;
    mbed->table.chacha_block = chacha_block;
    mbed->table.sha256 = sha256;
    mbed->table.x25519 = x25519;
    if (seed != 0) {
        mbed->table.public_key = public_key;
        mbed->table.sign = sign;
        mbed->table.key_kind = RIT_KEY_P256;
    }
    return mbed;
}

void mbed_free(struct mbed *mbed) { free(mbed); }

const struct rit_crypto *mbed_table(const struct mbed *mbed) { return &mbed->table; }

void mbed_leave_out(struct mbed *mbed, uint32_t entry) {
    struct rit_crypto *table = &mbed->table;
    switch (entry) {
    case ENTRY_AES_GCM_SEAL: table->aes_gcm_seal = NULL; break;
    case ENTRY_AES_GCM_OPEN: table->aes_gcm_open = NULL; break;
    case ENTRY_CHACHA_SEAL: table->chacha_seal = NULL; break;
    case ENTRY_CHACHA_OPEN: table->chacha_open = NULL; break;
    case ENTRY_AES_BLOCK: table->aes_block = NULL; break;
    case ENTRY_CHACHA_BLOCK: table->chacha_block = NULL; break;
    case ENTRY_SHA256: table->sha256 = NULL; break;
    case ENTRY_X25519: table->x25519 = NULL; break;
    default:
        table->public_key = NULL;
        table->sign = NULL;
        table->key_kind = 0;
    }
}

void mbed_fail(struct mbed *mbed, uint32_t mask) { mbed->failing = mask; }

uint32_t mbed_calls(const struct mbed *mbed, uint32_t entry) { return mbed->calls[entry]; }

void mbed_hook(struct mbed *mbed, void (*hook)(void *hook_ctx), void *hook_ctx) {
    mbed->hook = hook;
    mbed->hook_ctx = hook_ctx;
}
