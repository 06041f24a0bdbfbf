/* users.c: whose program is at the other end of a connection to a loopback address.
 *
 * Owns the question to Linux (sock_diag(7)), which tells the user of each socket: TCP has nothing
 * like SO_PEERCRED. The user's own programs and root's are served. Invariant: once the system was
 * found to answer, a connection that it does not tell of is refused. Such is one whose program has
 * closed it already: the kernel then knows no user, and would say root.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#endif

#include "internal.h"

#if defined(__linux__)

#define STATE_LISTEN 10 /* TCP_LISTEN, of a header that clashes with libc's */

struct request {
    struct nlmsghdr head;
    struct inet_diag_req_v2 what;
};

/* Asks for the socket that is at `local` and speaks with `remote`; 0 and *out, or -1. */
static int ask(struct rit_posix *port, const struct sockaddr_in *local,
               const struct sockaddr_in *remote, struct inet_diag_msg *out) {
    struct request request;
    uint32_t words[256]; /* as netlink aligns */
    struct nlmsghdr head;
    ssize_t len;

    memset(&request, 0, sizeof request);
    request.head.nlmsg_len = (uint32_t)sizeof request;
    request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.head.nlmsg_flags = NLM_F_REQUEST;
    request.head.nlmsg_seq = ++port->users_seq;
    request.what.sdiag_family = AF_INET;
    request.what.sdiag_protocol = IPPROTO_TCP;
    request.what.idiag_states = UINT32_MAX;
    request.what.id.idiag_sport = local->sin_port;
    request.what.id.idiag_dport = remote->sin_port;
    memcpy(request.what.id.idiag_src, &local->sin_addr, 4);
    memcpy(request.what.id.idiag_dst, &remote->sin_addr, 4);
    request.what.id.idiag_cookie[0] = request.what.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    if (send(port->users_fd, &request, sizeof request, 0) != (ssize_t)sizeof request)
        return -1;
    do { /* the answer is there when send() returns; one that an error left behind is not it */
        len = recv(port->users_fd, words, sizeof words, MSG_DONTWAIT);
        if (len < (ssize_t)sizeof head)
            return -1;
        memcpy(&head, words, sizeof head);
    } while (head.nlmsg_seq != port->users_seq);
    if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY || (size_t)len < NLMSG_HDRLEN + sizeof *out)
        return -1;
    memcpy(out, (uint8_t *)words + NLMSG_HDRLEN, sizeof *out);
    return 0;
}

/* Whether the system answers at all, asked about a listener of one's own. */
static int can_tell(struct rit_posix *port) {
    static const uint8_t HOST[4] = {127, 0, 0, 1};
    struct sockaddr_in at, none;
    struct inet_diag_msg found;
    socklen_t len = sizeof at;
    int fd = ritp_listen_at(HOST, 0, SOCK_STREAM), is_told;

    if (fd < 0)
        return 0;
    memset(&none, 0, sizeof none);
    is_told = getsockname(fd, (struct sockaddr *)&at, &len) == 0 &&
              ask(port, &at, &none, &found) == 0 && found.idiag_uid == geteuid();
    (void)close(fd);
    return is_told;
}

static int open_users(struct rit_posix *port) {
    port->users_fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
    if (port->users_fd >= 0 && (ritp_prepare_fd(port->users_fd) != 0 || !can_tell(port))) {
        (void)close(port->users_fd);
        port->users_fd = -1;
    }
    return port->users_fd >= 0 ? 0 : -1;
}

int ritp_is_own_user(struct rit_posix *port, int fd) {
    struct sockaddr_in here, there;
    struct inet_diag_msg found;
    socklen_t here_len = sizeof here, there_len = sizeof there;

    if (port->users_fd < 0)
        return 1;
    if (getsockname(fd, (struct sockaddr *)&here, &here_len) != 0 ||
        getpeername(fd, (struct sockaddr *)&there, &there_len) != 0 ||
        ask(port, &there, &here, &found) != 0)
        return 0;
    /* Where the connection is gone, a listener at its port is found instead. */
    if (found.idiag_state == STATE_LISTEN || found.id.idiag_sport != there.sin_port ||
        found.id.idiag_dport != here.sin_port || found.idiag_inode == 0)
        return 0;
    return found.idiag_uid == 0 || found.idiag_uid == geteuid();
}

#else

static int open_users(struct rit_posix *port) {
    (void)port;
    return -1;
}

int ritp_is_own_user(struct rit_posix *port, int fd) {
    (void)port;
    (void)fd;
    return 1;
}

#endif

void ritp_users_open(struct rit_posix *port, int own_user_only) {
    port->users_fd = -1;
    if (own_user_only && open_users(port) != 0)
        ritp_log(port, RIT_LOG_WARN, "this system does not tell whose a connection is: services "
                 "are there for every user of this machine");
}

void ritp_users_close(struct rit_posix *port) {
    if (port->users_fd >= 0)
        (void)close(port->users_fd);
    port->users_fd = -1;
}
