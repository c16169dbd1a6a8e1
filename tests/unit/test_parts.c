/* The store, the log in memory, options and keys. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "../lib/harness.h"
#include "runtime/base/murmur2.h"
#include "runtime/core/staging.h"

/* ---- store ---- */

static char error[512];
static int code;

static struct store *open_memory(void) {
  struct store *store =
      store_open(NULL, "test", (struct store_memory){.cache = 1 << 20}, error, sizeof error, &code);
  assert_non_null(store);
  return store;
}

static void an_intent_comes_back_as_it_was_written(void **unused) {
  (void)unused;
  struct store *store = open_memory();
  struct arena arena = {0};
  const struct change changes[] = {
      {STR("k1"), STR("v1"), 0}, {STR("k2"), {0}, 0}, {STR("k3"), STR(""), 77}};
  struct intent in = {.id = "p-1",
                      .epoch = 2,
                      .next_input = 9,
                      .last_changelog = -1,
                      .changes = changes,
                      .change_count = 3},
                out;
  store_put_intent(store, 5, &in);
  store_write(store);
  assert_false(store_intent(store, 4, &arena, &out));
  assert_true(store_intent(store, 5, &arena, &out));
  assert_string_equal(out.id, "p-1");
  assert_int_equal(out.change_count, 3);
  assert_null(out.changes[1].value.data);
  assert_non_null(out.changes[2].value.data);
  assert_int_equal(out.changes[2].due_at, 77);
  assert_null(store_get(store, 5, STR("k1"), &arena).data); /* an intent is not a row */
  store_put_changes(store, 5, out.changes, out.change_count);
  store_put_meta(store, 5, &(struct store_meta){.epoch = 2, .next_input = 9});
  store_write(store);
  assert_false(store_intent(store, 5, &arena, &out));
  assert_true(str_equal(store_get(store, 5, STR("k1"), &arena), STR("v1")));
  arena_free(&arena);
  store_close(store);
}

static bool count_rows(void *user, struct str key, struct str value) {
  (void)value;
  snprintf((char *)user + strlen(user), 100, "%.*s,", STR_ARGS(key));
  return true;
}

static void rows_are_scanned_by_partition_and_prefix_in_order(void **unused) {
  (void)unused;
  struct store *store = open_memory();
  const struct change rows[] = {{STR("b2"), STR("x"), 0},
                                {STR("a1"), STR("x"), 0},
                                {STR("b1"), STR("x"), 0},
                                {STR("b10"), STR("x"), 0},
                                {STR("c"), STR("x"), 0}};
  store_put_changes(store, 1, rows, 5);
  store_put_changes(store, 2, rows, 1);
  store_write(store);
  char seen[200] = "";
  store_scan(store, 1, STR("b"), (struct str){0}, count_rows, seen);
  assert_string_equal(seen, "b1,b10,b2,");
  seen[0] = '\0';
  store_scan(store, 1, STR("b"), STR("b1"), count_rows, seen);
  assert_string_equal(seen, "b10,b2,");
  store_put_changes(store, 1, rows, 1);
  store_wipe(store, 1); /* and what was collected before it */
  store_write(store);
  seen[0] = '\0';
  store_scan(store, 1, STR(""), (struct str){0}, count_rows, seen);
  assert_string_equal(seen, "");
  store_scan(store, 2, STR(""), (struct str){0}, count_rows, seen);
  assert_string_equal(seen, "b2,");
  store_close(store);
}

static void what_is_written_behind_is_there_for_whoever_reads_after_it(void **unused) {
  (void)unused;
  char text[16];
  struct store *store = open_memory();
  struct arena arena = {0};
  for (int i = 0; i < 500; i++) {
    int size = snprintf(text, sizeof text, "%d", i);
    const struct change change = {STR("k"), {text, (size_t)size}, 1000 - i};
    store_put_changes(store, i % 3, &change, 1);
    store_put_meta(store, i % 3, &(struct store_meta){.next_input = i});
    store_write_behind(store);
    struct store_meta meta;
    switch (i % 4) { /* each reader waits by itself */
      case 0:
        assert_true(
            str_equal(store_get(store, i % 3, STR("k"), &arena), (struct str){text, (size_t)size}));
        break;
      case 1:
        assert_true(store_meta(store, i % 3, &meta));
        assert_int_equal(meta.next_input, i);
        break;
      case 2: assert_int_equal(store_due(store, i % 3, 0, 0, NULL, NULL), 1000 - i); break;
      default: break; /* and so does the next write, which comes after it */
    }
  }
  store_close(store);
  arena_free(&arena);
}

static void a_directory_belongs_to_one_owner_and_one_process(void **unused) {
  (void)unused;
  char directory[] = "/tmp/holdfast-test-XXXXXX", path[64];
  assert_non_null(mkdtemp(directory));
  snprintf(path, sizeof path, "%s/a/b", directory);
  struct store *store =
      store_open(path, "stock-check of cluster one", (struct store_memory){.cache = 1 << 20}, error,
                 sizeof error, &code);
  assert_non_null(store);
  assert_null(store_open(path, "stock-check of cluster one",
                         (struct store_memory){.cache = 1 << 20}, error, sizeof error, &code));
  assert_non_null(strstr(error, "in use by another process"));
  assert_int_equal(code, EX_TEMPFAIL);
  store_close(store);
  assert_null(store_open(path, "payment of cluster one", (struct store_memory){.cache = 1 << 20},
                         error, sizeof error, &code));
  assert_non_null(strstr(error, "belongs to 'stock-check of cluster one'"));
  assert_int_equal(code, EX_CONFIG);
  assert_null(store_open(path, "stock-check of cluster two",
                         (struct store_memory){.cache = 1 << 20}, error, sizeof error, &code));
  assert_non_null(strstr(error, "and this is 'stock-check of cluster two'"));
  assert_null(store_open("/proc/nowhere/store", "x", (struct store_memory){.cache = 1 << 20}, error,
                         sizeof error, &code));
  assert_non_null(strstr(error, "cannot make the state directory"));
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", directory);
  assert_int_equal(system(command), 0);
}

/* ---- staging ---- */

static void staging_keeps_the_last_value_in_the_order_of_first_change(void **unused) {
  (void)unused;
  struct staging staging = {0};
  static char keys[5000][8];
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 5000; i++) {
      snprintf(keys[i], sizeof keys[i], "k%d", i);
      struct change change = {.key = str_of(keys[i]), .value = round ? STR("new") : STR("old")};
      staging_put(&staging, -1, i % 3, &change, 0);
    }
  }
  assert_int_equal(staging.count, 5000);
  assert_true(str_equal(staging.entries[4999].change.key, STR("k4999")));
  assert_true(str_equal(staging_find(&staging, -1, 1, STR("k4"))->change.value, STR("new")));
  assert_null(staging_find(&staging, -1, 0, STR("k4")));
  assert_null(staging_find(&staging, 0, 1, STR("k4")));
  staging_clear(&staging);
  assert_null(staging_find(&staging, -1, 1, STR("k4")));
  staging_free(&staging);
}

/* ---- the log in memory ---- */

static void append(struct memory_cluster *cluster, const char *value) {
  memory_append(cluster, "in", 0, &(struct message){.key = STR("k"), .value = str_of(value)});
}

static struct log *member(struct memory_cluster *cluster, int slot) {
  struct log *log = memory_log_open(cluster, "g", "in", NULL, slot);
  assert_int_equal(log_init(log), LOG_OK);
  assert_int_equal(log_join(log), LOG_OK);
  return log;
}

static enum log_event_kind poll(struct log *log, struct log_event *event) {
  log_poll(log, 0, event);
  return event->kind;
}

static void uncommitted_records_hold_back_readers_and_aborted_ones_are_not_read(void **unused) {
  (void)unused;
  struct memory_cluster *cluster = memory_cluster_new();
  memory_topic_create(cluster, "in", 1);
  struct log *log = member(cluster, 0);
  int topic = log_topic(log, "in");
  struct log_output output = {
      .topic = topic, .partition = 0, .key = STR("k"), .value = STR("aborted")};
  log_begin(log);
  log_produce(log, &output);
  append(cluster, "after");
  assert_null(memory_read(cluster, "in", 0, 0));
  log_abort(log);
  assert_true(str_equal(memory_read(cluster, "in", 0, 0)->value, STR("after")));
  log_close(log);
  memory_cluster_free(cluster);
}

/* What a reader sees of a partition: the record at its position, the first if there is none. */
static int64_t offset_after(struct memory_cluster *cluster, int64_t from) {
  const struct message *record = memory_read(cluster, "in", 0, from);
  return record ? record->offset : -1;
}

static void the_end_of_a_transaction_takes_an_offset_in_each_of_its_partitions(void **unused) {
  (void)unused;
  struct memory_cluster *cluster = memory_cluster_new();
  memory_topic_create(cluster, "in", 2);
  struct log *log = member(cluster, 0);
  struct log_output output = {
      .topic = log_topic(log, "in"), .partition = 0, .key = STR("k"), .value = STR("v")};
  for (int end = 0; end < 2; end++) { /* a commit, then an abort */
    log_begin(log);
    log_produce(log, &output);
    assert_int_equal(end == 0 ? log_commit(log) : log_abort(log), LOG_OK);
  }
  append(cluster, "after");
  assert_int_equal(offset_after(cluster, 0), 0);
  assert_int_equal(offset_after(cluster, 1), 4); /* past a marker, an aborted record, a marker */
  assert_int_equal(memory_end(cluster, "in", 0), 5);
  assert_int_equal(memory_end(cluster, "in", 1), 0); /* it had no part in them */
  log_close(log);
  memory_cluster_free(cluster);
}

static void an_offset_in_a_pending_transaction_is_not_stable(void **unused) {
  (void)unused;
  struct memory_cluster *cluster = memory_cluster_new();
  struct log_event event;
  struct log_offset offset;
  memory_topic_create(cluster, "in", 1);
  memory_commit_offset(cluster, "g", "in", 0, 0, "first");
  struct log *log = member(cluster, 0);
  assert_int_equal(poll(log, &event), LOG_ASSIGNED);
  log_begin(log);
  log_send_offsets(log, &(struct log_position){0, 5, "second"}, 1);
  assert_int_equal(log_committed(log, 0, &offset), LOG_AGAIN);
  struct log *heir = member(cluster, 0); /* init ends what was open */
  assert_int_equal(log_committed(heir, 0, &offset), LOG_OK);
  assert_string_equal(offset.metadata, "first");
  assert_int_equal(log_commit(log), LOG_FATAL); /* fenced */
  log_close(log);
  log_close(heir);
  memory_cluster_free(cluster);
}

static void a_transaction_that_timed_out_fences_its_producer(void **unused) {
  (void)unused;
  struct memory_cluster *cluster = memory_cluster_new();
  memory_topic_create(cluster, "in", 1);
  struct log *log = member(cluster, 0);
  struct log_output output = {
      .topic = log_topic(log, "in"), .partition = 0, .key = STR("k"), .value = STR("late")};
  assert_int_equal(log_begin(log), LOG_OK);
  assert_int_equal(log_produce(log, &output), LOG_OK);
  memory_expire_transaction(cluster, "g", 0);
  assert_int_equal(log_commit(log), LOG_FATAL);
  assert_null(memory_read(cluster, "in", 0, 0));
  log_close(log);
  memory_cluster_free(cluster);
}

static void an_old_generation_cannot_commit_offsets(void **unused) {
  (void)unused;
  struct memory_cluster *cluster = memory_cluster_new();
  struct log_event event;
  memory_topic_create(cluster, "in", 2);
  struct log *one = member(cluster, 0);
  assert_int_equal(poll(one, &event), LOG_ASSIGNED);
  assert_int_equal(event.partition_count, 2);
  log_begin(one);
  struct log *two = member(cluster, 1);
  assert_int_equal(log_send_offsets(one, &(struct log_position){0, 1, "x"}, 1), LOG_ABORT);
  assert_int_equal(log_abort(one), LOG_OK);
  assert_int_equal(poll(one, &event), LOG_REVOKED);
  assert_int_equal(poll(one, &event), LOG_ASSIGNED);
  assert_int_equal(event.partition_count, 1);
  assert_int_equal(poll(two, &event), LOG_ASSIGNED);
  assert_int_equal(event.partitions[0], 1);
  log_close(one);
  log_close(two);
  memory_cluster_free(cluster);
}

/* ---- options and keys ---- */

static void flags_win_over_the_environment_over_the_file_over_defaults(void **unused) {
  (void)unused;
  static const struct option_desc table[] = {
      {.name = "one", .letter = '1', .value = "default"},
      {.name = "two", .value = "default"},
      {.name = "three", .value = "default"},
      {.name = "four", .value = "default"},
      {.name = "size", .kind = OPTION_NUMBER, .value = "5", .min = 1, .max = 9},
      {0}};
  char path[] = "/tmp/holdfast-test-XXXXXX";
  int file = mkstemp(path);
  const char text[] =
      "one = file\ntwo=file\n# a comment\nthree = file\nsession.timeout.ms = 6000\nlinger.ms = 9\n";
  assert_int_equal(write(file, text, sizeof text - 1), sizeof text - 1);
  setenv("HOLDFAST_TWO", "environment", 1);
  setenv("HOLDFAST_ONE", "environment", 1);
  char *argv[] = {"test",     "-F",   path, "--one=flag", "-X", "linger.ms=1",
                  "-Xsize=7", "word", "--", "-x",         NULL};
  struct options options = {0};
  options_add(&options, kafka_options);
  options_add(&options, table);
  if (!options_parse(&options, 10, argv)) fail_msg("%s", options.error);
  assert_string_equal(options_text(&options, "one"), "flag");
  assert_string_equal(options_text(&options, "two"), "environment");
  assert_string_equal(options_text(&options, "three"), "file");
  assert_string_equal(options_text(&options, "four"), "default");
  assert_int_equal(options_number(&options, "size"), 7);
  assert_int_equal(options.argument_count, 2);
  assert_int_equal(options.kafka_count, 2);
  assert_string_equal(options.kafka[0].value, "1");
  options_free(&options);
  unsetenv("HOLDFAST_TWO");
  unsetenv("HOLDFAST_ONE");
  unlink(path);
}

static void a_wrong_flag_says_what_is_wrong(void **unused) {
  (void)unused;
  static const struct option_desc table[] = {
      {.name = "size", .kind = OPTION_NUMBER, .metavar = "N", .min = 1, .max = 9}, {0}};
  static const char *const wrong[][3] = {
      {"--nothing", NULL, "unknown option '--nothing'"},
      {"--size", NULL, "'--size' needs a value: N"},
      {"--size", "0", "from 1 to 9, not '0'"},
      {"--size", "x", "from 1 to 9, not 'x'"},
      {"-X", "novalue", "-X needs name=value"},
      {"-F", "/nowhere", "cannot read the properties file '/nowhere'"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct options options = {0};
    char *argv[] = {"test", (char *)(uintptr_t)wrong[i][0], (char *)(uintptr_t)wrong[i][1], NULL};
    options_add(&options, kafka_options);
    options_add(&options, table);
    assert_false(options_parse(&options, wrong[i][1] ? 3 : 2, argv));
    if (!strstr(options.error, wrong[i][2])) fail_msg("%s: '%s'", wrong[i][0], options.error);
    options_free(&options);
  }
}

static void keys_go_to_the_partition_that_jvm_clients_choose(void **unused) {
  (void)
      unused; /* the hashes are those of Apache Kafka's own UtilsTest.testMurmur2, taken positive */
  assert_int_equal(murmur2_partition(STR("21"), INT32_MAX), (-973932308 & 0x7fffffff) % INT32_MAX);
  assert_int_equal(murmur2_partition(STR("foobar"), INT32_MAX),
                   (-790332482 & 0x7fffffff) % INT32_MAX);
  assert_int_equal(murmur2_partition(STR("a-little-bit-long-string"), INT32_MAX),
                   (-985981536 & 0x7fffffff) % INT32_MAX);
  assert_int_equal(murmur2_partition(STR("abc"), INT32_MAX), 479470107 % INT32_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_intent_comes_back_as_it_was_written),
      cmocka_unit_test(rows_are_scanned_by_partition_and_prefix_in_order),
      cmocka_unit_test(what_is_written_behind_is_there_for_whoever_reads_after_it),
      cmocka_unit_test(a_directory_belongs_to_one_owner_and_one_process),
      cmocka_unit_test(staging_keeps_the_last_value_in_the_order_of_first_change),
      cmocka_unit_test(uncommitted_records_hold_back_readers_and_aborted_ones_are_not_read),
      cmocka_unit_test(the_end_of_a_transaction_takes_an_offset_in_each_of_its_partitions),
      cmocka_unit_test(an_offset_in_a_pending_transaction_is_not_stable),
      cmocka_unit_test(a_transaction_that_timed_out_fences_its_producer),
      cmocka_unit_test(an_old_generation_cannot_commit_offsets),
      cmocka_unit_test(flags_win_over_the_environment_over_the_file_over_defaults),
      cmocka_unit_test(a_wrong_flag_says_what_is_wrong),
      cmocka_unit_test(keys_go_to_the_partition_that_jvm_clients_choose),
  };
  return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
