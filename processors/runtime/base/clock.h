/* The clocks, in one place. Decisions have none. */
#ifndef HOLDFAST_BASE_CLOCK_H
#define HOLDFAST_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ms(void);      /* milliseconds since 1970 */
int64_t clock_monotonic_us(void); /* microseconds since some moment; never goes back */
int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_s(void);

#endif
