/* An instance that is new to its group has the rows of what it will own before it joins. */
#include "../lib/bench.h"

#define PARTITIONS 4
#define ITEMS 1200 /* of each partition: more than may wait to be read after the join */
#define DAY_MS INT64_C(86400000)

static void list_items(struct bench *b, int from, int count) {
  for (int32_t partition = 0; partition < PARTITIONS; partition++) {
    for (int i = from; i < from + count; i++) {
      char id[32];
      snprintf(id, sizeof id, "i%d-%d", (int)partition, i);
      struct register_item item = {.item_id = str_of(id),
                                   .title = str_of(id),
                                   .kind = ITEM_KIND_BOOK,
                                   .capacity = 1,
                                   .max_per_reservation = 1,
                                   .payment = PAYMENT_DUE_NONE,
                                   .hold_seconds = 60};
      bench_give(b, partition, BENCH_TIME, RECORD_REGISTER_ITEM, &item, str_of(id));
    }
  }
}

static struct runtime *start(struct bench *b, int slot, bool standby) {
  struct failure failure = {0};
  struct runtime_config config = {
      .processor = b->processor,
      .log = memory_log_open(b->cluster, b->processor->name, b->processor->input,
                             b->processor->changelog, slot),
      .slot = slot,
      .standby = standby,
      .tombstone_retention_ms = DAY_MS};
  struct runtime *runtime = runtime_new(&config, &failure);
  if (!runtime) fail_msg("%s", failure.text);
  return runtime;
}

static int assigned(struct runtime *runtime) {
  return atomic_load(&runtime_metrics(runtime)->assigned);
}

static int ready(struct runtime *runtime) {
  return atomic_load(&runtime_metrics(runtime)->ready);
}

static unsigned long long restored(struct runtime *runtime) {
  return atomic_load(&runtime_metrics(runtime)->restored);
}

static void turn(struct runtime *runtime) {
  assert_int_not_equal(runtime_step(runtime, 0), RUNTIME_FAILED);
}

static void open_shop(struct bench *b) {
  bench_open(b, "stock-check", 100, PARTITIONS);
  list_items(b, 0, ITEMS);
  bench_settle(b);
}

/* Until the first hears of it; what the second had read before. */
static unsigned long long join(struct bench *b, struct runtime *second) {
  unsigned long long before = 0;
  for (int i = 0; i < 1000 && assigned(b->runtime) == PARTITIONS; i++) {
    turn(second);
    before = restored(second);
    bench_step(b);
  }
  return before;
}

static void settle(struct bench *b, struct runtime *second) {
  for (int i = 0; i < 100; i++) {
    turn(second);
    bench_step(b);
  }
}

static void the_rows_of_what_it_will_own_are_read_before_it_joins(void **unused) {
  (void)unused;
  struct bench b;
  open_shop(&b);
  struct runtime *second = start(&b, 1, false);
  unsigned long long before = join(&b, second);
  assert_true(before >= PARTITIONS / 2 * ITEMS);
  settle(&b, second);
  assert_int_equal(restored(second), before);
  assert_int_equal(ready(second), PARTITIONS / 2);
  assert_int_equal(ready(b.runtime), PARTITIONS / 2);
  runtime_free(second);
  bench_close(&b);
}

static void what_the_owners_write_meanwhile_is_read_as_well(void **unused) {
  (void)unused;
  struct bench b;
  open_shop(&b);
  struct runtime *second = start(&b, 1, false);
  turn(second); /* the first round */
  list_items(&b, ITEMS, 3);
  bench_settle(&b);
  assert_true(join(&b, second) >= PARTITIONS / 2 * (ITEMS + 3));
  settle(&b, second);
  assert_int_equal(ready(second), PARTITIONS / 2);
  runtime_free(second);
  bench_close(&b);
}

static void a_member_that_comes_back_joins_at_once(void **unused) {
  (void)unused;
  struct bench b;
  open_shop(&b);
  runtime_free(b.runtime);
  b.runtime = start(&b, 0, false);
  turn(b.runtime);
  assert_int_equal(assigned(b.runtime), PARTITIONS);
  bench_settle(&b);
  assert_int_equal(ready(b.runtime), PARTITIONS);
  bench_close(&b);
}

static void a_standby_has_the_rows_when_its_group_loses_the_slot(void **unused) {
  (void)unused;
  struct bench b;
  open_shop(&b);
  struct runtime *standby = start(&b, 0, true);
  for (int i = 0; i < 50; i++) {
    turn(standby);
    bench_step(&b);
  }
  assert_true(runtime_stands_by(standby));
  assert_int_equal(ready(b.runtime), PARTITIONS);
  unsigned long long before = restored(standby);
  assert_true(before >= PARTITIONS * ITEMS);
  runtime_free(b.runtime);
  b.runtime = standby;
  memory_cluster_set_time(b.cluster, BENCH_TIME + 10000);
  for (int i = 0; i < 10; i++) turn(standby);
  assert_true(runtime_stands_by(standby)); /* its session may still be open */
  memory_expire_member(b.cluster, b.processor->name, 0);
  memory_cluster_set_time(b.cluster, BENCH_TIME + 20000);
  list_items(&b, ITEMS, 1);
  bench_settle(&b);
  assert_false(runtime_stands_by(standby));
  assert_int_equal(ready(standby), PARTITIONS);
  assert_int_equal(restored(standby), before);
  bench_close(&b);
}

static void a_standby_takes_a_slot_that_nobody_has(void **unused) {
  (void)unused;
  struct bench b;
  open_shop(&b);
  struct runtime *standby = start(&b, 1, true);
  bench_settle(&b);
  settle(&b, standby);
  assert_false(runtime_stands_by(standby));
  assert_int_equal(ready(standby), PARTITIONS / 2);
  runtime_free(standby);
  bench_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_rows_of_what_it_will_own_are_read_before_it_joins),
      cmocka_unit_test(what_the_owners_write_meanwhile_is_read_as_well),
      cmocka_unit_test(a_member_that_comes_back_joins_at_once),
      cmocka_unit_test(a_standby_has_the_rows_when_its_group_loses_the_slot),
      cmocka_unit_test(a_standby_takes_a_slot_that_nobody_has),
  };
  return cmocka_run_group_tests_name("warm", tests, NULL, NULL);
}
