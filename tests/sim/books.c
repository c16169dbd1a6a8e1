/* The provider's books, account by account, beside what the log says of each charge. */
#include <inttypes.h>
#include <stdlib.h>

#include "sim.h"

/* A charge of one opening. The key alone does not name it: an id that is used again long after must
 * not meet the answer of then. */
struct charge_said {
  struct str key;
  enum charge_kind kind;
  int64_t opened_at, amount;
  int64_t sequence; /* of its first request */
  bool approved;
};

struct said {
  struct sim *sim;
  struct charge_said *charges;
  size_t count, capacity;
};

/* An older build does not say when a reservation was opened. */
static bool same_opening(int64_t a, int64_t b) {
  return a == b || a == 0 || b == 0;
}

static void take_request(struct said *said, const struct request_charge *request,
                         int64_t sequence) {
  for (size_t i = 0; i < said->count; i++) {
    struct charge_said *known = &said->charges[i];
    if (!str_equal(known->key, request->charge_key) ||
        !same_opening(known->opened_at, request->opened_at))
      continue;
    if (sequence < known->sequence) known->sequence = sequence;
    return;
  }
  said->charges = xgrow(said->charges, &said->capacity, said->count + 1, sizeof *said->charges);
  said->charges[said->count++] = (struct charge_said){.key = request->charge_key,
                                                      .kind = request->kind,
                                                      .opened_at = request->opened_at,
                                                      .amount = request->amount,
                                                      .sequence = sequence};
}

/* Of the openings that have asked under that key, the last one before the answer has it. */
static void take_settled(struct said *said, const struct charge_settled *settled,
                         int64_t sequence) {
  struct charge_said *asked = NULL;
  for (size_t i = 0; i < said->count && settled->approved; i++) {
    struct charge_said *one = &said->charges[i];
    if (str_equal(one->key, settled->charge_key) && one->sequence < sequence &&
        (!asked || one->sequence > asked->sequence))
      asked = one;
  }
  if (asked) asked->approved = true;
}

static void read_topic(struct said *said, const char *topic, int type) {
  struct sim *sim = said->sim;
  for (int32_t p = 0; p < sim->partitions; p++) {
    const struct memory_record *in;
    for (int64_t next = 0; (in = memory_read(sim->cluster, topic, p, next));
         next = in->offset + 1) {
      char error[CODEC_ERROR_SIZE];
      struct record record;
      if (!codec_decode(sim->codec, in->value, &sim->arena, &record, error) || record.type != type)
        continue;
      if (type == RECORD_REQUEST_CHARGE)
        take_request(said, record.value, in->sequence);
      else
        take_settled(said, record.value, in->sequence);
    }
  }
}

static void compare_one(struct said *said, const struct charge_said *charge) {
  struct provider_entry entry;
  if (!charge->approved) return;
  if (!provider_take(said->sim->provider, charge->key, &entry)) {
    sim_fail(said->sim,
             "the log has %.*s of the opening at %" PRId64
             " approved, and the provider has moved nothing for it",
             STR_ARGS(charge->key), charge->opened_at);
  } else if (entry.kind != charge->kind || entry.amount != charge->amount) {
    sim_fail(said->sim, "the log has %" PRId64 " under %.*s, and the provider %" PRId64,
             charge->amount, STR_ARGS(charge->key), entry.amount);
  }
}

void check_books(struct sim *sim) {
  struct said said = {.sim = sim};
  read_topic(&said, "charge-requests", RECORD_REQUEST_CHARGE);
  read_topic(&said, "payment-requests", RECORD_CHARGE_SETTLED);
  provider_close_books(sim->provider);
  for (size_t i = 0; i < said.count && !sim->failed; i++) compare_one(&said, &said.charges[i]);
  struct str key;
  if (!sim->failed && provider_not_taken(sim->provider, &key))
    sim_fail(sim, "the provider has moved money for %.*s, and the log does not say so",
             STR_ARGS(key));
  free(said.charges);
}
