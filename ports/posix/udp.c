/* udp.c: the two UDP sockets, and many datagrams in one call of the system.
 *
 * Owns sockets (IPv4 and IPv6; the IPv6 one takes no IPv4) and the buffers that datagrams arrive
 * in: RITP_TRAINS_MAX of 64 KiB, 512 KiB in all. Where the kernel has UDP_SEGMENT and UDP_GRO (Linux
 * 4.18 and 5.0), a train of datagrams passes its network stack once; where it has sendmmsg and
 * recvmmsg, many are one call; where it has neither, each goes by itself, with the same result.
 */
#define _GNU_SOURCE /* struct in6_addr's names, UDP_SEGMENT, sendmmsg, recvmmsg */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "internal.h"

#if defined(__linux__) && !defined(SOL_UDP)
#define SOL_UDP 17
#endif
#if defined(__linux__) && !defined(UDP_SEGMENT)
#define UDP_SEGMENT 103
#endif
#if defined(__linux__) && !defined(UDP_GRO)
#define UDP_GRO 104
#endif

#if defined(__linux__) && defined(MSG_WAITFORONE)
#define HAS_MMSG 1
#define SENDS_MAX 32 /* in one sendmmsg */
#endif

/* A burst at 1 Gbit/s of about 30 ms; the system may give less. */
#define SOCKET_BUFFER (4 << 20)
/* What the kernel hands over at once at the most: the longest IP packet. */
#define TRAIN_MAX 65536

/* ---- sockets */

static void enlarge(int fd, int plain, int forced) {
    int size = SOCKET_BUFFER;

    if (forced < 0 || setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

/* The core finds out by probes which datagrams pass; a fragmented one would pass for whole. What is
 * too long for the first link is lost, as it would be later. */
static void forbid_fragments(int fd, int which) {
#if defined(IP_MTU_DISCOVER) && defined(IP_PMTUDISC_PROBE) && defined(IPV6_MTU_DISCOVER)
    int v4 = IP_PMTUDISC_PROBE, v6 = IPV6_PMTUDISC_PROBE;

    if (which == 0)
        (void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof v4);
    else
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof v6);
#else
    (void)fd;
    (void)which;
#endif
}

static void take_trains(int fd) {
#if defined(UDP_GRO)
    int on = 1;

    (void)setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on);
#else
    (void)fd;
#endif
}

static int open_udp(struct rit_posix *port, int which, uint16_t number) {
    struct rit_path own;
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    int on = 1, fd = socket(which == 0 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);

    if (fd < 0)
        return -1;
    memset(&own, 0, sizeof own);
    if (which == 0)
        own.ip[10] = own.ip[11] = 0xff; /* any IPv4 address, mapped */
    own.port = number;
    len = ritp_address_from_path(&at, &own);
    if (ritp_prepare_fd(fd) != 0 ||
        (which == 1 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        bind(fd, (struct sockaddr *)&at, len) != 0)
        goto failed;
    forbid_fragments(fd, which);
    take_trains(fd);
    len = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        goto failed;
#if defined(SO_RCVBUFFORCE) && defined(SO_SNDBUFFORCE)
    enlarge(fd, SO_RCVBUF, SO_RCVBUFFORCE);
    enlarge(fd, SO_SNDBUF, SO_SNDBUFFORCE);
#else
    enlarge(fd, SO_RCVBUF, -1);
    enlarge(fd, SO_SNDBUF, -1);
#endif
    ritp_path_from_address(&own, &at);
    port->udp[which] = fd;
    port->udp_port[which] = own.port;
    return 0;
failed:
    (void)close(fd);
    return -1;
}

int ritp_udp_open(struct rit_posix *port, uint16_t number) {
    port->train_bytes = malloc((size_t)RITP_TRAINS_MAX * TRAIN_MAX);
    if (port->train_bytes == NULL)
        return RIT_ERR_NOMEM;
    if (open_udp(port, 0, number) != 0)
        ritp_log(port, RIT_LOG_WARN, "no IPv4 UDP socket: %s", strerror(errno));
    if (open_udp(port, 1, number) != 0)
        ritp_log(port, RIT_LOG_INFO, "no IPv6 UDP socket: %s", strerror(errno));
    return port->udp[0] < 0 && port->udp[1] < 0 ? RIT_POSIX_ERR_SYSTEM : 0;
}

void ritp_udp_close(struct rit_posix *port) {
    int i;

    for (i = 0; i < 2; i++) {
        if (port->udp[i] >= 0)
            (void)close(port->udp[i]);
        port->udp[i] = -1;
    }
    free(port->train_bytes);
    port->train_bytes = NULL;
    port->train_at = port->train_count = 0;
}

/* ---- sending */

static int32_t on_send(void *ctx, const struct rit_path *to, const uint8_t *pkt, size_t len) {
    struct rit_posix *port = ctx;
    struct sockaddr_storage at;
    socklen_t at_len = ritp_address_from_path(&at, to);
    int fd = port->udp[at.ss_family == AF_INET ? 0 : 1];

    if (fd < 0)
        return -1;
    /* Full buffers count as loss on the way, which is what the sender is to slow down for. */
    return sendto(fd, pkt, len, MSG_NOSIGNAL, (struct sockaddr *)&at, at_len) < 0 ? -1 : 0;
}

#if defined(UDP_SEGMENT) || defined(HAS_MMSG)
/* Whether the call itself is what the system refused, and will be next time: the kernel is old, or
 * a device has no checksum offload. Full buffers or no route say nothing of that. */
static int is_refusal(int error) {
    return error == ENOSYS || error == EINVAL || error == EIO || error == EOPNOTSUPP ||
           error == ENOPROTOOPT;
}
#endif

#if defined(UDP_SEGMENT)
/* -1 with errno if not all went out. */
static int send_train(struct rit_posix *port, const struct rit_path *to, const uint8_t *pkts,
                      size_t len, size_t size) {
    struct sockaddr_storage at;
    socklen_t at_len = ritp_address_from_path(&at, to);
    int fd = port->udp[at.ss_family == AF_INET ? 0 : 1];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control;
    uint16_t segment = (uint16_t)size;
    struct iovec data;
    struct msghdr message;
    struct cmsghdr *option;

    if (fd < 0) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    memset(&control, 0, sizeof control);
    memset(&message, 0, sizeof message);
    data.iov_base = (void *)(uintptr_t)pkts; /* sendmsg only reads */
    data.iov_len = len;
    message.msg_name = &at;
    message.msg_namelen = at_len;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    option = CMSG_FIRSTHDR(&message);
    option->cmsg_level = SOL_UDP;
    option->cmsg_type = UDP_SEGMENT;
    option->cmsg_len = CMSG_LEN(sizeof segment);
    memcpy(CMSG_DATA(option), &segment, sizeof segment);
    return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}
#endif

#if defined(HAS_MMSG)
/* Sends up to SENDS_MAX datagrams; how many bytes of `pkts` are done with, 0 with errno if none. */
static size_t send_many(struct rit_posix *port, const struct rit_path *to, const uint8_t *pkts,
                        size_t len, size_t size) {
    struct sockaddr_storage at;
    socklen_t at_len = ritp_address_from_path(&at, to);
    int sent, fd = port->udp[at.ss_family == AF_INET ? 0 : 1];
    struct mmsghdr messages[SENDS_MAX];
    struct iovec data[SENDS_MAX];
    size_t from = 0;
    unsigned count;

    memset(messages, 0, sizeof messages);
    for (count = 0; count < SENDS_MAX && from < len; count++) {
        data[count].iov_base = (void *)(uintptr_t)(pkts + from); /* sendmmsg only reads */
        data[count].iov_len = len - from < size ? len - from : size;
        messages[count].msg_hdr.msg_name = &at;
        messages[count].msg_hdr.msg_namelen = at_len;
        messages[count].msg_hdr.msg_iov = &data[count];
        messages[count].msg_hdr.msg_iovlen = 1;
        from += data[count].iov_len;
    }
    sent = sendmmsg(fd, messages, count, MSG_NOSIGNAL);
    if (sent <= 0)
        return 0;
    return (unsigned)sent == count ? from : (size_t)sent * size;
}
#endif

static int32_t on_send_batch(void *ctx, const struct rit_path *to, const uint8_t *pkts, size_t len,
                             size_t size) {
    struct rit_posix *port = ctx;
    int32_t failed = 0;
    size_t at;

#if defined(UDP_SEGMENT)
    if (!port->sends_no_trains) {
        if (send_train(port, to, pkts, len, size) == 0)
            return 0;
        if (is_refusal(errno)) {
            port->sends_no_trains = 1;
            ritp_log(port, RIT_LOG_INFO, "no UDP_SEGMENT: %s", strerror(errno));
        } else if (errno != EMSGSIZE) {
            return -1; /* what the sender is to slow down for, as in on_send */
        }
    }
#endif
    for (at = 0; at < len;) {
        size_t next = len - at < size ? len - at : size;
#if defined(HAS_MMSG)
        if (!port->sends_one_by_one) {
            size_t done = send_many(port, to, pkts + at, len - at, size);
            if (done > 0) {
                at += done;
                continue;
            }
            if (is_refusal(errno)) {
                port->sends_one_by_one = 1;
                ritp_log(port, RIT_LOG_INFO, "no sendmmsg: %s", strerror(errno));
            }
        }
#endif
        if (on_send(ctx, to, pkts + at, next) != 0)
            failed = -1;
        at += next;
    }
    return failed;
}

/* ---- receiving */

union control {
    size_t aligned; /* as a struct cmsghdr is */
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* Where the next train goes. */
struct slot {
    struct sockaddr_storage at;
    union control control;
    struct iovec data;
};

static void prepare_slot(struct rit_posix *port, size_t i, struct slot *slot,
                         struct msghdr *message) {
    memset(message, 0, sizeof *message);
    slot->data.iov_base = port->train_bytes + i * TRAIN_MAX;
    slot->data.iov_len = TRAIN_MAX;
    message->msg_name = &slot->at;
    message->msg_namelen = sizeof slot->at;
    message->msg_iov = &slot->data;
    message->msg_iovlen = 1;
    message->msg_control = slot->control.bytes;
    message->msg_controllen = sizeof slot->control.bytes;
}

static void keep_train(struct rit_posix *port, size_t i, const struct slot *slot,
                       struct msghdr *message, size_t len) {
    struct ritp_train *train = &port->trains[i];

    train->bytes = port->train_bytes + i * TRAIN_MAX;
    train->at = 0;
    train->len = train->size = len;
    ritp_path_from_address(&train->from, &slot->at);
#if defined(UDP_GRO)
    {
        struct cmsghdr *option;
        for (option = CMSG_FIRSTHDR(message); option != NULL;
             option = CMSG_NXTHDR(message, option)) {
            int size;
            if (option->cmsg_level != SOL_UDP || option->cmsg_type != UDP_GRO)
                continue;
            memcpy(&size, CMSG_DATA(option), sizeof size);
            if (size > 0)
                train->size = (size_t)size;
        }
    }
#else
    (void)message;
#endif
}

#if defined(HAS_MMSG)
static int receive_many(struct rit_posix *port, int fd) {
    struct slot slots[RITP_TRAINS_MAX];
    struct mmsghdr messages[RITP_TRAINS_MAX];
    int i, got;

    memset(messages, 0, sizeof messages);
    for (i = 0; i < RITP_TRAINS_MAX; i++)
        prepare_slot(port, (size_t)i, &slots[i], &messages[i].msg_hdr);
    got = recvmmsg(fd, messages, RITP_TRAINS_MAX, 0, NULL);
    for (i = 0; i < got; i++)
        keep_train(port, (size_t)i, &slots[i], &messages[i].msg_hdr, messages[i].msg_len);
    return got;
}
#endif

/* Receives datagrams or trains of them: -1 with errno if there was none. */
static int receive_trains(struct rit_posix *port, int fd) {
    struct slot slot;
    struct msghdr message;
    ssize_t got;

    port->train_at = port->train_count = 0;
#if defined(HAS_MMSG)
    if (!port->receives_one_by_one) {
        int count = receive_many(port, fd);
        if (count > 0)
            port->train_count = (size_t)count;
        if (count > 0 || !is_refusal(errno))
            return count > 0 ? 0 : -1;
        port->receives_one_by_one = 1;
        ritp_log(port, RIT_LOG_INFO, "no recvmmsg: %s", strerror(errno));
    }
#endif
    prepare_slot(port, 0, &slot, &message);
    got = recvmsg(fd, &message, 0);
    if (got < 0)
        return -1;
    keep_train(port, 0, &slot, &message, (size_t)got);
    port->train_count = 1;
    return 0;
}

static int32_t on_recv(void *ctx, struct rit_path *from, uint8_t *buf, size_t cap) {
    struct rit_posix *port = ctx;
    int which = 0, tries = 16;

    while (which < 2 && tries > 0) {
        if (ritp_udp_has_more(port)) {
            struct ritp_train *train = &port->trains[port->train_at];
            size_t left = train->len - train->at;
            size_t len = left < train->size ? left : train->size;
            const uint8_t *datagram = train->bytes + train->at;
            train->at += len;
            if (len > cap)
                continue; /* nobody here said that it takes as long a one */
            memcpy(buf, datagram, len);
            *from = train->from;
            return (int32_t)len;
        }
        if (port->udp[which] < 0)
            which++;
        else if (receive_trains(port, port->udp[which]) != 0 && errno != EINTR)
            which++;
        else
            tries--; /* an empty datagram is not the end of them */
    }
    port->udp_is_drained = which == 2;
    return 0;
}

int ritp_udp_has_more(struct rit_posix *port) {
    while (port->train_at < port->train_count &&
           port->trains[port->train_at].at >= port->trains[port->train_at].len)
        port->train_at++;
    return port->train_at < port->train_count;
}

void ritp_udp_io(struct rit_io *io) {
    io->send = on_send;
    io->send_batch = on_send_batch;
    io->recv = on_recv;
}
