/* Decisions of history: what is said, and what its rows show. */
#include <stdio.h>

#include "../lib/play.h"

#define EVENT(customer, hash, revision, status)                                                   \
  "{\"type\":\"StatusChanged\",\"reservation_id\":\"r\",\"customer_id\":\"" customer              \
  "\",\"item_id\":\"i\",\"content_hash\":" hash ",\"revision\":" revision ",\"status\":\"" status \
  "\",\"reason\":\"NONE\",\"quantity\":1,\"seats\":[],\"option\":\"\",\"amount\":0,\"screen\":"   \
  "\"\",\"until\":0,\"hold\":\"KEEP\"}"
#define REUSED(customer, hash)                                                                   \
  "{\"type\":\"CommandRefused\",\"sender_id\":\"" customer                                       \
  "\",\"command\":\"Reserve\",\"reservation_id\":\"r\",\"item_id\":\"i\",\"content_hash\":" hash \
  ",\"refusal\":\"ID_REUSED\",\"detail\":\"\"}"

static long long number(struct harness *h, const char *key, const char *field) {
  json_t *row = harness_row(h, key), *value = json_object_get(row, field);
  long long result = json_is_array(value)     ? (long long)json_array_size(value)
                     : json_is_boolean(value) ? json_is_true(value)
                                              : json_integer_value(value);
  if (!row) result = -1;
  json_decref(row);
  return result;
}

static void a_view_ignores_what_it_has_seen(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "history");
  harness_json(&h, 1, EVENT("c", "7", "0", "REQUESTED"));
  harness_json(&h, 2, EVENT("c", "7", "1", "HELD"));
  harness_json(&h, 3, EVENT("c", "7", "1", "HELD"));
  harness_json(&h, 4, EVENT("c", "7", "0", "REQUESTED"));
  harness_json(&h, 5, EVENT("c", "7", "2", "APPROVED"));
  assert_int_equal(number(&h, "vc/r", "timeline"), 3);
  assert_int_equal(number(&h, "vc/r", "revision"), 2);
  harness_close(&h);
}

static void an_id_that_was_reused_shows_in_the_senders_list_and_not_in_the_owners(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "history");
  harness_json(&h, 1, EVENT("owner", "7", "0", "REQUESTED"));
  harness_json(&h, 2, EVENT("thief", "8", "0", "REQUESTED"));
  harness_json(&h, 3, REUSED("thief", "8"));
  harness_json(&h, 4, EVENT("owner", "9", "0", "REQUESTED")); /* the owner's own second content */
  harness_json(&h, 5, REUSED("owner", "9"));
  harness_json(&h, 6, EVENT("owner", "7", "1", "APPROVED"));
  assert_int_equal(number(&h, "vowner/r", "refused"), 0);
  assert_int_equal(number(&h, "vowner/r", "timeline"), 2);
  assert_int_equal(number(&h, "cowner", "refusals"), 1);
  assert_int_equal(number(&h, "vthief/r", "refused"), 1);
  /* Found by its id it is the owner's */
  assert_int_equal(number(&h, "or/thief", "customer_id"), -1);
  assert_int_equal(number(&h, "or/owner", "customer_id"), 0);
  harness_close(&h);
}

static void a_refusal_is_shown_once_and_another_at_its_place_in_a_new_topic_too(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "history");
  const struct command_refused refused = {.sender_id = STR("c"),
                                          .command = STR("Pay"),
                                          .reservation_id = STR("r"),
                                          .refusal = REFUSAL_UNKNOWN_RESERVATION,
                                          .place = STR("reservation-commands-0-7")};
  harness_send(&h, 10, "c", RECORD_COMMAND_REFUSED, &refused);
  harness_send(&h, 10, "c", RECORD_COMMAND_REFUSED, &refused); /* a reset says it again */
  assert_int_equal(number(&h, "cc", "refusals"), 1);
  harness_send(&h, 11, "c", RECORD_COMMAND_REFUSED, &refused);
  assert_int_equal(number(&h, "cc", "refusals"), 2);
  harness_close(&h);
}

static void a_timeline_and_the_refusals_are_bounded(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "history");
  for (int i = 0; i < 250; i++) {
    char event[512];
    snprintf(event, sizeof event, EVENT("c", "7", "%d", "PAYMENT_DEFERRED"), i);
    harness_json(&h, i + 1, event);
    harness_json(&h, i + 1, REUSED("c", "1"));
  }
  assert_int_equal(number(&h, "vc/r", "timeline"), 100);
  assert_int_equal(number(&h, "cc", "refusals"), 20);
  json_t *row = harness_row(&h, "vc/r"), *timeline = json_object_get(row, "timeline");
  assert_int_equal(json_integer_value(json_object_get(json_array_get(timeline, 0), "revision")), 0);
  assert_int_equal(json_integer_value(json_object_get(json_array_get(timeline, 99), "revision")),
                   249);
  json_decref(row);
  harness_close(&h);
}

static void refuse_at(struct harness *h, int number) {
  char place[40];
  snprintf(place, sizeof place, "reservation-commands-%d-%d", number % 3, number);
  const struct command_refused refused = {.sender_id = STR("c"),
                                          .command = STR("Pay"),
                                          .reservation_id = STR("r"),
                                          .refusal = REFUSAL_UNKNOWN_RESERVATION,
                                          .place = str_of(place)};
  harness_send(h, 1000 + number / 2, "c", RECORD_COMMAND_REFUSED, &refused);
}

static void the_last_refusals_are_the_same_in_any_order_and_when_they_come_again(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "history");
  for (int i = 0; i < 50; i++) refuse_at(&h, (i * 7) % 50); /* 7 and 50 have no common divisor */
  json_t *before = harness_row(&h, "cc");
  json_t *refusals = json_object_get(before, "refusals");
  assert_int_equal(json_array_size(refusals), 20);
  for (size_t i = 0; i < 20; i++) {
    json_t *at = json_object_get(json_array_get(refusals, i), "at");
    assert_int_equal(json_integer_value(at), 1000 + (30 + (int)i) / 2);
  }
  for (int i = 0; i < 50; i++) refuse_at(&h, (i * 3) % 50);
  json_t *after = harness_row(&h, "cc");
  assert_true(json_equal(before, after));
  json_decref(before);
  json_decref(after);
  harness_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_view_ignores_what_it_has_seen),
      cmocka_unit_test(an_id_that_was_reused_shows_in_the_senders_list_and_not_in_the_owners),
      cmocka_unit_test(a_refusal_is_shown_once_and_another_at_its_place_in_a_new_topic_too),
      cmocka_unit_test(a_timeline_and_the_refusals_are_bounded),
      cmocka_unit_test(the_last_refusals_are_the_same_in_any_order_and_when_they_come_again),
  };
  return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
