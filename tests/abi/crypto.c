/* The integrator's crypto: which tables are taken, whose key a node has, and what a table that
 * fails in everything does to it. What one that works does is in tests/crypto. */
#include "fake.h"

struct table {
    struct fake *fake;
    unsigned public_keys, signs, aeads, blocks, hashes, products;
    uint8_t first;
    int32_t answer;
};

static int32_t fail_aead(void *ctx, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
                         size_t aad_len, uint8_t *buf, size_t len) {
    struct table *table = (struct table *)ctx;
    CHECK(key != NULL && nonce != NULL && aad != NULL && aad_len > 0 && buf != NULL);
    (void)len;
    table->aeads++;
    fake_hook(table->fake, "aead");
    return table->answer;
}

static int32_t fail_aes_block(void *ctx, const uint8_t *key, const uint8_t *block, uint8_t *out) {
    struct table *table = (struct table *)ctx;
    CHECK(key != NULL && block != NULL && out != NULL);
    table->blocks++;
    return table->answer;
}

static int32_t fail_chacha_block(void *ctx, const uint8_t *key, uint32_t counter,
                                 const uint8_t *nonce, uint8_t *out) {
    struct table *table = (struct table *)ctx;
    CHECK(key != NULL && nonce != NULL && out != NULL);
    (void)counter;
    table->blocks++;
    return table->answer;
}

static int32_t fail_sha256(void *ctx, const struct rit_bytes *parts, size_t count, uint8_t *out) {
    struct table *table = (struct table *)ctx;
    CHECK(parts != NULL && count <= RIT_SHA256_PARTS_MAX && out != NULL);
    table->hashes++;
    fake_hook(table->fake, "sha256");
    return table->answer;
}

static int32_t fail_x25519(void *ctx, const uint8_t *scalar, const uint8_t *point, uint8_t *out) {
    struct table *table = (struct table *)ctx;
    CHECK(scalar != NULL && point != NULL && out != NULL);
    table->products++;
    fake_hook(table->fake, "x25519");
    return table->answer;
}

static int32_t give_public_key(void *ctx, uint8_t *out) {
    struct table *table = (struct table *)ctx;
    memset(out, 7, 32);
    out[0] = table->first;
    table->public_keys++;
    fake_hook(table->fake, "public_key");
    return 0;
}

static int32_t refuse_public_key(void *ctx, uint8_t *out) {
    (void)ctx;
    (void)out;
    return 5;
}

static int32_t fail_sign(void *ctx, const uint8_t *msg, size_t len, uint8_t *out) {
    struct table *table = (struct table *)ctx;
    CHECK(msg != NULL && len > 0 && out != NULL);
    table->signs++;
    return table->answer;
}

static struct rit_crypto all_failing(struct table *table) {
    struct rit_crypto crypto;
    SIZED(crypto);
    crypto.ctx = table;
    crypto.aes_gcm_seal = fail_aead;
    crypto.aes_gcm_open = fail_aead;
    crypto.chacha_seal = fail_aead;
    crypto.chacha_open = fail_aead;
    crypto.aes_block = fail_aes_block;
    crypto.chacha_block = fail_chacha_block;
    crypto.sha256 = fail_sha256;
    crypto.x25519 = fail_x25519;
    crypto.public_key = give_public_key;
    crypto.sign = fail_sign;
    crypto.key_kind = RIT_KEY_ED25519;
    return crypto;
}

static int32_t make(struct fake *fake, const struct rit_crypto *crypto, uint8_t *key) {
    struct rit_io io = fake_io(fake);
    int32_t err = 1;
    rit_node *node;
    io.crypto = crypto;
    node = rit_node_new(NULL, &io, &err);
    CHECK((node != NULL) == (err == RIT_OK));
    if (node != NULL && key != NULL) ANSWERS(RIT_OK, rit_node_public_key(node, key));
    rit_node_free(node);
    return err;
}

static void tables(struct fake *fake, struct table *table) {
    static const uint32_t wild[] = {0, 4, 27, UINT32_MAX};
    struct rit_crypto crypto = all_failing(table);
    size_t i;
    for (i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
        crypto.struct_size = wild[i];
        ANSWERS(RIT_ERR_SIZE, make(fake, &crypto, NULL));
    }
    crypto = all_failing(table);
    crypto.flags = 2;
    ANSWERS(RIT_ERR_ARG, make(fake, &crypto, NULL));
    crypto = all_failing(table);
    crypto.reserved = 1;
    ANSWERS(RIT_ERR_ARG, make(fake, &crypto, NULL));
    crypto = all_failing(table);
    crypto.public_key = NULL;
    ANSWERS(RIT_ERR_ARG, make(fake, &crypto, NULL));
    crypto = all_failing(table);
    crypto.sign = NULL;
    ANSWERS(RIT_ERR_ARG, make(fake, &crypto, NULL));
    crypto.public_key = NULL;
    ANSWERS(RIT_ERR_ARG, make(fake, &crypto, NULL));
    crypto.key_kind = 0;
    ANSWERS(RIT_OK, make(fake, &crypto, NULL));
    crypto = all_failing(table);
    crypto.key_kind = 3;
    ANSWERS(RIT_ERR_ARG, make(fake, &crypto, NULL));
    crypto = all_failing(table);
    crypto.public_key = refuse_public_key;
    ANSWERS(RIT_ERR_CRYPTO, make(fake, &crypto, NULL));
    CHECK(strstr(fake->last_log, "public_key") != NULL);
    SIZED(crypto);
    ANSWERS(RIT_OK, make(fake, &crypto, NULL));
}

static void keys(struct fake *fake, struct table *table) {
    struct rit_crypto crypto = all_failing(table);
    uint8_t of_ed25519[RIT_KEY_LEN], of_p256[RIT_KEY_LEN];
    size_t i;
    fake->loads = fake->stores = 0;
    table->first = 4;
    ANSWERS(RIT_OK, make(fake, &crypto, of_ed25519));
    for (i = 0; i < RIT_KEY_LEN; i++) CHECK(of_ed25519[i] == (i == 0 ? 4 : 7));
    crypto.key_kind = RIT_KEY_P256;
    ANSWERS(RIT_OK, make(fake, &crypto, of_p256));
    CHECK(memcmp(of_ed25519, of_p256, RIT_KEY_LEN) != 0);
    /* Not an uncompressed point. */
    table->first = 2;
    ANSWERS(RIT_ERR_ARG, make(fake, &crypto, NULL));
    CHECK(fake->loads == 0 && fake->stores == 0);
    crypto.public_key = NULL;
    crypto.sign = NULL;
    crypto.key_kind = 0;
    ANSWERS(RIT_OK, make(fake, &crypto, of_ed25519));
    CHECK(fake->loads == 1 && fake->stores == 1);
}

static unsigned hooks;

/* The node is busy in each of them. */
static void reenter(struct fake *fake, const char *callback) {
    struct rit_path path = fake_path(1);
    struct rit_event event;
    uint8_t key[RIT_KEY_LEN] = {0};
    SIZED(event);
    if (strcmp(callback, "aead") != 0 && strcmp(callback, "sha256") != 0 &&
        strcmp(callback, "x25519") != 0) {
        return;
    }
    hooks++;
    ANSWERS(RIT_ERR_REENTRY, rit_node_timeout(fake->node));
    ANSWERS(RIT_ERR_REENTRY, rit_node_receive(fake->node, &path, key, 4));
    ANSWERS(RIT_ERR_REENTRY, rit_node_next_event(fake->node, &event));
    ANSWERS(RIT_ERR_REENTRY, rit_node_public_key(fake->node, key));
    ANSWERS(RIT_ERR_REENTRY, rit_peer_allow(fake->node, key));
    ANSWERS(RIT_ERR_REENTRY, rit_session_close(fake->node, 1, 0));
    rit_node_free(fake->node);
}

/* Nothing works: nothing is sent, and the node can still be asked anything. */
static void failures(struct fake *fake, struct table *table) {
    struct rit_crypto crypto = all_failing(table);
    struct rit_io io = fake_io(fake);
    struct rit_path path = fake_path(1);
    struct rit_broker broker = fake_broker(&path);
    struct rit_event event;
    uint8_t key[RIT_KEY_LEN];
    int32_t err;
    unsigned i;
    SIZED(event);
    table->answer = -1;
    io.crypto = &crypto;
    fake->node = rit_node_new(NULL, &io, &err);
    CHECK(fake->node != NULL);
    fake->hook = reenter;
    fake->sent = 0;
    ANSWERS(RIT_ERR_CRYPTO, rit_broker_connect(fake->node, &broker));
    CHECK(table->products == 1 && table->hashes > 0 && fake->sent == 0);
    /* Now the key share, but no packet. */
    rit_node_free(fake->node);
    CHECK(hooks > 0);
    crypto.x25519 = NULL;
    crypto.sha256 = NULL;
    fake->hook = NULL;
    fake->node = rit_node_new(NULL, &io, &err);
    CHECK(fake->node != NULL);
    fake->hook = reenter;
    ANSWERS(RIT_OK, rit_broker_connect(fake->node, &broker));
    CHECK(table->aeads > 0 && fake->sent == 0);
    for (i = 0; i < 100 && rit_node_next_event(fake->node, &event) != RIT_OK; i++) {
        fake->now_us = rit_node_deadline(fake->node);
        ANSWERS(RIT_OK, rit_node_timeout(fake->node));
    }
    CHECK(event.type == RIT_EVENT_BROKER_OFFLINE && event.error == RIT_ERR_CRYPTO);
    CHECK(fake->sent == 0);
    ANSWERS(RIT_OK, rit_node_public_key(fake->node, key));
    fake->hook = NULL;
    rit_node_free(fake->node);
}

int main(void) {
    struct fake fake;
    struct table table;
    memset(&table, 0, sizeof(table));
    table.fake = &fake;
    table.answer = -1;
    table.first = 4;
    fake_init(&fake, 1);
    tables(&fake, &table);
    fake_init(&fake, 2);
    keys(&fake, &table);
    fake_init(&fake, 3);
    failures(&fake, &table);
    CHECK(table.public_keys > 0 && strlen(rit_strerror(RIT_ERR_CRYPTO)) > 0);
    return 0;
}
