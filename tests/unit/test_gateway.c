/* Parts of the gateway that need no Kafka: whom the news reach, whose path it is, ids of events. */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/event_text.h"
#include "gateway/routes.h"
#include "gateway/waiting.h"
#include "../lib/harness.h"

/* ---- who waits ---- */

#define LATER 5000

struct ear {
  struct waiter waiter; /* the first */
  int heard, expired;
  int64_t goes_on; /* its answer */
};

static int64_t hear(struct waiter *waiter, const struct news *news) {
  struct ear *ear = (struct ear *)waiter;
  *(news ? &ear->heard : &ear->expired) += 1;
  return ear->goes_on;
}

static struct ear ear_of(const char *id, int64_t goes_on) {
  return (struct ear){.waiter = {.id = str_of(id), .hear = hear}, .goes_on = goes_on};
}

static void news_reach_all_who_wait_for_that_id_and_nobody_else(void **unused) {
  (void)unused;
  struct waiting *waiting = waiting_new();
  struct ear one = ear_of("a", 0), two = ear_of("a", LATER), other = ear_of("b", 0);
  waiting_add(waiting, &one.waiter, LATER);
  waiting_add(waiting, &two.waiter, LATER);
  waiting_add(waiting, &other.waiter, LATER);
  for (int i = 0; i < 2; i++) waiting_tell(waiting, STR("a"), &(struct news){0});
  waiting_tell(waiting, STR("c"), &(struct news){0});
  assert_int_equal(one.heard, 1); /* it waits no longer */
  assert_int_equal(two.heard, 2);
  assert_int_equal(other.heard, 0);
  assert_int_equal(waiting_count(waiting), 2);
  waiting_remove(waiting, &one.waiter); /* nothing is done */
  waiting_remove(waiting, &two.waiter);
  waiting_remove(waiting, &other.waiter);
  assert_int_equal(waiting_count(waiting), 0);
  waiting_free(waiting);
}

static void a_wait_ends_in_its_time_or_goes_on_as_its_hearer_says(void **unused) {
  (void)unused;
  struct waiting *waiting = waiting_new();
  struct ear ends = ear_of("a", 0), goes_on = ear_of("b", 2000), later = ear_of("c", 0);
  waiting_add(waiting, &ends.waiter, 1000);
  waiting_add(waiting, &goes_on.waiter, 1000);
  waiting_add(waiting, &later.waiter, 2001);
  waiting_expire(waiting, 999);
  assert_int_equal(ends.expired + goes_on.expired + later.expired, 0);
  waiting_expire(waiting, 1000);
  waiting_expire(waiting, 1999);
  assert_int_equal(ends.expired, 1);
  assert_int_equal(goes_on.expired, 1);
  goes_on.goes_on = 0;
  waiting_expire(waiting, INT64_MAX);
  assert_int_equal(goes_on.expired, 2);
  assert_int_equal(later.expired, 1);
  assert_int_equal(waiting_count(waiting), 0);
  waiting_free(waiting);
}

/* Many in every bucket, and taken out in another order than they came in. */
static void thousands_wait_at_once(void **unused) {
  (void)unused;
  enum { MANY = 40000 };
  struct waiting *waiting = waiting_new();
  struct ear *ears = calloc(MANY, sizeof *ears);
  char(*ids)[16] = calloc(MANY, sizeof *ids);
  for (int i = 0; i < MANY; i++) {
    snprintf(ids[i], sizeof ids[i], "r%d", i);
    ears[i] = ear_of(ids[i], 0);
    waiting_add(waiting, &ears[i].waiter, LATER);
  }
  for (int i = 0; i < MANY; i += 2) waiting_remove(waiting, &ears[i].waiter);
  for (int i = 0; i < MANY; i++) waiting_tell(waiting, str_of(ids[i]), &(struct news){0});
  for (int i = 0; i < MANY; i++) assert_int_equal(ears[i].heard, i % 2);
  assert_int_equal(waiting_count(waiting), 0);
  free(ids);
  free(ears);
  waiting_free(waiting);
}

static void *tell_all(void *user) {
  for (int i = 0; i < 20000; i++) {
    waiting_tell(user, STR("a"), &(struct news){0});
    waiting_expire(user, 0);
  }
  return NULL;
}

/* A waiter lives on the stack here: a call after its removal would be a use after return. */
static void nobody_hears_after_the_removal(void **unused) {
  (void)unused;
  struct waiting *waiting = waiting_new();
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, tell_all, waiting), 0);
  for (int i = 0; i < 20000; i++) {
    struct ear ear = ear_of("a", i % 2 ? LATER : 0);
    waiting_add(waiting, &ear.waiter, LATER);
    waiting_remove(waiting, &ear.waiter);
    ear.waiter.hear = NULL;
  }
  pthread_join(thread, NULL);
  assert_int_equal(waiting_count(waiting), 0);
  waiting_free(waiting);
}

/* ---- routes ---- */

static const struct {
  const char *method, *path;
  const char *route; /* "method path", or the methods that are allowed; "": there is no such path */
  const char *part;
} requests[] = {
    {"POST", "/reservations", "POST /reservations", NULL},
    {"GET", "/reservations", "GET /reservations", NULL},
    {"HEAD", "/reservations", "GET /reservations", NULL},
    {"PUT", "/reservations", "POST, GET", NULL},
    {"get", "/reservations", "POST, GET", NULL},
    {"GET", "/reservations/", "", NULL},
    {"GET", "/reservations/r", "GET /reservations/{}", "r"},
    {"GET", "/reservations/a/b", "GET /reservations/{}", "a/b"},
    {"GET", "/reservations//", "GET /reservations/{}", "/"},
    {"DELETE", "/reservations/..", "DELETE /reservations/{}", ".."},
    {"POST", "/reservations/a/b/payment", "POST /reservations/{}/payment", "a/b"},
    {"POST", "/reservations/payment/payment", "POST /reservations/{}/payment", "payment"},
    {"GET", "/reservations/r/payment", "POST", "r"},
    {"GET", "/reservations/payment", "GET /reservations/{}", "payment"},
    {"POST", "/reservations//payment", "DELETE, GET", NULL},
    {"PUT", "/items/i/receipts", "POST", "i"},
    {"GET", "/customers/me/reservations", "GET /customers/{}/reservations", "me"},
    {"GET", "/customers/me", "PUT", NULL},
    {"PUT", "/customers/me", "PUT /customers/{}", "me"},
    {"GET", "/openapi.json", "GET /openapi.json", NULL},
    {"GET", "/openapi.jsonx", "", NULL},
    {"GET", "/events/", "", NULL},
    {"GET", "/", "", NULL},
    {"GET", "", "", NULL},
};

static void the_longest_pattern_of_a_path_has_its_methods(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
    struct str part;
    char allowed[64], found[128];
    const struct gateway_route *route =
        gateway_route_find(requests[i].method, requests[i].path, &part, allowed, sizeof allowed);
    snprintf(found, sizeof found, "%s%s%s", route ? route->method : allowed, route ? " " : "",
             route ? route->path : "");
    if (strcmp(found, requests[i].route) != 0)
      fail_msg("%s %s: '%s'", requests[i].method, requests[i].path, found);
    if (route && requests[i].part && !str_equal(part, str_of(requests[i].part)))
      fail_msg("%s %s: part '%.*s'", requests[i].method, requests[i].path, STR_ARGS(part));
  }
}

static void every_route_finds_itself(void **unused) {
  (void)unused;
  for (const struct gateway_route *route = gateway_routes; route->method; route++) {
    struct str part;
    char allowed[64];
    assert_ptr_equal(gateway_route_find(route->method, route->path, &part, allowed, sizeof allowed),
                     route);
    assert_true(!route->part_field || strstr(route->path, "{}"));
  }
}

/* ---- ids of events ---- */

static const struct {
  const char *text;
  int32_t partitions;
  bool fits;
} ids[] = {
    {"0", 1, true},        {"7fffffffffffffff", 1, true},
    {"1.2.ff", 3, true},   {"8000000000000000", 1, false},
    {"1.2", 3, false},     {"ffffffffffffffffff", 1, false},
    {"1.2.3.4", 3, false}, {"", 1, false},
    {"1..2", 3, false},    {"-1", 1, false},
    {"+1", 1, false},      {" 1", 1, false},
    {"0x1", 1, false},     {"F", 1, false},
    {"1.2.", 2, false},    {"1.2.", 3, false},
    {".1", 1, false},      {"1 ", 1, false},
    {"1.0x2", 2, false},   {"fF", 1, false},
};

static void an_id_has_a_place_of_each_partition(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
    int64_t positions[8];
    if (event_id_parse(ids[i].text, positions, ids[i].partitions) != ids[i].fits)
      fail_msg("'%s' of %d: %s", ids[i].text, ids[i].partitions, ids[i].fits ? "refused" : "taken");
  }
}

static void what_is_written_is_read_again(void **unused) {
  (void)unused;
  static const int64_t written[] = {0, INT64_MAX, 255, 4711};
  int64_t read[4];
  char line[EVENT_ID_SIZE(4) + 1];
  size_t size = event_id_write(line, written, 4);
  assert_in_range(size, 1, EVENT_ID_SIZE(4));
  line[size] = '\0';
  assert_string_equal(line, "id: 0.7fffffffffffffff.ff.1267\n");
  line[size - 1] = '\0';
  assert_true(event_id_parse(line + strlen("id: "), read, 4));
  assert_memory_equal(read, written, sizeof read);
}

static void an_event_has_what_a_caller_may_know(void **unused) {
  (void)unused;
  const struct status_changed step = {.reservation_id = STR("r\n1"),
                                      .customer_id = STR("kim"),
                                      .item_id = STR("i"),
                                      .content_hash = 4711,
                                      .status = STATUS_HELD,
                                      .payment = PAYMENT_DUE_BY_CUSTOMER};
  size_t size;
  char *text = event_text(&step, &size);
  assert_memory_equal(text, "kimevent: status\ndata: {", 24);
  struct str event = {text + 3, size};
  assert_memory_equal(event.data + size - 2, "\n\n", 2);
  text[3 + size] = '\0';
  assert_non_null(strstr(text, "\"reservation_id\":\"r\\n1\""));
  assert_non_null(strstr(text, "\"payment\":\"BY_CUSTOMER\""));
  assert_null(strstr(text, "4711"));
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(news_reach_all_who_wait_for_that_id_and_nobody_else),
      cmocka_unit_test(a_wait_ends_in_its_time_or_goes_on_as_its_hearer_says),
      cmocka_unit_test(thousands_wait_at_once),
      cmocka_unit_test(nobody_hears_after_the_removal),
      cmocka_unit_test(the_longest_pattern_of_a_path_has_its_methods),
      cmocka_unit_test(every_route_finds_itself),
      cmocka_unit_test(an_id_has_a_place_of_each_partition),
      cmocka_unit_test(what_is_written_is_read_again),
      cmocka_unit_test(an_event_has_what_a_caller_may_know),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
