/* A partition of which nothing comes although records wait in it: it is served no longer, and says
 * so. */
#include <inttypes.h>
#include <stdio.h>

#include "runtime/base/clock.h"
#include "runtime/base/report.h"
#include "runtime/core/internal.h"

/* Longer than a fetch may be delayed, a broker replaced, or other partitions be worked off
 * first. */
#define STALL_S 30

/* True once nothing has come for so long; while no broker answers nothing can. */
static bool is_stalled(struct runtime *runtime, struct partition *partition, int64_t lag) {
  int64_t now = clock_monotonic_s();
  bool moved = partition->phase != PHASE_READY || lag <= 0 ||
               partition->polled != partition->watched || !partition->watched_since;
  partition->watched = partition->polled;
  if (moved) partition->watched_since = now;
  if (now - partition->watched_since < STALL_S) return false;
  if (partition->stalled || log_answers(runtime->log)) return true;
  partition->watched_since = now;
  return false;
}

void stall_watch(struct runtime *runtime, struct partition *partition, int64_t lag) {
  bool stalled = is_stalled(runtime, partition, lag);
  if (stalled == partition->stalled) return;
  pthread_mutex_lock(&runtime->partitions_lock);
  partition->stalled = stalled;
  partition->stalled_at = partition->polled;
  pthread_mutex_unlock(&runtime->partitions_lock);
  if (stalled)
    report_warning("partition %" PRId32 " of %s stands at offset %" PRId64 ": %" PRId64
                   " records wait there, and none has come for %d s",
                   partition->id, runtime->processor->input, partition->polled, lag, STALL_S);
}

size_t runtime_stalled(struct runtime *runtime, char *text, size_t size) {
  size_t count = 0;
  text[0] = '\0';
  pthread_mutex_lock(&runtime->partitions_lock);
  for (size_t i = 0; i < runtime->partition_count; i++) {
    const struct partition *partition = &runtime->partitions[i];
    if (!partition->stalled) continue;
    if (count++ == 0)
      snprintf(text, size,
               "partition %" PRId32 " of %s stands at offset %" PRId64
               ": records wait there, and none comes",
               partition->id, runtime->processor->input, partition->stalled_at);
  }
  pthread_mutex_unlock(&runtime->partitions_lock);
  return count;
}
