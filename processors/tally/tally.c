/* Counts what was sold, option by option: a reservation once when it is approved, and back when it
 * is cancelled. The revision of the outcome tells a repeat from a step. */
#include "tally.h"

#include "runtime/contract/money.h"

static void add(struct context *context, const struct reservation_outcome *outcome, int sign) {
  struct str parts[] = {outcome->item_id, outcome->option};
  struct str key = row_key(context, &tally_rows[ROW_TALLY], parts, 2);
  const struct option_tally *known = row_get(context, &tally_rows[ROW_TALLY], key);
  struct option_tally tally = known ? *known : (struct option_tally){0};
  tally.item_id = outcome->item_id;
  tally.option = outcome->option;
  tally.count += sign;
  tally.quantity += sign * (int64_t)outcome->quantity;
  money_add(&tally.sum_e18, &tally.sum, sign * outcome->amount);
  row_put(context, &tally_rows[ROW_TALLY], key, &tally);
  struct str table_key = {key.data + 1, key.size - 1}; /* behind the prefix */
  emit(context, TO_OPTION_TALLIES, table_key, RECORD_OPTION_TALLY, &tally);
}

/* The deliberately broken versions: an outcome that is said again seems to be the next step, and
 * what is cancelled never counted. */
static struct tally_entry mutated(struct tally_entry known, bool counts) {
  if (MUTANT("tally-counts-repeats"))
    known = (struct tally_entry){.revision = -1, .counted = !counts};
  if (MUTANT("tally-keeps-cancelled") && !counts) known.counted = false;
  return known;
}

static void take(struct context *context, const struct event *event) {
  const struct reservation_outcome *outcome = as_reservation_outcome(event);
  struct str parts[] = {outcome->item_id, outcome->reservation_id};
  struct str key = row_key(context, &tally_rows[ROW_ENTRY], parts, 2);
  const struct tally_entry *row = row_get(context, &tally_rows[ROW_ENTRY], key);
  if (row && outcome->opened_at > row->settled_at) row = NULL; /* its id is used again */
  bool counts = outcome->status == STATUS_APPROVED;
  struct tally_entry known = {0};
  if (row) known = mutated(*row, counts);
  if (row && outcome->revision <= known.revision) return;
  if (!row && expiry_has_gone(context, event->time, outcome->opened_at))
    return;                            /* it was counted, and its row has gone */
  if (counts == known.counted) return; /* never counted */
  add(context, outcome, counts ? 1 : -1);
  const int64_t time = expiry_step_time(event->time, outcome->opened_at);
  const struct tally_entry entry = {
      .revision = outcome->revision, .counted = counts, .settled_at = time};
  row_put(context, &tally_rows[ROW_ENTRY], key, &entry);
  const struct tallied tallied = {.reservation_id = outcome->reservation_id,
                                  .customer_id = outcome->customer_id,
                                  .item_id = outcome->item_id,
                                  .revision = outcome->revision,
                                  .counted = counts};
  emit(context, TO_RESERVATION_EVENTS, outcome->customer_id, RECORD_TALLIED, &tallied);
}

int64_t tally_opening(const struct event *event) {
  return as_reservation_outcome(event)->opened_at;
}

void tally_decide(struct context *context, const struct event *event) {
  take(context, event);
}
