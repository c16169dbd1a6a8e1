/* What goes from the stores, and when: by the time of the commands alone. */
#include <stdio.h>

#include "charge/charge.h"
#include "../lib/aging.h"
#include "../lib/fake_world.h"
#include "notify/notify.h"

static void a_settled_reservation_goes_a_window_and_a_slack_after_its_last_step(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  sell_at(&h, DAY_MS, "a");
  open_at(&h, DAY_MS, "waits"); /* it has not settled: it stays however long it takes */
  until(&h, DAY_MS + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS, open_in_ledger);
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
  until(&h, 2 * DAY_MS + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS, open_in_ledger);
  open_at(&h, 2 * DAY_MS + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS, "b");
  assert_true(has_row(&h, "la"));
  until(&h, 101 * DAY_MS + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS, open_in_ledger);
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
  until(&h, 10 * DAY_MS + EXPIRY_WINDOW_MS, open_in_ledger);
  open_at(&h, 10 * DAY_MS + EXPIRY_WINDOW_MS, "new");
  assert_string_equal(open_at(&h, 10 * DAY_MS - 1, "old"), "CommandRefused(Reserve,TOO_OLD)");
  assert_false(has_row(&h, "lold"));
  assert_string_equal(open_at(&h, 10 * DAY_MS, "just"), "SetDeadline(WATCHDOG)");
  harness_close(&h);
}

static void ask_for_hold(struct harness *h, int64_t time, const char *id) {
  const struct request_hold hold = {.reservation_id = str_of(id),
                                    .customer_id = STR("c"),
                                    .item_id = STR("nothing"),
                                    .quantity = 1};
  harness_send(h, time, "nothing", RECORD_REQUEST_HOLD, &hold);
}

static void a_request_for_a_hold_older_than_the_window_is_refused(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "stock-check");
  harness_json(&h, DAY_MS,
               "{\"type\":\"RegisterItem\",\"item_id\":\"i\",\"title\":\"t\",\"payment\":\"NONE\","
               "\"kind\":\"BOOK\",\"capacity\":9}");
  until(&h, 10 * DAY_MS + EXPIRY_WINDOW_MS, ask_for_hold);
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

static void refused_at(struct harness *h, int64_t time, const char *sender, const char *place) {
  const struct command_refused refused = {.sender_id = str_of(sender),
                                          .command = STR("Cancel"),
                                          .refusal = REFUSAL_UNKNOWN_RESERVATION,
                                          .place = str_of(place)};
  harness_send(h, time, sender, RECORD_COMMAND_REFUSED, &refused);
}

static void sign_up(struct harness *h, const char *customer) {
  const struct register_customer known = {.customer_id = str_of(customer),
                                          .name = STR("Kim"),
                                          .contact = STR("k@example.org"),
                                          .language = STR("en")};
  harness_send(h, DAY_MS, customer, RECORD_REGISTER_CUSTOMER, &known);
}

static const int64_t past = DAY_MS + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS;

static void who_never_signed_up_is_forgotten_by_notify_a_window_after_the_last_notice(
    void **unused) {
  (void)unused;
  struct harness h;
  fake_world_state = (struct fake_world_state){.answer = NOTICE_TAKEN};
  harness_open_processor(&h, without_world(find_processor("notify")));
  sign_up(&h, "known");
  requested_at(&h, DAY_MS, "known", "a");
  requested_at(&h, DAY_MS, "stranger", "b");
  requested_at(&h, DAY_MS, "regular", "c");
  requested_at(&h, 2 * DAY_MS, "regular", "d");
  fake_world_state.answer = NOTICE_FAILED;
  requested_at(&h, DAY_MS, "waits", "e"); /* its notice has not been taken: it stays */
  assert_true(has_row(&h, "cstranger"));
  until(&h, past + 1, request_of_crowd);
  requested_at(&h, past + 1, "other", "f");
  requested_at(&h, past + 1, "other", "g"); /* a few rows go at each decision */
  assert_false(has_row(&h, "cstranger"));
  assert_true(has_row(&h, "cknown"));
  assert_true(has_row(&h, "cregular"));
  assert_true(has_row(&h, "cwaits"));
  harness_close(&h);
}

static void who_never_signed_up_is_forgotten_by_history_a_window_after_the_last_refusal(
    void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "history");
  sign_up(&h, "known");
  refused_at(&h, DAY_MS, "known", "p-0-1");
  refused_at(&h, DAY_MS, "stranger", "p-0-2");
  refused_at(&h, DAY_MS, "regular", "p-0-3");
  refused_at(&h, 2 * DAY_MS, "regular", "p-0-4");
  assert_true(has_row(&h, "cstranger"));
  until(&h, past + 1, request_of_crowd);
  requested_at(&h, past + 1, "other", "a");
  assert_false(has_row(&h, "cstranger"));
  assert_true(has_row(&h, "cknown"));
  assert_true(has_row(&h, "cregular"));
  refused_at(&h, DAY_MS, "stranger", "p-0-2"); /* said again by a reset: it was told */
  assert_false(has_row(&h, "cstranger"));
  harness_close(&h);
}

static void charge_at(struct harness *h, int64_t time, const char *key, int answer) {
  const struct request_charge request = {.reservation_id = STR("r"),
                                         .customer_id = STR("c"),
                                         .charge_key = str_of(key),
                                         .kind = CHARGE_KIND_CHARGE,
                                         .amount = 5,
                                         .opened_at = time};
  fake_world_state.answer = answer;
  harness_send(h, time, "r", RECORD_REQUEST_CHARGE, &request);
}

static void lost_charge_at(struct harness *h, int64_t time, const char *id) {
  charge_at(h, time, id, CALL_LOST);
}

/* The ledger gives up a deferred charge without a word to charge. */
static void a_deferred_charge_goes_as_a_settled_one_does_and_an_unknown_one_stays(void **unused) {
  (void)unused;
  struct harness h;
  fake_world_state = (struct fake_world_state){0};
  harness_open_processor(&h, without_world(find_processor("charge")));
  charge_at(&h, DAY_MS, "paid", CALL_APPROVED);
  charge_at(&h, DAY_MS, "given-up", CALL_NOT_MADE);
  charge_at(&h, DAY_MS, "tried-again", CALL_NOT_MADE);
  charge_at(&h, 2 * DAY_MS, "tried-again", CALL_NOT_MADE);
  charge_at(&h, DAY_MS, "unknown", CALL_LOST);
  fake_world_state.answer = CALL_LOST;
  until(&h, past + 1, lost_charge_at);
  charge_at(&h, past + 1, "other", CALL_LOST);
  assert_false(has_row(&h, "cpaid"));
  assert_false(has_row(&h, "cgiven-up"));
  assert_true(has_row(&h, "ctried-again"));
  assert_true(has_row(&h, "cunknown"));
  harness_close(&h);
}

/* As the first version of the record has it, whose later fields are zeros: they are its end. */
static void put_first_version(struct harness *h, const char *key, int type, const void *row,
                              size_t later) {
  uint64_t first = 0;
  for (size_t i = 0; i < holdfast_schemas.version_count && !first; i++) {
    if (holdfast_schemas.versions[i].type == type) first = holdfast_schemas.versions[i].fingerprint;
  }
  struct str bytes = codec_encode(h->codec, (struct record){type, row}, &h->arena);
  char *old = (char *)(uintptr_t)bytes.data;
  for (int i = 0; i < 8; i++) old[2 + i] = (char)(first >> (8 * i)); /* little-endian */
  const struct change change = {.key = str_of(key), .value = {old, bytes.size - later}};
  store_put_changes(runtime_store(h->runtime), 0, &change, 1);
  store_write(runtime_store(h->runtime));
}

static void rows_of_an_earlier_version_go_as_others_do(void **unused) {
  (void)unused;
  const int64_t today = 20000 * DAY_MS;
  struct harness h;
  harness_open(&h, "payment");
  sell_at(&h, today, "a");
  struct expiry_entry entry = {.key = STR("la"), .at = today};
  struct expiry_page page;
  page.entries.count = 1;
  page.entries.items = &entry;
  put_first_version(&h, "Y0000000000000000", RECORD_EXPIRY_PAGE, &page, 1);
  put_first_version(&h, "X-", RECORD_EXPIRY, &(struct expiry){.latest = today, .tail = 1}, 4);
  const int64_t end = today + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS;
  until(&h, end, open_in_ledger);
  open_at(&h, end, "b");
  assert_true(has_row(&h, "la"));
  open_at(&h, end + 1, "c");
  assert_false(has_row(&h, "la"));
  harness_close(&h);
}

static bool count(void *user, struct str key, struct str value) {
  (void)key;
  (void)value;
  ++*(size_t *)user;
  return true;
}

/* Two reservations a day, for years: the rows are those of a window and a slack, and no more. */
static void with_a_moving_window_the_store_stays_as_large_as_it_is(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  const int64_t step = DAY_MS / 2;
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
      cmocka_unit_test(who_never_signed_up_is_forgotten_by_notify_a_window_after_the_last_notice),
      cmocka_unit_test(who_never_signed_up_is_forgotten_by_history_a_window_after_the_last_refusal),
      cmocka_unit_test(a_deferred_charge_goes_as_a_settled_one_does_and_an_unknown_one_stays),
      cmocka_unit_test(rows_of_an_earlier_version_go_as_others_do),
      cmocka_unit_test(with_a_moving_window_the_store_stays_as_large_as_it_is),
  };
  return cmocka_run_group_tests_name("expiry", tests, NULL, NULL);
}
