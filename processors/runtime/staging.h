/* What a batch has changed and not yet committed: the last value of each key, in the order of their
 * first change. Reads of the batch look here before they look in the store. Keys and values live in
 * the batch's arena. */
#ifndef HOLDFAST_STAGING_H
#define HOLDFAST_STAGING_H

#include "store.h"

struct staged {
  int32_t partition;
  int group; /* keys of different groups do not meet: rows, or the number of a table output */
  uint64_t hash;
  struct change change;
  int64_t timestamp; /* of the event that changed it last */
};

struct staging {
  struct staged *entries; /* owned */
  size_t count, capacity;
  uint32_t *slots; /* open addressing: entry number + 1, 0 for none. Owned */
  size_t slot_count;
};

/* The change staged for the key, or NULL. Valid until the next staging_put. */
const struct change *staging_find(const struct staging *staging, int group, int32_t partition,
                                  struct str key);

/* change.key and change.value are borrowed until staging_clear. */
void staging_put(struct staging *staging, int group, int32_t partition, const struct change *change,
                 int64_t timestamp);
void staging_clear(struct staging *staging);
void staging_free(struct staging *staging);

#endif
