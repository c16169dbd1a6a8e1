#include "runtime/kafka/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "runtime/base/clock.h"
#include "runtime/kafka/internal.h"
#include "runtime/base/report.h"
#include "runtime/base/text.h"

#define CHANGELOG_WAIT_MS 20

/* ---- changelogs ---- */

static enum log_status kafka_changelog_open(struct log *log, int32_t partition, int64_t from) {
  struct log_kafka *self = self_of(log);
  if (rd_kafka_consume_start(self->changelog_topic, partition, from) == 0) return LOG_OK;
  failure_set(&log->failure, EX_TEMPFAIL, "cannot read the changelog %s: %s", self->changelog,
              rd_kafka_err2str(rd_kafka_last_error()));
  return LOG_FATAL;
}

/* librdkafka asks for a batch that it can make no records of for ever, or reads on behind it, and
 * rows would be missing. If a second connection finds the batch whole, it was damaged on the way,
 * and is read anew. */
static enum log_status batch_unreadable(struct log_kafka *self, int32_t partition, int64_t position,
                                        const char *why) {
  struct kafka_gap gap = KAFKA_NO_GAP;
  struct failure *failure = &self->log.failure;
  if (!kafka_gap_find(self->options, self->changelog, partition, position, &gap)) {
    failure_set(failure, EX_TEMPFAIL,
                "'%s', partition %" PRId32 ", could not be read from offset %" PRId64
                " on (%s): it is read anew at the next start",
                self->changelog, partition, position, why);
    return LOG_FATAL;
  }
  failure_set(
      failure, EX_CONFIG,
      "'%s', partition %" PRId32 ", offsets %" PRId64 " to %" PRId64
      ", cannot be read, and rows are in them: %s. Delete the topic; 'holdfast topics apply "
      "--recreate %s' makes it again and says how its rows are made again",
      self->changelog, partition, gap.next, gap.last, gap.why,
      self->changelog + strlen(options_text(self->options, "prefix")));
  return LOG_FATAL;
}

static enum log_status kafka_changelog_next(struct log *log, int32_t partition,
                                            struct log_record *out, int64_t *position) {
  struct log_kafka *self = self_of(log);
  rd_kafka_message_t *message =
      rd_kafka_consume(self->changelog_topic, partition, CHANGELOG_WAIT_MS);
  log->hindrance[0] = '\0';
  if (!message) return LOG_AGAIN;
  if (!message->err) {
    kafka_take_message(message, out);
    *position = message->offset + 1;
    return LOG_OK;
  }
  enum log_status status = LOG_AGAIN;
  if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    *position = message->offset; /* past what was aborted or compacted away */
  } else if (kafka_is_out_of_range(message->err)) {
    failure_set(&log->failure, EX_TEMPFAIL,
                "'%s' has lost the records of partition %" PRId32
                " that were being read: the remaining ones are looked at anew at the next start",
                self->changelog, partition);
    status = LOG_FATAL;
  } else if (kafka_gap_reason(message->err)) {
    status = batch_unreadable(self, partition, *position, kafka_gap_reason(message->err));
  } else {
    status = kafka_question_failed(self, "reading", self->changelog, partition, message->err);
  }
  rd_kafka_message_destroy(message);
  return status;
}

static void kafka_changelog_close(struct log *log, int32_t partition) {
  rd_kafka_consume_stop(self_of(log)->changelog_topic, partition);
}

/* ---- what is there ---- */

bool kafka_is_out_of_range(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
         error == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;
}

bool kafka_is_unknown_topic(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
         error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

bool kafka_is_gone(struct log_kafka *self, const char *topic, const char *operation) {
  struct failure failure;
  if (kafka_partition_count(self->producer, topic, operation, &failure) >= 0 ||
      failure.exit_code != EX_CONFIG)
    return false;
  self->log.failure = failure;
  return true;
}

bool kafka_is_denied(struct log_kafka *self, rd_kafka_resp_err_t error, const char *operation,
                     const char *topic) {
  char group[TOPIC_NAME_MAX];
  struct failure *failure = &self->log.failure;
  switch ((int)error) { /* a few of more than a hundred */
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      access_denied(failure, operation, "topic", topic);
      return true;
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      access_denied(failure, "Read", "group", kafka_topic_name(self->options, self->client, group));
      return true;
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      access_denied(failure, "Write", "transactional id", self->slot_id);
      return true;
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
      access_denied(failure, "IdempotentWrite", "cluster", "kafka-cluster");
      return true;
    default: return false;
  }
}

enum log_status kafka_question_failed(struct log_kafka *self, const char *what, const char *topic,
                                      int32_t partition, rd_kafka_resp_err_t error) {
  if (kafka_is_denied(self, error, "Read", topic)) return LOG_FATAL;
  if (kafka_is_forbidden(error)) {
    failure_set(&self->log.failure, EX_CONFIG, "%s '%s': %s", what, topic, rd_kafka_err2str(error));
    return LOG_FATAL;
  }
  /* A broker that is just starting knows of no topic yet: it is asked more than once. */
  if (kafka_is_unknown_topic(error) && kafka_is_gone(self, topic, "Read")) return LOG_FATAL;
  snprintf(self->log.hindrance, sizeof self->log.hindrance, "%s '%s', partition %" PRId32 ": %s",
           what, topic, partition, rd_kafka_err2str(error));
  return LOG_AGAIN;
}

/* Asked with the producer's handle, whose isolation level is read_uncommitted: the end of the
 * consumers' is the last stable offset, which what was committed may be ahead of. */
enum log_status kafka_bounds(struct log *log, enum log_source source, int32_t partition,
                             int64_t *first, int64_t *end) {
  struct log_kafka *self = self_of(log);
  const char *topic = source == LOG_INPUT ? self->input : self->changelog;
  rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(self->producer, topic, partition,
                                                               first, end, CALL_TIMEOUT_MS);
  log->hindrance[0] = '\0';
  return error ? kafka_question_failed(self, "asking for the bounds of", topic, partition, error)
               : LOG_OK;
}

/* ---- the rest ---- */

static int kafka_topic(struct log *log, const char *name) {
  struct log_kafka *self = self_of(log);
  char full[TOPIC_NAME_MAX];
  if (self->topic_count == TOPICS_MAX) abort();
  /* The metadata is fetched now, or the first transaction would wait for it. */
  const char *operation = strcmp(name, self->input_name) == 0 ? "Read" : "Write";
  int32_t partitions = kafka_partition_count(
      self->producer, kafka_topic_name(self->options, name, full), operation, &log->failure);
  if (partitions < 0) return -1;
  struct kafka_topic *topic = &self->topics[self->topic_count];
  *topic = (struct kafka_topic){rd_kafka_topic_new(self->producer, full, NULL), partitions};
  return self->topic_count++;
}

static int32_t kafka_partitions(struct log *log, int topic) {
  return self_of(log)->topics[topic].partitions;
}

static int64_t kafka_lag(struct log *log, int32_t partition) {
  struct log_kafka *self = self_of(log);
  int64_t low, high;
  if (rd_kafka_get_watermark_offsets(self->consumer, self->input, partition, &low, &high) ||
      high < 0 || self->next[partition] < 0)
    return -1;
  return high > self->next[partition] ? high - self->next[partition] : 0;
}

static int64_t kafka_now(struct log *log) {
  (void)log;
  return clock_wall_ms();
}

static void kafka_close(struct log *log) {
  struct log_kafka *self = self_of(log);
  kafka_watch_stop(self->watch);
  if (self->consumer) {
    if (self->queue) rd_kafka_queue_destroy(self->queue);
    rd_kafka_consumer_close(self->consumer);
    rd_kafka_destroy(self->consumer);
  }
  for (int i = 0; i < self->topic_count; i++) rd_kafka_topic_destroy(self->topics[i].handle);
  if (self->membership) rd_kafka_consumer_group_metadata_destroy(self->membership);
  if (self->producer) rd_kafka_destroy(self->producer);
  if (self->changelog_topic) rd_kafka_topic_destroy(self->changelog_topic);
  if (self->reader) rd_kafka_destroy(self->reader);
  free(self->assignment);
  free(self->next);
  free(self);
}

static const struct log_class kafka_class = {.close = kafka_close,
                                             .init = kafka_init,
                                             .foresee = kafka_foresee,
                                             .join = kafka_join,
                                             .poll = kafka_poll,
                                             .release = kafka_release,
                                             .seek = kafka_seek,
                                             .resume = kafka_resume,
                                             .committed = kafka_committed,
                                             .begin = kafka_begin,
                                             .produce = kafka_produce,
                                             .settle = kafka_settle,
                                             .send_offsets = kafka_send_offsets,
                                             .commit = kafka_commit,
                                             .abort = kafka_abort,
                                             .changelog_open = kafka_changelog_open,
                                             .changelog_next = kafka_changelog_next,
                                             .changelog_close = kafka_changelog_close,
                                             .bounds = kafka_bounds,
                                             .topic = kafka_topic,
                                             .partition_count = kafka_partitions,
                                             .lag = kafka_lag,
                                             .answers = kafka_answers,
                                             .now = kafka_now};

rd_kafka_t *kafka_open_producer(struct log_kafka *self, struct failure *failure) {
  const struct kafka_setting forced[] = {{"transactional.id", self->slot_id},
                                         {"enable.idempotence", "true"},
                                         {"partitioner", "murmur2_random"},
                                         {"message.max.bytes", "2000000"},
                                         {"isolation.level", "read_uncommitted"}, /* of bounds */
                                         {NULL, NULL}};
  rd_kafka_conf_t *conf = kafka_conf(self->options, self->client, forced, failure);
  if (!conf) return NULL;
  rd_kafka_conf_set_dr_msg_cb(conf, kafka_on_delivery);
  rd_kafka_conf_set_opaque(conf, self);
  return kafka_open(RD_KAFKA_PRODUCER, conf, failure);
}

static size_t queue_messages(rd_kafka_t *consumer) {
  char number[TEXT_NUMBER_MAX + 1] = "";
  size_t size = sizeof number;
  rd_kafka_conf_get(rd_kafka_conf(consumer), "queued.min.messages", number, &size);
  return strtoull(number, NULL, 10);
}

/* One fetch, of two kinds of filters. Compressed, anything can become 30,000 times as large, and
 * librdkafka unpacks a whole answer at once: from a topic that anybody may write to, it asks for
 * little. And what was fetched is handed out in its order: where records are worked off by hundreds
 * a second, as calls are, a large piece of one partition would keep the others waiting for minutes.
 * A batch that is larger comes alone. */
#define LITTLE_FETCH_BYTES "16384"

static bool open_consumer(struct log_kafka *self, const struct processor *processor,
                          const char *group, struct failure *failure) {
  const struct kafka_setting little[] = {
      {"message.max.bytes", LITTLE_FETCH_BYTES}, /* fetch.max.bytes is at least that */
      {"fetch.max.bytes", LITTLE_FETCH_BYTES},
      {"max.partition.fetch.bytes", LITTLE_FETCH_BYTES},
      {NULL, NULL}};
  const struct kafka_setting forced[] = {{"group.id", group},
                                         {"group.instance.id", self->slot_id},
                                         {"partition.assignment.strategy", "range"},
                                         {"enable.auto.commit", "false"},
                                         {"enable.auto.offset.store", "false"},
                                         {"isolation.level", "read_committed"},
                                         {"auto.offset.reset", "error"},
                                         {"enable.partition.eof", "true"},
                                         {NULL, NULL}};
  rd_kafka_conf_t *conf = kafka_conf(self->options, self->client, forced, failure);
  if (!conf) return false;
  bool takes_little = processor->open_input || processor->world;
  for (const struct kafka_setting *one = little; takes_little && one->name; one++)
    rd_kafka_conf_set(conf, one->name, one->value, NULL, 0);
  rd_kafka_conf_set_rebalance_cb(conf, kafka_on_rebalance);
  rd_kafka_conf_set_opaque(conf, self);
  if (!(self->consumer = kafka_open(RD_KAFKA_CONSUMER, conf, failure))) return false;
  rd_kafka_poll_set_consumer(self->consumer);
  self->queue = rd_kafka_queue_get_consumer(self->consumer);
  self->queue_messages = queue_messages(self->consumer);
  return true;
}

static bool open_reader(struct log_kafka *self, struct failure *failure) {
  const struct kafka_setting forced[] = {{"isolation.level", "read_committed"},
                                         {"enable.partition.eof", "true"},
                                         {"auto.offset.reset", "error"},
                                         /* A partition that is added waits for the fetch that is
                                            out, and one that has nothing would wait for ever. */
                                         {"fetch.wait.max.ms", "10"},
                                         /* Read for seconds at most, as fast as can be: a queue
                                            that lasts while librdkafka does not look (see
                                            wake_fetcher). */
                                         {"queued.min.messages", "100000"},
                                         {"max.partition.fetch.bytes", "1048576"},
                                         {NULL, NULL}};
  rd_kafka_conf_t *conf = kafka_conf(self->options, self->client, forced, failure);
  if (!conf || !(self->reader = kafka_open(RD_KAFKA_CONSUMER, conf, failure))) return false;
  self->changelog_topic = rd_kafka_topic_new(self->reader, self->changelog, NULL);
  return self->changelog_topic != NULL;
}

/* A topic of rows must keep the last value of each key; a topic of records that wait to be read,
 * each of them. A policy that no broker tells is not judged. */
static bool keeps_what_it_must(struct log_kafka *self, const char *topic, bool rows,
                               struct failure *failure) {
  char policy[64];
  rd_kafka_resp_err_t error =
      kafka_topic_config(self->producer, topic, "cleanup.policy", policy, sizeof policy);
  if (error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
    return access_denied(failure, "DescribeConfigs", "topic", topic);
  if (error) return true;
  if (rows ? strcmp(policy, "compact") == 0 : strstr(policy, "compact") == NULL) return true;
  return failure_set(
      failure, EX_CONFIG,
      "'%s' has the cleanup.policy '%s', which deletes %s: run 'holdfast topics apply', "
      "which sets it right, and then look for lost records with 'holdfast audit --stores'",
      topic, policy, rows ? "rows that are still needed" : "records that wait here");
}

static bool topics_keep_what_they_must(struct log_kafka *self, const struct processor *processor,
                                       struct failure *failure) {
  char name[TOPIC_NAME_MAX];
  bool fine = keeps_what_it_must(self, self->input, processor->input_is_changelog, failure) &&
              (!processor->changelog || keeps_what_it_must(self, self->changelog, true, failure));
  for (const struct output *output = processor->outputs; fine && output && output->topic;
       output++) {
    if (output->table)
      fine = keeps_what_it_must(self, kafka_topic_name(self->options, output->topic, name), true,
                                failure);
  }
  return fine;
}

/* A retention that cannot be read is Kafka's default. */
static int64_t tombstone_retention(struct log_kafka *self) {
  char text[32];
  return kafka_topic_config(self->producer, self->changelog, "delete.retention.ms", text,
                            sizeof text)
             ? INT64_C(86400000)
             : strtoll(text, NULL, 10);
}

/* A store is of a cluster: without its id, another one's would be taken for this one's. */
static bool name_cluster(struct log_kafka *self, char *cluster, struct failure *failure) {
  char *id = rd_kafka_clusterid(self->producer, CALL_TIMEOUT_MS);
  if (!id)
    return failure_set(failure, EX_UNAVAILABLE,
                       "no broker says within %d s which cluster this is: is Kafka running?",
                       CALL_TIMEOUT_MS / 1000);
  snprintf(cluster, 128, "%s", id);
  rd_kafka_mem_free(self->producer, id);
  return true;
}

struct log *log_kafka_open(const struct processor *processor, const struct options *options,
                           int64_t *tombstone_retention_ms, char *cluster,
                           struct failure *failure) {
  struct log_kafka *self = xcalloc(1, sizeof *self);
  self->log.class = &kafka_class;
  self->options = options;
  kafka_topic_name(options, processor->input, self->input);
  self->client = processor->name;
  self->input_name = processor->input;
  self->gap = KAFKA_NO_GAP;
  char group[TOPIC_NAME_MAX];
  kafka_topic_name(options, processor->name, group);
  snprintf(self->slot_id, sizeof self->slot_id, "%s-%" PRId64, group,
           options_number(options, "slot"));
  self->producer = kafka_open_producer(self, failure);
  bool fine = self->producer && open_consumer(self, processor, group, failure);
  if (fine)
    fine = (self->input_partitions =
                kafka_partition_count(self->producer, self->input, "Read", failure)) >= 0;
  if (fine) {
    self->next = xcalloc((size_t)self->input_partitions, sizeof *self->next);
    for (int32_t i = 0; i < self->input_partitions; i++) self->next[i] = -1;
    fine = name_cluster(self, cluster, failure);
  }
  if (fine && processor->rows) {
    kafka_topic_name(options, processor->changelog ? processor->changelog : processor->input,
                     self->changelog);
    fine = kafka_partition_count(self->producer, self->changelog, "Read", failure) >= 0 &&
           open_reader(self, failure);
    if (fine) *tombstone_retention_ms = tombstone_retention(self);
  }
  fine = fine && topics_keep_what_they_must(self, processor, failure);
  if (fine) self->watch = kafka_watch_start(self->producer, options);
  if (fine) return &self->log;
  kafka_close(&self->log);
  return NULL;
}
