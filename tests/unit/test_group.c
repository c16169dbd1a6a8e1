/* The group consumer of the log on Kafka, as far as no real broker is needed: what a rebalance
 * forgets, and what errors of its questions mean. The broker is librdkafka's own mock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "runtime/kafka/internal.h"
#include "runtime/base/report.h"

#define PARTITIONS 2
#define OFFSET_FETCH 9 /* the protocol's number of the question */

static const struct log_class class = {0};

static struct log_kafka *open_group(void) {
  char error[256];
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  struct log_kafka *self = xcalloc(1, sizeof *self);
  self->log.class = &class;
  rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", NULL, 0);
  rd_kafka_conf_set(conf, "group.id", "pays", NULL, 0);
  rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
  self->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
  if (!self->consumer) fail_msg("%s", error);
  rd_kafka_poll_set_consumer(self->consumer);
  snprintf(self->input, sizeof self->input, "pays");
  self->client = "pay";
  self->input_partitions = PARTITIONS;
  self->next = xcalloc(PARTITIONS, sizeof *self->next);
  self->gap = KAFKA_NO_GAP;
  report_as("test", LEVEL_ERROR);
  rd_kafka_mock_topic_create(rd_kafka_handle_mock_cluster(self->consumer), "pays", PARTITIONS, 1);
  return self;
}

static void close_group(struct log_kafka *self) {
  if (self->membership) rd_kafka_consumer_group_metadata_destroy(self->membership);
  rd_kafka_consumer_close(self->consumer);
  rd_kafka_destroy(self->consumer);
  free(self->assignment);
  free(self->next);
  free(self);
}

static void rebalance(struct log_kafka *self, rd_kafka_resp_err_t error) {
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
  for (int32_t p = 0; p < PARTITIONS; p++) rd_kafka_topic_partition_list_add(list, "pays", p);
  kafka_on_rebalance(self->consumer, error, list, self);
  rd_kafka_topic_partition_list_destroy(list);
}

/* Where it stood before would be taken for where it goes on, and what others have read and deleted
 * meanwhile for deleted unread. */
static void a_new_assignment_says_nothing_of_where_a_former_one_stood(void **unused) {
  (void)unused;
  struct log_kafka *self = open_group();
  rebalance(self, RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
  for (int32_t p = 0; p < PARTITIONS; p++) self->next[p] = 7;
  rebalance(self, RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS);
  rebalance(self, RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
  for (int32_t p = 0; p < PARTITIONS; p++) assert_int_equal(self->next[p], -1);
  close_group(self);
}

static enum log_status ask_at(struct log_kafka *self, rd_kafka_resp_err_t error) {
  struct log_offset out;
  rd_kafka_mock_cluster_t *cluster = rd_kafka_handle_mock_cluster(self->consumer);
  /* The first question may find no coordinator yet, and has no answer then. */
  for (int tries = 0; tries < 100; tries++) {
    if (kafka_committed(&self->log, 0, &out) == LOG_AGAIN && !self->log.hindrance[0]) break;
  }
  rd_kafka_mock_push_request_errors(cluster, OFFSET_FETCH, 1, error);
  return kafka_committed(&self->log, 0, &out);
}

static void a_committed_offset_that_nobody_may_ask_for_ends_the_filter(void **unused) {
  (void)unused;
  struct options options = {0};
  struct log_kafka *self = open_group();
  options_add(&options, kafka_options);
  self->options = &options;
  self->client = "payer";
  assert_int_equal(ask_at(self, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED), LOG_FATAL);
  assert_int_equal(self->log.failure.exit_code, EX_CONFIG);
  assert_non_null(strstr(self->log.failure.text, "Read on group 'payer' is not allowed"));
  close_group(self);
}

static void what_hinders_the_question_for_a_committed_offset_is_said_and_it_is_asked_again(
    void **unused) {
  (void)unused;
  struct log_kafka *self = open_group();
  assert_int_equal(ask_at(self, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID), LOG_AGAIN);
  assert_non_null(strstr(self->log.hindrance, "asking for the committed offset of 'pays'"));
  close_group(self);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_new_assignment_says_nothing_of_where_a_former_one_stood),
      cmocka_unit_test(a_committed_offset_that_nobody_may_ask_for_ends_the_filter),
      cmocka_unit_test(
          what_hinders_the_question_for_a_committed_offset_is_said_and_it_is_asked_again),
  };
  return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}
