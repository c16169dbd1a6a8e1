/* The entrance: every command is checked once, here, and opened in the ledger before anything else
 * is said about it. */
#include "reserve-requested.h"

#define XXH_INLINE_ALL /* a decision depends on nothing that has to be linked */
#include <xxhash.h>

#define ID_MAX 64
#define TEXT_MAX 256
#define SEATS_MAX 100
#define OPTIONS_PER_ITEM_MAX 100
#define ROWS_MAX 1000
#define ROW_NAME_MAX 16
#define SEATS_PER_ROW_MAX 1000
#define SEAT_FIRST_MAX 9000
#define PRICE_MAX INT64_C(1000000000000)
#define QUANTITY_MAX 1000000 /* of one reservation: with PRICE_MAX no product leaves 64 bits */
#define HOLD_SECONDS_MAX 31536000

/* ---- what a valid field is: each returns what is wrong, or NULL ---- */

static bool printable(struct str text) {
  for (size_t i = 0; i < text.size; i++) {
    unsigned char c = (unsigned char)text.data[i];
    if (c < 0x20 || c == 0x7f) return false; /* a NUL would run into the next part of a row's key */
  }
  return true;
}

static bool valid_id(struct str id) {
  return id.size >= 1 && id.size <= ID_MAX && printable(id);
}

static bool valid_text(struct str text) {
  return text.size >= 1 && text.size <= TEXT_MAX && printable(text);
}

static bool listed_before(const struct str *items, size_t index) {
  for (size_t i = 0; i < index; i++) {
    if (str_equal(items[i], items[index])) return true;
  }
  return false;
}

static const char *wrong_rows(const struct register_item *item) {
  if (item->rows.count > ROWS_MAX) return "more than 1000 rows";
  for (size_t i = 0; i < item->rows.count; i++) {
    const struct seat_row_plan *row = &item->rows.items[i];
    if (row->row.size < 1 || row->row.size > ROW_NAME_MAX || !printable(row->row))
      return "a row's name must have 1 to 16 bytes";
    if (row->seats < 1 || row->seats > SEATS_PER_ROW_MAX) return "a row has 1 to 1000 seats";
    if (row->first < 1 || row->first > SEAT_FIRST_MAX) return "a row's first seat is 1 to 9000";
    for (size_t j = 0; j < i; j++) {
      if (str_equal(item->rows.items[j].row, row->row)) return "a row is named twice";
    }
  }
  return NULL;
}

static const char *wrong_options(const struct register_item *item) {
  if (item->options.count > OPTIONS_PER_ITEM_MAX) return "more than 100 options";
  for (size_t i = 0; i < item->options.count; i++) {
    if (!valid_id(item->options.items[i])) return "an option must have 1 to 64 printable bytes";
    if (listed_before(item->options.items, i)) return "an option is named twice";
  }
  return NULL;
}

static const char *wrong_register_item(const struct register_item *item) {
  if (!valid_id(item->item_id)) return "item_id must have 1 to 64 printable bytes";
  if (item->manager_id.size && !valid_id(item->manager_id))
    return "manager_id must have at most 64 printable bytes";
  if (!valid_text(item->title)) return "title must have 1 to 256 printable bytes";
  if (item->kind == ITEM_KIND_MOVIE && !valid_text(item->screen)) return "a MOVIE needs its screen";
  if (item->screen.size > TEXT_MAX || !printable(item->screen))
    return "screen must have at most 256 printable bytes";
  if (item->capacity < 0) return "capacity must not be negative";
  if (item->rows.count && item->capacity)
    return "an item has counted units (capacity) or named seats (rows), not both";
  if (item->max_per_reservation < 1 || item->max_per_reservation > QUANTITY_MAX)
    return "max_per_reservation must be from 1 to 1000000";
  if (item->price < 0 || item->price > PRICE_MAX) return "price must be from 0 to 1000000000000";
  if (item->hold_seconds < 1 || item->hold_seconds > HOLD_SECONDS_MAX)
    return "hold_seconds must be from 1 to 31536000";
  const char *wrong = wrong_rows(item);
  return wrong ? wrong : wrong_options(item);
}

static const char *wrong_reserve(const struct reserve *reserve) {
  if (!valid_id(reserve->reservation_id)) return "reservation_id must have 1 to 64 printable bytes";
  if (!valid_id(reserve->customer_id)) return "customer_id must have 1 to 64 printable bytes";
  if (!valid_id(reserve->item_id)) return "item_id must have 1 to 64 printable bytes";
  if (reserve->option.size && !valid_id(reserve->option))
    return "option must have at most 64 printable bytes";
  if (reserve->amount < 0 || reserve->amount > PRICE_MAX)
    return "amount must be from 0 to 1000000000000";
  if (reserve->quantity < 0 || reserve->quantity > QUANTITY_MAX)
    return "quantity must be from 1 to 1000000";
  if (reserve->seats.count > SEATS_MAX) return "more than 100 seats";
  if (reserve->seats.count && reserve->quantity && (size_t)reserve->quantity < reserve->seats.count)
    return "quantity is less than the seats that are named";
  if (!reserve->seats.count && !reserve->quantity) return "quantity must be from 1 to 1000000";
  for (size_t i = 0; i < reserve->seats.count; i++) {
    if (!valid_id(reserve->seats.items[i])) return "a seat must have 1 to 64 printable bytes";
    if (listed_before(reserve->seats.items, i)) return "a seat is named twice";
  }
  return NULL;
}

static const char *wrong_receive_stock(const struct receive_stock *receive) {
  if (!valid_id(receive->item_id)) return "item_id must have 1 to 64 printable bytes";
  if (receive->manager_id.size && !valid_id(receive->manager_id))
    return "manager_id must have at most 64 printable bytes";
  if (!valid_id(receive->receipt_id)) return "receipt_id must have 1 to 64 printable bytes";
  return receive->quantity < 1 ? "quantity must be at least 1" : NULL;
}

static const char *wrong_close_item(const struct close_item *close) {
  if (close->manager_id.size && !valid_id(close->manager_id))
    return "manager_id must have at most 64 printable bytes";
  return valid_id(close->item_id) ? NULL : "item_id must have 1 to 64 printable bytes";
}

static const char *wrong_register_customer(const struct register_customer *customer) {
  if (!valid_id(customer->customer_id)) return "customer_id must have 1 to 64 printable bytes";
  if (!valid_text(customer->name)) return "name must have 1 to 256 printable bytes";
  if (!valid_text(customer->contact)) return "contact must have 1 to 256 printable bytes";
  return str_equal(customer->language, STR("en")) || str_equal(customer->language, STR("ko"))
             ? NULL
             : "language must be en or ko";
}

static const char *wrong_ids(struct str reservation_id, struct str customer_id) {
  if (!valid_id(reservation_id)) return "reservation_id must have 1 to 64 printable bytes";
  return valid_id(customer_id) ? NULL : "customer_id must have 1 to 64 printable bytes";
}

/* ---- a command's identity, whatever its type ---- */

struct command {
  const char *name;
  struct str
      key; /* what the record must be keyed by, so that commands about one thing keep their order */
  struct str sender, reservation_id, item_id;
  const char *wrong;
};

static struct command describe(const struct event *event) {
  switch (event->type) {
    case RECORD_REGISTER_ITEM: {
      const struct register_item *c = as_register_item(event);
      return (struct command){
          "RegisterItem", c->item_id, c->manager_id.size ? c->manager_id : c->item_id,
          STR(""),        c->item_id, wrong_register_item(c)};
    }
    case RECORD_RECEIVE_STOCK: {
      const struct receive_stock *c = as_receive_stock(event);
      return (struct command){
          "ReceiveStock", c->item_id, c->manager_id.size ? c->manager_id : c->item_id,
          STR(""),        c->item_id, wrong_receive_stock(c)};
    }
    case RECORD_CLOSE_ITEM: {
      const struct close_item *c = as_close_item(event);
      return (struct command){
          "CloseItem", c->item_id, c->manager_id.size ? c->manager_id : c->item_id,
          STR(""),     c->item_id, wrong_close_item(c)};
    }
    case RECORD_REGISTER_CUSTOMER: {
      const struct register_customer *c = as_register_customer(event);
      return (struct command){
          "RegisterCustomer",        c->customer_id, c->customer_id, STR(""), STR(""),
          wrong_register_customer(c)};
    }
    case RECORD_RESERVE: {
      const struct reserve *c = as_reserve(event);
      return (struct command){"Reserve",         c->reservation_id, c->customer_id,
                              c->reservation_id, c->item_id,        wrong_reserve(c)};
    }
    case RECORD_PAY: {
      const struct pay *c = as_pay(event);
      return (struct command){"Pay",          c->reservation_id,
                              c->customer_id, c->reservation_id,
                              STR(""),        wrong_ids(c->reservation_id, c->customer_id)};
    }
    case RECORD_CANCEL: {
      const struct cancel *c = as_cancel(event);
      return (struct command){"Cancel",       c->reservation_id,
                              c->customer_id, c->reservation_id,
                              STR(""),        wrong_ids(c->reservation_id, c->customer_id)};
    }
    default: return (struct command){"?", STR(""), STR(""), STR(""), STR(""), "not a command"};
  }
}

static struct str short_enough(struct str id) {
  return id.size <= ID_MAX ? id : STR("");
}

/* The operator finds the record as it came in dead-letters; whoever sent it is told, if the record
 * says who that is. */
static void refuse(struct context *context, const struct event *event,
                   const struct command *command) {
  dead_letter(context, command->wrong);
  if (!valid_id(command->sender)) return;
  const struct command_refused refused = {.sender_id = command->sender,
                                          .command = str_of(command->name),
                                          .reservation_id = short_enough(command->reservation_id),
                                          .item_id = short_enough(command->item_id),
                                          .refusal = REFUSAL_INVALID,
                                          .detail = str_of(command->wrong),
                                          .place = event->place};
  emit(context, TO_RESERVATION_EVENTS, command->sender, RECORD_COMMAND_REFUSED, &refused);
}

/* ---- Reserve ---- */

static void hash_text(XXH3_state_t *state, struct str text) {
  uint64_t size = text.size; /* so that no two contents run into the same bytes */
  XXH3_64bits_update(state, &size, sizeof size);
  XXH3_64bits_update(state, text.data, text.size);
}

/* Where seats are named, how many with those that are to be found beside them. */
static int32_t quantity_of(const struct reserve *reserve) {
  int32_t named = (int32_t)reserve->seats.count;
  return reserve->quantity > named ? reserve->quantity : named;
}

int64_t reserve_content_hash(const struct reserve *reserve) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  hash_text(&state, reserve->customer_id);
  hash_text(&state, reserve->item_id);
  hash_text(&state, reserve->option);
  bool all_named = (size_t)quantity_of(reserve) == reserve->seats.count; /* said twice or once */
  int64_t numbers[] = {all_named ? 0 : reserve->quantity, reserve->amount,
                       (int64_t)reserve->seats.count};
  XXH3_64bits_update(&state, numbers, sizeof numbers);
  for (size_t i = 0; i < reserve->seats.count; i++) hash_text(&state, reserve->seats.items[i]);
  return (int64_t)XXH3_64bits_digest(&state);
}

static void open_reservation(struct context *context, const struct event *event) {
  const struct reserve *reserve = as_reserve(event);
  int64_t hash = reserve_content_hash(reserve);
  int32_t quantity = quantity_of(reserve);
  struct open_reservation open = {.reservation_id = reserve->reservation_id,
                                  .customer_id = reserve->customer_id,
                                  .item_id = reserve->item_id,
                                  .content_hash = hash,
                                  .quantity = quantity,
                                  .option = reserve->option,
                                  .amount = reserve->amount};
  open.seats = reserve->seats;
  emit(context, TO_PAYMENT_REQUESTS, reserve->reservation_id, RECORD_OPEN_RESERVATION, &open);
  struct request_hold hold = {.reservation_id = reserve->reservation_id,
                              .customer_id = reserve->customer_id,
                              .item_id = reserve->item_id,
                              .content_hash = hash,
                              .quantity = quantity,
                              .option = reserve->option,
                              .amount = reserve->amount};
  hold.seats = reserve->seats;
  emit(context, TO_STOCK_REQUESTS, reserve->item_id, RECORD_REQUEST_HOLD, &hold);
  struct status_changed requested = {.reservation_id = reserve->reservation_id,
                                     .customer_id = reserve->customer_id,
                                     .item_id = reserve->item_id,
                                     .content_hash = hash,
                                     .status = STATUS_REQUESTED,
                                     .quantity = quantity,
                                     .option = reserve->option,
                                     .amount = reserve->amount,
                                     .opened_at = event->time};
  requested.seats = reserve->seats;
  emit(context, TO_RESERVATION_EVENTS, reserve->customer_id, RECORD_STATUS_CHANGED, &requested);
}

/* What keeps the order of the commands about one thing: one key, and one partition for it. */
static const char *wrong_place(const struct event *event, const struct command *command) {
  if (!str_equal(event->key, command->key))
    return "the record must be keyed by its reservation_id (item_id, customer_id for commands "
           "about those), or its order is lost";
  if (event->misplaced && !MUTANT("misplaced-command-taken"))
    return "the record lies in another partition than murmur2 of its key says, so its order is "
           "lost: its producer must set its 'partitioner' to murmur2_random (clients that are "
           "made of librdkafka) or what does the same (the default of JVM clients)";
  return NULL;
}

void reserve_requested_decide(struct context *context, const struct event *event) {
  struct command command = describe(event);
  if (!command.wrong) command.wrong = wrong_place(event, &command);
  if (command.wrong) {
    refuse(context, event, &command);
  } else if (event->type == RECORD_RESERVE) {
    open_reservation(context, event);
  } else if (event->type == RECORD_REGISTER_CUSTOMER) {
    emit(context, TO_RESERVATION_EVENTS, command.key, event->type, event->value);
  } else {
    bool about_item = command.reservation_id.size == 0;
    emit(context, about_item ? TO_STOCK_REQUESTS : TO_PAYMENT_REQUESTS, command.key, event->type,
         event->value);
  }
}
