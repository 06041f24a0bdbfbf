/* http.h: a small HTTP server on lwIP's raw API, on the loopback interface.
 *
 *   GET /           a page
 *   GET /bytes/N    N bytes: little-endian words 0, M, 2M, ... with M = 2654435761, modulo 2^32
 *   PUT or POST     whatever comes; the answer is "COUNT CRC32", the latter in hexadecimal
 *
 * One request a connection, and a body has a Content-Length. In lwIP's core context. */
#ifndef HTTP_H
#define HTTP_H

#include <stdint.h>

/* Listens at 127.0.0.1; 0, or -1. */
int http_start(uint16_t port);
/* Ends listener and connections at once. */
void http_stop(void);

#endif
