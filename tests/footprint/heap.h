/* heap.h: the library's heap, counted: that of rit_heap_init by arena.c, or malloc by malloc.c.
 * With what the heap itself takes for each block. */
#ifndef FOOTPRINT_HEAP_H
#define FOOTPRINT_HEAP_H

#include <stddef.h>

/* For rit_heap_init; null with malloc. */
void *heap_memory(size_t *size);

size_t heap_live(void);
size_t heap_peak(void);
void heap_reset_peak(void);

/* Prints each live block, its size and who may have asked for it; nothing by arena.c. */
void heap_print(void);

#endif
