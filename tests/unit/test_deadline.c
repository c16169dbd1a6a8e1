/* Decisions of deadline: what is said, and what comes out. */
#include "../lib/play.h"

static void a_due_time_passes_once_and_not_before(void **unused) {
  (void)unused;
#define SET(kind, at) \
  "{\"type\":\"SetDeadline\",\"reservation_id\":\"r\",\"kind\":\"" kind "\",\"due_at\":" at "}"
  const struct line_of_play steps[] = {
      {1000, SET("HOLD_END", "5000"), "-"},
      {1000, SET("RETRY", "3000"), "-"},
      {2999, NULL, "-"},
      {3000, NULL, "DeadlinePassed(RETRY)"},
      {3001, NULL, "-"},
      {3500, SET("HOLD_END", "6000"), "-"},
      {5000, NULL, "-"},
      {6000, NULL, "DeadlinePassed(HOLD_END)"},
      {9000, SET("WATCHDOG", "9500"), "-"},
      {9100, "{\"type\":\"ClearDeadlines\",\"reservation_id\":\"r\"}", "-"},
      {9999, NULL, "-"},
      {10000, SET("RETRY", "500"), "DeadlinePassed(RETRY)"},
  };
  PLAY("deadline", steps);
}

/* Only the clock of the moment counts: what has passed stays passed, what is due again waits. */
static void a_clock_that_steps_loses_no_deadline_and_repeats_none(void **unused) {
  (void)unused;
  const struct line_of_play steps[] = {
      {10000, SET("HOLD_END", "50000"), "-"},
      {10000, SET("RETRY", "20000"), "-"},
      {20000, NULL, "DeadlinePassed(RETRY)"},
      {5000, NULL, "-"}, /* back, before the one that has passed */
      {20000, NULL, "-"},
      {6000, SET("RETRY", "7000"), "-"}, /* back again, and due earlier than the last one was */
      {6999, NULL, "-"},
      {7000, NULL, "DeadlinePassed(RETRY)"},
      {49999, NULL, "-"},
      {9000000, NULL, "DeadlinePassed(HOLD_END)"}, /* far ahead */
      {8000, NULL, "-"},
      {9000000, NULL, "-"},
  };
  PLAY("deadline", steps);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_due_time_passes_once_and_not_before),
      cmocka_unit_test(a_clock_that_steps_loses_no_deadline_and_repeats_none),
  };
  return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
