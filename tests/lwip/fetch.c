/* fetch.c: see fetch.h. Owns its connection. */
#include "fetch.h"

#include <stdio.h>
#include <string.h>

#include "http.h"
#include "lwip/tcp.h"

static const char END_OF_HEAD[] = "\r\n\r\n";

static struct {
    struct tcp_pcb *pcb;
    unsigned count, got; /* bytes of the body */
    unsigned head_end;   /* bytes of END_OF_HEAD that were seen */
    int is_bad;
} fetch;

unsigned fetch_open(void) {
    return fetch.pcb != NULL;
}

static void take(const uint8_t *bytes, size_t len) {
    while (len > 0 && fetch.head_end < sizeof END_OF_HEAD - 1) {
        if (*bytes == (uint8_t)END_OF_HEAD[fetch.head_end])
            fetch.head_end++;
        else
            fetch.head_end = *bytes == '\r';
        bytes++;
        len--;
    }
    while (len-- > 0)
        fetch.is_bad |= *bytes++ != http_pattern(fetch.got++);
}

static void on_end(struct tcp_pcb *pcb) {
    if (fetch.is_bad || fetch.got != fetch.count)
        printf("fetch: %u bytes%s\n", fetch.got, fetch.is_bad ? ", and others" : "");
    else
        printf("fetched %u\n", fetch.got);
    fflush(stdout);
    fetch.pcb = NULL;
    tcp_err(pcb, NULL);
    tcp_recv(pcb, NULL);
    (void)tcp_close(pcb);
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err) {
    const struct pbuf *at;

    (void)arg;
    (void)err;
    if (p == NULL) {
        on_end(pcb);
        return ERR_OK;
    }
    for (at = p; at != NULL; at = at->next)
        take(at->payload, at->len);
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return ERR_OK;
}

static void on_error(void *arg, err_t err) {
    (void)arg;
    fetch.pcb = NULL;
    printf("fetch: lwIP's error %d after %u bytes\n", err, fetch.got);
    fflush(stdout);
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err) {
    char request[80];
    int len = snprintf(request, sizeof request, "GET /%u HTTP/1.1\r\nHost: device\r\n\r\n",
                       fetch.count);

    (void)arg;
    (void)err; /* always ERR_OK */
    return tcp_write(pcb, request, (u16_t)len, TCP_WRITE_FLAG_COPY);
}

void fetch_start(const uint8_t address[4], uint16_t port, unsigned count) {
    ip_addr_t at;

    memset(&fetch, 0, sizeof fetch);
    fetch.count = count;
    fetch.pcb = tcp_new_ip_type(IPADDR_TYPE_V4);
    if (fetch.pcb == NULL) {
        on_error(NULL, ERR_MEM);
        return;
    }
    tcp_recv(fetch.pcb, on_recv);
    tcp_err(fetch.pcb, on_error);
    IP_ADDR4(&at, address[0], address[1], address[2], address[3]);
    if (tcp_connect(fetch.pcb, &at, port, on_connected) != ERR_OK)
        tcp_abort(fetch.pcb); /* on_error tells */
}
