/* test_mdns.c: what answers of multicast DNS are taken for; hostile ones among them. */
#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "internal.h"

#define INSTANCE "rit-x._rit._udp.local"

static struct rit_path found[RITP_PATHS_MAX];

static size_t take(const struct answer *answer) {
    /* A copy of its very length, so that the sanitizer sees what is read behind it. */
    uint8_t *copy = malloc(answer->len > 0 ? answer->len : 1);
    size_t count;

    CHECK(copy != NULL);
    memcpy(copy, answer->bytes, answer->len);
    count = ritp_mdns_answer(copy, answer->len, 77, TAG, found);
    free(copy);
    CHECK(count <= RITP_PATHS_MAX);
    return count;
}

static void test_the_question(void) {
    uint8_t query[RITP_MDNS_QUERY_LEN];

    CHECK(ritp_mdns_query(0x1234, query) == sizeof query);
    CHECK(memcmp(query, "\x12\x34\0\0\0\1\0\0\0\0\0\0", 12) == 0);
    CHECK(memcmp(query + 12, "\4_rit\4_udp\5local\0\0\x0c\0\1", 21) == 0);
}

static void test_a_gateway_is_found(void) {
    static const uint8_t V6[16] = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
    struct answer answer;

    put_gateway(&answer, 77, 5, 7480);
    CHECK(take(&answer) == 1 && found[0].port == 7480);
    CHECK(memcmp(found[0].ip + 10, "\xff\xff\x0a\x09\0\5", 6) == 0);
    put_address(&answer, "RIT-X.Local", V6, 16);
    CHECK(take(&answer) == 2 && memcmp(found[1].ip, V6, 16) == 0 && found[1].ifindex == 0);
    /* Of the section does not matter, nor do records of other types and names. */
    answer.bytes[11] = answer.bytes[7];
    answer.bytes[7] = 0;
    CHECK(take(&answer) == 2);
}

static void test_names_may_be_shortened(void) {
    struct answer answer;
    size_t at;

    begin(&answer, 77);
    answer.bytes[5] = 1; /* the question, at 12 */
    put_name(&answer, "_rit._udp.local");
    put(&answer, "\0\x0c\0\1", 4);
    put(&answer, "\xc0\x0c" "\0\x0c\0\1\0\0\0\x0a\0\x08" "\5rit-x\xc0\x0c", 20); /* PTR at 33 */
    put(&answer, "\xc0\x2d" "\0\x10\x80\1\0\0\0\x0a\0\x0f" "\3v=1\012k=" TAG, 27);
    put(&answer, "\xc0\x2d" "\0\x21\x80\1\0\0\0\x0a\0\x10" "\0\0\0\0\x1d\x38", 18);
    put(&answer, "\7rit-abc\xc0\x1c", 10);
    at = answer.len - 10; /* the host, whose name ends at "local" */
    put(&answer, (const uint8_t[]){0xc0, (uint8_t)at}, 2);
    put(&answer, "\0\1\x80\1\0\0\0\x0a\0\4\x0a\x09\0\6", 14);
    answer.bytes[7] = 4;
    CHECK(take(&answer) == 1 && found[0].port == 7480 && found[0].ip[15] == 6);
}

static void test_whose_it_is_not(void) {
    static const struct {
        const char *instance, *txt, *srv_of, *host_of;
        unsigned port;
    } CASES[] = {
        {INSTANCE, "\003v=1\012k=ecececed", INSTANCE, "rit-x.local", 1}, /* another's */
        {INSTANCE, "\003v=1\011k=ececece", INSTANCE, "rit-x.local", 1},
        {INSTANCE, "\003v=1\013k=ecececece", INSTANCE, "rit-x.local", 1},
        {INSTANCE, "\003v=2\012k=" TAG, INSTANCE, "rit-x.local", 1}, /* another version */
        {INSTANCE, "\012k=" TAG, INSTANCE, "rit-x.local", 1},
        {INSTANCE, "\003v=1\013k=" TAG, INSTANCE, "rit-x.local", 1}, /* cut off */
        {"other._rit._udp.local", "\003v=1\012k=" TAG, INSTANCE, "rit-x.local", 1},
        {INSTANCE, "\003v=1\012k=" TAG, "other._rit._udp.local", "rit-x.local", 1},
        {INSTANCE, "\003v=1\012k=" TAG, INSTANCE, "rit-y.local", 1},
        {INSTANCE, "\003v=1\012k=" TAG, INSTANCE, "rit-x.local", 0}};
    static const uint8_t IP[16] = {10, 9, 0, 5};
    struct answer answer;
    size_t i;

    for (i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        begin(&answer, 77);
        put_ptr(&answer, CASES[i].instance);
        put_txt(&answer, INSTANCE, CASES[i].txt);
        put_srv(&answer, CASES[i].srv_of, CASES[i].port, "rit-x.local");
        put_address(&answer, CASES[i].host_of, IP, 4);
        CHECK(take(&answer) == 0);
    }
    put_gateway(&answer, 78, 5, 7480); /* to another question */
    CHECK(take(&answer) == 0);
    put_gateway(&answer, 77, 5, 7480);
    answer.bytes[2] = 0x04; /* a question itself */
    CHECK(take(&answer) == 0);
    answer.bytes[2] = 0x84;
    answer.bytes[3] = 3; /* an error */
    CHECK(take(&answer) == 0);
}

static void test_limits(void) {
    static const uint8_t IP[16] = {10, 9, 0, 5};
    struct answer answer;
    char name[300];
    int i;

    put_gateway(&answer, 77, 5, 7480);
    for (i = 0; i < 20; i++)
        put_address(&answer, "rit-x.local", IP, 4);
    CHECK(take(&answer) == RITP_PATHS_MAX);
    put_gateway(&answer, 77, 5, 7480);
    for (i = 0; i < 28; i++)
        put_address(&answer, "a.local", IP, 4);
    CHECK(take(&answer) == 1); /* 32 records */
    put_address(&answer, "a.local", IP, 4);
    CHECK(take(&answer) == 0);
    /* The longest name, of 255 octets, and one more. */
    memset(name, 'a', sizeof name);
    for (i = 63; i < 255; i += 64)
        name[i] = '.';
    name[253] = '\0';
    put_gateway(&answer, 77, 5, 7480);
    put_address(&answer, name, IP, 4);
    CHECK(take(&answer) == 1);
    name[253] = 'a';
    name[254] = '\0';
    put_gateway(&answer, 77, 5, 7480);
    put_address(&answer, name, IP, 4);
    CHECK(take(&answer) == 0);
}

/* A first record whose name is this. */
static size_t with_name(const char *octets, size_t len) {
    struct answer answer;

    begin(&answer, 77);
    put(&answer, octets, len);
    put(&answer, "\0\1\0\1\0\0\0\0\0\0", 10);
    answer.bytes[7] = 1;
    put_ptr(&answer, INSTANCE);
    put_txt(&answer, INSTANCE, "\003v=1\012k=" TAG);
    put_srv(&answer, INSTANCE, 1, "h.local");
    put_address(&answer, "h.local", (const uint8_t *)"\x0a\x09\0\5", 4);
    return take(&answer);
}

static void test_names_that_lead_nowhere(void) {
    struct answer answer;
    int i;

    CHECK(with_name("\1a\0", 3) == 1);
    CHECK(with_name("\xc0\x0c", 2) == 0);      /* to itself */
    CHECK(with_name("\1a\xc0\x0c", 4) == 0);   /* around */
    CHECK(with_name("\xc0\x40", 2) == 0);      /* ahead */
    CHECK(with_name("\xc0\x02", 2) == 0);      /* into the header */
    CHECK(with_name("\x40" "aaaa\0", 6) == 0); /* neither a length nor a pointer */
    CHECK(with_name("\x80" "aaaa\0", 6) == 0);
    /* A chain of pointers, each to the one before: eight are followed, more are not. */
    for (i = 8; i <= 9; i++) {
        int j;
        begin(&answer, 77);
        answer.bytes[5] = 1; /* a question whose name is not looked at: the root at 12 */
        put(&answer, "\0\0\1\0\1", 5);
        put(&answer, "\0\0\x0a\0\1\0\0\0\0\0\0", 11); /* a NULL record with pointers in it */
        answer.bytes[answer.len - 1] = (uint8_t)(2 * i);
        put(&answer, "\xc0\x0c", 2); /* at 28 */
        for (j = 1; j < i; j++)
            put(&answer, (const uint8_t[]){0xc0, (uint8_t)(26 + 2 * j)}, 2);
        put(&answer, (const uint8_t[]){0xc0, (uint8_t)(26 + 2 * (i - 1))}, 2);
        put(&answer, "\0\1\0\1\0\0\0\0\0\0", 10);
        answer.bytes[7] = 2;
        put_ptr(&answer, INSTANCE);
        put_txt(&answer, INSTANCE, "\003v=1\012k=" TAG);
        put_srv(&answer, INSTANCE, 1, "h.local");
        put_address(&answer, "h.local", (const uint8_t *)"\x0a\x09\0\5", 4);
        CHECK(take(&answer) == (i == 8 ? 1u : 0u));
    }
    /* Labels alone to the end of the datagram. */
    begin(&answer, 77);
    answer.bytes[7] = 1;
    while (answer.len < 1400)
        put(&answer, "\0", 1), answer.bytes[answer.len - 1] = 1;
    CHECK(take(&answer) == 0);
}

static void test_every_cut(void) {
    struct answer answer;
    size_t len;

    put_gateway(&answer, 77, 5, 7480);
    len = answer.len;
    for (answer.len = 0; answer.len < len; answer.len++)
        CHECK(take(&answer) == 0);
    CHECK(take(&answer) == 1);
}

static void test_noise(void) {
    struct answer good, answer;
    unsigned seed = 20261130;
    int i, j, taken = 0;

    put_gateway(&good, 77, 5, 7480);
    put_gateway(&answer, 77, 6, 7481);
    put(&good, answer.bytes + 12, answer.len - 12);
    good.bytes[7] = 8;
    for (i = 0; i < 200000; i++) {
        answer = good;
        for (j = 0; j < 1 + i % 4; j++) {
            seed = seed * 1103515245u + 12345u;
            answer.bytes[2 + (seed >> 16) % (answer.len - 2)] = (uint8_t)(seed >> 8);
        }
        seed = seed * 1103515245u + 12345u;
        if (i % 3 == 0)
            answer.len = (seed >> 16) % (answer.len + 1);
        taken += take(&answer) > 0;
    }
    CHECK(taken > 1000 && taken < 199000);
}

int main(int argc, char **argv) {
    (void)argc, (void)argv;
    test_the_question();
    test_a_gateway_is_found();
    test_names_may_be_shortened();
    test_whose_it_is_not();
    test_limits();
    test_names_that_lead_nowhere();
    test_every_cut();
    test_noise();
    puts("test_mdns: 8 tests passed");
    return 0;
}
