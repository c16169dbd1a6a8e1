/* The stock, folded from what was asked of stock-check and how it answered: at every point capacity
 * = available + held + sold, no part of it below zero, and a seat has one holder. */
#include <inttypes.h>

#include "auditor/internal.h"

#define SEATS_MAX 100 /* of a hold */

struct answer {
  bool held;
  enum reason reason;
  uint16_t seats_size; /* the seats follow, one after another, each ended by a NUL */
};

struct answer_row {
  struct answer answer;
  char seats[HOLD_SEATS_MAX];
};

static struct str answer_key(struct auditor *auditor, int64_t partition, int64_t offset) {
  int64_t place[] = {partition, offset};
  return audit_key(auditor, ROW_ANSWER, &(struct str){(const char *)place, sizeof place}, 1);
}

static void add_seat(char *seats, uint16_t *size, struct str seat) {
  if (*size + seat.size + 1 > HOLD_SEATS_MAX) return; /* no valid Reserve */
  memcpy(seats + *size, seat.data, seat.size);
  seats[*size + seat.size] = '\0';
  *size = (uint16_t)(*size + seat.size + 1);
}

/* Answers of stock-check name the request they answer by its place. They are wanted before the
 * ledger has read them. */
void audit_answer(struct auditor *auditor, const struct audit_event *event) {
  bool held = event->value.type == RECORD_STOCK_HELD;
  if (!held && event->value.type != RECORD_STOCK_REFUSED) return;
  int64_t partition, offset;
  if (!audit_parse_causation(event->record->causation, &partition, &offset)) return;
  struct answer_row row;
  memset(&row.answer, 0, sizeof row.answer);
  row.answer.held = held;
  if (held) {
    const struct stock_held *hold = event->value.value;
    for (size_t i = 0; i < hold->seats.count; i++)
      add_seat(row.seats, &row.answer.seats_size, hold->seats.items[i]);
  } else {
    row.answer.reason = ((const struct stock_refused *)event->value.value)->reason;
  }
  audit_save(auditor, answer_key(auditor, partition, offset), &row,
             sizeof row.answer + row.answer.seats_size);
}

/* ---- items ---- */

static struct str item_key(struct auditor *auditor, struct str item) {
  return audit_key(auditor, ROW_ITEM, &item, 1);
}

static struct item_facts item_of(struct auditor *auditor, struct str id) {
  struct item_facts item;
  audit_load(auditor, item_key(auditor, id), &item, sizeof item);
  return item;
}

static void keep_item(struct auditor *auditor, struct str id, const struct item_facts *item,
                      const struct audit_event *event) {
  int64_t available = item->capacity - item->held - item->sold;
  if (available < 0 || item->held < 0 || item->sold < 0) {
    audit_report(auditor, RULE_OVERSOLD, id, event,
                 "capacity %" PRId64 " = available %" PRId64 " + held %" PRId64 " + sold %" PRId64,
                 item->capacity, available, item->held, item->sold);
  }
  audit_save(auditor, item_key(auditor, id), item, sizeof *item);
}

static void register_item(struct auditor *auditor, const struct audit_event *event) {
  const struct register_item *command = event->value.value;
  struct item_facts item = item_of(auditor, command->item_id);
  if (item.registered) return; /* again: changes nothing, whatever it says */
  item.registered = true;
  item.seated = command->rows.count > 0;
  item.capacity = command->capacity;
  for (size_t i = 0; i < command->rows.count; i++) item.capacity += command->rows.items[i].seats;
  keep_item(auditor, command->item_id, &item, event);
}

static void receive_stock(struct auditor *auditor, const struct audit_event *event) {
  const struct receive_stock *command = event->value.value;
  struct item_facts item = item_of(auditor, command->item_id);
  struct str parts[] = {command->item_id, command->receipt_id};
  struct str key = audit_key(auditor, ROW_RECEIPT, parts, 2);
  char counted;
  if (!item.registered || item.seated || audit_load(auditor, key, &counted, 1)) return;
  if (command->quantity > INT32_MAX - item.capacity) return;
  audit_save(auditor, key, "y", 1);
  item.capacity += command->quantity;
  keep_item(auditor, command->item_id, &item, event);
}

void audit_level(struct auditor *auditor, const struct audit_event *event) {
  if (event->value.type != RECORD_STOCK_LEVEL) return;
  const struct stock_level *level = event->value.value;
  struct item_facts item;
  struct str key = item_key(auditor, level->item_id);
  audit_load(auditor, key, &item, sizeof item);
  item.level_seen = true;
  item.level_capacity = level->capacity;
  item.level_held = level->held;
  item.level_sold = level->sold;
  item.level_partition = event->partition;
  item.level_offset = event->record->offset;
  audit_save(auditor, key, &item, sizeof item);
}

void audit_mark_item(struct auditor *auditor, const struct audit_event *event) {
  struct str id = audit_text(auditor, event->value, STR("item_id"));
  if (!id.size) return;
  struct item_facts item = item_of(auditor, id);
  item.moving = auditor->round;
  audit_save(auditor, item_key(auditor, id), &item, sizeof item);
}

/* ---- holds ---- */

static struct str hold_key_of(struct auditor *auditor, struct str item, struct str reservation,
                              int64_t hash) {
  struct str parts[] = {item, reservation, {(const char *)&hash, sizeof hash}};
  return audit_key(auditor, ROW_HOLD, parts, 3);
}

struct hold_row {
  struct hold_facts facts;
  char seats[HOLD_SEATS_MAX];
};

static struct str seat_key(struct auditor *auditor, struct str item, struct str seat) {
  return audit_key(auditor, ROW_SEAT, (struct str[]){item, seat}, 2);
}

/* The seats of the answer; an older build has only those of the request. */
static size_t seats_of(const struct request_hold *request, const struct answer_row *row,
                       struct str seats[SEATS_MAX]) {
  size_t count = 0;
  for (size_t at = 0; at < row->answer.seats_size && count < SEATS_MAX; count++) {
    seats[count] = str_of(row->seats + at);
    at += seats[count].size + 1;
  }
  if (count) return count;
  for (; count < request->seats.count && count < SEATS_MAX; count++)
    seats[count] = request->seats.items[count];
  return count;
}

static void take_seats(struct auditor *auditor, const struct audit_event *event,
                       const struct request_hold *request, const struct answer_row *answer,
                       struct hold_row *row) {
  struct str seats[SEATS_MAX];
  size_t count = seats_of(request, answer, seats);
  for (size_t i = 0; i < count; i++) {
    struct str seat = seats[i], key = seat_key(auditor, request->item_id, seat);
    char holder[RESERVATION_MAX + 1];
    size_t size = audit_load(auditor, key, holder, sizeof holder - 1);
    holder[size < sizeof holder ? size : sizeof holder - 1] = '\0';
    if (size) {
      audit_report(auditor, RULE_SEAT_TWICE, request->item_id, event,
                   "seat %.*s is given to %.*s while %s has it", STR_ARGS(seat),
                   STR_ARGS(request->reservation_id), holder);
    }
    audit_save(auditor, key, request->reservation_id.data, request->reservation_id.size);
    add_seat(row->seats, &row->facts.seats_size, seat);
  }
}

static void free_seats(struct auditor *auditor, struct str item, const struct hold_row *row) {
  for (size_t at = 0; at < row->facts.seats_size;) {
    struct str seat = str_of(row->seats + at);
    audit_drop(auditor, seat_key(auditor, item, seat));
    at += seat.size + 1;
  }
}

static bool some_seat_is_taken(struct auditor *auditor, const struct request_hold *request) {
  for (size_t i = 0; i < request->seats.count; i++) {
    char holder;
    if (audit_load(auditor, seat_key(auditor, request->item_id, request->seats.items[i]), &holder,
                   1))
      return true;
  }
  return false;
}

static void check_refusal(struct auditor *auditor, const struct audit_event *event,
                          const struct request_hold *request, enum reason reason) {
  struct item_facts item = item_of(auditor, request->item_id);
  int64_t available = item.capacity - item.held - item.sold;
  bool wrong = (reason == REASON_SOLD_OUT && request->quantity <= available) ||
               (reason == REASON_SEAT_TAKEN && !some_seat_is_taken(auditor, request)) ||
               (reason == REASON_UNKNOWN_ITEM && item.registered);
  if (!wrong) return;
  audit_report(auditor, RULE_REFUSED_WRONGLY, request->reservation_id, event,
               "refused %s with %" PRId64 " available of %.*s, and %d wanted",
               reason_enum.symbols[reason], available, STR_ARGS(request->item_id),
               (int)request->quantity);
}

/* The key of a hold for the reservation that had the id at that time. */
static struct str hold_key_at(struct auditor *auditor, const struct request_hold *request,
                              int64_t time) {
  struct str id = audit_id_of(request->reservation_id);
  return hold_key_of(auditor, request->item_id, audit_opening_at(auditor, id, time),
                     request->content_hash);
}

static void keep_hold(struct auditor *auditor, struct str key, const struct hold_row *row) {
  audit_save(auditor, key, row, sizeof row->facts + row->facts.seats_size);
}

static bool take_answer(struct auditor *auditor, const struct audit_event *event,
                        struct answer_row *answer) {
  struct str place = answer_key(auditor, event->partition, event->record->offset);
  bool answered = audit_load(auditor, place, answer, sizeof *answer) > 0;
  if (answered) audit_drop(auditor, place);
  return answered;
}

/* Right for a repeat alone, also of the reservation that had the id before. */
static void pass_unanswered(struct auditor *auditor, const struct audit_event *event,
                            const struct request_hold *request) {
  char any;
  if (audit_load(auditor, hold_key_at(auditor, request, audit_hold_time(event->record->timestamp)),
                 &any, 1) ||
      audit_load(auditor, hold_key_at(auditor, request, event->record->timestamp), &any, 1))
    return;
  audit_report(auditor, RULE_HOLD_UNANSWERED, request->reservation_id, event,
               "stock-check has passed this request for %.*s and never answered it",
               STR_ARGS(request->item_id));
}

static void request_hold(struct auditor *auditor, const struct audit_event *event) {
  const struct request_hold *request = event->value.value;
  struct answer_row answer;
  if (!take_answer(auditor, event, &answer)) {
    pass_unanswered(auditor, event, request);
    return;
  }
  if (answer.answer.reason == REASON_TOO_OLD) return; /* said each time, and nothing is kept */
  struct hold_row row;
  struct str key = hold_key_at(auditor, request, audit_hold_time(event->record->timestamp));
  if (audit_load(auditor, key, &row, sizeof row)) {
    audit_report(auditor, RULE_HOLD_ANSWERED_TWICE, request->reservation_id, event,
                 "a repeated request for a hold of %.*s was answered again",
                 STR_ARGS(request->item_id));
    return;
  }
  memset(&row.facts, 0, sizeof row.facts);
  row.facts.quantity = request->quantity;
  if (answer.answer.held) {
    row.facts.state = HOLD_STATE_HELD;
    take_seats(auditor, event, request, &answer, &row);
    struct item_facts item = item_of(auditor, request->item_id);
    item.held += request->quantity;
    keep_item(auditor, request->item_id, &item, event);
  } else {
    row.facts.state = HOLD_STATE_REFUSED;
    check_refusal(auditor, event, request, answer.answer.reason);
  }
  keep_hold(auditor, key, &row);
}

static void settle_hold(struct auditor *auditor, const struct audit_event *event,
                        struct str item_id, struct str key, bool confirm) {
  struct hold_row row;
  if (!audit_load(auditor, key, &row, sizeof row)) return;
  bool held = row.facts.state == HOLD_STATE_HELD, sold = row.facts.state == HOLD_STATE_SOLD;
  if (!held && (confirm || !sold)) return; /* it has ended, or never was: nothing to do */
  struct item_facts item = item_of(auditor, item_id);
  if (held) item.held -= row.facts.quantity;
  if (sold) item.sold -= row.facts.quantity;
  if (confirm) item.sold += row.facts.quantity;
  if (!confirm) free_seats(auditor, item_id, &row);
  row.facts.state = confirm ? HOLD_STATE_SOLD : HOLD_STATE_ENDED;
  keep_hold(auditor, key, &row);
  keep_item(auditor, item_id, &item, event);
}

void audit_stock(struct auditor *auditor, const struct audit_event *event) {
  const void *value = event->value.value;
  switch (event->value.type) {
    case RECORD_REGISTER_ITEM: register_item(auditor, event); return;
    case RECORD_RECEIVE_STOCK: receive_stock(auditor, event); return;
    case RECORD_REQUEST_HOLD: request_hold(auditor, event); return;
    case RECORD_CONFIRM_HOLD: {
      const struct confirm_hold *confirm = value;
      settle_hold(
          auditor, event, confirm->item_id,
          hold_key_of(auditor, confirm->item_id, confirm->reservation_id, confirm->content_hash),
          true);
      return;
    }
    case RECORD_RELEASE_HOLD: {
      const struct release_hold *release = value;
      settle_hold(
          auditor, event, release->item_id,
          hold_key_of(auditor, release->item_id, release->reservation_id, release->content_hash),
          false);
      return;
    }
    default: return;
  }
}
