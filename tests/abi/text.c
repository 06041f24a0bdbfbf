/* Texts of keys and addresses, and the loopback address. */
#include "fake.h"

#define A52 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void keys(void) {
    uint8_t key[RIT_KEY_LEN], back[RIT_KEY_LEN];
    char text[RIT_KEY_TEXT_LEN];
    uint64_t noise = 3;
    int round, i;
    for (round = 0; round < 100; round++) {
        for (i = 0; i < RIT_KEY_LEN; i++) key[i] = (uint8_t)fake_random(&noise);
        memset(text, 1, sizeof(text));
        ANSWERS(RIT_OK, rit_key_to_text(key, text));
        CHECK(strlen(text) == RIT_KEY_TEXT_LEN - 1);
        ANSWERS(RIT_OK, rit_key_from_text(text, back));
        CHECK(memcmp(key, back, sizeof(key)) == 0);
    }
    memset(key, 0, sizeof(key));
    ANSWERS(RIT_OK, rit_key_to_text(key, text));
    CHECK(strcmp(text, A52) == 0);
    back[0] = 7;
    ANSWERS(RIT_ERR_ARG, rit_key_from_text("", back));
    ANSWERS(RIT_ERR_ARG, rit_key_from_text(A52 "a", back));
    ANSWERS(RIT_ERR_ARG, rit_key_from_text(A52 + 1, back));
    text[3] = '1';
    ANSWERS(RIT_ERR_ARG, rit_key_from_text(text, back));
    text[3] = 'A';
    ANSWERS(RIT_ERR_ARG, rit_key_from_text(text, back));
    text[3] = (char)0xff;
    ANSWERS(RIT_ERR_ARG, rit_key_from_text(text, back));
    CHECK(back[0] == 7);
}

static void uris(void) {
    uint8_t key[RIT_KEY_LEN];
    char host[254], tiny[4];
    char *large = (char *)malloc(100001);
    uint16_t port = 1;
    CHECK(large != NULL);
    ANSWERS(RIT_OK, rit_uri_parse("rit://" A52 "@broker.example:99", key, host, sizeof(host), &port));
    CHECK(strcmp(host, "broker.example") == 0 && port == 99 && key[0] == 0 && key[31] == 0);
    ANSWERS(RIT_OK, rit_uri_parse("rit://" A52 "@[2001:db8::1]", key, host, sizeof(host), &port));
    CHECK(strcmp(host, "2001:db8::1") == 0 && port == 7480);
    port = 1;
    ANSWERS(RIT_ERR_BUFFER, rit_uri_parse("rit://" A52 "@abcd", key, tiny, sizeof(tiny), &port));
    ANSWERS(RIT_ERR_BUFFER, rit_uri_parse("rit://" A52 "@abcd", key, tiny, 0, &port));
    CHECK(port == 1);
    ANSWERS(RIT_OK, rit_uri_parse("rit://" A52 "@abc", key, tiny, sizeof(tiny), &port));
    ANSWERS(RIT_ERR_ARG, rit_uri_parse("", key, host, sizeof(host), &port));
    ANSWERS(RIT_ERR_ARG, rit_uri_parse("rit://" A52, key, host, sizeof(host), &port));
    ANSWERS(RIT_ERR_ARG, rit_uri_parse("rit://@h", key, host, sizeof(host), &port));
    ANSWERS(RIT_ERR_ARG, rit_uri_parse("rit://" A52 "@h:0", key, host, sizeof(host), &port));
    ANSWERS(RIT_ERR_ARG, rit_uri_parse("rit://" A52 "@h:65536", key, host, sizeof(host), &port));
    memset(large, 'a', 100000);
    large[100000] = '\0';
    ANSWERS(RIT_ERR_ARG, rit_uri_parse(large, key, host, sizeof(host), &port));
    free(large);
}

static void loopback(void) {
    uint8_t device[RIT_KEY_LEN] = {1};
    uint8_t a[4], b[4], c[4];
    ANSWERS(RIT_OK, rit_loopback_address(device, "web", 0, a));
    ANSWERS(RIT_OK, rit_loopback_address(device, "web", 0, b));
    ANSWERS(RIT_OK, rit_loopback_address(device, "web", 1, c));
    CHECK(a[0] == 127 && memcmp(a, b, 4) == 0 && memcmp(a, c, 4) != 0);
    ANSWERS(RIT_ERR_NAME, rit_loopback_address(device, "", 0, a));
    ANSWERS(RIT_ERR_NAME, rit_loopback_address(device, "W", 0, a));
    CHECK(memcmp(a, b, 4) == 0);
}

int main(void) {
    keys();
    uris();
    loopback();
    return 0;
}
