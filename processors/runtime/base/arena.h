/* Memory that is given back all at once: all memory of a batch of records lives in one arena and
 * goes with it. */
#ifndef HOLDFAST_BASE_ARENA_H
#define HOLDFAST_BASE_ARENA_H

#include "runtime/base/str.h"

struct arena_block;

struct arena {
  struct arena_block *blocks; /* newest first; owned */
  struct arena_block *spare;  /* of former rounds; owned */
  size_t spare_count;
  size_t used;       /* of the newest block */
  size_t total;      /* bytes handed out since the last reset */
  size_t block_size; /* set before the first use; 0: 64 KiB, for a batch of records */
};

/* Never NULL: a process without memory ends here. Aligned for every type. The bytes are not
 * zeroed. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_zalloc(struct arena *arena, size_t size);

/* A copy ended by a NUL that the size does not count. */
struct str arena_copy(struct arena *arena, struct str bytes);

/* printf into the arena; the result is ended by a NUL. */
struct str arena_format(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Takes everything back and keeps some MiB of blocks, so that a steady load allocates nothing. */
void arena_reset(struct arena *arena);
void arena_free(struct arena *arena);

/* malloc and its kin, ending the process with a message where there is no memory: nothing here
 * could go on without. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);

/* Makes room for `need` items of `size` bytes: grows by doubling. Sets *capacity. */
void *xgrow(void *old, size_t *capacity, size_t need, size_t size);

#endif
