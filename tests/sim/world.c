/* The scheduler: who goes on next, what breaks, and, when faults have stopped, whether everything
 * settles. */
#include <ftw.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "pipe.h"
#include "recovery.h"
#include "charge/charge.h"
#include "expiry.h"
#include "sim.h"

#define CHAOS_TICKS 1200
#define SETTLE_TURNS 40000
#define SPARES_MAX 24
#define SPARE_USES 15
#define CACHE_BYTES ((size_t)1 << 20)
#define COMPACTION_LAG_MS 5000 /* a tombstone goes some time after it may */

/* ---- chance: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators) ----
 */

uint64_t chance_next(struct chance *chance) {
  uint64_t z = chance->state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

uint64_t chance_below(struct chance *chance, uint64_t limit) {
  return limit ? chance_next(chance) % limit : 0;
}

bool chance_of(struct chance *chance, int per_thousand) {
  return per_thousand > 0 && chance_below(chance, 1000) < (uint64_t)per_thousand;
}

/* ---- telling ---- */

void sim_tell(struct sim *sim, const char *format, ...) {
  if (!sim->tell) return;
  va_list arguments;
  va_start(arguments, format);
  printf("%6" PRId64 " %9.3fs  ", sim->tick, (double)sim->now / 1000);
  vprintf(format, arguments);
  putchar('\n');
  va_end(arguments);
}

void sim_fail(struct sim *sim, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  sim_tell(sim, "WRONG: %s", text);
  if (sim->failed) return;
  sim->failed = true;
  memcpy(sim->failure, text, sizeof text);
}

const char *node_name(const struct node *node) {
  static char name[80];
  snprintf(name, sizeof name, "%s/%d (process %d)", node->sim->filters[node->filter].processor.name,
           node->slot, node->number);
  return name;
}

/* ---- disks ---- */

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk) {
  (void)status;
  (void)flag;
  (void)walk;
  return remove(path);
}

static int newest_log(const char *path, const struct stat *status, int flag, struct FTW *walk) {
  extern char newest_path[512];
  (void)walk;
  size_t size = strlen(path);
  if (flag == FTW_F && size > 4 && strcmp(path + size - 4, ".log") == 0 && status->st_size > 0 &&
      strcmp(path, newest_path) > 0)
    snprintf(newest_path, 512, "%s", path);
  return 0;
}

char newest_path[512];

/* What was written last to the WAL never reached the disk; the tear may go through a record. */
static void tear_disk(struct sim *sim, struct disk *disk) {
  store_close(disk->store);
  disk->store = NULL;
  newest_path[0] = '\0';
  nftw(disk->directory, newest_log, 8, FTW_PHYS);
  struct stat status;
  if (!newest_path[0] || stat(newest_path, &status) != 0) return;
  uint64_t lost = chance_below(&sim->chance, (uint64_t)status.st_size + 1);
  if (chance_of(&sim->chance, 700)) lost %= 4096;
  if (truncate(newest_path, status.st_size - (off_t)lost) != 0) abort();
  sim->counts[COUNT_POWER_LOSSES]++;
  sim_tell(sim, "power is lost: the last %" PRIu64 " bytes of %s are gone", lost, newest_path);
}

static struct {
  struct store *store;
  const char *owner;
  int uses;
} spares[SPARES_MAX];

struct store *sim_take_store(const char *owner) {
  for (int i = 0; i < SPARES_MAX; i++) {
    if (!spares[i].store || strcmp(spares[i].owner, owner) != 0) continue;
    struct store *store = spares[i].store;
    spares[i].store = NULL;
    return store;
  }
  char error[300];
  int code;
  struct store *store = store_open(NULL, owner, (struct store_memory){.cache = CACHE_BYTES}, error,
                                   sizeof error, &code);
  if (!store) abort();
  return store;
}

void sim_give_store(const char *owner, struct store *store, int32_t partitions) {
  for (int i = 0; i < SPARES_MAX; i++) {
    if (spares[i].store) continue;
    if (++spares[i].uses % SPARE_USES == 0) break;
    store_set_failpoint(store, NULL, NULL);
    for (int32_t p = 0; p < partitions; p++) store_wipe(store, p);
    store_write(store);
    spares[i].store = store;
    spares[i].owner = owner;
    return;
  }
  store_close(store);
}

static bool open_disk(struct sim *sim, const struct filter *filter, struct disk *disk) {
  if (disk->store) return true;
  if (!disk->directory) disk->store = sim_take_store(filter->processor.name);
  if (disk->store) return true;
  char error[300];
  int code;
  disk->store = store_open(disk->directory, filter->processor.name,
                           (struct store_memory){.cache = CACHE_BYTES}, error, sizeof error, &code);
  if (!disk->store) sim_fail(sim, "%s", error);
  return disk->store != NULL;
}

static void lose_disk(const struct filter *filter, struct disk *disk, int32_t partitions) {
  if (disk->directory) {
    store_close(disk->store);
    nftw(disk->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
  } else if (disk->store) {
    sim_give_store(filter->processor.name, disk->store, partitions);
  }
  disk->store = NULL;
}

/* ---- what goes from the stores ---- */

int64_t expiry_window_ms, expiry_slack_ms, expiry_step_ms, expiry_doubts;

#define DAY_MS (INT64_C(86400) * 1000)

/* In some worlds the window is a few days, and after a while as many days pass: the rows of before
 * go while others come. No outage is as long, as the window's rule has it. */
static void choose_window(struct sim *sim) {
  sim->forgets = chance_of(&sim->chance, 250);
  expiry_window_ms = (sim->forgets ? 3 : 400) * DAY_MS;
  expiry_slack_ms = (sim->forgets ? 3 : 35) * DAY_MS;
  expiry_step_ms = sim->forgets ? 4000 : DAY_MS; /* a few openings must show that a week passed */
  expiry_doubts = sim->forgets ? 2 : 100;
}

/* ---- processes ---- */

void node_die(struct node *node, const char *where) {
  if (node->dead) return;
  node->dead = true;
  node->sim->counts[COUNT_KILLS]++;
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

static bool write_fails(void *user) {
  struct node *node = user;
  struct sim *sim = node->sim;
  if (!node->dead && !sim->quiet && chance_of(&sim->chance, sim->faults.kill_write))
    node_die(node, "at a write of its store");
  return node->dead;
}

static bool step_fails(void *user, enum step step) {
  return !node_passes(user, step_names[step]);
}

static void judge_end(struct node *node, const struct log_failure *failure) {
  if (node->dead) return;
  sim_tell(node->sim, "%s ends: %s", node_name(node), failure->text);
  if (failure->exit_code != EX_TEMPFAIL && failure->exit_code != EX_UNAVAILABLE)
    sim_fail(node->sim, "%s gives up: %s", node_name(node), failure->text);
}

static void live(void *user) {
  struct node *node = user;
  struct sim *sim = node->sim;
  struct filter *filter = &sim->filters[node->filter];
  const struct processor *processor = &filter->processor;
  struct log_failure failure = {0};
  struct runtime_config config = {.processor = processor,
                                  .store = node->disk ? node->disk->store : NULL,
                                  .slot = node->slot,
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

static void start(struct sim *sim, int filter_index, int slot) {
  struct filter *filter = &sim->filters[filter_index];
  struct disk *disk = free_disk(sim, filter, slot);
  if (sim->node_count == NODES_MAX || (disk && disk->used)) return;
  if (disk && !open_disk(sim, filter, disk)) return;
  struct node *node = xcalloc(1, sizeof *node);
  *node = (struct node){.sim = sim, .filter = filter_index, .slot = slot, .disk = disk};
  node->number = ++sim->processes;
  if (!sim->quiet && chance_of(&sim->chance, 100))
    node->skew = (int64_t)chance_below(&sim->chance, 3000) - 1500;
  node->old_build = sim->mixed && chance_of(&sim->chance, 500);
  if (disk) {
    disk->used = true;
    store_set_failpoint(disk->store, write_fails, node);
  }
  node->fiber = fiber_new(live, node);
  sim->nodes[sim->node_count++] = node;
  sim_tell(sim, "%s starts%s", node_name(node),
           disk && disk != &filter->disks[slot] ? " on another disk" : "");
}

static bool runs(const struct sim *sim, int filter, int slot) {
  for (size_t i = 0; i < sim->node_count; i++) {
    const struct node *node = sim->nodes[i];
    if (node->filter == filter && node->slot == slot && !node->dead) return true;
  }
  return false;
}

/* What is left of a process that has ended. */
static void bury(struct sim *sim, size_t index) {
  struct node *node = sim->nodes[index];
  struct filter *filter = &sim->filters[node->filter];
  sim->nodes[index] = sim->nodes[--sim->node_count];
  if (node->disk) {
    node->disk->used = false;
    store_set_failpoint(node->disk->store, NULL, NULL);
    if (node->dead && node->disk->directory && chance_of(&sim->chance, sim->faults.power_loss)) {
      tear_disk(sim, node->disk);
    } else if (node->dead && !sim->quiet && chance_of(&sim->chance, sim->faults.lose_disk)) {
      sim->counts[COUNT_LOST_DISKS]++;
      sim_tell(sim, "%s loses its disk", node_name(node));
      lose_disk(filter, node->disk, sim->partitions);
    }
  }
  filter->down_until[node->slot] =
      sim->tick + (sim->quiet ? 0 : (int64_t)chance_below(&sim->chance, 60));
  fiber_free(node->fiber);
  free(node);
}

static void resume(struct sim *sim, size_t index) {
  struct node *node = sim->nodes[index];
  sim->running = node;
  fiber_resume(node->fiber);
  sim->running = NULL;
  if (fiber_ended(node->fiber)) bury(sim, index);
}

/* ---- faults ---- */

static struct node *any_node(struct sim *sim) {
  return sim->node_count ? sim->nodes[chance_below(&sim->chance, sim->node_count)] : NULL;
}

static void take_over(struct sim *sim, struct node *node) {
  /* Another machine starts the same slot: a supervisor that thinks this one dead. */
  sim->counts[COUNT_TAKEOVERS]++;
  sim_tell(sim, "%s is taken over", node_name(node));
  start(sim, node->filter, node->slot);
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

static void break_something(struct sim *sim) {
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

static void choose_faults(struct sim *sim) {
  struct chance *chance = &sim->chance;
  int calm = (int)chance_below(chance, 4); /* 0: as bad as it gets */
  int rate = calm == 0 ? 4 : calm == 1 ? 2 : 1;
  struct faults *f = &sim->faults;
#define SOMETIMES(value) (chance_of(chance, 600) ? (value) : 0)
  *f = (struct faults){.yield = 30 + (int)chance_below(chance, 300),
                       .kill = SOMETIMES(rate),
                       .kill_write = SOMETIMES(4 * rate),
                       .abort = SOMETIMES(8 * rate),
                       .commit_refused = SOMETIMES(10 * rate),
                       .commit_unknown = SOMETIMES(4 * rate),
                       .commit_unknown_done = SOMETIMES(6 * rate),
                       .again = SOMETIMES(40 * rate),
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

/* Few seeds lose power: files are slower than memory. */
static void choose_disks(struct sim *sim) {
  if (chance_below(&sim->chance, 12) != 0) return;
  int filter = (int)chance_below(&sim->chance, (uint64_t)sim->filter_count);
  for (int i = 0; i < STORES_MAX; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s/holdfast-sim-%d-%d",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid(), i);
    nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    sim->filters[filter].disks[i].directory = xstrdup(path);
  }
}

static void start_missing(struct sim *sim) {
  for (int f = 0; f < sim->filter_count; f++) {
    for (int slot = 0; slot < SLOTS_MAX; slot++) {
      const struct filter *filter = &sim->filters[f];
      if (filter->wanted[slot] && filter->down_until[slot] <= sim->tick && !runs(sim, f, slot))
        start(sim, f, slot);
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
  break_something(sim);
  start_missing(sim);
  memory_cluster_set_time(sim->cluster, sim->now);
  if (!sim->node_count) return;
  size_t index = chance_below(chance, sim->node_count);
  if (sim->nodes[index]->paused_until <= sim->tick) resume(sim, index);
}

/* Slots that nobody runs any more leave the group when their session times out; what is still open
 * while nobody moves was left by the dead. */
static void time_out(struct sim *sim) {
  for (int f = 0; f < sim->filter_count; f++) {
    for (int slot = 0; slot < SLOTS_MAX; slot++) {
      const char *group = sim->filters[f].processor.name;
      if (!runs(sim, f, slot)) memory_expire_member(sim->cluster, group, slot);
      memory_expire_transaction(sim->cluster, group, slot);
    }
  }
}

static bool quiet_turn(struct sim *sim) {
  bool moved = false;
  sim->tick++;
  memory_cluster_set_time(sim->cluster, sim->now);
  provider_turn(sim->provider);
  start_missing(sim);
  for (size_t i = sim->node_count; i-- > 0;) {
    struct node *node = sim->nodes[i];
    size_t before = sim->node_count;
    resume(sim, i);
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
  for (size_t i = 0; i < sim->node_count; i++) sim->nodes[i]->paused_until = 0;
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

static void stop_all(struct sim *sim, int filter) {
  for (size_t i = sim->node_count; i-- > 0;) {
    if (sim->nodes[i]->filter != filter) continue;
    sim->nodes[i]->stopping = true;
    resume(sim, i);
  }
}

/* What `holdfast reset --to beginning` does: the rows go from the changelog, and in the same moment
 * the offsets go back, under a new epoch. The rows of a filter that calls the world are what the
 * world has answered: they stay. */
static void reset_filter(struct sim *sim, int f, const struct staging *tables) {
  struct filter *filter = &sim->filters[f];
  const struct processor *processor = &filter->processor;
  sim_tell(sim, "%s is reset to the beginning", processor->name);
  sim->counts[COUNT_RESETS]++;
  stop_all(sim, f);
  filter->epoch++;
  for (size_t i = 0; i < tables->count; i++) {
    const struct staged *row = &tables->entries[i];
    if (row->group != f || !row->change.value.data || !processor->changelog || processor->world)
      continue;
    const struct memory_record tombstone = {.key = row->change.key, .timestamp = sim->now};
    memory_append(sim->cluster, processor->changelog, row->partition, &tombstone);
  }
  for (int32_t p = 0; p < sim->partitions; p++) {
    struct commit_metadata metadata = {
        .epoch = filter->epoch,
        .intent_id = "-",
        .last_changelog =
            processor->changelog ? memory_end(sim->cluster, processor->changelog, p) - 1 : -1};
    char text[160];
    commit_metadata_format(&metadata, text);
    memory_commit_offset(sim->cluster, processor->name, processor->input, p, 0, text);
  }
}

static void settle(struct sim *sim);

/* A filter that is reset does everything again, and nobody does anything twice. Disks of before are
 * still about. */
static void check_reset(struct sim *sim) {
  struct staging before, after;
  int64_t charged, refunded, charged_after, refunded_after;
  int filter = (int)chance_below(&sim->chance, (uint64_t)sim->filter_count);
  provider_money(sim->provider, &charged, &refunded);
  tables_fold(sim, &before);
  reset_filter(sim, filter, &before);
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
    if (sending && chance_of(&sim->chance, commands)) sending = workload_turn(sim->workload, parts);
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
  reset_filter(sim, entrance, &(struct staging){0});
  sim_tell(sim, "the topic of commands is made again");
  memory_topic_recreate(sim->cluster, sim->filters[entrance].processor.input, true);
  workload_goes_on(sim->workload);
  begin_again(sim);
  chaos(sim, 1);
  settle(sim);
  if (!sim->failed) check_world(sim);
}

void sim_run(struct sim *sim, uint64_t seed, bool tell) {
  *sim = (struct sim){.seed = seed, .tell = tell, .chance = {seed}, .now = 1000000};
  sim->cluster = memory_cluster_new();
  sim->codec = codec_new(&holdfast_schemas);
  sim->partitions = 1 + (int32_t)chance_below(&sim->chance, 3);
  sim->batch_records = 1 + chance_below(&sim->chance, 12);
  sim->tombstone_retention_ms = chance_of(&sim->chance, 300) ? 20000 : INT64_MAX;
  choose_window(sim);
  sim->mixed = chance_of(&sim->chance, 150);
  sim->wrong_broker = chance_of(&sim->chance, 100);
  sim->wrong_host = chance_of(&sim->chance, 100);
  sim->provider = provider_new(sim);
  provider_use(sim);
  sim->receiver = receiver_new(sim);
  memory_cluster_set_time(sim->cluster, sim->now);
  choose_faults(sim);
  open_filters(sim);
  choose_disks(sim);
  sim->workload = workload_new(sim);
  memory_delay_markers(sim->cluster, chance_of(&sim->chance, 700));
  chaos(sim, sim->forgets ? 2 : 1);
  settle(sim);
  if (sim->forgets && !sim->failed) {
    sim->now += expiry_window_ms + expiry_slack_ms + DAY_MS;
    sim_tell(sim, "a week passes");
    begin_again(sim);
    chaos(sim, 1);
    settle(sim);
  }
  if (!sim->failed) check_world(sim);
  /* What an older build wrote does not say what tells a repeat. */
  if (sim->failed || sim->mixed || sim->forgets) return;
  if (chance_of(&sim->chance, 250)) {
    check_reset(sim);
  } else if (chance_of(&sim->chance, 150)) {
    check_recreated(sim);
  }
}

void sim_close(struct sim *sim) {
  while (sim->node_count) {
    struct node *node = sim->nodes[0];
    node->dead = true;
    resume(sim, 0);
  }
  for (int f = 0; f < sim->filter_count; f++) {
    for (int i = 0; i < STORES_MAX; i++) {
      lose_disk(&sim->filters[f], &sim->filters[f].disks[i], sim->partitions);
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
