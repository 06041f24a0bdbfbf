/* Datagrams that are fetched, not sent: how much room they want, that none is lost by waiting, and
 * that the timer is set all the same. */
#include "fake.h"

#define MAX_DATAGRAM 539
#define ROOM (MAX_DATAGRAM + 9)

static rit_node *node_without_send(struct fake *fake) {
    struct rit_io io = fake_io(fake);
    struct rit_config config;
    int32_t err = 1;
    io.send = NULL;
    rit_config_init(&config);
    config.max_datagram = MAX_DATAGRAM;
    fake->node = rit_node_new(&config, &io, &err);
    CHECK(fake->node != NULL && err == RIT_OK);
    return fake->node;
}

int main(void) {
    struct fake fake;
    struct rit_path broker_path = fake_path(1), to;
    struct rit_broker broker = fake_broker(&broker_path);
    struct rit_event event;
    struct rit_stats stats;
    uint8_t buf[ROOM + 1];
    size_t len = 99;
    unsigned fetched = 0, rounds = 0;
    rit_node *node;
    SIZED(to);
    SIZED(event);
    SIZED(stats);
    fake_init(&fake, 1);
    node = node_without_send(&fake);
    ANSWERS(RIT_ERR_AGAIN, rit_node_transmit(node, &to, buf, ROOM, &len));
    CHECK(len == 0);

    ANSWERS(RIT_OK, rit_broker_connect(node, &broker));
    len = 99;
    ANSWERS(RIT_ERR_BUFFER, rit_node_transmit(node, &to, buf, ROOM - 1, &len));
    CHECK(len == 0);
    to.struct_size = 1;
    ANSWERS(RIT_ERR_SIZE, rit_node_transmit(node, &to, buf, ROOM, &len));
    SIZED(to);
    /* What is not fetched is still there later. */
    ANSWERS(RIT_OK, rit_node_timeout(node));
    buf[ROOM] = 0x55;
    ANSWERS(RIT_OK, rit_node_transmit(node, &to, buf, ROOM, &len));
    CHECK(len > 100 && len <= MAX_DATAGRAM && buf[ROOM] == 0x55);
    CHECK(to.struct_size == sizeof(to) && to.port == 7480 && to.ip[15] == 1 && to.ecn == 0);
    ANSWERS(RIT_ERR_AGAIN, rit_node_transmit(node, &to, buf, ROOM, &len));
    CHECK(fake.timer_us == rit_node_deadline(node) && fake.timer_us > fake.now_us);

    /* Whoever never fetches loses the broker, and nothing else. */
    while (rit_node_next_event(node, &event) != RIT_OK) {
        CHECK(rounds++ < 1000);
        fake.now_us = rit_node_deadline(node);
        ANSWERS(RIT_OK, rit_node_timeout(node));
        if (rounds < 4) {
            while (rit_node_transmit(node, &to, buf, ROOM, &len) == RIT_OK) fetched++;
        }
    }
    CHECK(event.type == RIT_EVENT_BROKER_OFFLINE && event.error == RIT_ERR_TIMEOUT);
    ANSWERS(RIT_OK, rit_node_stats(node, &stats));
    CHECK(fetched > 0 && fake.sent == 0 && stats.datagrams_sent == fetched + 1);
    rit_node_free(node);
    return 0;
}
