/* vendor.c: the vendor's stack and board, to be filled in. Every function says that it cannot, so
 * that the self-test tells which ones are left. ports/TEMPLATE.md goes through them in order. */
#include "vendor.h"

#include "port.h"

/* FILL IN: start clocks, the random number generator and the network; wait for link and address. */
int vendor_start(void) { return 0; }

/* FILL IN: a timer's count and its overflows, read together. */
uint64_t vendor_now_us(void) { return 0; }

/* FILL IN: the hardware's generator; wait for each word, look at its error flags. */
int vendor_random(uint8_t *out, size_t len) {
    (void)out;
    (void)len;
    return -1;
}

/* FILL IN: open and bind; the stack's receive callback calls port_on_datagram. */
int vendor_udp_open(uint16_t port) {
    (void)port;
    return 0;
}

/* FILL IN: copy to a buffer of the stack's and send it. */
int vendor_udp_send(const uint8_t ip[16], uint16_t port, const uint8_t *bytes, size_t len) {
    (void)ip;
    (void)port;
    (void)bytes;
    (void)len;
    return -1;
}

/* FILL IN: DNS, or a fixed address. */
int vendor_resolve(const char *host, uint8_t ip[16]) {
    (void)host;
    (void)ip;
    return -1;
}

/* FILL IN: find the newest valid copy of the slot. */
int vendor_flash_read(uint32_t slot, uint8_t *buf, size_t cap) {
    (void)slot;
    (void)buf;
    (void)cap;
    return -1;
}

/* FILL IN: write a copy elsewhere, mark it valid last. */
int vendor_flash_write(uint32_t slot, const uint8_t *bytes, size_t len) {
    (void)slot;
    (void)bytes;
    (void)len;
    return -1;
}

/* FILL IN: DMB on Cortex-M. A call of another file is enough for the compiler alone. */
void vendor_barrier(void) {}

/* FILL IN: disable interrupts. */
void vendor_lock(void) {}

/* FILL IN: enable interrupts. */
void vendor_unlock(void) {}

/* FILL IN: feed the watchdog; set a wake-up timer; wait for an interrupt. */
void vendor_sleep_until(uint64_t deadline_us) { (void)deadline_us; }

/* FILL IN: UART, RTT, semihosting. */
void vendor_log(const char *line) { (void)line; }
