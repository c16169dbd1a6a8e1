/* The commit protocol: steps 2 to 6 of README.md, in their order, and the only way back. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "runtime/base/clock.h"
#include "runtime/base/report.h"
#include "runtime/base/mutant.h"
#include "runtime/core/internal.h"

static void wake_at(struct partition *partition, int64_t due_at) {
  if (due_at && due_at < partition->next_due) partition->next_due = due_at;
}

static void touch(struct partition *partition, int64_t next_input) {
  if (partition->staged_input < next_input) partition->staged_input = next_input;
}

/* The records before one that cannot be read are committed first, so that this one is the next of
 * its group: then `holdfast skip` passes over it and over nothing else. */
static enum log_status stop_before(struct runtime *runtime, size_t index) {
  if (!runtime->unreadable || index == 0) return LOG_FATAL;
  while (runtime->batch_count > index) {
    log_release(runtime->log, &runtime->batch[--runtime->batch_count]);
  }
  return LOG_OK;
}

/* Answers, then due rows, until one finds no place for its call: from there they stay due. */
static enum log_status decide_timers(struct runtime *runtime, const struct timer_event *timers,
                                     size_t *timer_count) {
  runtime->due_without_place = false;
  for (size_t i = 0; i < *timer_count; i++) {
    const struct timer_event *timer = &timers[i];
    enum log_status status =
        timer->answered ? decide_answer(runtime, timer->partition, timer->key, timer->answer)
                        : decide_due(runtime, timer->partition, timer->key, timer->due_at);
    if (status != LOG_OK) return status;
    /* A transaction without offsets would not be fenced */
    touch(timer->partition, timer->partition->next_input);
    if (!runtime->due_without_place) continue;
    for (size_t j = i; j < *timer_count; j++) wake_at(timers[j].partition, timers[j].due_at);
    *timer_count = i;
  }
  return LOG_OK;
}

/* Step 2: read rows, decide, stage, produce. */
static enum log_status decide_batch(struct runtime *runtime, const struct timer_event *timers,
                                    size_t *timer_count) {
  struct event *events = arena_zalloc(&runtime->arena, runtime->batch_count * sizeof *events);
  prefetch_batch(runtime, events);
  for (size_t i = 0; i < runtime->batch_count; i++) {
    const struct log_record *record = &runtime->batch[i];
    struct partition *partition = partition_find(runtime, record->partition);
    enum log_status status = decide_record(runtime, partition, record, &events[i]);
    if (status == LOG_FATAL) status = stop_before(runtime, i);
    if (status != LOG_OK) return status;
    if (i < runtime->batch_count) touch(partition, runtime->batch[i].offset + 1);
  }
  return decide_timers(runtime, timers, timer_count);
}

/* The output for the last value of a changed key: to the changelog, or to a table. */
static struct log_output change_output(struct runtime *runtime, const struct staged *staged) {
  bool row = staged->group == ROWS_GROUP;
  struct log_output output = {
      .topic = row ? runtime->changelog_topic : runtime->output_topics[staged->group],
      .partition = staged->partition,
      .key = staged->change.key,
      .value = staged->change.value,
      .timestamp = staged->timestamp};
  if (row) output.landed = &partition_find(runtime, staged->partition)->landed;
  return output;
}

/* Turns a staged struct into bytes. */
static enum log_status encode(struct runtime *runtime, struct staged *staged) {
  static const char why[] = "would be larger than a record may be";
  if (!staged->row || staged->change.value.data) return LOG_OK;
  staged->change.value =
      codec_encode(runtime->codec, (struct record){staged->type, staged->row}, &runtime->arena);
  if (staged->change.value.data) return LOG_OK;
  const char *name = codec_schemas(runtime->codec)->records[staged->type]->name;
  if (staged->cause >= 0) return fault_found(runtime, staged->partition, staged->cause, name, why);
  runtime_fail(runtime, EX_SOFTWARE, "a %s %s", name, why);
  return LOG_FATAL;
}

/* Step 3: the last value of each changed key, each to the partition of its input. */
static enum log_status produce_changes(struct runtime *runtime) {
  for (size_t i = 0; i < runtime->staging.count; i++) {
    struct staged *staged = &runtime->staging.entries[i];
    if (!staged->changed) continue;
    enum log_status status = encode(runtime, staged);
    if (status != LOG_OK) return status;
    bool row = staged->group == ROWS_GROUP;
    if (row && runtime->processor->input_is_changelog) continue;
    if (MUTANT("tombstone-forgotten") && row && !staged->change.value.data) continue;
    const struct log_output output = change_output(runtime, staged);
    status = log_produce(runtime->log, &output);
    if (status != LOG_OK) return status;
    atomic_fetch_add_explicit(&runtime->metrics.changes, 1, memory_order_relaxed);
  }
  return LOG_OK;
}

static enum log_status settle(struct runtime *runtime) {
  if (MUTANT("late-delivery-ignored")) return LOG_OK;
  enum log_status status = log_settle(runtime->log);
  return status == LOG_ABORT && MUTANT("failed-delivery-ignored") ? LOG_OK : status;
}

/* C: carried forward by transactions that change no state. */
static int64_t last_changelog(const struct runtime *runtime, const struct partition *partition) {
  if (runtime->processor->input_is_changelog) return partition->staged_input - 1;
  return partition->landed.last > partition->last_changelog ? partition->landed.last
                                                            : partition->last_changelog;
}

/* A changelog only grows: a record that lands before its end, as last seen, is in another topic of
 * that name, which has none of the rows that were committed. Each counts, as others of the batch
 * may lie past that end already; and so do those of a transaction that does not commit. */
static bool changelogs_are_whole(struct runtime *runtime) {
  if (MUTANT("acknowledged-below-c-accepted")) return true;
  for (size_t i = 0; i < runtime->partition_count; i++) {
    const struct partition *partition = &runtime->partitions[i];
    if (partition->landed.first < 0 || partition->landed.first >= partition->changelog_end)
      continue;
    return runtime_fail(
        runtime, EX_CONFIG,
        "'%s' took a record of partition %" PRId32 " at offset %" PRId64 " although it had %" PRId64
        " before, and %" PRId64
        " was committed: it was deleted and made again. 'holdfast reset %s' makes its rows again "
        "from the input; with --accept-loss it goes on with those that are left",
        runtime->processor->changelog, partition->id, partition->landed.first,
        partition->changelog_end, partition->last_changelog, runtime->processor->name);
  }
  return true;
}

/* The changes of each partition of the batch, by the partition's place in the array. */
struct partition_changes {
  struct change *changes;
  size_t count;
};

static bool is_row_change(const struct staged *staged) {
  return staged->changed && staged->group == ROWS_GROUP;
}

static struct partition_changes *group_changes(struct runtime *runtime) {
  const struct staging *staging = &runtime->staging;
  struct partition_changes *groups =
      arena_zalloc(&runtime->arena, runtime->partition_count * sizeof *groups);
  size_t *group_of = arena_alloc(&runtime->arena, staging->count * sizeof *group_of);
  for (size_t i = 0; i < staging->count; i++) {
    if (!is_row_change(&staging->entries[i])) continue;
    group_of[i] =
        (size_t)(partition_find(runtime, staging->entries[i].partition) - runtime->partitions);
    groups[group_of[i]].count++;
  }
  for (size_t i = 0; i < runtime->partition_count; i++) {
    groups[i].changes = arena_alloc(&runtime->arena, groups[i].count * sizeof *groups[i].changes);
    groups[i].count = 0;
  }
  for (size_t i = 0; i < staging->count; i++) {
    if (!is_row_change(&staging->entries[i])) continue;
    struct partition_changes *group = &groups[group_of[i]];
    group->changes[group->count++] = staging->entries[i].change;
  }
  return groups;
}

/* Step 4: one write holds the intent of every partition of the batch. */
static void write_intents(struct runtime *runtime, const struct partition_changes *groups) {
  for (size_t i = 0; i < runtime->partition_count; i++) {
    const struct partition *partition = &runtime->partitions[i];
    if (partition->staged_input < 0) continue;
    struct intent intent = {.epoch = partition->epoch,
                            .next_input = partition->staged_input,
                            .last_changelog = last_changelog(runtime, partition),
                            .changes = groups[i].changes,
                            .change_count = groups[i].count};
    memcpy(intent.id, runtime->intent_id, sizeof intent.id);
    store_put_intent(runtime->store, partition->id, &intent);
    if (MUTANT("state-before-commit"))
      store_put_changes(runtime->store, partition->id, groups[i].changes, groups[i].count);
  }
  store_write(runtime->store);
}

/* Step 5, first half: the offsets, each with what recovery needs to know. */
static enum log_status send_offsets(struct runtime *runtime) {
  struct log_position *positions =
      arena_alloc(&runtime->arena, runtime->partition_count * sizeof *positions);
  size_t count = 0;
  for (size_t i = 0; i < runtime->partition_count; i++) {
    const struct partition *partition = &runtime->partitions[i];
    if (partition->staged_input < 0) continue;
    if (MUTANT("timer-without-offsets") && partition->staged_input == partition->next_input)
      continue;
    struct commit_metadata metadata = {.epoch = partition->epoch,
                                       .slot = runtime->config.slot,
                                       .last_changelog = last_changelog(runtime, partition),
                                       .first_changelog = partition->first_changelog};
    memcpy(metadata.intent_id, runtime->intent_id, sizeof metadata.intent_id);
    char *text = arena_alloc(&runtime->arena, 160);
    commit_metadata_format(&metadata, text);
    positions[count++] = (struct log_position){partition->id, partition->staged_input, text};
  }
  if (MUTANT("timer-without-offsets") && count == 0) return LOG_OK;
  return log_send_offsets(runtime->log, positions, count);
}

static void wake_for(struct partition *partition, const struct partition_changes *group) {
  for (size_t i = 0; i < group->count; i++) wake_at(partition, group->changes[i].due_at);
}

/* A fault is over once its record is passed. */
static void forget_fault(struct runtime *runtime) {
  const struct partition *partition = partition_find(runtime, runtime->fault.partition);
  if (!partition || partition->next_input > runtime->fault.offset) runtime->fault.found = false;
}

/* Step 6: the changes become rows, the meta record moves on, the intents go: one write, beside the
 * polling of the next batch. A death before its end is one before step 6: the intents are there. */
static void promote(struct runtime *runtime, const struct partition_changes *groups,
                    const struct timer_event *timers, size_t timer_count) {
  for (size_t i = 0; runtime->store && i < timer_count; i++) {
    if (!timers[i].answered)
      store_drop_due(runtime->store, timers[i].partition->id, timers[i].key, timers[i].due_at);
  }
  for (size_t i = 0; i < runtime->partition_count; i++) {
    struct partition *partition = &runtime->partitions[i];
    if (partition->staged_input < 0) continue;
    partition->last_changelog = last_changelog(runtime, partition);
    partition->next_input = partition->staged_input;
    partition->next_changelog = partition->last_changelog + 1;
    if (!runtime->store) continue;
    store_put_changes(runtime->store, partition->id, groups[i].changes, groups[i].count);
    store_put_meta(runtime->store, partition->id,
                   &(struct store_meta){.epoch = partition->epoch,
                                        .next_input = partition->next_input,
                                        .next_changelog = partition->next_changelog,
                                        .written_at = runtime->batch_time});
    wake_for(partition, &groups[i]);
  }
  if (runtime->store) store_write_behind(runtime->store);
}

static void start_calls(struct runtime *runtime) {
  for (size_t i = 0; i < runtime->call_count; i++) {
    const struct pending_call *call = &runtime->calls[i];
    const struct staged *staged =
        staging_find(&runtime->staging, ROWS_GROUP, call->partition, call->key);
    if (staged && staged->row)
      runtime->processor->world->start(runtime->world, call->partition, call->key, staged->row);
  }
}

static void forget_batch(struct runtime *runtime) {
  for (size_t i = 0; i < runtime->batch_count; i++) log_release(runtime->log, &runtime->batch[i]);
  runtime->batch_count = 0;
  runtime->call_count = 0;
  for (size_t i = 0; i < runtime->partition_count; i++) {
    struct partition *partition = &runtime->partitions[i];
    if (partition->landed.last >= partition->changelog_end)
      partition->changelog_end = partition->landed.last + 1;
    partition->landed = (struct log_landed){-1, -1};
    partition->staged_input = -1;
  }
  staging_clear(&runtime->staging);
}

/* The way back: nothing of the batch stays, and every assigned partition is read again from its own
 * next offset. This includes partitions that the batch did not touch: their records that were
 * polled and not decided are read again too. */
static enum log_status roll_back(struct runtime *runtime, bool intents_written) {
  const struct log_class *log = runtime->log->class;
  atomic_fetch_add_explicit(&runtime->metrics.aborts, 1, memory_order_relaxed);
  report_info("transaction aborted, its records are read again: %s", runtime->log->failure.text);
  if (log->abort(runtime->log) != LOG_OK && !MUTANT("abort-error-ignored")) return LOG_FATAL;
  if (!changelogs_are_whole(runtime)) return LOG_FATAL;
  if (intents_written) {
    for (size_t i = 0; i < runtime->partition_count; i++) {
      if (runtime->partitions[i].staged_input >= 0)
        store_drop_intent(runtime->store, runtime->partitions[i].id);
    }
    store_write(runtime->store);
  }
  forget_batch(runtime);
  for (size_t i = 0; i < runtime->partition_count; i++) {
    struct partition *partition = &runtime->partitions[i];
    partition->next_due = 0;
    if (MUTANT("no-rewind-after-abort")) continue;
    partition->polled = partition->next_input;
    if (partition->phase == PHASE_READY &&
        log->seek(runtime->log, partition->id, partition->next_input) != LOG_OK &&
        !MUTANT("seek-error-ignored"))
      return LOG_FATAL;
  }
  return LOG_ABORT;
}

/* Steps 2 to 5. *timer_count becomes that of the timers that were decided; *intents_written tells
 * how far back it is. */
static enum log_status transact(struct runtime *runtime, const struct timer_event *timers,
                                size_t *timer_count, struct partition_changes **groups,
                                bool *intents_written) {
  const struct log_class *log = runtime->log->class;
  enum log_status status = log->begin(runtime->log);
  if (MUTANT("offsets-before-state") && status == LOG_OK) {
    for (size_t i = 0; i < runtime->batch_count; i++)
      touch(partition_find(runtime, runtime->batch[i].partition), runtime->batch[i].offset + 1);
    if ((status = send_offsets(runtime)) == LOG_OK) status = log->commit(runtime->log);
    if (status == LOG_OK) status = log->begin(runtime->log);
  }
  if (status == LOG_OK) status = decide_batch(runtime, timers, timer_count);
  if (status != LOG_OK) return status;
  if (runtime_reached(runtime, STEP_DECIDED)) return LOG_FATAL;
  status = produce_changes(runtime);
  if (status == LOG_OK) status = settle(runtime);
  if (status == LOG_OK && !changelogs_are_whole(runtime)) status = LOG_ABORT;
  if (status != LOG_OK) return status;
  if (runtime_reached(runtime, STEP_SETTLED)) return LOG_FATAL;
  *groups = group_changes(runtime);
  snprintf(runtime->intent_id, sizeof runtime->intent_id, "%s-%" PRIu64, runtime->process_id,
           ++runtime->counter);
  if (runtime->store) {
    write_intents(runtime, *groups);
    *intents_written = true;
  }
  if (MUTANT("calls-before-commit")) start_calls(runtime);
  if (runtime_reached(runtime, STEP_STATE_WRITTEN)) return LOG_FATAL;
  status = send_offsets(runtime);
  if (status != LOG_OK) return status;
  if (runtime_reached(runtime, STEP_OFFSETS_SENT)) return LOG_FATAL;
  return log->commit(runtime->log);
}

enum log_status commit_batch(struct runtime *runtime, const struct timer_event *timers,
                             size_t timer_count) {
  if (runtime_reached(runtime, STEP_POLLED)) return LOG_FATAL;
  struct partition_changes *groups = NULL;
  bool intents_written = false;
  int64_t begun = clock_monotonic_us();
  enum log_status status = transact(runtime, timers, &timer_count, &groups, &intents_written);
  if (MUTANT("unknown-taken-as-aborted") && status == LOG_FATAL && !runtime->killed)
    status = LOG_ABORT;
  if (status == LOG_ABORT) return roll_back(runtime, intents_written);
  if (status != LOG_OK || runtime_reached(runtime, STEP_COMMITTED)) return LOG_FATAL;
  promote(runtime, groups, timers, timer_count);
  if (runtime_reached(runtime, STEP_PROMOTED)) return LOG_FATAL;
  if (!MUTANT("calls-before-commit")) start_calls(runtime);
  forget_batch(runtime);
  if (runtime->fault.found) forget_fault(runtime);
  atomic_fetch_add_explicit(&runtime->metrics.transactions, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&runtime->metrics.commit_microseconds,
                            (unsigned long long)(clock_monotonic_us() - begun),
                            memory_order_relaxed);
  runtime->last_transaction_end = log_now(runtime->log);
  runtime->last_transaction_took = runtime->last_transaction_end - runtime->batch_time;
  return LOG_OK;
}
