/* Charges under every answer of a provider, and under none: the provider here says what the test
 * tells it to. */
#include <stdio.h>

#include "charge/charge.h"
#include "harness.h"

/* ---- a provider that answers on demand ---- */

static struct {
  int calls;  /* started so far */
  bool out;   /* one has not been answered */
  int answer; /* of the next call; -1: never answered */
  int32_t partition;
  char key[64];
  size_t key_size;
} provider;

static void *fake_open(const struct options *options, char *error, size_t size) {
  (void)options, (void)error, (void)size;
  return &provider;
}
static void fake_close(void *world) {
  (void)world;
}
static size_t fake_room(void *world) {
  (void)world;
  return 10;
}
static void fake_start(void *world, int32_t partition, struct str key, const void *row) {
  (void)world, (void)row;
  provider.calls++;
  provider.out = provider.answer >= 0;
  provider.partition = partition;
  memcpy(provider.key, key.data, key.size);
  provider.key_size = key.size;
}
static bool fake_next(void *world, int timeout_ms, int32_t *partition, struct str *key,
                      int *answer) {
  (void)world, (void)timeout_ms;
  if (!provider.out) return false;
  provider.out = false;
  *partition = provider.partition;
  *key = (struct str){provider.key, provider.key_size};
  *answer = provider.answer;
  return true;
}
static size_t fake_in_flight(void *world) {
  (void)world;
  return provider.out;
}
static const struct world fake_world = {.open = fake_open,
                                        .close = fake_close,
                                        .room = fake_room,
                                        .start = fake_start,
                                        .next = fake_next,
                                        .in_flight = fake_in_flight};

static void open_charge(struct harness *h) {
  static struct processor processor;
  processor = *find_processor("charge");
  processor.world = &fake_world;
  memset(&provider, 0, sizeof provider);
  harness_open_processor(h, &processor);
}

static const char *request(struct harness *h, int64_t time, int answer) {
  struct request_charge r = {.reservation_id = STR("r"),
                             .customer_id = STR("c"),
                             .charge_key = STR("r/charge"),
                             .kind = CHARGE_KIND_CHARGE,
                             .amount = 5};
  provider.answer = answer;
  return harness_send(h, time, "r", RECORD_REQUEST_CHARGE, &r);
}

static const char *wait_for(struct harness *h, int64_t time, int answer) {
  provider.answer = answer;
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
  assert_int_equal(provider.calls, 1);
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
  assert_int_equal(provider.calls, 2);
  harness_close(&h);
}

static void silence_is_unknown_and_asked_by_the_key_until_the_provider_answers(void **unused) {
  (void)unused;
  struct harness h;
  open_charge(&h);
  assert_string_equal(request(&h, 1000, CALL_LOST), "-");
  assert_state(&h, "UNKNOWN");
  assert_string_equal(wait_for(&h, 2000, CALL_LOST), "-");
  assert_string_equal(wait_for(&h, 10000, CALL_NOT_MADE),
                      "-"); /* this call was not made: an earlier one may have counted */
  assert_state(&h, "UNKNOWN");
  assert_string_equal(wait_for(&h, 20000, CALL_APPROVED), "ChargeSettled(CHARGE,yes)");
  assert_int_equal(provider.calls, 4);
  harness_close(&h);
}

static void a_process_that_dies_while_calling_leaves_word_and_the_next_one_asks(void **unused) {
  (void)unused;
  struct harness h;
  open_charge(&h);
  assert_string_equal(request(&h, 1000, -1),
                      "-"); /* the call goes out, and its caller dies with the answer */
  assert_state(&h, "CALLING");
  assert_string_equal(wait_for(&h, 1000 + CALL_LIMIT_MS - 1, CALL_NOT_MADE), "-");
  assert_int_equal(provider.calls, 1);
  assert_string_equal(wait_for(&h, 1000 + CALL_LIMIT_MS, CALL_NOT_MADE),
                      "-"); /* not deferred: the lost call may have counted */
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
  assert_int_equal(provider.calls, 1);
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
      cmocka_unit_test(the_wait_between_tries_doubles_up_to_half_a_minute),
  };
  return cmocka_run_group_tests_name("charge", tests, NULL, NULL);
}
