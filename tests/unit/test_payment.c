/* The ledger, cell by cell: every state and every input, against what the rules say. */
#include <stdio.h>

#include "../lib/ledger_inputs.h"
#include "payment/payment.h"

#define T0 LEDGER_TIME

/* How to bring a reservation "r" of customer "c" into a state: inputs in their order. */
static const struct path {
  enum ledger_state state;
  const char *steps[6];
} paths[] = {
    {LEDGER_STATE_UNKNOWN, {0}},
    {LEDGER_STATE_REQUESTED, {"open"}},
    {LEDGER_STATE_REQUESTED_PAY, {"open", "pay"}},
    {LEDGER_STATE_HELD, {"open", "held BY_CUSTOMER"}},
    {LEDGER_STATE_CHARGING, {"open", "held AT_ONCE"}},
    {LEDGER_STATE_CHARGING_EXPIRED, {"open", "held AT_ONCE", "hold end"}},
    {LEDGER_STATE_CHARGING_CANCEL, {"open", "held AT_ONCE", "cancel"}},
    {LEDGER_STATE_DEFERRED, {"open", "held AT_ONCE", "charge deferred"}},
    {LEDGER_STATE_APPROVED, {"open", "held AT_ONCE", "charge approved"}},
    {LEDGER_STATE_REFUNDING, {"open", "held AT_ONCE", "charge approved", "cancel"}},
    {LEDGER_STATE_CANCELLED, {"open", "held BY_CUSTOMER", "cancel"}},
    {LEDGER_STATE_FAILED, {"open", "refused SOLD_OUT"}},
};

/* What each input is called here, in the order of the enum. */
static const char *const inputs[INPUT_COUNT] = {"open",
                                                "open other",
                                                "pay",
                                                "pay of another",
                                                "cancel",
                                                "cancel of another",
                                                "held AT_ONCE",
                                                "held other",
                                                "refused SOLD_OUT",
                                                "refused other",
                                                "charge approved",
                                                "charge declined",
                                                "charge deferred",
                                                "refund approved",
                                                "refund declined",
                                                "refund deferred",
                                                "hold end",
                                                "retry",
                                                "watchdog"};

static const char *give(struct harness *h, const char *input) {
  return ledger_give(h, "r", input);
}

static enum ledger_state state_now(struct harness *h) {
  json_t *row = harness_row(h, "lr");
  const char *text = row ? json_string_value(json_object_get(row, "state")) : "UNKNOWN";
  int state = 0;
  while (strcmp(ledger_state_enum.symbols[state], text) != 0) state++;
  json_decref(row);
  return (enum ledger_state)state;
}

#define ANY (-1) /* every state but UNKNOWN */
#define SAME (-1)

/* Where something happens; everywhere else nothing may change and nothing may be said. A row of its
 * own wins over one for ANY. */
static const struct rule {
  const char *input;
  int from, to;
  const char *out;
} rules[] = {
    {"open", LEDGER_STATE_UNKNOWN, LEDGER_STATE_REQUESTED, "SetDeadline(WATCHDOG)"},
    {"open other", LEDGER_STATE_UNKNOWN, LEDGER_STATE_REQUESTED, "SetDeadline(WATCHDOG)"},
    {"open other", ANY, SAME, "CommandRefused(Reserve,ID_REUSED)"},
    {"pay", LEDGER_STATE_UNKNOWN, SAME, "CommandRefused(Pay,UNKNOWN_RESERVATION)"},
    {"pay", LEDGER_STATE_REQUESTED, LEDGER_STATE_REQUESTED_PAY, "-"},
    {"pay", LEDGER_STATE_HELD, LEDGER_STATE_CHARGING, "RequestCharge(CHARGE)"},
    {"pay", LEDGER_STATE_REFUNDING, SAME, "CommandRefused(Pay,ALREADY_ENDED)"},
    {"pay", LEDGER_STATE_CANCELLED, SAME, "CommandRefused(Pay,ALREADY_ENDED)"},
    {"pay", LEDGER_STATE_FAILED, SAME, "CommandRefused(Pay,ALREADY_ENDED)"},
    {"pay", ANY, SAME, "CommandRefused(Pay,ALREADY_PAID)"},
    {"pay of another", LEDGER_STATE_UNKNOWN, SAME, "CommandRefused(Pay,UNKNOWN_RESERVATION)"},
    {"pay of another", ANY, SAME, "CommandRefused(Pay,UNKNOWN_RESERVATION)"},
    {"cancel", LEDGER_STATE_UNKNOWN, SAME, "CommandRefused(Cancel,UNKNOWN_RESERVATION)"},
    {"cancel", LEDGER_STATE_REQUESTED, LEDGER_STATE_CANCELLED,
     "StatusChanged(CANCELLED) ClearDeadlines"},
    {"cancel", LEDGER_STATE_REQUESTED_PAY, LEDGER_STATE_CANCELLED,
     "StatusChanged(CANCELLED) ClearDeadlines"},
    {"cancel", LEDGER_STATE_HELD, LEDGER_STATE_CANCELLED,
     "StatusChanged(CANCELLED,RELEASE) ClearDeadlines"},
    {"cancel", LEDGER_STATE_CHARGING, LEDGER_STATE_CHARGING_CANCEL, "-"},
    {"cancel", LEDGER_STATE_CHARGING_EXPIRED, LEDGER_STATE_CHARGING_CANCEL, "-"},
    {"cancel", LEDGER_STATE_DEFERRED, LEDGER_STATE_CANCELLED,
     "StatusChanged(CANCELLED,RELEASE) ClearDeadlines"},
    {"cancel", LEDGER_STATE_APPROVED, LEDGER_STATE_REFUNDING,
     "StatusChanged(REFUNDING) RequestCharge(REFUND)"},
    {"cancel", LEDGER_STATE_FAILED, SAME, "CommandRefused(Cancel,ALREADY_ENDED)"},
    {"cancel of another", LEDGER_STATE_UNKNOWN, SAME, "CommandRefused(Cancel,UNKNOWN_RESERVATION)"},
    {"cancel of another", ANY, SAME, "CommandRefused(Cancel,UNKNOWN_RESERVATION)"},
    {"held AT_ONCE", LEDGER_STATE_UNKNOWN, SAME, "ReleaseHold"},
    {"held AT_ONCE", LEDGER_STATE_REQUESTED, LEDGER_STATE_CHARGING,
     "StatusChanged(HELD) SetDeadline(HOLD_END) RequestCharge(CHARGE)"},
    {"held AT_ONCE", LEDGER_STATE_REQUESTED_PAY, LEDGER_STATE_CHARGING,
     "StatusChanged(HELD) CommandRefused(Pay,NOT_DUE) SetDeadline(HOLD_END) RequestCharge(CHARGE)"},
    {"held AT_ONCE", LEDGER_STATE_CANCELLED, SAME, "ReleaseHold"},
    {"held AT_ONCE", LEDGER_STATE_FAILED, SAME, "ReleaseHold"},
    {"held other", LEDGER_STATE_UNKNOWN, SAME, "ReleaseHold"},
    {"held other", ANY, SAME, "ReleaseHold"},
    {"refused SOLD_OUT", LEDGER_STATE_REQUESTED, LEDGER_STATE_FAILED,
     "StatusChanged(FAILED,SOLD_OUT) ClearDeadlines"},
    {"refused SOLD_OUT", LEDGER_STATE_REQUESTED_PAY, LEDGER_STATE_FAILED,
     "StatusChanged(FAILED,SOLD_OUT) ClearDeadlines"},
    {"charge approved", LEDGER_STATE_CHARGING, LEDGER_STATE_APPROVED,
     "StatusChanged(APPROVED,CONFIRM) ClearDeadlines"},
    {"charge approved", LEDGER_STATE_CHARGING_EXPIRED, LEDGER_STATE_APPROVED,
     "StatusChanged(APPROVED,CONFIRM) ClearDeadlines"},
    {"charge approved", LEDGER_STATE_CHARGING_CANCEL, LEDGER_STATE_REFUNDING,
     "StatusChanged(APPROVED,CONFIRM) ClearDeadlines StatusChanged(REFUNDING) "
     "RequestCharge(REFUND)"},
    {"charge approved", LEDGER_STATE_DEFERRED, LEDGER_STATE_APPROVED,
     "StatusChanged(APPROVED,CONFIRM) ClearDeadlines"},
    {"charge declined", LEDGER_STATE_CHARGING, LEDGER_STATE_FAILED,
     "StatusChanged(FAILED,DECLINED,RELEASE) ClearDeadlines"},
    {"charge declined", LEDGER_STATE_CHARGING_EXPIRED, LEDGER_STATE_FAILED,
     "StatusChanged(FAILED,DECLINED,RELEASE) ClearDeadlines"},
    {"charge declined", LEDGER_STATE_CHARGING_CANCEL, LEDGER_STATE_CANCELLED,
     "StatusChanged(CANCELLED,RELEASE) ClearDeadlines"},
    {"charge declined", LEDGER_STATE_DEFERRED, LEDGER_STATE_FAILED,
     "StatusChanged(FAILED,DECLINED,RELEASE) ClearDeadlines"},
    {"charge deferred", LEDGER_STATE_CHARGING, LEDGER_STATE_DEFERRED,
     "StatusChanged(PAYMENT_DEFERRED) SetDeadline(RETRY)"},
    {"charge deferred", LEDGER_STATE_CHARGING_EXPIRED, LEDGER_STATE_FAILED,
     "StatusChanged(FAILED,EXPIRED,RELEASE) ClearDeadlines"},
    {"charge deferred", LEDGER_STATE_CHARGING_CANCEL, LEDGER_STATE_CANCELLED,
     "StatusChanged(CANCELLED,RELEASE) ClearDeadlines"},
    {"refund approved", LEDGER_STATE_REFUNDING, LEDGER_STATE_CANCELLED,
     "StatusChanged(CANCELLED,RELEASE) ClearDeadlines"},
    {"refund declined", LEDGER_STATE_REFUNDING, SAME,
     "StatusChanged(REFUNDING) SetDeadline(RETRY)"},
    {"refund deferred", LEDGER_STATE_REFUNDING, SAME,
     "StatusChanged(REFUNDING) SetDeadline(RETRY)"},
    {"hold end", LEDGER_STATE_HELD, LEDGER_STATE_FAILED,
     "StatusChanged(FAILED,EXPIRED,RELEASE) ClearDeadlines"},
    {"hold end", LEDGER_STATE_CHARGING, LEDGER_STATE_CHARGING_EXPIRED, "-"},
    {"hold end", LEDGER_STATE_DEFERRED, LEDGER_STATE_FAILED,
     "StatusChanged(FAILED,EXPIRED,RELEASE) ClearDeadlines"},
    {"retry", LEDGER_STATE_DEFERRED, LEDGER_STATE_CHARGING, "RequestCharge(CHARGE)"},
    {"retry", LEDGER_STATE_REFUNDING, SAME, "RequestCharge(REFUND)"},
    {"watchdog", LEDGER_STATE_REQUESTED, LEDGER_STATE_FAILED,
     "StatusChanged(FAILED,EXPIRED) ClearDeadlines"},
    {"watchdog", LEDGER_STATE_REQUESTED_PAY, LEDGER_STATE_FAILED,
     "StatusChanged(FAILED,EXPIRED) ClearDeadlines"},
};

static const struct rule *rule_of(const char *input, enum ledger_state state) {
  static const struct rule nothing = {"", SAME, SAME, "-"};
  const struct rule *general = &nothing;
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
    if (strcmp(rules[i].input, input) != 0) continue;
    if (rules[i].from == (int)state) return &rules[i];
    if (rules[i].from == ANY && state != LEDGER_STATE_UNKNOWN) general = &rules[i];
  }
  return general;
}

/* The order among topics is not the point: outputs are compared as sets of words. */
static void assert_same_words(const char *got, const char *expected, const char *where) {
  char copy[1024];
  snprintf(copy, sizeof copy, "%s", expected);
  size_t length = 0;
  for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
    length += strlen(word) + 1;
    if (!strstr(got, word)) fail_msg("%s: expected '%s', got '%s'", where, expected, got);
  }
  if (strlen(got) + 1 != length) fail_msg("%s: expected '%s', got '%s'", where, expected, got);
}

static void every_cell_of_state_and_input_does_what_the_rules_say(void **unused) {
  (void)unused;
  for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
    for (int input = 0; input < INPUT_COUNT; input++) {
      struct harness h;
      char where[128];
      harness_open(&h, "payment");
      for (size_t i = 0; i < 6 && paths[p].steps[i]; i++) give(&h, paths[p].steps[i]);
      assert_int_equal(state_now(&h), paths[p].state);
      snprintf(where, sizeof where, "%s in %s", inputs[input],
               ledger_state_enum.symbols[paths[p].state]);
      const struct rule *rule = rule_of(inputs[input], paths[p].state);
      char got[2048];
      snprintf(got, sizeof got, "%s", give(&h, inputs[input]));
      assert_same_words(got, rule->out, where);
      enum ledger_state expected = rule->to == SAME ? paths[p].state : (enum ledger_state)rule->to;
      if (state_now(&h) != expected)
        fail_msg("%s: ends in %s", where, ledger_state_enum.symbols[state_now(&h)]);
      harness_close(&h);
    }
  }
}

static void no_cell_is_empty(void **unused) {
  (void)unused;
  for (int input = 0; input < INPUT_COUNT; input++) {
    for (int state = 0; state < LEDGER_STATE_COUNT; state++)
      assert_int_not_equal(ledger_table[input][state], NO_ACTION);
  }
}

static void plays(const char *const *steps, const char *const *outs) {
  struct harness h;
  harness_open(&h, "payment");
  for (size_t i = 0; steps[i]; i++) {
    char got[2048];
    snprintf(got, sizeof got, "%s", give(&h, steps[i]));
    assert_same_words(got, outs[i], steps[i]);
  }
  harness_close(&h);
}

static void a_book_without_payment_is_approved_at_its_hold(void **unused) {
  (void)unused;
  plays((const char *[]){"open", "held NONE", "cancel", "cancel", NULL},
        (const char *[]){"SetDeadline(WATCHDOG)",
                         "StatusChanged(HELD) StatusChanged(APPROVED,CONFIRM) ClearDeadlines",
                         "StatusChanged(CANCELLED,RELEASE) ClearDeadlines", "-"});
}

static void a_pay_that_comes_before_its_hold_is_remembered(void **unused) {
  (void)unused;
  plays((const char *[]){"open", "pay", "held BY_CUSTOMER", "charge approved", "pay", NULL},
        (const char *[]){"SetDeadline(WATCHDOG)", "-",
                         "StatusChanged(HELD) SetDeadline(HOLD_END) RequestCharge(CHARGE)",
                         "StatusChanged(APPROVED,CONFIRM) ClearDeadlines",
                         "CommandRefused(Pay,ALREADY_PAID)"});
}

static void a_cancel_before_the_hold_gives_the_hold_back_when_it_comes(void **unused) {
  (void)unused;
  plays((const char *[]){"open", "cancel", "held AT_ONCE", "held AT_ONCE", NULL},
        (const char *[]){"SetDeadline(WATCHDOG)", "StatusChanged(CANCELLED) ClearDeadlines",
                         "ReleaseHold", "ReleaseHold"});
}

static void a_refund_that_is_declined_is_asked_for_under_a_new_key(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  const char *steps[] = {"open",  "held AT_ONCE",   "charge approved", "cancel", "refund declined",
                         "retry", "refund approved"};
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) give(&h, steps[i]);
  const char *ends[] = {"/charge", "/refund/0", "/refund/1"}; /* more in test_charge_key.c */
  int64_t next = 0;
  for (int i = 0; i < 3; i++) {
    const struct message *record = memory_read(h.cluster, "charge-requests", 0, next);
    next = record->offset + 1;
    json_t *line = line_json(h.codec, "charge-requests", record);
    const char *key =
        json_string_value(json_object_get(json_object_get(line, "value"), "charge_key"));
    assert_string_equal(key + strlen("r/0123456789abcdef"), ends[i]);
    json_decref(line);
  }
  assert_int_equal(state_now(&h), LEDGER_STATE_CANCELLED);
  harness_close(&h);
}

static void a_pay_for_a_reservation_without_payment_is_not_due(void **unused) {
  (void)unused;
  plays((const char *[]){"open", "held NONE", "pay", NULL},
        (const char *[]){"SetDeadline(WATCHDOG)",
                         "StatusChanged(HELD) StatusChanged(APPROVED,CONFIRM) ClearDeadlines",
                         "CommandRefused(Pay,NOT_DUE)"});
}

/* ---- what it says of a record ---- */

static void a_record_that_the_ledger_does_not_take_stops_it_with_the_place(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  const char *out =
      harness_send(&h, T0, "r", RECORD_CONFIRM_HOLD, &(struct confirm_hold){STR("r"), STR("i"), 7});
  assert_non_null(
      strstr(out, "payment-requests-0@0 cannot be processed: a ConfirmHold does not belong"));
  assert_non_null(strstr(out, "holdfast skip payment-requests 0 0"));
  assert_int_equal(memory_committed(h.cluster, "payment", "payment-requests", 0), 0);
  harness_close(&h);
}

/* The place that the last refusal names; it borrows from the harness. */
static struct str refused_place(struct harness *h) {
  struct record record = {0};
  char error[CODEC_ERROR_SIZE];
  const struct message *next;
  struct str place = {0};
  for (int64_t at = 0; (next = memory_read(h->cluster, "payment-results", 0, at));
       at = next->offset + 1) {
    assert_true(codec_decode(h->codec, next->value, &h->arena, &record, error));
    if (record.type == RECORD_COMMAND_REFUSED)
      place = ((const struct command_refused *)record.value)->place;
  }
  return place;
}

static void a_refused_pay_names_its_own_place_also_when_it_waited_for_its_hold(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "payment");
  give(&h, "open");
  const struct record pay = {RECORD_PAY, &(struct pay){STR("r"), STR("c")}};
  memory_append(h.cluster, "payment-requests", 0,
                &(struct message){.timestamp = T0,
                                  .key = STR("r"),
                                  .value = codec_encode(h.codec, pay, &h.arena),
                                  .causation = STR("reservation-commands-3-17")});
  assert_string_equal(harness_wait(&h, T0), "-");
  assert_non_null(strstr(give(&h, "held NONE"), "CommandRefused(Pay,NOT_DUE)"));
  struct str place = refused_place(&h);
  assert_true(str_equal(place, STR("reservation-commands-3-17")));
  harness_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_cell_is_empty),
      cmocka_unit_test(every_cell_of_state_and_input_does_what_the_rules_say),
      cmocka_unit_test(a_book_without_payment_is_approved_at_its_hold),
      cmocka_unit_test(a_pay_that_comes_before_its_hold_is_remembered),
      cmocka_unit_test(a_cancel_before_the_hold_gives_the_hold_back_when_it_comes),
      cmocka_unit_test(a_refund_that_is_declined_is_asked_for_under_a_new_key),
      cmocka_unit_test(a_pay_for_a_reservation_without_payment_is_not_due),
      cmocka_unit_test(a_record_that_the_ledger_does_not_take_stops_it_with_the_place),
      cmocka_unit_test(a_refused_pay_names_its_own_place_also_when_it_waited_for_its_hold),
  };
  return cmocka_run_group_tests_name("payment", tests, NULL, NULL);
}
