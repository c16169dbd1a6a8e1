/* holdfast rehearse: a short pipeline on a user's own cluster, harmed and judged, that leaves nothing behind. */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "commands.h"
#include "rehearsal.h"
#include "runtime/base/clock.h"
#include "runtime/contract/processors.h"
#include "runtime/kafka/release.h"

#define ITEM_PATIENCE_MS 60000
#define SETTLE_PATIENCE_MS 120000
#define REMOVE_PATIENCE_MS 30000
#define OUTPUT_SIZE ((size_t)1 << 20)

static const struct option_desc rehearse_options[] = {
    {.name = "output", .letter = 'o', .metavar = "text|json", .value = "text", .help = "format"},
    {.name = "reservations",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "2000",
     .min = 10,
     .max = 1000000,
     .help = "so many, for a third as many units"},
    {0}};

static const struct usage usage = {
    "Rehearses on your own cluster, under a prefix of its own: topics, filters, reservations, a "
    "kill -9 of two filters in\ntheir midst, the audit; then takes all of it away. It says whether "
    "this cluster keeps what the promises rest on:\nsettings, clock, rights, transactions. Two "
    "minutes at most; nothing that exists is touched.\n\n"
    "Usage: holdfast rehearse [option ...]\n\n"
    "0: all is well, though there may be warnings. 1: something failed. 2: it could not be tried.",
    rehearse_options, true,
    "  holdfast rehearse -b kafka-1:9092,kafka-2:9092\n"
    "  holdfast rehearse -F client.properties --prefix try- -o json\n"};

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
  (void)number;
  interrupted = 1;
}

bool rehearsal_find(struct rehearsal *rehearsal, enum finding finding, const char *format, ...) {
  static const char *const names[] = {"ok", "warning", "failed"};
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (finding == FINDING_FAILED) rehearsal->failed++;
  if (finding == FINDING_WARNING) rehearsal->warned++;
  json_array_append_new(rehearsal->findings,
                        json_pack("{s:s,s:s}", "finding", names[finding], "text", text));
  if (!rehearsal->json) {
    printf("  %-8s %s\n", names[finding], text);
    fflush(stdout);
  }
  return finding != FINDING_FAILED;
}

/* ---- the pipeline ---- */

static bool make_topics(struct rehearsal *rehearsal, char *output) {
  const char *const words[] = {"topics", "apply", NULL};
  int code = rehearse_run(rehearsal, words, output, OUTPUT_SIZE);
  char *last = strrchr(output, '\n');
  if (last) *last = '\0';
  last = strrchr(output, '\n');
  return code == EX_OK
             ? rehearsal_find(rehearsal, FINDING_OK, "topics and groups were made")
             : rehearsal_find(rehearsal, FINDING_FAILED, "holdfast topics apply ended with %d: %s",
                              code, last ? last + 1 : output);
}

static bool send(struct rehearsal *rehearsal, const char *name, int64_t from, int64_t to,
                 char *output) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s.jsonl", rehearsal->folder, name);
  FILE *file = fopen(path, "w");
  if (!file) return rehearsal_find(rehearsal, FINDING_FAILED, "%s: %s", path, strerror(errno));
  int64_t units = options_number(rehearsal->options, "reservations") / 3;
  if (from == to)
    fprintf(file,
            "{\"type\":\"RegisterItem\",\"item_id\":\"rehearsal\",\"title\":\"rehearsal\",\"kind\":"
            "\"BOOK\",\"capacity\":%" PRId64 ",\"payment\":\"NONE\"}\n",
            units);
  for (int64_t i = from; i < to; i++)
    fprintf(file,
            "{\"type\":\"Reserve\",\"reservation_id\":\"r-%" PRId64
            "\",\"customer_id\":\"c-%" PRId64 "\",\"item_id\":\"rehearsal\",\"quantity\":1}\n",
            i, i % 97);
  fclose(file);
  const char *const words[] = {"send", path, NULL};
  int code = rehearse_run(rehearsal, words, output, OUTPUT_SIZE);
  return code == EX_OK ||
         rehearsal_find(rehearsal, FINDING_FAILED, "holdfast send ended with %d: %s", code, output);
}

static bool item_is_known(struct rehearsal *rehearsal, char *output) {
  const char *const words[] = {"read", "stock-levels", NULL};
  return rehearse_run(rehearsal, words, output, OUTPUT_SIZE) == EX_OK &&
         strstr(output, "\"rehearsal\"");
}

/* Until it is so. False: the time is over, or somebody wants to end. */
static bool wait_until(struct rehearsal *rehearsal, int64_t patience_ms,
                       bool (*is_so)(struct rehearsal *rehearsal, char *output), char *output) {
  for (int64_t until = clock_monotonic_ms() + patience_ms; clock_monotonic_ms() < until;) {
    rehearse_supervise(rehearsal);
    if (interrupted || rehearsal->failed) return false;
    if (is_so(rehearsal, output)) return true;
    usleep(200000);
  }
  return false;
}

static json_int_t count(const json_t *audit, const char *name) {
  return json_integer_value(json_object_get(json_object_get(audit, "summary"), name));
}

static json_t *audit(struct rehearsal *rehearsal, char *output) {
  const char *const words[] = {"audit", "-o", "json", NULL};
  rehearse_run(rehearsal, words, output, OUTPUT_SIZE);
  const char *begin = strchr(output, '{'); /* what it says of its progress comes before */
  return begin ? json_loads(begin, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
}

static bool is_settled(struct rehearsal *rehearsal, char *output) {
  json_t *found = audit(rehearsal, output);
  bool settled =
      count(found, "reservations") == options_number(rehearsal->options, "reservations") &&
      count(found, "on_the_way") == 0 && count(found, "waiting") == 0;
  json_decref(found);
  return settled;
}

/* Half of the reservations, two filters killed while they are worked on, the other half. */
static bool harm(struct rehearsal *rehearsal, char *output) {
  static const char *const killed[] = {"stock-check", "payment"};
  int64_t all = options_number(rehearsal->options, "reservations"), began = clock_monotonic_ms();
  if (!send(rehearsal, "first", 0, all / 2, output)) return false;
  for (size_t i = 0; i < sizeof killed / sizeof *killed; i++) {
    struct child *child = rehearse_child(rehearsal, killed[i]);
    rehearse_end(child, SIGKILL);
    if (!rehearse_start(rehearsal, child)) return false;
  }
  if (!send(rehearsal, "second", all / 2, all, output)) return false;
  if (!wait_until(rehearsal, SETTLE_PATIENCE_MS, is_settled, output))
    return interrupted ||
           rehearsal_find(rehearsal, FINDING_FAILED,
                          "not every reservation had its outcome within %d s: %.300s",
                          SETTLE_PATIENCE_MS / 1000, output);
  return rehearsal_find(rehearsal, FINDING_OK,
                        "%" PRId64
                        " reservations had their outcomes %.1f s after the first was "
                        "sent, with stock-check and payment killed by -9 in their midst",
                        all, (double)(clock_monotonic_ms() - began) / 1000);
}

static void judge(struct rehearsal *rehearsal, char *output) {
  json_t *found = audit(rehearsal, output);
  json_int_t sold = options_number(rehearsal->options, "reservations") / 3;
  bool right = json_is_true(json_object_get(found, "clean")) && count(found, "approved") == sold &&
               count(found, "units_sold") == sold;
  rehearsal_find(rehearsal, right ? FINDING_OK : FINDING_FAILED,
                 right ? "the audit is clean: %lld of %lld units were sold, none twice"
                       : "the audit found faults: %lld of %lld units were sold (holdfast audit has "
                         "the rules)",
                 (long long)count(found, "units_sold"), (long long)sold);
  json_decref(found);
}

static void rehearse_pipeline(struct rehearsal *rehearsal) {
  char *output = xmalloc(OUTPUT_SIZE);
  if (make_topics(rehearsal, output) && rehearse_start_all(rehearsal) &&
      send(rehearsal, "item", 0, 0, output)) {
    if (!wait_until(rehearsal, ITEM_PATIENCE_MS, item_is_known, output)) {
      if (!interrupted)
        rehearsal_find(rehearsal, FINDING_FAILED,
                       "an item that was registered was not known to stock-check after %d s",
                       ITEM_PATIENCE_MS / 1000);
    } else if (harm(rehearsal, output) && !interrupted) {
      judge(rehearsal, output);
    }
  }
  free(output);
}

/* ---- the end ---- */

static void end_all(struct rehearsal *rehearsal) {
  for (size_t i = 0; i < rehearsal->child_count; i++) {
    struct child *child = &rehearsal->children[i];
    bool ran = child->pid != 0;
    int code = rehearse_end(child, SIGTERM);
    if (ran && code != 0)
      rehearsal_find(rehearsal, FINDING_FAILED, "%s ended with %d after SIGTERM", child->name,
                     code);
    struct failure failure;
    kafka_release_slot(rehearsal->options, processor_named(child->name), 0, &failure);
  }
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
  (void)info, (void)kind, (void)place;
  return remove(path);
}

static void remove_all(struct rehearsal *rehearsal) {
  struct failure failure;
  bool removed = false;
  for (int64_t until = clock_monotonic_ms() + REMOVE_PATIENCE_MS;
       !(removed = kafka_admin_delete_all(rehearsal->admin, &failure)) &&
       clock_monotonic_ms() < until;)
    usleep(500000);
  if (removed)
    rehearsal_find(rehearsal, FINDING_OK, "its topics and groups are gone again");
  else
    rehearsal_find(rehearsal, FINDING_FAILED, "what begins with %s is left: %s",
                   options_text(rehearsal->options, "prefix"), failure.text);
}

static int tell_end(struct rehearsal *rehearsal) {
  bool fine = !rehearsal->failed && !interrupted;
  if (rehearsal->json) {
    json_t *all = json_pack("{s:b,s:i,s:i,s:O}", "fine", fine, "failed", rehearsal->failed,
                            "warnings", rehearsal->warned, "findings", rehearsal->findings);
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(all);
  } else {
    printf("%s\n", interrupted         ? "interrupted"
                   : rehearsal->failed ? "this cluster does not keep what the promises rest on"
                   : rehearsal->warned ? "it works; read the warnings before the first customer"
                                       : "all is well");
  }
  return fine ? 0 : 1;
}

static int rehearse(const struct options *options) {
  char folder[] = "/tmp/holdfast-rehearsal-XXXXXX";
  struct failure failure;
  struct rehearsal rehearsal = {.options = options,
                                .folder = folder,
                                .json = strcmp(options_text(options, "output"), "json") == 0,
                                .findings = json_array()};
  rehearsal.admin = kafka_admin_open(options, &failure);
  if (!rehearsal.admin || !mkdtemp(folder)) {
    fprintf(stderr, "holdfast rehearse: %s\n", rehearsal.admin ? strerror(errno) : failure.text);
    kafka_admin_close(rehearsal.admin);
    json_decref(rehearsal.findings);
    return 2;
  }
  signal(SIGINT, on_signal);
  signal(SIGTERM, on_signal);
  if (!rehearsal.json) printf("under the prefix %s\n", options_text(options, "prefix"));
  rehearse_settings(&rehearsal);
  rehearse_clock(&rehearsal);
  if (!rehearsal.failed && rehearse_write_properties(&rehearsal)) rehearse_pipeline(&rehearsal);
  end_all(&rehearsal);
  remove_all(&rehearsal);
  int code = tell_end(&rehearsal);
  if (rehearsal.failed && rehearsal.child_count)
    fprintf(stderr, "holdfast rehearse: the logs are in %s\n", folder);
  else
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  kafka_admin_close(rehearsal.admin);
  json_decref(rehearsal.findings);
  return code;
}

/* The user's options with the rehearsal's own prefix behind theirs: the last flag counts. */
static bool with_own_prefix(const struct options *given, int argc, char **argv,
                            struct options *own) {
  static char prefix[128];
  char **flags = xcalloc((size_t)argc + 3, sizeof *flags);
  snprintf(prefix, sizeof prefix, "%srehearsal-%" PRIx64 "-", options_text(given, "prefix"),
           (uint64_t)clock_wall_ms());
  memcpy(flags, argv, (size_t)argc * sizeof *flags);
  flags[argc] = "--prefix";
  flags[argc + 1] = prefix;
  options_add(own, rehearse_options);
  options_add(own, kafka_options);
  options_add(own, help_options);
  bool parsed = options_parse(own, argc + 2, flags);
  free(flags);
  return parsed;
}

int rehearse_command(int argc, char **argv) {
  struct options options = {0}, own = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    const char *output = options_text(&options, "output");
    if (options.argument_count || (strcmp(output, "text") != 0 && strcmp(output, "json") != 0)) {
      fprintf(stderr, "holdfast rehearse: %s\n",
              options.argument_count ? "takes no arguments" : "-o is text or json");
      code = EX_USAGE;
    } else if (with_own_prefix(&options, argc, argv, &own)) {
      code = rehearse(&own);
    } else {
      fprintf(stderr, "holdfast rehearse: %s\n", own.error);
      code = EX_USAGE;
    }
  }
  options_free(&own);
  options_free(&options);
  return code;
}
