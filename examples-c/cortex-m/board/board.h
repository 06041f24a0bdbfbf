/* board.h: what an image asks of its board, here ARM's MPS2 with FPGA image AN385 (Cortex-M3) or
 * AN386 (Cortex-M4F) as qemu-system-arm has them. Knows nothing of a TCP/IP stack, an RTOS or
 * librit, so that each image builds on the same files:
 *
 *   mps2.ld     where code, data, heap and stack lie
 *   startup.c   vector table, reset, faults, stack painting
 *   clock.c     microseconds, the 1 ms tick, sleep
 *   uart.c      log, keys, entropy
 *   lan9118.c   Ethernet frames
 *   semihost.c  options, storage and exit status by semihosting
 *
 * Nothing here blocks but where it says so. No function may be called from an interrupt unless its
 * comment says so. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

/* startup.c ------------------------------------------------------------------------------------ */

/* The image's own; what it returns is the exit status. Everything below works already. */
int main(void);

/* Bytes of the main stack that were ever used, and what there are. With an RTOS this is the stack
 * of interrupts and of what ran before its first task. */
size_t board_stack_peak(void);
size_t board_stack_size(void);

/* RAM that nothing else uses, from the end of .bss to the stack: for an arena. */
extern uint8_t board_heap_start[], board_heap_end[];

/* clock.c -------------------------------------------------------------------------------------- */

/* Called by start-up. */
void board_clock_start(void);

/* Microseconds since reset. In an interrupt, too. */
uint64_t board_now_us(void);

/* A counter at BOARD_TICK_HZ that wraps. Under QEMU's -icount shift=0 an instruction takes 1 ns, so
 * a tick is 40 instructions, the same in each run. In an interrupt, too. */
#define BOARD_TICK_HZ 25000000u
uint32_t board_ticks(void);

/* Keeps the clock going; wants to be called at least once in 2 minutes. SysTick_Handler, which an
 * RTOS may replace, does. In an interrupt, too. */
void board_clock_tick(void);

/* Sleeps until the next interrupt, which is a frame or the next tick of 1 ms; not at all if a frame
 * came since board_net_next said that there is none. */
void board_sleep(void);

/* uart.c --------------------------------------------------------------------------------------- */

/* Called by start-up. */
void board_uart_start(void);

/* A line of log to UART 0; waits until it is out. Knows %s %c %d %u %x %08x, l before d u x, and
 * %%. In an interrupt, too, though lines may mix. */
void board_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The next byte typed at UART 0, or -1. */
int board_key(void);

/* The boards have no generator: UART 1 stands in for one, with the host's generator behind it. 0,
 * or -1 where nothing comes for a second; waits that long at most for each byte. */
int board_entropy(uint8_t *out, size_t len);

/* lan9118.c ------------------------------------------------------------------------------------ */

/* Longest frame without its checksum. */
#define BOARD_FRAME_MAX 1514

/* Brings the chip up; mac gets its address. 0, or -1 where there is no such chip. */
int board_net_start(uint8_t mac[6]);

/* Length of the frame that came next, without its checksum; 0 if there is none. Then its bytes, in
 * as many pieces as wanted, and the end, which drops what was not read. */
size_t board_net_next(void);
void board_net_read(void *to, size_t len);
void board_net_end(void);

/* Begins to send a frame of len bytes; 0, or -1 where the chip has no room now. Then its bytes, in
 * as many pieces as wanted, all of them: with the last, it goes. */
int board_net_begin(size_t len);
void board_net_write(const void *from, size_t len);

/* An image may define it: called in the interrupt that says a frame came, which does not come again
 * before board_net_next found no frame. */
void board_on_frame(void);

/* semihost.c ----------------------------------------------------------------------------------- */

/* The value of name=value among the words of -semihosting-config arg=...; 0, or -1 where it is
 * absent or longer than cap - 1. */
int board_option(const char *name, char *out, size_t cap);

/* What is stored under a number, in a file on the host that stands for flash: its length, 0 if
 * nothing ever was, -1 on failure. A store replaces it all or not at all: 0, or -1. */
int32_t board_load(uint32_t slot, uint8_t *buf, size_t cap);
int32_t board_store(uint32_t slot, const uint8_t *buf, size_t len);

/* Ends QEMU with this exit status, 0 to 255. */
void board_exit(int status) __attribute__((noreturn));

#endif
