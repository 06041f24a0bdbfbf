/* udp.c: UDP sockets, many datagrams in one call of the system, and their ECN codepoints.
 *
 * Owns the two sockets that the node is known by (IPv4 and IPv6; the IPv6 one takes no IPv4) and
 * the buffers that datagrams arrive in: RITP_TRAINS_MAX of 64 KiB, 512 KiB in all. Where the kernel
 * has UDP_SEGMENT and UDP_GRO (Linux 4.18 and 5.0), a train of datagrams passes its network stack
 * once; where it has sendmmsg and recvmmsg, many are one call; where it has neither, each goes by
 * itself, with the same result.
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

/* A datagram's interface. The BSDs have no IP_PKTINFO: their IPv4 goes as routing says. */
#if defined(IP_PKTINFO) && defined(__linux__)
#define HAS_PKTINFO 1
#endif

#if defined(IP_RECVTOS) && defined(IPV6_RECVTCLASS)
#define HAS_ECN 1
#endif

/* A burst at 1 Gbit/s of about 30 ms; the system may give less. */
#define SOCKET_BUFFER (4 << 20)
#define TRAINS_IN_STEP 32 /* from each socket; then others have their turn */
/* What the kernel hands over at once at the most: the longest IP packet. */
#define TRAIN_MAX 65536

/* ---- sockets */

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

static void take_marks(int fd, int which) {
#if defined(HAS_ECN)
    int on = 1;

    if (which == 0)
        (void)setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
    else
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof on);
#else
    (void)fd;
    (void)which;
#endif
}

/* By which interface each datagram came; and that IPv6 ones leave from the address that is told to
 * others (network.c). */
static void take_interfaces(int fd, int which) {
#if defined(HAS_PKTINFO)
    int on = 1;

    if (which == 0)
        (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    else
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
#endif
#if defined(IPV6_ADDR_PREFERENCES) && defined(IPV6_PREFER_SRC_TMP)
    if (which == 1) {
        int temporary = IPV6_PREFER_SRC_TMP;
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, &temporary, sizeof temporary);
    }
#endif
    (void)fd;
    (void)which;
}

int ritp_udp_socket(int which, uint16_t *number) {
    struct rit_path own;
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    int on = 1, fd = socket(which == 0 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);

    if (fd < 0)
        return -1;
    memset(&own, 0, sizeof own);
    if (which == 0)
        own.ip[10] = own.ip[11] = 0xff; /* any IPv4 address, mapped */
    own.port = *number;
    len = ritp_address_from_path(&at, &own);
    if (ritp_prepare_fd(fd) != 0 ||
        (which == 1 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
        bind(fd, (struct sockaddr *)&at, len) != 0)
        goto failed;
    forbid_fragments(fd, which);
    take_trains(fd);
    take_marks(fd, which);
    take_interfaces(fd, which);
    len = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        goto failed;
    ritp_enlarge(fd, SOCKET_BUFFER);
    ritp_path_from_address(&own, &at);
    *number = own.port;
    return fd;
failed:
    (void)close(fd);
    return -1;
}

static int open_udp(struct rit_posix *port, int which, uint16_t number) {
    int fd = ritp_udp_socket(which, &number);

    if (fd < 0)
        return -1;
    port->udp[which] = fd;
    port->udp_port[which] = number;
    return 0;
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

int ritp_udp_reopen(struct rit_posix *port) {
    int i, is_new = 0;

    for (i = 0; i < 2; i++) {
        uint16_t number = port->udp_port[i];
        if (port->udp[i] >= 0 && !port->has_dead_socket)
            continue;
        if (port->udp[i] >= 0)
            (void)close(port->udp[i]);
        port->udp[i] = -1;
        if (open_udp(port, i, number) == 0 || (number != 0 && open_udp(port, i, 0) == 0))
            is_new = 1;
    }
    port->has_dead_socket = 0;
    return is_new;
}

void ritp_udp_close(struct rit_posix *port) {
    int i;

    for (i = 0; i < 2; i++) {
        if (port->udp[i] >= 0)
            (void)close(port->udp[i]);
        port->udp[i] = -1;
    }
    ritp_tcp_close(port);
    free(port->train_bytes);
    port->train_bytes = NULL;
}

/* ---- options of one datagram */

/* struct in6_pktinfo, the longer one: an address and a number. */
#define INTERFACE_LEN 20

union control {
    size_t aligned; /* as a struct cmsghdr is */
    char bytes[2 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(INTERFACE_LEN)];
};

/* What a struct msghdr points to. */
struct envelope {
    struct sockaddr_storage at;
    union control control;
    struct iovec data;
};

#if defined(UDP_SEGMENT) || defined(HAS_ECN) || defined(HAS_PKTINFO)
static void add_option(struct msghdr *message, struct envelope *envelope, int level, int type,
                       const void *value, size_t len) {
    struct cmsghdr *option = (void *)(envelope->control.bytes + message->msg_controllen);

    option->cmsg_level = level;
    option->cmsg_type = type;
    option->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(option), value, len);
    message->msg_control = envelope->control.bytes;
    message->msg_controllen += CMSG_SPACE(len);
}
#endif

/* ---- interfaces */

#if defined(HAS_PKTINFO)
static int is_pin_of(const struct ritp_pin *pin, const struct rit_path *path, uint32_t ifindex) {
    return pin->ifindex == ifindex && pin->port == path->port &&
           memcmp(pin->ip, path->ip, sizeof pin->ip) == 0;
}

static int has_pin(const struct rit_posix *port, const struct rit_path *path, uint32_t ifindex) {
    size_t i;

    for (i = 0; i < port->pin_count; i++) {
        if (is_pin_of(&port->pins[i], path, ifindex))
            return 1;
    }
    return 0;
}

/* The oldest makes room. */
static void pin(struct rit_posix *port, const struct rit_path *to) {
    struct ritp_pin *place = &port->pins[port->pin_next];

    if (has_pin(port, to, to->ifindex))
        return;
    memcpy(place->ip, to->ip, sizeof place->ip);
    place->port = to->port;
    place->ifindex = to->ifindex;
    port->pin_next = (port->pin_next + 1) % RITP_PINS_MAX;
    if (port->pin_count < RITP_PINS_MAX)
        port->pin_count++;
}

/* The datagram leaves by the interface that its path names. */
static void choose_interface(struct rit_posix *port, const struct rit_path *to,
                             struct msghdr *message, struct envelope *envelope) {
    pin(port, to);
    if (envelope->at.ss_family == AF_INET) {
        struct in_pktinfo by;
        memset(&by, 0, sizeof by);
        by.ipi_ifindex = (int)to->ifindex;
        add_option(message, envelope, IPPROTO_IP, IP_PKTINFO, &by, sizeof by);
    } else {
        struct in6_pktinfo by;
        memset(&by, 0, sizeof by);
        by.ipi6_ifindex = to->ifindex;
        add_option(message, envelope, IPPROTO_IPV6, IPV6_PKTINFO, &by, sizeof by);
    }
}
#endif

/* ---- sending */

/* A message of `len` bytes to `to`, marked as `to` says unless the kernel does not know how to. */
static void address(struct rit_posix *port, const struct rit_path *to, const uint8_t *pkt,
                    size_t len, struct msghdr *message, struct envelope *envelope) {
    memset(message, 0, sizeof *message);
    memset(&envelope->control, 0, sizeof envelope->control);
    envelope->data.iov_base = (void *)(uintptr_t)pkt; /* sendmsg only reads */
    envelope->data.iov_len = len;
    message->msg_namelen = ritp_address_from_path(&envelope->at, to);
    message->msg_name = &envelope->at;
    message->msg_iov = &envelope->data;
    message->msg_iovlen = 1;
#if defined(HAS_ECN)
    if (to->ecn != 0 && !port->sends_no_marks) {
        int octet = to->ecn;
        if (envelope->at.ss_family == AF_INET)
            add_option(message, envelope, IPPROTO_IP, IP_TOS, &octet, sizeof octet);
        else
            add_option(message, envelope, IPPROTO_IPV6, IPV6_TCLASS, &octet, sizeof octet);
    }
#endif
#if defined(HAS_PKTINFO)
    if (to->ifindex != 0)
        choose_interface(port, to, message, envelope);
#endif
    (void)port;
}

static int socket_for(struct rit_posix *port, const struct rit_path *to,
                      const struct envelope *envelope) {
    return ritp_socket_for(port, to->socket, envelope->at.ss_family == AF_INET ? 0 : 1);
}

/* Whether the call itself is what the system refused, and will be next time: the kernel is old, or
 * a device has no checksum offload. Full buffers or no route say nothing of that. */
static int is_refusal(int error) {
    return error == ENOSYS || error == EINVAL || error == EIO || error == EOPNOTSUPP ||
           error == ENOPROTOOPT;
}

/* The socket itself is unusable, as some systems make it while they sleep. */
static int is_dead(int error) {
    return error == EBADF || error == ENOTSOCK || error == EPIPE || error == ENOTCONN;
}

/* -1 for a datagram that did not leave, after a look why. */
static int32_t not_sent(struct rit_posix *port, const struct rit_path *to) {
    if (is_dead(errno))
        ritp_socket_is_dead(port, to->socket);
    return -1;
}

static int32_t on_send(void *ctx, const struct rit_path *to, const uint8_t *pkt, size_t len) {
    struct rit_posix *port = ctx;
    struct envelope envelope;
    struct msghdr message;
    int32_t answer;
    int fd;

    if (ritp_lan_send(port, to, pkt, len, len, &answer))
        return answer;
    address(port, to, pkt, len, &message, &envelope);
    fd = socket_for(port, to, &envelope);
    if (fd < 0)
        return -1;
    if (message.msg_controllen != 0) {
        if (sendmsg(fd, &message, MSG_NOSIGNAL) >= 0)
            return 0;
        if (!is_refusal(errno) || to->ecn == 0 || port->sends_no_marks)
            return not_sent(port, to);
        port->sends_no_marks = 1;
        ritp_log(port, RIT_LOG_INFO, "no ECN: %s", strerror(errno));
        if (to->ifindex != 0)
            return -1; /* the next goes without the mark, by its interface */
    }
    /* Full buffers count as loss on the way, which is what the sender is to slow down for. */
    if (sendto(fd, pkt, len, MSG_NOSIGNAL, message.msg_name, message.msg_namelen) < 0)
        return not_sent(port, to);
    return 0;
}

#if defined(UDP_SEGMENT)
/* -1 with errno if not all went out. */
static int send_train(struct rit_posix *port, const struct rit_path *to, const uint8_t *pkts,
                      size_t len, size_t size) {
    uint16_t segment = (uint16_t)size;
    struct envelope envelope;
    struct msghdr message;
    int fd;

    address(port, to, pkts, len, &message, &envelope);
    fd = socket_for(port, to, &envelope);
    if (fd < 0) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    add_option(&message, &envelope, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
    return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}
#endif

#if defined(HAS_MMSG)
/* Sends up to SENDS_MAX datagrams; how many bytes of `pkts` are done with, 0 with errno if none. */
static size_t send_many(struct rit_posix *port, const struct rit_path *to, const uint8_t *pkts,
                        size_t len, size_t size) {
    struct mmsghdr messages[SENDS_MAX];
    struct envelope envelopes[SENDS_MAX];
    size_t from = 0;
    unsigned count;
    int sent;

    memset(messages, 0, sizeof messages);
    for (count = 0; count < SENDS_MAX && from < len; count++) {
        size_t next = len - from < size ? len - from : size;
        address(port, to, pkts + from, next, &messages[count].msg_hdr, &envelopes[count]);
        from += next;
    }
    sent = sendmmsg(socket_for(port, to, &envelopes[0]), messages, count, MSG_NOSIGNAL);
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

    if (ritp_lan_send(port, to, pkts, len, size, &failed))
        return failed;
#if defined(UDP_SEGMENT)
    if (!port->sends_no_trains) {
        if (send_train(port, to, pkts, len, size) == 0)
            return 0;
        if (is_refusal(errno)) {
            port->sends_no_trains = 1;
            ritp_log(port, RIT_LOG_INFO, "no UDP_SEGMENT: %s", strerror(errno));
        } else if (errno != EMSGSIZE) {
            return not_sent(port, to); /* what the sender is to slow down for, as in on_send */
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

static void prepare_slot(struct rit_posix *port, size_t i, struct envelope *slot,
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

static void read_option(struct ritp_train *train, struct cmsghdr *option, uint32_t *ifindex) {
#if defined(UDP_GRO)
    if (option->cmsg_level == SOL_UDP && option->cmsg_type == UDP_GRO) {
        int size;
        memcpy(&size, CMSG_DATA(option), sizeof size);
        if (size > 0)
            train->size = (size_t)size;
    }
#endif
#if defined(HAS_ECN)
    /* Linux names the option by IP_TOS, the BSDs by IP_RECVTOS; both send an octet. */
    if (option->cmsg_level == IPPROTO_IP &&
        (option->cmsg_type == IP_TOS || option->cmsg_type == IP_RECVTOS))
        train->from.ecn = *CMSG_DATA(option) & 3;
    if (option->cmsg_level == IPPROTO_IPV6 && option->cmsg_type == IPV6_TCLASS) {
        int octet;
        memcpy(&octet, CMSG_DATA(option), sizeof octet);
        train->from.ecn = (uint8_t)(octet & 3);
    }
#endif
#if defined(HAS_PKTINFO)
    if (option->cmsg_level == IPPROTO_IP && option->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo by;
        memcpy(&by, CMSG_DATA(option), sizeof by);
        *ifindex = (uint32_t)by.ipi_ifindex;
    }
    if (option->cmsg_level == IPPROTO_IPV6 && option->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo by;
        memcpy(&by, CMSG_DATA(option), sizeof by);
        *ifindex = by.ipi6_ifindex;
    }
#endif
    (void)ifindex;
    (void)train;
    (void)option;
}

static void keep_train(struct rit_posix *port, size_t i, const struct envelope *slot,
                       struct msghdr *message, size_t len) {
    struct ritp_train *train = &port->trains[i];
    struct cmsghdr *option;
    uint32_t ifindex = 0;

    train->bytes = port->train_bytes + i * TRAIN_MAX;
    train->len = train->size = len;
    ritp_path_from_address(&train->from, &slot->at);
    for (option = CMSG_FIRSTHDR(message); option != NULL; option = CMSG_NXTHDR(message, option))
        read_option(train, option, &ifindex);
#if defined(HAS_PKTINFO)
    if (port->pin_count > 0 && has_pin(port, &train->from, ifindex))
        train->from.ifindex = ifindex;
#endif
}

#if defined(HAS_MMSG)
static int receive_many(struct rit_posix *port, int fd) {
    struct envelope slots[RITP_TRAINS_MAX];
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

/* Receives datagrams or trains of them: how many, -1 with errno if there was none. */
static int receive_trains(struct rit_posix *port, int fd) {
    struct envelope slot;
    struct msghdr message;
    ssize_t got;

#if defined(HAS_MMSG)
    if (!port->receives_one_by_one) {
        int count = receive_many(port, fd);
        if (count > 0 || !is_refusal(errno))
            return count > 0 ? count : -1;
        port->receives_one_by_one = 1;
        ritp_log(port, RIT_LOG_INFO, "no recvmmsg: %s", strerror(errno));
    }
#endif
    prepare_slot(port, 0, &slot, &message);
    got = recvmsg(fd, &message, 0);
    if (got < 0)
        return -1;
    keep_train(port, 0, &slot, &message, (size_t)got);
    return 1;
}

int ritp_udp_receive(struct rit_posix *port, int fd, uint16_t number, int *is_ready) {
    int left = TRAINS_IN_STEP, failed = RIT_OK;

    while (left > 0 && *is_ready && !ritp_is_fatal(failed)) {
        int i, count = receive_trains(port, fd);
        int error = errno;
        left -= count > 0 ? count : 1;
        /* Fewer than could be are all there were; poll() tells of more. */
        if (count < 0 ? error != EINTR : count < RITP_TRAINS_MAX && !port->receives_one_by_one)
            *is_ready = 0;
        for (i = 0; i < count && !ritp_is_fatal(failed); i++) {
            struct ritp_train *train = &port->trains[i];
            train->from.socket = number;
            if (train->len > 0)
                failed = rit_node_receive_batch(port->node, &train->from, train->bytes,
                                                train->len, train->size);
        }
        if (count < 0 && is_dead(error)) {
            ritp_socket_is_dead(port, number);
            break;
        }
    }
    return failed;
}

void ritp_udp_io(struct rit_io *io) {
    io->sockets = RITP_SOCKETS_MAX;
    io->send = on_send;
    io->send_batch = on_send_batch;
    ritp_tcp_io(io);
}
