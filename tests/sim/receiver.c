/* The receiver of notices: it refuses some for ever, is away at times, and its answers get lost. It
 * keeps the idempotency keys that it has seen, as a real one does. */
#include <stdlib.h>
#include <xxhash.h>

#include "notify/notify.h"
#include "sim.h"

#define CALLS_MAX 64
#define CUSTOMERS_MAX 256

struct call {
  struct node *caller; /* NULL: free */
  int32_t partition;
  char key[160];
  size_t key_size;
  int64_t answered_at;
  enum notice_result result;
};

struct customer {
  char id[64];
  size_t id_size;
  int64_t next; /* number of the notice that has not come yet */
};

struct taken { /* hashes of a notice's idempotency key, and of whom it tells what */
  uint64_t id, subject;
};

struct receiver {
  struct sim *sim;
  struct taken *taken;
  size_t taken_count, taken_capacity;
  struct call calls[CALLS_MAX];
  struct customer customers[CUSTOMERS_MAX];
  size_t customer_count;
};

static struct receiver
    *the_receiver; /* of the sim that runs: a world is opened without an argument */

struct receiver *receiver_new(struct sim *sim) {
  struct receiver *receiver = xcalloc(1, sizeof *receiver);
  receiver->sim = sim;
  the_receiver = receiver;
  return receiver;
}

void receiver_free(struct receiver *receiver) {
  free(receiver->taken);
  free(receiver);
}

int64_t receiver_next(const struct receiver *receiver) {
  int64_t next = INT64_MAX;
  for (size_t i = 0; i < CALLS_MAX; i++) {
    const struct call *call = &receiver->calls[i];
    if (call->caller && call->answered_at < next) next = call->answered_at;
  }
  return next;
}

static uint64_t hash_of(uint64_t seed, struct str text) {
  return text.size ? XXH3_64bits_withSeed(text.data, text.size, seed) : seed + 1;
}

/* A receiver that keeps keys drops a notice whose key it knows. */
static void take_id(struct receiver *receiver, const struct notice *notice) {
  char text[NOTICE_ID_SIZE];
  notice_id(notice, text);
  const int64_t numbers[] = {notice->revision, notice->at};
  uint64_t id = hash_of(0, str_of(text)),
           subject = hash_of(hash_of(hash_of(0, notice->customer_id), notice->reservation_id),
                             (struct str){(const char *)numbers, sizeof numbers});
  subject = hash_of(subject, notice->place);
  for (size_t i = 0; i < receiver->taken_count; i++) {
    if (receiver->taken[i].id != id) continue;
    if (receiver->taken[i].subject != subject)
      sim_fail(receiver->sim, "two notices have the idempotency key %s", text);
    return;
  }
  receiver->taken = xgrow(receiver->taken, &receiver->taken_capacity, receiver->taken_count + 1,
                          sizeof *receiver->taken);
  receiver->taken[receiver->taken_count++] = (struct taken){id, subject};
}

/* One may come again, but none before the one before it. */
static void take(struct receiver *receiver, const struct notice *notice) {
  take_id(receiver, notice);
  struct customer *customer = NULL;
  for (size_t i = 0; i < receiver->customer_count && !customer; i++) {
    struct customer *known = &receiver->customers[i];
    if (str_equal((struct str){known->id, known->id_size}, notice->customer_id)) customer = known;
  }
  if (!customer) {
    if (receiver->customer_count == CUSTOMERS_MAX) abort();
    customer = &receiver->customers[receiver->customer_count++];
    memcpy(customer->id, notice->customer_id.data, notice->customer_id.size);
    customer->id_size = notice->customer_id.size;
  }
  if (notice->number > customer->next)
    sim_fail(receiver->sim, "%.*s gets notice %d before notice %d", STR_ARGS(notice->customer_id),
             (int)notice->number, (int)customer->next);
  if (notice->number == customer->next) customer->next++;
}

/* ---- the world of notify: its own end of the calls ---- */

static void *world_open(const struct options *options, char *error, size_t size) {
  (void)options;
  (void)error;
  (void)size;
  return the_receiver->sim->running;
}

static void world_close(void *world) {
  for (size_t i = 0; i < CALLS_MAX; i++) {
    if (the_receiver->calls[i].caller == world) the_receiver->calls[i].caller = NULL;
  }
}

static size_t world_in_flight(void *world) {
  size_t count = 0;
  for (size_t i = 0; i < CALLS_MAX; i++) count += the_receiver->calls[i].caller == world;
  return count;
}

static size_t world_room(void *world) {
  size_t out = world_in_flight(world);
  return out < 6 ? 6 - out : 0;
}

static void world_start(void *world, int32_t partition, struct str key, const void *row) {
  struct node *node = world;
  struct sim *sim = node->sim;
  if (node->dead) return;
  struct call *call = NULL;
  for (size_t i = 0; i < CALLS_MAX && !call; i++) {
    if (!the_receiver->calls[i].caller) call = &the_receiver->calls[i];
  }
  if (!call || key.size > sizeof call->key) return; /* the row's due time is the way back */
  *call = (struct call){.caller = node, .partition = partition, .key_size = key.size};
  memcpy(call->key, key.data, key.size);
  call->answered_at = sim->now + (int64_t)chance_below(&sim->chance, sim->quiet ? 20 : 400);
  bool away = !sim->quiet && chance_of(&sim->chance, 150);
  if (!away) take(the_receiver, row);
  call->result = away || (!sim->quiet && chance_of(&sim->chance, 50)) ? NOTICE_FAILED
                 : chance_of(&sim->chance, 30)                        ? NOTICE_REFUSED
                                                                      : NOTICE_TAKEN;
}

static bool world_next(void *world, int timeout_ms, int32_t *partition, struct str *key,
                       int *result) {
  (void)timeout_ms;
  for (size_t i = 0; i < CALLS_MAX; i++) {
    struct call *call = &the_receiver->calls[i];
    if (call->caller != world || call->answered_at > the_receiver->sim->now) continue;
    call->caller = NULL;
    *partition = call->partition;
    *key = (struct str){call->key, call->key_size};
    *result = (int)call->result;
    return true;
  }
  return false;
}

const struct world sim_receiver = {.open = world_open,
                                   .close = world_close,
                                   .room = world_room,
                                   .start = world_start,
                                   .next = world_next,
                                   .in_flight = world_in_flight};
