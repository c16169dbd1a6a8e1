/* What was deleted, made again or trimmed by hand, on the log in memory: a filter says so and ends,
 * whether it ran meanwhile or not, and its way out goes on. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "../lib/harness.h"
#include "runtime/base/report.h"
#include "runtime/core/recovery.h"

#define INPUT "stock-requests"
#define CHANGELOG "stock-check-changelog"
#define DAY_MS INT64_C(86400000)

struct place {
  struct memory_cluster *cluster;
  const struct processor *processor;
  struct store *store;
  struct runtime *runtime;
  struct codec *codec;
  struct arena arena;
  int items;
};

/* ---- a log whose answers a test can hold back ---- */

static const struct log_class *real;
static const char *hindrance; /* of every question; NULL: they are answered */
static bool changelog_waits;  /* no record of it comes */

static enum log_status hindered(struct log *log) {
  snprintf(log->hindrance, sizeof log->hindrance, "%s", hindrance);
  return LOG_AGAIN;
}

static enum log_status committed(struct log *log, int32_t partition, struct log_offset *out) {
  log->hindrance[0] = '\0';
  return hindrance ? hindered(log) : real->committed(log, partition, out);
}

static enum log_status bounds(struct log *log, enum log_source source, int32_t partition,
                              int64_t *first, int64_t *end) {
  return hindrance ? hindered(log) : real->bounds(log, source, partition, first, end);
}

static enum log_status changelog_next(struct log *log, int32_t partition, struct log_record *out,
                                      int64_t *position) {
  return changelog_waits ? LOG_AGAIN : real->changelog_next(log, partition, out, position);
}

static struct log *open_log(struct place *w) {
  static struct log_class class;
  struct log *log = memory_log_open(w->cluster, w->processor->name, w->processor->input,
                                    w->processor->changelog, 0);
  real = log->class;
  class = *real;
  class.committed = committed;
  class.bounds = bounds;
  class.changelog_next = changelog_next;
  log->class = &class;
  return log;
}

/* ---- one filter that can be stopped and started ---- */

static void start(struct place *w) {
  struct failure failure = {0};
  struct runtime_config config = {.processor = w->processor,
                                  .log = open_log(w),
                                  .store = w->store,
                                  .tombstone_retention_ms = DAY_MS};
  w->runtime = runtime_new(&config, &failure);
  if (!w->runtime) fail_msg("%s", failure.text);
}

static void stop(struct place *w) {
  runtime_free(w->runtime);
  w->runtime = NULL;
}

static void lose_store(struct place *w) {
  char error[256];
  int code;
  store_close(w->store);
  w->store =
      store_open(NULL, "test", (struct store_memory){.cache = 1 << 20}, error, sizeof error, &code);
  if (!w->store) fail_msg("%s", error);
}

/* An item is listed: a record of the input, and rows. */
static void feed(struct place *w) {
  char id[16];
  snprintf(id, sizeof id, "i%d", w->items++);
  struct register_item item = {.item_id = str_of(id),
                               .title = str_of(id),
                               .kind = ITEM_KIND_BOOK,
                               .capacity = 1,
                               .max_per_reservation = 1,
                               .payment = PAYMENT_DUE_NONE,
                               .hold_seconds = 60};
  struct message record = {
      .timestamp = 1,
      .key = str_of(id),
      .value = codec_encode(w->codec, (struct record){RECORD_REGISTER_ITEM, &item}, &w->arena)};
  memory_append(w->cluster, w->processor->input, 0, &record);
}

/* The status at which it comes to rest. */
static enum runtime_status run(struct place *w) {
  enum runtime_status status = RUNTIME_BUSY;
  for (int turns = 0; status == RUNTIME_BUSY && turns < 1000; turns++)
    status = runtime_step(w->runtime, 0);
  return status;
}

static void begin(struct place *w) {
  *w = (struct place){.cluster = memory_cluster_new(),
                      .codec = codec_new(&holdfast_schemas),
                      .processor = find_processor("stock-check")};
  hindrance = NULL;
  changelog_waits = false;
  report_as("test", LEVEL_ERROR);
  memory_cluster_set_time(w->cluster, 1000);
  pipe_prepare(w->cluster, w->processor, 1);
  lose_store(w);
  start(w);
  for (int i = 0; i < 10; i++) feed(w);
  assert_int_equal(run(w), RUNTIME_IDLE);
}

static void end(struct place *w) {
  runtime_free(w->runtime);
  store_close(w->store);
  codec_free(w->codec);
  arena_free(&w->arena);
  memory_cluster_free(w->cluster);
}

static void ends_with(struct place *w, int exit_code, const char *reason, const char *way_out) {
  assert_int_equal(run(w), RUNTIME_FAILED);
  const struct failure *failure = runtime_failure(w->runtime);
  if (failure->exit_code != exit_code || !strstr(failure->text, reason) ||
      !strstr(failure->text, way_out))
    fail_msg("%d: %s", failure->exit_code, failure->text);
}

static bool knows(struct place *w, const char *item) {
  struct str row = store_get(w->store, 0, str_of(item), &w->arena);
  return row.data != NULL;
}

/* As a reset leaves it: a new epoch, and what of the topics is taken for whole. */
static void commit(struct place *w, int64_t offset, int64_t last, int64_t first) {
  char text[160];
  commit_metadata_format(
      &(struct commit_metadata){
          .epoch = 2, .intent_id = "-", .last_changelog = last, .first_changelog = first},
      text);
  memory_commit_offset(w->cluster, w->processor->name, w->processor->input, 0, offset, text);
}

/* ---- the changelog ---- */

static void a_changelog_made_again_ends_the_running_filter_at_its_next_commit(void **unused) {
  (void)unused;
  struct place w;
  begin(&w);
  int64_t before = memory_committed(w.cluster, "stock-check", INPUT, 0);
  memory_topic_recreate(w.cluster, CHANGELOG, false);
  feed(&w);
  ends_with(&w, EX_CONFIG, "deleted and made again", "holdfast reset stock-check");
  assert_int_equal(memory_committed(w.cluster, "stock-check", INPUT, 0), before);
  assert_null(memory_read(w.cluster, CHANGELOG, 0, 0)); /* what it wrote was aborted */
  end(&w);
}

static void a_changelog_made_again_is_seen_though_a_batch_reaches_past_its_former_end(
    void **unused) {
  (void)unused;
  struct place w;
  begin(&w);
  int64_t former = memory_end(w.cluster, CHANGELOG, 0);
  memory_topic_recreate(w.cluster, CHANGELOG, false);
  while (w.items < 100) feed(&w);
  ends_with(&w, EX_CONFIG, "deleted and made again", "holdfast reset stock-check");
  assert_true(memory_end(w.cluster, CHANGELOG, 0) > former);
  assert_null(memory_read(w.cluster, CHANGELOG, 0, 0));
  end(&w);
}

static void a_changelog_made_again_is_refused_although_the_store_is_whole(void **unused) {
  (void)unused;
  struct place w;
  begin(&w);
  stop(&w);
  memory_topic_recreate(w.cluster, CHANGELOG, false);
  start(&w);
  ends_with(&w, EX_CONFIG, "ends before the committed offset", "holdfast reset stock-check");
  end(&w);
}

static void a_changelog_made_again_is_not_taken_for_a_rebuild(void **unused) {
  (void)unused;
  struct place w;
  begin(&w);
  stop(&w);
  lose_store(&w);
  memory_topic_recreate(w.cluster, CHANGELOG, false);
  start(&w);
  ends_with(&w, EX_CONFIG, "ends before the committed offset", "--accept-loss");
  end(&w);
}

static void a_changelog_that_lost_its_beginning_is_refused_until_that_is_accepted(void **unused) {
  (void)unused;
  struct place w;
  begin(&w);
  stop(&w);
  memory_topic_trim(w.cluster, CHANGELOG, 0, 2);
  start(&w);
  ends_with(&w, EX_CONFIG, "deleted from its beginning", "holdfast reset stock-check");
  stop(&w);
  commit(&w, 10, memory_end(w.cluster, CHANGELOG, 0) - 1, 2);
  start(&w);
  assert_int_equal(run(&w), RUNTIME_IDLE);
  feed(&w);
  assert_int_equal(run(&w), RUNTIME_IDLE);
  stop(&w); /* what was accepted stays so in the commits that follow */
  start(&w);
  assert_int_equal(run(&w), RUNTIME_IDLE);
  assert_true(knows(&w, "ii10"));
  end(&w);
}

static void after_a_loss_is_accepted_the_filter_goes_on(void **unused) {
  (void)unused;
  struct place w;
  begin(&w);
  stop(&w);
  memory_topic_recreate(w.cluster, CHANGELOG, false);
  commit(&w, 10, -1, 0);
  start(&w);
  assert_int_equal(run(&w), RUNTIME_IDLE);
  assert_false(knows(&w, "ii1")); /* the rows are those of the changelog: none */
  feed(&w);
  assert_int_equal(run(&w), RUNTIME_IDLE);
  assert_true(knows(&w, "ii10"));
  end(&w);
}

/* ---- the input ---- */

static void an_input_made_again_ends_the_running_filter(void **unused) {
  (void)unused;
  struct place w;
  begin(&w);
  memory_topic_recreate(w.cluster, INPUT, true);
  feed(&w);
  ends_with(&w, EX_CONFIG, "deleted and made again", "holdfast reset --accept-loss stock-check");
  end(&w);
}

static void an_input_made_again_is_refused_where_the_offsets_are_kept(void **unused) {
  (void)unused;
  struct place w;
  begin(&w);
  stop(&w);
  memory_topic_recreate(w.cluster, INPUT, true);
  start(&w);
  ends_with(&w, EX_CONFIG, "deleted and made again", "holdfast reset --accept-loss stock-check");
  end(&w);
}

static void an_input_made_again_is_refused_where_the_offsets_went_with_it(void **unused) {
  (void)unused;
  struct place w;
  begin(&w);
  stop(&w);
  memory_topic_recreate(w.cluster, INPUT, false);
  start(&w);
  ends_with(&w, EX_CONFIG, "no committed offset", "holdfast topics apply");
  end(&w);
}

static void records_that_were_deleted_unread_are_refused(void **unused) {
  (void)unused;
  struct place w;
  begin(&w);
  stop(&w);
  for (int i = 0; i < 5; i++) feed(&w);
  memory_topic_trim(w.cluster, INPUT, 0, 12);
  start(&w);
  ends_with(&w, EX_CONFIG, "deleted unread", "holdfast reset --accept-loss stock-check");
  end(&w);
}

static void records_that_were_read_may_be_deleted(void **unused) {
  (void)unused;
  struct place w;
  begin(&w);
  stop(&w);
  feed(&w);
  memory_topic_trim(w.cluster, INPUT, 0, 10);
  start(&w);
  assert_int_equal(run(&w), RUNTIME_IDLE);
  assert_true(knows(&w, "ii10"));
  end(&w);
}

/* ---- questions that are not answered ---- */

static void what_hinders_recovery_is_said_by_readiness(void **unused) {
  (void)unused;
  struct place w;
  char text[256];
  begin(&w);
  stop(&w);
  start(&w);
  hindrance = "no coordinator";
  for (int i = 0; i < 10; i++) assert_int_not_equal(runtime_step(w.runtime, 0), RUNTIME_FAILED);
  runtime_waits_for(w.runtime, text, sizeof text);
  assert_string_equal(text, "waiting for the committed offset of partition 0 (no coordinator)");
  hindrance = NULL;
  assert_int_equal(run(&w), RUNTIME_IDLE);
  runtime_waits_for(w.runtime, text, sizeof text);
  assert_string_equal(text, "");
  end(&w);
}

static void a_restore_that_takes_too_long_begins_again_although_the_log_does_not_answer_at_once(
    void **unused) {
  (void)unused;
  struct place w;
  begin(&w);
  stop(&w);
  lose_store(&w);
  changelog_waits = true;
  start(&w);
  for (int i = 0; i < 3; i++) assert_int_not_equal(runtime_step(w.runtime, 0), RUNTIME_FAILED);
  memory_cluster_set_time(w.cluster, 1000 + 2 * DAY_MS);
  hindrance = "no leader";
  for (int i = 0; i < 10; i++) assert_int_not_equal(runtime_step(w.runtime, 0), RUNTIME_FAILED);
  hindrance = NULL;
  changelog_waits = false;
  assert_int_equal(run(&w), RUNTIME_IDLE);
  assert_true(knows(&w, "ii1"));
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_changelog_made_again_ends_the_running_filter_at_its_next_commit),
      cmocka_unit_test(a_changelog_made_again_is_seen_though_a_batch_reaches_past_its_former_end),
      cmocka_unit_test(a_changelog_made_again_is_refused_although_the_store_is_whole),
      cmocka_unit_test(a_changelog_made_again_is_not_taken_for_a_rebuild),
      cmocka_unit_test(a_changelog_that_lost_its_beginning_is_refused_until_that_is_accepted),
      cmocka_unit_test(after_a_loss_is_accepted_the_filter_goes_on),
      cmocka_unit_test(an_input_made_again_ends_the_running_filter),
      cmocka_unit_test(an_input_made_again_is_refused_where_the_offsets_are_kept),
      cmocka_unit_test(an_input_made_again_is_refused_where_the_offsets_went_with_it),
      cmocka_unit_test(records_that_were_deleted_unread_are_refused),
      cmocka_unit_test(records_that_were_read_may_be_deleted),
      cmocka_unit_test(what_hinders_recovery_is_said_by_readiness),
      cmocka_unit_test(
          a_restore_that_takes_too_long_begins_again_although_the_log_does_not_answer_at_once),
  };
  return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
