/* http.c: see http.h. Owns the listener and its connections; a connection's answer is made as TCP
 * takes it. */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lwip/tcp.h"

enum phase { HEAD, BODY, ANSWER, OVER };

uint8_t http_pattern(uint64_t at) {
    return (uint8_t)(at * 31u + (at >> 8) * 17u + (at >> 16));
}

/* The pattern from an offset on, for *len bytes or fewer: a ramp that every run of 256 bytes starts
 * at another place of (31 * 223 is 1 modulo 256), so that the service costs next to nothing. */
static const uint8_t *run_of(uint64_t at, size_t *len) {
    static uint8_t ramp[512];
    uint64_t start = (at & 255u) + 223u * ((at >> 8) * 17u + (at >> 16));
    size_t i;

    if (ramp[1] == 0) {
        for (i = 0; i < sizeof ramp; i++)
            ramp[i] = (uint8_t)(i * 31u);
    }
    if (*len > 256 - (at & 255u))
        *len = (size_t)(256 - (at & 255u));
    return ramp + (start & 255u);
}

void http_begin(struct http *http) {
    memset(http, 0, sizeof *http);
    http->bad_at = UINT64_MAX;
}

static void answer(struct http *http, const char *status, uint64_t pattern, const char *text) {
    int len = snprintf(http->head, sizeof http->head,
                       "HTTP/1.1 %s\r\nContent-Length: %llu\r\nConnection: close\r\n\r\n%s", status,
                       (unsigned long long)(pattern + strlen(text)), text);

    http->head_len = (size_t)len;
    http->head_at = 0;
    http->out_len = pattern;
    http->phase = ANSWER;
}

static void answer_body(struct http *http) {
    char text[64];

    if (http->bad_at != UINT64_MAX)
        (void)snprintf(text, sizeof text, "bad at %llu\n", (unsigned long long)http->bad_at);
    else
        (void)snprintf(text, sizeof text, "%llu\n", (unsigned long long)http->body_at);
    answer(http, "200 OK", 0, text);
}

static void on_head(struct http *http) {
    const char *length = strstr(http->head, "Content-Length: ");

    if (strncmp(http->head, "GET /", 5) == 0) {
        answer(http, "200 OK", strtoull(http->head + 5, NULL, 10), "");
    } else if (strncmp(http->head, "PUT /", 5) == 0 && length != NULL) {
        http->body_len = strtoull(length + 16, NULL, 10);
        http->phase = BODY;
        if (http->body_len == 0)
            answer_body(http);
    } else {
        answer(http, "400 Bad Request", 0, "");
    }
}

static void take_body(struct http *http, const uint8_t *bytes, size_t len) {
    while (len > 0) {
        size_t run = len;
        const uint8_t *right = run_of(http->body_at, &run);
        if (http->bad_at == UINT64_MAX && memcmp(bytes, right, run) != 0)
            http->bad_at = http->body_at;
        bytes += run;
        len -= run;
        http->body_at += run;
    }
    if (http->body_at >= http->body_len)
        answer_body(http);
}

void http_take(struct http *http, const uint8_t *bytes, size_t len) {
    while (len > 0 && http->phase == HEAD) {
        if (http->head_len + 1 >= sizeof http->head) {
            answer(http, "431 Request Header Fields Too Large", 0, "");
            return;
        }
        http->head[http->head_len++] = (char)*bytes++;
        http->head[http->head_len] = '\0';
        len--;
        if (http->head_len >= 4 && strcmp(http->head + http->head_len - 4, "\r\n\r\n") == 0)
            on_head(http);
    }
    if (len > 0 && http->phase == BODY)
        take_body(http, bytes, len);
}

size_t http_give(struct http *http, uint8_t *bytes, size_t cap) {
    size_t given = 0;

    if (http->phase != ANSWER)
        return 0;
    while (given < cap && http->head_at < http->head_len)
        bytes[given++] = (uint8_t)http->head[http->head_at++];
    while (given < cap && http->out_at < http->out_len) {
        uint64_t left = http->out_len - http->out_at;
        size_t run = cap - given < left ? cap - given : (size_t)left;
        const uint8_t *from = run_of(http->out_at, &run);
        memcpy(bytes + given, from, run);
        given += run;
        http->out_at += run;
    }
    if (http->head_at == http->head_len && http->out_at == http->out_len)
        http->phase = OVER;
    return given;
}

int http_is_over(const struct http *http) {
    return http->phase == OVER;
}

/* ---- lwIP's raw API */

struct conn {
    struct http http;
    uint8_t held[TCP_MSS]; /* what TCP did not take */
    size_t held_len;
};

static struct tcp_pcb *listener;
static unsigned open_count;

unsigned http_open(void) {
    return open_count;
}

static void end(struct tcp_pcb *pcb, struct conn *conn) {
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_err(pcb, NULL);
    tcp_poll(pcb, NULL, 0);
    free(conn);
    open_count--;
    (void)tcp_close(pcb);
}

/* Not from the callback that takes bytes: with the end of bytes in the same segment lwIP's
 * tcp_close would think that something was not read, and reset. */
static void push(struct tcp_pcb *pcb, struct conn *conn, int may_end) {
    for (;;) {
        size_t room = tcp_sndbuf(pcb);
        if (conn->held_len == 0)
            conn->held_len = http_give(&conn->http, conn->held,
                                       room < sizeof conn->held ? room : sizeof conn->held);
        if (conn->held_len == 0) {
            if (may_end && http_is_over(&conn->http))
                end(pcb, conn);
            else
                (void)tcp_output(pcb);
            return;
        }
        if (room < conn->held_len ||
            tcp_write(pcb, conn->held, (u16_t)conn->held_len, TCP_WRITE_FLAG_COPY) != ERR_OK) {
            (void)tcp_output(pcb);
            return;
        }
        conn->held_len = 0;
    }
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err) {
    struct conn *conn = arg;
    struct pbuf *at;

    (void)err;
    if (p == NULL) {
        if (conn->http.phase == HEAD || conn->http.phase == BODY)
            end(pcb, conn);
        return ERR_OK; /* curl does not, but its answer may still be under way */
    }
    for (at = p; at != NULL; at = at->next)
        http_take(&conn->http, at->payload, at->len);
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    push(pcb, conn, 0);
    return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len) {
    (void)len;
    push(pcb, arg, 1);
    return ERR_OK;
}

static err_t on_poll(void *arg, struct tcp_pcb *pcb) {
    push(pcb, arg, 1);
    return ERR_OK;
}

static void on_error(void *arg, err_t err) {
    (void)err;
    free(arg);
    open_count--;
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err) {
    struct conn *conn = err == ERR_OK && pcb != NULL ? malloc(sizeof *conn) : NULL;

    (void)arg;
    if (conn == NULL)
        return ERR_VAL;
    http_begin(&conn->http);
    conn->held_len = 0;
    open_count++;
    tcp_arg(pcb, conn);
    tcp_recv(pcb, on_recv);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
    tcp_poll(pcb, on_poll, 1);
    return ERR_OK;
}

int http_serve(uint16_t port) {
    struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);

    if (pcb == NULL || tcp_bind(pcb, IP_ANY_TYPE, port) != ERR_OK)
        return -1;
    listener = tcp_listen(pcb);
    if (listener == NULL)
        return -1;
    tcp_accept(listener, on_accept);
    return 0;
}

void http_stop(void) {
    if (listener != NULL)
        (void)tcp_close(listener);
    listener = NULL;
}
