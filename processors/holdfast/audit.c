/* holdfast audit: proves what Holdfast promises from the topics, or lists what breaks it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "audit.h"
#include "audit_stores.h"
#include "runtime/base/clock.h"
#include "commands.h"
#include "spill.h"
#include "runtime/store/store.h"

#define CACHE_BYTES ((size_t)64 << 20)
enum { AUDIT_CLEAN, AUDIT_VIOLATED, AUDIT_UNKNOWN };

static const struct option_desc audit_options[] = {
    {.name = "output", .letter = 'o', .metavar = "FORMAT", .value = "text", .help = "text or json"},
    {.name = "follow",
     .kind = OPTION_FLAG,
     .help = "keep watching; each violation is told once, when it is found"},
    {.name = "interval",
     .kind = OPTION_NUMBER,
     .metavar = "S",
     .value = "5",
     .min = 1,
     .max = 86400,
     .help = "with --follow: seconds between two rounds"},
    {.name = "wait",
     .kind = OPTION_NUMBER,
     .metavar = "S",
     .value = "20",
     .max = 86400,
     .help = "wait so long for open transactions to end"},
    {.name = "limit",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "100",
     .min = 1,
     .max = 1000000,
     .help = "print so many violations at most; all are counted"},
    {.name = "spill-dir",
     .metavar = "DIR",
     .value = "/tmp",
     .help = "folder for state that does not fit memory"},
    {.name = "stores",
     .metavar = "DIR",
     .help = "compare the stores in this state directory with the fold of their changelogs too"},
    {.name = "provider",
     .metavar = "URL",
     .help = "compare the ledger with the payment provider's own books, from GET URL/charges too"},
    {.name = "provider-csv",
     .metavar = "FILE",
     .help = "the same with an export of the books: columns key, kind, amount and status"},
    {.name = "rules", .kind = OPTION_FLAG, .help = "print the rules, and end"},
    {0}};

static const struct usage usage = {
    "Proves from the topics that nothing was lost, done twice, oversold, or charged and not "
    "delivered, or lists the violations and their places.\nRecords on their way through the "
    "pipeline "
    "are told apart from lost ones, so it may run at any time.\n\n"
    "Exit code: 0 clean, 1 violations, 2 could not tell.\n\nUsage: holdfast audit [option ...]",
    audit_options, true,
    "  holdfast audit\n  holdfast audit -o json | jq .summary\n  holdfast audit --follow "
    "--interval 30\n  holdfast audit --stores state\n  holdfast audit --provider "
    "http://127.0.0.1:8090\n"};

volatile sig_atomic_t audit_stopping;

static void on_signal(int signal_number) {
  (void)signal_number;
  audit_stopping = 1;
}

/* ---- a round ---- */

static void judging(void *user, int64_t rows) {
  audit_tell_progress(user, "rows judged", rows, 0);
}

static bool audit_round(struct audit *audit, struct audit_summary *summary) {
  auditor_begin(audit->auditor, clock_wall_ms());
  if (!audit_ask_consumers(audit) || !audit_read_all(audit, false) ||
      !provider_books_read(&audit->books, audit->auditor, &audit->failure) ||
      !audit_read_all(audit, true))
    return false;
  auditor_judge(audit->auditor, summary, judging, audit);
  return true;
}

static int run(struct audit *audit) {
  struct audit_summary summary = {0};
  do {
    int64_t stores = 0, before = audit->found;
    if (!audit_round(audit, &summary)) break;
    const char *directory = options_text(audit->options, "stores");
    if (directory && !audit_stores(audit->options, directory, audit->directory,
                                   audit_tell_violation, audit, &stores, &audit->failure))
      break;
    if (!audit->follow) {
      audit_tell_summary(audit, &summary, stores);
      return audit->found ? AUDIT_VIOLATED : AUDIT_CLEAN;
    }
    if (audit->json || audit->found != before || audit->told_at == 0)
      audit_tell_summary(audit, &summary, stores);
    audit->told_at = clock_wall_ms();
    for (int64_t s = options_number(audit->options, "interval"); s > 0 && !audit_stopping; s--)
      sleep(1);
  } while (!audit_stopping);
  if (audit_stopping && audit->follow) return audit->found ? AUDIT_VIOLATED : AUDIT_CLEAN;
  fprintf(stderr, "holdfast audit: could not tell: %s\n", audit->failure.text);
  return audit->found ? AUDIT_VIOLATED : AUDIT_UNKNOWN;
}

/* ---- beginning and end ---- */

static bool open_spill(struct audit *audit) {
  char error[400];
  int code;
  if (!spill_make(options_text(audit->options, "spill-dir"), audit->directory,
                  sizeof audit->directory))
    return failure_set(&audit->failure, EX_UNAVAILABLE,
                       "cannot make a folder in '%s': see --spill-dir",
                       options_text(audit->options, "spill-dir"));
  char facts[320];
  snprintf(facts, sizeof facts, "%s/facts", audit->directory);
  audit->store = store_open(facts, "audit", (struct store_memory){.cache = CACHE_BYTES}, error,
                            sizeof error, &code);
  if (!audit->store) return failure_set(&audit->failure, EX_UNAVAILABLE, "%s", error);
  audit->auditor = auditor_new(audit->store, audit_tell_violation, audit);
  audit->books = (struct provider_books){.url = options_text(audit->options, "provider"),
                                         .csv = options_text(audit->options, "provider-csv")};
  if (audit->books.url || audit->books.csv) auditor_keep_charges(audit->auditor);
  return true;
}

static int audit_log(const struct options *options) {
  static struct audit audit; /* too large for a stack */
  audit.options = options;
  audit.json = strcmp(options_text(options, "output"), "json") == 0;
  audit.follow = options_flag(options, "follow");
  audit.progress = isatty(2) || !audit.json;
  audit.violations = json_array();
  audit.told_at = audit.follow ? 0 : clock_wall_ms();
  signal(SIGINT, on_signal);
  signal(SIGTERM, on_signal);
  int code = AUDIT_UNKNOWN;
  audit.admin = kafka_admin_open(options, &audit.failure);
  if (audit.admin && audit_find_topics(&audit) && open_spill(&audit))
    code = run(&audit);
  else
    fprintf(stderr, "holdfast audit: could not tell: %s\n", audit.failure.text);
  kafka_reader_close(audit.reader);
  kafka_admin_close(audit.admin);
  auditor_free(audit.auditor);
  store_close(audit.store);
  spill_remove(audit.directory);
  json_decref(audit.violations);
  return code;
}

static int print_rules(void) {
  for (int rule = 0; rule < AUDIT_RULE_COUNT; rule++)
    printf("%-24s %s\n", audit_rules[rule].name, audit_rules[rule].promise);
  return EX_OK;
}

int audit_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    const char *output = options_text(&options, "output");
    if (options.argument_count) {
      fprintf(stderr, "holdfast audit: takes no arguments; --help lists the options\n");
      code = EX_USAGE;
    } else if (strcmp(output, "text") != 0 && strcmp(output, "json") != 0) {
      fprintf(stderr, "holdfast audit: --output must be text or json, not '%s'\n", output);
      code = EX_USAGE;
    } else if (options_given(&options, "provider") && options_given(&options, "provider-csv")) {
      fprintf(stderr, "holdfast audit: --provider or --provider-csv, not both\n");
      code = EX_USAGE;
    } else {
      code = options_flag(&options, "rules") ? print_rules() : audit_log(&options);
    }
  }
  options_free(&options);
  return code;
}
