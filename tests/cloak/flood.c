/* flood.c: sends random and near-valid datagrams, as fast as the one who gets them takes them.
 *
 *   flood CORPUS COUNT SNMP ADDRESS PORT...
 *
 * CORPUS: captured datagrams, each a length (two octets, the machine's order) and so many octets.
 * SNMP: /proc/PID/net/snmp of a process where the receiver is; what has been read there, or did not
 * fit a socket's buffer, is never more than WINDOW behind what was sent, so that next to nothing is
 * lost; "-" where nobody is to get them. Prints how many were sent, by kind and in all, how many
 * were read and how many did not fit.
 */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define WINDOW 192
#define STALL_S 20
#define LEN_MAX 1472
#define PORTS_MAX 64
#define CAPTURED_MAX 4096
#define ID_LEN_MAX 20

struct captured {
    const uint8_t *bytes;
    size_t len;
};

static struct captured corpus[CAPTURED_MAX];
static size_t corpus_count;
static uint64_t state = 0x9e3779b97f4a7c15u;

static const char *const KINDS[] = {"random",  "first octets kept", "one bit flipped", "cut short",
                                    "whole",   "rest is zero",      "other version",   "longer"};
#define KIND_COUNT (sizeof KINDS / sizeof KINDS[0])

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* xorshift64: the same datagrams for the same corpus. */
static uint64_t any(uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static void fill(uint8_t *out, size_t len) {
    size_t i;

    for (i = 0; i < len; i++)
        out[i] = (uint8_t)(any(65536) >> 8);
}

static void read_corpus(const char *path) {
    static uint8_t bytes[16 << 20];
    FILE *file = fopen(path, "rb");
    size_t at = 0, end;
    uint16_t len;

    if (file == NULL)
        die(path);
    end = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    while (at + sizeof len <= end && corpus_count < CAPTURED_MAX) {
        memcpy(&len, bytes + at, sizeof len);
        at += sizeof len;
        if (len == 0 || len > LEN_MAX || at + len > end)
            break;
        corpus[corpus_count].bytes = bytes + at;
        corpus[corpus_count++].len = len;
        at += len;
    }
    if (corpus_count == 0) {
        fprintf(stderr, "error: no datagrams in %s\n", path);
        exit(1);
    }
}

static size_t make(size_t kind, uint8_t *out) {
    const struct captured *model = &corpus[any(corpus_count)];
    size_t len = model->len, keep = 1 + any(ID_LEN_MAX + 7);

    if (keep > len)
        keep = len;
    memcpy(out, model->bytes, len);
    switch (kind) {
    case 0:
        len = any(LEN_MAX + 1);
        fill(out, len);
        break;
    case 1: /* form bits, and as many octets of a real connection ID */
        fill(out + keep, len - keep);
        break;
    case 2:
        out[any(len)] ^= (uint8_t)(1u << any(8));
        break;
    case 3:
        len = any(len);
        break;
    case 4:
        break;
    case 5:
        memset(out + keep, 0, len - keep);
        break;
    case 6:
        out[0] |= 0x80;
        if (len >= 5)
            fill(out + 1, 4);
        break;
    default:
        keep = any(LEN_MAX - len + 1);
        fill(out + len, keep);
        len += keep;
        break;
    }
    return len;
}

/* Datagrams read, and in *lost those that did not fit, since the machine's start. */
static uint64_t taken(int snmp, uint64_t *lost) {
    static char text[8192];
    unsigned long long in = 0, errors = 0, other, buffers = 0;
    ssize_t got = snmp < 0 ? 0 : pread(snmp, text, sizeof text - 1, 0);
    const char *names, *values;

    if (snmp < 0) {
        *lost = 0;
        return 0;
    }
    if (got <= 0)
        die("reading the counters");
    text[got] = 0;
    names = strstr(text, "\nUdp: ");
    values = names != NULL ? strstr(names + 1, "\nUdp: ") : NULL;
    if (values == NULL ||
        sscanf(values, "\nUdp: %llu %llu %llu %llu %llu", &in, &other, &errors, &other,
               &buffers) != 5) {
        fprintf(stderr, "error: no UDP counters\n");
        exit(1);
    }
    *lost = buffers;
    return in;
}

static void wait_for_room(int snmp, uint64_t first, uint64_t first_lost, uint64_t sent) {
    uint64_t lost, seen, last = 0;
    const struct timespec moment = {0, 100000};
    time_t since = time(NULL);

    while (snmp >= 0) {
        seen = taken(snmp, &lost) - first;
        seen += lost - first_lost;
        if (sent < seen + WINDOW)
            return;
        if (seen != last)
            since = time(NULL);
        last = seen;
        if (time(NULL) - since > STALL_S) {
            fprintf(stderr, "error: nobody reads any more, after %llu\n",
                    (unsigned long long)seen);
            exit(1);
        }
        (void)nanosleep(&moment, NULL);
    }
}

/* Sends BATCH, the kinds in turn; how many went. */
static size_t send_batch(int fd, uint64_t sent, struct sockaddr_in *to, size_t ports) {
    static uint8_t bytes[BATCH][LEN_MAX];
    struct mmsghdr messages[BATCH];
    struct iovec data[BATCH];
    size_t i;
    int went;

    memset(messages, 0, sizeof messages);
    for (i = 0; i < BATCH; i++) {
        data[i].iov_base = bytes[i];
        data[i].iov_len = make((sent + i) % KIND_COUNT, bytes[i]);
        messages[i].msg_hdr.msg_iov = &data[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_name = &to[any(ports)];
        messages[i].msg_hdr.msg_namelen = sizeof to[0];
    }
    went = sendmmsg(fd, messages, BATCH, 0);
    if (went <= 0)
        die("sendmmsg");
    return (size_t)went;
}

int main(int argc, char **argv) {
    struct sockaddr_in to[PORTS_MAX];
    uint64_t by_kind[KIND_COUNT] = {0}, sent = 0, count, first, first_lost, lost = 0;
    size_t ports = 0, i;
    int fd, snmp;

    if (argc < 6 || argc - 5 > PORTS_MAX) {
        fprintf(stderr, "usage: flood CORPUS COUNT SNMP ADDRESS PORT...\n");
        return 2;
    }
    read_corpus(argv[1]);
    count = strtoull(argv[2], NULL, 10);
    snmp = strcmp(argv[3], "-") == 0 ? -1 : open(argv[3], O_RDONLY);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    if ((snmp < 0 && strcmp(argv[3], "-") != 0) || fd < 0)
        die("opening");
    memset(to, 0, sizeof to);
    for (; ports < (size_t)argc - 5; ports++) {
        to[ports].sin_family = AF_INET;
        to[ports].sin_port = htons((uint16_t)atoi(argv[5 + ports]));
        if (inet_pton(AF_INET, argv[4], &to[ports].sin_addr) != 1)
            die(argv[4]);
    }
    first = taken(snmp, &first_lost);
    while (sent < count) {
        size_t went;
        wait_for_room(snmp, first, first_lost, sent + BATCH);
        went = send_batch(fd, sent, to, ports);
        for (i = 0; i < went; i++)
            by_kind[(sent + i) % KIND_COUNT]++;
        sent += went;
    }
    wait_for_room(snmp, first, first_lost, sent + WINDOW - 1); /* all of them */
    for (i = 0; i < KIND_COUNT; i++)
        printf("%s %llu\n", KINDS[i], (unsigned long long)by_kind[i]);
    first = taken(snmp, &lost) - first;
    printf("sent %llu read %llu lost %llu\n", (unsigned long long)sent, (unsigned long long)first,
           (unsigned long long)(lost - first_lost));
    return 0;
}
