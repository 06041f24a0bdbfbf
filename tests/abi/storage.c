/* The identity in its slot: made once, kept, never overwritten when it is damaged. */
#include "fake.h"

static int32_t make(struct fake *fake, uint8_t key[RIT_KEY_LEN]) {
    struct rit_io io = fake_io(fake);
    int32_t err = 1;
    rit_node *node = rit_node_new(NULL, &io, &err);
    CHECK((node != NULL) == (err == RIT_OK));
    if (node != NULL) ANSWERS(RIT_OK, rit_node_public_key(node, key));
    else CHECK(fake->logs > 0);
    rit_node_free(node);
    return err;
}

static void kept(void) {
    struct fake fake;
    uint8_t first[RIT_KEY_LEN], second[RIT_KEY_LEN], slot[RIT_SLOT_MAX];
    int32_t i, len;
    fake_init(&fake, 1);
    ANSWERS(RIT_OK, make(&fake, first));
    CHECK(fake.stores == 1 && fake.slot_len > 32);
    len = fake.slot_len;
    memcpy(slot, fake.slot, sizeof(slot));
    fake.noise = 99;
    ANSWERS(RIT_OK, make(&fake, second));
    CHECK(fake.stores == 1 && memcmp(first, second, sizeof(first)) == 0);

    /* Any damaged byte, any length but the right one. */
    for (i = 0; i < len; i++) {
        fake.slot[i] ^= 0x10;
        ANSWERS(RIT_ERR_IDENTITY, make(&fake, second));
        fake.slot[i] ^= 0x10;
    }
    for (i = 1; i < len + 20; i++) {
        if (i == len) continue;
        fake.slot_len = i;
        ANSWERS(RIT_ERR_IDENTITY, make(&fake, second));
    }
    CHECK(fake.stores == 1 && memcmp(slot, fake.slot, sizeof(slot)) == 0);
    fake.slot_len = len;
    ANSWERS(RIT_OK, make(&fake, second));
    CHECK(memcmp(first, second, sizeof(first)) == 0);
}

static void failing(void) {
    struct fake fake;
    struct rit_config config;
    struct rit_io io;
    uint8_t key[RIT_KEY_LEN], again[RIT_KEY_LEN];
    int32_t err;
    fake_init(&fake, 2);
    fake.store_answer = -28;
    ANSWERS(RIT_ERR_STORAGE, make(&fake, key));
    CHECK(strstr(fake.last_log, "-28") != NULL);
    fake.store_answer = 1;
    ANSWERS(RIT_ERR_STORAGE, make(&fake, key));
    fake.store_answer = 0;
    fake.load_answer = -5;
    ANSWERS(RIT_ERR_STORAGE, make(&fake, key));
    fake.load_answer = RIT_SLOT_MAX + 1;
    ANSWERS(RIT_ERR_STORAGE, make(&fake, key));
    CHECK(fake.stores == 2 && fake.slot_len == 0);
    fake.load_answer = 0;

    /* A node that cannot be made for another reason leaves no identity behind. */
    rit_config_init(&config);
    config.max_datagram = 1;
    io = fake_io(&fake);
    CHECK(rit_node_new(&config, &io, &err) == NULL && err == RIT_ERR_ARG && fake.stores == 2);

    /* Half a storage is a mistake. */
    io.load = NULL;
    CHECK(rit_node_new(NULL, &io, &err) == NULL && err == RIT_ERR_ARG);
    io = fake_io(&fake);
    io.store = NULL;
    CHECK(rit_node_new(NULL, &io, &err) == NULL && err == RIT_ERR_ARG);

    /* None at all: somebody else each time. */
    io.load = NULL;
    fake.node = rit_node_new(NULL, &io, &err);
    ANSWERS(RIT_OK, rit_node_public_key(fake.node, key));
    rit_node_free(fake.node);
    fake.node = rit_node_new(NULL, &io, &err);
    ANSWERS(RIT_OK, rit_node_public_key(fake.node, again));
    rit_node_free(fake.node);
    CHECK(memcmp(key, again, sizeof(key)) != 0);
}

int main(void) {
    kept();
    failing();
    return 0;
}
