/* board.c: a vendor's stack that is none, for ports/skeleton: what vendor.c is to be filled in with.
 *
 * The receive interrupt is a signal: SIGIO comes at any moment of the main loop, and its handler
 * takes the datagrams from the socket. Slots are files in the folder that BOARD_STATE names. */
#define _GNU_SOURCE
#include "vendor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "port.h"

static int udp = -1;
static sigset_t interrupt, all_as_before;

static void on_interrupt(int number) {
    static uint8_t bytes[PORT_DATAGRAM_MAX + 1];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    uint8_t ip[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
    int saved = errno;
    ssize_t len;

    (void)number;
    while ((len = recvfrom(udp, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &from_len)) >= 0) {
        memcpy(ip + 12, &from.sin_addr, 4);
        port_on_datagram(ip, ntohs(from.sin_port), bytes, (size_t)len);
        from_len = sizeof from;
    }
    errno = saved;
}

int vendor_start(void) {
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = SA_RESTART;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGIO);
    sigprocmask(SIG_SETMASK, NULL, &all_as_before);
    return sigaction(SIGIO, &action, NULL);
}

/* It passes 2^32 half a second after the start of the program, as a real one should in a test. */
uint64_t vendor_now_us(void) {
    static uint64_t start;
    struct timespec now;
    uint64_t us;

    clock_gettime(CLOCK_MONOTONIC, &now);
    us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    if (start == 0) start = us;
    return us - start + (UINT64_C(1) << 32) - 500000;
}

int vendor_random(uint8_t *out, size_t len) {
    return getrandom(out, len, 0) == (ssize_t)len ? 0 : -1;
}

int vendor_udp_open(uint16_t port_number) {
    struct sockaddr_in own;

    memset(&own, 0, sizeof own);
    own.sin_family = AF_INET;
    own.sin_port = htons(port_number);
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (udp < 0 || bind(udp, (struct sockaddr *)&own, sizeof own) != 0) return -1;
    if (fcntl(udp, F_SETOWN, getpid()) != 0) return -1;
    return fcntl(udp, F_SETFL, O_NONBLOCK | O_ASYNC);
}

int vendor_udp_send(const uint8_t ip[16], uint16_t port_number, const uint8_t *bytes, size_t len) {
    struct sockaddr_in to;

    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_port = htons(port_number);
    memcpy(&to.sin_addr, ip + 12, 4);
    return sendto(udp, bytes, len, 0, (struct sockaddr *)&to, sizeof to) == (ssize_t)len ? 0 : -1;
}

int vendor_resolve(const char *host, uint8_t ip[16]) {
    memset(ip, 0, 16);
    ip[10] = ip[11] = 0xff;
    return inet_pton(AF_INET, host, ip + 12) == 1 ? 0 : -1;
}

static FILE *slot_file(uint32_t slot, const char *suffix, const char *mode, char *name, size_t cap) {
    snprintf(name, cap, "%s/slot%u%s", getenv("BOARD_STATE"), (unsigned)slot, suffix);
    return fopen(name, mode);
}

int vendor_flash_read(uint32_t slot, uint8_t *buf, size_t cap) {
    char name[512];
    FILE *file = slot_file(slot, "", "rb", name, sizeof name);
    int len;

    if (file == NULL) return errno == ENOENT ? 0 : -1;
    len = (int)fread(buf, 1, cap, file);
    fclose(file);
    return len;
}

int vendor_flash_write(uint32_t slot, const uint8_t *bytes, size_t len) {
    char name[512], whole[512];
    FILE *file = slot_file(slot, ".new", "wb", name, sizeof name);
    size_t written;

    if (file == NULL) return -1;
    written = fwrite(bytes, 1, len, file);
    if (fclose(file) != 0 || written != len) return -1;
    snprintf(whole, sizeof whole, "%s/slot%u", getenv("BOARD_STATE"), (unsigned)slot);
    return rename(name, whole);
}

void vendor_barrier(void) { __sync_synchronize(); }

void vendor_lock(void) { sigprocmask(SIG_BLOCK, &interrupt, NULL); }

void vendor_unlock(void) { sigprocmask(SIG_UNBLOCK, &interrupt, NULL); }

void vendor_sleep_until(uint64_t deadline_us) {
    uint64_t now = vendor_now_us();
    uint64_t wait = deadline_us > now ? deadline_us - now : 0;
    struct timespec left;

    if (wait > 1000000) wait = 1000000;
    left.tv_sec = (time_t)(wait / 1000000);
    left.tv_nsec = (long)(wait % 1000000) * 1000;
    ppoll(NULL, 0, &left, &all_as_before);
}

void vendor_log(const char *line) {
    printf("%s\n", line);
    fflush(stdout);
}
