#include "seats.h"

#include "stock-check.h"

void seats_put(struct context *context, const struct seat_row *seats) {
  struct str parts[] = {seats->item_id, seats->row};
  row_put(context, &stock_check_rows[ROW_SEATS],
          row_key(context, &stock_check_rows[ROW_SEATS], parts, 2), seats);
  /* In the table a row of seats stands behind its item: no id contains a NUL. */
  size_t size = parts[0].size + 1 + parts[1].size;
  char *key = scratch(context, size);
  memcpy(key, parts[0].data, parts[0].size);
  memcpy(key + parts[0].size + 1, parts[1].data, parts[1].size);
  emit(context, TO_STOCK_LEVELS, (struct str){key, size}, RECORD_SEAT_ROW, seats);
}

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
  for (size_t i = 0; i < item->rows.count; i++) {
    const struct seat_row_plan *plan = &item->rows.items[i];
    if (!str_equal(plan->row, *row)) continue;
    *place = (size_t)(number - plan->first);
    return number >= plan->first && number - plan->first < plan->seats;
  }
  return false;
}

static const struct seat_row *seats_of(struct context *context, struct str item_id,
                                       struct str row) {
  struct str parts[] = {item_id, row};
  return row_get(context, &stock_check_rows[ROW_SEATS],
                 row_key(context, &stock_check_rows[ROW_SEATS], parts, 2));
}

enum reason seats_check(struct context *context, const struct stock_level *item,
                        const struct str_list *seats) {
  struct str row;
  size_t place;
  for (size_t i = 0; i < seats->count; i++) {
    if (!find_seat(item, seats->items[i], &row, &place)) return REASON_UNKNOWN_SEAT;
  }
  for (size_t i = 0; i < seats->count; i++) {
    find_seat(item, seats->items[i], &row, &place);
    if (seats_of(context, item->item_id, row)->seats.data[place] != '.') return REASON_SEAT_TAKEN;
  }
  return REASON_NONE;
}

/* The seats that are named: all in one row, from the first to the last. */
struct named {
  struct str row; /* without data: none is named */
  size_t first, last;
};

/* False: they are of more than one row. */
static bool find_named(const struct stock_level *item, const struct str_list *seats,
                       struct named *named) {
  *named = (struct named){.first = SIZE_MAX};
  for (size_t i = 0; i < seats->count; i++) {
    struct str row;
    size_t place;
    find_seat(item, seats->items[i], &row, &place); /* it is there: it was checked */
    if (named->row.data && !str_equal(named->row, row)) return false;
    named->row = row;
    if (place < named->first) named->first = place;
    if (place > named->last) named->last = place;
  }
  return true;
}

/* The start of `count` free seats beside each other that have the named ones among them and are
 * nearest to the middle; false: there are none. */
static bool best_run(struct str marks, size_t count, const struct named *named, size_t *start) {
  size_t run = 0, best = SIZE_MAX;
  for (size_t i = 0; i < marks.size; i++) {
    run = marks.data[i] == '.' ? run + 1 : 0;
    size_t from = i + 1 - count;
    if (run < count || from > named->first || i < named->last) continue;
    size_t twice_middle = 2 * i + 2 - count;
    size_t distance =
        twice_middle > marks.size ? twice_middle - marks.size : marks.size - twice_middle;
    if (distance >= best) continue;
    best = distance;
    *start = from;
  }
  return best != SIZE_MAX;
}

static void name_run(struct context *context, const struct seat_row_plan *plan, size_t start,
                     size_t count, struct str_list *seats) {
  struct str *chosen = scratch(context, count * sizeof *chosen);
  for (size_t i = 0; i < count; i++)
    chosen[i] = scratch_format(context, STR_FORMAT "-%zu", STR_ARGS(plan->row),
                               (size_t)plan->first + start + i);
  *seats = (struct str_list){count, chosen};
}

enum reason seats_choose(struct context *context, const struct stock_level *item, int32_t count,
                         struct str_list *seats) {
  struct named named;
  size_t start;
  if (count > SEATS_CHOSEN_MAX) return REASON_OVER_LIMIT;
  if (!find_named(item, seats, &named)) return REASON_NOT_ADJACENT;
  for (size_t i = 0; i < item->rows.count; i++) {
    const struct seat_row_plan *plan = &item->rows.items[i];
    if (plan->seats < count || (named.row.data && !str_equal(named.row, plan->row))) continue;
    if (!best_run(seats_of(context, item->item_id, plan->row)->seats, (size_t)count, &named,
                  &start))
      continue;
    name_run(context, plan, start, (size_t)count, seats);
    return REASON_NONE;
  }
  return REASON_NOT_ADJACENT;
}

void seats_mark(struct context *context, const struct stock_level *item,
                const struct str_list *seats, char mark) {
  if (mark == '.' && MUTANT("seats-not-freed")) return;
  for (size_t i = 0; i < seats->count; i++) {
    struct str row;
    size_t place;
    if (!find_seat(item, seats->items[i], &row, &place))
      continue; /* a hold only ever has seats of its item */
    struct seat_row changed = *seats_of(context, item->item_id, row);
    char *marks = scratch(context, changed.seats.size + 1);
    memcpy(marks, changed.seats.data, changed.seats.size);
    marks[place] = mark;
    changed.seats.data = marks;
    seats_put(context, &changed);
  }
}
