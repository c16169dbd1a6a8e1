/* Items: registered once, received by receipts that count once, closed. */
#include "items.h"

#include "seats.h"
#include "stock-check.h"

struct str item_key(struct context *context, struct str item_id) {
  return row_key(context, &stock_check_rows[ROW_ITEM], &item_id, 1);
}

const struct stock_level *item_get(struct context *context, struct str item_id) {
  return row_get(context, &stock_check_rows[ROW_ITEM], item_key(context, item_id));
}

void item_put(struct context *context, const struct stock_level *item) {
  row_put(context, &stock_check_rows[ROW_ITEM], item_key(context, item->item_id), item);
  emit(context, TO_STOCK_LEVELS, item->item_id, RECORD_STOCK_LEVEL, item);
}

/* To the manager, or to whoever listens for the item. */
static void refuse(struct context *context, const struct event *event,
                   struct command_refused refused) {
  if (!refused.sender_id.size) refused.sender_id = refused.item_id;
  refused.place = event->cause;
  emit(context, TO_RESERVATION_EVENTS, refused.sender_id, RECORD_COMMAND_REFUSED, &refused);
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

static void refuse_differing(struct context *context, const struct event *event) {
  const struct register_item *command = as_register_item(event);
  refuse(context, event,
         (struct command_refused){.command = STR("RegisterItem"),
                                  .sender_id = command->manager_id,
                                  .item_id = command->item_id,
                                  .refusal = REFUSAL_ITEM_DIFFERS,
                                  .detail = STR("the item is registered with another content; its "
                                                "capacity grows by ReceiveStock only")});
}

static void put_free_row(struct context *context, struct str item_id,
                         const struct seat_row_plan *plan) {
  char *free_seats = memset(scratch(context, (size_t)plan->seats), '.', (size_t)plan->seats);
  const struct seat_row row = {.item_id = item_id,
                               .row = plan->row,
                               .seats = {free_seats, (size_t)plan->seats},
                               .first = plan->first};
  seats_put(context, &row);
}

void item_register(struct context *context, const struct event *event) {
  const struct register_item *command = as_register_item(event);
  const struct stock_level *known = item_get(context, command->item_id);
  if (known) {
    if (!same_item(known, command)) refuse_differing(context, event);
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
    put_free_row(context, command->item_id, &command->rows.items[i]);
    item.capacity += command->rows.items[i].seats;
  }
  item_put(context, &item);
}

/* The deliberately broken version. */
static const struct receipt *mutated(const struct receipt *counted) {
  return MUTANT("receipt-counted-twice") ? NULL : counted;
}

static void refuse_receipt(struct context *context, const struct event *event, enum refusal refusal,
                           const char *detail) {
  const struct receive_stock *command = as_receive_stock(event);
  refuse(context, event,
         (struct command_refused){.command = STR("ReceiveStock"),
                                  .sender_id = command->manager_id,
                                  .item_id = command->item_id,
                                  .refusal = refusal,
                                  .detail = str_of(detail)});
}

static void count_receipt(struct context *context, const struct event *event,
                          const struct stock_level *known, struct str key) {
  const struct receive_stock *command = as_receive_stock(event);
  struct stock_level item = *known;
  item.capacity += command->quantity;
  item.received += command->quantity;
  item_put(context, &item);
  const struct receipt receipt = {.quantity = command->quantity, .settled_at = event->time};
  row_put(context, &stock_check_rows[ROW_RECEIPT], key, &receipt);
}

void item_receive(struct context *context, const struct event *event) {
  const struct receive_stock *command = as_receive_stock(event);
  struct str parts[] = {command->item_id, command->receipt_id};
  struct str key = row_key(context, &stock_check_rows[ROW_RECEIPT], parts, 2);
  const struct receipt *counted = mutated(row_get(context, &stock_check_rows[ROW_RECEIPT], key));
  bool is_free = counted && expiry_is_free(context, counted->settled_at, event->time);
  bool is_doubted = counted && !is_free && expiry_is_another(counted->settled_at, event->time);
  if (is_free || is_doubted) counted = NULL;
  const struct stock_level *known = item_get(context, command->item_id);
  if (!known) {
    refuse_receipt(context, event, REFUSAL_UNKNOWN_ITEM, "the item is not registered");
  } else if (known->rows.count) {
    refuse_receipt(context, event, REFUSAL_NOT_COUNTED,
                   "the item has named seats: there are no units to receive");
  } else if (counted) {
    return; /* the same receipt again */
  } else if (is_doubted) {
    refuse_receipt(context, event, REFUSAL_ID_REUSED,
                   "a receipt of that id was counted long ago, and it is not sure that the id is "
                   "free again: send it under another id");
  } else if (expiry_is_old(context, event->time)) {
    refuse_receipt(context, event, REFUSAL_TOO_OLD,
                   "it lay for longer than receipts are remembered");
  } else if (command->quantity > INT32_MAX - known->capacity) {
    refuse_receipt(context, event, REFUSAL_OVERFLOW, "the capacity would pass 2147483647");
  } else {
    count_receipt(context, event, known, key);
  }
}

void item_close(struct context *context, const struct event *event) {
  const struct close_item *command = as_close_item(event);
  const struct stock_level *known = item_get(context, command->item_id);
  if (!known) {
    refuse(context, event,
           (struct command_refused){.command = STR("CloseItem"),
                                    .sender_id = command->manager_id,
                                    .item_id = command->item_id,
                                    .refusal = REFUSAL_UNKNOWN_ITEM,
                                    .detail = STR("the item is not registered")});
    return;
  }
  struct stock_level item = *known;
  item.closed = true;
  item_put(context, &item);
}
