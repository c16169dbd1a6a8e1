#include "checks.h"

#define XXH_INLINE_ALL /* a decision depends on nothing that has to be linked */
#include <xxhash.h>

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

static bool printable(struct str text) {
  for (size_t i = 0; i < text.size; i++) {
    unsigned char c = (unsigned char)text.data[i];
    if (c < 0x20 || c == 0x7f) return false; /* a NUL would run into the next part of a row's key */
  }
  return true;
}

bool valid_id(struct str id) {
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

const char *wrong_register_item(const struct register_item *item) {
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

const char *wrong_reserve(const struct reserve *reserve) {
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

const char *wrong_receive_stock(const struct receive_stock *receive) {
  if (!valid_id(receive->item_id)) return "item_id must have 1 to 64 printable bytes";
  if (receive->manager_id.size && !valid_id(receive->manager_id))
    return "manager_id must have at most 64 printable bytes";
  if (!valid_id(receive->receipt_id)) return "receipt_id must have 1 to 64 printable bytes";
  return receive->quantity < 1 ? "quantity must be at least 1" : NULL;
}

const char *wrong_close_item(const struct close_item *close) {
  if (close->manager_id.size && !valid_id(close->manager_id))
    return "manager_id must have at most 64 printable bytes";
  return valid_id(close->item_id) ? NULL : "item_id must have 1 to 64 printable bytes";
}

const char *wrong_register_customer(const struct register_customer *customer) {
  if (!valid_id(customer->customer_id)) return "customer_id must have 1 to 64 printable bytes";
  if (!valid_text(customer->name)) return "name must have 1 to 256 printable bytes";
  if (!valid_text(customer->contact)) return "contact must have 1 to 256 printable bytes";
  return str_equal(customer->language, STR("en")) || str_equal(customer->language, STR("ko"))
             ? NULL
             : "language must be en or ko";
}

const char *wrong_ids(struct str reservation_id, struct str customer_id) {
  if (!valid_id(reservation_id)) return "reservation_id must have 1 to 64 printable bytes";
  return valid_id(customer_id) ? NULL : "customer_id must have 1 to 64 printable bytes";
}

int32_t reserve_quantity(const struct reserve *reserve) {
  int32_t named = (int32_t)reserve->seats.count;
  return reserve->quantity > named ? reserve->quantity : named;
}

static void hash_text(XXH3_state_t *state, struct str text) {
  uint64_t size = text.size; /* so that no two contents run into the same bytes */
  XXH3_64bits_update(state, &size, sizeof size);
  XXH3_64bits_update(state, text.data, text.size);
}

int64_t reserve_content_hash(const struct reserve *reserve) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  hash_text(&state, reserve->customer_id);
  hash_text(&state, reserve->item_id);
  hash_text(&state, reserve->option);
  bool all_named =
      (size_t)reserve_quantity(reserve) == reserve->seats.count; /* said twice or once */
  int64_t numbers[] = {all_named ? 0 : reserve->quantity, reserve->amount,
                       (int64_t)reserve->seats.count};
  XXH3_64bits_update(&state, numbers, sizeof numbers);
  for (size_t i = 0; i < reserve->seats.count; i++) hash_text(&state, reserve->seats.items[i]);
  return (int64_t)XXH3_64bits_digest(&state);
}
