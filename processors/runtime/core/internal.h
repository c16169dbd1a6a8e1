/* Shared by the files of the core:
 *
 *   open.c        a runtime's beginning and end
 *   loop.c        a turn: records, due rows and answers become a batch
 *   commit.c      the commit protocol of a batch
 *   decide.c      the events of a batch, their decisions, records that cannot be processed
 *   context.c     a decision's calls: rows, outputs, dead letters, warnings, the world
 *   fault.c       a record's fault that shows after its decision
 *   row.c         a row between its bytes and its struct
 *   partition.c   assignment, and recovery by the table of recovery.c
 *   warm.c        before the group is joined: warming up, standing by
 *   stall.c       partitions that stand still
 *
 * expiry.h, recovery.h and staging.h have their own; view.c is the views'.
 */
#ifndef HOLDFAST_CORE_INTERNAL_H
#define HOLDFAST_CORE_INTERNAL_H

#include <pthread.h>

#include "runtime/base/failure.h"
#include "runtime/core/expiry.h"
#include "runtime/core/recovery.h"
#include "runtime/core/runtime.h"
#include "runtime/core/staging.h"

#define OUTPUTS_MAX 8
#define HEADER_SIZE_MAX 256
#define ROWS_GROUP (-1) /* staging group of rows; tables have their output's number */

enum phase {
  PHASE_ASKING,      /* the committed offset is not known yet */
  PHASE_CATCHING_UP, /* the changelog is being read */
  PHASE_WARM, /* of another owner, before this process joins: its rows are here but for the last */
  PHASE_READY
};

struct partition {
  int32_t id;
  enum phase phase;
  int64_t epoch;
  int64_t next_input;             /* as committed */
  int64_t polled;                 /* offset after the last record taken */
  int64_t last_changelog;         /* C, as committed */
  int64_t first_changelog;        /* B, as committed */
  _Atomic int64_t next_changelog; /* position of the store; other threads tell it */
  int64_t staged_input; /* next_input with the batch; -1: the batch does not touch this partition */
  struct log_landed landed; /* the changelog records of the batch */
  int64_t changelog_end;    /* as last seen: a later record lands there or behind it */
  int64_t next_due;         /* no entry of the due index lies before it */
  int64_t far_due_seen;     /* when rows that are due too far ahead were looked for last */
  int64_t written_at;       /* of the store, kept while catching up */
  bool rebuilding;
  int64_t newest; /* time of the last record taken, or when nothing waited last, if later */
  int64_t watched, watched_since; /* `polled` as last seen, and since when; monotonic seconds */
  bool stalled; /* records wait, and none comes. With stalled_at under partitions_lock */
  int64_t stalled_at;
};

/* A record whose decision would produce what cannot be: the batch ends with it when it is read
 * again. */
struct fault {
  bool found;
  int32_t partition;
  int64_t offset;
  char reason[CODEC_ERROR_SIZE];
};

struct pending_call {
  int32_t partition;
  struct str key;
};

struct context {
  struct runtime *runtime;
  struct partition *partition;
  const struct event *event;
  const struct log_record *record; /* NULL: no input record caused this */
  struct str correlation_id, causation;
  int number; /* of the next output of this event */
  struct expiry_turn expiry;
  enum log_status status;
};

/* Of the time before the group is joined. Times in ms, by the log's clock. */
struct warm {
  int round;
  unsigned long long restored_before; /* the round */
  int64_t round_at, progress_at;
  int64_t asked_at; /* who is of the group */
};

struct runtime {
  struct runtime_config config;
  const struct processor *processor;
  bool settles; /* the processor has rows that settle */
  struct log *log;
  struct store *store;
  struct codec *codec;
  void *world;
  int32_t input_partitions;
  int output_topics[OUTPUTS_MAX], changelog_topic, dead_letters_topic;

  struct partition *partitions; /* owned, by order of assignment */
  size_t partition_count;
  /* Held while the array or a phase changes, and by other threads that read it */
  pthread_mutex_t partitions_lock;
  bool assigned;
  bool joined; /* the group; before that the partitions are those it will own */
  struct warm warm;

  struct arena arena; /* of the batch */
  struct staging staging;
  struct log_record *batch;
  size_t batch_count;
  struct pending_call *calls;
  size_t call_count, call_capacity;
  size_t places;          /* for calls that the batch may start */
  size_t due_rows;        /* of the batch: answers leave places to them */
  bool due_without_place; /* a due row of the batch found none: it and those behind it stay due */
  /* Counts steps: a single place is for records and due rows in turn, and the partition that is
   * asked first changes with every second one */
  unsigned turn;
  struct timer_event
      *timers;        /* room for due rows and as many answers; NULL: it has neither. Owned */
  int64_t batch_time; /* the clock at the batch's start */
  int64_t warned_at;  /* of the last batch in which a decision warned */
  char process_id[24];
  uint64_t counter;
  char intent_id[40];
  int64_t last_transaction_end, last_transaction_took; /* ms, by the log's clock */

  struct metrics metrics;
  char hindrance[200];       /* of recovery, as the log says it; under partitions_lock */
  int64_t hindrance_told_at; /* ms, by the log's clock */
  struct failure failure;
  bool killed;
  struct fault fault;
  bool unreadable; /* the input has a record that stops this filter: the failure says which */
};

/* Sets the failure and returns false. */
bool runtime_fail(struct runtime *runtime, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* True if a failpoint ends the process here. */
bool runtime_reached(struct runtime *runtime, enum step step);

/* ---- loop.c ---- */
void runtime_release_batch(struct runtime *runtime);

/* ---- partition.c ---- */
void partitions_assign(struct runtime *runtime, const int32_t *ids, size_t count);
void partitions_revoke(struct runtime *runtime);
struct partition *partition_find(struct runtime *runtime, int32_t id);

/* One turn of recovery for every partition that is not ready. False: failed. *busy: something was
 * done. */
bool partitions_recover(struct runtime *runtime, bool *busy);

/* ---- warm.c ---- */

/* Begins to warm up or to stand by, or joins the group at once. False: failed. */
bool warm_begin(struct runtime *runtime);
bool warm_turn(struct runtime *runtime, bool *busy);

/* ---- decide.c ---- */

/* Decodes the batch's records into events (by place; those that cannot be read stay empty, with a
 * NULL value) and reads the rows that the processor wants for them. Does nothing where it names
 * none. */
void prefetch_batch(struct runtime *runtime, struct event *events);

/* Leaves what a record may pass on of its headers: text of at most HEADER_SIZE_MAX bytes. */
void context_take_headers(struct log_record *record);

/* Decides a record, whose event is made here unless prefetch_batch has made it. */
enum log_status decide_record(struct runtime *runtime, struct partition *partition,
                              const struct log_record *record, struct event *event);

/* True if the row is due then: the index may be older than the row, which is read for the batch. */
bool row_is_due(struct runtime *runtime, struct partition *partition, struct str key,
                int64_t due_at);

/* Reads the row of a due or answered event and lets the processor decide it; stages and produces
 * what comes of it. */
enum log_status decide_due(struct runtime *runtime, struct partition *partition, struct str key,
                           int64_t due_at);
enum log_status decide_answer(struct runtime *runtime, struct partition *partition, struct str key,
                              int answer);

/* ---- context.c ---- */

/* Produces an output of the event, numbered and with its headers. */
void context_produce(struct context *context, struct log_output *output);

/* ---- row.c ---- */
const struct row_kind *row_kind_of(const struct processor *processor, struct str key);

/* The kind's field of the row; 0 where the kind has none, or the row is NULL. */
int64_t row_due_at(const struct row_kind *kind, const void *row);
int64_t row_settled_at(const struct row_kind *kind, const void *row);

/* The row's due time from its bytes; 0 where its kind is never due. False: the bytes are
 * damaged. */
bool row_bytes_due(struct runtime *runtime, struct str key, struct str value, int64_t *due_at);

/* Ends the process where the bytes are damaged. */
const void *row_must_decode(struct runtime *runtime, const struct row_kind *kind, struct str bytes);

/* ---- fault.c ---- */

/* A fault that shows after its record was decided. LOG_ABORT: when the batch is read again, the
 * record is not decided but answered, with a dead letter or the filter's end. */
enum log_status fault_found(struct runtime *runtime, int32_t partition, int64_t offset,
                            const char *what, const char *why);
bool fault_is_of(const struct runtime *runtime, const struct log_record *record);

/* ---- stall.c ---- */

/* Once a turn in which the log was polled, for each partition. lag as the log's. */
void stall_watch(struct runtime *runtime, struct partition *partition, int64_t lag);

/* ---- timers.c ---- */

struct timer_event {
  int32_t partition_id; /* of an answer */
  struct partition *partition;
  struct str key;
  int64_t due_at; /* of a due row */
  bool answered;
  int answer;
};

/* Of a batch. events: room for all, of the runtime; their keys are of its arena. */
struct timers {
  struct runtime *runtime;
  struct partition *partition; /* whose due rows are being collected */
  struct timer_event *events;
  size_t count, room;
  size_t dropped; /* entries of the due-row index that are to go */
};

bool runtime_has_due_rows(const struct processor *processor);

/* Adds the rows that are due at the batch's time, of every partition that is ready, while there is
 * room. */
void timers_collect_due(struct runtime *runtime, struct timers *timers);

/* Adds an answer of the world, for which it waits; its partition is looked up by
 * timers_place_answers. False: there is none, or no room. Only for a processor with a world. */
bool timers_take_answer(struct runtime *runtime, struct timers *timers, int wait_ms);

/* Once the assignment of the batch is known. An answer for a partition that has gone is dropped:
 * its new owner asks again by the key. */
void timers_place_answers(struct runtime *runtime, struct timers *timers);

/* ---- commit.c ---- */

/* Runs the protocol for the batch of records and timer events. LOG_ABORT has been rolled back
 * already. */
enum log_status commit_batch(struct runtime *runtime, const struct timer_event *timers,
                             size_t timer_count);

#endif
