/* Assignment and recovery: from being given a partition to deciding its records. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "runtime/base/report.h"
#include "runtime/base/mutant.h"
#include "runtime/core/internal.h"

/* The share of a restore in a turn, so that partitions that are ready are served meanwhile. */
#define RESTORE_RECORDS_PER_TURN 5000
#define RESTORE_BYTES_PER_TURN ((size_t)8 << 20)
#define HINDRANCE_TOLD_EVERY_MS 10000

struct partition *partition_find(struct runtime *runtime, int32_t id) {
  for (size_t i = 0; i < runtime->partition_count; i++) {
    if (runtime->partitions[i].id == id) return &runtime->partitions[i];
  }
  return NULL;
}

static void set_phase(struct runtime *runtime, struct partition *partition, enum phase phase) {
  pthread_mutex_lock(&runtime->partitions_lock);
  partition->phase = phase;
  pthread_mutex_unlock(&runtime->partitions_lock);
  int ready = 0;
  for (size_t i = 0; i < runtime->partition_count; i++)
    ready += runtime->partitions[i].phase == PHASE_READY;
  atomic_store(&runtime->metrics.ready, ready);
}

/* Eager rebalances give everything anew: a partition that stays passes through the table again,
 * which costs one question. */
void partitions_assign(struct runtime *runtime, const int32_t *ids, size_t count) {
  struct partition *partitions = xcalloc(count ? count : 1, sizeof *partitions);
  for (size_t i = 0; i < count; i++) {
    partitions[i] = (struct partition){
        .id = ids[i], .phase = PHASE_ASKING, .staged_input = -1, .landed = {-1, -1}};
  }
  pthread_mutex_lock(&runtime->partitions_lock);
  free(runtime->partitions);
  runtime->partitions = partitions;
  runtime->partition_count = count;
  runtime->assigned = true;
  pthread_mutex_unlock(&runtime->partitions_lock);
  atomic_store(&runtime->metrics.ready, 0);
  if (!runtime->joined) return;
  atomic_fetch_add_explicit(&runtime->metrics.rebalances, 1, memory_order_relaxed);
  atomic_store(&runtime->metrics.assigned, (int)count);
  report_info("assigned %zu partitions of %s", count, runtime->processor->input);
}

void partitions_revoke(struct runtime *runtime) {
  for (size_t i = 0; i < runtime->partition_count; i++) {
    if (runtime->partitions[i].phase == PHASE_CATCHING_UP)
      log_changelog_close(runtime->log, runtime->partitions[i].id);
  }
  pthread_mutex_lock(&runtime->partitions_lock);
  runtime->partition_count = 0;
  runtime->assigned = false;
  pthread_mutex_unlock(&runtime->partitions_lock);
  atomic_store(&runtime->metrics.assigned, 0);
  atomic_store(&runtime->metrics.ready, 0);
}

static bool log_failed(struct runtime *runtime) {
  runtime->failure = runtime->log->failure;
  return false;
}

static bool begin_serving(struct runtime *runtime, struct partition *partition) {
  const struct log_class *log = runtime->log->class;
  if (!runtime->joined) {
    set_phase(runtime, partition, PHASE_WARM);
    return true;
  }
  partition->next_due = 0;
  partition->polled = partition->next_input;
  if (log->seek(runtime->log, partition->id, partition->next_input) != LOG_OK ||
      log->resume(runtime->log, partition->id) != LOG_OK) {
    return log_failed(runtime);
  }
  set_phase(runtime, partition, PHASE_READY);
  report_info("partition %" PRId32 " is ready at offset %" PRId64, partition->id,
              partition->next_input);
  return true;
}

static bool refuse(struct runtime *runtime, const struct partition *partition,
                   const struct recovery_plan *plan, const struct recovery_facts *facts) {
  const char *group = runtime->processor->name;
  const struct log_offset *committed = &facts->committed;
  switch (plan->action) {
    case RECOVERY_REFUSE_NO_OFFSET:
      return runtime_fail(runtime, EX_CONFIG,
                          "the group '%s' has no committed offset for partition %" PRId32
                          " of '%s': run 'holdfast topics apply', which makes the "
                          "first commit of a new group",
                          group, partition->id, runtime->processor->input);
    case RECOVERY_REFUSE_METADATA:
      return runtime_fail(
          runtime, EX_CONFIG,
          "the committed offset %" PRId64 " of the group '%s' for partition %" PRId32
          " was not committed by this pipeline "
          "(its metadata is '%s'): undo the change that moved it, or use another --prefix",
          committed->offset, group, partition->id, committed->metadata);
    case RECOVERY_REFUSE_AHEAD:
      return runtime_fail(runtime, EX_CONFIG,
                          "the state directory is ahead of the offset %" PRId64
                          " that the group '%s' committed for partition %" PRId32
                          ": somebody moved the offsets. Move them back, or remove the state "
                          "directory to rebuild it",
                          committed->offset, group, partition->id);
    case RECOVERY_REFUSE_INPUT:
      return recovery_tell_input(group, runtime->processor->input, partition->id,
                                 facts->committed.offset, facts->input_first, facts->input_end,
                                 &runtime->failure);
    case RECOVERY_REFUSE_CHANGELOG:
      return runtime_fail(runtime, EX_CONFIG,
                          "the changelog of '%s' has %" PRId64 " to %" PRId64
                          " in partition %" PRId32 ", and %" PRId64 " to %" PRId64
                          " was committed: %s. 'holdfast reset %s' makes its rows again from the "
                          "input; with --accept-loss it goes on with those that are left",
                          group, facts->changelog_first, facts->changelog_end, partition->id,
                          plan->metadata.first_changelog, plan->metadata.last_changelog,
                          plan->reason, group);
    case RECOVERY_READY:
    case RECOVERY_CATCH_UP:
    case RECOVERY_REBUILD: break;
  }
  return true;
}

static void keep_position(struct runtime *runtime, const struct partition *partition,
                          int64_t next_input) {
  store_put_meta(runtime->store, partition->id,
                 &(struct store_meta){.epoch = partition->epoch,
                                      .next_input = next_input,
                                      .next_changelog = partition->next_changelog,
                                      .written_at = partition->written_at,
                                      .rebuilding = partition->rebuilding});
  store_write(runtime->store);
}

static bool begin_catching_up(struct runtime *runtime, struct partition *partition,
                              const struct recovery_plan *plan, int64_t first) {
  if (plan->action == RECOVERY_REBUILD) {
    if (!MUTANT("rebuilt-without-wiping")) store_wipe(runtime->store, partition->id);
    partition->rebuilding = true;
    partition->next_changelog = first;
    partition->written_at = log_now(runtime->log);
    keep_position(runtime, partition, 0);
  }
  report_info("partition %" PRId32 " reads its changelog from %" PRId64 " to %" PRId64 ": %s",
              partition->id, partition->next_changelog, partition->last_changelog, plan->reason);
  if (log_changelog_open(runtime->log, partition->id, partition->next_changelog) != LOG_OK)
    return log_failed(runtime);
  set_phase(runtime, partition, PHASE_CATCHING_UP);
  return true;
}

static void apply_intent(struct runtime *runtime, const struct partition *partition,
                         const struct recovery_plan *plan, const struct intent *intent,
                         struct store_meta *meta) {
  if (plan->intent == INTENT_PROMOTE) {
    *meta = intent_promoted(intent, log_now(runtime->log));
    store_put_changes(runtime->store, partition->id, intent->changes, intent->change_count);
    store_put_meta(runtime->store, partition->id, meta);
    store_write(runtime->store);
  } else if (plan->intent == INTENT_DROP) {
    store_drop_intent(runtime->store, partition->id);
    store_write(runtime->store);
  }
}

static void take_over(struct runtime *runtime, struct partition *partition,
                      const struct recovery_plan *plan, const struct recovery_facts *facts) {
  pthread_mutex_lock(&runtime->partitions_lock);
  partition->epoch = plan->metadata.epoch;
  partition->next_input = facts->committed.offset;
  partition->last_changelog = plan->metadata.last_changelog;
  partition->first_changelog = plan->metadata.first_changelog;
  partition->changelog_end = facts->changelog_end;
  pthread_mutex_unlock(&runtime->partitions_lock);
}

static bool recover_rows(struct runtime *runtime, struct partition *partition,
                         struct recovery_facts *facts) {
  struct arena arena = {0};
  struct store_meta meta = {0};
  struct intent intent;
  if (store_meta(runtime->store, partition->id, &meta)) facts->meta = &meta;
  if (store_intent(runtime->store, partition->id, &arena, &intent)) facts->intent = &intent;
  struct recovery_plan plan = recovery_judge(facts);
  bool fine = refuse(runtime, partition, &plan, facts);
  if (fine) {
    apply_intent(runtime, partition, &plan, &intent, &meta);
    take_over(runtime, partition, &plan, facts);
    partition->next_changelog = meta.next_changelog;
    partition->written_at = meta.written_at;
    partition->rebuilding = meta.rebuilding;
    fine = plan.action == RECOVERY_READY
               ? begin_serving(runtime, partition)
               : begin_catching_up(runtime, partition, &plan, facts->changelog_first);
  }
  arena_free(&arena);
  return fine;
}

/* Asks for the log's facts. The bounds come after the offset, which they must not lag behind. */
static enum log_status ask_log(struct runtime *runtime, const struct partition *partition,
                               struct recovery_facts *facts) {
  const struct log_class *log = runtime->log->class;
  enum log_status status = log->committed(runtime->log, partition->id, &facts->committed);
  if (status == LOG_OK)
    status =
        log->bounds(runtime->log, LOG_INPUT, partition->id, &facts->input_first, &facts->input_end);
  if (status == LOG_OK && runtime->store)
    status = log->bounds(runtime->log, LOG_CHANGELOG, partition->id, &facts->changelog_first,
                         &facts->changelog_end);
  return status;
}

/* The log tells a hindrance of recovery now and then, and /readyz as long as it is there. */
static void tell_hindrance(struct runtime *runtime) {
  const char *text = runtime->log->hindrance;
  pthread_mutex_lock(&runtime->partitions_lock);
  snprintf(runtime->hindrance, sizeof runtime->hindrance, "%s", text);
  pthread_mutex_unlock(&runtime->partitions_lock);
  int64_t now = log_now(runtime->log);
  if (!*text || (now >= runtime->hindrance_told_at &&
                 now - runtime->hindrance_told_at < HINDRANCE_TOLD_EVERY_MS))
    return;
  runtime->hindrance_told_at = now;
  report_warning("%s: asking again", text);
}

static bool ask(struct runtime *runtime, struct partition *partition, bool *busy) {
  struct recovery_facts facts = {.now = log_now(runtime->log),
                                 .tombstone_retention_ms = runtime->config.tombstone_retention_ms};
  enum log_status status = ask_log(runtime, partition, &facts);
  tell_hindrance(runtime);
  if (status == LOG_AGAIN) return true;
  if (status != LOG_OK) return log_failed(runtime);
  *busy = true;
  if (runtime->store) return recover_rows(runtime, partition, &facts);
  struct recovery_plan plan = recovery_judge(&facts);
  if (!refuse(runtime, partition, &plan, &facts)) return false;
  take_over(runtime, partition, &plan, &facts);
  return begin_serving(runtime, partition);
}

static bool restore_record(struct runtime *runtime, struct partition *partition,
                           const struct log_record *record, struct change *change) {
  if (!row_bytes_due(runtime, record->key, record->value, &change->due_at)) {
    return runtime_fail(runtime, EX_DATAERR,
                        "the changelog's record at partition %" PRId32 ", offset %" PRId64
                        " cannot be read by this version",
                        partition->id, record->offset);
  }
  change->key = arena_copy(&runtime->arena, record->key);
  change->value = record->value.data ? arena_copy(&runtime->arena, record->value) : (struct str){0};
  atomic_fetch_add_explicit(&runtime->metrics.restored, 1, memory_order_relaxed);
  return true;
}

/* The tombstone of a value that was read may be gone by now: the rows are worth nothing then. Asked
 * after the reading, as the machine may have slept in it. */
static bool took_too_long(const struct runtime *runtime, const struct partition *partition) {
  int64_t age = log_now(runtime->log) - partition->written_at;
  return age >= runtime->config.tombstone_retention_ms && !MUTANT("restore-may-take-for-ever") &&
         !MUTANT("old-store-not-rebuilt");
}

/* The table of recovery is asked again: it finds a store that is older than the tombstones. */
static void start_over(struct runtime *runtime, struct partition *partition) {
  report_info("partition %" PRId32
              " begins again: reading it took longer than the changelog keeps tombstones",
              partition->id);
  log_changelog_close(runtime->log, partition->id);
  set_phase(runtime, partition, PHASE_ASKING);
}

/* Reads on until the position is past C. The end of the partition counts, since what stood at C may
 * be compacted away. */
static bool catch_up(struct runtime *runtime, struct partition *partition, bool *busy) {
  const struct log_class *log = runtime->log->class;
  struct change *changes = arena_alloc(&runtime->arena, RESTORE_RECORDS_PER_TURN * sizeof *changes);
  size_t count = 0;
  while (partition->next_changelog <= partition->last_changelog &&
         count < RESTORE_RECORDS_PER_TURN && runtime->arena.total < RESTORE_BYTES_PER_TURN) {
    struct log_record record;
    int64_t position = partition->next_changelog;
    enum log_status status = log->changelog_next(runtime->log, partition->id, &record, &position);
    if (status == LOG_FATAL || status == LOG_ABORT) return log_failed(runtime);
    /* Never past C + 1: if the input is the changelog, the records behind that are still to be
     * decided. */
    partition->next_changelog =
        position <= partition->last_changelog ? position : partition->last_changelog + 1;
    if (MUTANT("position-past-c")) partition->next_changelog = position;
    if (MUTANT("caught-up-to-the-stable-end") && status == LOG_AGAIN)
      partition->last_changelog = partition->next_changelog - 1;
    if (status == LOG_AGAIN) {
      tell_hindrance(runtime);
      break;
    }
    bool counts = record.offset <= partition->last_changelog;
    bool restored = !counts || restore_record(runtime, partition, &record, &changes[count]);
    log->release(runtime->log, &record);
    if (!restored) return false;
    count += counts;
  }
  *busy |= count > 0;
  if (took_too_long(runtime, partition)) {
    start_over(runtime, partition);
    return true;
  }
  store_put_changes(runtime->store, partition->id, changes, count);
  bool done = partition->next_changelog > partition->last_changelog;
  if (done) {
    partition->rebuilding = false;
    partition->written_at = log->now(runtime->log);
    log->changelog_close(runtime->log, partition->id);
  }
  struct store_meta before;
  bool known = store_meta(runtime->store, partition->id, &before);
  keep_position(runtime, partition, done ? partition->next_input : known ? before.next_input : 0);
  arena_reset(&runtime->arena);
  return !done || begin_serving(runtime, partition);
}

bool partitions_recover(struct runtime *runtime, bool *busy) {
  for (size_t i = 0; i < runtime->partition_count; i++) {
    struct partition *partition = &runtime->partitions[i];
    if (partition->phase == PHASE_ASKING && !ask(runtime, partition, busy)) return false;
    if (partition->phase == PHASE_CATCHING_UP && !catch_up(runtime, partition, busy)) return false;
  }
  return true;
}
