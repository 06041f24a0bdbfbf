/* cc.h: lwIP's view of a hosted C compiler. */
#ifndef LWIP_TESTS_CC_H
#define LWIP_TESTS_CC_H

#include <stdio.h>
#include <stdlib.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BYTE_ORDER BIG_ENDIAN
#endif

/* A test wants to know of each. */
#define LWIP_PLATFORM_ASSERT(x)                                                            \
    do {                                                                                   \
        fprintf(stderr, "lwIP: assertion \"%s\" failed: %s:%d\n", x, __FILE__, __LINE__);  \
        abort();                                                                           \
    } while (0)

unsigned sys_random(void);
#define LWIP_RAND() sys_random()

#define LWIP_NO_UNISTD_H 1
#define SSIZE_MAX INT_MAX

#endif
