/* What an owner signs about a device's cloak: what is refused, and the storage slots of a device. */
#include "fake.h"

/* Slots of their own, as a real port has them. */
static uint8_t slots[8][RIT_SLOT_TRUST_MAX];
static int32_t lens[8], answers[8];

static int32_t load(void *ctx, uint32_t slot, uint8_t *buf, size_t cap) {
    (void)ctx;
    CHECK(slot < 8 && cap >= (size_t)(lens[slot] > 0 ? lens[slot] : 0));
    if (answers[slot] != 0) return answers[slot];
    memcpy(buf, slots[slot], (size_t)lens[slot]);
    return lens[slot];
}

static int32_t store(void *ctx, uint32_t slot, const uint8_t *buf, size_t len) {
    (void)ctx;
    CHECK(slot < 8 && len <= sizeof(slots[slot]));
    memcpy(slots[slot], buf, len);
    lens[slot] = (int32_t)len;
    return 0;
}

static rit_node *make(struct fake *fake) {
    struct rit_io io = fake_io(fake);
    int32_t err = 1;
    io.load = load;
    io.store = store;
    fake->node = rit_node_new(NULL, &io, &err);
    ANSWERS(RIT_OK, err);
    return fake->node;
}

static void signing(void) {
    struct fake fake;
    struct rit_cloak cloak;
    uint8_t out[RIT_CLOAK_MAX];
    size_t len = 7, whole;
    rit_node *node;
    fake_init(&fake, 1);
    node = make(&fake);
    memset(&cloak, 0, sizeof(cloak));
    ANSWERS(RIT_ERR_SIZE, rit_cloak_sign(node, &cloak, out, sizeof(out), &len));
    cloak.struct_size = sizeof(cloak);
    cloak.number = UINT64_MAX;
    cloak.issued_s = UINT64_MAX;
    cloak.epoch = UINT32_MAX;
    cloak.for_s = RIT_CLOAK_FOR_MAX_S + 1;
    ANSWERS(RIT_ERR_ARG, rit_cloak_sign(node, &cloak, out, sizeof(out), &len));
    cloak.for_s = RIT_CLOAK_FOR_MAX_S;
    cloak.reserved = 1;
    ANSWERS(RIT_ERR_ARG, rit_cloak_sign(node, &cloak, out, sizeof(out), &len));
    cloak.reserved = 0;
    ANSWERS(RIT_ERR_NULL, rit_cloak_sign(NULL, &cloak, out, sizeof(out), &len));
    ANSWERS(RIT_ERR_NULL, rit_cloak_sign(node, NULL, out, sizeof(out), &len));
    ANSWERS(RIT_ERR_NULL, rit_cloak_sign(node, &cloak, NULL, sizeof(out), &len));
    ANSWERS(RIT_ERR_NULL, rit_cloak_sign(node, &cloak, out, sizeof(out), NULL));
    CHECK(len == 7);
    ANSWERS(RIT_OK, rit_cloak_sign(node, &cloak, out, sizeof(out), &len));
    CHECK(len > 100 && len <= sizeof(out));
    whole = len;
    ANSWERS(RIT_ERR_BUFFER, rit_cloak_sign(node, &cloak, out, whole - 1, &len));
    CHECK(len == whole);
    ANSWERS(RIT_OK, rit_cloak_sign(node, &cloak, out, whole, &len));
    rit_node_free(node);
}

/* Of a device whose slot cannot be read all else goes on. */
static void a_slot_that_is_no_good(void) {
    struct fake fake;
    int round;
    for (round = 0; round < 4; round++) {
        rit_node *node;
        memset(lens, 0, sizeof(lens));
        memset(answers, 0, sizeof(answers));
        fake_init(&fake, 2);
        answers[RIT_SLOT_CLOAK] = round == 1 ? -5 : round == 2 ? RIT_SLOT_MAX + 1 : 0;
        lens[RIT_SLOT_CLOAK] = round == 3 ? 25 : 0;
        memset(slots[RIT_SLOT_CLOAK], 0x55, 25);
        node = make(&fake);
        ANSWERS(RIT_OK, rit_trust_start(node, NULL));
        CHECK((fake.logs > 0) == (round > 0));
        CHECK(round == 0 || strstr(fake.last_log, "uncloak") != NULL);
        rit_node_free(node);
    }
}

int main(void) {
    signing();
    a_slot_that_is_no_good();
    return 0;
}
