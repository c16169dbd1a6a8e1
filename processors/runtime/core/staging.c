#include "runtime/core/staging.h"

#include <stdlib.h>
#include <xxhash.h>

static uint64_t hash_of(int group, int32_t partition, struct str key) {
  return XXH3_64bits_withSeed(key.data, key.size,
                              (uint64_t)(uint32_t)group << 32 | (uint32_t)partition);
}

/* The slot of the key, or the empty one where it belongs. */
static size_t probe(const struct staging *staging, uint64_t hash, int group, int32_t partition,
                    struct str key) {
  size_t mask = staging->slot_count - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    uint32_t number = staging->slots[at];
    if (!number) return at;
    const struct staged *entry = &staging->entries[number - 1];
    if (entry->hash == hash && entry->group == group && entry->partition == partition &&
        str_equal(entry->change.key, key))
      return at;
  }
}

const struct staged *staging_find(const struct staging *staging, int group, int32_t partition,
                                  struct str key) {
  if (staging->count == 0) return NULL;
  uint32_t number =
      staging->slots[probe(staging, hash_of(group, partition, key), group, partition, key)];
  return number ? &staging->entries[number - 1] : NULL;
}

static void grow(struct staging *staging) {
  staging->slot_count = staging->slot_count ? staging->slot_count * 2 : 1024;
  free(staging->slots);
  staging->slots = xcalloc(staging->slot_count, sizeof *staging->slots);
  for (size_t i = 0; i < staging->count; i++) {
    const struct staged *entry = &staging->entries[i];
    staging->slots[probe(staging, entry->hash, entry->group, entry->partition, entry->change.key)] =
        (uint32_t)i + 1;
  }
}

struct staged *staging_entry(struct staging *staging, int group, int32_t partition,
                             struct str key) {
  if (staging->count * 2 >= staging->slot_count) grow(staging);
  uint64_t hash = hash_of(group, partition, key);
  size_t at = probe(staging, hash, group, partition, key);
  if (!staging->slots[at]) {
    staging->entries =
        xgrow(staging->entries, &staging->capacity, staging->count + 1, sizeof *staging->entries);
    staging->entries[staging->count] = (struct staged){
        .partition = partition, .group = group, .hash = hash, .change = {.key = key}};
    staging->slots[at] = (uint32_t)++staging->count;
  }
  return &staging->entries[staging->slots[at] - 1];
}

void staging_put(struct staging *staging, int group, int32_t partition, const struct change *change,
                 int64_t timestamp) {
  struct staged *entry = staging_entry(staging, group, partition, change->key);
  entry->change = *change;
  entry->known = entry->changed = true;
  entry->row = NULL;
  entry->timestamp = timestamp;
}

void staging_clear(struct staging *staging) {
  if (staging->count == 0) return;
  staging->count = 0;
  memset(staging->slots, 0, staging->slot_count * sizeof *staging->slots);
}

void staging_free(struct staging *staging) {
  free(staging->entries);
  free(staging->slots);
  *staging = (struct staging){0};
}
