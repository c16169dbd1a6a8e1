/* The ledger in every order of arrival: whatever comes first, one outcome, one charge, no unit
 * lost. */
#include <stdio.h>

#include "../lib/ledger_inputs.h"

#define ORDERS_MAX 5

/* What can still happen to a reservation, beside the answers to what the ledger asks for. */
static const char *const happenings[ORDERS_MAX] = {"held BY_CUSTOMER", "pay", "cancel", "hold end",
                                                   "watchdog"};
static const char *const charge_answers[] = {"charge approved", "charge declined"};

struct orders {
  struct harness h;
  int count;
};

struct course { /* of one reservation through one order */
  char id[16];
  bool charge_out, refund_out;
  int approved, failed, cancelled, charges, refunds, held;
};

static int occurrences(const char *text, const char *word) {
  int count = 0;
  for (; (text = strstr(text, word)); text++) count++;
  return count;
}

static void take(struct orders *orders, struct course *course, const char *input) {
  const char *out = ledger_give(&orders->h, course->id, input);
  course->approved += occurrences(out, "StatusChanged(APPROVED");
  course->failed += occurrences(out, "StatusChanged(FAILED");
  course->cancelled += occurrences(out, "StatusChanged(CANCELLED");
  course->held += occurrences(out, "StatusChanged(HELD)") - occurrences(out, "RELEASE)");
  if (strstr(out, "RequestCharge(CHARGE)")) course->charge_out = true, course->charges++;
  if (strstr(out, "RequestCharge(REFUND)")) course->refund_out = true, course->refunds++;
}

static void check_course(const struct course *course, const char *order) {
  int first = course->approved + course->failed + course->cancelled;
  bool one_outcome =
      first == 1 || (course->approved == 1 && course->cancelled == 1 && course->failed == 0);
  bool money = course->charges <= 1 && course->refunds == (course->approved && course->cancelled);
  bool units = course->held == (course->approved && !course->cancelled);
  if (!one_outcome || !money || !units) {
    fail_msg(
        "after %s: approved %d, failed %d, cancelled %d, charges %d, refunds %d, holds left %d",
        order, course->approved, course->failed, course->cancelled, course->charges,
        course->refunds, course->held);
  }
}

/* Plays the order that the numbers name: the n-th of what is left, answers of the provider among
 * it. */
static void play_order(struct orders *orders, const char *const *order, size_t count) {
  struct course course = {0};
  char names[512] = "";
  snprintf(course.id, sizeof course.id, "r%d", orders->count++);
  take(orders, &course, "open");
  for (size_t i = 0; i < count; i++) {
    if (strncmp(order[i], "charge", 6) == 0) {
      if (!course.charge_out) return; /* nobody asked: not an order that can be */
      course.charge_out = false;
    }
    size_t used = strlen(names);
    snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", order[i]);
    take(orders, &course, order[i]);
  }
  if (course.charge_out) take(orders, &course, "charge approved"); /* every call ends some time */
  if (course.refund_out) take(orders, &course, "refund approved");
  check_course(&course, names);
}

static void permute(struct orders *orders, const char **order, size_t fixed, size_t count) {
  if (fixed == count) {
    play_order(orders, order, count);
    return;
  }
  for (size_t i = fixed; i < count; i++) {
    const char *first = order[fixed];
    order[fixed] = order[i];
    order[i] = first;
    permute(orders, order, fixed + 1, count);
    order[i] = order[fixed];
    order[fixed] = first;
  }
}

static void in_every_order_of_arrival_there_is_one_outcome_one_charge_and_no_unit_lost(
    void **unused) {
  (void)unused;
  struct orders orders = {0};
  harness_open(&orders.h, "payment");
  for (int with = 0; with < 1 << 3;
       with++) { /* with and without a cancel, a hold's end, a watchdog */
    for (size_t answer = 0; answer < 2; answer++) {
      const char *order[ORDERS_MAX + 1];
      size_t count = 0;
      for (size_t i = 0; i < ORDERS_MAX; i++) {
        bool left_out = i >= 2 && !(with >> (i - 2) & 1);
        if (!left_out) order[count++] = happenings[i];
      }
      order[count++] = charge_answers[answer];
      if (with == 0) order[count++] = "hold end"; /* without any end nothing has to end */
      permute(&orders, order, 0, count);
    }
  }
  assert_true(orders.count > 2000);
  harness_close(&orders.h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(in_every_order_of_arrival_there_is_one_outcome_one_charge_and_no_unit_lost),
  };
  return cmocka_run_group_tests_name("payment_orders", tests, NULL, NULL);
}
