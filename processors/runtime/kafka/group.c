/* The group consumer of the log on Kafka: assignment, polling, positions, committed offsets. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "runtime/base/clock.h"
#include "runtime/kafka/internal.h"
#include "runtime/kafka/members.h"
#include "runtime/kafka/version.h"
#include "runtime/base/report.h"
#include "runtime/core/recovery.h"

#define COMMITTED_TIMEOUT_MS 250
#define SEEK_TIMEOUT_MS 1000
#define SEEK_GIVE_UP_S 15
#define PROBE_TIMEOUT_MS 2000
/* A coordinator that is just loading can know of no offset yet. */
#define NO_OFFSET_GIVE_UP_S 5
#define WAKE_TIMEOUT_MS 5
#define BOUNDS_GIVE_UP_S 5
#define BOUNDS_PAUSE_MS 100
#define COORDINATOR_PATIENCE_S 5
#define COORDINATOR_PAUSE_MS 50

void kafka_on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t error,
                        rd_kafka_topic_partition_list_t *partitions, void *opaque) {
  struct log_kafka *self = opaque;
  if (error != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    /* Nothing is open while this thread polls: there is nothing to commit or abort before giving
     * up. */
    rd_kafka_assign(consumer, NULL);
    self->revoked = true;
    self->assigned = self->holding = false;
    self->gap = KAFKA_NO_GAP;
    return;
  }
  /* Anywhere that is there, since each partition is paused until the table of recovery says where
   * it goes on. Without an offset librdkafka would ask for the committed ones itself; and a fetch
   * that went out before the pause, for an offset that is gone, would leave a partition that
   * refuses every seek. */
  for (int i = 0; i < partitions->cnt; i++) partitions->elems[i].offset = RD_KAFKA_OFFSET_BEGINNING;
  /* The places of a former assignment say nothing of this one. */
  for (int32_t i = 0; i < self->input_partitions; i++) self->next[i] = -1;
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

/* librdkafka joins again only two to three seconds after a coordinator that was still loading: it is
 * asked until it has loaded. False: the group is not for this process. */
static bool await_coordinator(struct log_kafka *self) {
  char text[TOPIC_NAME_MAX];
  const char *group = kafka_topic_name(self->options, self->client, text);
  for (int64_t until = clock_monotonic_s() + COORDINATOR_PATIENCE_S; clock_monotonic_s() < until;) {
    struct kafka_members ignored;
    rd_kafka_resp_err_t error =
        kafka_ask_members(self->producer, group, self->slot_id, MEMBERS_TIMEOUT_MS, &ignored);
    if (kafka_is_denied(self, error, "Read", self->input)) return false;
    if (error != RD_KAFKA_RESP_ERR__TIMED_OUT && !kafka_is_coordinator_settling(error)) return true;
    rd_kafka_poll(self->producer, COORDINATOR_PAUSE_MS);
  }
  return true;
}

enum log_status kafka_join(struct log *log) {
  struct log_kafka *self = self_of(log);
  if (!await_coordinator(self)) return LOG_FATAL;
  rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(topics, self->input, RD_KAFKA_PARTITION_UA);
  rd_kafka_resp_err_t error = rd_kafka_subscribe(self->consumer, topics);
  rd_kafka_topic_partition_list_destroy(topics);
  if (!error) return LOG_OK;
  failure_set(&log->failure, EX_TEMPFAIL, "cannot subscribe to %s: %s", self->input,
              rd_kafka_err2str(error));
  return LOG_FATAL;
}

/* Of headers with the same name the last counts. */
static void take_headers(const rd_kafka_message_t *message, struct log_record *out) {
  struct {
    const char *name;
    struct str *into;
  } wanted[] = {{"correlation-id", &out->correlation_id},
                {"causation", &out->causation},
                {"traceparent", &out->traceparent}};
  rd_kafka_headers_t *headers = NULL;
  rd_kafka_message_headers(message, &headers);
  const char *name;
  const void *value;
  size_t size;
  for (size_t i = 0; headers && !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++) {
    out->size += strlen(name) + size;
    for (size_t j = 0; j < sizeof wanted / sizeof *wanted; j++) {
      if (strcmp(name, wanted[j].name) == 0) *wanted[j].into = (struct str){value, size};
    }
  }
}

void kafka_take_message(rd_kafka_message_t *message, struct log_record *out) {
  *out = (struct log_record){.partition = message->partition,
                             .offset = message->offset,
                             .timestamp = rd_kafka_message_timestamp(message, NULL),
                             .key = {message->key, message->key_len},
                             .value = {message->payload, message->len},
                             .size = message->key_len + message->len,
                             .owner = message};
  take_headers(message, out);
  if (message->payload == NULL) out->value = (struct str){0};
}

/* A topic that was just made again is not known to a handle that knew the former one: each question
 * brings what the next one needs. */
static enum log_status ask_for_bounds(struct log_kafka *self, int32_t partition, int64_t *first,
                                      int64_t *end) {
  int64_t until = clock_monotonic_s() + BOUNDS_GIVE_UP_S;
  for (;;) {
    enum log_status status = kafka_bounds(&self->log, LOG_INPUT, partition, first, end);
    if (status != LOG_AGAIN || clock_monotonic_s() >= until) return status;
    rd_kafka_poll(self->producer, BOUNDS_PAUSE_MS);
  }
}

/* Before the first seek of an assignment it is of no interest: the table of recovery judges where
 * the group stands. */
static bool is_out_of_range(struct log_kafka *self, int32_t partition) {
  int64_t first, end, next = self->next[partition];
  if (next < 0) return false;
  enum log_status status = ask_for_bounds(self, partition, &first, &end);
  if (status == LOG_FATAL) return true; /* it says why */
  if (status == LOG_AGAIN) {
    failure_set(&self->log.failure, EX_TEMPFAIL,
                "offset %" PRId64 " of partition %" PRId32 " of '%s' is not in the log, and %s",
                next, partition, self->input, self->log.hindrance);
  } else if (next >= first && next <= end) {
    failure_set(&self->log.failure, EX_TEMPFAIL,
                "partition %" PRId32 " of '%s' was without offset %" PRId64
                " and has it again: its records are looked at anew at the next start",
                partition, self->input, next);
  } else {
    recovery_tell_input(self->client, self->input, partition, next, first, end, &self->log.failure);
  }
  return true;
}

/* The meaning of consumer errors: true if the filter cannot go on. */
static bool consumer_failed(struct log_kafka *self, const rd_kafka_message_t *message) {
  char text[256];
  struct failure *failure = &self->log.failure;
  switch ((int)message->err) { /* a few of more than a hundred */
    case RD_KAFKA_RESP_ERR__FATAL:
      rd_kafka_fatal_error(self->consumer, text, sizeof text);
      failure_set(failure, EX_TEMPFAIL, "the consumer cannot go on: %s", text);
      return true;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: return is_out_of_range(self, message->partition);
    default: report_warning("consumer: %s", rd_kafka_message_errstr(message));
  }
  return kafka_question_failed(self, "reading", self->input, message->partition, message->err) ==
         LOG_FATAL;
}

bool kafka_answers(struct log *log) {
  return kafka_answers_within(self_of(log)->producer, PROBE_TIMEOUT_MS);
}

static void tell_watch(struct log_kafka *self) {
  kafka_watch_turned(self->watch);
  if (self->membership && self->holding && !rd_kafka_assignment_lost(self->consumer))
    kafka_watch_served(self->watch);
}

/* The partition counts are frozen; a partition that was added while this process runs has no place
 * here. */
static bool fits(struct log_kafka *self) {
  for (size_t i = 0; i < self->assignment_count; i++) {
    if (self->assignment[i] < self->input_partitions) continue;
    failure_set(&self->log.failure, EX_CONFIG,
                "'%s' has more partitions than the %" PRId32
                " it had at the start: see 'holdfast topics plan'",
                self->input, self->input_partitions);
    return false;
  }
  return true;
}

/* The end of a partition lies past the markers of transactions, which are never polled: without it
 * they would look like a lag. */
static bool is_end(struct log_kafka *self, const rd_kafka_message_t *message) {
  if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) return false;
  int64_t *next = &self->next[message->partition];
  if (*next >= 0 && *next < message->offset) *next = message->offset;
  return true;
}

/* The next record or error. Ends of partitions stand between records where these come one by one: a
 * batch must not end at each of them. */
static rd_kafka_message_t *next_message(struct log_kafka *self, int timeout_ms) {
  rd_kafka_message_t *message = rd_kafka_consumer_poll(self->consumer, timeout_ms);
  while (message && is_end(self, message)) {
    rd_kafka_message_destroy(message);
    message = rd_kafka_consumer_poll(self->consumer, 0);
  }
  return message;
}

/* librdkafka before 2.2 stops fetching while its queue holds queued.min.messages, and then looks
 * again only after a second, or when its broker thread has something else to do (later ones:
 * fetch.queue.backoff.ms). A queue that lasts for a second would take much memory: a request wakes
 * the thread. Its answer is of no interest. */
static void wake_fetcher(struct log_kafka *self) {
  self->taken = 0;
  if (!kafka_fetcher_sleeps()) return;
  if (rd_kafka_queue_length(self->queue) >= self->queue_messages) return;
  rd_kafka_topic_partition_list_t *list =
      rd_kafka_topic_partition_list_new((int)self->assignment_count);
  for (size_t i = 0; i < self->assignment_count; i++)
    rd_kafka_topic_partition_list_add(list, self->input, self->assignment[i])->offset =
        RD_KAFKA_OFFSET_END;
  rd_kafka_offsets_for_times(self->consumer, list, WAKE_TIMEOUT_MS);
  rd_kafka_topic_partition_list_destroy(list);
}

/* A batch that no record can be made of: its records come by their places. Whether it is one or
 * not, its partition is read again from where that is known, as librdkafka may have read on. False:
 * the log failed. */
static bool meet_gap(struct log_kafka *self, const rd_kafka_message_t *message) {
  int32_t partition = message->partition;
  int64_t from = partition >= 0 && partition < self->input_partitions ? self->next[partition] : -1;
  if (from < 0) return true; /* the table of recovery has not said yet where it goes on */
  struct kafka_gap gap = KAFKA_NO_GAP;
  report_warning("%s-%" PRId32 "@%" PRId64 ": %s", self->input, partition, from,
                 rd_kafka_message_errstr(message));
  bool found = kafka_gap_find(self->options, self->input, partition, from, &gap);
  if (kafka_seek(&self->log, partition, found ? gap.last + 1 : from) != LOG_OK) return false;
  self->gap = gap;
  return true;
}

static bool next_of_gap(struct log_kafka *self, struct log_event *event) {
  int64_t offset;
  if (!kafka_gap_next(&self->gap, &offset)) return false;
  event->kind = LOG_RECORD;
  event->record = (struct log_record){
      .partition = self->gap.partition, .offset = offset, .fault = self->gap.why};
  return true;
}

void kafka_poll(struct log *log, int timeout_ms, struct log_event *event) {
  struct log_kafka *self = self_of(log);
  *event = (struct log_event){.kind = LOG_IDLE};
  if (next_of_gap(self, event)) return;
  rd_kafka_message_t *message =
      self->revoked || self->assigned ? NULL : next_message(self, timeout_ms);
  if (self->revoked || self->assigned) {
    /* A message can only be of an assignment that has ended: the next owner reads it. */
    if (message) rd_kafka_message_destroy(message);
    event->kind = self->revoked ? LOG_REVOKED : fits(self) ? LOG_ASSIGNED : LOG_FAILED;
    event->partitions = self->assignment;
    event->partition_count = self->assignment_count;
    if (self->revoked)
      self->revoked = false;
    else
      self->assigned = false;
    return;
  }
  if (!message) {
    rd_kafka_poll(self->producer, 0);
    tell_watch(self);
    return;
  }
  if (!message->err) {
    event->kind = LOG_RECORD;
    kafka_take_message(message, &event->record);
    if (++self->taken >= self->queue_messages / 2) wake_fetcher(self);
    self->next[message->partition] = message->offset + 1;
    return;
  }
  bool fine =
      kafka_gap_reason(message->err) ? meet_gap(self, message) : !consumer_failed(self, message);
  if (!fine) event->kind = LOG_FAILED;
  rd_kafka_message_destroy(message);
}

void kafka_release(struct log *log, struct log_record *record) {
  (void)log;
  if (record->owner) rd_kafka_message_destroy(record->owner);
  *record = (struct log_record){0};
}

static rd_kafka_topic_partition_list_t *one_partition(struct log_kafka *self, int32_t partition) {
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, self->input, partition);
  return list;
}

/* A seek can meet the start of the partition that its assignment asked for, and is then refused or
 * forgotten: it is asked for again. The runtime passes over records that come twice by that, as it
 * knows the offset that it has polled to. */
enum log_status kafka_seek(struct log *log, int32_t partition, int64_t offset) {
  struct log_kafka *self = self_of(log);
  rd_kafka_topic_partition_list_t *list = one_partition(self, partition);
  enum log_status status;
  rd_kafka_resp_err_t error;
  int64_t until = clock_monotonic_s() + SEEK_GIVE_UP_S;
  do {
    list->elems[0].offset = offset;
    list->elems[0].err = RD_KAFKA_RESP_ERR_NO_ERROR;
    status = kafka_judge(
        self, "seek",
        rd_kafka_seek_partitions(self->consumer, list, kafka_seek_timeout(SEEK_TIMEOUT_MS)));
    error = list->elems[0].err;
    if (status == LOG_OK && !error) break;
    rd_kafka_poll(self->producer, 10);
  } while (clock_monotonic_s() < until && !rd_kafka_fatal_error(self->consumer, NULL, 0));
  if (status == LOG_OK && error) {
    failure_set(&log->failure, EX_TEMPFAIL, "seek to %" PRId64 " in partition %" PRId32 ": %s",
                offset, partition, rd_kafka_err2str(error));
    status = LOG_FATAL;
  }
  rd_kafka_topic_partition_list_destroy(list);
  self->next[partition] = offset;
  if (self->gap.partition == partition) self->gap = KAFKA_NO_GAP;
  return status == LOG_OK ? LOG_OK : LOG_FATAL;
}

enum log_status kafka_resume(struct log *log, int32_t partition) {
  struct log_kafka *self = self_of(log);
  rd_kafka_topic_partition_list_t *list = one_partition(self, partition);
  rd_kafka_resp_err_t error = rd_kafka_resume_partitions(self->consumer, list);
  rd_kafka_topic_partition_list_destroy(list);
  if (!error) return LOG_OK;
  failure_set(&log->failure, EX_TEMPFAIL, "resume of partition %" PRId32 ": %s", partition,
              rd_kafka_err2str(error));
  return LOG_FATAL;
}

/* read_committed asks for stable offsets: the broker answers only once no transaction could change
 * them (KIP-447). */
enum log_status kafka_committed(struct log *log, int32_t partition, struct log_offset *out) {
  struct log_kafka *self = self_of(log);
  rd_kafka_topic_partition_list_t *list = one_partition(self, partition);
  rd_kafka_resp_err_t error = rd_kafka_committed(self->consumer, list, COMMITTED_TIMEOUT_MS);
  const rd_kafka_topic_partition_t *answer = &list->elems[0];
  enum log_status status = LOG_OK;
  log->hindrance[0] = '\0';
  if (!error) error = answer->err;
  if (error == RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT) {
    status = LOG_AGAIN; /* a transaction is open that would change it */
  } else if (error) {
    status = kafka_question_failed(self, "asking for the committed offset of", self->input,
                                   partition, error);
  } else {
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
  if (!self->no_offset_since) self->no_offset_since = clock_monotonic_s();
  return clock_monotonic_s() - self->no_offset_since < NO_OFFSET_GIVE_UP_S ? LOG_AGAIN : LOG_OK;
}
