/* A source of randomness that fails, or evidently is none, is refused; and nothing is stored. */
#include "fake.h"

static int32_t make(struct fake *fake) {
    struct rit_io io = fake_io(fake);
    int32_t err = 1;
    rit_node *node = rit_node_new(NULL, &io, &err);
    CHECK((node != NULL) == (err == RIT_OK));
    CHECK(err == RIT_OK || (fake->stores == 0 && fake->logs == 1));
    rit_node_free(node);
    return err;
}

int main(void) {
    struct fake fake;
    unsigned i, drawn;

    fake_init(&fake, 1);
    ANSWERS(RIT_OK, make(&fake));
    drawn = fake.entropy_calls;
    CHECK(drawn >= 2);

    /* It fails, at whichever call. */
    for (i = 0; i < drawn; i++) {
        fake_init(&fake, 2);
        fake.entropy_good = i;
        ANSWERS(RIT_ERR_ENTROPY, make(&fake));
    }
    /* The same each time. */
    fake_init(&fake, 3);
    fake.entropy_is_stuck = 1;
    ANSWERS(RIT_ERR_ENTROPY, make(&fake));
    /* One value only. */
    for (i = 0; i < 256; i += 51) {
        fake_init(&fake, 4);
        fake.entropy_constant = (int)i;
        ANSWERS(RIT_ERR_ENTROPY, make(&fake));
    }
    /* It says that all is well, and writes nothing, or not all. */
    for (i = 0; i <= 16; i += 8) {
        fake_init(&fake, 5);
        fake.entropy_written = i;
        ANSWERS(RIT_ERR_ENTROPY, make(&fake));
    }
    /* Two nodes from two sources are two. */
    {
        struct fake a, b;
        uint8_t key_a[RIT_KEY_LEN], key_b[RIT_KEY_LEN];
        fake_init(&a, 6);
        fake_init(&b, 7);
        ANSWERS(RIT_OK, rit_node_public_key(fake_node(&a), key_a));
        ANSWERS(RIT_OK, rit_node_public_key(fake_node(&b), key_b));
        CHECK(memcmp(key_a, key_b, sizeof(key_a)) != 0);
        rit_node_free(a.node);
        rit_node_free(b.node);
    }
    return 0;
}
