/* Stock: taken at the hold, at once, and given back exactly once. A hold is named by item,
 * reservation and content, and its row remembers what became of it, so that nothing that is said
 * twice counts twice. */
#include "stock-check.h"

#include "mutant.h"

#include <stdio.h>
#include <stdlib.h>

static struct str hold_key(struct context *context, struct str item_id, struct str reservation_id,
                           int64_t content_hash) {
  if (MUTANT("hold-named-by-reservation")) content_hash = 0;
  struct str hash = scratch_format(context, "%016llx", (unsigned long long)content_hash);
  return row_key(context, &stock_check_rows[ROW_HOLD],
                 (struct str[]){item_id, reservation_id, hash}, 3);
}

static struct str item_key(struct context *context, struct str item_id) {
  return row_key(context, &stock_check_rows[ROW_ITEM], &item_id, 1);
}

/* The row and what others see of it are the same record. */
static void put_item(struct context *context, const struct stock_level *item) {
  row_put(context, &stock_check_rows[ROW_ITEM], item_key(context, item->item_id), item);
  emit(context, TO_LEVELS, item->item_id, RECORD_STOCK_LEVEL, item);
}

static void put_seats(struct context *context, const struct seat_row *seats) {
  struct str parts[] = {seats->item_id, seats->row};
  row_put(context, &stock_check_rows[ROW_SEATS],
          row_key(context, &stock_check_rows[ROW_SEATS], parts, 2), seats);
  /* In the table a row of seats stands behind its item: no id contains a NUL. */
  size_t size = parts[0].size + 1 + parts[1].size;
  char *key = scratch(context, size);
  memcpy(key, parts[0].data, parts[0].size);
  memcpy(key + parts[0].size + 1, parts[1].data, parts[1].size);
  emit(context, TO_LEVELS, (struct str){key, size}, RECORD_SEAT_ROW, seats);
}

/* ---- seats ---- */

/* A seat's row and its place in it; false if the item has no such seat. */
static bool find_seat(const struct stock_level *item, struct str seat, struct str *row,
                      size_t *place) {
  size_t dash = seat.size;
  while (dash > 0 && seat.data[dash - 1] != '-') dash--;
  if (dash < 2 || dash == seat.size || seat.size - dash > 4) return false;
  long number = 0;
  for (size_t i = dash; i < seat.size; i++) {
    if (seat.data[i] < '0' || seat.data[i] > '9') return false;
    number = number * 10 + (seat.data[i] - '0');
  }
  if (number == 0 || seat.data[dash] == '0') return false; /* A-01 is not another name of A-1 */
  *row = (struct str){seat.data, dash - 1};
  *place = (size_t)number - 1;
  for (size_t i = 0; i < item->rows.count; i++) {
    if (str_equal(item->rows.items[i].row, *row)) return number <= item->rows.items[i].seats;
  }
  return false;
}

static const struct seat_row *seats_of(struct context *context, struct str item_id,
                                       struct str row) {
  struct str parts[] = {item_id, row};
  return row_get(context, &stock_check_rows[ROW_SEATS],
                 row_key(context, &stock_check_rows[ROW_SEATS], parts, 2));
}

static enum reason check_seats(struct context *context, const struct stock_level *item,
                               const struct request_hold *request) {
  struct str row;
  size_t place;
  for (size_t i = 0; i < request->seats.count; i++) {
    if (!find_seat(item, request->seats.items[i], &row, &place)) return REASON_UNKNOWN_SEAT;
  }
  for (size_t i = 0; i < request->seats.count; i++) {
    find_seat(item, request->seats.items[i], &row, &place);
    if (seats_of(context, item->item_id, row)->seats.data[place] != '.') return REASON_SEAT_TAKEN;
  }
  return REASON_NONE;
}

static void mark_seats(struct context *context, const struct stock_level *item,
                       const struct str *seats, size_t count, char mark) {
  for (size_t i = 0; i < count; i++) {
    struct str row;
    size_t place;
    if (!find_seat(item, seats[i], &row, &place))
      continue; /* a hold only ever has seats of its item */
    struct seat_row changed = *seats_of(context, item->item_id, row);
    char *marks = scratch(context, changed.seats.size + 1);
    memcpy(marks, changed.seats.data, changed.seats.size);
    marks[place] = mark;
    changed.seats.data = marks;
    put_seats(context, &changed);
  }
}

/* ---- holds ---- */

static bool has_option(const struct stock_level *item, struct str option) {
  if (item->options.count == 0) return option.size == 0;
  for (size_t i = 0; i < item->options.count; i++) {
    if (str_equal(item->options.items[i], option)) return true;
  }
  return false;
}

static enum reason check_hold(struct context *context, const struct stock_level *item,
                              const struct request_hold *request) {
  if (!item) return REASON_UNKNOWN_ITEM;
  if (item->closed) return REASON_CLOSED;
  if (!has_option(item, request->option)) return REASON_UNKNOWN_OPTION;
  if ((item->rows.count > 0) != (request->seats.count > 0))
    return REASON_UNKNOWN_SEAT; /* seats of an item without, or none chosen */
  if (request->quantity > item->max_per_reservation) return REASON_OVER_LIMIT;
  if (request->seats.count) return check_seats(context, item, request);
  if (MUTANT("sold-units-forgotten"))
    return request->quantity > item->capacity - item->held ? REASON_SOLD_OUT : REASON_NONE;
  return request->quantity > item->capacity - item->held - item->sold ? REASON_SOLD_OUT
                                                                      : REASON_NONE;
}

static void refuse_hold(struct context *context, const struct request_hold *request, struct str key,
                        enum reason reason) {
  const struct hold refused = {.state = HOLD_STATE_REFUSED, .reason = reason};
  row_put(context, &stock_check_rows[ROW_HOLD], key, &refused);
  const struct stock_refused answer = {.reservation_id = request->reservation_id,
                                       .item_id = request->item_id,
                                       .content_hash = request->content_hash,
                                       .reason = reason};
  emit(context, TO_LEDGER, request->reservation_id, RECORD_STOCK_REFUSED, &answer);
}

static void request_hold(struct context *context, const struct request_hold *request) {
  struct str key =
      hold_key(context, request->item_id, request->reservation_id, request->content_hash);
  const struct hold *known = row_get(context, &stock_check_rows[ROW_HOLD], key);
  if (known && !(MUTANT("refused-hold-tried-again") && known->state == HOLD_STATE_REFUSED))
    return; /* a repeat: it was answered, whatever became of it since */
  const struct stock_level *item =
      row_get(context, &stock_check_rows[ROW_ITEM], item_key(context, request->item_id));
  enum reason reason = check_hold(context, item, request);
  if (reason != REASON_NONE) {
    refuse_hold(context, request, key, reason);
    return;
  }
  struct stock_level changed = *item;
  changed.held += request->quantity;
  mark_seats(context, item, request->seats.items, request->seats.count, 'x');
  put_item(context, &changed);
  struct hold hold = {.state = HOLD_STATE_HELD, .quantity = request->quantity};
  memcpy(&hold.seats, &request->seats, sizeof hold.seats);
  row_put(context, &stock_check_rows[ROW_HOLD], key, &hold);
  /* Where the item has a price, that is what is paid; where it has none, the customer says (a bet).
   */
  int64_t amount = item->price ? item->price * request->quantity : request->amount;
  const struct stock_held answer = {.reservation_id = request->reservation_id,
                                    .item_id = request->item_id,
                                    .content_hash = request->content_hash,
                                    .quantity = request->quantity,
                                    .amount = amount,
                                    .payment = item->payment,
                                    .hold_seconds = item->hold_seconds,
                                    .screen = item->screen};
  emit(context, TO_LEDGER, request->reservation_id, RECORD_STOCK_HELD, &answer);
}

/* Confirms and releases of a hold that is not there, or has ended, are ignored. */
static void confirm_hold(struct context *context, const struct confirm_hold *confirm) {
  struct str key =
      hold_key(context, confirm->item_id, confirm->reservation_id, confirm->content_hash);
  const struct hold *hold = row_get(context, &stock_check_rows[ROW_HOLD], key);
  if (!hold || hold->state != HOLD_STATE_HELD) return;
  struct stock_level item = *(const struct stock_level *)row_get(
      context, &stock_check_rows[ROW_ITEM], item_key(context, confirm->item_id));
  item.held -= hold->quantity;
  item.sold += hold->quantity;
  put_item(context, &item);
  struct hold sold = *hold;
  sold.state = HOLD_STATE_SOLD;
  row_put(context, &stock_check_rows[ROW_HOLD], key, &sold);
}

static void release_hold(struct context *context, const struct release_hold *release) {
  struct str key =
      hold_key(context, release->item_id, release->reservation_id, release->content_hash);
  const struct hold *hold = row_get(context, &stock_check_rows[ROW_HOLD], key);
  if (MUTANT("hold-released-twice") && hold && hold->state == HOLD_STATE_ENDED) {
    /* falls through: the units come back once more */
  } else if (!hold || (hold->state != HOLD_STATE_HELD && hold->state != HOLD_STATE_SOLD)) {
    return;
  }
  struct stock_level item = *(const struct stock_level *)row_get(
      context, &stock_check_rows[ROW_ITEM], item_key(context, release->item_id));
  *(hold->state == HOLD_STATE_HELD ? &item.held : &item.sold) -= hold->quantity;
  if (!MUTANT("seats-not-freed"))
    mark_seats(context, &item, hold->seats.items, hold->seats.count, '.');
  put_item(context, &item);
  struct hold ended = *hold;
  ended.state = HOLD_STATE_ENDED;
  row_put(context, &stock_check_rows[ROW_HOLD], key, &ended);
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
  emit(context, TO_EVENTS, sender, RECORD_COMMAND_REFUSED, &refused);
}

static bool same_rows(const struct stock_level *item, const struct register_item *command) {
  if (item->rows.count != command->rows.count) return false;
  for (size_t i = 0; i < item->rows.count; i++) {
    const struct seat_row_plan *a = &item->rows.items[i], *b = &command->rows.items[i];
    if (a->seats != b->seats || !str_equal(a->row, b->row)) return false;
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
  const struct register_item *command = event->value;
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
  memcpy(&item.rows, &command->rows, sizeof item.rows);
  memcpy(&item.options, &command->options, sizeof item.options);
  for (size_t i = 0; i < command->rows.count; i++) {
    const struct seat_row_plan *plan = &command->rows.items[i];
    char *free_seats = memset(scratch(context, (size_t)plan->seats), '.', (size_t)plan->seats);
    const struct seat_row row = {
        .item_id = command->item_id, .row = plan->row, .seats = {free_seats, (size_t)plan->seats}};
    put_seats(context, &row);
    item.capacity += plan->seats;
  }
  put_item(context, &item);
}

static void receive_stock(struct context *context, const struct event *event) {
  const struct receive_stock *command = event->value;
  struct str parts[] = {command->item_id, command->receipt_id};
  struct str key = row_key(context, &stock_check_rows[ROW_RECEIPT], parts, 2);
  const struct stock_level *known =
      row_get(context, &stock_check_rows[ROW_ITEM], item_key(context, command->item_id));
  if (!known) {
    refuse_command(context, event, "ReceiveStock", command->manager_id, command->item_id,
                   REFUSAL_UNKNOWN_ITEM, "the item is not registered");
  } else if (known->rows.count) {
    refuse_command(context, event, "ReceiveStock", command->manager_id, command->item_id,
                   REFUSAL_NOT_COUNTED, "the item has named seats: there are no units to receive");
  } else if (row_get(context, &stock_check_rows[ROW_RECEIPT], key) &&
             !MUTANT("receipt-counted-twice")) {
    return; /* the same receipt again */
  } else if (command->quantity > INT32_MAX - known->capacity) {
    refuse_command(context, event, "ReceiveStock", command->manager_id, command->item_id,
                   REFUSAL_OVERFLOW, "the capacity would pass 2147483647");
  } else {
    struct stock_level item = *known;
    item.capacity += command->quantity;
    item.received += command->quantity;
    put_item(context, &item);
    row_put(context, &stock_check_rows[ROW_RECEIPT], key,
            &(struct receipt){.quantity = command->quantity});
  }
}

static void close_item(struct context *context, const struct event *event) {
  const struct close_item *command = event->value;
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

void stock_check_decide(struct context *context, const struct event *event) {
  switch (event->type) {
    case RECORD_REQUEST_HOLD: request_hold(context, event->value); return;
    case RECORD_CONFIRM_HOLD: confirm_hold(context, event->value); return;
    case RECORD_RELEASE_HOLD: release_hold(context, event->value); return;
    case RECORD_REGISTER_ITEM: register_item(context, event); return;
    case RECORD_RECEIVE_STOCK: receive_stock(context, event); return;
    case RECORD_CLOSE_ITEM: close_item(context, event); return;
    default: return;
  }
}
