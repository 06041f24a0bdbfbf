/* page.c: a web page, as a service of callbacks that never waits.
 *
 * GET / is the page. GET /bytes/N is N bytes, of which byte i is (31 i + i / 256) mod 256. PUT of
 * anything answers with how much came, and its Adler-32. One request a connection. */
#include "example.h"

#include <stdlib.h>

#define HEAD_MAX 600
#define CHUNK 256

struct request {
    rit_stream stream; /* 0: free */
    char head[HEAD_MAX];
    size_t head_len;
    int has_head;
    uint32_t body_left;        /* of a PUT, still to come */
    uint32_t taken, sum, sums; /* of what came */
    char text[200];            /* of the answer */
    size_t text_len, text_sent;
    uint32_t bytes_len, bytes_sent; /* that follow it */
    int is_answered;
    int is_finished, has_end; /* all is written; the peer has ended */
};

static struct request requests[RIT_UIP_CONNECTIONS];

static const char PAGE[] = "<!doctype html><title>A device</title><h1>It works</h1>\n";

/* A decimal number and what is before it. */
static size_t put_text(char *to, const char *before, uint32_t number) {
    size_t len = strlen(before), digits = 1, i;
    uint32_t rest;

    memcpy(to, before, len);
    for (rest = number; rest >= 10; rest /= 10)
        digits++;
    for (i = digits; i > 0; i--, number /= 10)
        to[len + i - 1] = (char)('0' + number % 10);
    return len + digits;
}

static void begin_answer(struct request *r, const char *status, uint32_t body_len) {
    r->text_len = put_text(r->text, status, body_len);
    memcpy(r->text + r->text_len, "\r\n\r\n", 4);
    r->text_len += 4;
    r->is_answered = 1;
}

static void answer_text(struct request *r, const char *status, const char *text, size_t len) {
    begin_answer(r, status, (uint32_t)len);
    memcpy(r->text + r->text_len, text, len);
    r->text_len += len;
}

#define FOUND "HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Length: "
#define NOT_FOUND "HTTP/1.0 404 Not Found\r\nConnection: close\r\nContent-Length: "

static void answer_put(struct request *r) {
    char text[40];
    size_t len = put_text(text, "", r->taken);

    len += put_text(text + len, " ", r->sums << 16 | r->sum);
    text[len++] = '\n';
    answer_text(r, FOUND, text, len);
}

static void read_head(struct request *r) {
    const char *length = strstr(r->head, "Content-Length: ");

    if (length == NULL)
        length = strstr(r->head, "content-length: ");
    if (strncmp(r->head, "GET / ", 6) == 0) {
        answer_text(r, FOUND, PAGE, sizeof PAGE - 1);
    } else if (strncmp(r->head, "GET /bytes/", 11) == 0) {
        r->bytes_len = (uint32_t)strtoul(r->head + 11, NULL, 10);
        begin_answer(r, FOUND, r->bytes_len);
    } else if (strncmp(r->head, "PUT ", 4) == 0 && length != NULL) {
        r->body_left = (uint32_t)strtoul(length + 16, NULL, 10);
        if (r->body_left == 0)
            answer_put(r);
    } else {
        answer_text(r, NOT_FOUND, "", 0);
    }
}

/* The head ends with an empty line; what is behind it belongs to the body. How much was taken. */
static size_t take_head(struct request *r, const uint8_t *bytes, size_t len) {
    size_t taken = 0;

    while (taken < len && !r->has_head) {
        if (r->head_len == HEAD_MAX - 1) {
            r->has_head = 1;
            answer_text(r, NOT_FOUND, "", 0);
            break;
        }
        r->head[r->head_len++] = (char)bytes[taken++];
        if (r->head_len >= 4 && memcmp(r->head + r->head_len - 4, "\r\n\r\n", 4) == 0) {
            r->head[r->head_len] = '\0';
            r->has_head = 1;
            read_head(r);
        }
    }
    return taken;
}

static void take_body(struct request *r, const uint8_t *bytes, size_t len) {
    size_t i;

    if (r->is_answered)
        return;
    for (i = 0; i < len && r->body_left > 0; i++, r->body_left--) {
        r->sum = (r->sum + bytes[i]) % 65521;
        r->sums = (r->sums + r->sum) % 65521;
        r->taken++;
    }
    if (r->body_left == 0)
        answer_put(r);
}

/* Given back before the peer has ended, what is on its way to it could be lost. */
static void close_if_over(struct request *r, struct rit_uip *port) {
    if (r->has_end && (r->is_finished || !r->is_answered)) {
        rit_uip_close(port, r->stream);
        r->stream = 0;
    }
}

/* Sends as much as there is room for. */
static void writable(void *conn, struct rit_uip *port, rit_stream stream) {
    struct request *r = conn;
    uint8_t chunk[CHUNK];
    size_t len, i, written = 0;
    int32_t error = RIT_OK;

    while (r->is_answered && error == RIT_OK && r->text_sent < r->text_len) {
        error = rit_stream_write(port->node, stream, (const uint8_t *)r->text + r->text_sent,
                                 r->text_len - r->text_sent, &written);
        r->text_sent += written;
    }
    while (r->is_answered && error == RIT_OK && r->bytes_sent < r->bytes_len) {
        len = r->bytes_len - r->bytes_sent < CHUNK ? r->bytes_len - r->bytes_sent : CHUNK;
        for (i = 0; i < len; i++) {
            uint32_t at = r->bytes_sent + (uint32_t)i;
            chunk[i] = (uint8_t)(31 * at + at / 256);
        }
        error = rit_stream_write(port->node, stream, chunk, len, &written);
        r->bytes_sent += (uint32_t)written;
    }
    if (r->is_answered && error == RIT_OK && !r->is_finished) {
        r->is_finished = 1;
        rit_stream_finish(port->node, stream);
        close_if_over(r, port);
    }
}

static void readable(void *conn, struct rit_uip *port, rit_stream stream) {
    struct request *r = conn;
    uint8_t chunk[CHUNK];
    size_t len, head;
    int was_answered = r->is_answered;

    while (!r->has_end &&
           rit_stream_read(port->node, stream, chunk, sizeof chunk, &len) == RIT_OK) {
        r->has_end = len == 0;
        head = take_head(r, chunk, len);
        if (r->has_head)
            take_body(r, chunk + head, len - head);
    }
    if (r->is_answered && !was_answered)
        writable(conn, port, stream);
    else
        close_if_over(r, port);
}

static int32_t open(void *ctx, struct rit_uip *port, rit_stream stream, const uint8_t *peer,
                    void **conn) {
    size_t i;

    (void)ctx, (void)port, (void)peer;
    for (i = 0; i < RIT_UIP_CONNECTIONS; i++) {
        if (requests[i].stream == 0) {
            memset(&requests[i], 0, sizeof requests[i]);
            requests[i].stream = stream;
            requests[i].sum = 1;
            *conn = &requests[i];
            return 0;
        }
    }
    return RIT_REFUSED_LIMIT;
}

static void closed(void *conn, struct rit_uip *port, rit_stream stream, int32_t error) {
    struct request *r = conn;

    (void)port, (void)stream, (void)error;
    r->stream = 0;
}

const struct rit_uip_callbacks page_callbacks = {open, readable, writable, closed};
