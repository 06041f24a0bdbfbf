/* heap.h: malloc and free that count. Bytes are those asked for, each block with the 4 of a small
 * allocator's header and rounded up to 8. */
#ifndef FOOTPRINT_HEAP_H
#define FOOTPRINT_HEAP_H

#include <stddef.h>

size_t heap_live(void);
size_t heap_blocks(void);
size_t heap_peak(void);
void heap_reset_peak(void);

/* Prints each live block: its size, and who may have asked for it. */
void heap_print(void);

#endif
