/* test_neighbours.c: which neighbours are connected to and how often, with a fake librit.
 *
 * Rules and what no rule allows, at their edges; limits, at and over them; neighbours that do not
 * answer; names that lead elsewhere. A neighbour's address is no host's here: connect() is the
 * test's, and leads where the test says.
 */
#define _DEFAULT_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_rit.h"
#include "internal.h"

#define SECOND_US 1000000u
#define HOST "203.0.113.20" /* RFC 5737: nobody's */

static const char *state_dir;
static rit_posix *port;

/* ---- the network */

enum way { REAL, REFUSED, FILTERED, TAKEN };

static struct {
    enum way way;            /* of what is connected by TCP */
    uint16_t number;         /* TAKEN, FILTERED: where to, at 127.0.0.1 */
    unsigned calls;
    struct sockaddr_in last; /* that was asked for */
} net;

int __real_connect(int fd, const struct sockaddr *to, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t len);

int __wrap_connect(int fd, const struct sockaddr *to, socklen_t len) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int type = 0;
    socklen_t type_len = sizeof type;

    CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0);
    if (net.way == REAL || (type == SOCK_DGRAM && net.way != TAKEN))
        return __real_connect(fd, to, len);
    if (type == SOCK_STREAM) {
        net.calls++;
        if (to != NULL)
            memcpy(&net.last, to, sizeof net.last);
    }
    at.sin_port = htons(net.number);
    if (net.way != REFUSED)
        return __real_connect(fd, (const struct sockaddr *)&at, sizeof at);
    errno = ECONNREFUSED;
    return -1;
}

/* ---- tools */

static void begin(void) {
    struct rit_posix_config config = {.state_dir = state_dir, .log = NULL, .log_level = 1};
    int error = -1;

    port = rit_posix_new(&config, &error);
    CHECK(port != NULL && error == 0);
    fake.event_count = fake.offered = fake.withdrawn = 0;
    net.way = REAL;
    net.calls = 0;
}

static void end(void) {
    rit_posix_free(port);
    fake_forget();
}

static void steps(int count) {
    while (count-- > 0)
        CHECK(rit_posix_step(port, 0) == 0);
}

static void allow(const char *addresses, uint16_t first, uint16_t last) {
    CHECK(rit_posix_neighbour_allow(port, addresses, first, last) == RIT_OK);
}

/* What offering this neighbour comes to; it is taken back at once. */
static int offered(const char *host, uint16_t number) {
    int answer = rit_posix_offer_neighbour(port, RIT_SERVICE_TCP, "it", host, number);

    if (answer == RIT_OK)
        CHECK(rit_posix_withdraw(port, RIT_SERVICE_TCP, "it") == RIT_OK);
    CHECK(answer == RIT_OK || answer == RIT_POSIX_ERR_NOT_ALLOWED);
    return answer == RIT_OK;
}

static struct ritp_offer *neighbour(const char *host, uint16_t number) {
    CHECK(rit_posix_offer_neighbour(port, RIT_SERVICE_TCP, "web.it", host, number) == RIT_OK);
    return port->offers;
}

static int serve(int type, uint16_t *number) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, type, 0);

    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(type != SOCK_STREAM || listen(fd, 64) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    *number = ntohs(at.sin_port);
    return fd;
}

/* Whose queue is full: it answers no SYN any more. The descriptors are the caller's to close. */
static void serve_nobody(int fds[3]) {
    int i;

    fds[0] = serve(SOCK_STREAM, &net.number);
    CHECK(listen(fds[0], 0) == 0);
    net.way = FILTERED;
    for (i = 1; i < 3; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(fds[i] >= 0 && ritp_prepare_fd(fds[i]) == 0);
        (void)connect(fds[i], NULL, 0);
    }
}

static struct fake_stream *incoming_of(rit_session session, const struct ritp_offer *offer) {
    rit_stream stream = fake_incoming(session, offer->id);

    steps(2);
    return fake_stream(stream);
}

static struct fake_stream *incoming(const struct ritp_offer *offer) {
    return incoming_of(1, offer);
}

static void wait_for(const int *flag) {
    int i;

    for (i = 0; i < 2000 && !*flag; i++) {
        (void)poll(NULL, 0, 1);
        steps(1);
    }
    CHECK(*flag);
}

/* ---- rules */

static void rules_are_addresses(void) {
    static const char *const GOOD[] = {"192.168.1.20", "192.168.1.0/24", "0.0.0.0/0", "10.0.0.0/7",
        "192.168.1.20/32", "fd00:1::/64", "::/0", "fd00::1", "fd00::1/128", "2001:db8::/31"};
    static const char *const BAD[] = {"", "localhost", "neighbour.example", "192.168.1.20/24",
        "192.168.1", "192.168.1.0/33", "192.168.1.0/", "192.168.1.0/-1", "192.168.1.0/+8",
        "192.168.1.0/ 8", "192.168.1.0/8x", "/24", "fd00::1/64", "fd00::/129", "::ffff:10.0.0.1",
        "::ffff:10.0.0.0/104", "10.0.0.0/24/24", " 10.0.0.1", "10.0.0.1 ",
        "192.168.1.0/99999999999999999999",
        "fd00:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/64"};
    size_t i;

    for (i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        CHECK(rit_posix_neighbour_disallow(port, GOOD[i], 80, 80) == RIT_ERR_UNKNOWN);
        allow(GOOD[i], 80, 80);
        allow(GOOD[i], 80, 80);
        CHECK(rit_posix_neighbour_disallow(port, GOOD[i], 80, 81) == RIT_ERR_UNKNOWN);
        CHECK(rit_posix_neighbour_disallow(port, GOOD[i], 80, 80) == RIT_OK);
        CHECK(port->rules == NULL);
    }
    for (i = 0; i < sizeof BAD / sizeof *BAD; i++)
        CHECK(rit_posix_neighbour_allow(port, BAD[i], 80, 80) == RIT_ERR_ARG);
    CHECK(rit_posix_neighbour_allow(port, "10.0.0.1", 0, 80) == RIT_ERR_ARG);
    CHECK(rit_posix_neighbour_allow(port, "10.0.0.1", 81, 80) == RIT_ERR_ARG);
    CHECK(rit_posix_neighbour_allow(port, NULL, 80, 80) == RIT_ERR_NULL);
    CHECK(rit_posix_neighbour_allow(NULL, "10.0.0.1", 80, 80) == RIT_ERR_NULL);
}

static void prefixes_and_ports_at_their_edges(void) {
    static const struct {
        const char *rule, *below, *first, *last, *above;
    } CASES[] = {
        {"203.0.113.0/24", "203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
        {"198.18.4.0/23", "198.18.3.255", "198.18.4.0", "198.18.5.255", "198.18.6.0"},
        {"203.0.113.128/25", "203.0.113.127", "203.0.113.128", "203.0.113.255", "203.0.114.0"},
        {"203.0.113.20", "203.0.113.19", "203.0.113.20", "203.0.113.20", "203.0.113.21"},
        {"203.0.113.20/31", "203.0.113.19", "203.0.113.20", "203.0.113.21", "203.0.113.22"},
        {"2001:db8:0:2::/63", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::",
         "2001:db8:0:3:ffff:ffff:ffff:ffff", "2001:db8:0:4::"},
        {"2001:db8::5", "2001:db8::4", "2001:db8::5", "2001:db8::5", "2001:db8::6"},
    };
    size_t i;

    CHECK(!offered(HOST, 80));
    for (i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        allow(CASES[i].rule, 80, 90);
        CHECK(!offered(CASES[i].below, 80) && !offered(CASES[i].above, 80));
        CHECK(offered(CASES[i].first, 80) && offered(CASES[i].last, 90));
        CHECK(!offered(CASES[i].first, 79) && !offered(CASES[i].last, 91));
        CHECK(rit_posix_neighbour_disallow(port, CASES[i].rule, 80, 90) == RIT_OK);
    }
    allow("203.0.113.0/24", 65535, 65535);
    CHECK(offered(HOST, 65535) && !offered(HOST, 65534));
}

/* All ones and all zeros of an interface's network. */
static void no_broadcasts(const struct ifaddrs *at) {
    uint32_t address, mask;
    char text[INET_ADDRSTRLEN];
    struct in_addr in;

    memcpy(&in, (const char *)at->ifa_addr + offsetof(struct sockaddr_in, sin_addr), sizeof in);
    address = in.s_addr;
    memcpy(&in, (const char *)at->ifa_netmask + offsetof(struct sockaddr_in, sin_addr), sizeof in);
    mask = in.s_addr;
    if (ntohl(~mask) <= 1)
        return;
    in.s_addr = address | ~mask;
    CHECK(!offered(inet_ntop(AF_INET, &in, text, sizeof text), 80));
    in.s_addr = address & mask;
    CHECK(!offered(inet_ntop(AF_INET, &in, text, sizeof text), 80));
}

static void never_whatever_the_rules(void) {
    static const char *const NEVER[] = {"0.0.0.0", "0.255.255.255", "127.0.0.1", "127.255.255.255",
        "169.254.0.0", "169.254.169.254", "169.254.255.255", "100.100.100.200", "168.63.129.16",
        "192.0.0.192", "224.0.0.0", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1",
        "::127.0.0.1", "::203.0.113.1", "ff02::1", "ff0e::1", "fd00:ec2::254", "fe80::a9fe:a9fe",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0", "::ffff:255.255.255.255",
        "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42",
        "64:ff9b:1::127.0.0.1", "::ffff:0:169.254.169.254",
        "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "2002:7f00:1::", "2002:a9fe:a9fe::1",
        "localhost"};
    static const char *const BESIDE[] = {"1.0.0.0", "126.255.255.255", "128.0.0.0",
        "169.253.255.255", "169.255.0.0", "100.100.100.199", "100.100.100.201", "168.63.129.17",
        "192.0.0.191", "223.255.255.254", "::1:0:0:0", "fd00:ec3::254", "fd00:42::43", "feff::1",
        "::ffff:203.0.113.1", "64:ff9b::203.0.113.1", "2002:cb00:7101::1"};
    struct ifaddrs *found, *each;
    char text[64];
    size_t i;

    allow("0.0.0.0/0", 1, 65535);
    allow("::/0", 1, 65535);
    for (i = 0; i < sizeof NEVER / sizeof *NEVER; i++)
        CHECK(!offered(NEVER[i], 80) && rit_posix_neighbour_is_never(NEVER[i]));
    for (i = 0; i < sizeof BESIDE / sizeof *BESIDE; i++)
        CHECK(offered(BESIDE[i], 80) && !rit_posix_neighbour_is_never(BESIDE[i]));
    CHECK(rit_posix_neighbour_is_never(NULL));
    CHECK(getifaddrs(&found) == 0);
    for (each = found; each != NULL; each = each->ifa_next) {
        int family = each->ifa_addr != NULL ? each->ifa_addr->sa_family : AF_UNSPEC;
        if ((family == AF_INET || family == AF_INET6) &&
            getnameinfo(each->ifa_addr, family == AF_INET ? sizeof(struct sockaddr_in)
                                                          : sizeof(struct sockaddr_in6),
                        text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
            CHECK(!offered(text, 80));
        if (family == AF_INET && (each->ifa_flags & IFF_BROADCAST) != 0)
            no_broadcasts(each);
    }
    freeifaddrs(found);
    /* What IPv6 as a whole allows is not IPv4's. */
    CHECK(rit_posix_neighbour_disallow(port, "0.0.0.0/0", 1, 65535) == RIT_OK);
    CHECK(!offered("::ffff:203.0.113.1", 80) && !offered("203.0.113.1", 80));
    /* One's own services need no rule. */
    CHECK(rit_posix_offer(port, "own", "127.0.0.1", 80) == RIT_OK);
}

static void what_cannot_be_offered(void) {
    allow("203.0.113.0/24", 1, 65535);
    CHECK(rit_posix_offer_neighbour(port, 7, "web", HOST, 80) == RIT_ERR_ARG);
    CHECK(rit_posix_offer_neighbour(port, RIT_SERVICE_TCP, "web", HOST, 0) == RIT_ERR_ARG);
    CHECK(rit_posix_offer_neighbour(port, RIT_SERVICE_TCP, NULL, HOST, 80) == RIT_ERR_NULL);
    CHECK(rit_posix_offer_neighbour(NULL, RIT_SERVICE_TCP, "web", HOST, 80) == RIT_ERR_NULL);
    CHECK(rit_posix_withdraw(port, RIT_SERVICE_TCP, "web") == RIT_POSIX_ERR_SERVICE);
    CHECK(rit_posix_neighbour_limits(port, RIT_POSIX_CONNECTIONS_MAX + 1, 0) == RIT_ERR_ARG);
    CHECK(rit_posix_neighbour_limits(port, 0, RIT_POSIX_CONNECTIONS_MAX + 1) == RIT_ERR_ARG);
    CHECK(rit_posix_neighbour_limits(port, RIT_POSIX_CONNECTIONS_MAX, 1) == RIT_OK);
}

/* ---- connections */

static void a_rule_counts_at_each_connection(void) {
    int listening = serve(SOCK_STREAM, &net.number), fd;
    const struct ritp_offer *offer;
    struct fake_stream *stream;

    allow("203.0.113.0/24", 80, 80);
    offer = neighbour(HOST, 80);
    net.way = TAKEN;
    stream = incoming(offer);
    wait_for(&stream->is_accepted);
    CHECK(net.calls == 1 && net.last.sin_addr.s_addr == inet_addr(HOST));
    fd = accept(listening, NULL, NULL);
    CHECK(fd >= 0 && net.last.sin_port == htons(80));
    CHECK(rit_posix_neighbour_disallow(port, "203.0.113.0/24", 80, 80) == RIT_OK);
    stream = incoming(offer);
    fake.now_us += 4 * SECOND_US - 1;
    steps(2);
    CHECK(net.calls == 1 && !stream->is_released);
    fake.now_us += 1;
    steps(2);
    CHECK(net.calls == 1 && stream->refusal == RIT_REFUSED_SERVICE);
    CHECK(close(fd) == 0 && close(listening) == 0);
}

/* However it is that the neighbour does not answer: 4 s, and one knock at a time. */
static void silent_neighbours_look_alike(void) {
    static const enum way WAYS[] = {REFUSED, FILTERED};
    int fds[3];
    size_t i;

    allow("203.0.113.0/24", 80, 80);
    serve_nobody(fds);
    for (i = 0; i < 2; i++) {
        const struct ritp_offer *offer = neighbour(HOST, 80);
        struct fake_stream *stream;
        rit_stream ids[3];
        int more;
        net.way = WAYS[i];
        net.calls = 0;
        ids[0] = incoming(offer)->id;
        fake.now_us += 4 * SECOND_US - 1;
        steps(2);
        CHECK(net.calls == 1 && !fake_stream(ids[0])->is_released);
        fake.now_us += 1;
        steps(2);
        CHECK(fake_stream(ids[0])->refusal == RIT_REFUSED_SERVICE && offer->is_silent);
        for (more = 0; more < 3; more++)
            ids[more] = incoming(offer)->id;
        /* A refusal has answered before the next one comes. */
        CHECK(net.calls == (WAYS[i] == FILTERED ? 2u : 4u));
        fake.now_us += 4 * SECOND_US;
        steps(2);
        for (more = 0; more < 3; more++) {
            stream = fake_stream(ids[more]);
            CHECK(stream->refusal == RIT_REFUSED_SERVICE);
        }
        CHECK(rit_posix_withdraw(port, RIT_SERVICE_TCP, "web.it") == RIT_OK);
    }
    for (i = 0; i < 3; i++)
        CHECK(close(fds[i]) == 0);
}

static void found_again(void) {
    int listening = serve(SOCK_STREAM, &net.number);
    struct ritp_offer *offer;
    rit_stream first, second;

    allow("203.0.113.0/24", 80, 80);
    offer = neighbour(HOST, 80);
    offer->is_silent = 1;
    net.way = TAKEN;
    first = fake_incoming(1, offer->id);
    second = fake_incoming(1, offer->id);
    steps(2);
    wait_for(&fake_stream(first)->is_accepted);
    wait_for(&fake_stream(second)->is_accepted);
    CHECK(net.calls == 2 && !offer->is_silent);
    CHECK(close(listening) == 0);
}

static void limits_of_a_service(void) {
    int listening = serve(SOCK_STREAM, &net.number), i;
    const struct ritp_offer *offer;
    struct fake_stream *stream;
    rit_stream first = 0;

    allow("203.0.113.0/24", 80, 80);
    CHECK(rit_posix_neighbour_limits(port, 5, 100) == RIT_OK);
    offer = neighbour(HOST, 80);
    net.way = TAKEN;
    for (i = 0; i < 3; i++) {
        stream = incoming(offer);
        first = i == 0 ? stream->id : first;
        wait_for(&stream->is_accepted);
    }
    /* One session has no more than half, and leaves the others theirs. */
    CHECK(incoming(offer)->refusal == RIT_REFUSED_LIMIT && net.calls == 3);
    for (i = 0; i < 2; i++) {
        stream = incoming_of(2, offer);
        wait_for(&stream->is_accepted);
    }
    CHECK(incoming_of(2, offer)->refusal == RIT_REFUSED_LIMIT && net.calls == 5);
    fake_push(RIT_EVENT_STREAM_RESET, 1, first, 0);
    steps(2);
    stream = incoming(offer);
    wait_for(&stream->is_accepted);
    CHECK(incoming(offer)->refusal == RIT_REFUSED_LIMIT && net.calls == 6);
    CHECK(close(listening) == 0);
}

static void so_many_in_a_second(void) {
    const struct ritp_offer *offer;
    int i;

    allow("203.0.113.0/24", 80, 80);
    CHECK(rit_posix_neighbour_limits(port, 1000, 4) == RIT_OK);
    offer = neighbour(HOST, 80);
    net.way = REFUSED;
    for (i = 0; i < 4; i++)
        CHECK(!incoming(offer)->is_released);
    CHECK(incoming(offer)->refusal == RIT_REFUSED_LIMIT && net.calls == 4);
    fake.now_us += SECOND_US / 4 - 1;
    CHECK(incoming(offer)->refusal == RIT_REFUSED_LIMIT && net.calls == 4);
    fake.now_us += 1;
    CHECK(!incoming(offer)->is_released && net.calls == 5);
    CHECK(incoming(offer)->refusal == RIT_REFUSED_LIMIT);
    /* What was not used in a long time is no more than one second's. */
    fake.now_us += 3600u * (uint64_t)SECOND_US;
    for (i = 0; i < 4; i++)
        CHECK(!incoming(offer)->is_released);
    CHECK(incoming(offer)->refusal == RIT_REFUSED_LIMIT && net.calls == 9);
}

static void withdrawn_while_it_is_used(void) {
    int listening = serve(SOCK_STREAM, &net.number), fd;
    const struct ritp_offer *offer;
    struct fake_stream *stream;
    rit_service_id id;
    uint8_t byte;

    allow("203.0.113.0/24", 80, 80);
    offer = neighbour(HOST, 80);
    id = offer->id;
    net.way = TAKEN;
    stream = incoming(offer);
    wait_for(&stream->is_accepted);
    fd = accept(listening, NULL, NULL);
    CHECK(rit_posix_withdraw(port, RIT_SERVICE_UDP, "web.it") == RIT_POSIX_ERR_SERVICE);
    CHECK(rit_posix_withdraw(port, RIT_SERVICE_TCP, "web.it") == RIT_OK);
    CHECK(stream->is_released && fake.withdrawn == 1 && port->offers == NULL);
    CHECK(recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET);
    fake_incoming(1, id);
    steps(2);
    CHECK(fake_stream(stream->id + 1)->refusal == RIT_REFUSED_UNKNOWN);
    CHECK(close(fd) == 0 && close(listening) == 0);
}

/* ---- names */

static void look_is_over(const struct ritp_offer *offer) {
    int i;

    for (i = 0; i < 2000 && offer->look_fd >= 0; i++) {
        (void)poll(NULL, 0, 1);
        steps(1);
    }
    CHECK(offer->look_fd < 0);
}

static void names_that_lead_elsewhere(void) {
    struct ritp_offer *offer;

    fake.names_asked = 0;
    allow("203.0.113.0/24", 80, 80);
    fake.names_answer = "127.0.0.1";
    CHECK(!offered("neighbour.example", 80) && fake.names_asked == 1);
    fake.names_answer = HOST;
    CHECK(!offered("neighbour.example", 81));
    offer = neighbour("neighbour.example", 80);
    CHECK(fake.names_asked == 3 && offer->address_count == 1);
    net.way = REFUSED;
    CHECK(!incoming(offer)->is_released && net.calls == 1);
    look_is_over(offer);
    CHECK(fake.names_asked == 4 && offer->address_count == 1);
    /* At most once in a minute. */
    fake.names_answer = "169.254.169.254";
    fake.now_us += 60 * SECOND_US - 1;
    (void)incoming(offer);
    CHECK(fake.names_asked == 4 && offer->look_fd < 0 && net.calls == 2);
    fake.now_us += 1;
    (void)incoming(offer);
    look_is_over(offer);
    CHECK(fake.names_asked == 5 && offer->address_count == 0 && net.calls == 3);
    (void)incoming(offer);
    CHECK(net.calls == 3);
    /* Back where it may be. */
    fake.names_answer = "203.0.113.21";
    fake.now_us += 60 * SECOND_US;
    (void)incoming(offer);
    look_is_over(offer);
    (void)incoming(offer);
    CHECK(fake.names_asked == 6 && net.calls == 4);
    CHECK(net.last.sin_addr.s_addr == inet_addr("203.0.113.21"));
    /* No answer changes nothing. */
    fake.names_answer = "no address";
    fake.now_us += 60 * SECOND_US;
    (void)incoming(offer);
    look_is_over(offer);
    CHECK(fake.names_asked == 7 && offer->address_count == 1);
    /* Nothing waits for one: connections go on, and the port may be freed. */
    fake.names_wait = 1;
    fake.now_us += 60 * SECOND_US;
    (void)incoming(offer);
    (void)incoming(offer);
    CHECK(offer->look_fd >= 0 && net.calls == 7);
    /* Nor does offering: what the name leads to is judged when it is known. */
    CHECK(rit_posix_offer_neighbour(port, RIT_SERVICE_TCP, "late.it", "neighbour.example", 80) ==
          RIT_OK);
    offer = port->offers;
    CHECK(offer->address_count == 0 && offer->look_fd >= 0);
    (void)incoming(offer);
    CHECK(net.calls == 7);
    fake.names_answer = HOST;
    fake.names_wait = 0;
    look_is_over(offer);
    CHECK(offer->address_count == 1);
    (void)incoming(offer);
    CHECK(net.calls == 8);
    fake.names_wait = 1;
    fake.now_us += 60 * SECOND_US;
    (void)incoming(offer);
    CHECK(offer->look_fd >= 0);
}

/* ---- UDP */

static void a_udp_neighbour(void) {
    int serving = serve(SOCK_DGRAM, &net.number), i;
    const struct ritp_offer *offer;
    uint8_t bytes[16];
    rit_flow flow = 0;

    allow("203.0.113.0/24", 53, 53);
    CHECK(rit_posix_neighbour_limits(port, 4, 100) == RIT_OK);
    CHECK(rit_posix_offer_neighbour(port, RIT_SERVICE_UDP, "dns.it", "127.0.0.1", 53) ==
          RIT_POSIX_ERR_NOT_ALLOWED);
    CHECK(rit_posix_offer_neighbour(port, RIT_SERVICE_UDP, "dns.it", HOST, 53) == RIT_OK);
    offer = port->offers;
    net.way = TAKEN;
    for (i = 0; i < 2; i++) {
        flow = fake_flow_incoming(fake.last_session, offer->id);
        steps(2);
        CHECK(fake_flow(flow)->is_accepted);
    }
    i = (int)fake_flow_incoming(fake.last_session, offer->id);
    steps(2);
    CHECK(fake_flow((rit_flow)i)->refusal == RIT_REFUSED_LIMIT);
    /* One that was not used for a while makes room. */
    fake.now_us += 5 * SECOND_US - 1;
    fake_message(flow, "ask", 3);
    steps(2);
    CHECK(recv(serving, bytes, sizeof bytes, 0) == 3);
    i = (int)fake_flow_incoming(fake.last_session, offer->id);
    steps(2);
    CHECK(fake_flow((rit_flow)i)->refusal == RIT_REFUSED_LIMIT);
    fake.now_us += 1;
    i = (int)fake_flow_incoming(fake.last_session, offer->id);
    steps(2);
    CHECK(fake_flow((rit_flow)i)->is_accepted);
    CHECK(fake_flow(flow - 1)->is_closed && !fake_flow(flow)->is_closed);
    fake_message(flow, "ask", 3);
    steps(2);
    CHECK(recv(serving, bytes, sizeof bytes, 0) == 3);
    /* Its port is closed: nobody is told. */
    CHECK(close(serving) == 0);
    for (i = 0; i < 4; i++) {
        fake_message(flow, "ask", 3);
        steps(3);
        (void)poll(NULL, 0, 1);
    }
    CHECK(!fake_flow(flow)->is_closed);
    /* A rule that is gone. */
    CHECK(rit_posix_neighbour_disallow(port, "203.0.113.0/24", 53, 53) == RIT_OK);
    CHECK(rit_posix_neighbour_limits(port, 19, 100) == RIT_OK);
    i = (int)fake_flow_incoming(fake.last_session, offer->id);
    steps(2);
    CHECK(fake_flow((rit_flow)i)->refusal == RIT_REFUSED_SERVICE);
    CHECK(rit_posix_withdraw(port, RIT_SERVICE_UDP, "dns.it") == RIT_OK);
    CHECK(fake_flow(flow)->is_closed && fake.withdrawn == 1);
}

int main(int argc, char **argv) {
    static void (*const TESTS[])(void) = {rules_are_addresses, prefixes_and_ports_at_their_edges,
        never_whatever_the_rules, what_cannot_be_offered, a_rule_counts_at_each_connection,
        silent_neighbours_look_alike, found_again, limits_of_a_service, so_many_in_a_second,
        withdrawn_while_it_is_used, names_that_lead_elsewhere, a_udp_neighbour};
    size_t i;

    CHECK(argc == 2);
    state_dir = argv[1];
    for (i = 0; i < sizeof TESTS / sizeof *TESTS; i++) {
        begin();
        TESTS[i]();
        end();
        fake.names_wait = 0;
    }
    printf("test_neighbours: %u tests passed\n", (unsigned)i);
    return 0;
}
