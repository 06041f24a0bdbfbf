/* fetch.h: an HTTP client on lwIP's raw API, which wants a page of http.h's pattern. */
#ifndef LWIP_TESTS_FETCH_H
#define LWIP_TESTS_FETCH_H

#include <stdint.h>

/* Gets /COUNT from 127.x.y.z, one page at a time, and prints "fetched COUNT", or what was wrong:
 * "fetch: ...". In the core context. */
void fetch_start(const uint8_t address[4], uint16_t port, unsigned count);
/* Connections that are open. */
unsigned fetch_open(void);

#endif
