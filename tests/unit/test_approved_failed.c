/* Decisions of approved-failed: what is said, and what comes out. */
#include "../lib/play.h"

static void outcomes_and_holds_follow_the_status(void **unused) {
  (void)unused;
#define STATUS(status, hold)                                                                      \
  "{\"type\":\"StatusChanged\",\"reservation_id\":\"r\",\"customer_id\":\"c\",\"item_id\":\"i\"," \
  "\"content_hash\":7,\"revision\":1,\"status\":\"" status                                        \
  "\",\"reason\":\"NONE\",\"quantity\":1,\"seats\":[],\"option\":\"\",\"amount\":0,\"screen\":"   \
  "\"\",\"until\":0,\"hold\":\"" hold "\"}"
  const struct line_of_play steps[] = {
      {0, STATUS("HELD", "KEEP"), "StatusChanged(HELD)"},
      {0, STATUS("PAYMENT_DEFERRED", "KEEP"), "StatusChanged(PAYMENT_DEFERRED)"},
      {0, STATUS("APPROVED", "CONFIRM"),
       "StatusChanged(APPROVED,CONFIRM) ConfirmHold ReservationOutcome(APPROVED)"},
      {0, STATUS("REFUNDING", "KEEP"), "StatusChanged(REFUNDING)"},
      {0, STATUS("CANCELLED", "RELEASE"),
       "StatusChanged(CANCELLED,RELEASE) ReleaseHold ReservationOutcome(CANCELLED)"},
      {0, STATUS("FAILED", "KEEP"), "StatusChanged(FAILED) ReservationOutcome(FAILED)"},
      {0,
       "{\"type\":\"ReleaseHold\",\"reservation_id\":\"r\",\"item_id\":\"i\",\"content_hash\":7}",
       "ReleaseHold"},
      {0,
       "{\"type\":\"CommandRefused\",\"sender_id\":\"c\",\"command\":\"Pay\",\"reservation_id\":"
       "\"r\",\"item_id\":\"\",\"content_hash\":0,\"refusal\":\"NOT_DUE\",\"detail\":\"\"}",
       "CommandRefused(Pay,NOT_DUE)"},
  };
  PLAY("approved-failed", steps);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(outcomes_and_holds_follow_the_status),
  };
  return cmocka_run_group_tests_name("approved-failed", tests, NULL, NULL);
}
