/* The effects of a step: the history's view of it, the tallies of sales, and the notices. Each is
 * folded from what its filter had read, and compared with what that wrote. */
#include <inttypes.h>
#include <xxhash.h>

#include "auditor/internal.h"
#include "runtime/contract/expiry.h"
#include "runtime/contract/money.h"

/* ---- views ---- */

static struct str view_key_of(struct auditor *auditor, struct str customer,
                              struct str reservation) {
  return audit_key(auditor, ROW_VIEW, (struct str[]){customer, reservation}, 2);
}

void audit_to_view(struct auditor *auditor, const struct audit_event *event) {
  if (event->value.type != RECORD_STATUS_CHANGED) return;
  const struct status_changed *changed = event->value.value;
  struct view_facts view;
  struct str key = view_key_of(auditor, changed->customer_id, changed->reservation_id);
  audit_load(auditor, key, &view, sizeof view);
  if (!view.in_events || changed->revision > view.events_revision) {
    view.in_events = true;
    view.events_revision = changed->revision;
    view.events_status = changed->status;
    view.events_at = event->record->timestamp;
  }
  audit_save(auditor, key, &view, sizeof view);
}

void audit_viewed(struct auditor *auditor, const struct audit_event *event) {
  if (event->value.type != RECORD_RESERVATION_VIEW) return;
  const struct reservation_view *row = event->value.value;
  struct view_facts view;
  struct str key = view_key_of(auditor, row->customer_id, row->reservation_id);
  audit_load(auditor, key, &view, sizeof view);
  view.in_view = true;
  view.refused = row->refused;
  view.view_revision = row->revision;
  view.view_status = row->status;
  audit_save(auditor, key, &view, sizeof view);
}

void audit_mark_view(struct auditor *auditor, const struct audit_event *event) {
  if (event->value.type != RECORD_STATUS_CHANGED) return;
  const struct status_changed *changed = event->value.value;
  struct view_facts view;
  struct str key = view_key_of(auditor, changed->customer_id, changed->reservation_id);
  audit_load(auditor, key, &view, sizeof view);
  view.moving = auditor->round;
  audit_save(auditor, key, &view, sizeof view);
}

/* ---- tallies ---- */

struct sold_facts { /* of a reservation, as tally sees it */
  int32_t revision;
  bool seen, counted;
};

static struct str tally_key(struct auditor *auditor, struct str item, struct str option) {
  return audit_key(auditor, ROW_TALLY, (struct str[]){item, option}, 2);
}

void audit_sold(struct auditor *auditor, const struct audit_event *event) {
  const struct reservation_outcome *outcome = event->value.value;
  struct sold_facts sold;
  struct str parts[] = {outcome->item_id, outcome->reservation_id},
             key = audit_key(auditor, ROW_SOLD, parts, 2);
  audit_load(auditor, key, &sold, sizeof sold);
  if (sold.seen && outcome->revision <= sold.revision) return; /* a reset says it again */
  bool counts = outcome->status == STATUS_APPROVED;
  int sign = counts - sold.counted;
  sold = (struct sold_facts){.revision = outcome->revision, .seen = true, .counted = counts};
  audit_save(auditor, key, &sold, sizeof sold);
  if (sign == 0) return;
  struct tally_facts tally;
  key = tally_key(auditor, outcome->item_id, outcome->option);
  audit_load(auditor, key, &tally, sizeof tally);
  tally.sold[0] += sign;
  tally.sold[1] += sign * (int64_t)outcome->quantity;
  money_add(&tally.sold[3], &tally.sold[2], sign * outcome->amount);
  audit_save(auditor, key, &tally, sizeof tally);
}

void audit_tally(struct auditor *auditor, const struct audit_event *event) {
  const struct option_tally *table = event->value.value;
  struct tally_facts tally;
  struct str key = tally_key(auditor, table->item_id, table->option);
  audit_load(auditor, key, &tally, sizeof tally);
  int64_t values[] = {table->count, table->quantity, 0, table->sum_e18};
  money_add(&values[3], &values[2], table->sum);
  memcpy(tally.table, values, sizeof values);
  tally.partition = event->partition;
  tally.offset = event->record->offset;
  audit_save(auditor, key, &tally, sizeof tally);
}

void audit_mark_tally(struct auditor *auditor, const struct audit_event *event) {
  const struct reservation_outcome *outcome = event->value.value;
  struct tally_facts tally;
  struct str key = tally_key(auditor, outcome->item_id, outcome->option);
  audit_load(auditor, key, &tally, sizeof tally);
  tally.moving = auditor->round;
  audit_save(auditor, key, &tally, sizeof tally);
}

/* ---- notices ---- */

struct step_facts { /* of a reservation, as notify sees it */
  int32_t revision;
  enum status status;
  bool seen;
  int64_t at;
};

/* The news in a notice: a step of a reservation, or the refusal of a command. */
struct subject {
  struct str reservation;
  int32_t revision;
  struct str place; /* of the command; empty: it is a step */
};

static uint64_t notice_print(const struct subject *subject) {
  if (subject->place.size) return XXH3_64bits(subject->place.data, subject->place.size);
  struct str id = audit_id_of(subject->reservation); /* as a notice says it */
  return XXH3_64bits_withSeed(id.data, id.size, (uint64_t)subject->revision + 1);
}

static struct str notice_key(struct auditor *auditor, struct str customer, int64_t number) {
  struct str parts[] = {customer, {(const char *)&number, sizeof number}};
  return audit_key(auditor, ROW_TO_TELL, parts, 2);
}

static struct str customer_key(struct auditor *auditor, struct str customer) {
  return audit_key(auditor, ROW_CUSTOMER, &customer, 1);
}

/* Number n of the news for a customer, to be told or told: the first that is read is kept, and the
 * other is compared with it. False: they differ. */
static bool pair(struct auditor *auditor, struct str customer, int64_t number, uint64_t print) {
  struct str key = notice_key(auditor, customer, number);
  uint64_t other;
  if (!audit_load(auditor, key, &other, sizeof other)) {
    audit_save(auditor, key, &print, sizeof print);
    return true;
  }
  audit_drop(auditor, key);
  return other == print;
}

static void add_notice(struct auditor *auditor, const struct audit_event *event, bool told,
                       struct str customer_id, const struct subject *subject) {
  struct customer_facts customer;
  struct str key = customer_key(auditor, customer_id);
  audit_load(auditor, key, &customer, sizeof customer);
  if (customer.unsure) return;
  int64_t number = told ? customer.told++ : customer.expected++;
  bool fits = customer.differs || pair(auditor, customer_id, number, notice_print(subject));
  customer.differs |= !fits; /* one that is missing shifts all that follow: said once */
  audit_save(auditor, key, &customer, sizeof customer);
  if (fits) return;
  if (subject->place.size)
    audit_report(auditor, RULE_NOTICE_DIFFERS, subject->reservation, event,
                 "the refusal of %.*s does not match notice %" PRId64 " to %.*s",
                 STR_ARGS(subject->place), number, STR_ARGS(customer_id));
  else
    audit_report(auditor, RULE_NOTICE_DIFFERS, subject->reservation, event,
                 "revision %d of it does not match notice %" PRId64 " to %.*s",
                 (int)subject->revision, number, STR_ARGS(customer_id));
}

/* A refusal that a reset says again has the place and the time of the first. */
static void refusal_to_tell(struct auditor *auditor, const struct audit_event *event) {
  const struct command_refused *refused = event->value.value;
  if (!refused->place.size) return; /* of an earlier version, which told nobody */
  int64_t time = event->record->timestamp;
  bool seen;
  struct str parts[] = {refused->sender_id,
                        STR(""),
                        refused->place,
                        {(const char *)&time, sizeof time}},
             key = audit_key(auditor, ROW_STEP, parts, 4);
  audit_load(auditor, key, &seen, sizeof seen);
  if (seen) return;
  seen = true;
  audit_save(auditor, key, &seen, sizeof seen);
  add_notice(auditor, event, false, refused->sender_id,
             &(struct subject){.reservation = refused->reservation_id, .place = refused->place});
}

/* Whether notify tells the opening of an id that is used again depends on whether its row of the
 * first had left: no notice to that customer is judged from there on. */
static void be_unsure(struct auditor *auditor, struct str customer_id) {
  struct customer_facts customer;
  struct str key = customer_key(auditor, customer_id);
  audit_load(auditor, key, &customer, sizeof customer);
  customer.unsure = true;
  customer.expected = customer.told = 0;
  audit_save(auditor, key, &customer, sizeof customer);
}

static void step_to_tell(struct auditor *auditor, const struct audit_event *event) {
  const struct status_changed *changed = event->value.value;
  struct step_facts last;
  struct str parts[] = {changed->customer_id, changed->reservation_id},
             key = audit_key(auditor, ROW_STEP, parts, 2);
  audit_load(auditor, key, &last, sizeof last);
  bool named = audit_id_of(changed->reservation_id).size < changed->reservation_id.size;
  if (named || (last.seen && changed->opened_at > last.at + EXPIRY_WINDOW_MS))
    be_unsure(auditor, changed->customer_id);
  if (last.seen && changed->revision <= last.revision) return; /* a reset says it again */
  bool same = last.seen && changed->status == last.status;
  last = (struct step_facts){.revision = changed->revision,
                             .status = changed->status,
                             .seen = true,
                             .at = event->record->timestamp};
  audit_save(auditor, key, &last, sizeof last);
  if (same) return; /* deferred again: not told */
  add_notice(auditor, event, false, changed->customer_id,
             &(struct subject){changed->reservation_id, changed->revision, {0}});
}

/* Each change of status and each refusal is told, in the order of its customer's events. */
void audit_to_tell(struct auditor *auditor, const struct audit_event *event) {
  if (event->value.type == RECORD_STATUS_CHANGED) step_to_tell(auditor, event);
  if (event->value.type == RECORD_COMMAND_REFUSED) refusal_to_tell(auditor, event);
}

void audit_told(struct auditor *auditor, const struct audit_event *event) {
  const struct notified *notified = event->value.value;
  add_notice(auditor, event, true, notified->customer_id,
             &(struct subject){notified->reservation_id, notified->revision, notified->place});
}

void audit_mark_customer(struct auditor *auditor, const struct audit_event *event) {
  bool step = event->value.type == RECORD_STATUS_CHANGED;
  if (!step && event->value.type != RECORD_COMMAND_REFUSED) return;
  struct customer_facts customer;
  struct str key =
      customer_key(auditor, step ? ((const struct status_changed *)event->value.value)->customer_id
                                 : ((const struct command_refused *)event->value.value)->sender_id);
  audit_load(auditor, key, &customer, sizeof customer);
  customer.moving = auditor->round;
  audit_save(auditor, key, &customer, sizeof customer);
}
