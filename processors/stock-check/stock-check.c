/* Stock: taken at the hold, at once, and given back exactly once. A hold is named by item,
 * reservation and content, and its row remembers what became of it, so that nothing that is said
 * twice counts twice. */
#include "stock-check.h"

#include "seats.h"

static struct str hold_key(struct context *context, struct str item_id, struct str reservation_id,
                           int64_t content_hash) {
  if (MUTANT("hold-named-by-reservation")) content_hash = 0;
  struct str hash = scratch_hex(context, (uint64_t)content_hash);
  return row_key(context, &stock_check_rows[ROW_HOLD],
                 (struct str[]){item_id, reservation_id, hash}, 3);
}

static struct str item_key(struct context *context, struct str item_id) {
  return row_key(context, &stock_check_rows[ROW_ITEM], &item_id, 1);
}

/* The row and what others see of it are the same record. */
static void put_item(struct context *context, const struct stock_level *item) {
  row_put(context, &stock_check_rows[ROW_ITEM], item_key(context, item->item_id), item);
  emit(context, TO_STOCK_LEVELS, item->item_id, RECORD_STOCK_LEVEL, item);
}

/* ---- holds ---- */

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
                              const struct request_hold *request, struct seat_list *seats) {
  if (!item) return REASON_UNKNOWN_ITEM;
  if (item->closed) return REASON_CLOSED;
  if (!has_option(item, request->option)) return REASON_UNKNOWN_OPTION;
  if (request->seats.count && !item->rows.count) return REASON_UNKNOWN_SEAT;
  if (request->quantity > item->max_per_reservation) return REASON_OVER_LIMIT;
  *seats = (struct seat_list){request->seats.count, request->seats.items};
  enum reason wrong = seats_check(context, item, seats);
  if (wrong != REASON_NONE || seats->count == (size_t)request->quantity) return wrong;
  if (MUTANT("sold-units-forgotten"))
    return request->quantity > item->capacity - item->held ? REASON_SOLD_OUT : REASON_NONE;
  if (request->quantity > item->capacity - item->held - item->sold) return REASON_SOLD_OUT;
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

static void request_hold(struct context *context, const struct event *event) {
  const struct request_hold *request = as_request_hold(event);
  struct str key =
      hold_key(context, request->item_id, request->reservation_id, request->content_hash);
  const struct hold *known = row_get(context, &stock_check_rows[ROW_HOLD], key);
  bool is_free = known && expiry_is_free(context, known->settled_at, event->time);
  bool is_doubted = known && !is_free && expiry_may_be_another(known->settled_at, event->time);
  if (is_free || is_doubted) known = NULL;
  if (known && !(MUTANT("refused-hold-tried-again") && known->state == HOLD_STATE_REFUSED))
    return; /* a repeat: it was answered, whatever became of it since */
  /* Its row may have gone, or its id is not free for sure: then the ledger may be surer, and it
   * waits for an answer. */
  if (is_doubted || (!known && expiry_is_old(context, event->time))) {
    refuse_hold(context, request, REASON_TOO_OLD);
    return;
  }
  const struct stock_level *item =
      row_get(context, &stock_check_rows[ROW_ITEM], item_key(context, request->item_id));
  struct seat_list seats;
  enum reason reason = check_hold(context, item, request, &seats);
  if (reason != REASON_NONE) {
    struct hold refused = {
        .state = HOLD_STATE_REFUSED, .reason = reason, .requested_at = event->time};
    put_hold(context, key, &refused, event->time);
    refuse_hold(context, request, reason);
    return;
  }
  struct stock_level changed = *item;
  changed.held += request->quantity;
  seats_mark(context, item, &seats, 'x');
  put_item(context, &changed);
  struct hold hold = {
      .state = HOLD_STATE_HELD, .quantity = request->quantity, .requested_at = event->time};
  hold.seats.count = seats.count;
  hold.seats.items = seats.items;
  put_hold(context, key, &hold, event->time);
  /* Where the item has a price, that is what is paid; where it has none, the customer says (a bet).
   */
  int64_t amount = item->price ? item->price * request->quantity : request->amount;
  struct stock_held answer = {.reservation_id = request->reservation_id,
                              .item_id = request->item_id,
                              .content_hash = request->content_hash,
                              .quantity = request->quantity,
                              .amount = amount,
                              .payment = item->payment,
                              .hold_seconds = item->hold_seconds,
                              .screen = item->screen};
  answer.seats.count = seats.count;
  answer.seats.items = seats.items;
  emit(context, TO_PAYMENT_REQUESTS, request->reservation_id, RECORD_STOCK_HELD, &answer);
}

/* Confirms and releases of a hold that has ended were said before, and are ignored. One whose row
 * is not there has gone: it was said before too, or a wrong clock let its row go early, and its
 * units do not come back. So it is counted. */
static void confirm_hold(struct context *context, const struct event *event) {
  const struct confirm_hold *confirm = as_confirm_hold(event);
  struct str key =
      hold_key(context, confirm->item_id, confirm->reservation_id, confirm->content_hash);
  const struct hold *hold = row_get(context, &stock_check_rows[ROW_HOLD], key);
  if (!hold) expiry_missed(context);
  if (!hold || hold->state != HOLD_STATE_HELD) return;
  struct stock_level item = *(const struct stock_level *)row_get(
      context, &stock_check_rows[ROW_ITEM], item_key(context, confirm->item_id));
  item.held -= hold->quantity;
  item.sold += hold->quantity;
  put_item(context, &item);
  struct hold sold = *hold;
  sold.state = HOLD_STATE_SOLD;
  put_hold(context, key, &sold, event->time);
}

static void release_hold(struct context *context, const struct event *event) {
  const struct release_hold *release = as_release_hold(event);
  struct str key =
      hold_key(context, release->item_id, release->reservation_id, release->content_hash);
  const struct hold *hold = row_get(context, &stock_check_rows[ROW_HOLD], key);
  if (!hold) expiry_missed(context);
  if (MUTANT("hold-released-twice") && hold && hold->state == HOLD_STATE_ENDED) {
    /* falls through: the units come back once more */
  } else if (!hold || (hold->state != HOLD_STATE_HELD && hold->state != HOLD_STATE_SOLD)) {
    return;
  }
  struct stock_level item = *(const struct stock_level *)row_get(
      context, &stock_check_rows[ROW_ITEM], item_key(context, release->item_id));
  *(hold->state == HOLD_STATE_HELD ? &item.held : &item.sold) -= hold->quantity;
  if (!MUTANT("seats-not-freed"))
    seats_mark(context, &item, &(struct seat_list){hold->seats.count, hold->seats.items}, '.');
  put_item(context, &item);
  struct hold ended = *hold;
  ended.state = HOLD_STATE_ENDED;
  put_hold(context, key, &ended, event->time);
}

/* ---- items ---- */

static void refuse_command(struct context *context, const struct event *event, const char *command,
                           struct str manager_id, struct str item_id, enum refusal refusal,
                           const char *detail) {
  struct str sender = manager_id.size ? manager_id : item_id;
  const struct command_refused refused = {.sender_id = sender,
                                          .command = str_of(command),
                                          .item_id = item_id,
                                          .refusal = refusal,
                                          .detail = str_of(detail),
                                          .place = event->cause};
  emit(context, TO_RESERVATION_EVENTS, sender, RECORD_COMMAND_REFUSED, &refused);
}

static bool same_rows(const struct stock_level *item, const struct register_item *command) {
  if (item->rows.count != command->rows.count) return false;
  for (size_t i = 0; i < item->rows.count; i++) {
    const struct seat_row_plan *a = &item->rows.items[i], *b = &command->rows.items[i];
    if (a->seats != b->seats || a->first != b->first || !str_equal(a->row, b->row)) return false;
  }
  return true;
}

static bool same_item(const struct stock_level *item, const struct register_item *command) {
  bool same = str_equal(item->title, command->title) && item->kind == command->kind &&
              item->max_per_reservation == command->max_per_reservation &&
              item->price == command->price && item->payment == command->payment &&
              item->hold_seconds == command->hold_seconds &&
              str_equal(item->screen, command->screen) &&
              item->options.count == command->options.count && same_rows(item, command);
  for (size_t i = 0; same && i < item->options.count; i++)
    same = str_equal(item->options.items[i], command->options.items[i]);
  return same && (item->rows.count || item->capacity - item->received == command->capacity);
}

static void register_item(struct context *context, const struct event *event) {
  const struct register_item *command = as_register_item(event);
  const struct stock_level *known =
      row_get(context, &stock_check_rows[ROW_ITEM], item_key(context, command->item_id));
  if (known) {
    if (!same_item(known, command)) {
      refuse_command(
          context, event, "RegisterItem", command->manager_id, command->item_id,
          REFUSAL_ITEM_DIFFERS,
          "the item is registered with another content; its capacity grows by ReceiveStock only");
    }
    return;
  }
  struct stock_level item = {.item_id = command->item_id,
                             .title = command->title,
                             .kind = command->kind,
                             .capacity = command->capacity,
                             .max_per_reservation = command->max_per_reservation,
                             .price = command->price,
                             .payment = command->payment,
                             .hold_seconds = command->hold_seconds,
                             .screen = command->screen};
  item.rows = command->rows;
  item.options = command->options;
  for (size_t i = 0; i < command->rows.count; i++) {
    const struct seat_row_plan *plan = &command->rows.items[i];
    char *free_seats = memset(scratch(context, (size_t)plan->seats), '.', (size_t)plan->seats);
    const struct seat_row row = {.item_id = command->item_id,
                                 .row = plan->row,
                                 .seats = {free_seats, (size_t)plan->seats},
                                 .first = plan->first};
    seats_put(context, &row);
    item.capacity += plan->seats;
  }
  put_item(context, &item);
}

static void receive_stock(struct context *context, const struct event *event) {
  const struct receive_stock *command = as_receive_stock(event);
  struct str parts[] = {command->item_id, command->receipt_id};
  struct str key = row_key(context, &stock_check_rows[ROW_RECEIPT], parts, 2);
  const struct receipt *counted = row_get(context, &stock_check_rows[ROW_RECEIPT], key);
  bool is_free = counted && expiry_is_free(context, counted->settled_at, event->time);
  bool is_doubted = counted && !is_free && expiry_is_another(counted->settled_at, event->time);
  if (is_free || is_doubted) counted = NULL;
  const struct stock_level *known =
      row_get(context, &stock_check_rows[ROW_ITEM], item_key(context, command->item_id));
  if (!known) {
    refuse_command(context, event, "ReceiveStock", command->manager_id, command->item_id,
                   REFUSAL_UNKNOWN_ITEM, "the item is not registered");
  } else if (known->rows.count) {
    refuse_command(context, event, "ReceiveStock", command->manager_id, command->item_id,
                   REFUSAL_NOT_COUNTED, "the item has named seats: there are no units to receive");
  } else if (counted && !MUTANT("receipt-counted-twice")) {
    return; /* the same receipt again */
  } else if (is_doubted) {
    refuse_command(context, event, "ReceiveStock", command->manager_id, command->item_id,
                   REFUSAL_ID_REUSED,
                   "a receipt of that id was counted long ago, and it is not sure that the id is "
                   "free again: send it under another id");
  } else if (expiry_is_old(context, event->time)) {
    refuse_command(context, event, "ReceiveStock", command->manager_id, command->item_id,
                   REFUSAL_TOO_OLD, "it lay for longer than receipts are remembered");
  } else if (command->quantity > INT32_MAX - known->capacity) {
    refuse_command(context, event, "ReceiveStock", command->manager_id, command->item_id,
                   REFUSAL_OVERFLOW, "the capacity would pass 2147483647");
  } else {
    struct stock_level item = *known;
    item.capacity += command->quantity;
    item.received += command->quantity;
    put_item(context, &item);
    row_put(context, &stock_check_rows[ROW_RECEIPT], key,
            &(struct receipt){.quantity = command->quantity, .settled_at = event->time});
  }
}

static void close_item(struct context *context, const struct event *event) {
  const struct close_item *command = as_close_item(event);
  const struct stock_level *known =
      row_get(context, &stock_check_rows[ROW_ITEM], item_key(context, command->item_id));
  if (!known) {
    refuse_command(context, event, "CloseItem", command->manager_id, command->item_id,
                   REFUSAL_UNKNOWN_ITEM, "the item is not registered");
    return;
  }
  struct stock_level item = *known;
  item.closed = true;
  put_item(context, &item);
}

/* A hold or a receipt, by the prefix of its key. */
int64_t stock_check_opening(const struct event *event) {
  bool opens = event->type == RECORD_REQUEST_HOLD || event->type == RECORD_RECEIVE_STOCK;
  return opens ? event->time : 0;
}

static void want_hold(struct context *context, struct str item_id, struct str reservation_id,
                      int64_t content_hash) {
  row_want(context, hold_key(context, item_id, reservation_id, content_hash));
  row_want(context, item_key(context, item_id));
}

void stock_check_prefetch(struct context *context, const struct event *event) {
  const struct request_hold *request = as_request_hold(event);
  const struct confirm_hold *confirm = as_confirm_hold(event);
  const struct release_hold *release = as_release_hold(event);
  if (event->type == RECORD_REQUEST_HOLD) {
    want_hold(context, request->item_id, request->reservation_id, request->content_hash);
  } else if (event->type == RECORD_CONFIRM_HOLD) {
    want_hold(context, confirm->item_id, confirm->reservation_id, confirm->content_hash);
  } else if (event->type == RECORD_RELEASE_HOLD) {
    want_hold(context, release->item_id, release->reservation_id, release->content_hash);
  }
}

void stock_check_decide(struct context *context, const struct event *event) {
  switch (event->type) {
    case RECORD_REQUEST_HOLD: request_hold(context, event); break;
    case RECORD_CONFIRM_HOLD: confirm_hold(context, event); break;
    case RECORD_RELEASE_HOLD: release_hold(context, event); break;
    case RECORD_REGISTER_ITEM: register_item(context, event); break;
    case RECORD_RECEIVE_STOCK: receive_stock(context, event); break;
    case RECORD_CLOSE_ITEM: close_item(context, event); break;
    default: break;
  }
}
