/* The self-test finds what is wrong with a port, and nothing else: a port that is right passes, and
 * each fault that is ordered gives its own code alone. Time is made up. */
#include "fake.h"

#define QUEUE_MAX 32
#define TICK_US 400   /* a reading of the clock takes that long */
#define TURN_US 1000  /* a turn of the main loop */

enum fault {
    NONE,
    CLOCK_BACK, CLOCK_STILL, CLOCK_MS, CLOCK_SECONDS, CLOCK_CYCLES, CLOCK_32_BITS, CLOCK_HALVES,
    ENTROPY_FAILS, ENTROPY_NOTHING, ENTROPY_WORDS, ENTROPY_LONG, ENTROPY_CONSTANT, ENTROPY_STUCK,
    ENTROPY_OLD, ENTROPY_TEXT, ENTROPY_SEEDED,
    TIMER_NEVER, TIMER_MS, TIMER_TICKS, TIMER_FIRST, TIMER_ON, TIMER_32_US, TIMER_32_MS, TIMER_FUTURE,
    TIMER_INSIDE,
    LOAD_FAILS, STORE_FAILS, STORE_LENGTH, STORE_SMALL, SLOT_ERASED, SLOT_WHOLE, SLOT_BITS,
    SLOT_GONE, SLOT_SECTOR,
    SEND_NOTHING, SEND_FAILS, SEND_LENGTH, SEND_MTU, SEND_MTU_SAID, SEND_KEPT, SEND_INSIDE,
    IN_CUT, IN_HEADER, IN_PADDING, IN_BIT, IN_TWICE, IN_PORT, IN_IP, IN_IP_FRONT, IN_IP_BARE,
    IN_SENDER, IN_INTERFACE, IN_SOCKET, IN_PORT_0, IN_SIZE_0, IN_MORE, BATCH_GLUED,
    AES_WRONG, CHACHA_WRONG, X25519_WRONG,
    FAULTS
};

/* What must be found. */
static const uint32_t WANTED[FAULTS] = {
    0,
    RIT_SELFTEST_CLOCK_BACK, RIT_SELFTEST_CLOCK_STILL, RIT_SELFTEST_CLOCK_SLOW,
    RIT_SELFTEST_CLOCK_SLOW, RIT_SELFTEST_CLOCK_FAST, RIT_SELFTEST_CLOCK_WRAPS,
    RIT_SELFTEST_CLOCK_LEAPS,
    RIT_SELFTEST_ENTROPY_FAILS, RIT_SELFTEST_ENTROPY_SHORT, RIT_SELFTEST_ENTROPY_SHORT,
    RIT_SELFTEST_ENTROPY_LONG, RIT_SELFTEST_ENTROPY_CONSTANT, RIT_SELFTEST_ENTROPY_REPEATS,
    RIT_SELFTEST_ENTROPY_REPEATS, RIT_SELFTEST_ENTROPY_BIASED, RIT_SELFTEST_ENTROPY_RESET,
    RIT_SELFTEST_TIMER_NEVER, RIT_SELFTEST_TIMER_EARLY, RIT_SELFTEST_TIMER_LATE,
    RIT_SELFTEST_TIMER_NOT_REPLACED, RIT_SELFTEST_TIMER_NOT_STOPPED, RIT_SELFTEST_TIMER_CUT,
    RIT_SELFTEST_TIMER_CUT, RIT_SELFTEST_TIMER_PAST, RIT_SELFTEST_REENTRY,
    RIT_SELFTEST_STORAGE_LOAD, RIT_SELFTEST_STORAGE_STORE, RIT_SELFTEST_STORAGE_STORE,
    RIT_SELFTEST_STORAGE_STORE, RIT_SELFTEST_STORAGE_NOT_EMPTY, RIT_SELFTEST_STORAGE_LENGTH,
    RIT_SELFTEST_STORAGE_DIFFERS, RIT_SELFTEST_STORAGE_FORGETS, RIT_SELFTEST_STORAGE_MIXED,
    RIT_SELFTEST_SOCKET_SILENT, RIT_SELFTEST_SOCKET_SEND, RIT_SELFTEST_SOCKET_SEND_LENGTH,
    RIT_SELFTEST_SOCKET_SIZE, RIT_SELFTEST_SOCKET_SEND, RIT_SELFTEST_SOCKET_KEPT,
    RIT_SELFTEST_REENTRY,
    RIT_SELFTEST_SOCKET_CUT, RIT_SELFTEST_SOCKET_LONG, RIT_SELFTEST_SOCKET_LONG,
    RIT_SELFTEST_SOCKET_ALTERED, RIT_SELFTEST_SOCKET_TWICE, RIT_SELFTEST_SOCKET_PORT_ORDER,
    RIT_SELFTEST_SOCKET_IP_ORDER, RIT_SELFTEST_SOCKET_IP_FORM, RIT_SELFTEST_SOCKET_IP_FORM,
    RIT_SELFTEST_SOCKET_FROM, RIT_SELFTEST_SOCKET_INTERFACE, RIT_SELFTEST_SOCKET_NUMBER,
    RIT_SELFTEST_SOCKET_PATH, RIT_SELFTEST_SOCKET_PATH, RIT_SELFTEST_SOCKET_RECV,
    RIT_SELFTEST_SOCKET_BATCH,
    RIT_SELFTEST_CRYPTO_AES_GCM, RIT_SELFTEST_CRYPTO_CHACHA20, RIT_SELFTEST_CRYPTO_X25519,
};

struct datagram {
    uint8_t bytes[4096];
    const uint8_t *kept;
    size_t len;
};

struct board {
    enum fault fault;
    rit_selftest *test;
    uint64_t now_us, readings;
    uint64_t noise;
    uint8_t old[32];
    unsigned draws;
    /* the deadline that the port believes in; UINT64_MAX: none */
    uint64_t timer_us;
    uint8_t slots[4][RIT_SLOT_MAX];
    int32_t held[4];
    unsigned stored;
    struct datagram queue[QUEUE_MAX];
    unsigned first, queued, lost_of_burst;
    struct rit_path echo;
    /* what was found */
    uint32_t codes[64];
    int64_t values[64], wanted[64];
    unsigned faults, notes;
};

static uint64_t now_us(void *ctx) {
    struct board *board = (struct board *)ctx;
    uint64_t now;
    board->now_us += TICK_US;
    board->readings++;
    now = board->now_us;
    switch (board->fault) {
    case CLOCK_BACK: return board->readings % 1000 == 999 ? now - 3 * TICK_US : now;
    case CLOCK_STILL: return 77;
    case CLOCK_MS: return now / 1000;
    case CLOCK_SECONDS: return now / 1000000;
    case CLOCK_CYCLES: return now * 1000;
    case CLOCK_32_BITS: return (uint32_t)now;
    case CLOCK_HALVES: return board->readings % 500 == 499 ? now + (UINT64_C(1) << 32) : now;
    default: return now;
    }
}

static int32_t entropy(void *ctx, uint8_t *out, size_t len) {
    struct board *board = (struct board *)ctx;
    uint64_t noise = board->noise;
    size_t i, end = len;
    CHECK(len == 32);
    board->draws++;
    if (board->fault == ENTROPY_FAILS && board->draws == 5) return -7;
    if (board->fault == ENTROPY_NOTHING) return 0;
    if (board->fault == ENTROPY_WORDS) end = len - 3;
    if (board->fault == ENTROPY_LONG) end = len + 1;
    for (i = 0; i < end; i++) {
        uint8_t byte = (uint8_t)fake_random(&noise);
        if (board->fault == ENTROPY_CONSTANT) byte = 0;
        if (board->fault == ENTROPY_TEXT) byte = (uint8_t)('a' + byte % 16);
        out[i] = byte;
    }
    if (board->fault != ENTROPY_STUCK) board->noise = noise;
    if (board->fault == ENTROPY_OLD && board->draws == 40) memcpy(out, board->old, len);
    if (board->draws == 7) memcpy(board->old, out, len);
    return 0;
}

static void set_timer(void *ctx, uint64_t deadline_us) {
    struct board *board = (struct board *)ctx;
    uint64_t now = board->now_us, in_us = deadline_us > now ? deadline_us - now : 0;
    int is_none = deadline_us == UINT64_MAX;
    switch (board->fault) {
    case TIMER_NEVER: return;
    case TIMER_MS: in_us /= 1000; break;
    case TIMER_TICKS: in_us *= 10; break;
    case TIMER_FIRST:
        if (board->timer_us != UINT64_MAX && !is_none) return;
        break;
    case TIMER_ON:
        if (is_none) return;
        break;
    case TIMER_32_US: in_us = (uint32_t)in_us; break;
    case TIMER_32_MS: in_us = (uint64_t)(uint32_t)(in_us / 1000) * 1000; break;
    case TIMER_FUTURE:
        if (in_us == 0) is_none = 1;
        break;
    case TIMER_INSIDE:
        if (in_us == 0) ANSWERS(RIT_ERR_REENTRY, rit_selftest_timeout(board->test));
        if (in_us == 0) is_none = 1;
        break;
    default: break;
    }
    board->timer_us = is_none ? UINT64_MAX : now + in_us;
}

static int32_t load(void *ctx, uint32_t slot, uint8_t *buf, size_t cap) {
    struct board *board = (struct board *)ctx;
    CHECK(slot >= 1 && slot <= 3 && cap == RIT_SLOT_MAX);
    if (board->fault == LOAD_FAILS) return -5;
    if (board->fault == SLOT_ERASED && board->held[slot] == 0) {
        memset(buf, 0xff, cap);
        return (int32_t)cap;
    }
    memcpy(buf, board->slots[slot], (size_t)board->held[slot]);
    if (board->fault == SLOT_WHOLE && board->held[slot] > 0) return RIT_SLOT_MAX;
    return board->held[slot];
}

static int32_t store(void *ctx, uint32_t slot, const uint8_t *buf, size_t len) {
    struct board *board = (struct board *)ctx;
    CHECK(slot == RIT_SLOT_SELFTEST && len <= RIT_SLOT_MAX);
    board->stored++;
    if (board->fault == STORE_FAILS || (board->fault == STORE_SMALL && len > 256)) return -6;
    memcpy(board->slots[slot], buf, len);
    board->held[slot] = (int32_t)len;
    if (board->fault == SLOT_BITS && len > 50) {
        size_t i; /* not erased before */
        for (i = 0; i < 50; i++) board->slots[slot][i] &= 0x0f;
    }
    if (board->fault == SLOT_SECTOR) board->slots[RIT_SLOT_IDENTITY][0] = 0xff;
    return board->fault == STORE_LENGTH ? (int32_t)len : 0;
}

static void enqueue(struct board *board, const uint8_t *pkt, size_t len) {
    struct datagram *to = &board->queue[(board->first + board->queued) % QUEUE_MAX];
    CHECK(board->queued < QUEUE_MAX && len <= sizeof(to->bytes) - 16);
    board->queued++;
    to->kept = board->fault == SEND_KEPT ? pkt : NULL;
    to->len = len;
    memset(to->bytes, 0, sizeof(to->bytes));
    if (board->fault == IN_HEADER && len > 100) {
        memcpy(to->bytes + 8, pkt, len);
        to->len += 8;
        return;
    }
    memcpy(to->bytes, pkt, len);
    if (board->fault == IN_PADDING && len > 100) to->len += 4;
    if (board->fault == IN_CUT && len > 536) to->len = 536;
    if (board->fault == IN_BIT && len > 100) to->bytes[70] ^= 4;
}

static int32_t send_datagram(void *ctx, const struct rit_path *to, const uint8_t *pkt, size_t len) {
    struct board *board = (struct board *)ctx;
    CHECK(memcmp(to->ip, board->echo.ip, 16) == 0 && to->port == board->echo.port);
    if (board->fault == SEND_FAILS) return -11;
    if (board->fault == SEND_NOTHING) return 0;
    if (len > 1400 && board->fault == SEND_MTU) return 0;
    if (len > 1400 && board->fault == SEND_MTU_SAID) return -90;
    if (board->fault == SEND_INSIDE) {
        ANSWERS(RIT_ERR_REENTRY, rit_selftest_receive(board->test, to, pkt, len));
        return 0;
    }
    if (board->lost_of_burst > 0 && len == 500) {
        board->lost_of_burst--;
        return 0;
    }
    enqueue(board, pkt, len);
    if (board->fault == IN_TWICE) enqueue(board, pkt, len);
    return board->fault == SEND_LENGTH ? (int32_t)len : 0;
}

static int32_t send_batch(void *ctx, const struct rit_path *to, const uint8_t *pkts, size_t len,
                          size_t size) {
    struct board *board = (struct board *)ctx;
    size_t at;
    if (board->fault == BATCH_GLUED) return send_datagram(ctx, to, pkts, len);
    for (at = 0; at < len; at += size) {
        int32_t answer = send_datagram(ctx, to, pkts + at, len - at < size ? len - at : size);
        if (answer != 0 && board->fault != SEND_LENGTH) return answer;
    }
    return 0;
}

/* The next datagram of the queue, and what the port believes its sender to be. */
static const struct datagram *dequeue(struct board *board, struct rit_path *from) {
    const struct datagram *datagram = &board->queue[board->first];
    uint8_t ip[16];
    unsigned i;
    board->first = (board->first + 1) % QUEUE_MAX;
    board->queued--;
    *from = board->echo;
    memcpy(ip, from->ip, sizeof(ip));
    switch (board->fault) {
    case IN_PORT: from->port = (uint16_t)(from->port << 8 | from->port >> 8); break;
    case IN_IP:
        for (i = 0; i < 4; i++) from->ip[12 + i] = ip[15 - i];
        break;
    case IN_IP_FRONT:
        memset(from->ip, 0, 16);
        memcpy(from->ip, ip + 12, 4);
        break;
    case IN_IP_BARE: from->ip[10] = from->ip[11] = 0; break;
    case IN_SENDER: from->ip[15]++; break;
    case IN_INTERFACE: from->ifindex = 2; break;
    case IN_SOCKET: from->socket = 1; break;
    case IN_PORT_0: from->port = 0; break;
    case IN_SIZE_0: from->struct_size = 0; break;
    default: break;
    }
    return datagram;
}

static int32_t recv_datagram(void *ctx, struct rit_path *from, uint8_t *buf, size_t cap) {
    struct board *board = (struct board *)ctx;
    const struct datagram *datagram;
    if (board->queued == 0) return 0;
    datagram = dequeue(board, from);
    if (board->fault == IN_MORE && datagram->len == 500) return (int32_t)cap + 1;
    CHECK(datagram->len <= cap);
    memcpy(buf, datagram->kept != NULL ? datagram->kept : datagram->bytes, datagram->len);
    return (int32_t)datagram->len;
}

/* A turn of the main loop. */
static void turn(struct board *board, int is_polled) {
    struct rit_path from;
    board->now_us += TURN_US;
    while (!is_polled && board->queued > 0) {
        const struct datagram *datagram = dequeue(board, &from);
        int32_t answer = rit_selftest_receive(
            board->test, &from, datagram->kept != NULL ? datagram->kept : datagram->bytes,
            datagram->len);
        CHECK(answer == RIT_OK || board->fault == IN_PORT_0 || board->fault == IN_SIZE_0);
    }
    if (board->now_us >= board->timer_us) {
        board->timer_us = UINT64_MAX;
        ANSWERS(RIT_OK, rit_selftest_timeout(board->test));
    }
}

static void fetch(struct board *board) {
    struct rit_finding finding;
    SIZED(finding);
    while (rit_selftest_next(board->test, &finding) == RIT_OK) {
        const char *text = rit_selftest_text(finding.code);
        CHECK(finding.struct_size == sizeof(finding) && finding.code != 0);
        CHECK(strstr(text, "no finding") == NULL && strlen(text) > 20);
        if (finding.code >= RIT_SELFTEST_NOTE) {
            board->notes |= 1u << (finding.code - RIT_SELFTEST_NOTE);
            continue;
        }
        board->codes[board->faults] = finding.code;
        board->values[board->faults] = finding.value;
        board->wanted[board->faults++] = finding.wanted;
    }
}

/* An accelerator that says that all is well, and gives zeros. */
static int32_t aes_block(void *ctx, const uint8_t *key, const uint8_t *block, uint8_t *out) {
    (void)ctx;
    (void)key;
    (void)block;
    memset(out, 0, 16);
    return 0;
}

static int32_t chacha_block(void *ctx, const uint8_t *key, uint32_t counter, const uint8_t *nonce,
                            uint8_t *out) {
    (void)ctx;
    (void)key;
    (void)counter;
    (void)nonce;
    memset(out, 0, 64);
    return 0;
}

static int32_t x25519(void *ctx, const uint8_t *scalar, const uint8_t *point, uint8_t *out) {
    (void)ctx;
    (void)scalar;
    (void)point;
    memset(out, 1, 32);
    return 0;
}

static void init(struct board *board, enum fault fault) {
    memset(board, 0, sizeof(*board));
    board->fault = fault;
    board->now_us = (UINT64_C(1) << 32) - 1000000;
    board->noise = 1;
    board->echo = fake_path(77);
    board->echo.port = 7000;
    board->held[RIT_SLOT_IDENTITY] = 60;
}

static void run(struct board *board, struct rit_selftest_config *config, int is_polled) {
    struct rit_io io;
    struct rit_crypto crypto;
    int32_t err = 1, answer = RIT_ERR_AGAIN;
    unsigned turns;
    SIZED(io);
    SIZED(crypto);
    if (board->fault == AES_WRONG) crypto.aes_block = aes_block;
    if (board->fault == CHACHA_WRONG) crypto.chacha_block = chacha_block;
    if (board->fault == X25519_WRONG) crypto.x25519 = x25519;
    if (board->fault >= AES_WRONG) io.crypto = &crypto;
    io.ctx = board;
    io.now_us = now_us;
    io.entropy = entropy;
    io.send = send_datagram;
    io.send_batch = send_batch;
    io.set_timer = set_timer;
    io.load = load;
    io.store = store;
    if (is_polled) io.recv = recv_datagram;
    board->faults = board->notes = 0;
    board->timer_us = UINT64_MAX;
    board->test = rit_selftest_new(config, &io, &err);
    CHECK(board->test != NULL && err == RIT_OK);
    for (turns = 0; turns < 100000 && answer == RIT_ERR_AGAIN; turns++) {
        turn(board, is_polled);
        answer = rit_selftest_step(board->test);
        fetch(board);
    }
    ANSWERS(RIT_OK, answer);
    ANSWERS(RIT_OK, rit_selftest_step(board->test));
    turn(board, is_polled);
    fetch(board);
    rit_selftest_free(board->test);
}

static struct board board;

static struct rit_selftest_config configure(void) {
    struct rit_selftest_config config;
    SIZED(config);
    config.echo = &board.echo;
    return config;
}

/* Nothing is found, and what could not be tested is said. */
static void check_right_ones(int is_polled) {
    struct rit_selftest_config config = configure();
    init(&board, NONE);
    run(&board, &config, is_polled);
    CHECK(board.faults == 0 && board.notes == 1u << (RIT_SELFTEST_NOTE_RESET - RIT_SELFTEST_NOTE));
    CHECK(board.stored == 5);
    config.is_after_reset = 1;
    config.cpu_mhz = 100;
    config.max_datagram = 512;
    run(&board, &config, is_polled);
    CHECK(board.faults == 0 && board.notes == 0);
    config.echo = NULL;
    board.now_us = 5;
    run(&board, &config, is_polled);
    CHECK(board.faults == 0);
    CHECK(board.notes == (1u << (RIT_SELFTEST_NOTE_SOCKET - RIT_SELFTEST_NOTE) |
                          1u << (RIT_SELFTEST_NOTE_CLOCK - RIT_SELFTEST_NOTE)));
    config.echo = &board.echo;
    board.now_us = UINT64_C(1) << 33;
    board.lost_of_burst = 3;
    run(&board, &config, is_polled);
    CHECK(board.faults == 0);
    CHECK(board.notes == 1u << (RIT_SELFTEST_NOTE_BURST - RIT_SELFTEST_NOTE));
    /* Without a clock nothing can be said of what takes time. */
    init(&board, CLOCK_STILL);
    run(&board, &config, is_polled);
    CHECK(board.notes == 1u << (RIT_SELFTEST_NOTE_AFTER_CLOCK - RIT_SELFTEST_NOTE));
}

static void check_fault(enum fault fault, int is_polled) {
    struct rit_selftest_config config = configure();
    int is_second = fault == ENTROPY_SEEDED || fault == SLOT_GONE;
    if (fault == IN_MORE && !is_polled) return;
    if (fault == IN_SIZE_0 && is_polled) return; /* recv need not fill it in */
    if (fault == CLOCK_CYCLES) config.cpu_mhz = 100;
    init(&board, fault);
    run(&board, &config, is_polled);
    if (is_second) {
        CHECK(board.faults == 0);
        config.is_after_reset = 1;
        board.noise = fault == ENTROPY_SEEDED ? 1 : 2;
        if (fault == SLOT_GONE) memset(board.held, 0, sizeof(board.held));
        run(&board, &config, is_polled);
    }
    if (board.faults != 1 || board.codes[0] != WANTED[fault]) {
        unsigned i;
        fprintf(stderr, "fault %d, polled %d: wanted %lu, found", (int)fault, is_polled,
                (unsigned long)WANTED[fault]);
        for (i = 0; i < board.faults; i++) {
            fprintf(stderr, " %lu (%ld, %ld)", (unsigned long)board.codes[i],
                    (long)board.values[i], (long)board.wanted[i]);
        }
        fprintf(stderr, "\n");
        exit(1);
    }
}

/* Values are those of the code's comment. */
static void check_values(void) {
    static const struct {
        enum fault fault;
        int64_t value, wanted;
    } VALUES[] = {
        {CLOCK_STILL, 77, 0},     {ENTROPY_FAILS, 5, 0},     {ENTROPY_WORDS, 29, 0},
        {ENTROPY_OLD, 40, 0},     {LOAD_FAILS, -5, 0},       {STORE_FAILS, -6, 0},
        {STORE_LENGTH, 100, 0},   {SLOT_ERASED, 512, 0},     {SLOT_WHOLE, 512, 100},
        {SEND_FAILS, -11, 1},     {SEND_LENGTH, 1, 0},       {SEND_MTU, 1452, 0},
        {SEND_MTU_SAID, -90, 1452}, {IN_CUT, 536, 548},      {IN_HEADER, 556, 548},
        {IN_BIT, 70, 548},        {IN_PORT, 0x581b, 7000},   {IN_INTERFACE, 2, 0},
        {IN_IP, 0x4d0200c0, 0xc000024d}, {IN_IP_FRONT, 0, 0}, {IN_IP_BARE, 10, 0},
        {IN_PORT_0, RIT_ERR_ARG, 0}, {TIMER_INSIDE, RIT_SELFTEST_STAGE_TIMER, 0},
        {SEND_INSIDE, RIT_SELFTEST_STAGE_SOCKET, 0},
    };
    unsigned i;
    for (i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
        check_fault(VALUES[i].fault, 0);
        if (board.values[0] != VALUES[i].value || board.wanted[0] != VALUES[i].wanted) {
            fprintf(stderr, "fault %d: value %ld, wanted %ld\n", (int)VALUES[i].fault,
                    (long)board.values[0], (long)board.wanted[0]);
            exit(1);
        }
    }
}

static void check_arguments(void) {
    struct rit_selftest_config config = configure();
    struct rit_path path = fake_path(1);
    struct rit_finding finding;
    struct fake fake;
    struct rit_io io;
    rit_selftest *test;
    int32_t err = 1;
    init(&board, NONE);
    fake_init(&fake, 1);
    io = fake_io(&fake);
    CHECK(rit_selftest_new(&config, NULL, &err) == NULL && err == RIT_ERR_NULL);
    CHECK(rit_selftest_new(&config, NULL, NULL) == NULL);
    config.max_datagram = 511;
    CHECK(rit_selftest_new(&config, &io, &err) == NULL && err == RIT_ERR_ARG);
    config.max_datagram = 0;
    config.reserved = 1;
    CHECK(rit_selftest_new(&config, &io, &err) == NULL && err == RIT_ERR_ARG);
    config.reserved = 0;
    config.is_after_reset = 2;
    CHECK(rit_selftest_new(&config, &io, &err) == NULL && err == RIT_ERR_ARG);
    config.is_after_reset = 0;
    path.port = 0;
    config.echo = &path;
    CHECK(rit_selftest_new(&config, &io, &err) == NULL && err == RIT_ERR_ARG);
    path.port = 7;
    io.send = NULL;
    CHECK(rit_selftest_new(&config, &io, &err) == NULL && err == RIT_ERR_NULL);
    io = fake_io(&fake);
    config.struct_size--;
    CHECK(rit_selftest_new(&config, &io, &err) == NULL && err == RIT_ERR_SIZE);
    test = rit_selftest_new(NULL, &io, &err);
    CHECK(test != NULL && err == RIT_OK);
    SIZED(finding);
    ANSWERS(RIT_ERR_AGAIN, rit_selftest_next(test, &finding));
    ANSWERS(RIT_ERR_NULL, rit_selftest_next(test, NULL));
    finding.struct_size--;
    ANSWERS(RIT_ERR_SIZE, rit_selftest_next(test, &finding));
    ANSWERS(RIT_ERR_NULL, rit_selftest_receive(test, NULL, NULL, 0));
    ANSWERS(RIT_OK, rit_selftest_timeout(test));
    ANSWERS(RIT_ERR_NULL, rit_selftest_step(NULL));
    ANSWERS(RIT_ERR_NULL, rit_selftest_timeout(NULL));
    ANSWERS(RIT_ERR_NULL, rit_selftest_next(NULL, &finding));
    rit_selftest_free(NULL);
    rit_selftest_free(test);
    CHECK(strstr(rit_selftest_text(0), "no finding") != NULL);
    CHECK(strstr(rit_selftest_text(UINT32_MAX), "no finding") != NULL);
}

int main(void) {
    int fault, is_polled;
    check_arguments();
    for (is_polled = 0; is_polled < 2; is_polled++) {
        check_right_ones(is_polled);
        for (fault = NONE + 1; fault < FAULTS; fault++) check_fault((enum fault)fault, is_polled);
    }
    check_values();
    return 0;
}
