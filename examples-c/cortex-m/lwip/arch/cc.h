/* cc.h: lwIP's view of the compiler and the board. */
#ifndef ARCH_CC_H
#define ARCH_CC_H

/* Ends the program (ethernet.c). */
void lwip_failed(const char *what, int line) __attribute__((noreturn));
#define LWIP_PLATFORM_ASSERT(what) lwip_failed(what, __LINE__)
#define LWIP_PLATFORM_DIAG(arguments)

unsigned lwip_random(void);
#define LWIP_RAND() lwip_random()

#include <sys/types.h> /* ssize_t */
#define LWIP_NO_UNISTD_H 1
#define SSIZE_MAX INT_MAX

#endif
