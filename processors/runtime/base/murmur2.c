#include "runtime/base/murmur2.h"

static uint32_t murmur2(struct str key) {
  const uint32_t m = 0x5bd1e995;
  uint32_t hash = 0x9747b28c ^ (uint32_t)key.size;
  const uint8_t *at = (const uint8_t *)key.data;
  size_t left = key.size;
  for (; left >= 4; left -= 4, at += 4) {
    uint32_t k;
    memcpy(&k, at, 4);
    k *= m;
    k ^= k >> 24;
    k *= m;
    hash = (hash * m) ^ k;
  }
  if (left >= 3) hash ^= (uint32_t)at[2] << 16;
  if (left >= 2) hash ^= (uint32_t)at[1] << 8;
  if (left >= 1) hash = (hash ^ at[0]) * m;
  hash ^= hash >> 13;
  hash *= m;
  return hash ^ hash >> 15;
}

int32_t murmur2_partition(struct str key, int32_t partitions) {
  return (int32_t)((murmur2(key) & 0x7fffffff) % (uint32_t)partitions);
}
