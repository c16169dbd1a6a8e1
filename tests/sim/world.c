/* The scheduler: chooses the next process and the next fault, and sees, when faults have stopped,
 * whether everything settles. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/memory/pipe.h"
#include "charge/charge.h"
#include "runtime/contract/expiry.h"
#include "sim.h"

#define SETTLE_TURNS 40000
#define BURST_COMMANDS 100

/* ---- what goes from the stores ---- */

int64_t expiry_window_ms, expiry_slack_ms, expiry_step_ms, expiry_doubts;

/* In some worlds the window is a few days, and after a while as many days pass: the rows of before
 * go while others come. No outage is as long, as the window's rule has it. */
static void choose_window(struct sim *sim) {
  sim->forgets = chance_of(&sim->chance, 250);
  expiry_window_ms = (sim->forgets ? 3 : 400) * DAY_MS;
  expiry_slack_ms = (sim->forgets ? 3 : 35) * DAY_MS;
  expiry_step_ms = sim->forgets ? 4000 : DAY_MS; /* a few openings must show that a week passed */
  expiry_doubts = sim->forgets ? 2 : 100;
}

/* Few seeds: they have as many records as fifty others. */
static void choose_burst(struct sim *sim) {
  sim->burst = chance_of(&sim->chance, 12);
  if (sim->burst && chance_of(&sim->chance, 500))
    sim->batch_records = 1000 + chance_below(&sim->chance, 3000);
}

/* ---- a run ---- */

static void open_filters(struct sim *sim) {
  for (const struct processor *const *p = all_processors; *p; p++) {
    struct filter *filter = &sim->filters[sim->filter_count];
    filter->processor = **p;
    if (filter->processor.world)
      filter->processor.world =
          filter->processor.world == &provider_world ? &sim_provider : &sim_receiver;
    filter->wanted[0] = true;
    filter->epoch = 1;
    pipe_prepare(sim->cluster, &filter->processor, sim->partitions);
    sim->filter_count++;
  }
}

static void start_missing(struct sim *sim) {
  for (int f = 0; f < sim->filter_count; f++) {
    for (int slot = 0; slot < SLOTS_MAX; slot++) {
      const struct filter *filter = &sim->filters[f];
      if (filter->waits) continue;
      if (filter->wanted[slot] && filter->down_until[slot] <= sim->tick && !slot_runs(sim, f, slot))
        node_start(sim, f, slot, false);
    }
  }
}

static void chaos_tick(struct sim *sim) {
  struct chance *chance = &sim->chance;
  sim->tick++;
  sim->now += (int64_t)chance_below(chance, 12);
  memory_cluster_set_time(sim->cluster, sim->now);
  provider_turn(sim->provider);
  if (chance_of(chance, sim->faults.marker)) memory_write_marker(sim->cluster, chance_next(chance));
  faults_happen(sim);
  damage_turn(sim);
  start_missing(sim);
  memory_cluster_set_time(sim->cluster, sim->now);
  if (!sim->node_count) return;
  size_t index = chance_below(chance, sim->node_count);
  if (sim->nodes[index]->paused_until <= sim->tick) node_resume(sim, index);
}

/* Slots that nobody runs any more leave the group when their session times out; transactions that
 * are still open while nobody moves were left by the dead. */
static void time_out(struct sim *sim) {
  for (int f = 0; f < sim->filter_count; f++) {
    for (int slot = 0; slot < SLOTS_MAX; slot++) {
      const char *group = sim->filters[f].processor.name;
      if (!slot_runs(sim, f, slot)) memory_expire_member(sim->cluster, group, slot);
      memory_expire_transaction(sim->cluster, group, slot);
    }
  }
}

static bool quiet_turn(struct sim *sim) {
  sim->tick++;
  memory_cluster_set_time(sim->cluster, sim->now);
  provider_turn(sim->provider);
  bool moved = damage_turn(sim);
  start_missing(sim);
  for (size_t i = sim->node_count; i-- > 0;) {
    struct node *node = sim->nodes[i];
    size_t before = sim->node_count;
    node_resume(sim, i);
    moved |= sim->node_count != before || node->status != RUNTIME_IDLE;
  }
  return moved;
}

static int64_t next_event(const struct sim *sim) {
  int64_t next = provider_next(sim->provider), taken = receiver_next(sim->receiver);
  if (taken < next) next = taken;
  for (size_t i = 0; i < sim->node_count; i++) {
    int64_t due = sim->nodes[i]->runtime ? runtime_next_due(sim->nodes[i]->runtime) : INT64_MAX;
    if (due < INT64_MAX && due - sim->nodes[i]->skew < next) next = due - sim->nodes[i]->skew;
  }
  return next;
}

/* Faults have stopped: everything must come to its end by itself. */
static void settle(struct sim *sim) {
  sim->quiet = true;
  sim_tell(sim, "faults stop");
  memory_delay_markers(sim->cluster, false);
  for (int f = 0; f < sim->filter_count; f++)
    memset(sim->filters[f].down_until, 0, sizeof sim->filters[f].down_until);
  for (size_t i = 0; i < sim->node_count; i++) {
    sim->nodes[i]->paused_until = 0;
    if (sim->nodes[i]->standby) sim->nodes[i]->stopping = true;
  }
  int idle = 0;
  for (int turn = 0; idle < 3; turn++) {
    if (turn == SETTLE_TURNS) {
      sim_fail(sim, "it does not settle");
      return;
    }
    if (sim->failed) return;
    bool moved = quiet_turn(sim);
    idle = moved ? 0 : idle + 1;
    if (idle == 1) time_out(sim);
    int64_t next = next_event(sim);
    if (idle == 2 && next != INT64_MAX) {
      sim->now = next > sim->now ? next : sim->now + 1;
      idle = 0;
    }
  }
}

/* ---- reset ---- */

static void settle(struct sim *sim);

/* A filter that is reset does everything again, and nobody does anything twice. Disks of before are
 * still about. */
static void check_reset(struct sim *sim) {
  struct staging before, after;
  int64_t charged, refunded, charged_after, refunded_after;
  int filter = (int)chance_below(&sim->chance, (uint64_t)sim->filter_count);
  provider_money(sim->provider, &charged, &refunded);
  tables_fold(sim, &before);
  filter_reset(sim, filter, &before);
  sim->quiet = chance_of(&sim->chance, 400);
  int64_t until = sim->tick + (sim->quiet ? 0 : CHAOS_TICKS / 3);
  while (sim->tick < until && !sim->failed) chaos_tick(sim);
  settle(sim);
  if (!sim->failed) check_world(sim);
  tables_fold(sim, &after);
  if (!sim->failed) tables_compare(sim, &before, &after);
  provider_money(sim->provider, &charged_after, &refunded_after);
  if (!sim->failed && (charged != charged_after || refunded != refunded_after))
    sim_fail(sim, "after the reset the provider has moved other money");
  staging_free(&before);
  staging_free(&after);
}

/* Until the clients have sent a part of what they will: all, or half. */
static void chaos(struct sim *sim, int parts) {
  int commands = 20 + (int)chance_below(&sim->chance, 80);
  bool sending = true;
  for (int64_t until = sim->tick + CHAOS_TICKS; (sending || sim->tick < until) && !sim->failed;) {
    int count = chance_of(&sim->chance, commands) ? sim->burst ? BURST_COMMANDS : 1 : 0;
    while (sending && count-- > 0) sending = workload_turn(sim->workload, parts);
    chaos_tick(sim);
  }
}

/* Faults come back. */
static void begin_again(struct sim *sim) {
  sim->quiet = false;
  memory_cluster_set_time(sim->cluster, sim->now);
}

/* The topic of commands is deleted and made again, and the entrance reset, as it must be then: new
 * commands lie where others lay, and are none of them. */
static void check_recreated(struct sim *sim) {
  int entrance = 0;
  while (!sim->filters[entrance].processor.open_input) entrance++;
  filter_reset(sim, entrance, &(struct staging){0});
  sim_tell(sim, "the topic of commands is made again");
  memory_topic_recreate(sim->cluster, sim->filters[entrance].processor.input, true);
  workload_goes_on(sim->workload);
  begin_again(sim);
  chaos(sim, 1);
  settle(sim);
  if (!sim->failed) check_world(sim);
}

/* A loss while nothing was written is seen at the next start. */
static void check_damage(struct sim *sim) {
  if (sim->failed || !damage_is_unseen(sim)) return;
  filter_stop(sim, sim->damage.filter);
  settle(sim);
  if (sim->failed || !damage_is_unseen(sim)) return;
  if (damage_is_hidden(sim))
    settle(sim);
  else
    sim_fail(sim, "%s goes on although its changelog was made again",
             sim->filters[sim->damage.filter].processor.name);
}

void sim_run(struct sim *sim, uint64_t seed, bool tell) {
  *sim = (struct sim){.seed = seed, .tell = tell, .chance = {seed}, .now = BEGINNING_MS};
  sim->cluster = memory_cluster_new();
  sim->codec = codec_new(&holdfast_schemas);
  sim->partitions = 1 + (int32_t)chance_below(&sim->chance, 3);
  sim->batch_records = 1 + chance_below(&sim->chance, 12);
  sim->tombstone_retention_ms = chance_of(&sim->chance, 300) ? 20000 : INT64_MAX;
  if (world_has(WORLD_BURSTS)) choose_burst(sim);
  choose_window(sim);
  sim->mixed = chance_of(&sim->chance, 150);
  sim->provider = provider_new(sim);
  provider_use(sim);
  sim->receiver = receiver_new(sim);
  memory_cluster_set_time(sim->cluster, sim->now);
  faults_choose(sim);
  open_filters(sim);
  disks_choose(sim);
  sim->workload = workload_new(sim);
  damage_choose(sim);
  memory_delay_markers(sim->cluster, chance_of(&sim->chance, 700));
  chaos(sim, sim->forgets ? 2 : 1);
  settle(sim);
  check_damage(sim);
  if (sim->forgets && !sim->failed) {
    sim->now += expiry_window_ms + expiry_slack_ms + DAY_MS;
    sim_tell(sim, "a week passes");
    begin_again(sim);
    chaos(sim, 1);
    settle(sim);
  }
  if (!sim->failed) check_world(sim);
  /* Records of an older build lack the marks that tell a repeat. */
  if (sim->failed || sim->mixed || sim->forgets || damage_is_for_ever(sim)) return;
  if (chance_of(&sim->chance, 250)) {
    check_reset(sim);
  } else if (!sim->wrong_broker && chance_of(&sim->chance, 150)) {
    check_recreated(sim); /* with a clock that was ahead, new commands look like repeats: a limit */
  }
}

void sim_close(struct sim *sim) {
  while (sim->node_count) {
    struct node *node = sim->nodes[0];
    node->dead = true;
    node_resume(sim, 0);
  }
  for (int f = 0; f < sim->filter_count; f++) {
    for (int i = 0; i < STORES_MAX; i++) {
      disk_lose(&sim->filters[f], &sim->filters[f].disks[i], sim->partitions);
      free(sim->filters[f].disks[i].directory);
    }
  }
  workload_free(sim->workload);
  provider_free(sim->provider);
  receiver_free(sim->receiver);
  codec_free(sim->codec);
  arena_free(&sim->arena);
  memory_cluster_free(sim->cluster);
}
