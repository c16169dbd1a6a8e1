/* Due rows, records and answers share each batch: none of them waits for ever behind another. */
#include "charge/breaker.h"
#include "charge/charge.h"
#include "notify/notify.h"
#include "../lib/bench.h"
#include "../lib/fake_world.h"

#define T0 BENCH_TIME
#define BATCH 10
#define PARTITIONS 4
#define FEW (BREAKER_CALLS_MIN / 2 - 1) /* lost calls that do not open the breaker */

static void deadlines(struct bench *b, int32_t partition, int count, int64_t due_at) {
  for (int i = 0; i < count; i++) {
    const struct set_deadline set = {
        .reservation_id = arena_format(&b->arena, "r%d-%d", (int)partition, i),
        .kind = DEADLINE_KIND_RETRY,
        .due_at = due_at};
    bench_give(b, partition, T0, RECORD_SET_DEADLINE, &set, set.reservation_id);
  }
}

/* customer: of notices; NULL: any. */
static int written_to(struct bench *b, const char *topic, int type, const char *customer) {
  int count = 0;
  for (int32_t p = 0; p < b->partitions; p++) {
    const struct message *record;
    for (int64_t next = 0; (record = memory_read(b->cluster, topic, p, next));
         next = record->offset + 1) {
      struct record decoded;
      char error[CODEC_ERROR_SIZE];
      assert_true(codec_decode(b->codec, record->value, &b->arena, &decoded, error));
      count += decoded.type == type && (!customer || str_equal(record->key, str_of(customer)));
    }
  }
  return count;
}

static int written(struct bench *b, const char *topic, int type) {
  return written_to(b, topic, type, NULL);
}

static int told(struct bench *b, const char *customer) {
  return written_to(b, "notifications", RECORD_NOTIFIED, customer);
}

static int fired(struct bench *b) {
  return written(b, "payment-requests", RECORD_DEADLINE_PASSED);
}

static bool waits(struct bench *b, int32_t partition, struct str key) {
  return store_get(runtime_store(b->runtime), partition, key, &b->arena).data != NULL;
}

static void a_due_row_has_its_turn_while_full_batches_of_records_come(void **unused) {
  (void)unused;
  struct bench b;
  bench_open(&b, "deadline", BATCH, PARTITIONS);
  deadlines(&b, 0, 1, T0 + 1);
  bench_settle(&b);
  memory_cluster_set_time(b.cluster, T0 + 1);
  deadlines(&b, 1, 10 * BATCH, T0 + 100000);
  bench_step(&b);
  bench_step(&b);
  assert_int_equal(fired(&b), 1);
  bench_close(&b);
}

static void records_have_their_turn_while_many_rows_are_due(void **unused) {
  (void)unused;
  struct bench b;
  bench_open(&b, "deadline", BATCH, PARTITIONS);
  deadlines(&b, 0, 10 * BATCH, T0 + 1);
  bench_settle(&b);
  memory_cluster_set_time(b.cluster, T0 + 1);
  deadlines(&b, 1, 3, T0 + 100000);
  bench_step(&b);
  assert_int_equal(memory_committed(b.cluster, "deadline", "deadlines", 1), 3);
  assert_true(fired(&b) >= BATCH / 2);
  bench_settle(&b);
  assert_int_equal(fired(&b), 10 * BATCH);
  bench_close(&b);
}

static void the_due_rows_of_one_partition_do_not_hold_up_those_of_another(void **unused) {
  (void)unused;
  struct bench b;
  bench_open(&b, "deadline", BATCH, PARTITIONS);
  for (int32_t p = 0; p < PARTITIONS; p++) deadlines(&b, p, p == 0 ? 100 * BATCH : 1, T0 + 1);
  bench_settle(&b);
  memory_cluster_set_time(b.cluster, T0 + 1);
  for (int i = 0; i < 2 * PARTITIONS; i++) bench_step(&b);
  assert_false(waits(&b, 1, STR("dr1-0\0RETRY")));
  assert_false(waits(&b, 2, STR("dr2-0\0RETRY")));
  assert_true(waits(&b, 0, STR("dr0-999\0RETRY")));
  bench_close(&b);
}

/* ---- charges ---- */

/* How many of the first charges of a partition the provider has answered. */
static int settled(struct bench *b, int32_t partition, int count) {
  int answered = 0;
  for (int i = 0; i < count; i++) {
    struct record record;
    char error[CODEC_ERROR_SIZE];
    struct str key = arena_format(&b->arena, "cr%d-%d/charge", (int)partition, i),
               bytes = store_get(runtime_store(b->runtime), partition, key, &b->arena);
    if (!bytes.data) continue;
    assert_true(codec_decode(b->codec, bytes, &b->arena, &record, error));
    answered += ((const struct charge *)record.value)->state == CHARGE_STATE_APPROVED;
  }
  return answered;
}

/* So many charges of a partition whose one call was lost, behind a breaker that is open. */
static void lose(struct bench *b, int32_t partition, int count) {
  fake_world_state.answer = CALL_LOST;
  for (int i = 0; i < count; i++) bench_request(b, partition, i, 1, T0);
  bench_settle(b);
  assert_int_equal(bench_breaker_state(b, partition), BREAKER_STATE_OPEN);
}

static void an_open_breaker_tries_again_while_full_batches_of_requests_come(void **unused) {
  (void)unused;
  struct bench b;
  bench_open(&b, "charge", BATCH, PARTITIONS);
  lose(&b, 0, BATCH);
  fake_world_state.answer = CALL_APPROVED;
  memory_cluster_set_time(b.cluster, T0 + BREAKER_OPEN_MS);
  for (int i = 0; i < 100 * BATCH; i++) bench_request(&b, 0, 1000 + i, 1, T0 + BREAKER_OPEN_MS);
  for (int i = 0; i < 4; i++) bench_step(&b);
  assert_int_equal(bench_breaker_state(&b, 0), BREAKER_STATE_CLOSED);
  bench_close(&b);
}

/* A place for one call: records and due rows have it in turn, and so have the partitions. */
static void a_single_place_is_for_everybody_in_turn(void **unused) {
  (void)unused;
  struct bench b;
  bench_open(&b, "charge", 1000, PARTITIONS);
  fake_world_state.answer = CALL_LOST;
  for (int32_t p = 0; p < PARTITIONS; p++) {
    for (int i = 0; i < FEW; i++) bench_request(&b, p, i, 1, T0);
  }
  bench_settle(&b);
  fake_world_state.room = 1;
  fake_world_state.answer = CALL_APPROVED;
  memory_cluster_set_time(b.cluster, T0 + 1000);
  for (int i = 0; i < 100; i++) bench_request(&b, 0, 1000 + i, 1, T0 + 1000);
  for (int i = 0; i < 4 * PARTITIONS; i++) bench_step(&b);
  for (int32_t p = 0; p < PARTITIONS; p++) assert_true(settled(&b, p, FEW) > 0);
  assert_true(memory_committed(b.cluster, "charge", "charge-requests", 0) > FEW);
  bench_close(&b);
}

static void an_open_breaker_tries_again_though_more_rows_are_due_than_calls_may_start(
    void **unused) {
  (void)unused;
  struct bench b;
  bench_open(&b, "charge", 1000, PARTITIONS);
  fake_world_state.room = 2;
  for (int32_t p = 0; p < PARTITIONS; p++) lose(&b, p, 12);
  fake_world_state.answer = CALL_APPROVED;
  memory_cluster_set_time(b.cluster, T0 + BREAKER_OPEN_MS + 100);
  for (int i = 0; i < 5 * PARTITIONS; i++) bench_step(&b);
  for (int32_t p = 0; p < PARTITIONS; p++)
    assert_int_equal(bench_breaker_state(&b, p), BREAKER_STATE_CLOSED);
  bench_close(&b);
}

static void a_breaker_whose_time_a_wrong_clock_has_set_does_not_stay_open(void **unused) {
  (void)unused;
  const int64_t year = INT64_C(365) * 86400 * 1000;
  struct bench b;
  bench_open(&b, "charge", 1000, PARTITIONS);
  memory_cluster_set_time(b.cluster, T0 + year);
  lose(&b, 0, BREAKER_CALLS_MIN);
  memory_cluster_set_time(b.cluster, T0);
  fake_world_state.answer = CALL_APPROVED;
  for (int i = 0; i < BREAKER_PROBES; i++) bench_request(&b, 0, 1000 + i, 1, T0);
  bench_settle(&b);
  assert_int_equal(bench_breaker_state(&b, 0), BREAKER_STATE_CLOSED);
  bench_close(&b);
}

static void rows_that_find_no_place_for_a_call_stay_due_and_nothing_is_written_for_them(
    void **unused) {
  (void)unused;
  struct bench b;
  bench_open(&b, "charge", 1000, PARTITIONS);
  fake_world_state.answer = CALL_LOST;
  for (int i = 0; i < BREAKER_CALLS_MIN - 1; i++) bench_request(&b, 0, i, 1, T0);
  bench_settle(&b);
  struct metrics *metrics = runtime_metrics(b.runtime);
  unsigned long long changes = metrics->changes;
  fake_world_state.answer = -1;
  fake_world_state.room = 2;
  int calls = fake_world_state.calls;
  memory_cluster_set_time(b.cluster, T0 + 1000);
  for (int i = 1; i <= 4; i++) {
    bench_step(&b);
    assert_int_equal(fake_world_state.calls - calls, 2 * i);
    assert_int_equal(metrics->changes - changes, 2 * i); /* one row for each call */
  }
  bench_close(&b);
}

static void notices(struct bench *b, const char *customer, int count) {
  for (int i = 0; i < count; i++) {
    const struct status_changed changed = {
        .reservation_id = arena_format(&b->arena, "%s-%d", customer, i),
        .customer_id = str_of(customer),
        .item_id = STR("book"),
        .status = STATUS_REQUESTED};
    bench_give(b, 0, T0, RECORD_STATUS_CHANGED, &changed, changed.customer_id);
  }
  bench_settle(b);
}

static void calls_that_answers_start_leave_places_to_due_rows_and_records(void **unused) {
  (void)unused;
  struct bench b;
  bench_open(&b, "notify", 1000, 1);
  fake_world_state.answer = NOTICE_FAILED;
  notices(&b, "lee", 1); /* due a second later */
  fake_world_state.answer = FAKE_LATE;
  notices(&b, "kim", 40);
  notices(&b, "lou", 40);
  memory_cluster_set_time(b.cluster, T0 + 1000);
  fake_world_state = (struct fake_world_state){.answer = NOTICE_TAKEN, .places = 2};
  for (int i = 0; i < 3; i++)
    bench_give(&b, 0, T0, RECORD_REGISTER_CUSTOMER,
               &(struct register_customer){.customer_id = STR("pat"), .name = STR("Pat")},
               STR("pat"));
  fake_world_answer(NOTICE_TAKEN);
  for (int i = 0; i < 20; i++) bench_step(&b);
  assert_int_equal(memory_committed(b.cluster, "notify", "reservation-events", 0), 84);
  assert_int_equal(told(&b, "lee"), 1);
  assert_true(told(&b, "kim") < 40 && told(&b, "lou") < 40);
  bench_settle(&b);
  assert_int_equal(told(&b, "kim") + told(&b, "lou"), 80);
  bench_close(&b);
}

static void a_record_takes_the_place_of_an_answered_call_in_the_same_transaction(void **unused) {
  (void)unused;
  struct bench b;
  bench_open(&b, "notify", 1000, 1);
  bench_settle(&b);
  fake_world_state = (struct fake_world_state){.answer = NOTICE_TAKEN, .places = 2};
  for (int i = 0; i < 10; i++) {
    const struct status_changed changed = {.reservation_id = STR("r"),
                                           .customer_id = arena_format(&b.arena, "c%d", i)};
    bench_give(&b, 0, T0, RECORD_STATUS_CHANGED, &changed, changed.customer_id);
  }
  unsigned long long transactions = runtime_metrics(b.runtime)->transactions;
  bench_settle(&b);
  assert_int_equal(runtime_metrics(b.runtime)->transactions - transactions, 10 / 2 + 1);
  assert_int_equal(told(&b, "c9"), 1);
  bench_close(&b);
}

static void the_time_limits_of_calls_that_were_answered_cost_no_transaction(void **unused) {
  (void)unused;
  struct bench b;
  bench_open(&b, "notify", 1000, 1);
  fake_world_state.answer = NOTICE_TAKEN;
  notices(&b, "kim", 10);
  assert_int_equal(told(&b, "kim"), 10);
  unsigned long long transactions = runtime_metrics(b.runtime)->transactions;
  assert_true(runtime_next_due(b.runtime) <= T0 + NOTICE_CALL_LIMIT_MS);
  memory_cluster_set_time(b.cluster, T0 + NOTICE_CALL_LIMIT_MS + 1);
  bench_settle(&b);
  assert_int_equal(runtime_metrics(b.runtime)->transactions, transactions);
  assert_true(runtime_next_due(b.runtime) > T0 + NOTICE_CALL_LIMIT_MS);
  bench_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_due_row_has_its_turn_while_full_batches_of_records_come),
      cmocka_unit_test(records_have_their_turn_while_many_rows_are_due),
      cmocka_unit_test(the_due_rows_of_one_partition_do_not_hold_up_those_of_another),
      cmocka_unit_test(an_open_breaker_tries_again_while_full_batches_of_requests_come),
      cmocka_unit_test(a_single_place_is_for_everybody_in_turn),
      cmocka_unit_test(an_open_breaker_tries_again_though_more_rows_are_due_than_calls_may_start),
      cmocka_unit_test(a_breaker_whose_time_a_wrong_clock_has_set_does_not_stay_open),
      cmocka_unit_test(rows_that_find_no_place_for_a_call_stay_due_and_nothing_is_written_for_them),
      cmocka_unit_test(calls_that_answers_start_leave_places_to_due_rows_and_records),
      cmocka_unit_test(a_record_takes_the_place_of_an_answered_call_in_the_same_transaction),
      cmocka_unit_test(the_time_limits_of_calls_that_were_answered_cost_no_transaction),
  };
  return cmocka_run_group_tests_name("due rows", tests, NULL, NULL);
}
