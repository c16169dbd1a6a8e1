/* Clocks that are wrong: what they stamp moves no time, keeps no row for ever, and loses none. */
#include <inttypes.h>
#include <stdio.h>

#include "charge/charge.h"
#include "../lib/aging.h"
#include "../lib/fake_world.h"

static struct expiry expiry_of(struct harness *h) {
  json_t *row = harness_row(h, "X-");
  struct expiry expiry = {.latest = json_integer_value(json_object_get(row, "latest")),
                          .head = json_integer_value(json_object_get(row, "head")),
                          .tail = json_integer_value(json_object_get(row, "tail")),
                          .doubts = json_integer_value(json_object_get(row, "doubts")),
                          .doubted = json_integer_value(json_object_get(row, "doubted")),
                          .too_old = json_integer_value(json_object_get(row, "too_old"))};
  json_decref(row);
  return expiry;
}

/* A request that the ledger made at `time` for a reservation opened at `opened_at`. */
static const char *request_at(struct harness *h, int64_t time, int64_t opened_at, const char *key) {
  const struct request_charge request = {.reservation_id = STR("r"),
                                         .customer_id = STR("c"),
                                         .charge_key = str_of(key),
                                         .kind = CHARGE_KIND_CHARGE,
                                         .amount = 5,
                                         .opened_at = opened_at};
  fake_world_state.answer = CALL_APPROVED;
  return harness_send(h, time, "r", RECORD_REQUEST_CHARGE, &request);
}

static const int64_t today = 20000 * DAY_MS, far_ahead = 440 * DAY_MS;

static void a_wrong_clock_of_any_event_does_not_keep_charge_from_charging(void **unused) {
  (void)unused;
  struct harness h;
  fake_world_state = (struct fake_world_state){0};
  harness_open_processor(&h, without_world(find_processor("charge")));
  assert_string_equal(request_at(&h, today, today, "a"), "ChargeSettled(CHARGE,yes)");
  assert_string_equal(request_at(&h, today + far_ahead, today, "b"), "ChargeSettled(CHARGE,yes)");
  assert_string_equal(request_at(&h, today + 1, today + 1, "c"), "ChargeSettled(CHARGE,yes)");
  harness_close(&h);
}

static void one_opening_of_a_wrong_clock_does_not_make_the_others_too_old(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  open_at(&h, today, "a");
  assert_string_equal(open_at(&h, today + far_ahead, "b"), "SetDeadline(WATCHDOG)");
  assert_string_equal(open_at(&h, today + 1, "c"), "SetDeadline(WATCHDOG)");
  harness_close(&h);
}

static void a_wrong_clock_of_any_outcome_does_not_keep_tally_from_counting(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "tally");
  struct reservation_outcome outcome = {.customer_id = STR("c"),
                                        .item_id = STR("i"),
                                        .revision = 2,
                                        .status = STATUS_APPROVED,
                                        .quantity = 1};
  const int64_t ahead[] = {0, far_ahead, 1};
  for (int i = 0; i < 3; i++) {
    outcome.reservation_id = (struct str){"abc" + i, 1};
    outcome.opened_at = today + i;
    assert_string_equal(
        harness_send(&h, today + ahead[i], "i", RECORD_RESERVATION_OUTCOME, &outcome),
        "Tallied(yes) OptionTally");
  }
  harness_close(&h);
}

/* The harness opens a ledger whose time is today. */
static void open_today(struct harness *h) {
  harness_open(h, "payment");
  until(h, today, open_in_ledger);
  open_at(h, today, "today");
  assert_int_equal(expiry_of(h).latest, today);
  assert_int_equal(expiry_of(h).doubts, 0);
}

static void an_hour_of_a_wrong_clock_under_load_moves_nothing(void **unused) {
  (void)unused;
  struct harness h;
  open_today(&h);
  for (int i = 0; i < 1000; i++) {
    char id[16];
    snprintf(id, sizeof id, "w%d", i);
    open_at(&h, today + far_ahead + i * 3600, id);
    if (i % 20 == 0) arena_reset(&h.arena);
  }
  assert_int_equal(expiry_of(&h).latest, today);
  assert_int_equal(expiry_of(&h).doubts, 1000);
  assert_string_equal(open_at(&h, today + 5, "right"), "SetDeadline(WATCHDOG)");
  assert_int_equal(expiry_of(&h).doubts, 0);
  assert_int_equal(expiry_of(&h).latest, today + 5);
  assert_int_equal(expiry_of(&h).too_old, 0);
  harness_close(&h);
}

static void after_weeks_of_quiet_the_time_follows_within_half_a_day(void **unused) {
  (void)unused;
  struct harness h;
  open_today(&h);
  const int64_t later = today + 40 * DAY_MS;
  for (int i = 0; i < 150; i++) {
    char id[16];
    snprintf(id, sizeof id, "l%d", i);
    assert_string_equal(open_at(&h, later + i * DAY_MS / 200, id), "SetDeadline(WATCHDOG)");
    if (i == 75) /* a wrong clock among them: of several the lowest counts */
      open_at(&h, later + far_ahead, "wrong");
    if (i < 99) assert_int_equal(expiry_of(&h).latest, today);
  }
  assert_int_equal(expiry_of(&h).latest, later + 149 * DAY_MS / 200);
  assert_int_equal(expiry_of(&h).doubts, 0);
  harness_close(&h);
}

static void a_partition_with_an_opening_in_a_while_is_a_hundred_of_them_behind(void **unused) {
  (void)unused;
  struct harness h;
  open_today(&h);
  const int64_t pause = 3 * DAY_MS;
  for (int i = 1; i <= 1000; i++) {
    char id[16];
    snprintf(id, sizeof id, "q%d", i);
    open_at(&h, today + i * pause, id);
    if (i % 20 == 0) arena_reset(&h.arena);
  }
  assert_in_range(expiry_of(&h).latest, today + (1000 - 2 * EXPIRY_DOUBTS) * pause,
                  today + 1000 * pause);
  harness_close(&h);
}

/* Nobody can tell a clock that is wrong for a day from a pause: who is refused is told so, it is
 * counted, and an operator sets the time back. */
static void what_is_refused_by_a_wrong_time_is_told_and_counted(void **unused) {
  (void)unused;
  struct harness h;
  open_today(&h);
  until(&h, today + far_ahead, open_in_ledger);
  open_at(&h, today + far_ahead, "wrong");
  assert_int_equal(expiry_of(&h).latest, today + far_ahead);
  assert_string_equal(open_at(&h, today + 5, "right"), "CommandRefused(Reserve,TOO_OLD)");
  assert_int_equal(expiry_of(&h).too_old, 1);
  harness_close(&h);
}

static const char *request_in_time(struct harness *h, int64_t time, const char *id) {
  return request_at(h, time, time, id);
}

static void request_in_charge(struct harness *h, int64_t time, const char *id) {
  request_in_time(h, time, id);
}

static void a_charge_that_is_too_old_is_put_off_and_never_passed_over(void **unused) {
  (void)unused;
  struct harness h;
  fake_world_state = (struct fake_world_state){0};
  harness_open_processor(&h, without_world(find_processor("charge")));
  until(&h, today + far_ahead, request_in_charge);
  request_in_time(&h, today + far_ahead, "wrong");
  assert_string_equal(request_in_time(&h, today, "right"), "ChargeDeferred(CHARGE)");
  assert_false(has_row(&h, "cright"));
  assert_int_equal(expiry_of(&h).too_old, 1);
  /* Of a reservation that was opened long ago and is refunded now, or by a host whose clock is
   * wrong: one of its times is not too old. */
  assert_string_equal(request_at(&h, today + far_ahead, today, "refund"),
                      "ChargeSettled(CHARGE,yes)");
  assert_string_equal(request_at(&h, today, today + far_ahead, "host"),
                      "ChargeSettled(CHARGE,yes)");
  harness_close(&h);
}

static void a_release_of_a_hold_whose_row_has_gone_is_counted(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "stock-check");
  const struct release_hold release = {.reservation_id = STR("r"), .item_id = STR("i")};
  const struct confirm_hold confirm = {.reservation_id = STR("r"), .item_id = STR("i")};
  assert_string_equal(harness_send(&h, today, "i", RECORD_RELEASE_HOLD, &release), "-");
  assert_string_equal(harness_send(&h, today, "i", RECORD_CONFIRM_HOLD, &confirm), "-");
  assert_int_equal(expiry_of(&h).too_old, 2);
  harness_close(&h);
}

/* A step is timed by the clock of some host. */
static void a_step_of_a_wrong_clock_keeps_no_row_for_ever_and_loses_none(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "history");
  until(&h, today, request_of_crowd);
  requested_at(&h, today, "kim", "a");
  struct status_changed end = {.reservation_id = STR("future"),
                               .customer_id = STR("kim"),
                               .item_id = STR("i"),
                               .revision = 1,
                               .status = STATUS_FAILED,
                               .opened_at = today};
  harness_send(&h, today + 100000 * DAY_MS, "kim", RECORD_STATUS_CHANGED, &end);
  end.reservation_id = STR("past");
  harness_send(&h, today - 500 * DAY_MS, "kim", RECORD_STATUS_CHANGED, &end);
  end.reservation_id = STR("now");
  harness_send(&h, today, "kim", RECORD_STATUS_CHANGED, &end);
  const int64_t end_of_both = today + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS;
  until(&h, end_of_both, request_of_crowd);
  requested_at(&h, end_of_both, "kim", "b");
  assert_true(has_row(&h, "vkim/past"));
  assert_true(has_row(&h, "vkim/future"));
  const int64_t slack_later = end_of_both + EXPIRY_SLACK_MS + 1;
  until(&h, slack_later, request_of_crowd);
  requested_at(&h, slack_later, "kim", "c");
  assert_false(has_row(&h, "vkim/past"));
  assert_false(has_row(&h, "vkim/future"));
  assert_false(has_row(&h, "vkim/now"));
  harness_close(&h);
}

/* A charge settles by its host's clock; a customer's Cancel comes by the broker's. */
static void a_sale_that_a_wrong_clock_has_settled_is_given_back_within_the_window(void **unused) {
  (void)unused;
  struct harness h;
  open_today(&h);
  const int64_t settled[] = {today - 500 * DAY_MS, today + 500 * DAY_MS};
  for (int i = 0; i < 2; i++) {
    const char *id = i ? "future" : "past", *kept = i ? "future-kept" : "past-kept";
    const struct stock_held held = {.item_id = STR("item"), .quantity = 1};
    open_at(&h, today, id);
    open_at(&h, today, kept);
    harness_send(&h, settled[i], id, RECORD_STOCK_HELD, &held);
    harness_send(&h, settled[i], kept, RECORD_STOCK_HELD, &held);
    assert_string_equal(cancel_at(&h, today + EXPIRY_WINDOW_MS, id),
                        "StatusChanged(CANCELLED,RELEASE) ClearDeadlines");
    assert_string_equal(cancel_at(&h, today + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS + 1, kept),
                        "CommandRefused(Cancel,ALREADY_ENDED)");
  }
  harness_close(&h);
}

static void put_row(struct harness *h, const char *key, int type, const void *row) {
  const struct change change = {
      .key = str_of(key), .value = codec_encode(h->codec, (struct record){type, row}, &h->arena)};
  store_put_changes(runtime_store(h->runtime), 0, &change, 1);
  store_write(runtime_store(h->runtime));
}

static void rows_of_a_time_that_was_set_back_do_not_hold_up_others(void **unused) {
  (void)unused;
  struct harness h;
  open_today(&h);
  const int64_t wrong = today + 100000 * DAY_MS;
  until(&h, wrong, open_in_ledger);
  sell_at(&h, wrong, "of-wrong-time");
  struct expiry expiry = expiry_of(&h);
  assert_int_equal(expiry.latest, wrong);
  expiry.latest = today;
  put_row(&h, "X-", RECORD_EXPIRY, &expiry); /* as 'holdfast clock' does */
  sell_at(&h, today + 1, "of-right-time");
  const int64_t later = today + 2 + EXPIRY_WINDOW_MS + 2 * EXPIRY_SLACK_MS;
  until(&h, later, open_in_ledger);
  open_at(&h, later, "b");
  assert_false(has_row(&h, "lof-right-time"));
  assert_false(has_row(&h, "lof-wrong-time"));
  harness_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_wrong_clock_of_any_event_does_not_keep_charge_from_charging),
      cmocka_unit_test(one_opening_of_a_wrong_clock_does_not_make_the_others_too_old),
      cmocka_unit_test(a_wrong_clock_of_any_outcome_does_not_keep_tally_from_counting),
      cmocka_unit_test(an_hour_of_a_wrong_clock_under_load_moves_nothing),
      cmocka_unit_test(after_weeks_of_quiet_the_time_follows_within_half_a_day),
      cmocka_unit_test(a_partition_with_an_opening_in_a_while_is_a_hundred_of_them_behind),
      cmocka_unit_test(what_is_refused_by_a_wrong_time_is_told_and_counted),
      cmocka_unit_test(a_charge_that_is_too_old_is_put_off_and_never_passed_over),
      cmocka_unit_test(a_release_of_a_hold_whose_row_has_gone_is_counted),
      cmocka_unit_test(a_step_of_a_wrong_clock_keeps_no_row_for_ever_and_loses_none),
      cmocka_unit_test(a_sale_that_a_wrong_clock_has_settled_is_given_back_within_the_window),
      cmocka_unit_test(rows_of_a_time_that_was_set_back_do_not_hold_up_others),
  };
  return cmocka_run_group_tests_name("wrong_clock", tests, NULL, NULL);
}
