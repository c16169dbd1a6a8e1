/* What a batch takes beside records: rows that are due, and answers of the world. */
#include "runtime/core/internal.h"

#define FAR_DUE_EVERY_MS 1000

/* ---- due rows ---- */

bool runtime_has_due_rows(const struct processor *processor) {
  for (const struct row_kind *kind = processor->rows; kind && kind->name; kind++) {
    if (kind->due_field.is) return true;
  }
  return false;
}

int64_t runtime_next_due(const struct runtime *runtime) {
  int64_t next = INT64_MAX;
  if (!runtime_has_due_rows(runtime->processor)) return next;
  for (size_t i = 0; i < runtime->partition_count; i++) {
    const struct partition *partition = &runtime->partitions[i];
    if (partition->phase == PHASE_READY && partition->next_due < next) next = partition->next_due;
  }
  return next;
}

static bool take_due(void *user, struct str key, int64_t due_at) {
  struct timers *timers = user;
  if (timers->count == timers->room) return false;
  timers->events[timers->count++] =
      (struct timer_event){.partition = timers->partition,
                           .key = arena_copy(&timers->runtime->arena, key),
                           .due_at = due_at};
  return true;
}

/* Nobody would look again at a row that a wrong clock put years ahead; now and then is often
 * enough. A clock that is wrong at this moment makes rows due early, which harms nothing. */
static void collect_far(struct runtime *runtime, struct partition *partition,
                        struct timers *timers) {
  int64_t within = runtime->processor->due_within_ms, now = runtime->batch_time;
  bool seen = now >= partition->far_due_seen && now - partition->far_due_seen < FAR_DUE_EVERY_MS;
  if (!within || seen) return;
  partition->far_due_seen = now;
  store_due(runtime->store, partition->id, now + within, INT64_MAX, take_due, timers);
}

/* An entry of the index stays where its row has changed or gone, as the time limit of a call that
 * was answered: it goes here, where it costs no transaction. The rows are read for the batch. */
static void drop_stale(struct runtime *runtime, struct timers *timers, size_t first) {
  size_t found = timers->count;
  timers->count = first;
  for (size_t i = first; i < found; i++) {
    const struct timer_event due = timers->events[i];
    if (row_is_due(runtime, due.partition, due.key, due.due_at)) {
      timers->events[timers->count++] = due;
    } else {
      store_drop_due(runtime->store, due.partition->id, due.key, due.due_at);
    }
  }
  timers->dropped = found - timers->count;
}

void timers_collect_due(struct runtime *runtime, struct timers *timers) {
  size_t first = timers->count;
  if (!runtime_has_due_rows(runtime->processor)) return;
  for (size_t i = 0; i < runtime->partition_count; i++) {
    /* Each is first in its turn: one with many due rows would leave nothing for the others. */
    size_t place = (i + runtime->turn / 2) % runtime->partition_count;
    struct partition *partition = &runtime->partitions[place];
    if (partition->phase != PHASE_READY) continue;
    timers->partition = partition;
    collect_far(runtime, partition, timers);
    if (partition->next_due > runtime->batch_time) continue;
    partition->next_due = store_due(runtime->store, partition->id, partition->next_due,
                                    runtime->batch_time, take_due, timers);
  }
  drop_stale(runtime, timers, first);
}

/* ---- answers ---- */

size_t runtime_in_flight(const struct runtime *runtime) {
  return runtime->world ? runtime->processor->world->in_flight(runtime->world) : 0;
}

bool timers_take_answer(struct runtime *runtime, struct timers *timers, int wait_ms) {
  int32_t partition_id;
  struct str key;
  int answer;
  if (timers->count == timers->room ||
      !runtime->processor->world->next(runtime->world, wait_ms, &partition_id, &key, &answer))
    return false;
  timers->events[timers->count++] = (struct timer_event){.partition_id = partition_id,
                                                         .key = arena_copy(&runtime->arena, key),
                                                         .answered = true,
                                                         .answer = answer};
  return true;
}

void timers_place_answers(struct runtime *runtime, struct timers *timers) {
  size_t taken = timers->count;
  timers->count = 0;
  for (size_t i = 0; i < taken; i++) {
    struct timer_event answer = timers->events[i];
    answer.partition = partition_find(runtime, answer.partition_id);
    if (answer.partition && answer.partition->phase == PHASE_READY)
      timers->events[timers->count++] = answer;
  }
}
