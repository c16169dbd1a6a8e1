/* The beginning and the end of a runtime: topics, store, world, and the group. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sysexits.h>

#include "runtime/base/clock.h"
#include "runtime/base/mutant.h"
#include "runtime/core/internal.h"

#define DEFAULT_BATCH_RECORDS 1000
#define DEFAULT_CACHE_BYTES ((size_t)8 << 20)

static int open_topic(struct runtime *runtime, const char *name) {
  int topic = log_topic(runtime->log, name);
  if (topic < 0) runtime->failure = runtime->log->failure;
  return topic;
}

static bool same_partitions(struct runtime *runtime, const char *name, int topic, int input) {
  int32_t has = log_partition_count(runtime->log, topic),
          needs = log_partition_count(runtime->log, input);
  if (has == needs) return true;
  return runtime_fail(runtime, EX_CONFIG,
                      "'%s' has %" PRId32 " partitions and '%s' has %" PRId32
                      ": they must be equal, see 'holdfast topics plan'",
                      name, has, runtime->processor->input, needs);
}

static bool open_topics(struct runtime *runtime) {
  const struct processor *processor = runtime->processor;
  int input = open_topic(runtime, processor->input);
  if (input < 0) return false;
  runtime->input_partitions = log_partition_count(runtime->log, input);
  for (size_t i = 0; processor->outputs && processor->outputs[i].topic; i++) {
    if (i == OUTPUTS_MAX)
      return runtime_fail(runtime, EX_SOFTWARE, "more than %d outputs", OUTPUTS_MAX);
    const struct output *output = &processor->outputs[i];
    runtime->output_topics[i] = open_topic(runtime, output->topic);
    if (runtime->output_topics[i] < 0) return false;
    if (output->table && !same_partitions(runtime, output->topic, runtime->output_topics[i], input))
      return false;
  }
  if (processor->open_input &&
      (runtime->dead_letters_topic = open_topic(runtime, "dead-letters")) < 0)
    return false;
  if (!processor->changelog) return true;
  runtime->changelog_topic = open_topic(runtime, processor->changelog);
  return runtime->changelog_topic >= 0 &&
         same_partitions(runtime, processor->changelog, runtime->changelog_topic, input);
}

static bool open_store(struct runtime *runtime) {
  struct runtime_config *config = &runtime->config;
  if (!runtime->processor->rows) return true;
  if (config->store) {
    runtime->store = config->store;
    return true;
  }
  char owner[256], error[512];
  int exit_code;
  snprintf(owner, sizeof owner, "%s%s of cluster %s", config->prefix ? config->prefix : "",
           runtime->processor->name, config->cluster ? config->cluster : "none");
  const struct store_memory memory = {
      .cache = config->cache_bytes ? config->cache_bytes : DEFAULT_CACHE_BYTES,
      .write_buffer = config->write_buffer_bytes};
  runtime->store =
      store_open(config->state_directory, owner, memory, error, sizeof error, &exit_code);
  return runtime->store || runtime_fail(runtime, exit_code, "%s", error);
}

static bool open_world(struct runtime *runtime) {
  if (!runtime->processor->world) return true;
  char error[256] = "cannot reach the world";
  runtime->world = runtime->processor->world->open(runtime->config.options, error, sizeof error);
  return runtime->world || runtime_fail(runtime, EX_CONFIG, "%s", error);
}

static bool join(struct runtime *runtime) {
  const struct log_class *log = runtime->log->class;
  /* In this order: init ends what a former life left open, or the stable offset would be held back
   * for its time-out. */
  if (MUTANT("init-after-join") && log->join(runtime->log) == LOG_OK &&
      log->init(runtime->log) == LOG_OK)
    return runtime->joined = true;
  return warm_begin(runtime);
}

struct runtime *runtime_new(const struct runtime_config *config, struct failure *failure) {
  struct runtime *runtime = xcalloc(1, sizeof *runtime);
  runtime->config = *config;
  runtime->processor = config->processor;
  runtime->settles = expiry_is_used(config->processor);
  runtime->log = config->log;
  if (!runtime->config.batch_records) runtime->config.batch_records = DEFAULT_BATCH_RECORDS;
  pthread_mutex_init(&runtime->partitions_lock, NULL);
  atomic_store(&runtime->metrics.turned_at, clock_monotonic_s());
  runtime->codec = codec_new(&holdfast_schemas);
  runtime->batch = xcalloc(runtime->config.batch_records, sizeof *runtime->batch);
  if (runtime->processor->world || runtime_has_due_rows(runtime->processor))
    runtime->timers = xcalloc(2 * runtime->config.batch_records, sizeof *runtime->timers);
  uint64_t random;
  if (getrandom(&random, sizeof random, 0) != sizeof random) abort();
  snprintf(runtime->process_id, sizeof runtime->process_id, "%016" PRIx64, random);
  if (open_topics(runtime) && open_store(runtime) && open_world(runtime) && join(runtime))
    return runtime;
  *failure = runtime->failure;
  runtime_free(runtime);
  return NULL;
}

void runtime_free(struct runtime *runtime) {
  if (!runtime) return;
  runtime_release_batch(runtime);
  if (runtime->world) runtime->processor->world->close(runtime->world);
  log_close(runtime->log);
  if (!runtime->config.store) store_close(runtime->store);
  codec_free(runtime->codec);
  arena_free(&runtime->arena);
  staging_free(&runtime->staging);
  pthread_mutex_destroy(&runtime->partitions_lock);
  free(runtime->partitions);
  free(runtime->batch);
  free(runtime->calls);
  free(runtime->timers);
  free(runtime);
}
