/* Charges under every answer of a provider, and under none: the provider here says what the test
 * tells it to. */
#include <stdio.h>

#include "charge/breaker.h"
#include "charge/charge.h"
#include "../lib/fake_world.h"
#include "../lib/harness.h"

static void open_charge(struct harness *h) {
  fake_world_state = (struct fake_world_state){0};
  harness_open_processor(h, without_world(find_processor("charge")));
}

static const char *request(struct harness *h, int64_t time, int answer) {
  struct request_charge r = {.reservation_id = STR("r"),
                             .customer_id = STR("c"),
                             .charge_key = STR("r/charge"),
                             .kind = CHARGE_KIND_CHARGE,
                             .amount = 5};
  fake_world_state.answer = answer;
  return harness_send(h, time, "r", RECORD_REQUEST_CHARGE, &r);
}

static const char *wait_for(struct harness *h, int64_t time, int answer) {
  fake_world_state.answer = answer;
  return harness_wait(h, time);
}

static void assert_state(struct harness *h, const char *state) {
  struct str key = arena_copy(&h->arena, STR("cr/charge")),
             bytes = store_get(runtime_store(h->runtime), 0, key, &h->arena);
  struct record record;
  char error[CODEC_ERROR_SIZE];
  assert_true(bytes.data && codec_decode(h->codec, bytes, &h->arena, &record, error));
  assert_string_equal(charge_state_enum.symbols[((const struct charge *)record.value)->state],
                      state);
}

static void an_answer_settles_and_a_repeated_request_is_answered_from_the_row(void **unused) {
  (void)unused;
  struct harness h;
  open_charge(&h);
  assert_string_equal(request(&h, 1000, CALL_APPROVED), "ChargeSettled(CHARGE,yes)");
  assert_string_equal(request(&h, 2000, CALL_DECLINED), "ChargeSettled(CHARGE,yes)");
  assert_int_equal(fake_world_state.calls, 1);
  harness_close(&h);
}

static void a_declined_charge_settles_as_declined(void **unused) {
  (void)unused;
  struct harness h;
  open_charge(&h);
  assert_string_equal(request(&h, 1000, CALL_DECLINED), "ChargeSettled(CHARGE,no)");
  harness_close(&h);
}

static void a_call_that_was_surely_not_made_is_deferred_and_made_when_asked_again(void **unused) {
  (void)unused;
  struct harness h;
  open_charge(&h);
  assert_string_equal(request(&h, 1000, CALL_NOT_MADE), "ChargeDeferred(CHARGE)");
  assert_state(&h, "DEFERRED");
  assert_string_equal(wait_for(&h, 100000, CALL_APPROVED), "-"); /* the ledger says when */
  assert_string_equal(request(&h, 100000, CALL_APPROVED), "ChargeSettled(CHARGE,yes)");
  assert_int_equal(fake_world_state.calls, 2);
  harness_close(&h);
}

static void silence_is_unknown_and_asked_by_the_key_until_the_provider_answers(void **unused) {
  (void)unused;
  struct harness h;
  open_charge(&h);
  assert_string_equal(request(&h, 1000, CALL_LOST), "-");
  assert_state(&h, "UNKNOWN");
  assert_string_equal(wait_for(&h, 2000, CALL_LOST), "-");
  /* This call was not made: an earlier one may have counted */
  assert_string_equal(wait_for(&h, 10000, CALL_NOT_MADE), "-");
  assert_state(&h, "UNKNOWN");
  assert_string_equal(wait_for(&h, 20000, CALL_APPROVED), "ChargeSettled(CHARGE,yes)");
  assert_int_equal(fake_world_state.calls, 4);
  harness_close(&h);
}

static void a_process_that_dies_while_calling_leaves_word_and_the_next_one_asks(void **unused) {
  (void)unused;
  struct harness h;
  open_charge(&h);
  /* The call goes out, and its caller dies with the answer */
  assert_string_equal(request(&h, 1000, -1), "-");
  assert_state(&h, "CALLING");
  assert_string_equal(wait_for(&h, 1000 + CALL_LIMIT_MS - 1, CALL_NOT_MADE), "-");
  assert_int_equal(fake_world_state.calls, 1);
  /* Not deferred: the lost call may have counted */
  assert_string_equal(wait_for(&h, 1000 + CALL_LIMIT_MS, CALL_NOT_MADE), "-");
  assert_state(&h, "UNKNOWN");
  assert_string_equal(wait_for(&h, 100000, CALL_DECLINED), "ChargeSettled(CHARGE,no)");
  harness_close(&h);
}

static void a_request_while_a_call_is_out_starts_no_other(void **unused) {
  (void)unused;
  struct harness h;
  open_charge(&h);
  request(&h, 1000, -1);
  assert_string_equal(request(&h, 1001, CALL_APPROVED), "-");
  assert_int_equal(fake_world_state.calls, 1);
  harness_close(&h);
}

/* The ledger was reset, and opens again what an earlier version charged under the id alone. */
static void what_an_earlier_version_charged_is_not_charged_again_under_its_opening(void **unused) {
  (void)unused;
  struct harness h;
  open_charge(&h);
  assert_string_equal(request(&h, 2000, CALL_APPROVED), "ChargeSettled(CHARGE,yes)");
  struct request_charge again = {.reservation_id = STR("r"),
                                 .customer_id = STR("c"),
                                 .charge_key = STR("r/0123456789abcdef/charge"),
                                 .amount = 5,
                                 .attempt = 1,
                                 .opened_at = 1000};
  assert_string_equal(harness_send(&h, 3000, "r", RECORD_REQUEST_CHARGE, &again),
                      "ChargeSettled(CHARGE,yes)");
  assert_int_equal(fake_world_state.calls, 1);
  again.opened_at = 2000 + EXPIRY_WINDOW_MS; /* the id is used again */
  harness_send(&h, 2000 + EXPIRY_WINDOW_MS, "r", RECORD_REQUEST_CHARGE, &again);
  assert_int_equal(fake_world_state.calls, 2);
  harness_close(&h);
}

/* ---- the breaker ---- */

/* So many charges, each of its own key; what came out of the last. */
static const char *send_charges(struct harness *h, const char *name, int count, int64_t time) {
  const char *out = "";
  for (int i = 0; i < count; i++) {
    struct request_charge r = {.reservation_id = STR("r"),
                               .customer_id = STR("c"),
                               .charge_key = arena_format(&h->arena, "%s%d/charge", name, i),
                               .amount = 5};
    out = harness_send(h, time, "r", RECORD_REQUEST_CHARGE, &r);
  }
  return out;
}

/* What comes of each letter, a charge of its own: + answered, - not made, s answered slowly, ?
 * never answered. A digit is so many seconds that pass, in which the provider answers. The states
 * that the breaker goes through are the letters of expected: open, half-open, closed. */
static void breaker_goes(const char *calls, const char *expected, int made) {
  struct harness h;
  open_charge(&h);
  int64_t time = 1000;
  char seen[64] = "";
  int number = 0;
  for (const char *at = calls; *at; at++) {
    const char *out;
    fake_world_state.answer = *at == 's'   ? CALL_APPROVED | CALL_SLOW
                              : *at == '-' ? CALL_NOT_MADE
                              : *at == '?' ? -1
                                           : CALL_APPROVED;
    if (*at >= '0' && *at <= '9') {
      time += (*at - '0') * 1000;
      out = harness_wait(&h, time);
    } else {
      struct str key = arena_format(&h.arena, "r%d/charge", number++);
      struct request_charge r = {
          .reservation_id = STR("r"), .customer_id = STR("c"), .charge_key = key, .amount = 5};
      out = harness_send(&h, time, "r", RECORD_REQUEST_CHARGE, &r);
    }
    for (const char *change = out; (change = strstr(change, "BreakerChanged(")); change++) {
      const char *to = change + strlen("BreakerChanged(");
      seen[strlen(seen)] = *to;
    }
  }
  assert_string_equal(seen, expected);
  assert_int_equal(fake_world_state.calls, made);
  harness_close(&h);
}

static void the_breaker_opens_when_half_of_the_calls_fail_and_closes_when_probes_go_well(
    void **unused) {
  (void)unused;
  breaker_goes("+++++++++++++", "", 13);
  breaker_goes("---------", "", 9);           /* too few to tell */
  breaker_goes("----------", "O", 10);        /* the tenth tells */
  breaker_goes("++++++----------", "O", 12);  /* six of twelve */
  breaker_goes("ssssssssss", "O", 10);        /* slow is as bad as failed */
  breaker_goes("+s+s+s+s+s", "O", 10);        /* half of them */
  breaker_goes("++s++s++s++s++s++s", "", 18); /* a third: well */
#define SIXTY_GOOD "++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++"
  breaker_goes(SIXTY_GOOD "-----------------------------", "", 89); /* 29 of the last sixty */
  breaker_goes(SIXTY_GOOD "------------------------------", "O", 90);
  breaker_goes(SIXTY_GOOD "ssssssssssssssss+++++", "", 81); /* the slowest of many at once */
  breaker_goes("----------+++++", "O", 10);                 /* none is made while it is open */
  breaker_goes("----------5", "OH", 10);                    /* probes may go after five seconds */
  breaker_goes("----------5+++", "OHC", 13);                /* three go well */
  breaker_goes("----------5++-", "OHO", 13);                /* one does not */
  breaker_goes("----------5-5+", "OHO", 11); /* the second time it waits twice as long */
  breaker_goes("----------5-55+++", "OHOHC", 14);
  breaker_goes("----------5++++++", "OHC", 16); /* and then all are made */
  breaker_goes("----------5????", "OH", 13);    /* no more than three probes are out */
}

static void probes_whose_process_died_are_given_up_and_others_made(void **unused) {
  (void)unused;
  breaker_goes("----------5???+99+", "OHC", 17); /* the three are asked again, by their keys */
}

/* Calls may take up to ten seconds, and an open breaker waits for five. */
static void answers_to_calls_of_before_the_breaker_opened_are_no_probes(void **unused) {
  (void)unused;
  const int late[] = {CALL_APPROVED, CALL_APPROVED | CALL_SLOW, CALL_LOST, CALL_NOT_MADE};
  for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
    struct harness h;
    open_charge(&h);
    fake_world_state.answer = FAKE_LATE;
    send_charges(&h, "early", BREAKER_PROBES, 1000);
    fake_world_state.answer = CALL_NOT_MADE;
    send_charges(&h, "lost", BREAKER_CALLS_MIN, 1000);
    assert_string_equal(harness_wait(&h, 1000 + BREAKER_OPEN_MS), "BreakerChanged(HALF_OPEN)");
    fake_world_answer(late[i]);
    const char *out = harness_wait(&h, 1000 + BREAKER_OPEN_MS + 1);
    assert_null(strstr(out, "BreakerChanged"));
    fake_world_state.answer = CALL_APPROVED;
    out = send_charges(&h, "probe", BREAKER_PROBES, 1000 + BREAKER_OPEN_MS + 2);
    assert_non_null(strstr(out, "BreakerChanged(CLOSED)"));
    harness_close(&h);
  }
}

static void a_call_that_the_breaker_holds_back_is_deferred_with_the_time_of_the_next_try(
    void **unused) {
  (void)unused;
  struct harness h;
  open_charge(&h);
  fake_world_state.answer = CALL_NOT_MADE;
  send_charges(&h, "r", 10, 1000);
  assert_string_equal(request(&h, 2000, CALL_APPROVED), "ChargeDeferred(CHARGE)");
  assert_state(&h, "DEFERRED");
  assert_int_equal(fake_world_state.calls, 10);
  harness_close(&h);
}

/* When the last deferred charge is to come again. */
static int64_t last_retry_at(struct harness *h) {
  int64_t retry_at = 0, next = 0;
  const struct message *record;
  for (; (record = memory_read(h->cluster, "payment-requests", 0, next));
       next = record->offset + 1) {
    struct record decoded;
    char error[CODEC_ERROR_SIZE];
    assert_true(codec_decode(h->codec, record->value, &h->arena, &decoded, error));
    if (decoded.type == RECORD_CHARGE_DEFERRED)
      retry_at = ((const struct charge_deferred *)decoded.value)->retry_at;
  }
  return retry_at;
}

static void charges_that_are_held_back_come_again_one_each_millisecond(void **unused) {
  (void)unused;
  struct harness h;
  open_charge(&h);
  fake_world_state.answer = CALL_NOT_MADE;
  send_charges(&h, "r", BREAKER_CALLS_MIN, 1000);
  for (int i = 0; i < 5; i++) {
    send_charges(&h, arena_format(&h.arena, "held%d-", i).data, 1, 2000);
    assert_int_equal(last_retry_at(&h), 1000 + BREAKER_OPEN_MS + i);
  }
  harness_close(&h);
}

/* By ten minutes: the runtime does not look for such rows. By a year: it does. */
static void a_breaker_and_a_queue_that_a_wrong_clock_has_moved_away_begin_anew(void **unused) {
  (void)unused;
  const int64_t minute = INT64_C(60000), ahead[] = {10 * minute, 365 * 24 * 60 * minute};
  for (size_t i = 0; i < sizeof ahead / sizeof *ahead; i++) {
    struct harness h;
    open_charge(&h);
    fake_world_state.answer = CALL_NOT_MADE;
    send_charges(&h, "r", BREAKER_CALLS_MIN, ahead[i]);
    send_charges(&h, "held", 1, ahead[i]);
    assert_true(last_retry_at(&h) > ahead[i]);
    fake_world_state.answer = -1;
    send_charges(&h, "probe", BREAKER_PROBES, 1000);
    send_charges(&h, "then", 1, 1000);
    assert_int_equal(last_retry_at(&h), 1000 + BREAKER_PROBE_WAIT_MS);
    harness_close(&h);
  }
}

static void an_unknown_charge_waits_for_the_breaker_and_stays_unknown(void **unused) {
  (void)unused;
  struct harness h;
  open_charge(&h);
  assert_string_equal(request(&h, 1000, CALL_LOST), "-");
  fake_world_state.answer = CALL_NOT_MADE;
  send_charges(&h, "x", 9, 1000);
  assert_string_equal(wait_for(&h, 2000, CALL_APPROVED), "-"); /* open: nobody is called */
  assert_state(&h, "UNKNOWN");
  assert_string_equal(wait_for(&h, 5999, CALL_APPROVED), "-");
  assert_string_equal(wait_for(&h, 6000, CALL_APPROVED),
                      "BreakerChanged(HALF_OPEN) ChargeSettled(CHARGE,yes)");
  harness_close(&h);
}

static void an_unknown_charge_that_a_wrong_clock_put_an_hour_ahead_is_asked_at_once(void **unused) {
  (void)unused;
  struct harness h;
  open_charge(&h);
  assert_string_equal(request(&h, INT64_C(3600) * 1000, CALL_LOST), "-");
  assert_string_equal(wait_for(&h, 2000, CALL_APPROVED), "ChargeSettled(CHARGE,yes)");
  harness_close(&h);
}

static void the_wait_between_tries_doubles_up_to_half_a_minute(void **unused) {
  (void)unused;
  const int64_t expected[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
  for (int i = 0; i < 8; i++) assert_int_equal(charge_back_off(i + 1), expected[i]);
  assert_int_equal(charge_back_off(INT32_MAX), 30000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_answer_settles_and_a_repeated_request_is_answered_from_the_row),
      cmocka_unit_test(a_declined_charge_settles_as_declined),
      cmocka_unit_test(a_call_that_was_surely_not_made_is_deferred_and_made_when_asked_again),
      cmocka_unit_test(silence_is_unknown_and_asked_by_the_key_until_the_provider_answers),
      cmocka_unit_test(a_process_that_dies_while_calling_leaves_word_and_the_next_one_asks),
      cmocka_unit_test(a_request_while_a_call_is_out_starts_no_other),
      cmocka_unit_test(what_an_earlier_version_charged_is_not_charged_again_under_its_opening),
      cmocka_unit_test(
          the_breaker_opens_when_half_of_the_calls_fail_and_closes_when_probes_go_well),
      cmocka_unit_test(probes_whose_process_died_are_given_up_and_others_made),
      cmocka_unit_test(answers_to_calls_of_before_the_breaker_opened_are_no_probes),
      cmocka_unit_test(
          a_call_that_the_breaker_holds_back_is_deferred_with_the_time_of_the_next_try),
      cmocka_unit_test(charges_that_are_held_back_come_again_one_each_millisecond),
      cmocka_unit_test(a_breaker_and_a_queue_that_a_wrong_clock_has_moved_away_begin_anew),
      cmocka_unit_test(an_unknown_charge_waits_for_the_breaker_and_stays_unknown),
      cmocka_unit_test(an_unknown_charge_that_a_wrong_clock_put_an_hour_ahead_is_asked_at_once),
      cmocka_unit_test(the_wait_between_tries_doubles_up_to_half_a_minute),
  };
  return cmocka_run_group_tests_name("charge", tests, NULL, NULL);
}
