/* The transactional producer of the log on Kafka. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "runtime/base/clock.h"
#include "runtime/kafka/internal.h"
#include "runtime/base/report.h"
#include "runtime/base/murmur2.h"
#include "runtime/base/text.h"

/* Of retriable errors: far past the transaction's own time-out. */
#define TRANSACTION_GIVE_UP_S 60
#define DELIVERY_WAIT_MS 100

/* The resource of an ACL that a transaction misses: librdkafka names a topic that may not be written
 * to in its log alone; without one it is the input, whose offsets may not be committed. */
static bool is_denied(struct log_kafka *self, rd_kafka_resp_err_t error) {
  char topic[TOPIC_NAME_MAX];
  if (self->refusing[0])
    snprintf(topic, sizeof topic, "%s", self->refusing);
  else
    access_refused_topic(topic, sizeof topic);
  return kafka_is_denied(self, error, topic[0] ? "Write" : "Read", topic[0] ? topic : self->input);
}

/* Once a producer has failed for good, every call says no more than that. */
static rd_kafka_resp_err_t cause_of(struct log_kafka *self, const rd_kafka_error_t *error) {
  rd_kafka_resp_err_t code = rd_kafka_error_code(error);
  rd_kafka_resp_err_t fatal = rd_kafka_error_is_fatal(error) || code == RD_KAFKA_RESP_ERR__FATAL
                                  ? rd_kafka_fatal_error(self->producer, NULL, 0)
                                  : RD_KAFKA_RESP_ERR_NO_ERROR;
  return fatal ? fatal : code;
}

/* Fatal, then abort, then retriable, else fatal: the order of librdkafka's own advice. Takes the
 * error. */
enum log_status kafka_judge(struct log_kafka *self, const char *what, rd_kafka_error_t *error) {
  if (!error) return LOG_OK;
  enum log_status status = LOG_FATAL;
  if (!rd_kafka_error_is_fatal(error)) {
    if (rd_kafka_error_txn_requires_abort(error)) {
      status = LOG_ABORT;
    } else if (rd_kafka_error_is_retriable(error)) {
      status = LOG_AGAIN;
    }
  }
  rd_kafka_resp_err_t cause = cause_of(self, error);
  bool forbidden = kafka_is_forbidden(cause);
  if (forbidden) status = LOG_FATAL; /* it would be refused again */
  if (!is_denied(self, cause))
    failure_set(&self->log.failure, forbidden ? EX_CONFIG : EX_TEMPFAIL, "%s: %s (%s)", what,
                rd_kafka_error_string(error), rd_kafka_error_name(error));
  rd_kafka_error_destroy(error);
  return status;
}

/* Tries again until it ends, or long after the broker must have ended the transaction: then the
 * outcome is unknown. */
static enum log_status retry(struct log_kafka *self, const char *what,
                             rd_kafka_error_t *(*attempt)(struct log_kafka *)) {
  int64_t until = clock_monotonic_s() + TRANSACTION_GIVE_UP_S;
  for (;;) {
    enum log_status status = kafka_judge(self, what, attempt(self));
    if (status != LOG_AGAIN) return status;
    if (clock_monotonic_s() > until) return LOG_FATAL;
    report_info("%s, trying again", self->log.failure.text);
    rd_kafka_poll(self->producer, 10);
  }
}

/* A record that could not be written is written again, unless its topic is gone: it would be tried
 * for ever. */
static enum log_status abort_unless_gone(struct log_kafka *self) {
  for (int i = 0; i < self->topic_count; i++) {
    const char *topic = rd_kafka_topic_name(self->topics[i].handle);
    bool is_input = strcmp(topic, self->input) == 0;
    if (kafka_is_gone(self, topic, is_input ? "Read" : "Write")) return LOG_FATAL;
  }
  return LOG_ABORT;
}

/* The first that is refused for good counts: the records behind it in the transaction fail for
 * it. */
static void note_undelivered(struct log_kafka *self, const rd_kafka_message_t *message) {
  if (kafka_is_refused_for_good(self->undelivered)) return;
  self->undelivered = message->err;
  if (!kafka_is_refused_for_good(message->err)) return;
  snprintf(self->refusing, sizeof self->refusing, "%s", rd_kafka_topic_name(message->rkt));
}

void kafka_on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque) {
  (void)producer;
  struct log_kafka *self = opaque;
  self->outstanding--;
  struct log_landed *landed = message->_private;
  if (message->err) {
    note_undelivered(self, message);
  } else if (landed) {
    log_has_landed(landed, message->offset);
  }
}

static rd_kafka_error_t *try_init(struct log_kafka *self) {
  return rd_kafka_init_transactions(self->producer, CALL_TIMEOUT_MS);
}

enum log_status kafka_init(struct log *log) {
  return retry(self_of(log), "init_transactions", try_init);
}

enum log_status kafka_begin(struct log *log) {
  struct log_kafka *self = self_of(log);
  self->undelivered = RD_KAFKA_RESP_ERR_NO_ERROR;
  self->refusing[0] = '\0';
  return kafka_judge(self, "begin_transaction", rd_kafka_begin_transaction(self->producer));
}

static void add_header(rd_kafka_headers_t *headers, const char *name, struct str value) {
  if (value.data) rd_kafka_header_add(headers, name, -1, value.data, (ssize_t)value.size);
}

static rd_kafka_headers_t *make_headers(const struct log_output *output) {
  if (!output->source.data)
    return NULL; /* a table's or a changelog's record: the last of many causes */
  rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
  add_header(headers, "correlation-id", output->correlation_id);
  add_header(headers, "causation", output->causation);
  add_header(headers, "source", output->source);
  add_header(headers, "traceparent", output->traceparent);
  add_header(headers, "error", output->error);
  add_header(headers, "whole-key", output->whole_key);
  add_header(headers, "whole-value", output->whole_value);
  /* Records carry the time of what caused them; this one is for people who ask where time went. */
  char now[TEXT_NUMBER_MAX], *end = text_number(now, clock_wall_ms());
  add_header(headers, "produced-at", (struct str){now, (size_t)(end - now)});
  return headers;
}

/* The partition is chosen here, by the count that the topic had at the start: if somebody adds
 * partitions while the process runs, keys must not move away from their earlier records. */
enum log_status kafka_produce(struct log *log, const struct log_output *output) {
  struct log_kafka *self = self_of(log);
  rd_kafka_headers_t *headers = make_headers(output);
  for (;;) {
    rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = self->topics[output->topic].handle},
        {.vtype = RD_KAFKA_VTYPE_PARTITION,
         .u.i32 = output->partition < 0
                      ? murmur2_partition(output->key, self->topics[output->topic].partitions)
                      : output->partition},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {(void *)(uintptr_t)output->key.data, output->key.size}},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {(void *)(uintptr_t)output->value.data, output->value.size}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = output->timestamp},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = output->landed},
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
    enum log_status status = kafka_judge(self, "produce", error);
    bool size = code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    return status == LOG_FATAL && !size && !rd_kafka_fatal_error(self->producer, NULL, 0)
               ? abort_unless_gone(self)
               : LOG_FATAL;
  }
}

/* Waits for what linger.ms sends, and does not flush: while rd_kafka_flush is called the broker
 * thread of librdkafka 2.0.2 polls without waiting for as long as a message may not be sent yet
 * (partitions not registered, requests in flight). Seven filters that did so took two cores from
 * their broker until it lost its own heartbeats. */
enum log_status kafka_settle(struct log *log) {
  struct log_kafka *self = self_of(log);
  while (self->outstanding) rd_kafka_poll(self->producer, DELIVERY_WAIT_MS);
  if (!self->undelivered) return LOG_OK;
  char reason[256];
  rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(self->producer, reason, sizeof reason);
  if (fatal) {
    if (!is_denied(self, fatal))
      failure_set(&log->failure, EX_TEMPFAIL, "the producer cannot go on: %s", reason);
    return LOG_FATAL;
  }
  failure_set(&log->failure, EX_TEMPFAIL, "a record was not delivered: %s",
              rd_kafka_err2str(self->undelivered));
  return abort_unless_gone(self);
}

enum log_status kafka_send_offsets(struct log *log, const struct log_position *positions,
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
  int64_t until = clock_monotonic_s() + TRANSACTION_GIVE_UP_S;
  do {
    status = kafka_judge(self, "send_offsets_to_transaction",
                         rd_kafka_send_offsets_to_transaction(self->producer, list,
                                                              self->membership, CALL_TIMEOUT_MS));
  } while (status == LOG_AGAIN && clock_monotonic_s() < until);
  rd_kafka_topic_partition_list_destroy(list);
  return status == LOG_AGAIN ? LOG_FATAL : status;
}

static rd_kafka_error_t *try_commit(struct log_kafka *self) {
  return rd_kafka_commit_transaction(self->producer, CALL_TIMEOUT_MS);
}

enum log_status kafka_commit(struct log *log) {
  struct log_kafka *self = self_of(log);
  enum log_status status = retry(self, "commit_transaction", try_commit);
  if (status == LOG_OK) kafka_watch_served(self->watch);
  return status;
}

/* Records of a transaction that has failed are purged, and say no more. librdkafka tells what it
 * failed for at the next call; whatever this one does is aborted. */
static void note_cause(struct log_kafka *self) {
  if (kafka_is_refused_for_good(self->undelivered) || !self->membership) return;
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, self->input, 0)->offset = 0;
  rd_kafka_error_t *error =
      rd_kafka_send_offsets_to_transaction(self->producer, list, self->membership, CALL_TIMEOUT_MS);
  rd_kafka_topic_partition_list_destroy(list);
  if (kafka_is_forbidden(rd_kafka_error_code(error)))
    self->undelivered = rd_kafka_error_code(error);
  if (error) rd_kafka_error_destroy(error);
}

static rd_kafka_error_t *try_abort(struct log_kafka *self) {
  return rd_kafka_abort_transaction(self->producer, CALL_TIMEOUT_MS);
}

enum log_status kafka_abort(struct log *log) {
  struct log_kafka *self = self_of(log);
  char reason[sizeof log->failure.text];
  snprintf(reason, sizeof reason, "%s", log->failure.text);
  note_cause(self);
  enum log_status status = retry(self, "abort_transaction", try_abort);
  bool denied =
      is_denied(self, self->undelivered); /* then nothing was begun that could be aborted */
  if (denied || status != LOG_OK) return LOG_FATAL;
  while (self->outstanding)
    rd_kafka_poll(self->producer, 1); /* reports of what was purged: they point into this batch */
  if (kafka_is_refused_for_good(self->undelivered)) {
    kafka_refused_for_good(self->producer, self->refusing, self->undelivered, &log->failure);
    return LOG_FATAL;
  }
  snprintf(log->failure.text, sizeof log->failure.text, "%s", reason);
  return LOG_OK;
}
