/* The rows of a batch: those that it has read, and the last value of each key that it has changed,
 * in the order in which keys were first met. A row is read from the store and decoded once a batch,
 * and what changes again and again is encoded once, at the end. Keys, values and structs live in
 * the batch's arena. */
#ifndef HOLDFAST_CORE_STAGING_H
#define HOLDFAST_CORE_STAGING_H

#include "runtime/store/store.h"

struct staged {
  int32_t partition;
  int group; /* keys of different groups do not meet: rows, or the number of a table output */
  uint64_t hash;
  bool known; /* read from the store, or changed: row says what it is */
  bool changed;
  struct change change; /* value: NULL where there is no row, or it is not encoded yet */
  const void *row;      /* the value as a struct; NULL: there is no row, or nobody asked for it */
  int type;             /* of the struct, where it was changed */
  int64_t timestamp;    /* of the event that changed it last */
  int64_t cause;        /* offset of the record that did; -1: no record */
};

struct staging {
  struct staged *entries; /* owned */
  size_t count, capacity;
  uint32_t *slots; /* open addressing: entry number + 1, 0 for none. Owned */
  size_t slot_count;
};

/* The entry of the key, or NULL. Valid until the next one is made. */
const struct staged *staging_find(const struct staging *staging, int group, int32_t partition,
                                  struct str key);

/* The entry of the key, made where there is none: neither known nor changed. The key is borrowed
 * until staging_clear. Valid until the next one is made. */
struct staged *staging_entry(struct staging *staging, int group, int32_t partition, struct str key);

/* A change in bytes. change.key and change.value are borrowed until staging_clear. */
void staging_put(struct staging *staging, int group, int32_t partition, const struct change *change,
                 int64_t timestamp);
void staging_clear(struct staging *staging);
void staging_free(struct staging *staging);

#endif
