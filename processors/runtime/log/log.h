/* The log as the runtime sees it: a consumer group on one input topic, a transactional producer,
 * and a reader of changelogs.
 *
 * Two implementations: Kafka (kafka/log.c) and a log in memory with the same semantics
 * (memory/log.c). One thread uses a log.
 *
 * Transactions are Kafka's (KIP-98) with the group's metadata in the offset commit (KIP-447).
 * Errors come in three classes, judged in this order by the implementation: a fatal error ends the
 * process, an error that asks for an abort ends the transaction, a retriable one was tried again
 * inside until it ended. A commit whose outcome stays unknown is fatal: it is never guessed. */
#ifndef HOLDFAST_LOG_LOG_H
#define HOLDFAST_LOG_LOG_H

#include "runtime/base/arena.h"
#include "runtime/base/failure.h"
#include "runtime/base/str.h"

enum log_status {
  LOG_OK,
  LOG_AGAIN, /* not yet: ask again; the transaction, if any, is as it was */
  LOG_ABORT, /* this transaction cannot commit: abort it */
  LOG_FATAL  /* this process cannot go on; report_error says why */
};

/* The topics that a filter reads. */
enum log_source { LOG_INPUT, LOG_CHANGELOG };

enum log_event_kind { LOG_IDLE, LOG_RECORD, LOG_ASSIGNED, LOG_REVOKED, LOG_FAILED };

struct log_record {
  int32_t partition;
  int64_t offset;
  int64_t timestamp;     /* milliseconds since 1970 */
  struct str key, value; /* data is NULL for null: a null value is a tombstone */
  struct str correlation_id, causation, traceparent;
  /* The reason for which its bytes cannot be had: only partition and offset are known then. Static;
   * NULL: they are there */
  const char *fault;
  size_t size; /* bytes of key, value and all headers, in memory */
  void *owner; /* of what the record borrows; log_release gives it back */
};

struct log_event {
  enum log_event_kind kind;
  struct log_record record; /* LOG_RECORD: hand to log_release */
  /* LOG_ASSIGNED: valid until the next poll. They are paused: resume each when it is ready */
  const int32_t *partitions;
  size_t partition_count;
};

struct log_offset {
  int64_t offset; /* -1: none was ever committed */
  char metadata[160];
};

struct log_position {
  int32_t partition;
  int64_t offset;
  const char *metadata;
};

/* The offsets at which records have landed, as far as the log has acknowledged them. -1: none
 * has. */
struct log_landed {
  int64_t first, last;
};

static inline void log_has_landed(struct log_landed *landed, int64_t offset) {
  if (offset < 0) return; /* it does not say where */
  if (landed->first < 0 || offset < landed->first) landed->first = offset;
  if (offset > landed->last) landed->last = offset;
}

struct log_output {
  int topic;         /* of log_topic */
  int32_t partition; /* -1: by the key, with murmur2 as JVM clients do */
  struct str key, value;
  int64_t timestamp;
  struct str correlation_id, causation, source, traceparent, error, whole_key,
      whole_value; /* headers; without data: left out */
  /* Widened by the record's offset when the log has it; NULL: not wanted */
  struct log_landed *landed;
};

struct log_foreseen {
  bool member;         /* the slot is of the group: the partitions are its own */
  int32_t *partitions; /* else those that it would own. In their order */
  size_t count;        /* 0 where the group is empty */
};

/* The range assignor by slots, as by group.instance.id: how many partitions the member at `place`
 * has, from *first on. */
static inline int32_t log_range(int32_t place, int32_t members, int32_t partitions,
                                int32_t *first) {
  int32_t share = partitions / members, extra = partitions % members;
  *first = place * share + (place < extra ? place : extra);
  return share + (place < extra);
}

/* Sets the partitions to that range. */
static inline void log_foreseen_take(struct log_foreseen *out, int32_t place, int32_t members,
                                     int32_t partitions) {
  int32_t first;
  out->count = (size_t)log_range(place, members, partitions, &first);
  out->partitions = xcalloc(out->count + 1, sizeof *out->partitions);
  for (size_t i = 0; i < out->count; i++) out->partitions[i] = first + (int32_t)i;
}

struct log;

struct log_class {
  void (*close)(struct log *log);

  /* Ends whatever transaction this slot left open, and fences its former owner. Before join. */
  enum log_status (*init)(struct log *log);
  /* The partitions of this slot by the members of its group now: LOG_OK with *out, whose array is
   * the caller's to free; LOG_AGAIN: nobody can say; LOG_FATAL: nor may this process ever hear. NULL:
   * nobody ever can. */
  enum log_status (*foresee)(struct log *log, struct log_foreseen *out);
  enum log_status (*join)(struct log *log);

  /* An event, or LOG_IDLE after timeout_ms. After LOG_REVOKED all records polled before it belong
   * to others. */
  void (*poll)(struct log *log, int timeout_ms, struct log_event *event);
  void (*release)(struct log *log, struct log_record *record);
  enum log_status (*seek)(struct log *log, int32_t partition, int64_t offset);
  enum log_status (*resume)(struct log *log, int32_t partition);

  /* The stable committed offset: LOG_AGAIN while a transaction that would change it is pending. */
  enum log_status (*committed)(struct log *log, int32_t partition, struct log_offset *out);

  enum log_status (*begin)(struct log *log);
  enum log_status (*produce)(struct log *log, const struct log_output *output);
  enum log_status (*settle)(struct log *log); /* waits until every delivery is acknowledged */
  enum log_status (*send_offsets)(struct log *log, const struct log_position *positions,
                                  size_t count);
  enum log_status (*commit)(struct log *log);
  enum log_status (*abort)(struct log *log);

  /* The changelog of one input partition, read_committed. LOG_AGAIN: nothing at the moment;
   * *position has moved past what was aborted or compacted away. Records are released like those of
   * poll. */
  enum log_status (*changelog_open)(struct log *log, int32_t partition, int64_t from);
  enum log_status (*changelog_next)(struct log *log, int32_t partition, struct log_record *out,
                                    int64_t *position);
  void (*changelog_close)(struct log *log, int32_t partition);

  /* The first offset of a partition and the one after its last, whether committed or not.
   * LOG_FATAL: the topic is gone, or nobody lets this process look at it. */
  enum log_status (*bounds)(struct log *log, enum log_source source, int32_t partition,
                            int64_t *first, int64_t *end);

  /* A number by which outputs name their topic; -1 with a failure if it does not exist. */
  int (*topic)(struct log *log, const char *name);
  int32_t (*partition_count)(struct log *log, int topic);
  /* Records not yet polled, as last heard; -1: unknown */
  int64_t (*lag)(struct log *log, int32_t partition);
  bool (*answers)(struct log *log); /* asks a broker, for seconds at most. NULL: always */
  int64_t (*now)(struct log *log);  /* milliseconds since 1970 */
};

struct log {
  const struct log_class *class;
  struct failure failure; /* of the last LOG_ABORT or LOG_FATAL */
  /* The reason for the last LOG_AGAIN of committed, bounds or changelog_next; "": none, the answer
   * is only not there yet */
  char hindrance[200];
};

/* ---- calls, thin: each is the class's own ---- */

static inline void log_close(struct log *log) {
  log->class->close(log);
}
static inline enum log_status log_init(struct log *log) {
  return log->class->init(log);
}
static inline enum log_status log_foresee(struct log *log, struct log_foreseen *out) {
  return log->class->foresee ? log->class->foresee(log, out) : LOG_AGAIN;
}
static inline enum log_status log_join(struct log *log) {
  return log->class->join(log);
}
static inline void log_poll(struct log *log, int timeout_ms, struct log_event *event) {
  log->class->poll(log, timeout_ms, event);
}
static inline void log_release(struct log *log, struct log_record *record) {
  log->class->release(log, record);
}
static inline enum log_status log_seek(struct log *log, int32_t partition, int64_t offset) {
  return log->class->seek(log, partition, offset);
}
static inline enum log_status log_resume(struct log *log, int32_t partition) {
  return log->class->resume(log, partition);
}
static inline enum log_status log_committed(struct log *log, int32_t partition,
                                            struct log_offset *out) {
  return log->class->committed(log, partition, out);
}
static inline enum log_status log_begin(struct log *log) {
  return log->class->begin(log);
}
static inline enum log_status log_produce(struct log *log, const struct log_output *output) {
  return log->class->produce(log, output);
}
static inline enum log_status log_settle(struct log *log) {
  return log->class->settle(log);
}
static inline enum log_status log_send_offsets(struct log *log,
                                               const struct log_position *positions, size_t count) {
  return log->class->send_offsets(log, positions, count);
}
static inline enum log_status log_commit(struct log *log) {
  return log->class->commit(log);
}
static inline enum log_status log_abort(struct log *log) {
  return log->class->abort(log);
}
static inline enum log_status log_changelog_open(struct log *log, int32_t partition, int64_t from) {
  return log->class->changelog_open(log, partition, from);
}
static inline enum log_status log_changelog_next(struct log *log, int32_t partition,
                                                 struct log_record *out, int64_t *position) {
  return log->class->changelog_next(log, partition, out, position);
}
static inline void log_changelog_close(struct log *log, int32_t partition) {
  log->class->changelog_close(log, partition);
}
static inline enum log_status log_bounds(struct log *log, enum log_source source, int32_t partition,
                                         int64_t *first, int64_t *end) {
  return log->class->bounds(log, source, partition, first, end);
}
static inline int log_topic(struct log *log, const char *name) {
  return log->class->topic(log, name);
}
static inline int32_t log_partition_count(struct log *log, int topic) {
  return log->class->partition_count(log, topic);
}
static inline int64_t log_lag(struct log *log, int32_t partition) {
  return log->class->lag(log, partition);
}
static inline int64_t log_now(struct log *log) {
  return log->class->now(log);
}
static inline bool log_answers(struct log *log) {
  return !log->class->answers || log->class->answers(log);
}

#endif
