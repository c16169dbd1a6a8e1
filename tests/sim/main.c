/* Runs seeds. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/record/line.h"
#include "runtime/base/report.h"
#include "runtime/memory/pipe.h"
#include "sim.h"
#include "mutants.h"

#define FAILURES_MAX 16

struct shared { /* by the worker processes */
  _Atomic int64_t done, failed, counts[16], reservations, refused, sold;
  _Atomic uint64_t first_failure;
  char failure[512];
};

static struct sim sim; /* too large for a stack */
static struct shared *shared;

static double seconds(void) {
  return (double)clock_monotonic_us() / 1e6;
}

/* Every committed record about the subject, in the order of the log. */
static void tell_subject(void) {
  if (!sim.subject.size) return;
  printf("\nthe records of %.*s:\n", STR_ARGS(sim.subject));
  struct tail *tail = tail_new(sim.cluster);
  for (int f = 0; f < sim.filter_count; f++) {
    tail_add(tail, sim.filters[f].processor.input);
    for (const struct output *o = sim.filters[f].processor.outputs; o && o->topic; o++)
      tail_add(tail, o->topic);
  }
  const char *topic;
  const struct message *record;
  while (tail_next(tail, &topic, &record)) {
    if (!str_equal(record->correlation_id, sim.subject) && !str_equal(record->key, sim.subject))
      continue;
    json_t *json = line_json(sim.codec, topic, record);
    json_object_set_new(json, "offset", json_integer(record->offset));
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
  }
  tail_free(tail);
}

static int run_one(uint64_t seed) {
  report_as("sim", LEVEL_INFO);
  sim_run(&sim, seed, true);
  if (sim.failed) {
    tell_subject();
    printf("\nseed %" PRIu64 ": %s\nagain: make sim SEED=%" PRIu64 "%s%s\n", seed, sim.failure,
           seed, mutant_name() ? " MUTANT=" : "", mutant_name() ? mutant_name() : "");
  } else {
    printf("\nseed %" PRIu64 ": nothing wrong: %" PRId64 " reservations, %" PRId64
           " approved, %" PRId64 " failed, %" PRId64 " cancelled; %" PRId64 " kills\n",
           seed, sim.summary.reservations, sim.summary.approved, sim.summary.failed,
           sim.summary.cancelled, sim.counts[COUNT_KILLS]);
  }
  bool failed = sim.failed;
  sim_close(&sim);
  return failed;
}

/* Stops at the first failure where one is wanted. */
static void work(uint64_t from, uint64_t count, uint64_t step, bool until_failure, double until) {
  for (uint64_t seed = from; seed < from + count; seed += step) {
    if ((until_failure && shared->failed) || (until > 0 && seconds() > until)) break;
    sim_run(&sim, seed, false);
    if (sim.failed && shared->failed++ == 0) {
      shared->first_failure = seed;
      memcpy(shared->failure, sim.failure, sizeof shared->failure);
    }
    for (int i = 0; i < 16; i++) shared->counts[i] += sim.counts[i];
    shared->reservations += sim.summary.reservations;
    shared->done++;
    sim_close(&sim);
  }
}

static int run_many(uint64_t from, uint64_t count, int jobs, bool until_failure, int limit_s,
                    bool quiet) {
  double begun = seconds(), until = limit_s ? begun + limit_s : 0, told = begun;
  for (int job = 0; job < jobs; job++) {
    if (fork() == 0) {
      work(from + (uint64_t)job, count - (uint64_t)job, (uint64_t)jobs, until_failure, until);
      _exit(0);
    }
  }
  int status, crashed = 0, left = jobs;
  while (left) {
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid > 0) {
      left--;
      crashed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
      continue;
    }
    usleep(20000);
    if (!quiet && isatty(1) && seconds() - told > 2) {
      told = seconds();
      printf("\r%" PRId64 " of %" PRIu64 " seeds, %" PRId64 " failed", shared->done, count,
             shared->failed);
      fflush(stdout);
    }
  }
  if (!quiet) {
    printf("%s%" PRId64 " seeds in %.0f s: %" PRId64 " failed\n%" PRId64 " reservations of %" PRId64
           " commands; %" PRId64 " kills (%" PRId64 " disks lost, %" PRId64
           " power losses), %" PRId64 " stopped and continued, %" PRId64 " taken over, %" PRId64
           " assignments, %" PRId64 " aborts, %" PRId64 " unknown outcomes, %" PRId64
           " failed calls, %" PRId64 " failed writes, %" PRId64 " failed reads, %" PRId64
           " damaged topics\n",
           isatty(1) ? "\r" : "", shared->done, seconds() - begun, shared->failed,
           shared->reservations, shared->counts[COUNT_COMMANDS], shared->counts[COUNT_KILLS],
           shared->counts[COUNT_LOST_DISKS], shared->counts[COUNT_POWER_LOSSES],
           shared->counts[COUNT_PAUSES], shared->counts[COUNT_TAKEOVERS],
           shared->counts[COUNT_REBALANCES], shared->counts[COUNT_ABORTS],
           shared->counts[COUNT_UNKNOWN], shared->counts[COUNT_FAILED_CALLS],
           shared->counts[COUNT_FAILED_WRITES], shared->counts[COUNT_FAILED_READS],
           shared->counts[COUNT_DAMAGES]);
  }
  if (crashed) printf("%d workers crashed after %" PRId64 " seeds\n", crashed, shared->done);
  if (shared->failed && !quiet) {
    printf("first: seed %" PRIu64 ": %s\nagain, with its story: make sim SEED=%" PRIu64 "\n",
           shared->first_failure, shared->failure, shared->first_failure);
  }
  return shared->failed || crashed;
}

/* Each mutant must be found. */
static int run_mutants(const char *only, uint64_t from, uint64_t count, int jobs) {
  int survivors = 0;
  for (int i = 0; i < mutant_count(); i++) {
    const struct mutant *mutant = mutant_at(i);
    if (only && strcmp(only, mutant->name) != 0) continue;
    mutant_select(mutant->name);
    memset(shared, 0, sizeof *shared);
    bool found = run_many(from, count, jobs, true, 0, true);
    survivors += !found;
    printf("%-32s %s\n", mutant->name, mutant->what);
    if (found)
      printf("%32s found within %" PRId64 " seeds: seed %" PRIu64 ": %.150s\n", "", shared->done,
             shared->first_failure, shared->failure[0] ? shared->failure : "it crashed");
    else
      printf("%32s SURVIVED %" PRId64 " seeds\n", "", shared->done);
    fflush(stdout);
  }
  printf("\n%d mutants, %d survived\n", only ? 1 : mutant_count(), survivors);
  return survivors != 0;
}

static void help(void) {
  printf(
      "sim: the pipeline, with everything that can go wrong, from one seed\n\n"
      "Usage: sim --seed N            one seed, with its story\n"
      "       sim --seeds N           so many seeds\n"
      "       sim --mutants           each deliberately broken version must be found\n\n"
      "  --from N       the first seed [1]\n"
      "  --jobs N       worker processes [2]\n"
      "  --limit-s N    stop after so many seconds\n"
      "  --mutant NAME  the broken version to run\n\n"
      "SIM_WORLD names the classes of faults that are switched on, with commas between them, or "
      "is\n"
      "all or none: bounds-again, ids-again, places, broker-clock, host-clocks,\n"
      "bursts, damage (a changelog is made again or an input trimmed by hand).\n"
      "Without it: those that this version is known to bear.\n\n"
      "Examples:\n  sim --seeds 10000\n  sim --seed 4711\n  sim --mutants --seeds 2000\n");
}

int main(int argc, char **argv) {
  static const struct option flags[] = {
      {"seed", 1, 0, 's'},    {"seeds", 1, 0, 'n'},   {"from", 1, 0, 'f'},
      {"jobs", 1, 0, 'j'},    {"limit-s", 1, 0, 'l'}, {"mutant", 1, 0, 'm'},
      {"mutants", 0, 0, 'M'}, {"help", 0, 0, 'h'},    {0}};
  uint64_t seed = 0, count = 0, from = 1;
  int jobs = 2, limit = 0, flag;
  bool one = false, all_mutants = false;
  const char *mutant = NULL;
  while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
    switch (flag) {
      case 's': seed = strtoull(optarg, NULL, 10), one = true; break;
      case 'n': count = strtoull(optarg, NULL, 10); break;
      case 'f': from = strtoull(optarg, NULL, 10); break;
      case 'j': jobs = atoi(optarg); break;
      case 'l': limit = atoi(optarg); break;
      case 'm': mutant = optarg; break;
      case 'M': all_mutants = true; break;
      case 'h': help(); return 0;
      default: help(); return 64;
    }
  }
  report_as("sim", LEVEL_ERROR);
  const char *world = getenv("SIM_WORLD");
  if (world && !world_switch(world)) {
    fprintf(stderr, "sim: SIM_WORLD has no class of that name in '%s'; --help lists them\n", world);
    return 64;
  }
  if (mutant && !mutant_select(mutant)) {
    fprintf(stderr, "sim: no mutant '%s'; --mutants lists them\n", mutant);
    return 64;
  }
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) abort();
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (one) return run_one(seed);
  if (all_mutants) return run_mutants(mutant, from, count ? count : 2000, jobs);
  if (!count) return help(), 64;
  return run_many(from, count, jobs, false, limit, false);
}
