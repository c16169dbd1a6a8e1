/* What goes from the stores, and when: by the time of the commands alone. */
#include <stdio.h>

#include "expiry.h"
#include "harness.h"

#define DAY_MS (INT64_C(86400) * 1000)

static const char *open_at(struct harness *h, int64_t time, const char *id) {
  const struct open_reservation open = {.reservation_id = str_of(id),
                                        .customer_id = STR("kim"),
                                        .item_id = STR("item"),
                                        .quantity = 1};
  return harness_send(h, time, id, RECORD_OPEN_RESERVATION, &open);
}

/* Opened, and sold at once for nothing. */
static void sell_at(struct harness *h, int64_t time, const char *id) {
  const struct stock_held held = {
      .reservation_id = str_of(id), .item_id = STR("item"), .quantity = 1};
  open_at(h, time, id);
  assert_string_equal(harness_send(h, time, id, RECORD_STOCK_HELD, &held),
                      "StatusChanged(HELD) StatusChanged(APPROVED,CONFIRM) ClearDeadlines");
}

static const char *cancel_at(struct harness *h, int64_t time, const char *id) {
  return harness_send(h, time, id, RECORD_CANCEL, &(struct cancel){str_of(id), STR("kim")});
}

static bool has_row(struct harness *h, const char *key) {
  json_t *row = harness_row(h, key);
  json_decref(row);
  return row != NULL;
}

static void a_settled_reservation_goes_a_window_and_a_slack_after_its_last_step(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  sell_at(&h, DAY_MS, "a");
  open_at(&h, DAY_MS, "waits"); /* it has not settled: it stays however long it takes */
  open_at(&h, DAY_MS + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS, "b");
  assert_true(has_row(&h, "la"));
  open_at(&h, DAY_MS + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS + 1, "c");
  assert_false(has_row(&h, "la"));
  assert_true(has_row(&h, "lwaits"));
  harness_close(&h);
}

static void only_openings_move_the_time(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  sell_at(&h, DAY_MS, "a");
  sell_at(&h, DAY_MS, "b");
  cancel_at(&h, DAY_MS * 10000, "b"); /* a clock that is wrong, of whoever stamps it */
  harness_wait(&h, DAY_MS * 20000);
  assert_true(has_row(&h, "la"));
  harness_close(&h);
}

static void a_later_step_keeps_the_row(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  sell_at(&h, DAY_MS, "a");
  assert_string_equal(cancel_at(&h, 100 * DAY_MS, "a"),
                      "StatusChanged(CANCELLED,RELEASE) ClearDeadlines");
  open_at(&h, 2 * DAY_MS + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS, "b");
  assert_true(has_row(&h, "la"));
  open_at(&h, 101 * DAY_MS + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS, "c");
  assert_false(has_row(&h, "la"));
  harness_close(&h);
}

static void what_was_sold_is_given_back_within_the_window_only(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  sell_at(&h, DAY_MS, "a");
  sell_at(&h, DAY_MS, "b");
  assert_string_equal(cancel_at(&h, DAY_MS + EXPIRY_WINDOW_MS, "a"),
                      "StatusChanged(CANCELLED,RELEASE) ClearDeadlines");
  assert_string_equal(cancel_at(&h, DAY_MS + EXPIRY_WINDOW_MS + 1, "b"),
                      "CommandRefused(Cancel,ALREADY_ENDED)");
  harness_close(&h);
}

static void an_opening_older_than_the_window_is_refused_and_never_new(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  open_at(&h, 10 * DAY_MS + EXPIRY_WINDOW_MS, "new");
  assert_string_equal(open_at(&h, 10 * DAY_MS - 1, "old"), "CommandRefused(Reserve,TOO_OLD)");
  assert_false(has_row(&h, "lold"));
  assert_string_equal(open_at(&h, 10 * DAY_MS, "just"), "SetDeadline(WATCHDOG)");
  harness_close(&h);
}

static void a_request_for_a_hold_older_than_the_window_is_refused(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "stock-check");
  harness_json(&h, DAY_MS,
               "{\"type\":\"RegisterItem\",\"item_id\":\"i\",\"title\":\"t\",\"payment\":\"NONE\","
               "\"kind\":\"BOOK\",\"capacity\":9}");
  struct request_hold hold = {
      .reservation_id = STR("a"), .customer_id = STR("c"), .item_id = STR("i"), .quantity = 1};
  assert_string_equal(
      harness_send(&h, 10 * DAY_MS + EXPIRY_WINDOW_MS, "i", RECORD_REQUEST_HOLD, &hold),
      "StockHeld StockLevel");
  hold.reservation_id = STR("b");
  assert_string_equal(harness_send(&h, 9 * DAY_MS, "i", RECORD_REQUEST_HOLD, &hold),
                      "StockRefused(TOO_OLD)");
  assert_string_equal(harness_json(&h, 9 * DAY_MS,
                                   "{\"type\":\"ReceiveStock\",\"item_id\":\"i\",\"receipt_id\":"
                                   "\"q\",\"quantity\":1}"),
                      "CommandRefused(ReceiveStock,TOO_OLD)");
  harness_close(&h);
}

static bool count(void *user, struct str key, struct str value) {
  (void)key;
  (void)value;
  ++*(size_t *)user;
  return true;
}

/* A reservation an hour, for years: the rows are those of a window and a slack, and no more. */
static void with_a_moving_window_the_store_stays_as_large_as_it_is(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  const int64_t step = 5 * DAY_MS;
  const size_t within = (size_t)((EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS) / step);
  size_t largest = 0;
  for (int i = 1; i <= 2000; i++) {
    char id[16];
    snprintf(id, sizeof id, "r%d", i);
    sell_at(&h, i * step, id);
    arena_reset(&h.arena);
    if (i < 200 || i % 100) continue;
    size_t rows = 0;
    store_scan(runtime_store(h.runtime), 0, STR(""), (struct str){0}, count, &rows);
    if (rows > largest) largest = rows;
  }
  /* Those of the window, the pages of their queue, and the time of the partition. */
  assert_in_range(largest, within, within + within / 16 + 4);
  harness_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_settled_reservation_goes_a_window_and_a_slack_after_its_last_step),
      cmocka_unit_test(only_openings_move_the_time),
      cmocka_unit_test(a_later_step_keeps_the_row),
      cmocka_unit_test(what_was_sold_is_given_back_within_the_window_only),
      cmocka_unit_test(an_opening_older_than_the_window_is_refused_and_never_new),
      cmocka_unit_test(a_request_for_a_hold_older_than_the_window_is_refused),
      cmocka_unit_test(with_a_moving_window_the_store_stays_as_large_as_it_is),
  };
  return cmocka_run_group_tests_name("expiry", tests, NULL, NULL);
}
