/* A filter at work: its log, its store and its decision, in one loop. README.md has the protocol;
 * this is how it is driven.
 *
 * A runtime is used from one thread; the store and the metrics may be read from others. */
#ifndef HOLDFAST_CORE_RUNTIME_H
#define HOLDFAST_CORE_RUNTIME_H

#include <stdatomic.h>

#include "runtime/log/log.h"
#include "runtime/contract/processor.h"
#include "runtime/store/store.h"

/* The steps of the protocol, as the failpoints of the test build name them. */
enum step {
  STEP_POLLED,        /* 1: the batch is there, nothing begun */
  STEP_DECIDED,       /* 2: outputs produced, not acknowledged */
  STEP_SETTLED,       /* 3: changelog and outputs acknowledged */
  STEP_STATE_WRITTEN, /* 4: the intents are in the store */
  STEP_OFFSETS_SENT,  /* 5: the offsets are in the transaction */
  STEP_COMMITTED,     /* 5: the transaction has committed */
  STEP_PROMOTED,      /* 6: the rows are in the store */
  STEP_COUNT
};
extern const char *const step_names[STEP_COUNT];

enum runtime_status {
  RUNTIME_BUSY,   /* something was done: more may wait */
  RUNTIME_IDLE,   /* nothing waited */
  RUNTIME_FAILED, /* runtime_failure says why; free it */
  RUNTIME_KILLED  /* a failpoint said so: free it, as kill -9 would */
};

/* Counted by the runtime, read by /metrics. */
struct metrics {
  atomic_ullong records, dead_letters, due_rows, answers, outputs, changes, transactions, aborts,
      rebalances, restored;
  atomic_ullong commit_microseconds;
  atomic_llong lag, lag_ms; /* records that wait, and the age of the oldest; -1: not known */
  atomic_int assigned, ready;
  atomic_llong turned_at; /* monotonic seconds: the loop's last turn */
};

struct runtime_config {
  const struct processor *processor;
  const struct options *options; /* NULL: defaults (tests) */
  struct log *log;               /* taken: closed with the runtime */
  const char *state_directory;   /* NULL: in memory */
  struct store *store;           /* instead of a directory: borrowed (tests) */
  const char *cluster;           /* part of the store's owner */
  const char *prefix;            /* of topics; NULL: none */
  int slot;
  bool standby;              /* for the process that has the slot: takes it when that is gone */
  size_t batch_records;      /* at most; 0: 1000 */
  size_t cache_bytes;        /* 0: 8 MiB */
  int linger_ms;             /* see processor.h */
  size_t write_buffer_bytes; /* of the store; 0: its own default */
  int64_t tombstone_retention_ms;
  bool (*failpoint)(void *user, enum step step); /* true: stop here, as kill -9 would. NULL: none */
  void *failpoint_user;
};

struct runtime;

/* NULL with the failure set. On failure the log is closed too. */
struct runtime *runtime_new(const struct runtime_config *config, struct failure *failure);

/* One turn of the loop: events, recovery, a batch. Waits for input up to wait_ms. */
enum runtime_status runtime_step(struct runtime *runtime, int wait_ms);

const struct failure *runtime_failure(const struct runtime *runtime);
struct metrics *runtime_metrics(struct runtime *runtime);
struct store *runtime_store(struct runtime *runtime);

int32_t runtime_input_partitions(const struct runtime *runtime);

/* The earliest due time of any ready partition, or INT64_MAX. */
int64_t runtime_next_due(const struct runtime *runtime);

/* Calls of the world that have not ended. */
size_t runtime_in_flight(const struct runtime *runtime);

/* True until it has taken the slot. */
bool runtime_stands_by(const struct runtime *runtime);

/* The hindrance of readiness as a sentence, or an empty text: ready. Any thread. */
void runtime_waits_for(struct runtime *runtime, char *text, size_t size);

/* The number of partitions that give nothing although records wait in them, and a sentence about
 * the first of them. Any thread. */
size_t runtime_stalled(struct runtime *runtime, char *text, size_t size);

/* The partitions that are ready, for views. Any thread. Returns how many were written to out. */
size_t runtime_ready_partitions(struct runtime *runtime, int32_t *out, size_t max);

/* Leaves the log and closes the store. Nothing is open in the log between two steps. */
void runtime_free(struct runtime *runtime);

#endif
