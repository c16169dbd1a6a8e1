/* The harm that people do to topics by hand, and the operator who takes the way out: before that,
 * nobody starts a filter that has ended with 78. */
#include <inttypes.h>
#include <stdio.h>

#include "runtime/core/recovery.h"
#include "sim.h"

/* ---- the operator ---- */

void filter_stop(struct sim *sim, int filter) {
  bool quiet = sim->quiet;
  sim->quiet = true; /* a step that has begun comes to its end */
  for (size_t i = sim->node_count; i-- > 0;) {
    if (sim->nodes[i]->filter != filter) continue;
    sim->nodes[i]->stopping = true;
    node_resume(sim, i);
  }
  sim->quiet = quiet;
}

static void commit_place(struct sim *sim, int f, int32_t partition, int64_t offset) {
  const struct filter *filter = &sim->filters[f];
  const char *changelog = filter->processor.changelog;
  const struct commit_metadata metadata = {
      .epoch = filter->epoch,
      .intent_id = "-",
      .last_changelog = changelog ? memory_end(sim->cluster, changelog, partition) - 1 : -1};
  char text[160];
  commit_metadata_format(&metadata, text);
  memory_commit_offset(sim->cluster, filter->processor.name, filter->processor.input, partition,
                       offset, text);
}

void filter_reset(struct sim *sim, int f, const struct staging *tables) {
  struct filter *filter = &sim->filters[f];
  const struct processor *processor = &filter->processor;
  sim_tell(sim, "%s is reset to the beginning", processor->name);
  sim->counts[COUNT_RESETS]++;
  filter_stop(sim, f);
  filter->epoch++;
  for (size_t i = 0; i < tables->count; i++) {
    const struct staged *row = &tables->entries[i];
    if (row->group != f || !row->change.value.data || !processor->changelog || processor->world)
      continue;
    const struct message tombstone = {.key = row->change.key, .timestamp = sim->now};
    memory_append(sim->cluster, processor->changelog, row->partition, &tombstone);
  }
  for (int32_t p = 0; p < sim->partitions; p++) commit_place(sim, f, p, 0);
}

/* As `holdfast reset --accept-loss`: the filter goes on where it stood, or at the first record that
 * is there. */
static void accept_loss(struct sim *sim, int f) {
  struct filter *filter = &sim->filters[f];
  const struct processor *processor = &filter->processor;
  sim_tell(sim, "%s goes on with the rest", processor->name);
  filter->epoch++;
  for (int32_t p = 0; p < sim->partitions; p++) {
    int64_t at = memory_committed(sim->cluster, processor->name, processor->input, p),
            first = memory_first(sim->cluster, processor->input, p);
    commit_place(sim, f, p, at < first ? first : at);
  }
}

/* The members have been missed, and what they left open has ended. */
static void wait_for_group(struct sim *sim, int f) {
  const char *group = sim->filters[f].processor.name;
  for (int slot = 0; slot < SLOTS_MAX; slot++) {
    memory_expire_member(sim->cluster, group, slot);
    memory_expire_transaction(sim->cluster, group, slot);
  }
  while (memory_write_marker(sim->cluster, 0)) {
  }
}

static void take_way_out(struct sim *sim, int f) {
  struct staging tables;
  filter_stop(sim, f);
  wait_for_group(sim, f);
  sim->filters[f].waits = false;
  if (sim->damage.kind == DAMAGE_INPUT) {
    accept_loss(sim, f);
    return;
  }
  tables_fold(sim, &tables);
  filter_reset(sim, f, &tables);
  staging_free(&tables);
}

/* ---- the damage ---- */

static bool can_be(const struct processor *processor, enum damage_kind kind) {
  if (kind == DAMAGE_INPUT) return !processor->open_input && !processor->input_is_changelog;
  return processor->changelog && !processor->world; /* or no input makes its rows again */
}

/* A reset does not bring again the records of an older build, nor rows that leave the stores. */
void damage_choose(struct sim *sim) {
  struct damage *damage = &sim->damage;
  if (!world_has(WORLD_DAMAGE) || sim->mixed || sim->forgets || !chance_of(&sim->chance, 200))
    return;
  damage->kind = chance_of(&sim->chance, 700) ? DAMAGE_CHANGELOG : DAMAGE_INPUT;
  damage->stopped = chance_of(&sim->chance, 400);
  damage->at = (int64_t)chance_below(&sim->chance, CHAOS_TICKS);
  do {
    damage->filter = (int)chance_below(&sim->chance, (uint64_t)sim->filter_count);
  } while (!can_be(&sim->filters[damage->filter].processor, damage->kind));
}

static void make_changelog_again(struct sim *sim, const char *topic) {
  for (int32_t p = 0; p < sim->partitions; p++) {
    sim->damage.ends[p] = memory_end(sim->cluster, topic, p);
    sim->damage.lost |= memory_read(sim->cluster, topic, p, 0) != NULL;
  }
  sim_tell(sim, "%s is deleted and made again", topic);
  memory_topic_recreate(sim->cluster, topic, false);
}

static void trim_input(struct sim *sim, const char *topic) {
  int32_t partition = (int32_t)chance_below(&sim->chance, (uint64_t)sim->partitions);
  int64_t end = memory_end(sim->cluster, topic, partition);
  int64_t first = end - (int64_t)chance_below(&sim->chance, 4);
  sim_tell(sim, "%s-%d is trimmed to %" PRId64 " of %" PRId64, topic, (int)partition, first, end);
  memory_topic_trim(sim->cluster, topic, partition, first);
}

static void happen(struct sim *sim) {
  struct damage *damage = &sim->damage;
  const struct processor *processor = &sim->filters[damage->filter].processor;
  damage->done = true;
  sim->counts[COUNT_DAMAGES]++;
  if (damage->stopped) {
    sim_tell(sim, "%s is stopped by hand", processor->name);
    filter_stop(sim, damage->filter);
  }
  if (damage->kind == DAMAGE_INPUT)
    trim_input(sim, processor->input);
  else
    make_changelog_again(sim, processor->changelog);
}

bool damage_turn(struct sim *sim) {
  const struct damage *damage = &sim->damage;
  bool moved = false;
  if (damage->kind && !damage->done && sim->tick >= damage->at) happen(sim);
  for (int f = 0; f < sim->filter_count; f++) {
    if (!sim->filters[f].waits || !(sim->quiet || chance_of(&sim->chance, 30))) continue;
    take_way_out(sim, f);
    moved = true;
  }
  return moved;
}

static bool is_hit(const struct sim *sim, int f) {
  const struct damage *damage = &sim->damage;
  if (damage->kind == DAMAGE_CHANGELOG) return f == damage->filter;
  return strcmp(sim->filters[f].processor.input, sim->filters[damage->filter].processor.input) == 0;
}

bool damage_ends(struct sim *sim, int f) {
  struct filter *filter = &sim->filters[f];
  if (!sim->damage.done || !is_hit(sim, f) || (filter->seen && !filter->waits)) return false;
  filter->seen = filter->waits = true;
  return true;
}

bool damage_is_unseen(const struct sim *sim) {
  return sim->damage.lost && !sim->filters[sim->damage.filter].seen;
}

void damage_meets_fault(struct node *node) {
  struct damage *damage = &node->sim->damage;
  damage->blurred |= damage->done && node->filter == damage->filter;
}

/* The first records that landed in the new topic were of a transaction that another fault ended,
 * and reach as far as the lost ones did: offsets say nothing of that, and the operator, who knows,
 * takes the way out. */
bool damage_is_hidden(struct sim *sim) {
  struct damage *damage = &sim->damage;
  const char *topic = sim->filters[damage->filter].processor.changelog;
  bool hidden = false;
  for (int32_t p = 0; damage->blurred && p < sim->partitions; p++) {
    hidden |= damage->ends[p] && memory_end(sim->cluster, topic, p) >= damage->ends[p];
  }
  if (hidden) damage_ends(sim, damage->filter);
  return hidden;
}

bool damage_is_for_ever(const struct sim *sim) {
  return sim->damage.done && sim->damage.kind == DAMAGE_INPUT;
}
