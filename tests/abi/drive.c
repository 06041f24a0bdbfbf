/* A node alone in the world: the timer, the deadline, the drain, what it says when nobody answers. */
#include "fake.h"

static void timer_follows(struct fake *fake) {
    uint64_t deadline = rit_node_deadline(fake->node);
    CHECK(fake->timer_us == deadline);
}

static void nobody_answers(struct fake *fake) {
    struct rit_path path = fake_path(1);
    struct rit_broker broker = fake_broker(&path);
    struct rit_event event;
    unsigned offline = 0, rounds = 0;
    uint64_t began;
    SIZED(event);
    CHECK(rit_node_deadline(fake->node) == UINT64_MAX && fake->timers == 0);
    ANSWERS(RIT_OK, rit_node_timeout(fake->node));
    CHECK(fake->timers == 0 && fake->sent == 0);

    broker.enrol_code = "a-code";
    ANSWERS(RIT_OK, rit_broker_connect(fake->node, &broker));
    CHECK(fake->sent == 1 && fake->last_to.port == 7480 && fake->last_to.ip[15] == 1);
    CHECK(fake->timers == 1);
    timer_follows(fake);
    began = fake->now_us;
    /* Early: harmless, and the timer is set again. */
    ANSWERS(RIT_OK, rit_node_timeout(fake->node));
    CHECK(fake->sent == 1 && fake->timers == 2);
    /* A clock that goes back: taken to stand still. */
    fake->now_us = 0;
    ANSWERS(RIT_OK, rit_node_timeout(fake->node));
    CHECK(fake->sent == 1);
    fake->now_us = began;

    while (offline < 3 && rounds++ < 1000) {
        CHECK(rit_node_deadline(fake->node) != UINT64_MAX);
        fake->now_us = rit_node_deadline(fake->node);
        ANSWERS(RIT_OK, rit_node_timeout(fake->node));
        timer_follows(fake);
        if (fake->timer_us > fake->now_us && fake->timer_us != UINT64_MAX) {
            /* A timer that goes off early is set again. */
            uint64_t deadline_us = fake->timer_us;
            fake->timer_us = 0;
            ANSWERS(RIT_OK, rit_node_timeout(fake->node));
            CHECK(fake->timer_us == deadline_us);
        }
        while (rit_node_next_event(fake->node, &event) == RIT_OK) {
            CHECK(event.type == RIT_EVENT_BROKER_OFFLINE && event.error == RIT_ERR_TIMEOUT);
            CHECK(event.session == 0 && event.stream == 0 && event.code == 0);
            offline++;
            /* A send that fails is a datagram lost, no more. */
            fake->send_answer = offline == 1 ? -11 : 0;
        }
    }
    CHECK(offline == 3 && fake->sent > 10 && rounds < 100);
    /* Pauses: a minute at most between attempts, and attempts of bounded length. */
    CHECK(fake->now_us - began < UINT64_C(180000000));
    CHECK(fake->logs > 0);
}

static void details(struct fake *fake) {
    char text[200], cut[8];
    int32_t len, i;
    uint8_t key[RIT_KEY_LEN];
    struct rit_stats stats;
    SIZED(stats);
    ANSWERS(RIT_ERR_HANDLE, rit_stream_finish(fake->node, 5));
    len = rit_node_last_error(fake->node, text, sizeof(text));
    CHECK(len > 8 && (size_t)len == strlen(text) && strstr(text, "handle") != NULL);
    CHECK(rit_node_last_error(fake->node, cut, sizeof(cut)) == len);
    CHECK(strlen(cut) == 7 && strncmp(cut, text, 7) == 0);
    CHECK(rit_node_last_error(fake->node, cut, 1) == len && cut[0] == '\0');
    CHECK(rit_node_last_error(fake->node, NULL, 0) == len);
    ANSWERS(RIT_OK, rit_node_public_key(fake->node, key));
    ANSWERS(RIT_OK, rit_node_stats(fake->node, &stats));
    CHECK(stats.datagrams_sent == fake->sent && stats.bytes_sent > stats.datagrams_sent);
    CHECK(stats.sessions == 0 && stats.streams == 0);
    for (i = -300; i < 10; i++) CHECK(rit_strerror(i) != NULL && rit_strerror(i)[0] != '\0');
    CHECK(strcmp(rit_strerror(RIT_OK), rit_strerror(RIT_ERR_NULL)) != 0);
    CHECK(strchr(rit_version(), '.') != NULL);
}

int main(void) {
    struct fake fake;
    char empty[4] = "abc";
    fake_init(&fake, 1);
    fake_node(&fake);
    CHECK(rit_node_last_error(fake.node, empty, sizeof(empty)) == 0 && empty[0] == '\0');
    nobody_answers(&fake);
    details(&fake);
    rit_node_free(fake.node);
    return 0;
}
