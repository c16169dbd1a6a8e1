/* The log on Kafka, shared by its three files: log.c (handles, changelogs), group.c (the
 * group consumer), and transaction.c (the producer, and the one place that judges its errors). */
#ifndef HOLDFAST_KAFKA_INTERNAL_H
#define HOLDFAST_KAFKA_INTERNAL_H

#include "runtime/base/arena.h"
#include "runtime/kafka/access.h"
#include "runtime/kafka/client.h"
#include "runtime/kafka/gap.h"
#include "runtime/kafka/watch.h"
#include "runtime/log/log.h"

#define TOPICS_MAX 16
#define CALL_TIMEOUT_MS 5000
/* Of one question, which is asked again: a start must not hang on one that gets no answer. */
#define MEMBERS_TIMEOUT_MS 1000

struct kafka_topic {
  rd_kafka_topic_t *handle; /* of the producer */
  int32_t partitions;
};

struct log_kafka {
  struct log log;
  rd_kafka_t *consumer, *producer, *reader;
  rd_kafka_consumer_group_metadata_t *membership; /* of the last assignment: it fences offsets */
  char input[TOPIC_NAME_MAX], changelog[TOPIC_NAME_MAX];
  const char *client, *input_name;   /* as declared; borrowed */
  char slot_id[TOPIC_NAME_MAX + 16]; /* transactional id, and static membership */
  rd_kafka_topic_t *changelog_topic; /* of the reader */
  const struct options *options;
  struct kafka_topic topics[TOPICS_MAX];
  int topic_count;
  struct kafka_watch *watch;
  bool revoked, assigned; /* happened in the callback, not told yet */
  bool holding;           /* an assignment, though it may be empty */
  int32_t *assignment;
  size_t assignment_count, assignment_capacity;
  int64_t no_offset_since; /* monotonic seconds; 0: an offset was found */
  rd_kafka_queue_t *queue; /* of the consumer */
  size_t queue_messages;   /* queued.min.messages */
  size_t taken;            /* records, since the fetcher was woken */
  int64_t *next;        /* by partition of the input: the offset that the next poll should give */
  struct kafka_gap gap; /* records of the input that come by their place alone */
  int32_t input_partitions;
  size_t outstanding;              /* deliveries */
  rd_kafka_resp_err_t undelivered; /* of the open transaction: why a record is not there */
  char refusing[TOPIC_NAME_MAX];   /* the topic that refused it for good; "": unknown */
};

static inline struct log_kafka *self_of(struct log *log) {
  return (struct log_kafka *)log;
}

/* ---- group.c ---- */
void kafka_on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t error,
                        rd_kafka_topic_partition_list_t *partitions, void *opaque);
void kafka_take_message(rd_kafka_message_t *message, struct log_record *out);
enum log_status kafka_foresee(struct log *log, struct log_foreseen *out);
enum log_status kafka_join(struct log *log);
void kafka_poll(struct log *log, int timeout_ms, struct log_event *event);
bool kafka_answers(struct log *log);
void kafka_release(struct log *log, struct log_record *record);
enum log_status kafka_seek(struct log *log, int32_t partition, int64_t offset);
enum log_status kafka_resume(struct log *log, int32_t partition);
enum log_status kafka_committed(struct log *log, int32_t partition, struct log_offset *out);

/* ---- log.c ---- */
enum log_status kafka_bounds(struct log *log, enum log_source source, int32_t partition,
                             int64_t *first, int64_t *end);

/* The classes of errors that a question about a topic or a group can end with. */
bool kafka_is_out_of_range(rd_kafka_resp_err_t error);
bool kafka_is_unknown_topic(rd_kafka_resp_err_t error);

/* True with the failure set if the brokers say, more than once, that there is no such topic, or that
 * this process may not see it. If none answers, the topic is not gone. `topic` as on the broker;
 * operation: as in kafka_partition_count. */
bool kafka_is_gone(struct log_kafka *self, const char *topic, const char *operation);

/* True with the failure set where the error says that an ACL is missing. operation and topic: what
 * was tried, should it be the topic's. */
bool kafka_is_denied(struct log_kafka *self, rd_kafka_resp_err_t error, const char *operation,
                     const char *topic);

/* LOG_FATAL where asking again cannot help (the topic is gone, access is refused), with the failure
 * set; else LOG_AGAIN with the hindrance set. what: "reading". */
enum log_status kafka_question_failed(struct log_kafka *self, const char *what, const char *topic,
                                      int32_t partition, rd_kafka_resp_err_t error);
rd_kafka_t *kafka_open_producer(struct log_kafka *self, struct failure *failure);

/* ---- transaction.c ---- */
/* The class of an error: fatal, then abort, then retriable, else fatal, in the order of
 * librdkafka's own advice. Takes the error and sets the log's failure. */
enum log_status kafka_judge(struct log_kafka *self, const char *what, rd_kafka_error_t *error);
void kafka_on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque);
enum log_status kafka_init(struct log *log);
enum log_status kafka_begin(struct log *log);
enum log_status kafka_produce(struct log *log, const struct log_output *output);
enum log_status kafka_settle(struct log *log);
enum log_status kafka_send_offsets(struct log *log, const struct log_position *positions,
                                   size_t count);
enum log_status kafka_commit(struct log *log);
enum log_status kafka_abort(struct log *log);

/* ---- admin.c ---- */
struct kafka_admin {
  rd_kafka_t *handle;
  rd_kafka_queue_t *queue;
  const struct options *options;
};

/* The answer to a request, to be destroyed; NULL with the failure set. */
rd_kafka_event_t *kafka_admin_await(struct kafka_admin *admin, struct failure *failure,
                                    const char *what);

#endif
