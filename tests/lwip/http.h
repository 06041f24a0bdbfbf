/* http.h: as much of an HTTP server as curl needs to show that bytes arrive as they were sent.
 *
 * GET /N gives N bytes of a pattern; PUT of a pattern is answered by the number of its bytes, or
 * "bad at N" (at or after). One request a connection. http_serve answers on lwIP's raw API, at an
 * address and port of this lwIP; the rest is for a service of callbacks.
 */
#ifndef LWIP_TESTS_HTTP_H
#define LWIP_TESTS_HTTP_H

#include <stddef.h>
#include <stdint.h>

struct http {
    char head[1024]; /* of the request, then the answer's */
    size_t head_len, head_at;
    int phase;
    uint64_t body_len, body_at; /* of the request */
    uint64_t bad_at;
    uint64_t out_len, out_at;   /* of the answer's pattern */
};

/* The pattern's byte at an offset. */
uint8_t http_pattern(uint64_t at);
void http_begin(struct http *http);
void http_take(struct http *http, const uint8_t *bytes, size_t len);
/* Bytes of the answer, 0 as long as there are none or when it is over. */
size_t http_give(struct http *http, uint8_t *bytes, size_t cap);
int http_is_over(const struct http *http);

/* Listens at every address, as plain TCP is measured too; 0, or -1. In the core context. */
int http_serve(uint16_t port);
void http_stop(void);
/* Connections that are open. */
unsigned http_open(void);

#endif
