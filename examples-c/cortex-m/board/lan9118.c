/* lan9118.c: SMSC's LAN9118 Ethernet controller, polled, with an interrupt that ends sleep.
 *
 * Moves bytes between the chip's FIFOs and memory. The FIFOs are a word wide; frames are read and
 * written in pieces of any length, such as a chain of a stack's buffers. Nothing is allocated. */
#include "board.h"

#include <string.h>

#define REG(offset) (*(volatile uint32_t *)(0x40200000u + (offset)))
#define RX_DATA REG(0x00)
#define TX_DATA REG(0x20)
#define RX_STATUS REG(0x40)
#define TX_STATUS REG(0x48)
#define INT_CFG REG(0x54)
#define INT_STATUS REG(0x58)
#define INT_ENABLE REG(0x5C)
#define BYTE_TEST REG(0x64)
#define FIFO_LEVELS REG(0x68)
#define TX_CFG REG(0x70)
#define HW_CFG REG(0x74)
#define RX_FIFO_INFO REG(0x7C)
#define TX_FIFO_INFO REG(0x80)
#define MAC_COMMAND REG(0xA4)
#define MAC_DATA REG(0xA8)

#define INT_RX_STATUS_LEVEL (1u << 3)
#define RX_ERROR (1u << 15)
#define MAC_BUSY (1u << 31)
#define MAC_READ (1u << 30)
#define MAC_CR 1u
#define MAC_ADDRESS_HIGH 2u
#define MAC_ADDRESS_LOW 3u
#define CHECKSUM_LEN 4u
#define IRQ_BIT (1u << 13)
#define NVIC_ENABLE (*(volatile uint32_t *)0xE000E100)
#define PATIENCE 1000000u

void Ethernet_Handler(void);

/* Bytes of a word between FIFO and pieces: those of a read word not given out yet, or those of a
 * word not complete yet; and the bytes of the frame still to come. */
struct pieces {
    uint8_t word[4];
    size_t held;
    size_t left;
};

static struct pieces rx, tx;

static int wait_clear(volatile uint32_t *reg, uint32_t bits) {
    uint32_t i;

    for (i = 0; i < PATIENCE; i++) {
        if ((*reg & bits) == 0)
            return 0;
    }
    return -1;
}

static uint32_t mac_read(uint32_t reg) {
    MAC_COMMAND = MAC_BUSY | MAC_READ | reg;
    return wait_clear(&MAC_COMMAND, MAC_BUSY) == 0 ? MAC_DATA : 0;
}

static void mac_write(uint32_t reg, uint32_t value) {
    MAC_DATA = value;
    MAC_COMMAND = MAC_BUSY | reg;
    (void)wait_clear(&MAC_COMMAND, MAC_BUSY);
}

int board_net_start(uint8_t mac[6]) {
    uint32_t low, high;

    if (BYTE_TEST != 0x87654321u)
        return -1;
    HW_CFG = 1; /* soft reset */
    if (wait_clear(&HW_CFG, 1) != 0)
        return -1;
    HW_CFG = (1u << 20) | (5u << 16); /* must be one; 5 KB of the FIFO memory to send */
    low = mac_read(MAC_ADDRESS_LOW);
    high = mac_read(MAC_ADDRESS_HIGH);
    mac[0] = (uint8_t)low;
    mac[1] = (uint8_t)(low >> 8);
    mac[2] = (uint8_t)(low >> 16);
    mac[3] = (uint8_t)(low >> 24);
    mac[4] = (uint8_t)high;
    mac[5] = (uint8_t)(high >> 8);
    TX_CFG = 1u << 1;                                        /* sender on */
    mac_write(MAC_CR, (1u << 20) | (1u << 3) | (1u << 2));   /* full duplex, both ways */
    FIFO_LEVELS = 0;                                         /* interrupt: one frame or more */
    INT_STATUS = 0xFFFFFFFFu;
    INT_CFG = (1u << 8) | (1u << 4) | 1u; /* line on, active high, push-pull */
    INT_ENABLE = INT_RX_STATUS_LEVEL;
    NVIC_ENABLE = IRQ_BIT;
    memset(&rx, 0, sizeof rx);
    memset(&tx, 0, sizeof tx);
    return 0;
}

/* The level stays up until the frames are read, so it is masked until then. */
void Ethernet_Handler(void) {
    INT_ENABLE = 0;
    INT_STATUS = INT_RX_STATUS_LEVEL;
    board_on_frame();
}

static int has_frames(void) { return (RX_FIFO_INFO & 0x00FF0000u) != 0; }

size_t board_net_next(void) {
    while (has_frames()) {
        uint32_t status = RX_STATUS, len = (status >> 16) & 0x3FFFu;

        rx.left = len;
        rx.held = 0;
        if ((status & RX_ERROR) == 0 && len > CHECKSUM_LEN)
            return len - CHECKSUM_LEN;
        board_net_end();
    }
    INT_STATUS = INT_RX_STATUS_LEVEL;
    INT_ENABLE = INT_RX_STATUS_LEVEL;
    return 0;
}

/* Gives out what is left of the word that was read last: at the front of it are those given. */
static uint8_t *drain(uint8_t *to, size_t *len) {
    while (rx.held > 0 && *len > 0) {
        *to++ = rx.word[4 - rx.held];
        rx.held--;
        rx.left--;
        --*len;
    }
    return to;
}

void board_net_read(void *out, size_t len) {
    uint8_t *to = out;

    if (len > rx.left)
        len = rx.left;
    to = drain(to, &len);
    while (len >= 4) {
        uint32_t word = RX_DATA;
        memcpy(to, &word, 4);
        to += 4;
        len -= 4;
        rx.left -= 4;
    }
    if (len > 0) {
        uint32_t word = RX_DATA;
        memcpy(rx.word, &word, 4);
        rx.held = 4;
        (void)drain(to, &len);
    }
}

void board_net_end(void) {
    /* The bytes held are of a word that is out of the FIFO already. */
    size_t words = rx.left <= rx.held ? 0 : (rx.left - rx.held + 3) / 4;

    while (words-- > 0)
        (void)RX_DATA;
    rx.left = 0;
    rx.held = 0;
}

int board_net_begin(size_t len) {
    while (TX_FIFO_INFO & 0x00FF0000u)
        (void)TX_STATUS; /* what became of former frames: a lost one is the protocols' business */
    if (len > BOARD_FRAME_MAX || len == 0 || (TX_FIFO_INFO & 0xFFFFu) < len + 16)
        return -1;
    TX_DATA = (1u << 13) | (1u << 12) | (uint32_t)len; /* first and last piece */
    TX_DATA = (uint32_t)len;
    tx.left = len;
    tx.held = 0;
    return 0;
}

void board_net_write(const void *bytes, size_t len) {
    const uint8_t *from = bytes;
    uint32_t word;

    if (len > tx.left)
        len = tx.left;
    tx.left -= len;
    while (len > 0) {
        if (tx.held == 0 && len >= 4) {
            memcpy(&word, from, 4);
            TX_DATA = word;
            from += 4;
            len -= 4;
            continue;
        }
        tx.word[tx.held++] = *from++;
        len--;
        if (tx.held == 4 || (len == 0 && tx.left == 0)) {
            memcpy(&word, tx.word, 4);
            TX_DATA = word;
            tx.held = 0;
        }
    }
}

void board_sleep(void) {
    /* With interrupts held back, one that is due ends the sleep all the same and is served after
     * it: none can slip in between the look and the sleep. */
    __asm volatile("cpsid i" ::: "memory");
    if (!has_frames())
        __asm volatile("dsb\n wfi" ::: "memory");
    __asm volatile("cpsie i\n isb" ::: "memory");
}
