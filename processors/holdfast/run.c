/* holdfast run --local: the whole pipeline with its cycles, in this process, on the log in
 * memory. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "commands.h"
#include "runtime/http/server.h"
#include "notify/notify.h"
#include "runtime/record/line.h"
#include "runtime/base/report.h"
#include "runtime/memory/pipe.h"
#include "runtime/contract/processors.h"
#include "runtime/core/runtime.h"
#include "script.h"

#define FILTERS_MAX 32
#define IDLE_US 2000

static const struct option_desc run_options[] = {
    {.name = "local",
     .kind = OPTION_FLAG,
     .help = "in this process, without a broker (the only way so far)"},
    {.name = "all",
     .kind = OPTION_FLAG,
     .help = "print the records of every topic, not of events, outcomes and dead letters alone"},
    {.name = "linger",
     .kind = OPTION_NUMBER,
     .metavar = "S",
     .value = "3",
     .max = 86400,
     .help = "after the last command, wait for rows that come due within so many seconds"},
    {.name = "keep",
     .kind = OPTION_FLAG,
     .help = "go on until interrupted, so that the views can be asked"},
    {.name = "history-http",
     .metavar = "ADDR:PORT",
     .help = "answer the questions of history there; without it at a free port"},
    {.name = "catalog-http",
     .metavar = "ADDR:PORT",
     .help = "answer the questions of catalog there"},
    {.name = "tally-http", .metavar = "ADDR:PORT", .help = "answer the questions of tally there"},
    {0}};

static const struct usage usage = {
    "Runs the whole pipeline in this process, without a broker: a first look. Reads commands as "
    "'holdfast send' does and prints the records\nthat customers and organizers would see, a JSON "
    "line each. Nothing is kept.\n\nUsage: holdfast run "
    "--local [option ...] [FILE]",
    run_options, false,
    "  holdfast run --local < commands.jsonl\n  holdfast run --local --keep --history-http "
    "127.0.0.1:8081 commands.jsonl\n"};

static volatile sig_atomic_t stopping;

static void on_signal(int signal_number) {
  (void)signal_number;
  stopping = 1;
}

struct local {
  struct memory_cluster *cluster;
  struct codec *codec;
  const struct processor *processors[FILTERS_MAX];
  struct runtime *runtimes[FILTERS_MAX];
  struct http_server *servers[FILTERS_MAX];
  size_t count;
  struct tail *printed;
  const struct options *options;
};

static void print_new(struct local *local) {
  const char *topic;
  const struct message *record;
  while (tail_next(local->printed, &topic, &record)) {
    json_t *json = line_json(local->codec, topic, record);
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
  }
  fflush(stdout);
}

/* A turn of every filter. *moved: something was done. False: one has failed. */
static bool turn(struct local *local, bool *moved) {
  memory_cluster_set_time(local->cluster, clock_wall_ms());
  for (size_t i = 0; i < local->count; i++) {
    enum runtime_status status = runtime_step(local->runtimes[i], 0);
    if (status == RUNTIME_FAILED) {
      report_error("%s", runtime_failure(local->runtimes[i])->text);
      return false;
    }
    *moved |= status == RUNTIME_BUSY;
  }
  print_new(local);
  return true;
}

static bool is_waiting(const struct local *local, int64_t within_ms) {
  for (size_t i = 0; i < local->count; i++) {
    if (runtime_in_flight(local->runtimes[i])) return true;
    if (runtime_next_due(local->runtimes[i]) <= clock_wall_ms() + within_ms) return true;
  }
  return false;
}

/* Turns until nothing moves, nothing is out, and nothing is due soon. */
static bool settle(struct local *local, int64_t within_ms) {
  bool moved = true;
  while (!stopping && (moved || is_waiting(local, within_ms))) {
    moved = false;
    if (!turn(local, &moved)) return false;
    if (!moved) usleep(IDLE_US);
  }
  return true;
}

/* Views are asked over HTTP here too, so that a wait means the same everywhere. */
static bool is_so(const struct local *local, const struct wait *wait, char *error) {
  char url[64];
  for (size_t i = 0; i < local->count; i++) {
    if (strcmp(local->processors[i]->name, wait->thing->view) != 0) continue;
    snprintf(url, sizeof url, "http://127.0.0.1:%d", (int)http_port(local->servers[i]));
    return wait_is_so(wait, url, error);
  }
  return false;
}

static int wait_for(struct local *local, const struct wait *wait) {
  int64_t until = clock_wall_ms() + wait->seconds * INT64_C(1000);
  char what[512], error[512] = "";
  while (!stopping && clock_wall_ms() < until) {
    bool moved = false;
    if (!turn(local, &moved)) return EX_SOFTWARE;
    if (is_so(local, wait, error)) return EX_OK;
    if (!moved) usleep(IDLE_US);
  }
  wait_describe(wait, what, sizeof what);
  report_error("waited %d s for %s: %s", wait->seconds, what, error);
  return EX_TEMPFAIL;
}

static int play(struct local *local, const struct script *script) {
  for (size_t i = 0; i < script->count && !stopping; i++) {
    const struct script_line *line = &script->lines[i];
    if (line->json) {
      int code = wait_for(local, &line->wait);
      if (code != EX_OK) return code;
      continue;
    }
    const struct message record = {.timestamp = clock_wall_ms(),
                                   .key = line->key,
                                   .value = line->value,
                                   .correlation_id = line->key};
    memory_append(local->cluster, "reservation-commands", -1, &record);
  }
  bool fine = settle(local, options_number(local->options, "linger") * 1000);
  while (fine && options_flag(local->options, "keep") && !stopping) {
    bool moved = false;
    fine = turn(local, &moved);
    if (!moved) usleep(IDLE_US);
  }
  return fine ? EX_OK : EX_SOFTWARE;
}

static bool serve(struct local *local, const struct processor *processor, struct runtime *runtime) {
  char name[64];
  struct failure failure;
  snprintf(name, sizeof name, "%s-http", processor->name);
  if (!processor->routes) return true;
  bool chosen = options_given(local->options, name);
  const char *address = chosen ? options_text(local->options, name) : "127.0.0.1:0";
  local->servers[local->count] = http_start(name, address, runtime, processor, &failure);
  if (!local->servers[local->count]) return report_error("%s", failure.text), false;
  if (options_flag(local->options, "keep"))
    fprintf(stderr, "holdfast run: %s answers on port %d\n", processor->name,
            (int)http_port(local->servers[local->count]));
  return true;
}

static bool open_filters(struct local *local) {
  for (const struct processor *const *processor = all_processors; *processor; processor++)
    pipe_prepare(local->cluster, *processor, 1);
  for (const struct processor *const *processor = all_processors; *processor; processor++) {
    bool nobody_to_tell =
        (*processor)->world == &webhook_world && !options_given(local->options, "webhook-url");
    if (nobody_to_tell) continue;
    struct failure failure;
    struct runtime_config config = {
        .processor = *processor, .options = local->options, .tombstone_retention_ms = INT64_MAX};
    config.log = memory_log_open(local->cluster, (*processor)->name, (*processor)->input,
                                 (*processor)->changelog, 0);
    struct runtime *runtime = runtime_new(&config, &failure);
    if (!runtime) return report_error("%s", failure.text), false;
    local->processors[local->count] = *processor;
    local->runtimes[local->count] = runtime;
    if (!serve(local, *processor, runtime)) return runtime_free(runtime), false;
    local->count++;
  }
  return true;
}

static void follow_topics(struct local *local) {
  static const char *const shown[] = {"reservation-events", "reservation-outcomes", "dead-letters"};
  for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) tail_add(local->printed, shown[i]);
  if (!options_flag(local->options, "all")) return;
  for (const struct processor *const *processor = all_processors; *processor; processor++) {
    tail_add(local->printed, (*processor)->input);
    for (const struct output *output = (*processor)->outputs; output && output->topic; output++)
      tail_add(local->printed, output->topic);
  }
}

static int run_local(const struct options *options, const struct script *script) {
  struct local local = {
      .cluster = memory_cluster_new(), .codec = codec_new(&holdfast_schemas), .options = options};
  local.printed = tail_new(local.cluster);
  signal(SIGINT, on_signal);
  signal(SIGTERM, on_signal);
  int code = EX_CONFIG;
  if (open_filters(&local)) {
    follow_topics(&local);
    code = play(&local, script);
  }
  for (size_t i = 0; i < local.count; i++) {
    http_stop(local.servers[i]);
    runtime_free(local.runtimes[i]);
  }
  tail_free(local.printed);
  codec_free(local.codec);
  memory_cluster_free(local.cluster);
  return code;
}

int run_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  for (const struct processor *const *processor = all_processors; *processor; processor++) {
    options_add(&options, (*processor)->options);
  }
  if (command_options(&options, &usage, argc, argv, &code)) {
    struct script script = {0};
    struct codec *codec = codec_new(&holdfast_schemas);
    char error[512];
    if (!options_flag(&options, "local")) {
      fprintf(stderr,
              "holdfast run: needs --local; on Kafka every filter is a process of its own\n");
      code = EX_USAGE;
    } else if (!script_arguments(&script, options.arguments, options.argument_count, codec,
                                 error)) {
      fprintf(stderr, "holdfast run: %s\n", error);
      code = EX_DATAERR;
    } else {
      code = run_local(&options, &script);
    }
    script_free(&script);
    codec_free(codec);
  }
  options_free(&options);
  return code;
}
