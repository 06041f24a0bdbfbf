/* Strangers get no answer: whatever comes in, nothing goes out, and the node works on. */
#include "fake.h"

static uint64_t noise = 11;

static void storm(struct fake *fake, const uint8_t *model, size_t model_len) {
    static uint8_t buf[1500];
    struct rit_path from = fake_path(1);
    unsigned sent = fake->sent;
    int round;
    for (round = 0; round < 20000; round++) {
        size_t i, len = (size_t)(fake_random(&noise) % 1453);
        for (i = 0; i < len; i++) buf[i] = (uint8_t)fake_random(&noise);
        if (model_len > 0 && round % 2 == 0) {
            /* Something of the node's own, changed. */
            len = model_len;
            memcpy(buf, model, len);
            for (i = 0; i <= (size_t)(round % 5); i++) {
                buf[fake_random(&noise) % len] ^= (uint8_t)(1 + fake_random(&noise) % 255);
            }
            if (round % 3 == 0) len = (size_t)(fake_random(&noise) % len);
        } else if (len > 8 && round % 3 == 0) {
            /* A long header of the right version. */
            buf[0] |= 0xc0;
            buf[1] = 0x72, buf[2] = 0x69, buf[3] = 0x74, buf[4] = 0x01;
        }
        from.ip[15] = (uint8_t)round;
        ANSWERS(RIT_OK, rit_node_receive(fake->node, &from, buf, len));
    }
    CHECK(fake->sent == sent);
}

int main(void) {
    struct fake fake;
    struct rit_path path = fake_path(1);
    struct rit_broker broker = fake_broker(&path);
    struct rit_event event;
    struct rit_stats stats;
    uint8_t first[9000];
    SIZED(event);
    SIZED(stats);
    fake_init(&fake, 1);
    fake_node(&fake);
    /* With nobody to ask, nobody is asked. */
    ANSWERS(RIT_OK, rit_node_network_changed(fake.node));
    CHECK(fake.sent == 0);
    storm(&fake, NULL, 0);
    ANSWERS(RIT_OK, rit_node_stats(fake.node, &stats));
    CHECK(stats.datagrams_received == 20000 && stats.datagrams_dropped == 20000);
    CHECK(stats.datagrams_sent == 0 && stats.buffered_bytes == 0);

    /* In the middle of a handshake, too. */
    ANSWERS(RIT_OK, rit_broker_connect(fake.node, &broker));
    CHECK(fake.sent > 0);
    memcpy(first, fake.last, fake.last_len);
    storm(&fake, first, fake.last_len);
    ANSWERS(RIT_ERR_AGAIN, rit_node_next_event(fake.node, &event));
    rit_node_free(fake.node);
    return 0;
}
