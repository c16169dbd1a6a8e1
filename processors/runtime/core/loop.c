/* The loop: events of the log, recovery, and batches through the commit protocol. */
#include "runtime/core/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/mutant.h"

#define BATCH_BYTES_MAX ((size_t)4 << 20)
#define RECOVERY_WAIT_MS 10
#define CALL_WAIT_MS 2
#define PAUSE_MAX_MS 50

const char *const step_names[STEP_COUNT] = {"polled",       "decided",   "settled", "state-written",
                                            "offsets-sent", "committed", "promoted"};

bool runtime_fail(struct runtime *runtime, int exit_code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  runtime->failure.exit_code = exit_code;
  vsnprintf(runtime->failure.text, sizeof runtime->failure.text, format, arguments);
  va_end(arguments);
  return false;
}

bool runtime_reached(struct runtime *runtime, enum step step) {
  if (runtime->config.failpoint && runtime->config.failpoint(runtime->config.failpoint_user, step))
    runtime->killed = true;
  return runtime->killed;
}

void runtime_release_batch(struct runtime *runtime) {
  for (size_t i = 0; i < runtime->batch_count; i++) log_release(runtime->log, &runtime->batch[i]);
  runtime->batch_count = 0;
}

/* ---- one turn ---- */

/* A record that is read again after a seek may come twice: only the next one is taken. */
static void take_record(struct runtime *runtime, struct log_event *event, size_t *bytes) {
  struct log_record *record = &event->record;
  struct partition *partition = partition_find(runtime, record->partition);
  if (!partition || partition->phase != PHASE_READY ||
      (record->offset < partition->polled && !MUTANT("read-again-after-seek"))) {
    log_release(runtime->log, record);
    return;
  }
  partition->polled = record->offset + 1;
  partition->newest = record->timestamp;
  *bytes += record->size;
  context_take_headers(record);
  runtime->batch[runtime->batch_count++] = *record;
}

static bool handle_event(struct runtime *runtime, struct log_event *event, size_t *bytes) {
  switch (event->kind) {
    case LOG_IDLE: return true;
    case LOG_RECORD: take_record(runtime, event, bytes); return true;
    case LOG_ASSIGNED:
      runtime_release_batch(runtime);
      partitions_assign(runtime, event->partitions, event->partition_count);
      return true;
    /* Nothing is open now: records that were polled and not begun belong to the next owner */
    case LOG_REVOKED:
      runtime_release_batch(runtime);
      partitions_revoke(runtime);
      return true;
    case LOG_FAILED: runtime->failure = runtime->log->failure; return false;
  }
  return false;
}

/* Of a pause after the last transaction. A clock that was set back is no reason to wait. */
static int pause_left(const struct runtime *runtime, int64_t pause) {
  int64_t since = log_now(runtime->log) - runtime->last_transaction_end;
  return since >= 0 && since < pause ? (int)(pause - since) : 0;
}

/* A transaction costs the broker some milliseconds however small it is, and one that follows
 * closely on another waits for its markers: if more is coming in, it is worth a wait, as long as
 * the last transaction took. What comes alone is not held up. */
static int64_t worth_a_wait(const struct runtime *runtime) {
  int64_t took = runtime->last_transaction_took;
  return took < PAUSE_MAX_MS ? took : PAUSE_MAX_MS;
}

/* Longer where nobody waits for the output. */
static int wait_for_records(const struct runtime *runtime) {
  int64_t pause = worth_a_wait(runtime), linger = runtime->config.linger_ms;
  return runtime->batch_count ? pause_left(runtime, pause < linger ? linger : pause) : 0;
}

static int wait_for_answers(const struct runtime *runtime) {
  return runtime_in_flight(runtime) ? pause_left(runtime, worth_a_wait(runtime)) : 0;
}

/* A batch that is read again because of a fault in it ends there: the records behind the fault
 * wait, so that those before it are decided as they were. */
static bool ends_with_fault(const struct runtime *runtime) {
  return runtime->batch_count && runtime->fault.found &&
         fault_is_of(runtime, &runtime->batch[runtime->batch_count - 1]);
}

/* Step 1: up to `room` records, and no longer than something waits or is worth waiting for. */
static bool poll_batch(struct runtime *runtime, int wait_ms, size_t room, bool *busy) {
  size_t bytes = 0;
  struct log_event event;
  do {
    log_poll(runtime->log, wait_ms, &event);
    if (!handle_event(runtime, &event, &bytes)) return false;
    if (event.kind == LOG_ASSIGNED || event.kind == LOG_REVOKED) *busy = true;
    bool waited = wait_ms > 0;
    wait_ms = 0;
    if (event.kind != LOG_IDLE) continue;
    if (!waited) wait_ms = wait_for_records(runtime);
    if (!wait_ms) break;
  } while (runtime->batch_count < room && bytes < BATCH_BYTES_MAX && !ends_with_fault(runtime));
  return true;
}

/* Before the poll, as each answer makes a place free that a record may take. */
static void take_answers(struct runtime *runtime, struct timers *timers, int wait_ms) {
  while (timers_take_answer(runtime, timers, wait_ms)) wait_ms = wait_for_answers(runtime);
}

/* The time for which the poll may wait for input while other things may come up. Due rows are no
 * reason to hurry if no call may be started. */
static int patience(struct runtime *runtime, int wait_ms, bool busy, size_t places) {
  if (busy) return 0;
  for (size_t i = 0; i < runtime->partition_count; i++) {
    if (runtime->partitions[i].phase != PHASE_READY && wait_ms > RECOVERY_WAIT_MS)
      wait_ms = RECOVERY_WAIT_MS;
  }
  if (runtime_in_flight(runtime) && wait_ms > CALL_WAIT_MS) wait_ms = CALL_WAIT_MS;
  if (!places) return wait_ms;
  int64_t next = runtime_next_due(runtime) - log_now(runtime->log);
  return next >= wait_ms ? wait_ms : next > 0 ? (int)next : 0;
}

/* What waits came after the last record taken, and after the last moment at which nothing waited:
 * so it is no older. A producer's clock that is ahead makes it younger until the next record. */
static int64_t age_of_waiting(struct runtime *runtime, struct partition *partition, int64_t lag) {
  int64_t now = runtime->batch_time;
  bool unknown = lag == 0 || !partition->newest;
  if (unknown && partition->newest < now) partition->newest = now;
  return lag > 0 && now > partition->newest ? now - partition->newest : 0;
}

/* polled: the log could have given something. */
static void measure(struct runtime *runtime, bool polled) {
  atomic_store_explicit(&runtime->metrics.turned_at, clock_monotonic_s(), memory_order_relaxed);
  int64_t lag = 0, oldest = 0;
  for (size_t i = 0; i < runtime->partition_count; i++) {
    int64_t one = log_lag(runtime->log, runtime->partitions[i].id);
    int64_t age = age_of_waiting(runtime, &runtime->partitions[i], one);
    lag = one < 0 || lag < 0 ? -1 : lag + one;
    if (age > oldest) oldest = age;
    stall_watch(runtime, &runtime->partitions[i], polled ? one : 0);
  }
  atomic_store_explicit(&runtime->metrics.lag, lag, memory_order_relaxed);
  atomic_store_explicit(&runtime->metrics.lag_ms, lag < 0 ? -1 : oldest, memory_order_relaxed);
}

static enum runtime_status failed(struct runtime *runtime) {
  if (runtime->killed) return RUNTIME_KILLED;
  if (!runtime->failure.exit_code) runtime->failure = runtime->log->failure;
  return RUNTIME_FAILED;
}

/* Half of a batch is kept for due rows while some wait, and a single place is for each in turn.
 * Records take the room that due rows leave at the next step. */
static size_t records_share(const struct runtime *runtime, size_t room) {
  bool due = runtime_next_due(runtime) <= log_now(runtime->log);
  return due ? (room + (runtime->turn & 1)) / 2 : room;
}

static size_t room_for_calls(const struct runtime *runtime) {
  const struct world *world = runtime->processor->world;
  return world ? world->room(runtime->world) : runtime->config.batch_records;
}

/* Step 1. A record may start a call, so no more are taken than places are there; due rows share
 * the batch with them and are told when there is no place (call_fits). Without places nothing is
 * polled: a call ends within its own deadline, long before the group would miss this member. */
static bool collect(struct runtime *runtime, struct timers *timers, int wait_ms, bool *busy) {
  const size_t most = runtime->config.batch_records;
  size_t places = room_for_calls(runtime);
  wait_ms = patience(runtime, wait_ms, *busy, places);
  timers->room = most;
  if (runtime->world) take_answers(runtime, timers, places ? 0 : wait_ms);
  runtime->places = room_for_calls(runtime);
  size_t room = records_share(runtime, runtime->places < most ? runtime->places : most);
  if (timers->count) wait_ms = 0;
  if (room && !poll_batch(runtime, wait_ms, room, busy)) return false;
  timers_place_answers(runtime, timers);
  runtime->batch_time = log_now(runtime->log);
  timers->room = timers->count + most - runtime->batch_count;
  size_t answers = timers->count;
  if (runtime->places) timers_collect_due(runtime, timers);
  runtime->due_rows = timers->count - answers;
  measure(runtime, room > 0);
  return true;
}

static enum runtime_status warm_step(struct runtime *runtime, int wait_ms) {
  bool busy = false;
  arena_reset(&runtime->arena);
  measure(runtime, false);
  if (!warm_turn(runtime, &busy)) return failed(runtime);
  if (busy) return RUNTIME_BUSY;
  if (wait_ms > 0) usleep(RECOVERY_WAIT_MS * 1000);
  return RUNTIME_IDLE;
}

/* A step without a transaction. */
static enum runtime_status pass(struct runtime *runtime, const struct timers *timers, bool busy) {
  staging_clear(&runtime->staging);
  if (!timers->dropped) return busy ? RUNTIME_BUSY : RUNTIME_IDLE;
  store_write_behind(runtime->store);
  return RUNTIME_BUSY;
}

enum runtime_status runtime_step(struct runtime *runtime, int wait_ms) {
  bool busy = false;
  if (!runtime->joined) return warm_step(runtime, wait_ms);
  if (!partitions_recover(runtime, &busy)) return failed(runtime);
  arena_reset(&runtime->arena);
  runtime->turn++;
  runtime->batch_time = log_now(runtime->log);
  struct timers timers = {.runtime = runtime, .events = runtime->timers};
  if (!collect(runtime, &timers, wait_ms, &busy)) return failed(runtime);
  if (runtime->batch_count + timers.count == 0) return pass(runtime, &timers, busy);
  enum log_status status = commit_batch(runtime, timers.events, timers.count);
  bool over = status == LOG_FATAL || status == LOG_AGAIN || runtime->unreadable;
  return over ? failed(runtime) : RUNTIME_BUSY;
}

/* ---- for others ---- */

const struct failure *runtime_failure(const struct runtime *runtime) {
  return &runtime->failure;
}

struct metrics *runtime_metrics(struct runtime *runtime) {
  return &runtime->metrics;
}

int32_t runtime_input_partitions(const struct runtime *runtime) {
  return runtime->input_partitions;
}

struct store *runtime_store(struct runtime *runtime) {
  return runtime->store;
}

bool runtime_stands_by(const struct runtime *runtime) {
  return runtime->config.standby && !runtime->joined;
}

void runtime_waits_for(struct runtime *runtime, char *text, size_t size) {
  text[0] = '\0';
  pthread_mutex_lock(&runtime->partitions_lock);
  bool stands_by = runtime_stands_by(runtime);
  if (!runtime->assigned && !stands_by)
    snprintf(text, size, "waiting to be assigned partitions of %s", runtime->processor->input);
  for (size_t i = 0; i < runtime->partition_count && !text[0]; i++) {
    const struct partition *partition = &runtime->partitions[i];
    if (partition->phase == PHASE_ASKING)
      snprintf(text, size, "waiting for the committed offset of partition %" PRId32, partition->id);
    if (partition->phase == PHASE_CATCHING_UP) {
      snprintf(text, size, "restoring partition %" PRId32 ": at %" PRId64 " of %" PRId64,
               partition->id, partition->next_changelog, partition->last_changelog + 1);
    }
  }
  if (!text[0] && !runtime->joined && !stands_by)
    snprintf(text, size, "about to join the group of %s", runtime->processor->input);
  if (text[0] && runtime->hindrance[0])
    snprintf(text + strlen(text), size - strlen(text), " (%s)", runtime->hindrance);
  pthread_mutex_unlock(&runtime->partitions_lock);
}

size_t runtime_ready_partitions(struct runtime *runtime, int32_t *out, size_t max) {
  size_t count = 0;
  pthread_mutex_lock(&runtime->partitions_lock);
  for (size_t i = 0; i < runtime->partition_count && count < max; i++) {
    if (runtime->partitions[i].phase == PHASE_READY) out[count++] = runtime->partitions[i].id;
  }
  pthread_mutex_unlock(&runtime->partitions_lock);
  return count;
}
