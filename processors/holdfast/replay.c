/* holdfast replay: a filter on its recorded input, its outputs compared with the recorded ones. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "commands.h"
#include "runtime/contract/processors.h"
#include "runtime/record/line.h"
#include "positions.h"
#include "replay.h"
#include "spill.h"

#define CACHE_BYTES ((size_t)32 << 20)
#define PROGRESS_MS 2000
enum { REPLAY_SAME, REPLAY_DIFFERS, REPLAY_UNKNOWN };

static const struct option_desc replay_options[] = {
    {.name = "from",
     .metavar = "WHERE",
     .value = "beginning",
     .help = "beginning, an offset of the input, or a time (2026-11-21T14:00:00Z)"},
    {.name = "to",
     .metavar = "WHERE",
     .value = "committed",
     .help = "committed (as far as the filter is), an offset, or a time"},
    {.name = "partition",
     .letter = 'p',
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "-1",
     .min = -1,
     .max = REPLAY_PARTITIONS_MAX - 1,
     .help = "only this partition of the input; -1: all"},
    {.name = "diff",
     .kind = OPTION_FLAG,
     .help = "compare with the recorded outputs; without it the outputs are printed"},
    {.name = "snapshot",
     .metavar = "DIR",
     .help = "begin with this snapshot's state instead of the beginning of the input"},
    {.name = "output", .letter = 'o', .metavar = "FORMAT", .value = "text", .help = "text or json"},
    {.name = "limit",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "10",
     .min = 1,
     .max = 1000000,
     .help = "show so many differences at most; all are counted"},
    {.name = "spill-dir",
     .metavar = "DIR",
     .value = "/tmp",
     .help = "directory of the shadow store and of the outputs to compare while it runs"},
    {0}};

static const struct usage usage = {
    "Runs a filter of this build on its recorded input in a store of its own. Nothing is written "
    "to "
    "the cluster.\nWith --diff its outputs are compared byte by byte with the recorded ones, "
    "matched by filter, causation and number; tables\nby their last value. To try another build, "
    "run its own `holdfast replay`.\n\n"
    "Exit code: 0 identical, 1 different, 2 could not tell.\n\n"
    "Usage: holdfast replay [option ...] FILTER",
    replay_options, true,
    "  holdfast replay stock-check --diff\n  holdfast replay payment --from 2026-11-21T14:00:00Z "
    "--diff -o json\n  holdfast replay payment --snapshot backup/payment-0 --diff\n"};

/* ---- what it makes ---- */

static void print_output(struct replay *replay, const char *topic,
                         const struct log_output *output) {
  const struct message record = {.timestamp = output->timestamp,
                                 .key = output->key,
                                 .value = output->value,
                                 .correlation_id = output->correlation_id,
                                 .causation = output->causation,
                                 .source = output->source,
                                 .error = output->error};
  json_t *json = line_json(replay->codec, topic, &record);
  json_dumpf(json, stdout, JSON_COMPACT);
  putchar('\n');
  json_decref(json);
}

static void take_output(void *user, const char *topic, const struct log_output *output) {
  struct replay *replay = user;
  bool stream = output->source.data != NULL;
  if (stream && replay_wants(replay, output->causation)) {
    replay->outputs++;
    if (replay->diff)
      replay_expect_output(replay, topic, output);
    else
      print_output(replay, topic, output);
  } else if (!stream && replay->diff && replay->tables[output->partition]) {
    replay_expect_row(replay, topic, output);
  }
}

static void tell_progress(void *user, int64_t offset) {
  struct replay *replay = user;
  int64_t now = clock_wall_ms();
  replay->inputs++;
  if (now - replay->told_at < PROGRESS_MS) return;
  replay->told_at = now;
  fprintf(stderr, "holdfast replay: partition %" PRId32 ": offset %" PRId64 " of %" PRId64 "\n",
          replay->partition, offset, replay->to[replay->partition]);
}

/* ---- a run ---- */

static bool run_partition(struct replay *replay, int32_t partition) {
  const struct shadow shadow = {.options = replay->options,
                                .processor = replay->processor,
                                .store = replay->store,
                                .partition = partition,
                                .partitions = replay->partitions,
                                .to = replay->to[partition],
                                .output = take_output,
                                .progress = tell_progress,
                                .user = replay};
  replay->partition = partition;
  /* Only at its committed offset a filter has nothing in its tables that this run has not. And from
   * a snapshot on only the rows that changed since are made again. */
  replay->tables[partition] = replay->to[partition] == replay->committed[partition] &&
                              !options_given(replay->options, "snapshot");
  return shadow_run(&shadow, &replay->failure);
}

static bool find_range(struct replay *replay) {
  const char *input = replay->processor->input;
  replay->partitions = kafka_admin_partitions(replay->admin, input, &replay->failure);
  if (replay->partitions < 0) return false;
  if (replay->partitions == 0 || replay->partitions > REPLAY_PARTITIONS_MAX)
    return failure_set(&replay->failure, EX_UNAVAILABLE,
                       replay->partitions ? "'%s' has more than 256 partitions"
                                          : "the topic '%s' does not exist: are --brokers and "
                                            "--prefix those of the pipeline?",
                       input);
  if (options_number(replay->options, "partition") >= replay->partitions)
    return failure_set(&replay->failure, EX_UNAVAILABLE, "'%s' has the partitions 0 to %" PRId32,
                       input, replay->partitions - 1);
  int32_t only = (int32_t)options_number(replay->options, "partition");
  return positions_of(replay->admin, replay->processor, "committed", replay->partitions, only,
                      replay->committed, &replay->failure) &&
         positions_of(replay->admin, replay->processor, options_text(replay->options, "from"),
                      replay->partitions, only, replay->from, &replay->failure) &&
         positions_of(replay->admin, replay->processor, options_text(replay->options, "to"),
                      replay->partitions, only, replay->to, &replay->failure);
}

static bool check_range(struct replay *replay, int32_t partition) {
  int64_t first, end;
  const char *input = replay->processor->input;
  if (!kafka_admin_bounds(replay->admin, input, partition, &first, &end, &replay->failure))
    return false;
  struct store_meta meta;
  bool snapshot = replay->store && store_meta(replay->store, partition, &meta);
  if (snapshot && replay->from[partition] < meta.next_input)
    replay->from[partition] = meta.next_input;
  if (!snapshot && first > 0 && replay->processor->rows)
    return failure_set(&replay->failure, EX_UNAVAILABLE,
                       "'%s' partition %" PRId32 " begins at offset %" PRId64
                       ": the state before it is gone; begin with a --snapshot",
                       input, partition, first);
  if (replay->from[partition] < first) replay->from[partition] = first;
  if (replay->to[partition] > replay->committed[partition])
    return failure_set(&replay->failure, EX_UNAVAILABLE,
                       "partition %" PRId32 ": '%s' has done its work up to offset %" PRId64
                       " only, and --to says %" PRId64,
                       partition, replay->processor->name, replay->committed[partition],
                       replay->to[partition]);
  if (replay->from[partition] > replay->to[partition])
    return failure_set(&replay->failure, EX_UNAVAILABLE,
                       "partition %" PRId32 ": --from %" PRId64 " lies after --to %" PRId64,
                       partition, replay->from[partition], replay->to[partition]);
  return true;
}

static bool open_stores(struct replay *replay) {
  if (!spill_make(options_text(replay->options, "spill-dir"), replay->directory,
                  sizeof replay->directory))
    return failure_set(&replay->failure, EX_UNAVAILABLE,
                       "cannot make a folder in '%s': see --spill-dir",
                       options_text(replay->options, "spill-dir"));
  char path[400], error[400];
  const char *snapshot =
      options_given(replay->options, "snapshot") ? options_text(replay->options, "snapshot") : NULL;
  snprintf(path, sizeof path, "%s/shadow", replay->directory);
  if (snapshot && !store_copy(snapshot, path, error, sizeof error))
    return failure_set(&replay->failure, EX_UNAVAILABLE, "%s", error);
  int code;
  if (replay->processor->rows)
    replay->store = store_open(path, NULL, (struct store_memory){.cache = CACHE_BYTES}, error,
                               sizeof error, &code);
  if (replay->processor->rows && !replay->store)
    return failure_set(&replay->failure, EX_UNAVAILABLE, "%s", error);
  snprintf(path, sizeof path, "%s/expected", replay->directory);
  replay->expected = store_open(path, "replay", (struct store_memory){.cache = CACHE_BYTES}, error,
                                sizeof error, &code);
  return replay->expected || failure_set(&replay->failure, EX_UNAVAILABLE, "%s", error);
}

static int sum_up(struct replay *replay) {
  bool same = replay->differences == 0;
  if (replay->json) {
    json_t *json = json_pack("{s:b,s:I,s:I,s:I,s:I,s:O}", "identical", same, "inputs",
                             replay->inputs, "outputs", replay->outputs, "rows", replay->rows,
                             "differences", replay->differences, "shown", replay->shown);
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
  } else {
    printf("%s: %" PRId64 " records read, %" PRId64 " outputs and %" PRId64 " rows compared: ",
           replay->processor->name, replay->inputs, replay->outputs, replay->rows);
    if (same)
      printf("identical\n");
    else
      printf("%" PRId64 " DIFFERENT\n", replay->differences);
  }
  return same ? REPLAY_SAME : REPLAY_DIFFERS;
}

static bool run(struct replay *replay) {
  replay->admin = kafka_admin_open(replay->options, &replay->failure);
  if (!replay->admin || !find_range(replay) || !open_stores(replay)) return false;
  int64_t only = options_number(replay->options, "partition");
  for (int32_t p = 0; p < replay->partitions; p++) {
    if (only >= 0 && only != p) {
      replay->to[p] = replay->from[p]; /* nothing of it is compared */
      continue;
    }
    if (!check_range(replay, p) || !run_partition(replay, p)) return false;
  }
  return !replay->diff || replay_compare(replay);
}

static int replay_filter(const struct options *options, const struct processor *processor) {
  static struct replay replay; /* too large for a stack */
  replay = (struct replay){.options = options,
                           .processor = processor,
                           .codec = codec_new(&holdfast_schemas),
                           .diff = options_flag(options, "diff"),
                           .json = strcmp(options_text(options, "output"), "json") == 0,
                           .shown = json_array(),
                           .told_at = clock_wall_ms()};
  int code = REPLAY_UNKNOWN;
  if (run(&replay))
    code = replay.diff ? sum_up(&replay) : EX_OK;
  else
    fprintf(stderr, "holdfast replay: could not tell: %s\n", replay.failure.text);
  kafka_admin_close(replay.admin);
  store_close(replay.store);
  store_close(replay.expected);
  spill_remove(replay.directory);
  json_decref(replay.shown);
  codec_free(replay.codec);
  return code;
}

int replay_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    const struct processor *processor =
        options.argument_count == 1 ? processor_named(options.arguments[0]) : NULL;
    const char *why = processor ? shadow_refuses(processor) : NULL;
    code = EX_USAGE;
    if (!processor)
      fprintf(stderr, "holdfast replay: name one filter: %s is none\n",
              options.argument_count ? options.arguments[0] : "nothing");
    else if (why)
      fprintf(stderr, "holdfast replay: %s cannot be replayed: %s. 'holdfast audit' judges it\n",
              processor->name, why);
    else
      code = replay_filter(&options, processor);
  }
  options_free(&options);
  return code;
}
