/* Decisions of tally: what is said, and what is counted. */
#include "../lib/play.h"

#define OUTCOME(id, revision, status, option, amount)                                              \
  "{\"type\":\"ReservationOutcome\",\"reservation_id\":\"" id                                      \
  "\",\"customer_id\":\"c\",\"item_id\":\"match\",\"revision\":" #revision ",\"status\":\"" status \
  "\",\"reason\":\"NONE\",\"quantity\":1,\"seats\":[],\"option\":\"" option                        \
  "\",\"amount\":" #amount ",\"screen\":\"\"}"

static void a_bet_is_counted_once_and_taken_back_once(void **unused) {
  (void)unused;
  const struct line_of_play steps[] = {
      {0, OUTCOME("a", 2, "APPROVED", "KT", 1000), "Tallied(yes) OptionTally"},
      {0, OUTCOME("a", 2, "APPROVED", "KT", 1000), "-"}, /* said again */
      {0, OUTCOME("b", 2, "APPROVED", "KT", 100), "Tallied(yes) OptionTally"},
      {0, OUTCOME("c", 2, "APPROVED", "AA", 7), "Tallied(yes) OptionTally"},
      {0, OUTCOME("d", 1, "FAILED", "AA", 7), "-"},
      {0, OUTCOME("e", 1, "CANCELLED", "AA", 7), "-"}, /* never approved */
      {0, OUTCOME("a", 4, "CANCELLED", "KT", 1000), "Tallied(no) OptionTally"},
      {0, OUTCOME("a", 4, "CANCELLED", "KT", 1000), "-"},
      {0, OUTCOME("a", 2, "APPROVED", "KT", 1000), "-"}, /* older */
  };
  struct harness h;
  harness_open(&h, "tally");
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
    assert_string_equal(harness_json(&h, 1000, steps[i].json), steps[i].out);
  json_t *kt = harness_row(&h, "tmatch/KT"), *aa = harness_row(&h, "tmatch/AA");
  assert_int_equal(json_integer_value(json_object_get(kt, "count")), 1);
  assert_int_equal(json_integer_value(json_object_get(kt, "sum")), 100);
  assert_int_equal(json_integer_value(json_object_get(aa, "sum")), 7);
  json_decref(kt);
  json_decref(aa);
  harness_close(&h);
}

/* As much as one reservation may cost: a million units of 10^12. */
static void a_tally_of_the_largest_amounts_is_never_wrong(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "tally");
  struct reservation_outcome outcome = {.customer_id = STR("c"),
                                        .item_id = STR("i"),
                                        .revision = 2,
                                        .quantity = 1000000,
                                        .amount = INT64_C(1000000000000000000) - 1};
  for (int cancelled = 0; cancelled < 2; cancelled++) {
    outcome.status = cancelled ? STATUS_CANCELLED : STATUS_APPROVED;
    outcome.revision++;
    for (int i = 0; i < 26 - 25 * cancelled; i++) {
      outcome.reservation_id = (struct str){"abcdefghijklmnopqrstuvwxyz" + i, 1};
      harness_send(&h, 1000, "i", RECORD_RESERVATION_OUTCOME, &outcome);
    }
    json_t *row = harness_row(&h, "ti/");
    int64_t left = 26 - cancelled;
    assert_int_equal(json_integer_value(json_object_get(row, "sum_e18")), left - 1);
    assert_int_equal(json_integer_value(json_object_get(row, "sum")),
                     INT64_C(1000000000000000000) - left);
    json_decref(row);
  }
  harness_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_bet_is_counted_once_and_taken_back_once),
      cmocka_unit_test(a_tally_of_the_largest_amounts_is_never_wrong),
  };
  return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
