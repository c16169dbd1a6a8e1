#include "runtime/kafka/release.h"

#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "runtime/base/clock.h"
#include "runtime/kafka/client.h"
#include "runtime/kafka/members.h"

#define STEP_LIMIT_S 10
#define POLL_MS 50
#define ASK_TIMEOUT_MS 5000

struct release {
  const struct options *options;
  const struct processor *processor;
  char group[TOPIC_NAME_MAX], slot_id[TOPIC_NAME_MAX + 16];
  rd_kafka_t *producer, *member;
  bool assigned;
  struct failure *failure;
};

static bool failed(struct release *r, const char *what, rd_kafka_resp_err_t error) {
  return failure_set(r->failure, kafka_is_forbidden(error) ? EX_CONFIG : EX_UNAVAILABLE,
                     "%s '%s': %s", what, r->slot_id, rd_kafka_err2str(error));
}

/* A killed process can leave a transaction open, which holds back its partitions. One that lives is
 * fenced. */
static bool end_transaction(struct release *r) {
  const struct kafka_setting forced[] = {{"transactional.id", r->slot_id}, {NULL, NULL}};
  rd_kafka_conf_t *conf = kafka_conf(r->options, "holdfast", forced, r->failure);
  if (!conf || !(r->producer = kafka_open(RD_KAFKA_PRODUCER, conf, r->failure))) return false;
  rd_kafka_error_t *error = rd_kafka_init_transactions(r->producer, STEP_LIMIT_S * 1000);
  if (!error) return true;
  failed(r, "ending the transaction of", rd_kafka_error_code(error));
  rd_kafka_error_destroy(error);
  return false;
}

static void on_rebalance(rd_kafka_t *member, rd_kafka_resp_err_t error,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque) {
  struct release *r = opaque;
  r->assigned = error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
  /* Only to be given up: nothing is read. */
  for (int i = 0; i < partitions->cnt; i++) partitions->elems[i].offset = RD_KAFKA_OFFSET_END;
  rd_kafka_assign(member, r->assigned ? partitions : NULL);
  if (r->assigned) rd_kafka_pause_partitions(member, partitions);
}

static bool open_member(struct release *r) {
  const struct kafka_setting forced[] = {{"group.id", r->group},
                                         {"group.instance.id", r->slot_id},
                                         {"partition.assignment.strategy", "range"},
                                         {"enable.auto.commit", "false"},
                                         {NULL, NULL}};
  rd_kafka_conf_t *conf = kafka_conf(r->options, "holdfast", forced, r->failure);
  if (!conf) return false;
  rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
  rd_kafka_conf_set_opaque(conf, r);
  if (!(r->member = kafka_open(RD_KAFKA_CONSUMER, conf, r->failure))) return false;
  rd_kafka_poll_set_consumer(r->member);
  return true;
}

static void poll_once(struct release *r) {
  rd_kafka_message_t *message = rd_kafka_consumer_poll(r->member, POLL_MS);
  if (message) rd_kafka_message_destroy(message);
}

/* In the place of the slot's process, which the group takes for that process come back. */
static bool join(struct release *r) {
  char input[TOPIC_NAME_MAX];
  rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(
      topics, kafka_topic_name(r->options, r->processor->input, input), RD_KAFKA_PARTITION_UA);
  rd_kafka_resp_err_t error = rd_kafka_subscribe(r->member, topics);
  rd_kafka_topic_partition_list_destroy(topics);
  int64_t until = clock_monotonic_s() + STEP_LIMIT_S;
  while (!error && !r->assigned && clock_monotonic_s() < until) poll_once(r);
  if (!error && !r->assigned) error = RD_KAFKA_RESP_ERR__TIMED_OUT;
  return !error || failed(r, "joining as", error);
}

/* librdkafka keeps a static member's place when it closes, and gives it up when it unsubscribes. */
static bool leave(struct release *r) {
  rd_kafka_resp_err_t error = rd_kafka_unsubscribe(r->member);
  int64_t until = clock_monotonic_s() + STEP_LIMIT_S;
  struct kafka_members members = {.has_slot = true};
  while (!error && members.has_slot && clock_monotonic_s() < until) {
    poll_once(r);
    if (!r->assigned)
      kafka_ask_members(r->producer, r->group, r->slot_id, ASK_TIMEOUT_MS, &members);
  }
  if (!error && members.has_slot) error = RD_KAFKA_RESP_ERR__TIMED_OUT;
  return !error || failed(r, "leaving as", error);
}

static enum kafka_release release(struct release *r) {
  struct kafka_members members;
  if (!end_transaction(r)) return KAFKA_RELEASE_FAILED;
  rd_kafka_resp_err_t error =
      kafka_ask_members(r->producer, r->group, r->slot_id, ASK_TIMEOUT_MS, &members);
  if (error) {
    failed(r, "asking for the group of", error);
    return KAFKA_RELEASE_FAILED;
  }
  if (!members.has_slot) return KAFKA_RELEASED_BEFORE;
  return open_member(r) && join(r) && leave(r) ? KAFKA_RELEASED : KAFKA_RELEASE_FAILED;
}

enum kafka_release kafka_release_slot(const struct options *options,
                                      const struct processor *processor, int slot,
                                      struct failure *failure) {
  struct release r = {.options = options, .processor = processor, .failure = failure};
  kafka_topic_name(options, processor->name, r.group);
  snprintf(r.slot_id, sizeof r.slot_id, "%s-%d", r.group, slot);
  enum kafka_release result = release(&r);
  if (r.member) {
    rd_kafka_consumer_close(r.member);
    rd_kafka_destroy(r.member);
  }
  if (r.producer) rd_kafka_destroy(r.producer);
  return result;
}
