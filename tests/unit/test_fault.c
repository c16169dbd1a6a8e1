/* A record that cannot be processed, whatever is wrong with it: a dead letter, or the end of the
 * filter with the way out; what stands before it is done, once, and what follows it goes on. */
#include "../lib/harness.h"

#include <sysexits.h>

#include "runtime/core/internal.h"
#include "runtime/http/health.h"

/* ---- a filter that makes too much of some records ---- */

enum { TO_STREAM };
static const int accepts[] = {RECORD_PAY, -1};
static const struct output outputs[] = {[TO_STREAM] = {.topic = "made"}, {0}};
static const struct row_kind rows[] = {
    {.name = "row", .prefix = 'r', .type = RECORD_REGISTER_CUSTOMER, .key = "id"}, {0}};

static struct str too_much(struct context *context) {
  return (struct str){scratch(context, RECORD_SIZE_MAX + 1), RECORD_SIZE_MAX + 1};
}

static bool is(struct str text, const char *other) {
  return str_equal(text, str_of(other));
}

/* Emits the Pay; for "output" a second one that is too large, for "row" a row that is. */
static void decide(struct context *context, const struct event *event) {
  const struct pay *pay = event->value;
  emit(context, TO_STREAM, pay->reservation_id, RECORD_PAY, pay);
  if (is(pay->reservation_id, "output"))
    emit(context, TO_STREAM, pay->reservation_id, RECORD_PAY,
         &(struct pay){.reservation_id = too_much(context), .customer_id = STR("c")});
  if (is(pay->reservation_id, "row"))
    row_put(context, &rows[0], row_key(context, &rows[0], &pay->reservation_id, 1),
            &(struct register_customer){.name = too_much(context)});
}

static const struct processor closed = {.name = "closed",
                                        .input = "pays",
                                        .accepts = accepts,
                                        .outputs = outputs,
                                        .rows = rows,
                                        .changelog = "closed-changelog",
                                        .decide = decide};
static const struct processor open_to_all = {.name = "open-to-all",
                                             .input = "pays",
                                             .open_input = true,
                                             .accepts = accepts,
                                             .outputs = outputs,
                                             .rows = rows,
                                             .changelog = "closed-changelog",
                                             .decide = decide};

/* Without settling: what is appended so comes in one batch. */
static void append(struct harness *h, const char *id) {
  struct pay pay = {.reservation_id = str_of(id), .customer_id = STR("c")};
  memory_append(h->cluster, h->processor->input, 0,
                &(struct message){
                    .key = str_of(id),
                    .value = codec_encode(h->codec, (struct record){RECORD_PAY, &pay}, &h->arena)});
}

static void append_unfetchable(struct harness *h) {
  memory_append(h->cluster, h->processor->input, 0,
                &(struct message){.fault = "its batch cannot be decompressed"});
}

static const struct message *letter(struct harness *h, int64_t offset) {
  const struct message *found = memory_read(h->cluster, "dead-letters", 0, offset);
  assert_non_null(found);
  return found;
}

static int count(struct harness *h, const char *topic, const char *key) {
  int found = 0;
  const struct message *record;
  for (int64_t at = 0; (record = memory_read(h->cluster, topic, 0, at)); at = record->offset + 1)
    found += is(record->key, key);
  return found;
}

/* ---- the open input ---- */

static void a_dead_letter_of_any_size_is_kept_as_its_beginning_its_length_and_its_hash(
    void **unused) {
  (void)unused;
  enum { KEY = 3000, VALUE = 3000000 };
  static const char zeros[VALUE];
  struct harness h;
  harness_open(&h, "reserve-requested");
  memory_append(h.cluster, h.processor->input, 0,
                &(struct message){.key = {zeros, KEY}, .value = {zeros, VALUE}});
  assert_non_null(strstr(harness_wait(&h, 1), "dead-letter(3000000 bytes are more than the limit"));
  const struct message *raw = letter(&h, 0);
  assert_int_equal(raw->key.size, 1024);
  assert_int_equal(raw->value.size, 65536);
  assert_true(is(raw->causation, "reservation-commands-0-0"));
  /* head -c 3000000 /dev/zero | sha256sum */
  assert_true(is(raw->whole_value,
                 "3000000 bytes, sha256 "
                 "35bce4eae54ec8e6cc2868baa8d157914d6ae2858811b4cc0c078c94460fa26f"));
  assert_memory_equal(raw->whole_key.data, "3000 bytes, sha256 ", 19);
  assert_string_equal(harness_send(&h, 1, "r", RECORD_PAY, &(struct pay){STR("r"), STR("c")}),
                      "Pay");
  harness_close(&h);
}

static void a_small_dead_letter_is_whole_and_says_nothing_of_a_cut(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "reserve-requested");
  static char bytes[65536];
  harness_bytes(&h, "r", (struct str){bytes, sizeof bytes});
  assert_int_equal(letter(&h, 0)->value.size, sizeof bytes);
  assert_null(letter(&h, 0)->whole_value.data);
  assert_null(letter(&h, 0)->whole_key.data);
  harness_close(&h);
}

static void what_cannot_be_fetched_from_the_open_input_is_a_dead_letter_by_its_place(
    void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "reserve-requested");
  append(&h, "before");
  append_unfetchable(&h);
  append(&h, "after");
  assert_string_equal(harness_wait(&h, 1), "Pay dead-letter(its batch cannot be decompressed) Pay");
  assert_true(is(letter(&h, 0)->causation, "reservation-commands-0-1"));
  assert_null(letter(&h, 0)->value.data);
  assert_int_equal(memory_committed(h.cluster, "reserve-requested", "reservation-commands", 0), 3);
  harness_close(&h);
}

static void what_the_open_input_makes_too_much_of_is_a_dead_letter_and_nothing_else_of_it_is_left(
    void **unused) {
  (void)unused;
  struct harness h;
  harness_open_processor(&h, &open_to_all);
  append(&h, "before");
  append(&h, "output");
  append(&h, "row");
  append(&h, "output");
  append(&h, "after");
  harness_wait(&h, 1);
  assert_int_equal(count(&h, "made", "before"), 1);
  assert_int_equal(count(&h, "made", "after"), 1);
  assert_int_equal(count(&h, "made", "output"), 0);
  assert_int_equal(count(&h, "made", "row"), 0);
  assert_int_equal(count(&h, "dead-letters", "output"), 2);
  assert_int_equal(count(&h, "dead-letters", "row"), 1);
  assert_int_equal(memory_committed(h.cluster, "open-to-all", "pays", 0), 5);
  harness_close(&h);
}

/* ---- between filters ---- */

static void assert_stops_at(struct harness *h, int64_t offset, const char *reason) {
  char way_out[100];
  snprintf(way_out, sizeof way_out, "holdfast skip %s 0 %d", h->processor->input, (int)offset);
  const char *out = harness_wait(h, 1);
  if (!strstr(out, reason) || !strstr(out, way_out)) fail_msg("%s", out);
  assert_int_equal(runtime_failure(h->runtime)->exit_code, EX_CONFIG);
  assert_int_equal(memory_committed(h->cluster, h->processor->name, h->processor->input, 0),
                   offset);
}

static void what_cannot_be_fetched_stops_a_filter_once_what_stands_before_it_is_committed(
    void **unused) {
  (void)unused;
  struct harness h;
  harness_open_processor(&h, &closed);
  append(&h, "before");
  append(&h, "too");
  append_unfetchable(&h);
  append(&h, "after");
  assert_stops_at(&h, 2, "its batch cannot be decompressed");
  assert_int_equal(count(&h, "made", "before"), 1);
  assert_int_equal(count(&h, "made", "after"), 0);
  harness_close(&h);
}

static void stops_at_too_much(const char *id, const char *reason) {
  struct harness h;
  harness_open_processor(&h, &closed);
  append(&h, "before");
  append(&h, "too");
  append(&h, id);
  append(&h, "after");
  assert_stops_at(&h, 2, reason);
  assert_int_equal(count(&h, "made", "before"), 1);
  assert_int_equal(count(&h, "made", "too"), 1);
  assert_int_equal(count(&h, "made", id), 0);
  assert_int_equal(count(&h, "made", "after"), 0);
  harness_close(&h);
}

static void a_decision_that_produces_too_much_stops_the_filter_at_its_record(void **unused) {
  (void)unused;
  stops_at_too_much("output", "made: an output would be larger than a record may be");
}

static void a_row_that_grows_too_large_stops_the_filter_at_its_record(void **unused) {
  (void)unused;
  stops_at_too_much("row", "RegisterCustomer: would be larger than a record may be");
}

/* ---- a partition that stands still ---- */

static void gives_nothing(struct log *log, int timeout_ms, struct log_event *event) {
  (void)log;
  (void)timeout_ms;
  *event = (struct log_event){.kind = LOG_IDLE};
}

static bool answering;

static bool answers(struct log *log) {
  (void)log;
  return answering;
}

/* A turn at that time of the wall clock, so many monotonic seconds after the last one. */
static size_t stalled_after(struct harness *h, int64_t seconds, int64_t wall, char *text,
                            size_t size) {
  if (seconds) h->runtime->partitions[0].watched_since -= seconds;
  harness_wait(h, wall);
  return runtime_stalled(h->runtime, text, size);
}

static void a_partition_that_gives_nothing_though_a_record_is_there_says_where_it_stands(
    void **unused) {
  (void)unused;
  char text[256];
  struct harness h;
  harness_open_processor(&h, &closed);
  append(&h, "before");
  assert_int_equal(stalled_after(&h, 0, 1, text, sizeof text), 0);
  const struct log_class *moving = h.log->class;
  struct log_class still = *moving;
  still.poll = gives_nothing;
  still.answers = answers;
  h.log->class = &still;
  assert_int_equal(stalled_after(&h, 100, 2, text, sizeof text), 0); /* nothing waits */
  append(&h, "after");
  assert_int_equal(stalled_after(&h, 0, 3, text, sizeof text), 0);
  const int64_t leap = INT64_C(400) * 86400000; /* of the wall clock, which is no proof */
  assert_int_equal(stalled_after(&h, 20, leap, text, sizeof text), 0);
  answering = false;
  assert_int_equal(stalled_after(&h, 30, 4, text, sizeof text), 0);
  answering = true;
  assert_int_equal(stalled_after(&h, 30, 5, text, sizeof text), 1);
  assert_string_equal(text,
                      "partition 0 of pays stands at offset 1: records wait there, and none "
                      "comes");
  h.log->class = moving;
  assert_int_equal(stalled_after(&h, 0, 6, text, sizeof text), 0);
  assert_int_equal(count(&h, "made", "after"), 1);
  harness_close(&h);
}

/* ---- a loop that stands still ---- */

static void a_loop_is_alive_as_long_as_it_turns_however_the_wall_clock_steps(void **unused) {
  (void)unused;
  struct harness h;
  harness_open_processor(&h, &closed);
  const int64_t days[] = {1, 400, 2, 40000};
  for (size_t i = 0; i < sizeof days / sizeof *days; i++) {
    harness_wait(&h, days[i] * 86400000);
    assert_true(health_is_alive(h.runtime));
  }
  runtime_metrics(h.runtime)->turned_at -= 61;
  assert_false(health_is_alive(h.runtime));
  harness_wait(&h, 86400000);
  assert_true(health_is_alive(h.runtime));
  harness_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_dead_letter_of_any_size_is_kept_as_its_beginning_its_length_and_its_hash),
      cmocka_unit_test(a_small_dead_letter_is_whole_and_says_nothing_of_a_cut),
      cmocka_unit_test(what_cannot_be_fetched_from_the_open_input_is_a_dead_letter_by_its_place),
      cmocka_unit_test(
          what_the_open_input_makes_too_much_of_is_a_dead_letter_and_nothing_else_of_it_is_left),
      cmocka_unit_test(
          what_cannot_be_fetched_stops_a_filter_once_what_stands_before_it_is_committed),
      cmocka_unit_test(a_decision_that_produces_too_much_stops_the_filter_at_its_record),
      cmocka_unit_test(
          a_partition_that_gives_nothing_though_a_record_is_there_says_where_it_stands),
      cmocka_unit_test(a_loop_is_alive_as_long_as_it_turns_however_the_wall_clock_steps),
      cmocka_unit_test(a_row_that_grows_too_large_stops_the_filter_at_its_record),
  };
  return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
