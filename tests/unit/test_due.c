/* Due rows, records and answers share each batch: none of them waits for ever behind another. */
#include <stdio.h>
#include <stdlib.h>

#include "charge/breaker.h"
#include "charge/charge.h"
#include "../lib/fake_world.h"
#include "../lib/harness.h"
#include "runtime/base/report.h"

#define T0 INT64_C(1000000)
#define BATCH 10
#define PARTITIONS 4
#define FEW (BREAKER_CALLS_MIN / 2 - 1) /* lost calls that do not open the breaker */

/* One filter with small batches on several partitions. */
struct bench {
  struct memory_cluster *cluster;
  struct codec *codec;
  struct arena arena;
  const struct processor *processor;
  struct runtime *runtime;
  int32_t partitions;
};

static void open_bench_of(struct bench *b, const char *name, size_t batch_records,
                          int32_t partitions) {
  struct failure failure = {0};
  fake_world_state = (struct fake_world_state){0};
  *b = (struct bench){.cluster = memory_cluster_new(),
                      .codec = codec_new(&holdfast_schemas),
                      .processor = without_world(find_processor(name)),
                      .partitions = partitions};
  report_as("test", LEVEL_ERROR);
  memory_cluster_set_time(b->cluster, T0);
  pipe_prepare(b->cluster, b->processor, partitions);
  struct runtime_config config = {.processor = b->processor,
                                  .batch_records = batch_records,
                                  .tombstone_retention_ms = INT64_MAX};
  config.log = memory_log_open(b->cluster, b->processor->name, b->processor->input,
                               b->processor->changelog, 0);
  b->runtime = runtime_new(&config, &failure);
  if (!b->runtime) fail_msg("%s", failure.text);
}

static void open_bench(struct bench *b, const char *name, size_t batch_records) {
  open_bench_of(b, name, batch_records, PARTITIONS);
}

static void close_bench(struct bench *b) {
  runtime_free(b->runtime);
  codec_free(b->codec);
  arena_free(&b->arena);
  memory_cluster_free(b->cluster);
}

static void give(struct bench *b, int32_t partition, int64_t time, int type, const void *value,
                 struct str key) {
  struct record record = {type, value};
  const struct message in = {
      .timestamp = time, .key = key, .value = codec_encode(b->codec, record, &b->arena)};
  memory_append(b->cluster, b->processor->input, partition, &in);
}

static void step(struct bench *b) {
  enum runtime_status status = runtime_step(b->runtime, 0);
  if (status == RUNTIME_FAILED) fail_msg("%s", runtime_failure(b->runtime)->text);
}

/* Until nothing moves; fails where it goes on for ever. */
static void settle(struct bench *b) {
  for (int idle = 0, turn = 0; idle < 3; turn++) {
    if (turn > 1000000) fail_msg("it does not settle");
    idle = runtime_step(b->runtime, 0) == RUNTIME_IDLE ? idle + 1 : 0;
  }
}

static void deadlines(struct bench *b, int32_t partition, int count, int64_t due_at) {
  for (int i = 0; i < count; i++) {
    const struct set_deadline set = {
        .reservation_id = arena_format(&b->arena, "r%d-%d", (int)partition, i),
        .kind = DEADLINE_KIND_RETRY,
        .due_at = due_at};
    give(b, partition, T0, RECORD_SET_DEADLINE, &set, set.reservation_id);
  }
}

static int written(struct bench *b, const char *topic, int type) {
  int count = 0;
  for (int32_t p = 0; p < b->partitions; p++) {
    const struct message *record;
    for (int64_t next = 0; (record = memory_read(b->cluster, topic, p, next));
         next = record->offset + 1) {
      struct record decoded;
      char error[CODEC_ERROR_SIZE];
      assert_true(codec_decode(b->codec, record->value, &b->arena, &decoded, error));
      count += decoded.type == type;
    }
  }
  return count;
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
  open_bench(&b, "deadline", BATCH);
  deadlines(&b, 0, 1, T0 + 1);
  settle(&b);
  memory_cluster_set_time(b.cluster, T0 + 1);
  deadlines(&b, 1, 10 * BATCH, T0 + 100000);
  step(&b);
  step(&b);
  assert_int_equal(fired(&b), 1);
  close_bench(&b);
}

static void records_have_their_turn_while_many_rows_are_due(void **unused) {
  (void)unused;
  struct bench b;
  open_bench(&b, "deadline", BATCH);
  deadlines(&b, 0, 10 * BATCH, T0 + 1);
  settle(&b);
  memory_cluster_set_time(b.cluster, T0 + 1);
  deadlines(&b, 1, 3, T0 + 100000);
  step(&b);
  assert_int_equal(memory_committed(b.cluster, "deadline", "deadlines", 1), 3);
  assert_true(fired(&b) >= BATCH / 2);
  settle(&b);
  assert_int_equal(fired(&b), 10 * BATCH);
  close_bench(&b);
}

static void the_due_rows_of_one_partition_do_not_hold_up_those_of_another(void **unused) {
  (void)unused;
  struct bench b;
  open_bench(&b, "deadline", BATCH);
  for (int32_t p = 0; p < PARTITIONS; p++) deadlines(&b, p, p == 0 ? 100 * BATCH : 1, T0 + 1);
  settle(&b);
  memory_cluster_set_time(b.cluster, T0 + 1);
  for (int i = 0; i < 2 * PARTITIONS; i++) step(&b);
  assert_false(waits(&b, 1, STR("dr1-0\0RETRY")));
  assert_false(waits(&b, 2, STR("dr2-0\0RETRY")));
  assert_true(waits(&b, 0, STR("dr0-999\0RETRY")));
  close_bench(&b);
}

/* ---- charges ---- */

static void request(struct bench *b, int32_t partition, int number, int attempt, int64_t time) {
  const struct request_charge request = {
      .reservation_id = arena_format(&b->arena, "r%d-%d", (int)partition, number),
      .customer_id = STR("c"),
      .charge_key = arena_format(&b->arena, "r%d-%d/charge", (int)partition, number),
      .amount = 5,
      .attempt = attempt,
      .opened_at = T0};
  give(b, partition, time, RECORD_REQUEST_CHARGE, &request, request.reservation_id);
}

static struct breaker breaker(struct bench *b, int32_t partition) {
  struct record record;
  char error[CODEC_ERROR_SIZE];
  struct str bytes =
      store_get(runtime_store(b->runtime), partition, STR("b" BREAKER_NAME), &b->arena);
  if (!bytes.data) return (struct breaker){.state = BREAKER_STATE_CLOSED};
  assert_true(codec_decode(b->codec, bytes, &b->arena, &record, error));
  return *(const struct breaker *)record.value;
}

static enum breaker_state breaker_state(struct bench *b, int32_t partition) {
  return breaker(b, partition).state;
}

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
  for (int i = 0; i < count; i++) request(b, partition, i, 1, T0);
  settle(b);
  assert_int_equal(breaker_state(b, partition), BREAKER_STATE_OPEN);
}

static void an_open_breaker_tries_again_while_full_batches_of_requests_come(void **unused) {
  (void)unused;
  struct bench b;
  open_bench(&b, "charge", BATCH);
  lose(&b, 0, BATCH);
  fake_world_state.answer = CALL_APPROVED;
  memory_cluster_set_time(b.cluster, T0 + BREAKER_OPEN_MS);
  for (int i = 0; i < 100 * BATCH; i++) request(&b, 0, 1000 + i, 1, T0 + BREAKER_OPEN_MS);
  for (int i = 0; i < 4; i++) step(&b);
  assert_int_equal(breaker_state(&b, 0), BREAKER_STATE_CLOSED);
  close_bench(&b);
}

/* A place for one call: records and due rows have it in turn, and so have the partitions. */
static void a_single_place_is_for_everybody_in_turn(void **unused) {
  (void)unused;
  struct bench b;
  open_bench(&b, "charge", 1000);
  fake_world_state.answer = CALL_LOST;
  for (int32_t p = 0; p < PARTITIONS; p++) {
    for (int i = 0; i < FEW; i++) request(&b, p, i, 1, T0);
  }
  settle(&b);
  fake_world_state.room = 1;
  fake_world_state.answer = CALL_APPROVED;
  memory_cluster_set_time(b.cluster, T0 + 1000);
  for (int i = 0; i < 100; i++) request(&b, 0, 1000 + i, 1, T0 + 1000);
  for (int i = 0; i < 4 * PARTITIONS; i++) step(&b);
  for (int32_t p = 0; p < PARTITIONS; p++) assert_true(settled(&b, p, FEW) > 0);
  assert_true(memory_committed(b.cluster, "charge", "charge-requests", 0) > FEW);
  close_bench(&b);
}

static void an_open_breaker_tries_again_though_more_rows_are_due_than_calls_may_start(
    void **unused) {
  (void)unused;
  struct bench b;
  open_bench(&b, "charge", 1000);
  fake_world_state.room = 2;
  for (int32_t p = 0; p < PARTITIONS; p++) lose(&b, p, 12);
  fake_world_state.answer = CALL_APPROVED;
  memory_cluster_set_time(b.cluster, T0 + BREAKER_OPEN_MS + 100);
  for (int i = 0; i < 5 * PARTITIONS; i++) step(&b);
  for (int32_t p = 0; p < PARTITIONS; p++)
    assert_int_equal(breaker_state(&b, p), BREAKER_STATE_CLOSED);
  close_bench(&b);
}

static void a_breaker_whose_time_a_wrong_clock_has_set_does_not_stay_open(void **unused) {
  (void)unused;
  const int64_t year = INT64_C(365) * 86400 * 1000;
  struct bench b;
  open_bench(&b, "charge", 1000);
  memory_cluster_set_time(b.cluster, T0 + year);
  lose(&b, 0, BREAKER_CALLS_MIN);
  memory_cluster_set_time(b.cluster, T0);
  fake_world_state.answer = CALL_APPROVED;
  for (int i = 0; i < BREAKER_PROBES; i++) request(&b, 0, 1000 + i, 1, T0);
  settle(&b);
  assert_int_equal(breaker_state(&b, 0), BREAKER_STATE_CLOSED);
  close_bench(&b);
}

static void rows_that_find_no_place_for_a_call_stay_due_and_nothing_is_written_for_them(
    void **unused) {
  (void)unused;
  struct bench b;
  open_bench(&b, "charge", 1000);
  fake_world_state.answer = CALL_LOST;
  for (int i = 0; i < BREAKER_CALLS_MIN - 1; i++) request(&b, 0, i, 1, T0);
  settle(&b);
  struct metrics *metrics = runtime_metrics(b.runtime);
  unsigned long long changes = metrics->changes;
  fake_world_state.answer = -1;
  fake_world_state.room = 2;
  int calls = fake_world_state.calls;
  memory_cluster_set_time(b.cluster, T0 + 1000);
  for (int i = 1; i <= 4; i++) {
    step(&b);
    assert_int_equal(fake_world_state.calls - calls, 2 * i);
    assert_int_equal(metrics->changes - changes, 2 * i); /* one row for each call */
  }
  close_bench(&b);
}

/* ---- many charges that wait for a provider that is away ---- */

#define STEP_MS 5 /* what a small transaction takes */
#define AWAY_MS INT64_C(60000)
#define SLOTS 100000 /* of STEP_MS each: when the ledger asks again */
#define WELL_BEFORE 32
#define LOST_AFTER 16 /* beside them: too few for the breaker */

/* A provider that is away for a minute: half of the charges are unknown, the others are deferred,
 * and a ledger asks for them again when they say. HOLDFAST_WAITING=100000 is the long form; few
 * places for few charges make the same of it. */
struct outage {
  struct bench b;
  int waiting, settled; /* charges */
  int64_t now, next_read;
  int *next, *slots; /* lists of charges by the time of their next request; -1: the end */
  int *attempts;
};

static void ask(struct outage *o, int number) {
  request(&o->b, 0, number, ++o->attempts[number], o->now);
}

static void hear(struct outage *o) {
  const struct message *record;
  while ((record = memory_read(o->b.cluster, "payment-requests", 0, o->next_read))) {
    struct record decoded;
    char error[CODEC_ERROR_SIZE];
    o->next_read = record->offset + 1;
    int number = atoi(record->key.data + strlen("r0-"));
    if (number >= o->waiting) continue;
    assert_true(codec_decode(o->b.codec, record->value, &o->b.arena, &decoded, error));
    o->settled += decoded.type == RECORD_CHARGE_SETTLED;
    if (decoded.type != RECORD_CHARGE_DEFERRED) continue;
    int64_t slot = (((const struct charge_deferred *)decoded.value)->retry_at - T0) / STEP_MS + 1;
    assert_in_range(slot, 0, SLOTS - 1);
    o->next[number] = o->slots[slot];
    o->slots[slot] = number;
  }
}

/* One transaction's time. */
static void pass(struct outage *o) {
  o->now += STEP_MS;
  memory_cluster_set_time(o->b.cluster, o->now);
  int *slot = &o->slots[(o->now - T0) / STEP_MS];
  for (int number = *slot; number >= 0; number = o->next[number]) ask(o, number);
  *slot = -1;
  step(&o->b);
  hear(o);
  arena_reset(&o->b.arena);
}

static void open_outage(struct outage *o, int waiting) {
  *o = (struct outage){.waiting = waiting, .now = T0};
  o->next = xcalloc((size_t)waiting, sizeof *o->next);
  o->attempts = xcalloc((size_t)waiting, sizeof *o->attempts);
  o->slots = xcalloc(SLOTS, sizeof *o->slots);
  for (int i = 0; i < SLOTS; i++) o->slots[i] = -1;
  open_bench_of(&o->b, "charge", 1000, 1);
  fake_world_state.room = (size_t)(waiting * 64 / 100000 + 2);
  int number = waiting; /* those that go well are none of those that wait */
  for (int lost = 0; lost < waiting / 2;) {
    fake_world_state.answer = CALL_APPROVED;
    for (int i = 0; i < WELL_BEFORE; i++) request(&o->b, 0, number++, 0, T0);
    settle(&o->b);
    fake_world_state.answer = CALL_LOST;
    for (int i = 0; i < LOST_AFTER && lost < waiting / 2; i++) ask(o, lost++);
    settle(&o->b);
  }
}

static void close_outage(struct outage *o) {
  close_bench(&o->b);
  free(o->next);
  free(o->attempts);
  free(o->slots);
}

static void a_breaker_closes_within_its_time_and_all_that_waited_is_asked_within_the_bound(
    void **unused) {
  (void)unused;
  struct outage o;
  const char *text = getenv("HOLDFAST_WAITING");
  open_outage(&o, text ? atoi(text) : 3000);
  fake_world_state.answer = CALL_NOT_MADE;
  for (int i = o.waiting / 2; i < o.waiting; i++) ask(&o, i);
  settle(&o.b);
  hear(&o);
  while (o.now < T0 + AWAY_MS) pass(&o);
  assert_int_equal(o.settled, 0);
  fake_world_state.answer = CALL_APPROVED;
  int64_t well = o.now, ends = breaker(&o.b, 0).due_at;
  assert_true(ends <= well + BREAKER_OPEN_MS_MAX);
  while (breaker_state(&o.b, 0) != BREAKER_STATE_CLOSED) {
    pass(&o);
    if (o.now > ends + 1000) fail_msg("it is not closed a second after its time");
  }
  int64_t closed = o.now,
          places = (int64_t)o.waiting * 2 / (int64_t)fake_world_state.room * STEP_MS,
          bound = ends + o.waiting + places + 5000;
  while (o.settled < o.waiting) {
    pass(&o);
    if (o.now > bound) fail_msg("%d of %d have no answer yet", o.waiting - o.settled, o.waiting);
  }
  if (text)
    print_message("# %d charges: closed %d ms after its time, all settled %d ms later\n", o.waiting,
                  (int)(closed - ends), (int)(o.now - closed));
  close_outage(&o);
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
      cmocka_unit_test(
          a_breaker_closes_within_its_time_and_all_that_waited_is_asked_within_the_bound),
  };
  return cmocka_run_group_tests_name("due rows", tests, NULL, NULL);
}
