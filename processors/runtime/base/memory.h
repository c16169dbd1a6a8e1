/* How much memory this process may use, and the part of it that a cache takes. */
#ifndef HOLDFAST_BASE_MEMORY_H
#define HOLDFAST_BASE_MEMORY_H

#include <stdint.h>

/* The least of memory.max of the process's cgroup (version 2) and of those above it, and of the
 * machine's MemAvailable, in bytes; UINT64_MAX: nobody says. root is before the paths of /proc and
 * /sys: "", but for tests. */
uint64_t memory_allowed(const char *root);

/* A sixteenth, in whole MiB: all filters of a machine can take it. At least 8, also where nobody
 * says what is allowed. */
uint64_t memory_cache_mib(uint64_t allowed);

#endif
