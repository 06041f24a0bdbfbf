/* malloc.c: heap.h by the C library's malloc and free, wrapped (-Wl,--wrap=malloc), and counted.
 *
 * Each block begins with what is known of it, and all are in a list. Who asked for it is guessed:
 * of the words on the stack, those that look like an address behind a call. */
#include "heap.h"

#include "board.h"

#include <string.h>

#define CALLERS 16u
#define LOOK_WORDS 400u

struct block {
    struct block *next, *before;
    uint32_t size;
    uint32_t callers[CALLERS];
    uint32_t pad;
};

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void __real_free(void *at);
void __wrap_free(void *at);
void *_sbrk(ptrdiff_t by);

extern uint32_t board_data_load[], board_stack_top[];

static struct block all = {&all, &all, 0, {0}, 0};
static size_t live, peak;

/* As newlib asks for memory. */
void *_sbrk(ptrdiff_t by) {
    static uint8_t *end = board_heap_start;
    uint8_t *old = end;

    if (by > board_heap_end - end)
        return (void *)-1;
    end += by;
    return old;
}

/* As a small allocator's header of 4 bytes makes it, rounded up to 8. */
static size_t taken(size_t size) { return (size + 4 + 7) & ~(size_t)7; }

/* Whether a call instruction ends where this would return to. */
static int is_return(uint32_t word) {
    uint32_t end = (uint32_t)(uintptr_t)board_data_load;
    const uint16_t *code;

    if ((word & 1u) == 0 || word < 0x100u || word >= end)
        return 0;
    code = (const uint16_t *)(uintptr_t)(word - 1u);
    return ((code[-2] & 0xF800u) == 0xF000u && (code[-1] & 0xD000u) == 0xD000u) ||
           (code[-1] & 0xFF87u) == 0x4780u;
}

static void look_for_callers(struct block *block) {
    const uint32_t *word = __builtin_frame_address(0);
    unsigned found = 0, i;

    memset(block->callers, 0, sizeof block->callers);
    for (i = 0; i < LOOK_WORDS && word + i < board_stack_top && found < CALLERS; i++) {
        if (is_return(word[i]))
            block->callers[found++] = word[i] - 1u;
    }
}

void *__wrap_malloc(size_t size) {
    struct block *block = __real_malloc(size + sizeof *block);

    if (block == NULL)
        return NULL;
    block->size = (uint32_t)size;
    look_for_callers(block);
    block->next = all.next;
    block->before = &all;
    all.next->before = block;
    all.next = block;
    live += taken(size);
    if (live > peak)
        peak = live;
    return block + 1;
}

void __wrap_free(void *at) {
    struct block *block = at;

    if (block == NULL)
        return;
    block--;
    block->next->before = block->before;
    block->before->next = block->next;
    live -= taken(block->size);
    __real_free(block);
}

void *heap_memory(size_t *size) {
    (void)size;
    return NULL;
}

size_t heap_live(void) { return live; }
size_t heap_peak(void) { return peak; }
void heap_reset_peak(void) { peak = live; }

void heap_print(void) {
    const struct block *block;
    unsigned i;

    for (block = all.next; block != &all; block = block->next) {
        board_print("block %lu", (unsigned long)block->size);
        for (i = 0; i < CALLERS && block->callers[i] != 0; i++)
            board_print(" %lx", (unsigned long)block->callers[i]);
        board_print("\n");
    }
}
