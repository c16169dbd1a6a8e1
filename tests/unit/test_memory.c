/* The log in memory: transactions, offsets and fencing as Kafka has them. */
#include "../lib/harness.h"

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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(uncommitted_records_hold_back_readers_and_aborted_ones_are_not_read),
      cmocka_unit_test(the_end_of_a_transaction_takes_an_offset_in_each_of_its_partitions),
      cmocka_unit_test(an_offset_in_a_pending_transaction_is_not_stable),
      cmocka_unit_test(a_transaction_that_timed_out_fences_its_producer),
      cmocka_unit_test(an_old_generation_cannot_commit_offsets),
  };
  return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
