/* device.h: the device that every image with lwIP is: a node, and a page behind it. What the images
 * differ in, with and without an RTOS, is in their main.c. All of it in lwIP's core context. */
#ifndef DEVICE_H
#define DEVICE_H

#include <stddef.h>

/* The memory that librit allocates from. 0, or -1. */
int device_heap(void *memory, size_t size);

/* Starts network, HTTP server and node with the options at the bottom of README.md; prints what
 * happens from then on. 0, or -1 after a line that says why. */
int device_start(void);

/* Ends all that; what lwIP still has to do it does afterwards. */
void device_stop(void);

/* Pieces and bytes of lwIP's memory in use beyond those before device_start. */
unsigned device_left(void);

/* Prints the line with the figures, after device_stop. The exit status: 0 if nothing is left
 * allocated. */
int device_report(size_t stack_size, size_t stack_peak);

#endif
