/* Processes: fibers that live on a slot and a disk until they end or die. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "sim.h"

#define STARVED_STEPS 20 /* more than aborts in a row */

void node_die(struct node *node, const char *where) {
  if (node->dead) return;
  node->dead = true;
  node->sim->counts[COUNT_KILLS]++;
  damage_meets_fault(node);
  sim_tell(node->sim, "%s dies %s", node_name(node), where);
}

bool node_passes(struct node *node, const char *where) {
  struct sim *sim = node->sim;
  if (node->dead) return false;
  if (sim->quiet) return true;
  if (chance_of(&sim->chance, sim->faults.kill)) {
    node_die(node, where);
    return false;
  }
  if (chance_of(&sim->chance, sim->faults.yield)) {
    if (chance_of(&sim->chance, sim->faults.pause)) {
      node->paused_until = sim->tick + 20 + (int64_t)chance_below(&sim->chance, 400);
      sim->counts[COUNT_PAUSES]++;
      sim_tell(sim, "%s is stopped %s", node_name(node), where);
    }
    fiber_yield();
  }
  return !node->dead;
}

static enum store_fate fate_of_write(void *user) {
  struct node *node = user;
  struct sim *sim = node->sim;
  if (node->dead) return STORE_DIES;
  if (sim->quiet) return STORE_WRITES;
  if (chance_of(&sim->chance, sim->faults.kill_write)) {
    node_die(node, "at a write of its store");
    return STORE_DIES;
  }
  if (!chance_of(&sim->chance, sim->faults.write_fails)) return STORE_WRITES;
  sim->counts[COUNT_FAILED_WRITES]++;
  return chance_of(&sim->chance, 500) ? STORE_FAILS_BEFORE : STORE_FAILS_AFTER;
}

static bool read_fails(void *user) {
  struct node *node = user;
  struct sim *sim = node->sim;
  if (node->dead || sim->quiet || !chance_of(&sim->chance, sim->faults.read_fails)) return false;
  sim->counts[COUNT_FAILED_READS]++;
  sim_tell(sim, "%s: a read of its store fails", node_name(node));
  return true;
}

static void disk_failed(void *user) {
  node_die(user, "as its disk failed");
}

static bool step_fails(void *user, enum step step) {
  return !node_passes(user, step_names[step]);
}

static void judge_end(struct node *node, const struct failure *failure) {
  if (node->dead) return;
  sim_tell(node->sim, "%s ends: %s", node_name(node), failure->text);
  if (failure->exit_code == EX_CONFIG && damage_ends(node->sim, node->filter)) return;
  if (failure->exit_code != EX_TEMPFAIL && failure->exit_code != EX_UNAVAILABLE)
    sim_fail(node->sim, "%s gives up: %s", node_name(node), failure->text);
}

static bool count_one(void *user, struct str key, int64_t due_at) {
  (void)key;
  (void)due_at;
  ++*(size_t *)user;
  return true;
}

static size_t rows_due_at(const struct node *node, int64_t due_at) {
  size_t count = 0;
  for (int32_t p = 0; p < node->sim->partitions; p++)
    store_due(node->disk->store, p, due_at, due_at, count_one, &count);
  return count;
}

/* Rows that are due have their share of every batch, however much there is to read: while work is
 * done some of the oldest go. */
static void watch_due_rows(struct node *node) {
  int64_t due = runtime_next_due(node->runtime);
  if (due != node->due_seen || due > node->sim->now + node->skew || node->status != RUNTIME_BUSY) {
    if (due != node->due_seen) node->starved = 0;
    node->due_seen = due;
    return;
  }
  if (++node->starved % STARVED_STEPS != 0) return;
  size_t left = rows_due_at(node, due);
  if (node->starved > STARVED_STEPS && left >= node->due_left)
    sim_fail(node->sim, "%s: %zu due rows wait while %d batches are done", node_name(node), left,
             node->starved);
  node->due_left = left;
}

static void live(void *user) {
  struct node *node = user;
  struct sim *sim = node->sim;
  struct filter *filter = &sim->filters[node->filter];
  const struct processor *processor = &filter->processor;
  struct failure failure = {0};
  struct runtime_config config = {.processor = processor,
                                  .store = node->disk ? node->disk->store : NULL,
                                  .slot = node->slot,
                                  .standby = node->standby,
                                  .batch_records = sim->batch_records,
                                  .tombstone_retention_ms = sim->tombstone_retention_ms,
                                  .failpoint = step_fails,
                                  .failpoint_user = node};
  config.log =
      faulty_log_open(node, memory_log_open(sim->cluster, processor->name, processor->input,
                                            processor->changelog, node->slot));
  struct runtime *runtime = runtime_new(&config, &failure);
  if (!runtime) {
    judge_end(node, &failure);
    return;
  }
  node->runtime = runtime;
  while (!node->dead && !node->stopping) {
    node->status = runtime_step(runtime, 0);
    if (node->status == RUNTIME_FAILED) judge_end(node, runtime_failure(runtime));
    if (node->status == RUNTIME_FAILED || node->status == RUNTIME_KILLED) break;
    if (world_has(WORLD_BURSTS)) watch_due_rows(node);
    fiber_yield();
  }
  node->runtime = NULL;
  runtime_free(runtime);
}

static struct disk *free_disk(struct sim *sim, struct filter *filter, int slot) {
  if (!filter->processor.rows) return NULL;
  struct disk *disk = &filter->disks[slot % STORES_MAX];
  bool other = !sim->quiet && chance_of(&sim->chance, sim->faults.other_disk);
  for (int i = 0; (disk->used || other) && i < STORES_MAX; i++) {
    disk = &filter->disks[chance_below(&sim->chance, STORES_MAX)];
    other = false;
  }
  for (int i = 0; disk->used && i < STORES_MAX; i++) disk = &filter->disks[i];
  return disk;
}

void node_start(struct sim *sim, int filter_index, int slot, bool standby) {
  struct filter *filter = &sim->filters[filter_index];
  struct disk *disk = free_disk(sim, filter, slot);
  if (sim->node_count == NODES_MAX || (disk && disk->used)) return;
  if (disk && !disk_open(sim, filter, disk)) return;
  struct node *node = xcalloc(1, sizeof *node);
  *node = (struct node){
      .sim = sim, .filter = filter_index, .slot = slot, .disk = disk, .standby = standby};
  node->number = ++sim->processes;
  if (!sim->quiet && chance_of(&sim->chance, 100))
    node->skew = (int64_t)chance_below(&sim->chance, 3000) - 1500;
  node->old_build = sim->mixed && chance_of(&sim->chance, 500);
  if (disk) {
    disk->used = true;
    store_set_failpoint(disk->store,
                        &(struct store_failpoint){fate_of_write, read_fails, disk_failed, node});
  }
  node->fiber = fiber_new(live, node);
  sim->nodes[sim->node_count++] = node;
  sim_tell(sim, "%s starts%s", node_name(node),
           disk && disk != &filter->disks[slot] ? " on another disk" : "");
}

static bool stands_by(const struct node *node) {
  return node->standby && (!node->runtime || runtime_stands_by(node->runtime));
}

bool slot_runs(const struct sim *sim, int filter, int slot) {
  for (size_t i = 0; i < sim->node_count; i++) {
    const struct node *node = sim->nodes[i];
    if (node->filter == filter && node->slot == slot && !node->dead && !stands_by(node))
      return true;
  }
  return false;
}

/* The rest of a process that has ended. */
static void bury(struct sim *sim, size_t index) {
  struct node *node = sim->nodes[index];
  struct filter *filter = &sim->filters[node->filter];
  sim->nodes[index] = sim->nodes[--sim->node_count];
  if (node->disk) {
    node->disk->used = false;
    store_set_failpoint(node->disk->store, NULL);
    if (node->dead && node->disk->directory && chance_of(&sim->chance, sim->faults.power_loss)) {
      disk_tear(sim, node->disk);
    } else if (node->dead && !sim->quiet && chance_of(&sim->chance, sim->faults.lose_disk)) {
      sim->counts[COUNT_LOST_DISKS]++;
      sim_tell(sim, "%s loses its disk", node_name(node));
      disk_lose(filter, node->disk, sim->partitions);
    }
  }
  filter->down_until[node->slot] =
      sim->tick + (sim->quiet ? 0 : (int64_t)chance_below(&sim->chance, 60));
  fiber_free(node->fiber);
  free(node);
}

void node_resume(struct sim *sim, size_t index) {
  struct node *node = sim->nodes[index];
  sim->running = node;
  fiber_resume(node->fiber);
  sim->running = NULL;
  if (fiber_ended(node->fiber)) bury(sim, index);
}
