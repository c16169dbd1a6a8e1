#include "runtime/main/filter_main.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "runtime/core/expiry.h"
#include "runtime/core/rights.h"
#include "runtime/http/health.h"
#include "runtime/http/server.h"
#include "runtime/record/codec.h"
#include "runtime/record/json.h"
#include "runtime/kafka/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/report.h"
#include "runtime/http/supervisor.h"
#include "runtime/memory/pipe.h"

#define IDLE_WAIT_MS 100
/* Far longer than a batch takes. A broker that is dead would be waited for longer still. */
#define STOP_WITHIN_S 10

const struct option_desc filter_options[] = {
    {.name = "slot",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "0",
     .max = 9999,
     .help = "this instance's number among those of the filter: its static membership and "
             "transactional id"},
    {.name = "standby",
     .kind = OPTION_FLAG,
     .help = "keep the rows of the slot's partitions at hand while another process has the slot, "
             "and take it when the group has lost that process"},
    {.name = "state-dir",
     .metavar = "DIR",
     .value = "state",
     .help = "folder of the store: DIR/<filter>-<slot>, or DIR/<filter>-<slot>-standby"},
    {.name = "health",
     .metavar = "ADDR:PORT",
     .help = "answer /livez, /readyz and /metrics there, whatever --http has to do"},
    {.name = "http", .metavar = "ADDR:PORT", .help = "of a view: answer its questions there"},
    {.name = "peers",
     .metavar = "ADDR:PORT",
     .help = "of a view: its other instances reach this one there [the address of --http, a free "
             "port; if that is 0.0.0.0 they are sent to the address that reaches the broker]"},
    {.name = "ready-lag",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "100000",
     .max = INT64_MAX,
     .help = "/readyz is red while more input records wait"},
    {.name = "batch-records",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "10000",
     .min = 1,
     .max = 100000,
     .help = "records of a transaction at most"},
    {.name = "linger-ms",
     .kind = OPTION_NUMBER,
     .metavar = "MS",
     .max = 10000,
     .help = "while records come in, the least time from one transaction to the next: less CPU, "
             "later output [100 for views, deadlines and notices, which no reservation waits for; "
             "0 for the others]"},
    {.name = "cache-mib",
     .kind = OPTION_NUMBER,
     .metavar = "MIB",
     .value = "8",
     .min = 1,
     .max = 65536,
     .word = "auto",
     .help = "block cache of the store; auto: a sixteenth of the memory that the process may use, "
             "by its cgroup and by what the machine has available"},
    {.name = "write-buffer-kib",
     .kind = OPTION_NUMBER,
     .metavar = "KIB",
     .value = "8192",
     .min = 64,
     .max = 1048576,
     .help = "KiB that the store collects in memory before it writes a file; twice that is used at "
             "most"},
    {.name = "log-level",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "2",
     .max = 3,
     .help = "0 errors, 1 warnings, 2 information, 3 all"},
    {.name = "pipe",
     .kind = OPTION_FLAG,
     .help = "work on JSON lines from stdin to stdout, without a broker"},
    {.name = "describe",
     .kind = OPTION_FLAG,
     .help = "print the topics and rows of this filter as JSON"},
    {0},
};

/* Until it serves, nothing is begun that would want an end: the process may go at once, however
 * long it would still wait for a broker. */
static volatile sig_atomic_t serving, stopping;

static void on_signal(int signal_number) {
  if (!serving) _exit(EX_OK);
  if (stopping) _exit(128 + signal_number);
  stopping = 1;
  alarm(STOP_WITHIN_S);
}

static void on_alarm(int signal_number) {
  static const char text[] =
      "stopped while something did not answer: uncommitted work is done again\n";
  (void)signal_number;
  if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(EX_OK);
  _exit(EX_OK);
}

static void catch_signals(void (*handler)(int signal_number)) {
  const struct sigaction action = {.sa_handler = handler};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  signal(SIGALRM, on_alarm);
}

static void help(const struct processor *processor, const struct options *options) {
  printf("%s: %s\n\nUsage: %s [option ...]\n       %s --pipe < lines.jsonl\n\n", processor->name,
         processor->summary, processor->name, processor->name);
  options_help(options, stdout);
  printf(
      "\nExamples:\n  %s -b 127.0.0.1:9092 --health 127.0.0.1:8080\n  %s -F holdfast.properties -X "
      "session.timeout.ms=6000 --slot 1\n"
      "  holdfast encode < commands.jsonl | reserve-requested --pipe | stock-check --pipe\n",
      processor->name, processor->name);
}

static void describe_rows(const struct row_kind *row, json_t *rows) {
  for (; row && row->name; row++) {
    json_array_append_new(rows, json_pack("{s:s,s:s,s:s,s:b}", "row", row->name, "record",
                                          holdfast_schemas.records[row->type]->name, "key",
                                          row->key, "due", row->due_field.is));
  }
}

static json_t *describe_rights(const struct processor *processor) {
  struct rights rights = {0};
  json_t *all = json_array();
  rights_of_filter(processor, "", &rights);
  for (size_t i = 0; i < rights.count; i++) {
    const struct right *right = &rights.list[i];
    json_array_append_new(
        all, json_pack("{s:s,s:s,s:s,s:s}", "operation", right_operation_name(right->operation),
                       "resource", right_resource_name(right->resource), "name", right->name,
                       "pattern", right->prefixed ? "prefixed" : "literal"));
  }
  return all;
}

static void describe(const struct processor *processor) {
  json_t *outputs = json_array(), *rows = json_array(), *routes = json_array(),
         *accepts = json_array();
  for (const int *type = processor->accepts; *type >= 0; type++)
    json_array_append_new(accepts, json_string(holdfast_schemas.records[*type]->name));
  for (const struct output *output = processor->outputs; output && output->topic; output++) {
    json_array_append_new(outputs,
                          json_pack("{s:s,s:b}", "topic", output->topic, "table", output->table));
  }
  if (expiry_is_used(processor)) describe_rows(expiry_rows, rows);
  describe_rows(processor->rows, rows);
  for (const struct route *route = processor->routes; route && route->path; route++) {
    json_array_append_new(routes,
                          json_pack("{s:s,s:s}", "path", route->path, "summary", route->summary));
  }
  const char *changelog = processor->input_is_changelog ? processor->input : processor->changelog;
  json_t *all = json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:s?,s:o,s:o}", "name", processor->name,
                          "summary", processor->summary, "input", processor->input, "accepts",
                          accepts, "outputs", outputs, "rows", rows, "changelog", changelog,
                          "routes", routes, "rights", describe_rights(processor));
  json_dumpf(all, stdout, JSON_INDENT(2));
  putchar('\n');
  json_decref(all);
}

/* ---- failpoints: only in the test build ---- */

#ifdef HOLDFAST_FAILPOINTS
/* HOLDFAST_FAILPOINT=<step>:<n> kills this process with -9 when it reaches the step for the n-th
 * time; <step>:<n>:stop stops it there, until somebody continues it. */
static bool failpoint(void *user, enum step step) {
  (void)user;
  static int left;
  static bool known;
  const char *text = getenv("HOLDFAST_FAILPOINT");
  if (!text) return false;
  size_t size = strcspn(text, ":");
  if (!known) left = text[size] ? atoi(text + size + 1) : 1;
  known = true;
  bool here = strlen(step_names[step]) == size && strncmp(step_names[step], text, size) == 0;
  if (here && --left == 0) kill(getpid(), strstr(text, ":stop") ? SIGSTOP : SIGKILL);
  return false;
}
#endif

/* ---- the loop ---- */

static int fail(const struct failure *failure) {
  report_error("%s", failure->text);
  return failure->exit_code ? failure->exit_code : EX_SOFTWARE;
}

static bool listen_for(const struct processor *processor, const struct options *options,
                       struct runtime *runtime, struct health **health, struct http_server **server,
                       struct failure *failure) {
  if (options_text(options, "health") &&
      !(*health = health_start(options, runtime, processor, failure)))
    return false;
  if (!options_text(options, "http")) return true;
  *server = http_start_shared(options, runtime, processor, failure);
  if (*server) report_info("listening for questions on port %" PRIu16, http_port(*server));
  return *server != NULL;
}

static void tell_supervisor(struct supervisor *supervisor, struct runtime *runtime,
                            const struct options *options) {
  char waits[SUPERVISOR_WAITS_SIZE];
  if (!supervisor_is_due(supervisor)) return;
  health_waits_for(runtime, options_number(options, "ready-lag"), waits, sizeof waits);
  supervisor_tell(supervisor, waits);
}

static int serve(struct runtime *runtime, const struct processor *processor,
                 const struct options *options) {
  struct health *health = NULL;
  struct http_server *server = NULL;
  struct failure failure = {0};
  struct supervisor supervisor;
  bool listening = listen_for(processor, options, runtime, &health, &server, &failure);
  enum runtime_status status = RUNTIME_BUSY;
  serving = listening;
  supervisor_open(&supervisor);
  while (listening && !stopping && (status == RUNTIME_BUSY || status == RUNTIME_IDLE)) {
    status = runtime_step(runtime, IDLE_WAIT_MS);
    tell_supervisor(&supervisor, runtime, options);
  }
  supervisor_close(&supervisor);
  http_stop(server);
  health_stop(health);
  if (!listening) return fail(&failure);
  if (status == RUNTIME_FAILED) return fail(runtime_failure(runtime));
  report_info("stopped: everything that was begun is committed");
  return EX_OK;
}

static size_t cache_bytes(const struct options *options) {
  uint64_t mib = (uint64_t)options_number(options, "cache-mib");
  if (mib == 0) {
    mib = memory_cache_mib(memory_allowed(""));
    report_info("takes a cache of %" PRIu64 " MiB", mib);
  }
  return (size_t)mib << 20;
}

static int run(const struct processor *processor, const struct options *options) {
  struct failure failure = {0};
  char cluster[128], directory[512];
  signal(SIGPIPE, SIG_IGN);
  /* A file that may not grow is an error of its write, as a full disk is */
  signal(SIGXFSZ, SIG_IGN);
  struct runtime_config config = {.processor = processor, .options = options, .cluster = cluster};
  config.log =
      log_kafka_open(processor, options, &config.tombstone_retention_ms, cluster, &failure);
  if (!config.log) return fail(&failure);
  config.slot = (int)options_number(options, "slot");
  config.prefix = options_text(options, "prefix");
  config.batch_records = (size_t)options_number(options, "batch-records");
  config.cache_bytes = cache_bytes(options);
  config.linger_ms = options_given(options, "linger-ms") ? (int)options_number(options, "linger-ms")
                                                         : processor->linger_ms;
  config.write_buffer_bytes = (size_t)options_number(options, "write-buffer-kib") << 10;
  config.standby = options_flag(options, "standby");
  snprintf(directory, sizeof directory, "%s/%s-%d%s", options_text(options, "state-dir"),
           processor->name, config.slot, config.standby ? "-standby" : "");
  config.state_directory = directory;
#ifdef HOLDFAST_FAILPOINTS
  config.failpoint = failpoint;
#endif
  struct runtime *runtime = runtime_new(&config, &failure);
  if (!runtime) return fail(&failure);
  int code = serve(runtime, processor, options);
  /* As one that is killed: librdkafka 2.0.2 waits for ever for what it holds of a topic that is
   * gone. */
  if (code != EX_OK) _exit(code);
  runtime_free(runtime);
  return code;
}

static int work(const struct processor *processor, const struct options *options) {
  if (options_flag(options, "pipe")) {
    catch_signals(SIG_DFL); /* a pipe that is cut off has not worked */
    return pipe_main(processor, options);
  }
  if (options_text(options, "http") && !processor->routes) {
    report_error("answers no questions, so it takes no --http; probes and metrics are at --health");
    return EX_USAGE;
  }
  return run(processor, options);
}

int filter_main(const struct processor *processor, int argc, char **argv) {
  struct options options = {0};
  catch_signals(on_signal);
  options_add(&options, kafka_options);
  options_add(&options, filter_options);
  options_add(&options, processor->options);
  options_add(&options, help_options);
  int code = EX_OK;
  report_as(processor->name, LEVEL_INFO);
  if (!options_parse(&options, argc, argv) || options.argument_count) {
    fprintf(stderr, "%s: %s\n", processor->name,
            options.error[0] ? options.error : "takes no arguments; --help lists the options");
    code = EX_USAGE;
  } else if (options_flag(&options, "help")) {
    help(processor, &options);
  } else if (options_flag(&options, "describe")) {
    describe(processor);
  } else {
    report_as(processor->name, (enum report_level)options_number(&options, "log-level"));
    codec_look_in(options_text(&options, "schemas"));
    code = work(processor, &options);
  }
  options_free(&options);
  return code;
}
