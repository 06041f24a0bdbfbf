/* http.c: see http.h. Owns the listener and a fixed number of connections; nothing is allocated
 * here but what lwIP allocates for TCP. An answer is made as TCP has room for it. */
#include "http.h"

#include <stdlib.h>
#include <string.h>

#include "lwip/tcp.h"

#define CONNECTIONS 4
#define LINE_MAX 96
#define PIECE 256 /* bytes of the pattern made at once */
#define FACTOR 2654435761u

enum state { FREE, REQUEST, HEADERS, BODY, ANSWER };

struct http {
    enum state state;
    struct tcp_pcb *pcb;
    char line[LINE_MAX]; /* what there is of it, cut */
    size_t line_len;
    char head[160];      /* of the answer, or all of it */
    size_t head_len, head_at;
    int is_upload, is_page, wants_continue;
    uint32_t body_len, body_at, crc;
    uint32_t pattern_len, pattern_at;
};

static const char PAGE[] = "<!DOCTYPE html>\n<title>A device</title>\n"
                           "<p>This page comes from a Cortex-M board.\n";
static struct http connections[CONNECTIONS];
static struct tcp_pcb *listener;

static uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t len) {
    static const uint32_t NIBBLES[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};

    for (crc = ~crc; len > 0; len--) {
        crc ^= *bytes++;
        crc = (crc >> 4) ^ NIBBLES[crc & 15];
        crc = (crc >> 4) ^ NIBBLES[crc & 15];
    }
    return ~crc;
}

/* ---- the answer's text */

static void put_text(struct http *http, const char *text) {
    size_t len = strlen(text), room = sizeof http->head - http->head_len;

    len = len < room ? len : room;
    memcpy(http->head + http->head_len, text, len);
    http->head_len += len;
}

static void put_number(struct http *http, uint32_t value, uint32_t base, unsigned width) {
    char digits[11];
    size_t at = sizeof digits - 1;

    digits[at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value > 0 || sizeof digits - 1 - at < width);
    put_text(http, digits + at);
}

static void put_head(struct http *http, const char *status, uint32_t len) {
    put_text(http, "HTTP/1.1 ");
    put_text(http, status);
    put_text(http, "\r\nConnection: close\r\nContent-Length: ");
    put_number(http, len, 10, 0);
    put_text(http, "\r\n\r\n");
    http->state = ANSWER;
}

static void answer_upload(struct http *http) {
    put_head(http, "200 OK", 20);
    put_number(http, http->body_len, 10, 10);
    put_text(http, " ");
    put_number(http, http->crc, 16, 8);
    put_text(http, "\n");
}

static void answer(struct http *http) {
    if (http->is_upload && http->body_len > 0) {
        http->state = BODY;
        if (http->wants_continue)
            put_text(http, "HTTP/1.1 100 Continue\r\n\r\n");
    } else if (http->is_upload) {
        answer_upload(http);
    } else if (http->is_page) {
        put_head(http, "200 OK", sizeof PAGE - 1);
        put_text(http, PAGE);
    } else if (http->pattern_len > 0) {
        put_head(http, "200 OK", http->pattern_len);
    } else {
        put_head(http, "404 Not Found", 0);
    }
}

/* ---- the request */

static int is_field(const char *line, const char *lower) {
    while (*lower != '\0') {
        char c = *line++;
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + 'a' - 'A');
        if (c != *lower++)
            return 0;
    }
    return 1;
}

static void on_line(struct http *http) {
    const char *line = http->line;

    if (http->state == REQUEST) {
        http->is_upload = is_field(line, "put /") || is_field(line, "post /");
        http->is_page = strncmp(line, "GET / ", 6) == 0;
        if (strncmp(line, "GET /bytes/", 11) == 0)
            http->pattern_len = (uint32_t)strtoul(line + 11, NULL, 10);
        http->state = HEADERS;
    } else if (line[0] == '\0') {
        answer(http);
    } else if (is_field(line, "content-length:")) {
        http->body_len = (uint32_t)strtoul(line + 15, NULL, 10);
    } else if (is_field(line, "expect: 100-continue")) {
        http->wants_continue = 1;
    }
}

static void take(struct http *http, const uint8_t *bytes, size_t len) {
    for (; len > 0 && (http->state == REQUEST || http->state == HEADERS); len--, bytes++) {
        if (*bytes != '\n') {
            if (*bytes != '\r' && http->line_len < LINE_MAX - 1)
                http->line[http->line_len++] = (char)*bytes;
            continue;
        }
        http->line[http->line_len] = '\0';
        http->line_len = 0;
        on_line(http);
    }
    if (http->state == BODY) {
        if (len > http->body_len - http->body_at)
            len = http->body_len - http->body_at;
        http->crc = crc32(http->crc, bytes, len);
        http->body_at += (uint32_t)len;
        if (http->body_at == http->body_len)
            answer_upload(http);
    }
}

/* ---- TCP */

static void forget(struct http *http) {
    if (http->pcb != NULL) {
        tcp_arg(http->pcb, NULL);
        tcp_recv(http->pcb, NULL);
        tcp_sent(http->pcb, NULL);
        tcp_poll(http->pcb, NULL, 0);
        tcp_err(http->pcb, NULL);
    }
    memset(http, 0, sizeof *http);
}

/* The pattern's next piece; how much of it there is. */
static size_t make_pattern(const struct http *http, uint8_t piece[PIECE]) {
    size_t len = http->pattern_len - http->pattern_at, i;

    len = len < PIECE ? len : PIECE;
    for (i = 0; i < len; i++) {
        uint32_t at = http->pattern_at + (uint32_t)i;
        piece[i] = (uint8_t)((at / 4u * FACTOR) >> (at % 4u * 8u));
    }
    return len;
}

/* Gives TCP what it has room for; the connection may be over afterwards. What lwIP has no memory
 * for now is tried again when something was sent, or by on_poll. */
static void send(struct http *http) {
    uint8_t piece[PIECE];
    size_t room = tcp_sndbuf(http->pcb), len = http->head_len - http->head_at;

    len = len < room ? len : room;
    if (len > 0) {
        if (tcp_write(http->pcb, http->head + http->head_at, (u16_t)len, TCP_WRITE_FLAG_COPY) != 0)
            return;
        http->head_at += len;
    }
    while (http->state == ANSWER && http->head_at == http->head_len) {
        len = make_pattern(http, piece);
        if (len == 0 || len > tcp_sndbuf(http->pcb) ||
            tcp_write(http->pcb, piece, (u16_t)len, TCP_WRITE_FLAG_COPY) != ERR_OK)
            break;
        http->pattern_at += (uint32_t)len;
    }
    (void)tcp_output(http->pcb);
    if (http->head_at < http->head_len)
        return;
    if (http->state != ANSWER)
        http->head_at = http->head_len = 0;
    else if (http->pattern_at == http->pattern_len && tcp_close(http->pcb) == ERR_OK)
        forget(http);
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err) {
    struct http *http = arg;
    struct pbuf *piece;

    (void)err;
    if (p == NULL) { /* its peer is done; an answer goes on, a request will not */
        if (http->state == ANSWER)
            return ERR_OK;
        forget(http);
        tcp_abort(pcb);
        return ERR_ABRT;
    }
    for (piece = p; piece != NULL; piece = piece->next)
        take(http, piece->payload, piece->len);
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    send(http);
    return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len) {
    (void)pcb, (void)len;
    send(arg);
    return ERR_OK;
}

static err_t on_poll(void *arg, struct tcp_pcb *pcb) {
    (void)pcb;
    send(arg);
    return ERR_OK;
}

static void on_err(void *arg, err_t err) {
    struct http *http = arg;

    (void)err;
    http->pcb = NULL; /* freed by lwIP */
    forget(http);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err) {
    struct http *http = connections;

    (void)arg;
    if (err != ERR_OK || pcb == NULL)
        return ERR_VAL;
    while (http < connections + CONNECTIONS && http->state != FREE)
        http++;
    if (http == connections + CONNECTIONS) {
        tcp_abort(pcb);
        return ERR_ABRT;
    }
    http->state = REQUEST;
    http->pcb = pcb;
    tcp_arg(pcb, http);
    tcp_recv(pcb, on_recv);
    tcp_sent(pcb, on_sent);
    tcp_poll(pcb, on_poll, 1);
    tcp_err(pcb, on_err);
    return ERR_OK;
}

int http_start(uint16_t port) {
    struct tcp_pcb *pcb = tcp_new();
    ip_addr_t loopback;

    IP_ADDR4(&loopback, 127, 0, 0, 1);
    if (pcb == NULL)
        return -1;
    if (tcp_bind(pcb, &loopback, port) == ERR_OK)
        listener = tcp_listen(pcb);
    if (listener == NULL) {
        tcp_abort(pcb);
        return -1;
    }
    tcp_accept(listener, on_accept);
    return 0;
}

void http_stop(void) {
    struct http *http;

    for (http = connections; http < connections + CONNECTIONS; http++) {
        struct tcp_pcb *pcb = http->pcb;
        if (http->state == FREE)
            continue;
        forget(http);
        tcp_abort(pcb);
    }
    if (listener != NULL)
        (void)tcp_close(listener);
    listener = NULL;
}
