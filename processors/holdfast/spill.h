/* A folder for what does not fit memory, for as long as a command runs. */
#ifndef HOLDFAST_SPILL_H
#define HOLDFAST_SPILL_H

#include <stdbool.h>
#include <stddef.h>

/* A new folder in parent, its name in out. False: it cannot be made; out is empty. */
bool spill_make(const char *parent, char *out, size_t size);
void spill_remove(const char *directory); /* with everything in it; "" is nothing */

#endif
