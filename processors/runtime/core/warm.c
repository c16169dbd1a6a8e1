/* Before the group is joined.
 *
 * Warming up: an instance that is new to its group reads the rows of the partitions that it will
 * own before it joins, while their owners go on. Once it joins, the table of recovery finds stores
 * that lack a moment's changes, so a partition that moves pauses for a moment.
 *
 * Standing by: an instance does the same for a slot that another process has, again and again. When
 * the group has lost that process it takes the slot.
 *
 * Both apply the table of recovery to partitions that belong to others: what it reads is committed,
 * and the instance's own store is all that it writes to. A guess that proves wrong costs what was
 * read. Kafka Streams has warm-up and standby replicas for the same (KIP-441). */
#include <stdlib.h>

#include "runtime/base/report.h"
#include "runtime/core/internal.h"

#define ROUNDS_MAX 20
#define FEW_RECORDS 2000          /* read in milliseconds */
#define PATIENCE_MS (30 * 1000LL) /* without a record: somebody's transaction hangs, say */
#define ASK_EVERY_MS 100          /* a standby, for the members of its group */
#define FOLLOW_EVERY_MS 1000      /* a standby, what was committed */

static bool log_failed(struct runtime *runtime) {
  runtime->failure = runtime->log->failure;
  return false;
}

static unsigned long long restored(const struct runtime *runtime) {
  return atomic_load(&runtime->metrics.restored);
}

/* Has so much passed since then? A clock that was set back is no reason to wait. */
static bool is_over(struct runtime *runtime, int64_t since, int64_t ms) {
  int64_t passed = log_now(runtime->log) - since;
  return passed < 0 || passed >= ms;
}

static void begin_round(struct runtime *runtime, const int32_t *ids, size_t count) {
  partitions_revoke(runtime);
  partitions_assign(runtime, ids, count);
  runtime->warm.round++;
  runtime->warm.round_at = log_now(runtime->log);
  runtime->warm.restored_before = restored(runtime);
}

static bool join(struct runtime *runtime) {
  partitions_revoke(runtime);
  pthread_mutex_lock(&runtime->partitions_lock);
  runtime->joined = true;
  pthread_mutex_unlock(&runtime->partitions_lock);
  return log_join(runtime->log) == LOG_OK || log_failed(runtime);
}

static bool begin_warming(struct runtime *runtime) {
  struct log_foreseen seen;
  enum log_status status = runtime->store ? log_foresee(runtime->log, &seen) : LOG_AGAIN;
  if (status == LOG_FATAL) return log_failed(runtime);
  if (status != LOG_OK) return join(runtime);
  if (seen.member || !seen.count) {
    free(seen.partitions);
    return join(runtime);
  }
  report_info("reading the rows of %zu partitions before it joins their group", seen.count);
  runtime->warm.progress_at = log_now(runtime->log);
  begin_round(runtime, seen.partitions, seen.count);
  free(seen.partitions);
  return true;
}

bool warm_begin(struct runtime *runtime) {
  if (!runtime->config.standby)
    return log_init(runtime->log) == LOG_OK ? begin_warming(runtime) : log_failed(runtime);
  report_info("stands by for slot %d", runtime->config.slot);
  runtime->warm.round_at = -FOLLOW_EVERY_MS;
  return true;
}

static bool all_are_warm(const struct runtime *runtime) {
  for (size_t i = 0; i < runtime->partition_count; i++) {
    if (runtime->partitions[i].phase != PHASE_WARM) return false;
  }
  return true;
}

static bool is_stuck(struct runtime *runtime, bool busy) {
  if (busy) runtime->warm.progress_at = log_now(runtime->log);
  return is_over(runtime, runtime->warm.progress_at, PATIENCE_MS);
}

/* The owners have gone on meanwhile: what they have written since is read in another round, until
 * one has little to read. */
static void next_round(struct runtime *runtime) {
  size_t count = runtime->partition_count;
  int32_t *ids = xcalloc(count, sizeof *ids);
  for (size_t i = 0; i < count; i++) ids[i] = runtime->partitions[i].id;
  begin_round(runtime, ids, count);
  free(ids);
}

static bool go_on_warming(struct runtime *runtime, bool *busy) {
  if (is_stuck(runtime, *busy)) return join(runtime);
  if (!all_are_warm(runtime)) return true;
  *busy = true;
  bool few = restored(runtime) - runtime->warm.restored_before < FEW_RECORDS;
  if (few || runtime->warm.round == ROUNDS_MAX) return join(runtime);
  next_round(runtime);
  return true;
}

static bool same_partitions(const struct runtime *runtime, const struct log_foreseen *seen) {
  if (runtime->partition_count != seen->count) return false;
  for (size_t i = 0; i < seen->count; i++) {
    if (runtime->partitions[i].id != seen->partitions[i]) return false;
  }
  return true;
}

/* The slot's transactional id fences its former process, should that still live. */
static bool take_slot(struct runtime *runtime) {
  report_info("the group has lost slot %d: taking it", runtime->config.slot);
  return log_init(runtime->log) == LOG_OK ? join(runtime) : log_failed(runtime);
}

static bool go_on_standing_by(struct runtime *runtime, bool *busy) {
  if (!is_over(runtime, runtime->warm.asked_at, ASK_EVERY_MS)) return true;
  runtime->warm.asked_at = log_now(runtime->log);
  struct log_foreseen seen;
  enum log_status status = log_foresee(runtime->log, &seen);
  if (status == LOG_FATAL) return log_failed(runtime);
  if (status != LOG_OK) return true;
  bool due = all_are_warm(runtime) && is_over(runtime, runtime->warm.round_at, FOLLOW_EVERY_MS);
  bool follow = runtime->store && seen.member && (due || !same_partitions(runtime, &seen));
  if (follow) begin_round(runtime, seen.partitions, seen.count);
  *busy |= follow;
  free(seen.partitions);
  return seen.member || take_slot(runtime);
}

bool warm_turn(struct runtime *runtime, bool *busy) {
  if (!partitions_recover(runtime, busy)) return false;
  return runtime->config.standby ? go_on_standing_by(runtime, busy) : go_on_warming(runtime, busy);
}
