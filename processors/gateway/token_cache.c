#include "gateway/token_cache.h"

#include <pthread.h>
#include <stdlib.h>

#include "runtime/base/arena.h"

#define WAYS 4
#define SETS (TOKEN_CACHE_ENTRIES / WAYS)
#define LOCKS 64 /* so that threads seldom meet */

struct entry {
  unsigned char digest[TOKEN_DIGEST_SIZE];
  uint64_t generation; /* of the keys; 0: the entry is free */
  uint64_t used;       /* the lock's count at that time */
  struct caller caller;
};

struct shard {
  pthread_mutex_t lock;
  uint64_t count;
};

struct token_cache {
  struct shard shards[LOCKS];
  struct entry entries[SETS][WAYS];
};

struct token_cache *token_cache_open(void) {
  struct token_cache *cache = xcalloc(1, sizeof *cache);
  for (size_t i = 0; i < LOCKS; i++) pthread_mutex_init(&cache->shards[i].lock, NULL);
  return cache;
}

void token_cache_close(struct token_cache *cache) {
  if (!cache) return;
  for (size_t i = 0; i < LOCKS; i++) pthread_mutex_destroy(&cache->shards[i].lock);
  free(cache);
}

void token_digest(struct str token, unsigned char digest[TOKEN_DIGEST_SIZE]) {
  if (EVP_Digest(token.data, token.size, digest, NULL, EVP_sha256(), NULL) != 1) abort();
}

/* The digest is spread evenly already. */
static size_t set_of(const unsigned char *digest) {
  return (digest[0] | (size_t)digest[1] << 8) % SETS;
}

static struct entry *find(struct entry *set, const unsigned char *digest) {
  for (size_t i = 0; i < WAYS; i++) {
    if (set[i].generation && memcmp(set[i].digest, digest, TOKEN_DIGEST_SIZE) == 0) return &set[i];
  }
  return NULL;
}

bool token_cache_get(struct token_cache *cache, const unsigned char *digest, uint64_t generation,
                     int64_t now_s, struct caller *caller) {
  size_t set = set_of(digest);
  struct shard *shard = &cache->shards[set % LOCKS];
  pthread_mutex_lock(&shard->lock);
  struct entry *entry = find(cache->entries[set], digest);
  bool fine = entry && entry->generation == generation && now_s < entry->caller.expires_s;
  if (fine) {
    entry->used = ++shard->count;
    *caller = entry->caller;
  }
  pthread_mutex_unlock(&shard->lock);
  return fine;
}

static struct entry *least_used(struct entry *set) {
  struct entry *least = set;
  for (size_t i = 1; i < WAYS; i++) {
    if (set[i].used < least->used) least = &set[i];
  }
  return least;
}

void token_cache_put(struct token_cache *cache, const unsigned char *digest, uint64_t generation,
                     const struct caller *caller) {
  size_t set = set_of(digest);
  struct shard *shard = &cache->shards[set % LOCKS];
  pthread_mutex_lock(&shard->lock);
  struct entry *entry = find(cache->entries[set], digest);
  if (!entry) entry = least_used(cache->entries[set]);
  memcpy(entry->digest, digest, TOKEN_DIGEST_SIZE);
  entry->generation = generation;
  entry->used = ++shard->count;
  entry->caller = *caller;
  pthread_mutex_unlock(&shard->lock);
}
