/* The faults, and their shares. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

#define COMPACTION_LAG_MS 5000 /* a tombstone goes some time after it may */

/* ---- classes ---- */

static struct {
  const char *name;
  bool on;
} classes[WORLD_CLASSES] = {[WORLD_BOUNDS_AGAIN] = {"bounds-again", true},
                            [WORLD_IDS_AGAIN] = {"ids-again", true},
                            [WORLD_PLACES] = {"places", true},
                            [WORLD_BROKER_CLOCK] = {"broker-clock", true},
                            [WORLD_HOST_CLOCKS] = {"host-clocks", true},
                            [WORLD_BURSTS] = {"bursts", true},
                            [WORLD_DAMAGE] = {"damage", true}};

bool world_has(enum world_class class) {
  return classes[class].on;
}

/* `all`, `none`, or names with commas between them: these alone. */
bool world_switch(const char *names) {
  bool all = strcmp(names, "all") == 0;
  for (int i = 0; i < WORLD_CLASSES; i++) classes[i].on = all;
  if (all || strcmp(names, "none") == 0) return true;
  for (size_t size; *names; names += size + (names[size] == ',')) {
    size = strcspn(names, ",");
    int found = 0;
    while (found < WORLD_CLASSES &&
           !str_equal(str_of(classes[found].name), (struct str){names, size}))
      found++;
    if (found == WORLD_CLASSES) return false;
    classes[found].on = true;
  }
  return true;
}

/* ---- what happens ---- */

static struct node *any_node(struct sim *sim) {
  return sim->node_count ? sim->nodes[chance_below(&sim->chance, sim->node_count)] : NULL;
}

static void take_over(struct sim *sim, struct node *node) {
  /* Another machine starts the same slot: a supervisor that thinks this one dead. */
  sim->counts[COUNT_TAKEOVERS]++;
  bool standby = chance_of(&sim->chance, 300);
  sim_tell(sim, "%s is %s", node_name(node), standby ? "given a standby" : "taken over");
  node_start(sim, node->filter, node->slot, standby);
}

static void compact(struct sim *sim, int filter, int32_t partition) {
  const struct processor *processor = &sim->filters[filter].processor;
  const char *topic = processor->changelog            ? processor->changelog
                      : processor->input_is_changelog ? processor->input
                                                      : NULL;
  if (!topic) return;
  int64_t before = sim->tombstone_retention_ms == INT64_MAX
                       ? 0
                       : sim->now - sim->tombstone_retention_ms - COMPACTION_LAG_MS;
  memory_compact(sim->cluster, topic, partition, before);
  sim_tell(sim, "%s-%d is compacted", topic, (int)partition);
}

bool node_sleeps(struct node *node, int32_t partition) {
  struct sim *sim = node->sim;
  if (sim->quiet || !chance_of(&sim->chance, sim->faults.sleep)) return true;
  sim_tell(sim, "%s sleeps for longer than tombstones are kept", node_name(node));
  node->paused_until = sim->tick + (int64_t)chance_below(&sim->chance, 100);
  sim->now += sim->tombstone_retention_ms + COMPACTION_LAG_MS;
  compact(sim, node->filter, partition);
  fiber_yield();
  return !node->dead;
}

static void scale(struct sim *sim, bool out) {
  int filter = (int)chance_below(&sim->chance, (uint64_t)sim->filter_count);
  int slot = 1 + (int)chance_below(&sim->chance, SLOTS_MAX - 1);
  sim->filters[filter].wanted[slot] = out;
  for (size_t i = 0; !out && i < sim->node_count; i++) {
    struct node *node = sim->nodes[i];
    if (node->filter == filter && node->slot == slot && !node->stopping) {
      sim_tell(sim, "%s is told to stop", node_name(node));
      node->stopping = true;
    }
  }
}

void faults_happen(struct sim *sim) {
  const struct faults *faults = &sim->faults;
  struct chance *chance = &sim->chance;
  struct node *node = any_node(sim);
  if (!node) return;
  const char *group = sim->filters[node->filter].processor.name;
  bool paused = node->paused_until > sim->tick;
  if (chance_of(chance, faults->kill_any)) node_die(node, "where it stands");
  if (chance_of(chance, faults->pause / 20)) {
    node->paused_until = sim->tick + 20 + (int64_t)chance_below(chance, 400);
    sim_tell(sim, "%s is stopped", node_name(node));
  }
  if (chance_of(chance, paused ? faults->expire * 10 : faults->expire)) {
    sim_tell(sim, "the group loses %s", node_name(node));
    memory_expire_member(sim->cluster, group, node->slot);
  }
  if (chance_of(chance, paused ? faults->expire_transaction * 10 : faults->expire_transaction)) {
    sim_tell(sim, "the transaction of %s times out", node_name(node));
    memory_expire_transaction(sim->cluster, group, node->slot);
  }
  if (paused && chance_of(chance, faults->takeover)) take_over(sim, node);
  if (chance_of(chance, faults->join)) scale(sim, true);
  if (chance_of(chance, faults->leave)) scale(sim, false);
  if (chance_of(chance, faults->jump)) {
    int64_t jump = (int64_t)chance_below(chance, chance_of(chance, 200) ? 120000 : 8000);
    sim->now += jump;
    sim_tell(sim, "the clock jumps by %" PRId64 " ms", jump);
  }
  if (chance_of(chance, faults->compact))
    compact(sim, (int)chance_below(chance, (uint64_t)sim->filter_count),
            (int32_t)chance_below(chance, (uint64_t)sim->partitions));
}

void faults_choose(struct sim *sim) {
  struct chance *chance = &sim->chance;
  int calm = (int)chance_below(chance, 4); /* 0: as bad as it gets */
  int rate = calm == 0 ? 4 : calm == 1 ? 2 : 1;
  struct faults *f = &sim->faults;
#define SOMETIMES(value) (chance_of(chance, 600) ? (value) : 0)
  *f = (struct faults){.yield = 30 + (int)chance_below(chance, 300),
                       .kill = SOMETIMES(rate),
                       .kill_write = SOMETIMES(4 * rate),
                       .write_fails = SOMETIMES(3 * rate),
                       .read_fails = SOMETIMES(1),
                       .abort = SOMETIMES(8 * rate),
                       .commit_refused = SOMETIMES(10 * rate),
                       .commit_unknown = SOMETIMES(4 * rate),
                       .commit_unknown_done = SOMETIMES(6 * rate),
                       .again = SOMETIMES(40 * rate),
                       .host_clock = chance_of(chance, 150) && !sim->forgets ? 30 : 0,
                       .call_fails = SOMETIMES(rate),
                       .kill_any = SOMETIMES(3 * rate),
                       .pause = SOMETIMES(20 * rate),
                       .expire = SOMETIMES(2 * rate),
                       .expire_transaction = SOMETIMES(2 * rate),
                       .join = SOMETIMES(3 * rate),
                       .leave = SOMETIMES(3 * rate),
                       .takeover = SOMETIMES(20 * rate),
                       .jump = SOMETIMES(8 * rate),
                       .lose_disk = SOMETIMES(100 * rate),
                       .power_loss = 500,
                       .other_disk = SOMETIMES(80 * rate),
                       .compact = SOMETIMES(10 * rate),
                       .marker = 100 + (int)chance_below(chance, 800)};
#undef SOMETIMES
  if (sim->tombstone_retention_ms == INT64_MAX) return;
  f->compact = 60; /* old disks meet changelogs whose tombstones have gone */
  f->other_disk = 300;
  f->kill_any += 4;
  f->jump += 12;
  f->sleep = 5;
}
