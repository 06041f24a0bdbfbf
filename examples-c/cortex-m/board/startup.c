/* startup.c: from reset to main, and what happens when a fault ends the program.
 *
 * Owns the vector table and the painting of the main stack. An RTOS replaces SVC_Handler,
 * PendSV_Handler and SysTick_Handler, which are weak here. */
#include "board.h"

#define VTOR (*(volatile uint32_t *)0xE000ED08)
#define CFSR (*(volatile uint32_t *)0xE000ED28)
#define CPACR (*(volatile uint32_t *)0xE000ED88)
#define STACK_PAINT 0x5AA55AA5u

extern uint32_t board_data_load[], board_data_start[], board_data_end[];
extern uint32_t board_bss_start[], board_bss_end[];
extern uint32_t board_stack_limit[], board_stack_top[];

void Reset_Handler(void);
void Fault_Handler(void);
void board_fault(const uint32_t *frame) __attribute__((noreturn));
void Unexpected_Handler(void);
void SVC_Handler(void) __attribute__((weak, alias("Unexpected_Handler")));
void PendSV_Handler(void) __attribute__((weak, alias("Unexpected_Handler")));
void SysTick_Handler(void);
void Ethernet_Handler(void);

typedef void (*vector)(void);

/* The stack's top is no function, but it is what the core takes from the first entry. */
union entry {
    const void *top;
    vector handler;
};

#define UNUSED {.handler = Unexpected_Handler}

__attribute__((section(".vectors"), used)) static const union entry vectors[16 + 14] = {
    {.top = board_stack_top},
    {.handler = Reset_Handler},
    UNUSED, /* NMI */
    {.handler = Fault_Handler},
    {.handler = Fault_Handler},
    {.handler = Fault_Handler},
    {.handler = Fault_Handler},
    UNUSED, UNUSED, UNUSED, UNUSED,
    {.handler = SVC_Handler},
    UNUSED, UNUSED,
    {.handler = PendSV_Handler},
    {.handler = SysTick_Handler},
    UNUSED, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED, /* interrupts 0 to 12 */
    UNUSED, UNUSED, UNUSED, UNUSED, UNUSED, UNUSED,
    {.handler = Ethernet_Handler}, /* 13 */
};

__attribute__((weak)) void SysTick_Handler(void) { board_clock_tick(); }

/* Without interest in the end of sleep alone, a frame's interrupt has nothing more to do. */
__attribute__((weak)) void board_on_frame(void) {}

/* A plain loop that the compiler may not turn into a call of memset: this is the stack it would
 * run on. */
static void paint_stack(void) {
    volatile uint32_t *word = board_stack_limit;
    volatile uint32_t *here = __builtin_frame_address(0);

    while (word < here - 16)
        *word++ = STACK_PAINT;
}

size_t board_stack_peak(void) {
    const volatile uint32_t *word = board_stack_limit;

    while (word < board_stack_top && *word == STACK_PAINT)
        word++;
    return (size_t)((uintptr_t)board_stack_top - (uintptr_t)word);
}

size_t board_stack_size(void) {
    return (size_t)((uintptr_t)board_stack_top - (uintptr_t)board_stack_limit);
}

__attribute__((noreturn)) void Reset_Handler(void) {
    const uint32_t *from = board_data_load;
    uint32_t *to;

    VTOR = (uint32_t)(uintptr_t)vectors;
#ifdef __ARM_FP
    CPACR |= 0xFu << 20; /* the floating-point unit, before any code that may use it */
    __asm volatile("dsb\n isb" ::: "memory");
#endif
    for (to = board_data_start; to < board_data_end;)
        *to++ = *from++;
    for (to = board_bss_start; to < board_bss_end;)
        *to++ = 0;
    paint_stack();
    board_uart_start();
    board_clock_start();
    board_exit(main());
}

void Unexpected_Handler(void) {
    uint32_t number;

    __asm volatile("mrs %0, ipsr" : "=r"(number));
    board_print("fault: exception %lu has no handler\n", (unsigned long)number);
    board_exit(99);
}

/* Hands on the stack that was in use, on which the core has put the registers. */
__attribute__((naked)) void Fault_Handler(void) {
    __asm volatile("tst lr, #4\n"
                   "ite eq\n"
                   "mrseq r0, msp\n"
                   "mrsne r0, psp\n"
                   "b board_fault\n");
}

__attribute__((used)) void board_fault(const uint32_t *frame) {
    board_print("fault: status %08lx, pc %08lx, lr %08lx, r0 %08lx\n", (unsigned long)CFSR,
                (unsigned long)frame[6], (unsigned long)frame[5], (unsigned long)frame[0]);
    board_exit(99);
}
