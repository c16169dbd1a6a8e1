/* How late a filter is, as /metrics tells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <stdio.h>

#include "../lib/bench.h"
#include "gen/records.h"

#define T0 BENCH_TIME

static void ask(struct bench *b, int32_t partition, int64_t time) {
  const struct request_hold hold = {
      .reservation_id = STR("r"), .item_id = STR("unheard"), .quantity = 1};
  bench_give(b, partition, time, RECORD_REQUEST_HOLD, &hold, hold.item_id);
}

static int64_t lag_ms(struct bench *b) {
  return atomic_load(&runtime_metrics(b->runtime)->lag_ms);
}

static int64_t lag(struct bench *b) {
  return atomic_load(&runtime_metrics(b->runtime)->lag);
}

static void the_age_of_what_waits_is_told_by_the_last_record_taken(void **unused) {
  (void)unused;
  struct bench b;
  bench_open(&b, "stock-check", 1, 2);
  bench_settle(&b);
  assert_int_equal(lag_ms(&b), 0);
  const int64_t times[] = {0, 1000, 9000};
  for (int i = 0; i < 3; i++) ask(&b, 0, T0 + times[i]);
  memory_cluster_set_time(b.cluster, T0 + 10000);
  const int64_t ages[] = {10000, 9000, 0};
  for (int i = 0; i < 3; i++) {
    for (int tries = 0; lag(&b) != 2 - i && tries < 100; tries++) bench_step(&b);
    assert_int_equal(lag_ms(&b), ages[i]);
  }
  bench_settle(&b);
  bench_close(&b);
}

static void an_idle_hour_is_no_lateness(void **unused) {
  (void)unused;
  struct bench b;
  bench_open(&b, "stock-check", 1, 2);
  ask(&b, 1, T0);
  bench_settle(&b);
  memory_cluster_set_time(b.cluster, T0 + 3600000);
  bench_step(&b);
  for (int i = 0; i < 2; i++) ask(&b, 1, T0 + 3600000);
  memory_cluster_set_time(b.cluster, T0 + 3600700);
  for (int tries = 0; lag(&b) != 1 && tries < 100; tries++) bench_step(&b);
  assert_int_equal(lag_ms(&b), 700);
  bench_settle(&b);
  assert_int_equal(lag_ms(&b), 0);
  bench_close(&b);
}

static void a_producers_clock_that_is_ahead_makes_nothing_late(void **unused) {
  (void)unused;
  struct bench b;
  bench_open(&b, "stock-check", 1, 2);
  ask(&b, 0, T0 + 86400000);
  ask(&b, 0, T0);
  for (int tries = 0; lag(&b) != 1 && tries < 100; tries++) bench_step(&b);
  assert_int_equal(lag_ms(&b), 0);
  bench_settle(&b);
  bench_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_age_of_what_waits_is_told_by_the_last_record_taken),
      cmocka_unit_test(an_idle_hour_is_no_lateness),
      cmocka_unit_test(a_producers_clock_that_is_ahead_makes_nothing_late),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
