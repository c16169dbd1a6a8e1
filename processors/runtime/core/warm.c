/* Warming up: an instance that is new to its group reads the rows of the partitions that it will
 * own before it joins, while their owners go on. Once it joins, the table of recovery finds stores
 * that lack a moment's changes, so a partition that moves pauses for a moment.
 *
 * The same table does it, applied to partitions that belong to others: what it reads and writes is
 * committed, and its own store is all that it writes to. A guess that proves wrong costs what was
 * read. Kafka Streams does the same with warm-up replicas (KIP-441). */
#include <inttypes.h>
#include <stdlib.h>

#include "runtime/base/mutant.h"
#include "runtime/base/report.h"
#include "runtime/core/internal.h"

#define ROUNDS_MAX 20
#define FEW_RECORDS 2000          /* read in milliseconds */
#define PATIENCE_MS (30 * 1000LL) /* without a record: somebody's transaction hangs, say */

static bool log_failed(struct runtime *runtime) {
  runtime->failure = runtime->log->failure;
  return false;
}

static unsigned long long restored(const struct runtime *runtime) {
  return atomic_load(&runtime->metrics.restored);
}

static void begin_round(struct runtime *runtime, const int32_t *ids, size_t count) {
  partitions_assign(runtime, ids, count);
  runtime->warm.round++;
  runtime->warm.restored_before = restored(runtime);
}

/* False: failed. Where nobody can say what this slot will own it joins at once. */
bool warm_begin(struct runtime *runtime) {
  if (!runtime->store || MUTANT("joins-cold")) return warm_end(runtime);
  int32_t *ids = xcalloc((size_t)runtime->input_partitions, sizeof *ids);
  size_t count = log_foresee(runtime->log, ids);
  if (count) {
    report_info("reading the rows of %zu partitions before it joins their group", count);
    runtime->warm.progress_at = log_now(runtime->log);
    begin_round(runtime, ids, count);
  }
  free(ids);
  return count > 0 || warm_end(runtime);
}

bool warm_end(struct runtime *runtime) {
  partitions_revoke(runtime);
  runtime->joined = true;
  return log_join(runtime->log) == LOG_OK || log_failed(runtime);
}

static bool all_are_warm(const struct runtime *runtime) {
  for (size_t i = 0; i < runtime->partition_count; i++) {
    if (runtime->partitions[i].phase != PHASE_WARM) return false;
  }
  return true;
}

static bool is_stuck(struct runtime *runtime, bool busy) {
  int64_t now = log_now(runtime->log);
  if (busy || now < runtime->warm.progress_at) runtime->warm.progress_at = now;
  return now - runtime->warm.progress_at > PATIENCE_MS;
}

/* Its owners have gone on meanwhile: what they have written since is read in another round, until
 * one has little to read. */
static bool next_round(struct runtime *runtime) {
  size_t count = runtime->partition_count;
  int32_t *ids = xcalloc(count, sizeof *ids);
  for (size_t i = 0; i < count; i++) ids[i] = runtime->partitions[i].id;
  begin_round(runtime, ids, count);
  free(ids);
  return true;
}

bool warm_turn(struct runtime *runtime, bool *busy) {
  if (!partitions_recover(runtime, busy)) return false;
  if (is_stuck(runtime, *busy)) return warm_end(runtime);
  if (!all_are_warm(runtime)) return true;
  *busy = true;
  bool few = restored(runtime) - runtime->warm.restored_before < FEW_RECORDS;
  return few || runtime->warm.round == ROUNDS_MAX ? warm_end(runtime) : next_round(runtime);
}
