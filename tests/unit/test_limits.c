/* How much one caller may ask: a table of moments. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "gateway/limits.h"
#include "../lib/harness.h"

/* 60 a minute, 3 at once. */
static const struct {
  int64_t now_ms;
  bool taken;
  int64_t remaining, next_s, full_s;
} moments[] = {
    {1000, true, 2, 0, 1},  {1000, true, 1, 0, 2},  {1000, true, 0, 1, 3},
    {1000, false, 0, 1, 3}, {1999, false, 0, 1, 3}, /* a refusal costs nothing */
    {2000, true, 0, 1, 3},  {2001, false, 0, 1, 3}, {3500, true, 0, 1, 3},
    {3999, false, 0, 1, 3}, {4000, true, 0, 1, 3},  {6999, true, 1, 0, 2},
    {99000, true, 2, 0, 1}, {98000, true, 0, 1, 3}, /* an older time gives nothing */
};

static void a_bucket_fills_by_its_rate_up_to_its_burst(void **unused) {
  (void)unused;
  struct limits *limits = limits_open((struct limit_rate){.per_minute = 60, .burst = 3});
  for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
    struct limit_answer answer = limits_take(limits, STR("kim"), moments[i].now_ms);
    if (answer.taken != moments[i].taken || answer.remaining != moments[i].remaining ||
        answer.next_s != moments[i].next_s || answer.full_s != moments[i].full_s)
      fail_msg("%zu at %d: taken %d, remaining %d, next %d, full %d", i, (int)moments[i].now_ms,
               answer.taken, (int)answer.remaining, (int)answer.next_s, (int)answer.full_s);
  }
  limits_close(limits);
}

static void the_promised_time_is_enough(void **unused) {
  (void)unused;
  static const int64_t rates[] = {1, 7, 60, 1000, LIMIT_PER_MINUTE_MAX};
  for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
    struct limits *limits = limits_open((struct limit_rate){rates[i], 5});
    struct limit_answer answer = {.taken = true};
    for (int taken = 0; answer.taken; taken++) {
      assert_true(taken <= 5);
      answer = limits_take(limits, STR("kim"), 1234567);
    }
    assert_true(limits_take(limits, STR("kim"), 1234567 + answer.next_s * 1000).taken);
    assert_int_equal(limits_take(limits, STR("lee"), 1234567).remaining, 4);
    answer = limits_take(limits, STR("kim"), 1234567 + 1000 * 1000);
    assert_int_equal(answer.remaining, 4);
    limits_close(limits);
  }
}

static void over_any_time_a_caller_gets_its_rate_and_one_burst(void **unused) {
  (void)unused;
  struct limits *limits = limits_open((struct limit_rate){.per_minute = 600, .burst = 20});
  int taken = 0;
  for (int64_t now_ms = 0; now_ms < 60000; now_ms += 3)
    taken += limits_take(limits, STR("kim"), now_ms).taken;
  assert_in_range(taken, 618, 620);
  limits_close(limits);
}

static struct str name_of(int64_t number, char *out) {
  return (struct str){out, (size_t)sprintf(out, "caller-%ld", (long)number)};
}

/* More callers than places, of whom each has used all but one of its requests, the earlier ones
 * longer ago: who is forgotten is whoever had waited the longest. */
static void the_fullest_bucket_goes_first(void **unused) {
  (void)unused;
  const int64_t count = LIMIT_BUCKETS * 2, step_ms = 10, now_ms = count * step_ms;
  const struct limit_rate slow = {.per_minute = 1, .burst = 2};
  struct limits *limits = limits_open(slow);
  char name[32];
  for (int64_t i = 0; i < count; i++)
    for (int64_t times = 0; times < 2; times++) limits_take(limits, name_of(i, name), i * step_ms);
  int64_t kept_early = 0, kept_late = 0;
  for (int64_t i = count - 1000; i < count; i++)
    kept_late += !limits_take(limits, name_of(i, name), now_ms).taken;
  for (int64_t i = 0; i < 1000; i++)
    kept_early += !limits_take(limits, name_of(i, name), now_ms).taken;
  assert_true(kept_late > 990);
  assert_int_equal(kept_early, 0);
  limits_close(limits);
}

/* A flood of callers who ask once forgets nobody who asked more. */
static void a_flood_of_others_gives_a_busy_caller_nothing(void **unused) {
  (void)unused;
  struct limits *limits = limits_open((struct limit_rate){.per_minute = 60, .burst = 100});
  char name[32];
  int taken = 0;
  for (int64_t i = 0; i < 10 * LIMIT_BUCKETS; i++) {
    taken += limits_take(limits, STR("busy"), i / 100).taken;
    limits_take(limits, name_of(i, name), i / 100);
  }
  assert_int_equal(taken, 100 + 10 * LIMIT_BUCKETS / 100 / 1000);
  limits_close(limits);
}

static void the_headers_are_those_of_the_draft(void **unused) {
  (void)unused;
  char text[LIMIT_HEADER_SIZE];
  struct limits *limits = limits_open((struct limit_rate){.per_minute = 600, .burst = 100});
  limit_policy_header(limits, "caller", text);
  assert_string_equal(text, "\"caller\";q=100;w=10");
  struct limit_answer answer = limits_take(limits, STR("kim"), 0);
  limit_header(&answer, "caller", text);
  assert_string_equal(text, "\"caller\";r=99;t=1");
  limits_close(limits);
}

static void expect_address(int family, const char *text, const char *bytes, size_t size) {
  struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
  char out[LIMIT_ADDRESS_SIZE];
  void *at = family == AF_INET ? (void *)&((struct sockaddr_in *)&address)->sin_addr
                               : (void *)&((struct sockaddr_in6 *)&address)->sin6_addr;
  inet_pton(family, text, at);
  struct str found = limit_address((struct sockaddr *)&address, out);
  if (!str_equal(found, (struct str){bytes, size})) fail_msg("%s", text);
}

static void an_address_is_a_subscriber(void **unused) {
  (void)unused;
  expect_address(AF_INET, "192.0.2.1", "\xc0\x00\x02\x01", 4);
  expect_address(AF_INET6, "::ffff:192.0.2.1", "\xc0\x00\x02\x01", 4);
  expect_address(AF_INET6, "2001:db8:1:2:3:4:5:6", "\x20\x01\x0d\xb8\x00\x01\x00\x02", 8);
  expect_address(AF_UNIX, "", "", 0);
}

struct crowd {
  struct limits *limits;
  atomic_int taken;
};

static void *press(void *user) {
  struct crowd *crowd = user;
  for (int i = 0; i < 20000; i++) crowd->taken += limits_take(crowd->limits, STR("kim"), 0).taken;
  return NULL;
}

static void threads_share_a_bucket(void **unused) {
  (void)unused;
  struct crowd crowd = {.limits = limits_open((struct limit_rate){60, 30000})};
  pthread_t threads[4];
  for (size_t i = 0; i < 4; i++) pthread_create(&threads[i], NULL, press, &crowd);
  for (size_t i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  assert_int_equal(crowd.taken, 30000);
  limits_close(crowd.limits);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_bucket_fills_by_its_rate_up_to_its_burst),
      cmocka_unit_test(the_promised_time_is_enough),
      cmocka_unit_test(over_any_time_a_caller_gets_its_rate_and_one_burst),
      cmocka_unit_test(the_fullest_bucket_goes_first),
      cmocka_unit_test(a_flood_of_others_gives_a_busy_caller_nothing),
      cmocka_unit_test(the_headers_are_those_of_the_draft),
      cmocka_unit_test(an_address_is_a_subscriber),
      cmocka_unit_test(threads_share_a_bucket),
  };
  return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
