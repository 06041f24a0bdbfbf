/* host.h: what stands in for a board: an interface over a TAP device, and the loop around lwIP.
 *
 * With NO_SYS the loop polls the driver, the timeouts and the loopback interfaces, as a firmware's
 * main loop does; with an operating system lwIP's tcpip thread does that, and the driver has a
 * thread of its own.
 */
#ifndef LWIP_TESTS_HOST_H
#define LWIP_TESTS_HOST_H

#include <stdint.h>

#include "lwip/netif.h"

/* Starts lwIP, with a TAP device "name" (made already, up) as its interface; text addresses. */
void host_start(const char *tap, const char *address, const char *mask, const char *gateway);
/* The same where the caller started lwIP; NO_SYS only. */
void host_attach(const char *tap, const char *address, const char *mask, const char *gateway);
/* Calls a function in lwIP's core context. */
void host_call(void (*function)(void *arg), void *arg);
/* One turn of the main loop, at most so long; with an operating system it only waits. */
void host_turn(unsigned timeout_ms);
/* The number of lwIP's pieces of memory in use; the names of pools go to standard error. */
unsigned host_memory_in_use(int is_said);

int32_t host_entropy(void *ctx, uint8_t *out, size_t len);
uint64_t host_now_us(void *ctx);

#endif
