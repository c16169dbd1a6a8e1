/* A hold is named by item, reservation and content, and its row remembers what became of it, so
 * that nothing that is said twice counts twice. */
#include "holds.h"

#include "items.h"
#include "seats.h"
#include "stock-check.h"

/* ---- the deliberately broken versions ---- */

static int64_t mutated_hash(int64_t content_hash) {
  return MUTANT("hold-named-by-reservation") ? 0 : content_hash;
}

static int32_t mutated_sold(const struct stock_level *item) {
  return MUTANT("sold-units-forgotten") ? 0 : item->sold;
}

static const struct hold *mutated_hold(struct context *context, const struct hold *hold) {
  if (!hold) return NULL;
  if (MUTANT("refused-hold-tried-again") && hold->state == HOLD_STATE_REFUSED) return NULL;
  if (!MUTANT("hold-released-twice") || hold->state != HOLD_STATE_ENDED) return hold;
  struct hold *sold = scratch(context, sizeof *sold);
  *sold = *hold;
  sold->state = HOLD_STATE_SOLD;
  return sold;
}

/* ---- rows ---- */

struct str hold_key(struct context *context, struct str item_id, struct str reservation_id,
                    int64_t content_hash) {
  struct str hash = scratch_hex(context, (uint64_t)mutated_hash(content_hash));
  return row_key(context, &stock_check_rows[ROW_HOLD],
                 (struct str[]){item_id, reservation_id, hash}, 3);
}

static const struct hold *hold_get(struct context *context, struct str key) {
  return mutated_hold(context, row_get(context, &stock_check_rows[ROW_HOLD], key));
}

/* ---- what is held, and what is not ---- */

static int32_t units_left(const struct stock_level *item) {
  return item->capacity - item->held - mutated_sold(item);
}

static bool has_option(const struct stock_level *item, struct str option) {
  if (item->options.count == 0) return option.size == 0;
  for (size_t i = 0; i < item->options.count; i++) {
    if (str_equal(item->options.items[i], option)) return true;
  }
  return false;
}

/* Seats that are named are checked, and where the item has seats and fewer are named than wanted,
 * the best are found: *seats is what the hold takes. */
static enum reason check_hold(struct context *context, const struct stock_level *item,
                              const struct request_hold *request, struct str_list *seats) {
  if (!item) return REASON_UNKNOWN_ITEM;
  if (item->closed) return REASON_CLOSED;
  if (!has_option(item, request->option)) return REASON_UNKNOWN_OPTION;
  if (request->seats.count && !item->rows.count) return REASON_UNKNOWN_SEAT;
  if (request->quantity > item->max_per_reservation) return REASON_OVER_LIMIT;
  *seats = request->seats;
  enum reason wrong = seats_check(context, item, seats);
  if (wrong != REASON_NONE || seats->count == (size_t)request->quantity) return wrong;
  if (request->quantity > units_left(item)) return REASON_SOLD_OUT;
  return item->rows.count ? seats_choose(context, item, request->quantity, seats) : REASON_NONE;
}

/* A hold that is not held any more has settled: its row goes later. */
static void put_hold(struct context *context, struct str key, struct hold *hold, int64_t time) {
  time = expiry_step_time(time, hold->requested_at);
  hold->settled_at = hold->state == HOLD_STATE_HELD ? 0 : time;
  row_put(context, &stock_check_rows[ROW_HOLD], key, hold);
}

static void refuse_hold(struct context *context, const struct request_hold *request,
                        enum reason reason) {
  const struct stock_refused answer = {.reservation_id = request->reservation_id,
                                       .item_id = request->item_id,
                                       .content_hash = request->content_hash,
                                       .reason = reason};
  emit(context, TO_PAYMENT_REQUESTS, request->reservation_id, RECORD_STOCK_REFUSED, &answer);
}

/* An item's price decides the amount; if it has none, the customer does (a bet). */
static int64_t amount_of(const struct stock_level *item, const struct request_hold *request) {
  return item->price ? item->price * request->quantity : request->amount;
}

static void take(struct context *context, const struct event *event, struct str key,
                 const struct stock_level *item, const struct str_list *seats) {
  const struct request_hold *request = as_request_hold(event);
  struct stock_level changed = *item;
  changed.held += request->quantity;
  seats_mark(context, item, seats, 'x');
  item_put(context, &changed);
  struct hold hold = {.state = HOLD_STATE_HELD,
                      .quantity = request->quantity,
                      .seats = *seats,
                      .requested_at = event->time};
  put_hold(context, key, &hold, event->time);
  const struct stock_held answer = {.reservation_id = request->reservation_id,
                                    .item_id = request->item_id,
                                    .content_hash = request->content_hash,
                                    .quantity = request->quantity,
                                    .amount = amount_of(item, request),
                                    .payment = item->payment,
                                    .hold_seconds = item->hold_seconds,
                                    .screen = item->screen,
                                    .seats = *seats};
  emit(context, TO_PAYMENT_REQUESTS, request->reservation_id, RECORD_STOCK_HELD, &answer);
}

void hold_request(struct context *context, const struct event *event) {
  const struct request_hold *request = as_request_hold(event);
  struct str key =
      hold_key(context, request->item_id, request->reservation_id, request->content_hash);
  const struct hold *known = hold_get(context, key);
  bool is_free = known && expiry_is_free(context, known->settled_at, event->time);
  bool is_doubted = known && !is_free && expiry_may_be_another(known->settled_at, event->time);
  if (known && !is_free && !is_doubted)
    return; /* a repeat: it was answered, whatever became of it since */
  /* Its row may have gone, or its id is not free for sure: then the ledger may be surer, and it
   * waits for an answer. */
  if (is_doubted || expiry_is_old(context, event->time)) {
    refuse_hold(context, request, REASON_TOO_OLD);
    return;
  }
  const struct stock_level *item = item_get(context, request->item_id);
  struct str_list seats;
  enum reason reason = check_hold(context, item, request, &seats);
  if (reason != REASON_NONE) {
    struct hold refused = {
        .state = HOLD_STATE_REFUSED, .reason = reason, .requested_at = event->time};
    put_hold(context, key, &refused, event->time);
    refuse_hold(context, request, reason);
    return;
  }
  take(context, event, key, item, &seats);
}

/* Confirms and releases of a hold that has ended were said before, and are ignored. One whose row
 * is not there has gone: it was said before too, or a wrong clock let its row go early, and its
 * units do not come back. So it is counted. */
void hold_confirm(struct context *context, const struct event *event) {
  const struct confirm_hold *confirm = as_confirm_hold(event);
  struct str key =
      hold_key(context, confirm->item_id, confirm->reservation_id, confirm->content_hash);
  const struct hold *hold = hold_get(context, key);
  if (!hold) expiry_missed(context);
  if (!hold || hold->state != HOLD_STATE_HELD) return;
  struct stock_level item = *item_get(context, confirm->item_id);
  item.held -= hold->quantity;
  item.sold += hold->quantity;
  item_put(context, &item);
  struct hold sold = *hold;
  sold.state = HOLD_STATE_SOLD;
  put_hold(context, key, &sold, event->time);
}

void hold_release(struct context *context, const struct event *event) {
  const struct release_hold *release = as_release_hold(event);
  struct str key =
      hold_key(context, release->item_id, release->reservation_id, release->content_hash);
  const struct hold *hold = hold_get(context, key);
  if (!hold) expiry_missed(context);
  if (!hold || (hold->state != HOLD_STATE_HELD && hold->state != HOLD_STATE_SOLD)) return;
  struct stock_level item = *item_get(context, release->item_id);
  if (hold->state == HOLD_STATE_HELD) {
    item.held -= hold->quantity;
  } else {
    item.sold -= hold->quantity;
  }
  seats_mark(context, &item, &hold->seats, '.');
  item_put(context, &item);
  struct hold ended = *hold;
  ended.state = HOLD_STATE_ENDED;
  put_hold(context, key, &ended, event->time);
}
