/* The contract of a filter: one const declaration, and a pure decision.
 *
 * decide() reads rows, writes rows and emits records through the context and does nothing else: no
 * clock, no random, no I/O, no memory of its own. Time comes in the event. It answers through the
 * context; a "no" is a record like any other. */
#ifndef HOLDFAST_CONTRACT_PROCESSOR_H
#define HOLDFAST_CONTRACT_PROCESSOR_H

#include "runtime/base/mutant.h"
#include "runtime/base/options.h"
#include "runtime/record/codec.h"

#define ROW_KEY_SIZE_MAX 512

struct context; /* one event's view of the batch; valid during decide() */

enum event_source {
  EVENT_RECORD, /* a record of the input topic */
  EVENT_DUE,    /* a row whose due time has come: type and value are the row's */
  /* A call of the world has ended: type and value are the row's as it stands, answer is set */
  EVENT_ANSWER
};

struct event {
  enum event_source source;
  int type;          /* enum record_type */
  const void *value; /* struct of that type */
  struct str key;    /* of the record, or of the row */
  /* EVENT_RECORD: the record's timestamp; else the time of firing or answer. Milliseconds since
   * 1970 */
  int64_t time;
  int64_t now; /* the clock, for filters that touch the world; 0 for all others */
  int answer;  /* EVENT_ANSWER: the world's answer, in the filter's own terms */
  /* A record of an open input that lies in another partition than its key's: its writer has another
   * partitioner than the rest of us */
  bool misplaced;
  struct str traceparent;
  /* Empty: the key is. A row that waits keeps both in fields of these names, and its later records
   * have them too */
  struct str correlation_id;
  /* Of the record, "topic-partition-offset", as `causation` of its outputs; of other sources: their
   * `causation` */
  struct str place;
  struct str cause; /* the place of the record that caused this one; empty: nobody says */
};

/* A field of a row that the runtime reads: a long of its record. */
struct long_field {
  bool is; /* false: the kind has none */
  size_t offset;
};

/* Refuses to compile where the member is no long. */
#define LONG_FIELD(row, member) \
  { true, offsetof(row, member) / _Generic(((row *)0)->member, int64_t : 1) }

/* A kind of row. Its key is the prefix, then its parts with a NUL between them. */
struct row_kind {
  const char *name;
  char prefix;
  int type;        /* enum record_type */
  const char *key; /* the names of its parts, for people */
  /* When the row wants to be looked at, 0 for never. Without it this kind is never due */
  struct long_field due_field;
  /* The event's time when nothing more was expected of the row; 0: something is. The row
   * leaves the store long after (expiry.h), and the field is raised to the partition's time where
   * that is later. Without it rows of this kind stay */
  struct long_field settled_field;
  /* Asked when the row is about to leave. Deletes what belongs to it; false: it stays. NULL:
   * nothing belongs to it. */
  bool (*leave)(struct context *context, const void *row);
};

struct output {
  const char *topic;
  /* Compacted, keyed as the input: written once per changed key and transaction, to the partition
   * of the input */
  bool table;
};

struct view;
struct http_request;

/* A question that a view answers over HTTP. Runs on the HTTP thread and reads committed rows
 * only. */
struct route {
  const char *path; /* {} takes any text, at most once: request->part */
  void (*answer)(const struct view *view, struct http_request *request);
  const char *summary;
  /* The field of the answer that view_page filled: over several instances lists are merged. NULL:
   * one instance has the whole answer, or nobody has */
  const char *list;
  bool by_key; /* {} is a key of the input: the rows of the key's partition are all there is */
};

/* A number that /metrics shows of each ready partition, from the one row of a kind: its committed
 * state. Zero where there is no row. */
struct gauge {
  const char *name; /* holdfast_{name}{filter,partition} */
  const char *help;
  int row;         /* of the processor's rows */
  const char *key; /* the row's one part */
  int64_t (*value)(const void *row);
};

/* The world outside of the log: calls that decide() asked for and that start once their transaction
 * has committed. */
struct world {
  void *(*open)(const struct options *options, char *error, size_t size); /* NULL: error says why */
  void (*close)(void *world);
  /* Calls that may be started now: the runtime takes no more records than this */
  size_t (*room)(void *world);
  void (*start)(void *world, int32_t partition, struct str key, const void *row);
  /* Waits up to timeout_ms for a call to end. False: none did. key is valid until the next call. */
  bool (*next)(void *world, int timeout_ms, int32_t *partition, struct str *key, int *answer);
  size_t (*in_flight)(void *world);
};

#define LINGER_MS 100 /* as Kafka Streams waits between its commits */

struct processor {
  const char *name; /* folder = binary = consumer group = client.id */
  const char *summary;
  const char *input;
  /* Others write the topic: a record that cannot be processed is a dead letter. Else it stops the
   * filter */
  bool open_input;
  const int *accepts;           /* record types of the input, ended by -1 */
  const struct output *outputs; /* ended by a NULL topic */
  const struct row_kind *rows;  /* ended by a NULL name; NULL: no state */
  const char *changelog;        /* NULL: no state, or the input is the changelog */
  /* A compacted input whose records are the rows: decide only puts key and value as they come */
  bool input_is_changelog;
  bool wants_now; /* event.now is set: for filters that touch the world */
  /* No row is due later than this from now: one that is was put there by a clock that was wrong,
   * and is due at once. 0: rows may be due at any time */
  int64_t due_within_ms;
  /* While records come in, the least time from a transaction to the next: for filters whose output
   * no reservation waits for. 0: none but what a transaction costs (loop.c) */
  int linger_ms;
  /* The time of the opening that a record is or names, milliseconds since 1970; 0: none. The
   * partition's time follows it (expiry.h). NULL: no row of this filter settles. */
  int64_t (*opening)(const struct event *event);
  void (*decide)(struct context *context, const struct event *event);
  /* Says with row_want() which rows decide() will read for a record, so that the rows of a whole
   * batch are read at once, in their order. Only for speed: a row that it leaves out is read when
   * it is asked for. NULL: it names none. */
  void (*prefetch)(struct context *context, const struct event *event);
  const struct world *world;         /* NULL: calls nobody */
  const struct option_desc *options; /* of this filter alone; NULL: none */
  const struct route *routes;        /* ended by a NULL path; NULL: none */
  const struct gauge *gauges;        /* ended by a NULL name; NULL: none */
};

/* ---- what decide() may do ---- */

/* A key from parts, in the batch's memory. */
struct str row_key(struct context *context, const struct row_kind *kind, const struct str *parts,
                   size_t count);

/* The row as this batch has left it, or NULL. Borrows from the batch. */
const void *row_get(struct context *context, const struct row_kind *kind, struct str key);
void row_put(struct context *context, const struct row_kind *kind, struct str key, const void *row);
void row_delete(struct context *context, const struct row_kind *kind, struct str key);

/* In prefetch(): this row will be asked for. */
void row_want(struct context *context, struct str key);

/* Produces a record to outputs[output]. */
void emit(struct context *context, size_t output, struct str key, int type, const void *value);

/* Gives the input record to dead-letters as it came, with a reason for people. */
void dead_letter(struct context *context, const char *reason);

/* A line of the log for the operator; of many, one a second. It says nothing to anybody else. */
void warn(struct context *context, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Starts the world's call for a row once this transaction has committed. */
void call_world(struct context *context, struct str key);

/* In the decision of a due row or an answer: is there a place for its call? False: the decision
 * leaves a due row as it is, and it stays due, as do those behind it, until calls have ended; that
 * of an answer makes the row due that is to be called. A record always has a place for one call. */
bool call_fits(struct context *context);

/* Memory until the end of the batch, zeroed. */
void *scratch(struct context *context, size_t size);
struct str scratch_format(struct context *context, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct str scratch_hex(struct context *context, uint64_t number); /* sixteen digits */

#endif
