#include "arrivals.h"

#include <stdlib.h>
#include <xxhash.h>

#include "gen/records.h"
#include "runtime/base/report.h"
#include "runtime/base/worker.h"
#include "runtime/kafka/io.h"
#include "runtime/record/codec.h"

#define PLACES (2 * ARRIVALS_MAX) /* of the table, open-addressed */
#define POLL_MS 100
#define AGAIN_MS 500

struct arrival {
  uint64_t reservation, customer; /* hashes; reservation 0: free */
};

struct arrivals {
  const struct options *options;
  struct kafka_reader *reader;
  struct codec *codec;
  struct worker worker; /* its lock is of what follows */
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
  worker_lock(&self->worker);
  for (size_t i = id % PLACES; self->table[i].reservation && !found; i = (i + 1) % PLACES) {
    const struct arrival *arrival = &self->table[i];
    found = arrival->reservation == id && (!customer.data || arrival->customer == who);
  }
  worker_unlock(&self->worker);
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
  worker_lock(&self->worker);
  put(self, (struct arrival){hash_of(reserve->reservation_id), hash_of(reserve->customer_id)});
  worker_unlock(&self->worker);
}

static void begin_again(struct arrivals *self, const struct failure *why) {
  struct failure failure;
  report_warning("commands of others are not seen: %s", why->text);
  kafka_reader_close(self->reader);
  do {
    self->reader = kafka_reader_follow(self->options, "reservation-commands", &failure);
  } while (!self->reader && worker_pause(&self->worker, AGAIN_MS));
}

static void *read_commands(void *user) {
  struct arrivals *self = user;
  struct arena arena = {0};
  while (!self->worker.ending) {
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
  worker_init(&self->worker);
  self->reader = kafka_reader_follow(options, "reservation-commands", failure);
  if (!self->reader) {
    arrivals_close(self);
    return NULL;
  }
  worker_start(&self->worker, "arrivals", read_commands, self);
  return self;
}

void arrivals_close(struct arrivals *self) {
  if (!self) return;
  worker_free(&self->worker);
  kafka_reader_close(self->reader);
  codec_free(self->codec);
  free(self);
}
