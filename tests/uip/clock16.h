/* clock16.h: uIP's clock as small machines have it: 16 bits, wrapping every two seconds. */
#ifndef CLOCK16_H
#define CLOCK16_H

#include <stdint.h>

typedef uint16_t clock_time_t;
#define CLOCK_SECOND 32768

clock_time_t clock_time(void);

#endif
