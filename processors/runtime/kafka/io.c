#include "runtime/kafka/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "runtime/kafka/access.h"
#include "runtime/kafka/client.h"
#include "runtime/kafka/gap.h"

#define POLL_MS 200
#define FETCH_MANY "1000000" /* bytes, or whatever is there after fetch.wait.max.ms */
#define SILENT_POLLS 150     /* longer than a transaction may stay open */

/* ---- producing ---- */

struct kafka_producer {
  rd_kafka_t *handle;
  rd_kafka_topic_t *topic;
  size_t delivered;
  rd_kafka_resp_err_t error; /* of the last record that was not delivered */
};

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque) {
  (void)handle;
  struct kafka_producer *producer = opaque;
  if (message->err) {
    producer->error = message->err;
  } else {
    producer->delivered++;
  }
}

struct kafka_producer *kafka_producer_open(const struct options *options, const char *topic,
                                           struct failure *failure) {
  struct kafka_producer *producer = xcalloc(1, sizeof *producer);
  char name[TOPIC_NAME_MAX];
  const struct kafka_setting forced[] = {
      {"enable.idempotence", "true"}, {"partitioner", "murmur2_random"}, {NULL, NULL}};
  rd_kafka_conf_t *conf = kafka_conf(options, "holdfast", forced, failure);
  if (conf) {
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, producer);
    producer->handle = kafka_open(RD_KAFKA_PRODUCER, conf, failure);
  }
  if (producer->handle &&
      kafka_partition_count(producer->handle, kafka_topic_name(options, topic, name), "Write",
                            failure) > 0) {
    producer->topic = rd_kafka_topic_new(producer->handle, name, NULL);
    return producer;
  }
  kafka_producer_close(producer);
  return NULL;
}

bool kafka_producer_send(struct kafka_producer *producer, struct str key, struct str value,
                         struct str correlation_id, struct failure *failure) {
  for (;;) {
    rd_kafka_resp_err_t error = rd_kafka_producev(
        producer->handle, RD_KAFKA_V_RKT(producer->topic), RD_KAFKA_V_KEY(key.data, key.size),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)value.data, value.size),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_HEADER("correlation-id", correlation_id.data, (ssize_t)correlation_id.size),
        RD_KAFKA_V_END);
    if (!error) {
      rd_kafka_poll(producer->handle, 0);
      return true;
    }
    if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
      if (access_is_no_writer(producer->handle, rd_kafka_topic_name(producer->topic), failure))
        return false;
      failure_set(failure, EX_UNAVAILABLE, "cannot produce: %s", rd_kafka_err2str(error));
      return false;
    }
    rd_kafka_poll(producer->handle, 50);
  }
}

bool kafka_producer_flush(struct kafka_producer *producer, size_t *delivered,
                          struct failure *failure) {
  while (rd_kafka_outq_len(producer->handle) > 0) rd_kafka_poll(producer->handle, 5);
  *delivered = producer->delivered;
  if (!producer->error) return true;
  const char *topic = rd_kafka_topic_name(producer->topic);
  if (access_is_no_writer(producer->handle, topic, failure)) return false;
  if (producer->error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
    return access_denied(failure, "Write", "topic", topic);
  return failure_set(failure, EX_UNAVAILABLE, "not everything was delivered: %s",
                     rd_kafka_err2str(producer->error));
}

void kafka_producer_close(struct kafka_producer *producer) {
  if (!producer) return;
  if (producer->topic) rd_kafka_topic_destroy(producer->topic);
  if (producer->handle) rd_kafka_destroy(producer->handle);
  free(producer);
}

/* ---- reading ---- */

struct kafka_reader {
  rd_kafka_t *handle;
  const struct options *options;
  rd_kafka_topic_t *topic;
  rd_kafka_queue_t *queue;
  rd_kafka_message_t *message; /* of the last record */
  int32_t first, count;        /* partitions */
  int64_t *ends;               /* -1: not at its end */
  int64_t *next;               /* the next offset of each partition; -1: not known yet */
  struct kafka_gap gap;        /* records that come by their place alone */
};

static void start(struct kafka_reader *reader, int32_t partition, int64_t from) {
  reader->next[partition - reader->first] = from < 0 ? -1 : from;
  int64_t offset = from == KAFKA_READ_BEGINNING ? RD_KAFKA_OFFSET_BEGINNING
                   : from == KAFKA_READ_END     ? RD_KAFKA_OFFSET_END
                   : from < KAFKA_READ_BEGINNING
                       ? RD_KAFKA_OFFSET_TAIL(-(from - KAFKA_READ_BEGINNING))
                       : from;
  rd_kafka_consume_start_queue(reader->topic, partition, offset, reader->queue);
}

static void stop(struct kafka_reader *reader) {
  if (reader->message) rd_kafka_message_destroy(reader->message);
  reader->message = NULL;
  for (int32_t i = 0; i < reader->count && reader->topic; i++)
    rd_kafka_consume_stop(reader->topic, reader->first + i);
  if (reader->queue) rd_kafka_queue_destroy(reader->queue);
  if (reader->topic) rd_kafka_topic_destroy(reader->topic);
  reader->queue = NULL;
  reader->topic = NULL;
  free(reader->ends);
  free(reader->next);
  reader->ends = reader->next = NULL;
  reader->gap = KAFKA_NO_GAP;
}

/* partition -1: all. The topic's partition count, or -1. */
static int32_t choose(struct kafka_reader *reader, const char *topic, int32_t partition,
                      struct failure *failure) {
  char name[TOPIC_NAME_MAX];
  stop(reader);
  int32_t partitions = kafka_partition_count(
      reader->handle, kafka_topic_name(reader->options, topic, name), "Read", failure);
  if (partitions > 0 && partition >= partitions) {
    failure_set(failure, EX_USAGE, "'%s' has the partitions 0 to %d", topic, (int)partitions - 1);
    return -1;
  }
  if (partitions < 0) return -1;
  reader->first = partition < 0 ? 0 : partition;
  reader->count = partition < 0 ? partitions : 1;
  reader->ends = xcalloc((size_t)reader->count, sizeof *reader->ends);
  reader->next = xcalloc((size_t)reader->count, sizeof *reader->next);
  for (int32_t i = 0; i < reader->count; i++) reader->ends[i] = -1;
  reader->topic = rd_kafka_topic_new(reader->handle, name, NULL);
  reader->queue = rd_kafka_queue_new(reader->handle);
  return partitions;
}

static struct kafka_reader *new_reader(const struct options *options, const char *fetch_least,
                                       struct failure *failure) {
  struct kafka_reader *reader = xcalloc(1, sizeof *reader);
  reader->options = options;
  const struct kafka_setting forced[] = {
      {"isolation.level", "read_committed"},
      {"enable.partition.eof", "true"},
      /* If the beginning is gone, the rest is read; by default nothing would be. */
      {"auto.offset.reset", "smallest"},
      {"fetch.wait.max.ms",
       "20"}, /* the end of a partition is told when a fetch comes back empty */
      {"fetch.min.bytes", fetch_least},
      {"fetch.error.backoff.ms", "20"},
      {"queued.min.messages", "100000"}, /* lasts while librdkafka does not look: wake_fetcher */
      {NULL, NULL}};
  rd_kafka_conf_t *conf = kafka_conf(options, "holdfast", forced, failure);
  reader->handle = conf ? kafka_open(RD_KAFKA_CONSUMER, conf, failure) : NULL;
  if (reader->handle) return reader;
  kafka_reader_close(reader);
  return NULL;
}

struct kafka_reader *kafka_reader_new(const struct options *options, struct failure *failure) {
  return new_reader(options, "1", failure);
}

static struct kafka_reader *read_from(struct kafka_reader *reader, const char *topic,
                                      int32_t partition, int64_t from, struct failure *failure) {
  if (!reader || choose(reader, topic, partition, failure) < 0) {
    kafka_reader_close(reader);
    return NULL;
  }
  for (int32_t i = 0; i < reader->count; i++) start(reader, reader->first + i, from);
  return reader;
}

struct kafka_reader *kafka_reader_open(const struct options *options, const char *topic,
                                       int32_t partition, int64_t from, struct failure *failure) {
  return read_from(kafka_reader_new(options, failure), topic, partition, from, failure);
}

struct kafka_reader *kafka_reader_follow(const struct options *options, const char *topic,
                                         struct failure *failure) {
  return read_from(new_reader(options, FETCH_MANY, failure), topic, -1, KAFKA_READ_END, failure);
}

bool kafka_reader_turn_to(struct kafka_reader *reader, const char *topic, const int64_t *from,
                          struct failure *failure) {
  if (choose(reader, topic, -1, failure) < 0) return false;
  for (int32_t i = 0; i < reader->count; i++) start(reader, i, from[i]);
  return true;
}

int32_t kafka_reader_partitions(const struct kafka_reader *reader) {
  return reader->count;
}

int64_t kafka_reader_end(const struct kafka_reader *reader, int32_t partition) {
  return reader->ends[partition - reader->first];
}

static void convert(rd_kafka_message_t *message, struct message *record) {
  rd_kafka_headers_t *headers = NULL;
  rd_kafka_message_headers(message, &headers);
  *record = (struct message){.offset = message->offset,
                             .timestamp = rd_kafka_message_timestamp(message, NULL),
                             .key = {message->key, message->key_len},
                             .value = {message->payload, message->len},
                             .correlation_id = kafka_header(headers, "correlation-id"),
                             .causation = kafka_header(headers, "causation"),
                             .source = kafka_header(headers, "source"),
                             .traceparent = kafka_header(headers, "traceparent"),
                             .error = kafka_header(headers, "error"),
                             .whole_key = kafka_header(headers, "whole-key"),
                             .whole_value = kafka_header(headers, "whole-value"),
                             .produced_at = kafka_header(headers, "produced-at")};
}

static enum kafka_read next_of_gap(struct kafka_reader *reader, int32_t *partition,
                                   struct message *record) {
  int64_t offset;
  if (!kafka_gap_next(&reader->gap, &offset)) return KAFKA_READ_NOTHING;
  *partition = reader->gap.partition;
  *record = (struct message){.offset = offset, .fault = reader->gap.why};
  return KAFKA_READ_RECORD;
}

/* As in the group's consumer: read on behind it, or once more. */
static void meet_gap(struct kafka_reader *reader, const rd_kafka_message_t *message) {
  int64_t from = reader->next[message->partition - reader->first];
  if (from < 0) from = message->offset;
  reader->ends[message->partition - reader->first] = -1;
  reader->gap = KAFKA_NO_GAP;
  bool found = kafka_gap_find(reader->options, rd_kafka_topic_name(reader->topic),
                              message->partition, from, &reader->gap);
  rd_kafka_consume_stop(reader->topic, message->partition);
  start(reader, message->partition, found ? reader->gap.last + 1 : from);
}

enum kafka_read kafka_reader_next(struct kafka_reader *reader, int timeout_ms, int32_t *partition,
                                  struct message *record, struct failure *failure) {
  if (next_of_gap(reader, partition, record) == KAFKA_READ_RECORD) return KAFKA_READ_RECORD;
  if (reader->message) rd_kafka_message_destroy(reader->message);
  reader->message = rd_kafka_consume_queue(reader->queue, timeout_ms);
  rd_kafka_message_t *message = reader->message;
  if (!message) return KAFKA_READ_NOTHING;
  *partition = message->partition;
  if (!message->err) {
    int64_t *next = &reader->next[message->partition - reader->first];
    if (message->offset < *next) return KAFKA_READ_NOTHING; /* of before a gap was met */
    *next = message->offset + 1;
    reader->ends[message->partition - reader->first] = -1;
    convert(message, record);
    return KAFKA_READ_RECORD;
  }
  if (kafka_gap_reason(message->err)) {
    meet_gap(reader, message);
    return next_of_gap(reader, partition, record);
  }
  if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    if (message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
      access_denied(failure, "Read", "topic", rd_kafka_topic_name(reader->topic));
    else
      failure_set(failure, EX_UNAVAILABLE, "reading: %s", rd_kafka_message_errstr(message));
    return KAFKA_READ_FAILED;
  }
  reader->ends[message->partition - reader->first] = message->offset;
  for (int32_t i = 0; i < reader->count; i++) {
    if (reader->ends[i] < 0) return KAFKA_READ_NOTHING;
  }
  return KAFKA_READ_AT_END;
}

void kafka_reader_close(struct kafka_reader *reader) {
  if (!reader) return;
  stop(reader);
  if (reader->handle) rd_kafka_destroy(reader->handle);
  free(reader);
}

bool kafka_read_up_to(const struct options *options, const char *topic, int32_t partition,
                      int64_t until,
                      void (*take)(void *user, int32_t partition, const struct message *record),
                      void *user, struct failure *failure) {
  if (until == 0) return true;
  struct kafka_reader *reader =
      kafka_reader_open(options, topic, partition, KAFKA_READ_BEGINNING, failure);
  if (!reader) return false;
  bool done = false, failed = false;
  for (int silent = 0; !done && !failed && silent < SILENT_POLLS; silent++) {
    struct message record;
    int32_t from;
    enum kafka_read read = kafka_reader_next(reader, POLL_MS, &from, &record, failure);
    failed = read == KAFKA_READ_FAILED;
    done = read == KAFKA_READ_RECORD
               ? until >= 0 && record.offset >= until
               : read == KAFKA_READ_AT_END && (until < 0 || reader->ends[0] >= until);
    if (read != KAFKA_READ_RECORD || done) continue;
    take(user, from, &record);
    silent = 0;
  }
  if (!done && !failed)
    failure_set(failure, EX_TEMPFAIL, "'%s' does not come to its end: is a transaction open there?",
                topic);
  kafka_reader_close(reader);
  return done;
}
