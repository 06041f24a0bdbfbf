/* uart.c: the CMSDK UARTs. UART 0 is the console, UART 1 the stand-in for an entropy source.
 *
 * Both are polled: a byte is lost where nobody looks in time, which the entropy source, that waits
 * for its reader, does not mind. */
#include "board.h"

#include <stdarg.h>

struct uart {
    volatile uint32_t data, state, ctrl, interrupts, baud_divider;
};

#define CONSOLE ((struct uart *)0x40004000)
#define ENTROPY ((struct uart *)0x40005000)
#define TX_FULL 1u
#define RX_FULL 2u
#define ENTROPY_PATIENCE_US 1000000u

void board_uart_start(void) {
    CONSOLE->baud_divider = 217; /* 115200 bit/s at 25 MHz */
    CONSOLE->ctrl = 3;
    ENTROPY->baud_divider = 217;
    ENTROPY->ctrl = 2;
}

static void put(char c) {
    while (CONSOLE->state & TX_FULL)
        ;
    CONSOLE->data = (uint8_t)c;
}

static void put_text(const char *text) {
    while (*text != '\0')
        put(*text++);
}

static void put_number(unsigned long value, unsigned base, unsigned width) {
    char digits[12];
    unsigned count = 0;

    do {
        unsigned digit = (unsigned)(value % base);
        digits[count++] = (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
        value /= base;
    } while (value != 0);
    while (count < width)
        digits[count++] = '0';
    while (count > 0)
        put(digits[--count]);
}

static void put_signed(long value) {
    if (value < 0)
        put('-');
    put_number(value < 0 ? 0ul - (unsigned long)value : (unsigned long)value, 10, 0);
}

void board_print(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    for (; *format != '\0'; format++) {
        unsigned width = 0;

        if (*format != '%') {
            put(*format);
            continue;
        }
        for (format++; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + (unsigned)(*format - '0');
        if (width > 10)
            width = 10;
        while (*format == 'l' || *format == 'h') /* int and long are the same here */
            format++;
        if (*format == 's')
            put_text(va_arg(arguments, const char *));
        else if (*format == 'c')
            put((char)va_arg(arguments, int));
        else if (*format == 'd' || *format == 'i')
            put_signed(va_arg(arguments, int));
        else if (*format == 'u')
            put_number(va_arg(arguments, unsigned), 10, width);
        else if (*format == 'x' || *format == 'X' || *format == 'p')
            put_number(va_arg(arguments, unsigned), 16, width);
        else if (*format == '\0')
            break;
        else
            put(*format);
    }
    va_end(arguments);
}

int board_key(void) { return CONSOLE->state & RX_FULL ? (int)(CONSOLE->data & 0xFFu) : -1; }

int board_entropy(uint8_t *out, size_t len) {
    while (len > 0) {
        uint64_t began = board_now_us();

        while (!(ENTROPY->state & RX_FULL)) {
            if (board_now_us() - began > ENTROPY_PATIENCE_US)
                return -1;
        }
        *out++ = (uint8_t)ENTROPY->data;
        len--;
    }
    return 0;
}
