/* board.c: the board support alone, without a stack and without librit.
 *
 * Prints what each part of it does, one `name value...` a line, for board.py to compare. Among them
 * is the calibration of the tick counter under -icount: a loop of known length. */
#include "board.h"

#include <string.h>

#define ROUNDS 100000u

/* Two instructions a round, and those around it. */
static uint32_t timed_loop(uint32_t rounds) {
    uint32_t began = board_ticks();

    __asm volatile("1: subs %0, %0, #1\n bne 1b" : "+r"(rounds)::"cc");
    return board_ticks() - began;
}

static void storage(void) {
    uint8_t kept[8];
    int32_t before = board_load(1, kept, sizeof kept), stored, after;

    stored = board_store(1, (const uint8_t *)"kept", 4);
    after = board_load(1, kept, sizeof kept);
    board_print("storage %d %d %d %s\n", (int)before, (int)stored, (int)after,
                after == 4 && memcmp(kept, "kept", 4) == 0 ? "same" : "other");
}

__attribute__((noinline)) static size_t deep(void) {
    volatile uint8_t room[3000];

    memset((void *)(uintptr_t)room, 1, sizeof room);
    return room[0] + board_stack_peak();
}

static void stack(void) {
    size_t before = board_stack_peak();

    (void)deep();
    board_print("stack %u %u %u\n", (unsigned)before, (unsigned)board_stack_peak(),
                (unsigned)board_stack_size());
}

static void entropy(void) {
    uint8_t bytes[16];
    int error = board_entropy(bytes, sizeof bytes);
    size_t i;

    board_print("entropy %d ", error);
    for (i = 0; error == 0 && i < sizeof bytes; i++)
        board_print("%02x", (unsigned)bytes[i]);
    board_print("\n");
}

static void sleep(void) {
    uint64_t began = board_now_us();
    int i;

    for (i = 0; i < 100; i++)
        board_sleep();
    board_print("sleep %u\n", (unsigned)(board_now_us() - began));
}

/* Sends each frame back that comes, read and written in pieces of odd lengths, until one of 60
 * bytes whose last is 255; that one, too. */
static void echo(void) {
    static uint8_t frame[BOARD_FRAME_MAX];
    size_t len = 0, at, piece;
    uint8_t mac[6];

    board_print("net %d\n", board_net_start(mac));
    board_print("READY %02x:%02x:%02x:%02x:%02x:%02x\n", mac[0], mac[1], mac[2], mac[3], mac[4],
                mac[5]);
    while (!(len == 60 && frame[59] == 255)) {
        len = board_net_next();
        if (len == 0 || len > sizeof frame) {
            board_sleep();
            continue;
        }
        for (at = 0, piece = 1; at < len; at += piece, piece = piece % 7 + 1) {
            piece = piece > len - at ? len - at : piece;
            board_net_read(frame + at, piece);
        }
        board_net_end();
        if (board_net_begin(len) != 0)
            continue;
        for (at = 0, piece = 3; at < len; at += piece, piece = piece % 11 + 1) {
            piece = piece > len - at ? len - at : piece;
            board_net_write(frame + at, piece);
        }
    }
}

int main(void) {
    char word[32];

    board_print("print %s %c %d %u %08lx %lu %%\n", "text", 'c', -12, 34u, 0xABCul, 56ul);
    board_print("option %d %s\n", board_option("word", word, sizeof word), word);
    board_print("option %d\n", board_option("absent", word, sizeof word));
    board_print("loop %lu %lu\n", (unsigned long)timed_loop(ROUNDS),
                (unsigned long)timed_loop(2 * ROUNDS));
    storage();
    stack();
    entropy();
    sleep();
    echo();
    board_print("heap %u\n", (unsigned)(board_heap_end - board_heap_start));
    return 42;
}
