#include "log_kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "kafka_client.h"
#include "logging.h"

#define TOPICS_MAX 16
#define CALL_TIMEOUT_MS 5000
#define COMMITTED_TIMEOUT_MS 250
#define CHANGELOG_WAIT_MS 20
/* Out of the group for so long: librdkafka 2.0.2 can fail to find back after a broker's restart. */
#define GROUP_GIVE_UP_S 30
/* Of retriable errors: far past the transaction's own time-out. */
#define TRANSACTION_GIVE_UP_S 60
/* A coordinator that is just loading can know of no offset yet. */
#define NO_OFFSET_GIVE_UP_S 5

struct kafka_topic {
  rd_kafka_topic_t *handle; /* of the producer */
  int32_t partitions;
};

struct log_kafka {
  struct log log;
  rd_kafka_t *consumer, *producer, *reader;
  rd_kafka_consumer_group_metadata_t *membership; /* of the last assignment: what fences offsets */
  char input[TOPIC_NAME_MAX], changelog[TOPIC_NAME_MAX];
  rd_kafka_topic_t *changelog_topic; /* of the reader */
  const struct options *options;
  struct kafka_topic topics[TOPICS_MAX];
  int topic_count;
  bool revoked, assigned; /* happened in the callback, not told yet */
  bool holding;           /* an assignment, though it may be empty */
  int32_t *assignment;
  size_t assignment_count, assignment_capacity;
  int64_t no_offset_since; /* monotonic seconds; 0: an offset was found */
  int64_t member_until; /* monotonic seconds: when this was last seen to be a member of the group */
  int64_t *next;        /* by partition of the input: what the next poll should give */
  int32_t input_partitions;
  size_t outstanding; /* deliveries */
  char delivery_error[256];
};

static struct log_kafka *self_of(struct log *log) {
  return (struct log_kafka *)log;
}

static int64_t monotonic_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

/* ---- errors ---- */

/* Fatal, then abort, then retriable, else fatal: the order of librdkafka's own advice. Takes the
 * error. */
static enum log_status judge(struct log_kafka *self, const char *what, rd_kafka_error_t *error) {
  if (!error) return LOG_OK;
  enum log_status status = LOG_FATAL;
  if (!rd_kafka_error_is_fatal(error)) {
    if (rd_kafka_error_txn_requires_abort(error)) {
      status = LOG_ABORT;
    } else if (rd_kafka_error_is_retriable(error)) {
      status = LOG_AGAIN;
    }
  }
  kafka_fail(&self->log.failure, EX_TEMPFAIL, "%s: %s (%s)", what, rd_kafka_error_string(error),
             rd_kafka_error_name(error));
  rd_kafka_error_destroy(error);
  return status;
}

/* Tries again until it ends, or long after the broker must have ended the transaction: then the
 * outcome is unknown. */
static enum log_status retry(struct log_kafka *self, const char *what,
                             rd_kafka_error_t *(*attempt)(struct log_kafka *)) {
  int64_t until = monotonic_s() + TRANSACTION_GIVE_UP_S;
  for (;;) {
    enum log_status status = judge(self, what, attempt(self));
    if (status != LOG_AGAIN) return status;
    if (monotonic_s() > until) return LOG_FATAL;
    log_info("%s, trying again", self->log.failure.text);
    rd_kafka_poll(self->producer, 10);
  }
}

/* ---- the group ---- */

static void on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t error,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque) {
  struct log_kafka *self = opaque;
  if (error != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    /* Nothing is open while this thread polls: there is nothing to commit or abort before giving
     * up. */
    rd_kafka_assign(consumer, NULL);
    self->revoked = true;
    self->assigned = self->holding = false;
    return;
  }
  rd_kafka_assign(consumer, partitions);
  rd_kafka_pause_partitions(consumer, partitions);
  if (self->membership) rd_kafka_consumer_group_metadata_destroy(self->membership);
  self->membership = rd_kafka_consumer_group_metadata(consumer);
  self->assignment = xgrow(self->assignment, &self->assignment_capacity,
                           (size_t)partitions->cnt + 1, sizeof *self->assignment);
  self->assignment_count = 0;
  for (int i = 0; i < partitions->cnt; i++)
    self->assignment[self->assignment_count++] = partitions->elems[i].partition;
  self->assigned = self->holding = true;
}

static enum log_status kafka_join(struct log *log) {
  struct log_kafka *self = self_of(log);
  rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(topics, self->input, RD_KAFKA_PARTITION_UA);
  rd_kafka_resp_err_t error = rd_kafka_subscribe(self->consumer, topics);
  rd_kafka_topic_partition_list_destroy(topics);
  if (!error) return LOG_OK;
  kafka_fail(&log->failure, EX_TEMPFAIL, "cannot subscribe to %s: %s", self->input,
             rd_kafka_err2str(error));
  return LOG_FATAL;
}

static struct str header(const rd_kafka_headers_t *headers, const char *name) {
  const void *value;
  size_t size;
  if (!headers ||
      rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR ||
      !value)
    return (struct str){0};
  return (struct str){value, size};
}

static void take_message(rd_kafka_message_t *message, struct log_record *out) {
  rd_kafka_headers_t *headers = NULL;
  rd_kafka_message_headers(message, &headers);
  *out = (struct log_record){.partition = message->partition,
                             .offset = message->offset,
                             .timestamp = rd_kafka_message_timestamp(message, NULL),
                             .key = {message->key, message->key_len},
                             .value = {message->payload, message->len},
                             .correlation_id = header(headers, "correlation-id"),
                             .traceparent = header(headers, "traceparent"),
                             .owner = message};
  if (message->payload == NULL) out->value = (struct str){0};
}

/* What consumer errors mean: true if the filter cannot go on. */
static bool consumer_failed(struct log_kafka *self, const rd_kafka_message_t *message) {
  char text[256];
  struct log_failure *failure = &self->log.failure;
  switch ((int)message->err) { /* a few of more than a hundred */
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: return false;
    case RD_KAFKA_RESP_ERR__FATAL:
      rd_kafka_fatal_error(self->consumer, text, sizeof text);
      kafka_fail(failure, EX_TEMPFAIL, "the consumer cannot go on: %s", text);
      return true;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
      kafka_fail(failure, EX_CONFIG, "the topic '%s' is gone: run 'holdfast topics apply'",
                 self->input);
      return true;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      /* A new group has no offset at all: the table of recovery says so with the way out. */
      if (!self->next || self->next[message->partition] < 0) return false;
      kafka_fail(failure, EX_CONFIG,
                 "the committed offset of partition %" PRId32
                 " of '%s' is not in the log any more: its records were deleted unread",
                 message->partition, self->input);
      return true;
    default: log_warning("consumer: %s", rd_kafka_message_errstr(message)); return false;
  }
}

/* True if the group has done without this process for too long: only a new process can help then.
 */
static bool left_out(struct log_kafka *self) {
  bool member = self->membership && self->holding && !rd_kafka_assignment_lost(self->consumer);
  int64_t now = monotonic_s();
  if (member || !self->member_until) self->member_until = now;
  if (now - self->member_until < GROUP_GIVE_UP_S) return false;
  kafka_fail(&self->log.failure, EX_TEMPFAIL,
             "the group has given this process no partitions for %d s, nor told it to have none: "
             "it ends to be started anew",
             GROUP_GIVE_UP_S);
  return true;
}

static void kafka_poll(struct log *log, int timeout_ms, struct log_event *event) {
  struct log_kafka *self = self_of(log);
  *event = (struct log_event){.kind = LOG_IDLE};
  if (left_out(self)) {
    event->kind = LOG_FAILED;
    return;
  }
  rd_kafka_message_t *message =
      self->revoked || self->assigned ? NULL : rd_kafka_consumer_poll(self->consumer, timeout_ms);
  rd_kafka_poll(self->producer, 0);
  if (self->revoked || self->assigned) {
    if (message)
      rd_kafka_message_destroy(
          message); /* of an assignment that has ended; the next owner reads it */
    event->kind = self->revoked ? LOG_REVOKED : LOG_ASSIGNED;
    event->partitions = self->assignment;
    event->partition_count = self->assignment_count;
    *(self->revoked ? &self->revoked : &self->assigned) = false;
    return;
  }
  if (!message) return;
  if (!message->err) {
    event->kind = LOG_RECORD;
    take_message(message, &event->record);
    if (message->partition < self->input_partitions)
      self->next[message->partition] = message->offset + 1;
    return;
  }
  /* The end of a partition lies past the markers of transactions, which are never polled: without
   * it they would look like a lag. */
  bool end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
  if (end && self->next[message->partition] >= 0 &&
      self->next[message->partition] < message->offset)
    self->next[message->partition] = message->offset;
  if (consumer_failed(self, message)) event->kind = LOG_FAILED;
  rd_kafka_message_destroy(message);
}

static void kafka_release(struct log *log, struct log_record *record) {
  (void)log;
  if (record->owner) rd_kafka_message_destroy(record->owner);
  *record = (struct log_record){0};
}

static rd_kafka_topic_partition_list_t *one_partition(struct log_kafka *self, int32_t partition) {
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, self->input, partition);
  return list;
}

static enum log_status kafka_seek(struct log *log, int32_t partition, int64_t offset) {
  struct log_kafka *self = self_of(log);
  rd_kafka_topic_partition_list_t *list = one_partition(self, partition);
  list->elems[0].offset = offset;
  enum log_status status =
      judge(self, "seek", rd_kafka_seek_partitions(self->consumer, list, CALL_TIMEOUT_MS));
  if (status == LOG_OK && list->elems[0].err) {
    kafka_fail(&log->failure, EX_TEMPFAIL, "seek to %" PRId64 " in partition %" PRId32 ": %s",
               offset, partition, rd_kafka_err2str(list->elems[0].err));
    status = LOG_FATAL;
  }
  rd_kafka_topic_partition_list_destroy(list);
  self->next[partition] = offset;
  return status == LOG_OK ? LOG_OK : LOG_FATAL;
}

static enum log_status kafka_resume(struct log *log, int32_t partition) {
  struct log_kafka *self = self_of(log);
  rd_kafka_topic_partition_list_t *list = one_partition(self, partition);
  rd_kafka_resp_err_t error = rd_kafka_resume_partitions(self->consumer, list);
  rd_kafka_topic_partition_list_destroy(list);
  if (!error) return LOG_OK;
  kafka_fail(&log->failure, EX_TEMPFAIL, "resume of partition %" PRId32 ": %s", partition,
             rd_kafka_err2str(error));
  return LOG_FATAL;
}

/* read_committed asks for stable offsets: the broker answers only once no transaction could change
 * them (KIP-447). */
static enum log_status kafka_committed(struct log *log, int32_t partition, struct log_offset *out) {
  struct log_kafka *self = self_of(log);
  rd_kafka_topic_partition_list_t *list = one_partition(self, partition);
  rd_kafka_resp_err_t error = rd_kafka_committed(self->consumer, list, COMMITTED_TIMEOUT_MS);
  const rd_kafka_topic_partition_t *answer = &list->elems[0];
  enum log_status status = error || answer->err ? LOG_AGAIN : LOG_OK;
  if (status == LOG_OK) {
    out->offset = answer->offset < 0 ? -1 : answer->offset;
    size_t size = answer->metadata_size < sizeof out->metadata - 1 ? answer->metadata_size
                                                                   : sizeof out->metadata - 1;
    if (answer->metadata) memcpy(out->metadata, answer->metadata, size);
    out->metadata[answer->metadata ? size : 0] = '\0';
  }
  rd_kafka_topic_partition_list_destroy(list);
  if (status != LOG_OK || out->offset >= 0) {
    if (status == LOG_OK) self->no_offset_since = 0;
    return status;
  }
  if (!self->no_offset_since) self->no_offset_since = monotonic_s();
  return monotonic_s() - self->no_offset_since < NO_OFFSET_GIVE_UP_S ? LOG_AGAIN : LOG_OK;
}

/* ---- transactions ---- */

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque) {
  (void)producer;
  struct log_kafka *self = opaque;
  self->outstanding--;
  int64_t *acknowledged = message->_private;
  if (message->err) {
    snprintf(self->delivery_error, sizeof self->delivery_error, "%s",
             rd_kafka_err2str(message->err));
  } else if (acknowledged && *acknowledged < message->offset) {
    *acknowledged = message->offset;
  }
}

static rd_kafka_error_t *try_init(struct log_kafka *self) {
  return rd_kafka_init_transactions(self->producer, CALL_TIMEOUT_MS);
}

static enum log_status kafka_init(struct log *log) {
  return retry(self_of(log), "init_transactions", try_init);
}

static enum log_status kafka_begin(struct log *log) {
  struct log_kafka *self = self_of(log);
  self->delivery_error[0] = '\0';
  return judge(self, "begin_transaction", rd_kafka_begin_transaction(self->producer));
}

static void add_header(rd_kafka_headers_t *headers, const char *name, struct str value) {
  if (value.data) rd_kafka_header_add(headers, name, -1, value.data, (ssize_t)value.size);
}

static rd_kafka_headers_t *make_headers(const struct log_output *output) {
  if (!output->source.data)
    return NULL; /* a table's or a changelog's record: the last of many causes */
  rd_kafka_headers_t *headers = rd_kafka_headers_new(5);
  add_header(headers, "correlation-id", output->correlation_id);
  add_header(headers, "causation", output->causation);
  add_header(headers, "source", output->source);
  add_header(headers, "traceparent", output->traceparent);
  add_header(headers, "error", output->error);
  return headers;
}

static enum log_status kafka_produce(struct log *log, const struct log_output *output) {
  struct log_kafka *self = self_of(log);
  rd_kafka_headers_t *headers = make_headers(output);
  for (;;) {
    rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = self->topics[output->topic].handle},
        {.vtype = RD_KAFKA_VTYPE_PARTITION,
         .u.i32 = output->partition < 0 ? RD_KAFKA_PARTITION_UA : output->partition},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {(void *)(uintptr_t)output->key.data, output->key.size}},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {(void *)(uintptr_t)output->value.data, output->value.size}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = output->timestamp},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = output->acknowledged},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    rd_kafka_error_t *error = rd_kafka_produceva(
        self->producer, fields, sizeof fields / sizeof *fields - (headers == NULL));
    if (!error) {
      self->outstanding++;
      return LOG_OK;
    }
    bool full = rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__QUEUE_FULL;
    if (full) {
      rd_kafka_error_destroy(error);
      rd_kafka_poll(self->producer, 10);
      continue;
    }
    if (headers) rd_kafka_headers_destroy(headers);
    /* Only the transaction can tell whether it is lost: a record that cannot be produced at all
     * would come again for ever. */
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    enum log_status status = judge(self, "produce", error);
    bool size = code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    return status == LOG_FATAL && !size && !rd_kafka_fatal_error(self->producer, NULL, 0)
               ? LOG_ABORT
               : LOG_FATAL;
  }
}

/* Polls in steps of a millisecond: rd_kafka_flush would wait in steps of ten. */
static enum log_status kafka_settle(struct log *log) {
  struct log_kafka *self = self_of(log);
  while (self->outstanding) rd_kafka_poll(self->producer, 1);
  if (!self->delivery_error[0]) return LOG_OK;
  char reason[256];
  if (rd_kafka_fatal_error(self->producer, reason, sizeof reason)) {
    kafka_fail(&log->failure, EX_TEMPFAIL, "the producer cannot go on: %s", reason);
    return LOG_FATAL;
  }
  kafka_fail(&log->failure, EX_TEMPFAIL, "a record was not delivered: %s", self->delivery_error);
  return LOG_ABORT;
}

static enum log_status kafka_send_offsets(struct log *log, const struct log_position *positions,
                                          size_t count) {
  struct log_kafka *self = self_of(log);
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
  for (size_t i = 0; i < count; i++) {
    rd_kafka_topic_partition_t *one =
        rd_kafka_topic_partition_list_add(list, self->input, positions[i].partition);
    one->offset = positions[i].offset;
    one->metadata_size = strlen(positions[i].metadata);
    one->metadata = xstrdup(positions[i].metadata); /* librdkafka frees it with the list */
  }
  enum log_status status;
  int64_t until = monotonic_s() + TRANSACTION_GIVE_UP_S;
  do {
    status = judge(self, "send_offsets_to_transaction",
                   rd_kafka_send_offsets_to_transaction(self->producer, list, self->membership,
                                                        CALL_TIMEOUT_MS));
  } while (status == LOG_AGAIN && monotonic_s() < until);
  rd_kafka_topic_partition_list_destroy(list);
  return status == LOG_AGAIN ? LOG_FATAL : status;
}

static rd_kafka_error_t *try_commit(struct log_kafka *self) {
  return rd_kafka_commit_transaction(self->producer, CALL_TIMEOUT_MS);
}

static enum log_status kafka_commit(struct log *log) {
  return retry(self_of(log), "commit_transaction", try_commit);
}

static rd_kafka_error_t *try_abort(struct log_kafka *self) {
  return rd_kafka_abort_transaction(self->producer, CALL_TIMEOUT_MS);
}

static enum log_status kafka_abort(struct log *log) {
  struct log_kafka *self = self_of(log);
  char reason[sizeof log->failure.text];
  snprintf(reason, sizeof reason, "%s", log->failure.text);
  enum log_status status = retry(self, "abort_transaction", try_abort);
  if (status != LOG_OK) return LOG_FATAL;
  while (self->outstanding)
    rd_kafka_poll(self->producer, 1); /* reports of what was purged: they point into this batch */
  snprintf(log->failure.text, sizeof log->failure.text, "%s", reason);
  return LOG_OK;
}

/* ---- changelogs ---- */

static enum log_status kafka_changelog_open(struct log *log, int32_t partition, int64_t from) {
  struct log_kafka *self = self_of(log);
  if (rd_kafka_consume_start(self->changelog_topic, partition, from) == 0) return LOG_OK;
  kafka_fail(&log->failure, EX_TEMPFAIL, "cannot read the changelog %s: %s", self->changelog,
             rd_kafka_err2str(rd_kafka_last_error()));
  return LOG_FATAL;
}

static enum log_status kafka_changelog_next(struct log *log, int32_t partition,
                                            struct log_record *out, int64_t *position) {
  struct log_kafka *self = self_of(log);
  rd_kafka_message_t *message =
      rd_kafka_consume(self->changelog_topic, partition, CHANGELOG_WAIT_MS);
  if (!message) return LOG_AGAIN;
  if (!message->err) {
    take_message(message, out);
    *position = message->offset + 1;
    return LOG_OK;
  }
  if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    *position = message->offset; /* past what was aborted or compacted away */
  } else {
    log_warning("changelog %s, partition %" PRId32 ": %s", self->changelog, partition,
                rd_kafka_message_errstr(message));
  }
  rd_kafka_message_destroy(message);
  return LOG_AGAIN;
}

static void kafka_changelog_close(struct log *log, int32_t partition) {
  rd_kafka_consume_stop(self_of(log)->changelog_topic, partition);
}

static enum log_status kafka_changelog_bounds(struct log *log, int32_t partition, int64_t *first,
                                              int64_t *end) {
  struct log_kafka *self = self_of(log);
  rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(
      self->reader, self->changelog, partition, first, end, CALL_TIMEOUT_MS);
  if (error)
    log_warning("the bounds of %s, partition %" PRId32 ": %s", self->changelog, partition,
                rd_kafka_err2str(error));
  return error ? LOG_AGAIN : LOG_OK;
}

/* ---- the rest ---- */

static int kafka_topic(struct log *log, const char *name) {
  struct log_kafka *self = self_of(log);
  char full[TOPIC_NAME_MAX];
  if (self->topic_count == TOPICS_MAX) abort();
  /* The metadata is fetched now, or the first transaction would wait for it. */
  int32_t partitions = kafka_partition_count(
      self->producer, kafka_topic_name(self->options, name, full), &log->failure);
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
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void kafka_close(struct log *log) {
  struct log_kafka *self = self_of(log);
  if (self->consumer) {
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
                                             .changelog_bounds = kafka_changelog_bounds,
                                             .topic = kafka_topic,
                                             .partition_count = kafka_partitions,
                                             .lag = kafka_lag,
                                             .now = kafka_now};

static bool open_producer(struct log_kafka *self, const char *client, const char *slot_id,
                          struct log_failure *failure) {
  const struct kafka_setting forced[] = {{"transactional.id", slot_id},
                                         {"enable.idempotence", "true"},
                                         {"partitioner", "murmur2_random"},
                                         {"message.max.bytes", "2000000"},
                                         {NULL, NULL}};
  rd_kafka_conf_t *conf = kafka_conf(self->options, client, forced, failure);
  if (!conf) return false;
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  rd_kafka_conf_set_opaque(conf, self);
  return (self->producer = kafka_open(RD_KAFKA_PRODUCER, conf, failure)) != NULL;
}

static bool open_consumer(struct log_kafka *self, const char *client, const char *group,
                          const char *slot_id, struct log_failure *failure) {
  const struct kafka_setting forced[] = {{"group.id", group},
                                         {"group.instance.id", slot_id},
                                         {"partition.assignment.strategy", "range"},
                                         {"enable.auto.commit", "false"},
                                         {"enable.auto.offset.store", "false"},
                                         {"isolation.level", "read_committed"},
                                         {"auto.offset.reset", "error"},
                                         {"enable.partition.eof", "true"},
                                         {NULL, NULL}};
  rd_kafka_conf_t *conf = kafka_conf(self->options, client, forced, failure);
  if (!conf) return false;
  rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
  rd_kafka_conf_set_opaque(conf, self);
  if (!(self->consumer = kafka_open(RD_KAFKA_CONSUMER, conf, failure))) return false;
  rd_kafka_poll_set_consumer(self->consumer);
  return true;
}

static bool open_reader(struct log_kafka *self, const char *client, struct log_failure *failure) {
  const struct kafka_setting forced[] = {{"isolation.level", "read_committed"},
                                         {"enable.partition.eof", "true"},
                                         {"auto.offset.reset", "error"},
                                         {NULL, NULL}};
  rd_kafka_conf_t *conf = kafka_conf(self->options, client, forced, failure);
  if (!conf || !(self->reader = kafka_open(RD_KAFKA_CONSUMER, conf, failure))) return false;
  self->changelog_topic = rd_kafka_topic_new(self->reader, self->changelog, NULL);
  return self->changelog_topic != NULL;
}

/* A retention that cannot be read is Kafka's default. */
static int64_t tombstone_retention(struct log_kafka *self) {
  char text[32];
  return kafka_topic_config(self->producer, self->changelog, "delete.retention.ms", text,
                            sizeof text)
             ? strtoll(text, NULL, 10)
             : INT64_C(86400000);
}

struct log *log_kafka_open(const struct processor *processor, const struct options *options,
                           int64_t *tombstone_retention_ms, char *cluster,
                           struct log_failure *failure) {
  struct log_kafka *self = xcalloc(1, sizeof *self);
  self->log.class = &kafka_class;
  self->options = options;
  kafka_topic_name(options, processor->input, self->input);
  char group[TOPIC_NAME_MAX], slot_id[TOPIC_NAME_MAX + 16];
  kafka_topic_name(options, processor->name, group);
  snprintf(slot_id, sizeof slot_id, "%s-%" PRId64, group, options_number(options, "slot"));
  bool fine = open_producer(self, processor->name, slot_id, failure) &&
              open_consumer(self, processor->name, group, slot_id, failure);
  if (fine)
    fine =
        (self->input_partitions = kafka_partition_count(self->producer, self->input, failure)) >= 0;
  if (fine) {
    self->next = xcalloc((size_t)self->input_partitions, sizeof *self->next);
    for (int32_t i = 0; i < self->input_partitions; i++) self->next[i] = -1;
    char *id = rd_kafka_clusterid(self->producer, CALL_TIMEOUT_MS);
    snprintf(cluster, 128, "%s", id ? id : "unknown");
    if (id) rd_kafka_mem_free(self->producer, id);
  }
  if (fine && processor->rows) {
    kafka_topic_name(options, processor->changelog ? processor->changelog : processor->input,
                     self->changelog);
    fine = kafka_partition_count(self->producer, self->changelog, failure) >= 0 &&
           open_reader(self, processor->name, failure);
    if (fine) *tombstone_retention_ms = tombstone_retention(self);
  }
  if (fine) return &self->log;
  kafka_close(&self->log);
  return NULL;
}
