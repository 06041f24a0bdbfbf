/* tap.c: a Linux process as the board of examples-c/uip (board.h), with a TAP device for Ethernet.
 *
 * Its link is strict and bad: what is longer than its MTU never passes and is counted, and of the
 * rest as much is lost, each way, as loss= says, by seed=. Options are the command line's words
 * name=value: tap= mtu= loss= (in a thousand) seed= state= (a file's name), and the program's own.
 * SIGTERM types q. */
#define _GNU_SOURCE
#include "board.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define HEADER 14

static char words[4096];
static size_t words_len;
static volatile sig_atomic_t is_stopped;

static int tap = -1;
static size_t mtu = 1500;
static unsigned loss;
static uint64_t noise;

static uint8_t rx[2048], tx[2048];
static size_t rx_len, rx_at, tx_len, tx_at;

/* What the link did; longer_in is what came from the host and was longer than the MTU. */
static unsigned sent, received, lost, longer_out, longer_in;

static void on_signal(int number) {
    (void)number;
    is_stopped = 1;
}

static void tell(void) {
    printf("link: sent %u received %u lost %u longer-out %u longer-in %u\n", sent, received, lost,
           longer_out, longer_in);
    fflush(stdout);
}

__attribute__((constructor)) static void begin(void) {
    int file = open("/proc/self/cmdline", O_RDONLY);

    if (file >= 0) {
        ssize_t len = read(file, words, sizeof words - 1);
        words_len = len > 0 ? (size_t)len : 0;
        close(file);
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    atexit(tell);
}

int board_option(const char *name, char *out, size_t cap) {
    size_t at, len = strlen(name);

    for (at = 0; at < words_len; at += strlen(words + at) + 1) {
        const char *word = words + at;
        if (strncmp(word, name, len) == 0 && word[len] == '=' && strlen(word + len + 1) < cap) {
            strcpy(out, word + len + 1);
            return 0;
        }
    }
    return -1;
}

static unsigned long number_option(const char *name, unsigned long otherwise) {
    char text[32];

    return board_option(name, text, sizeof text) == 0 ? strtoul(text, NULL, 10) : otherwise;
}

void board_print(const char *format, ...) {
    va_list list;

    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    fflush(stdout);
}

int board_key(void) { return is_stopped ? 'q' : -1; }

uint64_t board_now_us(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

int board_entropy(uint8_t *out, size_t len) {
    return getrandom(out, len, 0) == (ssize_t)len ? 0 : -1;
}

int board_net_start(uint8_t mac[6]) {
    static const uint8_t MAC[6] = {2, 0, 0, 0, 0, 2};
    struct ifreq request;

    memset(&request, 0, sizeof request);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (tap < 0 || board_option("tap", request.ifr_name, sizeof request.ifr_name) != 0 ||
        ioctl(tap, TUNSETIFF, &request) != 0) {
        perror("tap");
        return -1;
    }
    mtu = number_option("mtu", 1500);
    loss = (unsigned)number_option("loss", 0);
    noise = number_option("seed", 1);
    memcpy(mac, MAC, 6);
    return 0;
}

/* splitmix64 */
static int is_lost(void) {
    uint64_t z = (noise += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    if (z % 1000 >= loss)
        return 0;
    lost++;
    return 1;
}

size_t board_net_next(void) {
    ssize_t len;

    while ((len = read(tap, rx, sizeof rx)) > 0) {
        received++;
        if ((size_t)len > mtu + HEADER)
            longer_in++;
        else if (!is_lost()) {
            rx_len = (size_t)len;
            rx_at = 0;
            return rx_len;
        }
    }
    return 0;
}

void board_net_read(void *to, size_t len) {
    if (len > rx_len - rx_at)
        len = rx_len - rx_at;
    memcpy(to, rx + rx_at, len);
    rx_at += len;
}

void board_net_end(void) { rx_len = rx_at = 0; }

int board_net_begin(size_t len) {
    if (len > BOARD_FRAME_MAX)
        return -1;
    tx_len = len;
    tx_at = 0;
    return 0;
}

void board_net_write(const void *from, size_t len) {
    if (len > tx_len - tx_at)
        len = tx_len - tx_at;
    memcpy(tx + tx_at, from, len);
    tx_at += len;
    if (tx_at < tx_len)
        return;
    sent++;
    if (tx_len > mtu + HEADER)
        longer_out++;
    else if (!is_lost() && write(tap, tx, tx_len) != (ssize_t)tx_len)
        lost++;
}

void board_sleep(void) {
    struct pollfd ready;

    ready.fd = tap;
    ready.events = POLLIN;
    (void)poll(&ready, 1, 1);
}

static void slot_name(uint32_t slot, char *out, size_t cap) {
    char state[200] = "state";

    (void)board_option("state", state, sizeof state);
    snprintf(out, cap, "%s.%u", state, slot);
}

int32_t board_load(uint32_t slot, uint8_t *buf, size_t cap) {
    char name[256];
    FILE *file;
    size_t len;

    slot_name(slot, name, sizeof name);
    file = fopen(name, "rb");
    if (file == NULL)
        return 0;
    len = fread(buf, 1, cap, file);
    fclose(file);
    return (int32_t)len;
}

int32_t board_store(uint32_t slot, const uint8_t *buf, size_t len) {
    char name[256];
    FILE *file;
    int is_good;

    slot_name(slot, name, sizeof name);
    file = fopen(name, "wb");
    if (file == NULL)
        return -1;
    is_good = fwrite(buf, 1, len, file) == len;
    return fclose(file) == 0 && is_good ? 0 : -1;
}
