/* The simulator: every filter with the real runtime and the real RocksDB over the log in memory, in
 * one thread, all chance from one seed.
 *
 * A process is a fiber. It can be put aside at every call of the log and at every step of the
 * protocol, so that any two processes meet at any two points; it can die there, or at any write of
 * its store. The scheduler in world.c decides who goes on, and faults.c what breaks. */
#ifndef HOLDFAST_SIM_H
#define HOLDFAST_SIM_H

#include "auditor/internal.h"
#include "runtime/memory/log.h"
#include "runtime/contract/processors.h"
#include "runtime/core/runtime.h"

#define SLOTS_MAX 3
#define FILTERS_MAX 16
#define NODES_MAX (FILTERS_MAX * (SLOTS_MAX + 2))
#define STORES_MAX 4
#define STORY_MAX 4000
#define STORY_LINE 200
#define DAY_MS (INT64_C(86400) * 1000)
#define BEGINNING_MS INT64_C(1000000) /* of every run */
#define CHAOS_TICKS 1200

/* ---- chance ---- */
struct chance {
  uint64_t state;
};
uint64_t chance_next(struct chance *chance);
uint64_t chance_below(struct chance *chance, uint64_t limit);
bool chance_of(struct chance *chance, int per_thousand);
int64_t years_off(struct chance *chance); /* by which a clock is wrong: milliseconds */

/* ---- fibers ---- */
struct fiber;
struct fiber *fiber_new(void (*run)(void *user), void *user);
void fiber_resume(struct fiber *fiber); /* until it yields or ends */
bool fiber_ended(const struct fiber *fiber);
void fiber_yield(void); /* of the fiber that runs */
void fiber_free(struct fiber *fiber);

/* ---- the world ---- */

/* The store of one filter on the disk of one machine. */
struct disk {
  struct store *store; /* NULL: none yet */
  char *directory;     /* NULL: in memory */
  bool used;
};

struct sim;

struct node {
  struct sim *sim;
  int filter; /* index of sim->filters */
  int slot;
  struct disk *disk; /* NULL: a filter without state */
  struct fiber *fiber;
  struct runtime *runtime;
  bool dead;     /* nothing that it does has an effect any more */
  bool stopping; /* SIGTERM */
  bool standby;  /* began as one */
  int64_t paused_until;
  enum runtime_status status; /* of its last step */
  int64_t skew;               /* of its clock */
  int number;                 /* of the process, for the story */
  int64_t due_seen;           /* the oldest of its due rows, after its last step */
  int starved;                /* steps since that was another */
  size_t due_left;            /* rows of that time, some steps ago */
  bool old_build;             /* writes records with the first version of their schema */
};

struct filter {
  struct processor processor; /* a copy: the provider of charge is ours */
  struct disk disks[STORES_MAX];
  int64_t down_until[SLOTS_MAX]; /* when a slot that is to run may be started */
  bool wanted[SLOTS_MAX];        /* slots that are to run */
  int64_t epoch;                 /* of its offsets */
  bool waits;                    /* ended with 78: for the operator */
  bool seen;                     /* and once is enough */
};

struct faults {
  int host_clock, yield, kill, kill_write, write_fails, read_fails, abort, commit_refused,
      commit_unknown, commit_unknown_done, again, call_fails,
      sleep; /* per thousand, at each place where they can happen */
  int kill_any, pause, expire, expire_transaction, join, leave, takeover, jump, lose_disk,
      power_loss, other_disk, compact, marker; /* per thousand, at each tick */
};

/* Classes of faults that can be switched (SIM_WORLD, see `sim --help`). */
enum world_class {
  WORLD_BOUNDS_AGAIN, /* the bounds of a changelog are not known at the moment */
  WORLD_IDS_AGAIN,    /* an id is used again after its window, its rows there or not */
  WORLD_PLACES,       /* commands lie in other partitions than their keys' */
  WORLD_BROKER_CLOCK, /* the broker stamps one record years off */
  WORLD_HOST_CLOCKS,  /* a host's clock is years off for one look at it */
  WORLD_BURSTS,       /* thousands of records at once */
  WORLD_DAMAGE,       /* a topic is made again or trimmed by hand */
  WORLD_CLASSES
};
bool world_has(enum world_class class);
bool world_switch(const char *names); /* SIM_WORLD; false: there is none of such a name */

enum damage_kind {
  DAMAGE_NONE,
  DAMAGE_CHANGELOG, /* deleted and made again */
  DAMAGE_INPUT      /* trimmed, whether it was read or not */
};

struct damage { /* of a run */
  enum damage_kind kind;
  int filter;      /* the one to be harmed */
  bool stopped;    /* its filter does not run then */
  int64_t at;      /* tick */
  bool done;       /* it has happened */
  bool lost;       /* and what was committed went with it: the filter must end */
  bool blurred;    /* another fault met its filter before it could notice */
  int64_t ends[8]; /* of the partitions of the changelog that was lost */
};

struct sim {
  uint64_t seed;
  struct chance chance;
  struct faults faults;
  struct damage damage;
  bool quiet;        /* faults have stopped */
  bool tell;         /* print the story as it happens */
  bool forgets;      /* settled rows leave the stores within the run */
  bool burst;        /* many commands at once, and some batches of thousands */
  bool mixed;        /* some processes are of an older build */
  bool wrong_broker; /* its clock was years ahead for one command */
  struct memory_cluster *cluster;
  struct codec *codec;
  struct arena arena;
  int32_t partitions;
  int64_t now, tick;
  int64_t tombstone_retention_ms;
  struct filter filters[FILTERS_MAX];
  int filter_count;
  struct node *nodes[NODES_MAX];
  size_t node_count;
  struct node *running;
  int processes;
  size_t batch_records;
  struct workload *workload;
  struct provider *provider;
  struct receiver *receiver;
  char (*story)[STORY_LINE];
  size_t story_count;
  bool failed;
  char failure[512];
  struct str subject; /* the reservation or item of the first violation */
  struct audit_summary summary;
  int64_t counts[16]; /* of faults, by enum count */
};

enum count {
  COUNT_KILLS,
  COUNT_PAUSES,
  COUNT_REBALANCES,
  COUNT_ABORTS,
  COUNT_UNKNOWN,
  COUNT_POWER_LOSSES,
  COUNT_LOST_DISKS,
  COUNT_TAKEOVERS,
  COUNT_COMMANDS,
  COUNT_RESETS,
  COUNT_FAILED_CALLS,
  COUNT_FAILED_WRITES,
  COUNT_FAILED_READS,
  COUNT_DAMAGES
};

void sim_tell(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *node_name(const struct node *node); /* valid until the next call */

/* Marks the process dead and tells it. */
void node_die(struct node *node, const char *where);

/* A place where the process can be put aside or die. False: it is dead. */
bool node_passes(struct node *node, const char *where);

/* In the middle of a restore its machine may sleep, and the changelog be compacted meanwhile.
 * False: it is dead. */
bool node_sleeps(struct node *node, int32_t partition);

/* ---- disk.c ---- */
bool disk_open(struct sim *sim, const struct filter *filter, struct disk *disk); /* false: failed */
void disk_tear(struct sim *sim, struct disk *disk); /* the power goes */
void disk_lose(const struct filter *filter, struct disk *disk, int32_t partitions);
void disks_choose(struct sim *sim);

/* ---- process.c ---- */
void node_start(struct sim *sim, int filter, int slot, bool standby);
void node_resume(struct sim *sim, size_t index); /* and buries it if it has ended */
bool slot_runs(const struct sim *sim, int filter, int slot);

/* ---- faults.c ---- */
void faults_choose(struct sim *sim);
void faults_happen(struct sim *sim); /* those of a tick */

/* ---- damage.c ---- */
void damage_choose(struct sim *sim);
bool damage_turn(struct sim *sim); /* true: the operator did something */

/* The filter has ended with 78: true if it is right to. */
bool damage_ends(struct sim *sim, int filter);
bool damage_is_unseen(const struct sim *sim);
bool damage_is_hidden(struct sim *sim);
void damage_meets_fault(struct node *node);

/* Records are gone that are in no other topic. */
bool damage_is_for_ever(const struct sim *sim);

void filter_stop(struct sim *sim, int filter);

/* As `holdfast reset --to beginning`: the rows go from the changelog, and in the same moment the
 * offsets go back, under a new epoch. The rows of a filter that calls the world are what the world
 * has answered: they stay. */
void filter_reset(struct sim *sim, int filter, const struct staging *tables);

/* faulty_log.c: the log of a process, with what can go wrong. Takes inner. */
struct log *faulty_log_open(struct node *node, struct log *inner);

/* provider.c */
struct provider *provider_new(struct sim *sim);
void provider_use(struct sim *sim); /* the one that worlds opened from now on belong to */
void provider_free(struct provider *provider);
void provider_turn(struct provider *provider);
int64_t provider_next(const struct provider *provider); /* when something happens; INT64_MAX */
void provider_money(const struct provider *provider, int64_t *charged, int64_t *refunded);
void provider_list(const struct provider *provider, struct auditor *auditor); /* its books */
extern const struct world sim_provider;

/* receiver.c: takes the notices. */
struct receiver *receiver_new(struct sim *sim); /* worlds opened from now on belong to it */
void receiver_free(struct receiver *receiver);
int64_t receiver_next(const struct receiver *receiver); /* when something happens there */
extern const struct world sim_receiver;

/* ---- workload.c ---- */
/* An id was used again after its window. */
bool workload_used_again(const struct workload *workload);

struct workload *workload_new(struct sim *sim);
void workload_free(struct workload *workload);
void workload_goes_on(struct workload *workload); /* more about the reservations that there are */
bool workload_turn(struct workload *workload, int parts); /* false: everything was sent */

/* check.c */
void check_world(struct sim *sim);

/* The last value of every key of every table: to be compared with a later one. */
void tables_fold(struct sim *sim, struct staging *out);
void tables_compare(struct sim *sim, const struct staging *before, const struct staging *after);

/* An empty store in memory. Opening one takes longer than a seed's work in it: they are wiped and
 * used again. */
struct store *sim_take_store(const char *owner);
void sim_give_store(const char *owner, struct store *store, int32_t partitions);

/* world.c: runs a seed; the result is in sim until sim_close. */
void sim_run(struct sim *sim, uint64_t seed, bool tell);
void sim_close(struct sim *sim);

#endif
