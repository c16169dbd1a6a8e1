/* An id that is used again long after its reservation settled: all filters take it for another,
 * while their rows of the first may still be there; and before that whoever asks has an answer. */
#include <inttypes.h>
#include <stdio.h>

#include "runtime/contract/expiry.h"
#include "../lib/fake_world.h"
#include "../lib/harness.h"
#include "notify/notify.h"

#define DAY_MS (INT64_C(86400) * 1000)

static const int64_t first = DAY_MS, last = DAY_MS + EXPIRY_WINDOW_MS,
                     free_again = last + EXPIRY_SLACK_MS + 1;

static const char *open_ledger(struct harness *h, int64_t time, const char *id) {
  const struct open_reservation open = {
      .reservation_id = str_of(id), .customer_id = STR("kim"), .item_id = STR("i"), .quantity = 1};
  return harness_send(h, time, id, RECORD_OPEN_RESERVATION, &open);
}

static const char *hold_for_ledger(struct harness *h, int64_t time) {
  const struct stock_held held = {
      .reservation_id = STR("r"), .item_id = STR("i"), .quantity = 1, .screen = STR("")};
  return harness_send(h, time, "r", RECORD_STOCK_HELD, &held);
}

static const char *hold_stock(struct harness *h, int64_t time, const char *id) {
  const struct request_hold hold = {
      .reservation_id = str_of(id), .customer_id = STR("kim"), .item_id = STR("i"), .quantity = 1};
  return harness_send(h, time, "i", RECORD_REQUEST_HOLD, &hold);
}

static const char *change(struct harness *h, int64_t time, const char *id, int revision,
                          enum status status, int64_t opened_at) {
  const struct status_changed changed = {.reservation_id = str_of(id),
                                         .customer_id = STR("kim"),
                                         .item_id = STR("i"),
                                         .revision = revision,
                                         .status = status,
                                         .opened_at = opened_at};
  return harness_send(h, time, "kim", RECORD_STATUS_CHANGED, &changed);
}

static const char *request(struct harness *h, int64_t time, const char *id) {
  return change(h, time, id, 0, STATUS_REQUESTED, time);
}

/* A step of more than a day is believed once many openings agree for half a day. */
static void until(struct harness *h, int64_t time,
                  const char *(*open)(struct harness *h, int64_t time, const char *id)) {
  for (int i = 0; i < 2 * (int)EXPIRY_DOUBTS; i++) {
    char id[40];
    snprintf(id, sizeof id, "u%d", i);
    open(h, time - EXPIRY_PROOF_MS - 2 * EXPIRY_DOUBTS + i, id);
    if (i % 20 == 0) arena_reset(&h->arena);
  }
  open(h, time, "now");
}

static int64_t number_in(struct harness *h, const char *key, const char *field) {
  json_t *row = harness_row(h, key);
  assert_non_null(row);
  int64_t number = json_integer_value(json_object_get(row, field));
  json_decref(row);
  return number;
}

static void sold_in_ledger(struct harness *h) {
  open_ledger(h, first, "r");
  assert_string_equal(hold_for_ledger(h, first),
                      "StatusChanged(HELD) StatusChanged(APPROVED,CONFIRM) ClearDeadlines");
}

static void the_ledger_opens_it_anew_and_not_within_the_window(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  sold_in_ledger(&h);
  until(&h, free_again - 1, open_ledger);
  assert_string_equal(open_ledger(&h, last, "r"), "-");
  assert_string_equal(open_ledger(&h, last + 1, "r"), "CommandRefused(Reserve,ID_REUSED)");
  assert_string_equal(open_ledger(&h, free_again, "r"), "SetDeadline(WATCHDOG)");
  assert_int_equal(number_in(&h, "lr", "revision"), 0);
  assert_string_equal(hold_for_ledger(&h, free_again),
                      "StatusChanged(HELD) StatusChanged(APPROVED,CONFIRM) ClearDeadlines");
  harness_close(&h);
}

/* A clock may be wrong: nothing is opened twice, and nobody is left without an answer. */
static void the_ledger_refuses_it_while_its_time_is_in_doubt(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  sold_in_ledger(&h);
  assert_string_equal(open_ledger(&h, free_again, "r"), "CommandRefused(Reserve,ID_REUSED)");
  assert_int_equal(number_in(&h, "lr", "revision"), 2);
  harness_close(&h);
}

static void a_hold_for_an_opening_that_the_ledger_refused_goes_back(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  sold_in_ledger(&h);
  open_ledger(&h, free_again, "r");
  assert_string_equal(hold_for_ledger(&h, free_again), "ReleaseHold");
  assert_string_equal(hold_for_ledger(&h, first), "-"); /* said again: it was taken, and sold */
  harness_close(&h);
}

/* Else a reset filter, which says it again, would open it twice. */
static void an_opening_that_is_said_again_is_no_other_whatever_the_partitions_time(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  sold_in_ledger(&h);
  until(&h, free_again - 1, open_ledger);
  assert_string_equal(open_ledger(&h, first, "r"), "-");
  harness_close(&h);
}

/* A host's clock of long ago has settled it: by the partition's time it was not so long ago. */
static void what_a_late_clock_has_settled_does_not_free_the_id_early(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  until(&h, first + 2 * EXPIRY_WINDOW_MS, open_ledger);
  open_ledger(&h, first + 2 * EXPIRY_WINDOW_MS, "r");
  hold_for_ledger(&h, first);
  assert_string_equal(open_ledger(&h, first + 2 * EXPIRY_WINDOW_MS + 1, "r"), "-");
  harness_close(&h);
}

static void open_stock(struct harness *h, int64_t until_time) {
  harness_open(h, "stock-check");
  harness_json(h, first,
               "{\"type\":\"RegisterItem\",\"item_id\":\"i\",\"title\":\"t\",\"payment\":\"NONE\","
               "\"kind\":\"BOOK\",\"capacity\":1000,\"max_per_reservation\":9}");
  assert_string_equal(hold_stock(h, first, "r"), "StockHeld StockLevel");
  const struct confirm_hold confirm = {.reservation_id = STR("r"), .item_id = STR("i")};
  harness_send(h, first, "i", RECORD_CONFIRM_HOLD, &confirm);
  if (until_time) until(h, until_time, hold_stock);
}

/* The ledger may be surer that the id is free, and waits. */
static void stock_is_held_anew_for_it_and_refused_in_doubt(void **unused) {
  (void)unused;
  struct harness h;
  open_stock(&h, 0);
  assert_string_equal(hold_stock(&h, free_again, "r"), "StockRefused(TOO_OLD)");
  harness_close(&h);
  open_stock(&h, free_again - 1);
  assert_string_equal(hold_stock(&h, last - EXPIRY_SLACK_MS, "r"), "-"); /* a repeat */
  assert_string_equal(hold_stock(&h, last - EXPIRY_SLACK_MS + 1, "r"), "StockRefused(TOO_OLD)");
  assert_string_equal(hold_stock(&h, free_again - 1, "r"), "StockRefused(TOO_OLD)");
  assert_string_equal(hold_stock(&h, free_again, "r"), "StockHeld StockLevel");
  harness_close(&h);
}

static void a_receipt_counts_again_and_not_within_the_window(void **unused) {
  (void)unused;
  struct harness h;
  open_stock(&h, 0);
  const char *receipt =
      "{\"type\":\"ReceiveStock\",\"item_id\":\"i\",\"receipt_id\":\"q\",\"quantity\":1}";
  assert_string_equal(harness_json(&h, first, receipt), "StockLevel");
  until(&h, free_again - 1, hold_stock);
  assert_string_equal(harness_json(&h, last, receipt), "-");
  assert_string_equal(harness_json(&h, last + 1, receipt),
                      "CommandRefused(ReceiveStock,ID_REUSED)");
  assert_string_equal(harness_json(&h, free_again, receipt), "StockLevel");
  harness_close(&h);
}

#define VIEW "vkim/r"

static void history_shows_it_once_the_ledger_has_taken_it(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "history");
  request(&h, first, "r");
  change(&h, first, "r", 2, STATUS_APPROVED, first);
  request(&h, free_again, "r");
  assert_int_equal(number_in(&h, VIEW, "revision"), 2);
  change(&h, free_again, "r", 1, STATUS_HELD, free_again); /* the ledger has decided */
  assert_int_equal(number_in(&h, VIEW, "revision"), 1);
  harness_close(&h);
}

static const char *step_of_outcome(struct harness *h, int64_t time, int revision,
                                   enum status status, int64_t opened_at) {
  const struct reservation_outcome outcome = {.reservation_id = STR("r"),
                                              .customer_id = STR("kim"),
                                              .item_id = STR("i"),
                                              .revision = revision,
                                              .status = status,
                                              .quantity = 1,
                                              .opened_at = opened_at};
  return harness_send(h, time, "i", RECORD_RESERVATION_OUTCOME, &outcome);
}

static const char *outcome(struct harness *h, int64_t time) {
  return step_of_outcome(h, time, 2, STATUS_APPROVED, time);
}

static void tally_counts_both(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "tally");
  assert_string_equal(outcome(&h, first), "Tallied(yes) OptionTally");
  assert_string_equal(outcome(&h, first), "-");
  assert_string_equal(outcome(&h, free_again), "Tallied(yes) OptionTally");
  harness_close(&h);
}

static void the_customer_is_told_of_both(void **unused) {
  (void)unused;
  struct harness h;
  fake_world_state = (struct fake_world_state){.answer = NOTICE_TAKEN};
  harness_open_processor(&h, without_world(find_processor("notify")));
  change(&h, first, "r", 2, STATUS_APPROVED, first);
  change(&h, first + 1, "r", 2, STATUS_APPROVED, first);
  assert_int_equal(number_in(&h, "ckim", "tail"), 1);
  change(&h, free_again, "r", 1, STATUS_HELD, free_again);
  assert_int_equal(number_in(&h, "ckim", "tail"), 2);
  harness_close(&h);
}

/* The broker stamped the opening years ahead, and the hosts' clocks are right. */
static void the_next_step_of_an_opening_that_was_stamped_ahead_is_no_others(void **unused) {
  (void)unused;
  struct harness h;
  const int64_t ahead = first + 2 * EXPIRY_WINDOW_MS;
  harness_open(&h, "tally");
  step_of_outcome(&h, first, 2, STATUS_APPROVED, ahead);
  assert_string_equal(step_of_outcome(&h, first, 2, STATUS_APPROVED, ahead), "-");
  assert_string_equal(step_of_outcome(&h, first, 4, STATUS_CANCELLED, ahead),
                      "Tallied(no) OptionTally");
  harness_close(&h);
  harness_open(&h, "history");
  change(&h, first, "r", 2, STATUS_APPROVED, ahead);
  change(&h, first, "r", 1, STATUS_HELD, ahead);
  assert_int_equal(number_in(&h, VIEW, "revision"), 2);
  harness_close(&h);
  fake_world_state = (struct fake_world_state){.answer = NOTICE_TAKEN};
  harness_open_processor(&h, without_world(find_processor("notify")));
  change(&h, first, "r", 2, STATUS_APPROVED, ahead);
  change(&h, first, "r", 1, STATUS_HELD, ahead);
  assert_int_equal(number_in(&h, "ckim", "tail"), 1);
  harness_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_ledger_opens_it_anew_and_not_within_the_window),
      cmocka_unit_test(the_ledger_refuses_it_while_its_time_is_in_doubt),
      cmocka_unit_test(a_hold_for_an_opening_that_the_ledger_refused_goes_back),
      cmocka_unit_test(an_opening_that_is_said_again_is_no_other_whatever_the_partitions_time),
      cmocka_unit_test(what_a_late_clock_has_settled_does_not_free_the_id_early),
      cmocka_unit_test(stock_is_held_anew_for_it_and_refused_in_doubt),
      cmocka_unit_test(a_receipt_counts_again_and_not_within_the_window),
      cmocka_unit_test(history_shows_it_once_the_ledger_has_taken_it),
      cmocka_unit_test(tally_counts_both),
      cmocka_unit_test(the_customer_is_told_of_both),
      cmocka_unit_test(the_next_step_of_an_opening_that_was_stamped_ahead_is_no_others),
  };
  return cmocka_run_group_tests_name("reuse", tests, NULL, NULL);
}
