#include "arrivals.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "gen/records.h"
#include "runtime/base/report.h"
#include "runtime/kafka/io.h"
#include "runtime/record/codec.h"

#define PLACES (2 * ARRIVALS_MAX) /* of the table, open-addressed */
#define POLL_MS 100
#define AGAIN_US 500000

struct arrival {
  uint64_t reservation, customer; /* hashes; reservation 0: free */
};

struct arrivals {
  const struct options *options;
  struct kafka_reader *reader;
  struct codec *codec;
  pthread_t thread;
  atomic_bool ending;
  pthread_mutex_t lock; /* of what follows */
  struct arrival table[PLACES];
  struct arrival line[ARRIVALS_MAX]; /* in the order of their coming, round about */
  size_t count;
};

static uint64_t hash_of(struct str text) {
  uint64_t hash = XXH3_64bits(text.data, text.size);
  return hash ? hash : 1;
}

/* ---- the table, under the lock ---- */

static size_t place_of(const struct arrivals *self, struct arrival arrival) {
  size_t i = arrival.reservation % PLACES;
  while (self->table[i].reservation && (self->table[i].reservation != arrival.reservation ||
                                        self->table[i].customer != arrival.customer))
    i = (i + 1) % PLACES;
  return i;
}

/* What stands behind it moves to where it is found (Knuth 6.4, algorithm R). */
static void drop(struct arrivals *self, struct arrival arrival) {
  size_t i = place_of(self, arrival);
  self->table[i].reservation = 0;
  for (i = (i + 1) % PLACES; self->table[i].reservation; i = (i + 1) % PLACES) {
    struct arrival moved = self->table[i];
    self->table[i].reservation = 0;
    self->table[place_of(self, moved)] = moved;
  }
}

static void put(struct arrivals *self, struct arrival arrival) {
  size_t i = place_of(self, arrival);
  if (self->table[i].reservation) return; /* a repeat */
  struct arrival *oldest = &self->line[self->count++ % ARRIVALS_MAX];
  if (oldest->reservation) drop(self, *oldest);
  *oldest = arrival;
  self->table[place_of(self, arrival)] = arrival;
}

bool arrivals_have(struct arrivals *self, struct str reservation, struct str customer) {
  uint64_t id = hash_of(reservation), who = hash_of(customer);
  bool found = false;
  pthread_mutex_lock(&self->lock);
  for (size_t i = id % PLACES; self->table[i].reservation && !found; i = (i + 1) % PLACES) {
    const struct arrival *arrival = &self->table[i];
    found = arrival->reservation == id && (!customer.data || arrival->customer == who);
  }
  pthread_mutex_unlock(&self->lock);
  return found;
}

/* ---- reading ---- */

static void take(struct arrivals *self, const struct message *record, struct arena *arena) {
  struct record decoded;
  char error[CODEC_ERROR_SIZE];
  if (record->fault || !codec_decode(self->codec, record->value, arena, &decoded, error) ||
      decoded.type != RECORD_RESERVE)
    return;
  const struct reserve *reserve = decoded.value;
  pthread_mutex_lock(&self->lock);
  put(self, (struct arrival){hash_of(reserve->reservation_id), hash_of(reserve->customer_id)});
  pthread_mutex_unlock(&self->lock);
}

static void begin_again(struct arrivals *self, const struct failure *why) {
  struct failure failure;
  report_warning("commands of others are not seen: %s", why->text);
  kafka_reader_close(self->reader);
  self->reader = NULL;
  while (!self->ending && !self->reader) {
    self->reader = kafka_reader_follow(self->options, "reservation-commands", &failure);
    if (!self->reader) usleep(AGAIN_US);
  }
}

static void *read_commands(void *user) {
  struct arrivals *self = user;
  struct arena arena = {0};
  pthread_setname_np(pthread_self(), "arrivals");
  while (!self->ending) {
    struct message record;
    struct failure failure;
    int32_t partition;
    enum kafka_read read = kafka_reader_next(self->reader, POLL_MS, &partition, &record, &failure);
    if (read == KAFKA_READ_RECORD) take(self, &record, &arena);
    if (read == KAFKA_READ_FAILED) begin_again(self, &failure);
    arena_reset(&arena);
  }
  arena_free(&arena);
  return NULL;
}

struct arrivals *arrivals_open(const struct options *options, struct failure *failure) {
  struct arrivals *self = xcalloc(1, sizeof *self);
  self->options = options;
  self->codec = codec_new(&holdfast_schemas);
  pthread_mutex_init(&self->lock, NULL);
  self->reader = kafka_reader_follow(options, "reservation-commands", failure);
  if (self->reader && pthread_create(&self->thread, NULL, read_commands, self) == 0) return self;
  self->ending = true;
  arrivals_close(self);
  return NULL;
}

void arrivals_close(struct arrivals *self) {
  if (!self) return;
  if (!self->ending) {
    self->ending = true;
    pthread_join(self->thread, NULL);
  }
  kafka_reader_close(self->reader);
  pthread_mutex_destroy(&self->lock);
  codec_free(self->codec);
  free(self);
}
