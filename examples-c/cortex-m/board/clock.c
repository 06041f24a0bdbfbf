/* clock.c: time. A CMSDK timer runs free as the clock; SysTick is the heartbeat that ends sleep.
 *
 * Interrupts that come late or are lost, as they are where the host has no time for QEMU, make the
 * clock no slower: it does not count them. */
#include "board.h"

#define TIMER_CTRL (*(volatile uint32_t *)0x40000000)
#define TIMER_VALUE (*(volatile uint32_t *)0x40000004)
#define TIMER_RELOAD (*(volatile uint32_t *)0x40000008)
#define SYSTICK_CTRL (*(volatile uint32_t *)0xE000E010)
#define SYSTICK_LOAD (*(volatile uint32_t *)0xE000E014)
#define SYSTICK_VALUE (*(volatile uint32_t *)0xE000E018)

#define TICKS_PER_US (BOARD_TICK_HZ / 1000000u)

static uint32_t last_ticks; /* when the clock was read last */
static uint64_t all_ticks;  /* and what it said */

static uint32_t lock(void) {
    uint32_t before;

    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(before)::"memory");
    return before;
}

static void unlock(uint32_t before) {
    __asm volatile("msr primask, %0" ::"r"(before) : "memory");
}

void board_clock_start(void) {
    TIMER_CTRL = 0;
    TIMER_RELOAD = 0xFFFFFFFFu;
    TIMER_VALUE = 0xFFFFFFFFu;
    TIMER_CTRL = 1;
    last_ticks = board_ticks();
    SYSTICK_LOAD = BOARD_TICK_HZ / 1000u - 1;
    SYSTICK_VALUE = 0;
    SYSTICK_CTRL = 7; /* on, with its interrupt, at the core's clock */
}

uint32_t board_ticks(void) { return 0xFFFFFFFFu - TIMER_VALUE; }

uint64_t board_now_us(void) {
    uint32_t before = lock(), ticks = board_ticks();
    uint64_t all;

    all_ticks += ticks - last_ticks;
    last_ticks = ticks;
    all = all_ticks;
    unlock(before);
    return all / TICKS_PER_US;
}

void board_clock_tick(void) { (void)board_now_us(); }
