#include "waiting.h"

#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

#include "runtime/base/arena.h"

#define BUCKETS 16384 /* waiters are ten thousand or so */

struct waiting {
  pthread_mutex_t lock;
  size_t count;
  struct waiter *buckets[BUCKETS];
};

static struct waiter **bucket_of(struct waiting *self, struct str id) {
  return &self->buckets[XXH3_64bits(id.data, id.size) % BUCKETS];
}

static void take_out(struct waiting *self, struct waiter *waiter) {
  *waiter->link = waiter->next;
  if (waiter->next) waiter->next->link = waiter->link;
  waiter->link = NULL;
  self->count--;
}

struct waiting *waiting_new(void) {
  struct waiting *self = xcalloc(1, sizeof *self);
  pthread_mutex_init(&self->lock, NULL);
  return self;
}

void waiting_free(struct waiting *self) {
  if (!self) return;
  pthread_mutex_destroy(&self->lock);
  free(self);
}

static void hear(struct waiting *self, struct waiter *waiter, const struct news *news) {
  waiter->until = waiter->hear(waiter, news);
  if (!waiter->until) take_out(self, waiter);
}

void waiting_add(struct waiting *self, struct waiter *waiter, int64_t until) {
  pthread_mutex_lock(&self->lock);
  waiter->until = until;
  struct waiter **bucket = bucket_of(self, waiter->id);
  waiter->next = *bucket;
  waiter->link = bucket;
  if (*bucket) (*bucket)->link = &waiter->next;
  *bucket = waiter;
  self->count++;
  pthread_mutex_unlock(&self->lock);
}

void waiting_remove(struct waiting *self, struct waiter *waiter) {
  pthread_mutex_lock(&self->lock);
  if (waiter->link) take_out(self, waiter);
  pthread_mutex_unlock(&self->lock);
}

void waiting_tell(struct waiting *self, struct str id, const struct news *news) {
  pthread_mutex_lock(&self->lock);
  for (struct waiter *waiter = *bucket_of(self, id), *next; waiter; waiter = next) {
    next = waiter->next;
    if (str_equal(waiter->id, id)) hear(self, waiter, news);
  }
  pthread_mutex_unlock(&self->lock);
}

void waiting_expire(struct waiting *self, int64_t now) {
  pthread_mutex_lock(&self->lock);
  for (size_t i = 0; i < BUCKETS && self->count; i++) {
    for (struct waiter *waiter = self->buckets[i], *next; waiter; waiter = next) {
      next = waiter->next;
      if (waiter->until <= now) hear(self, waiter, NULL);
    }
  }
  pthread_mutex_unlock(&self->lock);
}

size_t waiting_count(struct waiting *self) {
  pthread_mutex_lock(&self->lock);
  size_t count = self->count;
  pthread_mutex_unlock(&self->lock);
  return count;
}
