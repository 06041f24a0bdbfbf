/* TCP connections, for networks that block UDP: opened by writing, written to as far as they take,
 * closed from either side. */
#include "fake.h"

static struct rit_io tcp_io(struct fake *fake) {
    struct rit_io io = fake_io(fake);
    io.tcp_write = fake_tcp_write;
    io.tcp_close = fake_tcp_close;
    return io;
}

static struct rit_path tls_path(void) {
    struct rit_path path = fake_path(1);
    path.port = 443;
    path.socket = RIT_SOCKET_TLS;
    return path;
}

static void callbacks_come_in_pairs(void) {
    struct fake fake;
    struct rit_io io;
    int32_t err;
    fake_init(&fake, 1);
    io = tcp_io(&fake);
    io.tcp_close = NULL;
    CHECK(rit_node_new(NULL, &io, &err) == NULL && err == RIT_ERR_ARG);
    io = tcp_io(&fake);
    io.tcp_write = NULL;
    CHECK(rit_node_new(NULL, &io, &err) == NULL && err == RIT_ERR_ARG);
}

/* Without the callbacks a path by TCP is none. */
static void without_tcp(void) {
    struct fake fake;
    struct rit_path path = tls_path();
    struct rit_broker broker = fake_broker(&path);
    uint8_t byte = 1;
    fake_init(&fake, 2);
    fake_node(&fake);
    ANSWERS(RIT_ERR_ARG, rit_broker_connect(fake.node, &broker));
    ANSWERS(RIT_ERR_STATE, rit_node_tcp_receive(fake.node, &path, &byte, 1));
    ANSWERS(RIT_ERR_STATE, rit_node_tcp_writable(fake.node, &path));
    ANSWERS(RIT_ERR_STATE, rit_node_tcp_closed(fake.node, &path));
    CHECK(fake.sent == 0);
    rit_node_free(fake.node);
}

static void a_connection(void) {
    struct fake fake;
    struct rit_io io;
    struct rit_path path = tls_path(), udp = fake_path(1);
    struct rit_broker broker = fake_broker(&path);
    uint8_t garbage[20000];
    int32_t err;
    memset(garbage, 0x55, sizeof(garbage));
    fake_init(&fake, 3);
    io = tcp_io(&fake);
    fake.node = rit_node_new(NULL, &io, &err);
    CHECK(fake.node != NULL);
    /* It is being opened, and not asked again until it is there. */
    ANSWERS(RIT_OK, rit_broker_connect(fake.node, &broker));
    CHECK(fake.tcp_writes == 1 && fake.tcp_written == 0 && fake.sent == 0);
    ANSWERS(RIT_OK, rit_node_timeout(fake.node));
    CHECK(fake.tcp_writes == 1);
    /* It takes a little at a time: a ClientHello in a handshake record. */
    fake.tcp_room = 100;
    ANSWERS(RIT_OK, rit_node_tcp_writable(fake.node, &path));
    CHECK(fake.tcp_writes == 2 && fake.tcp_written == 100 && fake.tcp_first == 22);
    fake.tcp_room = 100000;
    ANSWERS(RIT_OK, rit_node_tcp_writable(fake.node, &path));
    CHECK(fake.tcp_writes == 3 && fake.tcp_written > 150 && fake.tcp_written < 1000);
    ANSWERS(RIT_OK, rit_node_tcp_writable(fake.node, &path));
    CHECK(fake.tcp_writes == 3);
    ANSWERS(RIT_ERR_ARG, rit_node_tcp_receive(fake.node, &udp, garbage, 1));
    ANSWERS(RIT_ERR_ARG, rit_node_tcp_writable(fake.node, &udp));
    ANSWERS(RIT_ERR_ARG, rit_node_tcp_closed(fake.node, &udp));
    ANSWERS(RIT_ERR_NULL, rit_node_tcp_receive(fake.node, &path, NULL, 1));
    ANSWERS(RIT_OK, rit_node_tcp_receive(fake.node, &path, NULL, 0));
    CHECK(fake.tcp_closes == 0);
    /* Whoever answers like that is no broker. */
    ANSWERS(RIT_OK, rit_node_tcp_receive(fake.node, &path, garbage, sizeof(garbage)));
    CHECK(fake.tcp_closes == 1);
    ANSWERS(RIT_OK, rit_node_tcp_receive(fake.node, &path, garbage, sizeof(garbage)));
    ANSWERS(RIT_OK, rit_node_tcp_closed(fake.node, &path));
    CHECK(fake.tcp_closes == 1);
    /* The first flight again opens another, which the other end closes. */
    fake.tcp_written = 0;
    fake.now_us += UINT64_C(2000000);
    ANSWERS(RIT_OK, rit_node_timeout(fake.node));
    CHECK(fake.tcp_writes == 4 && fake.tcp_first == 22 && fake.sent == 0);
    ANSWERS(RIT_OK, rit_node_tcp_closed(fake.node, &path));
    /* And one that cannot be opened. */
    fake.tcp_room = -1;
    fake.now_us += UINT64_C(2500000);
    ANSWERS(RIT_OK, rit_node_timeout(fake.node));
    CHECK(fake.tcp_writes == 5 && fake.tcp_closes == 1);
    ANSWERS(RIT_OK, rit_node_timeout(fake.node));
    CHECK(fake.tcp_writes == 5);
    rit_node_free(fake.node);
}

int main(void) {
    callbacks_come_in_pairs();
    without_tcp();
    a_connection();
    return 0;
}
