/* holdfast audit: proves what Holdfast promises from the topics, or lists what breaks it. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>
#include <xxhash.h>

#include "audit_provider.h"
#include "audit_stores.h"
#include "auditor/auditor.h"
#include "runtime/base/clock.h"
#include "commands.h"
#include "runtime/record/json.h"
#include "runtime/kafka/admin.h"
#include "runtime/kafka/io.h"
#include "runtime/contract/money.h"
#include "runtime/core/recovery.h"
#include "spill.h"
#include "runtime/store/store.h"

#define CACHE_BYTES ((size_t)64 << 20)
#define PROGRESS_MS 2000
#define KNOWN_MAX 4096
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

static volatile sig_atomic_t stopping;

static void on_signal(int signal_number) {
  (void)signal_number;
  stopping = 1;
}

struct audit {
  const struct options *options;
  struct kafka_admin *admin;
  struct kafka_reader *reader;
  struct auditor *auditor;
  struct store *store;
  struct provider_books books;
  char directory[300];
  int32_t partitions[AUDIT_TOPIC_COUNT];
  int64_t wanted[AUDIT_TOPIC_COUNT][AUDIT_PARTITIONS_MAX]; /* to be read up to here */
  json_t *violations;
  bool json, follow, progress;
  int64_t printed, found, told_at, records;
  uint64_t known[KNOWN_MAX]; /* what --follow has told */
  size_t known_count;
  struct failure failure;
};

/* ---- telling ---- */

static void report(void *user, const struct audit_violation *violation) {
  struct audit *audit = user;
  uint64_t hash = XXH3_64bits(violation->text, strlen(violation->text)) ^
                  XXH3_64bits(violation->subject.data, violation->subject.size) ^
                  (uint64_t)violation->rule;
  for (size_t i = 0; i < audit->known_count; i++) {
    if (audit->known[i] == hash) return;
  }
  if (audit->known_count < KNOWN_MAX) audit->known[audit->known_count++] = hash;
  audit->found++;
  if (audit->printed >= options_number(audit->options, "limit")) return;
  audit->printed++;
  char place[160] = "";
  if (violation->topic >= 0)
    snprintf(place, sizeof place, "%s-%" PRId32 "@%" PRId64, audit_topics[violation->topic].topic,
             violation->partition, violation->offset);
  if (!audit->json) {
    printf("VIOLATION  %-22s %.*s: %s%s%s\n", audit_rules[violation->rule].name,
           STR_ARGS(violation->subject), violation->text, place[0] ? "  at " : "", place);
    fflush(stdout);
    return;
  }
  json_t *json =
      json_pack("{s:s,s:o,s:o}", "rule", audit_rules[violation->rule].name, "subject",
                json_text(violation->subject), "text", json_text(str_of(violation->text)));
  if (violation->topic >= 0) {
    json_object_set_new(json, "topic", json_string(audit_topics[violation->topic].topic));
    json_object_set_new(json, "partition", json_integer(violation->partition));
    json_object_set_new(json, "offset", json_integer(violation->offset));
  }
  json_array_append_new(audit->violations, json);
}

static void tell_progress(struct audit *audit, const char *what, int64_t done, int64_t all) {
  int64_t now = clock_wall_ms();
  if (!audit->progress || now - audit->told_at < PROGRESS_MS) return;
  audit->told_at = now;
  fprintf(stderr, "holdfast audit: %s: %" PRId64, what, done);
  if (all) fprintf(stderr, " of %" PRId64, all);
  fputc('\n', stderr);
}

static void judging(void *user, int64_t rows) {
  tell_progress(user, "rows judged", rows, 0);
}

/* ---- reading ---- */

static bool find_topics(struct audit *audit) {
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    const char *name = audit_topics[topic].topic;
    audit->partitions[topic] = kafka_admin_partitions(audit->admin, name, &audit->failure);
    if (audit->partitions[topic] < 0) return false;
    if (audit->partitions[topic] == 0)
      return failure_set(&audit->failure, EX_UNAVAILABLE,
                         "the topic '%s' does not exist: are --brokers and --prefix those of the "
                         "pipeline? 'holdfast topics plan' shows what is there",
                         name);
    if (audit->partitions[topic] > AUDIT_PARTITIONS_MAX)
      return failure_set(&audit->failure, EX_UNAVAILABLE,
                         "'%s' has %" PRId32 " partitions; an audit takes %d", name,
                         audit->partitions[topic], AUDIT_PARTITIONS_MAX);
  }
  return true;
}

/* What each consumer has processed: before anything is read, so that all its effects are there. */
static bool ask_consumer(struct audit *audit, int topic) {
  const char *name = audit_topics[topic].topic, *group = audit_topics[topic].consumer;
  struct log_offset offsets[AUDIT_PARTITIONS_MAX];
  if (!kafka_admin_committed(audit->admin, group, name, offsets, audit->partitions[topic],
                             &audit->failure))
    return false;
  for (int32_t p = 0; p < audit->partitions[topic]; p++) {
    struct commit_metadata metadata;
    if (offsets[p].offset < 0 || !commit_metadata_parse(offsets[p].metadata, &metadata))
      return failure_set(&audit->failure, EX_UNAVAILABLE,
                         "the group '%s' has no committed offset of this pipeline for partition "
                         "%" PRId32 " of '%s': 'holdfast topics apply' makes the first",
                         group, p, name);
    auditor_committed(audit->auditor, (enum audit_topic)topic, p, offsets[p].offset,
                      metadata.epoch);
  }
  return true;
}

static bool ask_consumers(struct audit *audit) {
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    if (audit_topics[topic].consumer && !ask_consumer(audit, topic)) return false;
  }
  return true;
}

/* Between two rounds. Commands have their effects elsewhere, and are told apart by their times; of
 * all other topics what was read has gone with them. */
static bool begins_anew(struct audit *audit, int topic, int32_t p) {
  if (topic != AUDIT_COMMANDS)
    return failure_set(&audit->failure, EX_UNAVAILABLE,
                       "'%s' partition %" PRId32
                       " ends before what was read of it: it was deleted and made again. Begin the "
                       "audit anew",
                       audit_topics[topic].topic, p);
  auditor_read_anew(audit->auditor, AUDIT_COMMANDS, p);
  return true;
}

static bool ask_ends(struct audit *audit, int64_t *records) {
  *records = 0;
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    for (int32_t p = 0; p < audit->partitions[topic]; p++) {
      int64_t first, position = auditor_position(audit->auditor, (enum audit_topic)topic, p);
      if (!kafka_admin_bounds(audit->admin, audit_topics[topic].topic, p, &first,
                              &audit->wanted[topic][p], &audit->failure))
        return false;
      if (audit->wanted[topic][p] < position) {
        if (!begins_anew(audit, topic, p)) return false;
        position = 0;
      }
      if (first > position && !audit_topics[topic].table)
        return failure_set(&audit->failure, EX_UNAVAILABLE,
                           "'%s' partition %" PRId32 " begins at offset %" PRId64
                           ": what was before is gone, and an audit needs all of it",
                           audit_topics[topic].topic, p, first);
      *records += audit->wanted[topic][p] - (first > position ? first : position);
    }
  }
  return true;
}

/* Transactions that were open when the ends were asked for have to end first: their effects belong
 * to what the consumers had processed. */
static bool reached(const struct audit *audit, int topic) {
  for (int32_t p = 0; p < audit->partitions[topic]; p++) {
    if (kafka_reader_end(audit->reader, p) < audit->wanted[topic][p]) return false;
  }
  return true;
}

static bool read_topic(struct audit *audit, int topic, const int64_t *from, bool mark_only,
                       int64_t all) {
  const char *name = audit_topics[topic].topic;
  if (!audit->reader) audit->reader = kafka_reader_new(audit->options, &audit->failure);
  if (!audit->reader || !kafka_reader_turn_to(audit->reader, name, from, &audit->failure))
    return false;
  int64_t patience = clock_wall_ms() + options_number(audit->options, "wait") * 1000;
  for (;;) {
    struct message record;
    int32_t partition;
    enum kafka_read read =
        kafka_reader_next(audit->reader, 200, &partition, &record, &audit->failure);
    if (stopping) return failure_set(&audit->failure, EX_UNAVAILABLE, "interrupted");
    if (read == KAFKA_READ_FAILED) return false;
    if (read == KAFKA_READ_RECORD && mark_only) {
      auditor_mark(audit->auditor, (enum audit_topic)topic, partition, &record);
    } else if (read == KAFKA_READ_RECORD) {
      auditor_read(audit->auditor, (enum audit_topic)topic, partition, &record);
      audit->records++;
      patience = clock_wall_ms() + options_number(audit->options, "wait") * 1000;
    }
    tell_progress(audit, name, audit->records, all);
    if (reached(audit, topic)) return true;
    if (clock_wall_ms() > patience)
      return failure_set(
          &audit->failure, EX_UNAVAILABLE,
          "'%s' has a transaction that does not end: is a filter stopped in one? It times "
          "out; --wait says how long to wait for that",
          name);
  }
}

static bool read_all(struct audit *audit, bool mark_only) {
  int64_t records;
  if (!ask_ends(audit, &records)) return false;
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    int64_t from[AUDIT_PARTITIONS_MAX];
    bool waits = false;
    for (int32_t p = 0; p < audit->partitions[topic]; p++) {
      from[p] = auditor_position(audit->auditor, (enum audit_topic)topic, p);
      waits |= from[p] < audit->wanted[topic][p];
    }
    if (!waits || (mark_only && !audit_topics[topic].consumer)) continue;
    if (!read_topic(audit, topic, from, mark_only, audit->records + records)) return false;
  }
  return true;
}

/* ---- a round ---- */

static bool audit_round(struct audit *audit, struct audit_summary *summary) {
  auditor_begin(audit->auditor, clock_wall_ms());
  if (!ask_consumers(audit) || !read_all(audit, false) ||
      !provider_books_read(&audit->books, audit->auditor, &audit->failure) ||
      !read_all(audit, true))
    return false;
  auditor_judge(audit->auditor, summary, judging, audit);
  return true;
}

static json_t *summary_json(const struct audit_summary *s) {
  return json_pack(
      "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}",
      "records", s->records, "reservations", s->reservations, "approved", s->approved, "failed",
      s->failed, "cancelled", s->cancelled, "waiting", s->waiting, "on_the_way", s->on_the_way,
      "refused_ids", s->refused_ids, "refused_commands", s->refused_commands, "dead_letters",
      s->dead_letters, "items", s->items, "units_sold", s->units_sold, "units_held", s->units_held,
      "charged", s->charged, "charged_e18", s->charged_e18, "refunded", s->refunded, "refunded_e18",
      s->refunded_e18, "told", s->told, "to_be_told", s->to_be_told, "books", s->books, "repeats",
      s->repeats);
}

static void print_summary(struct audit *audit, const struct audit_summary *s, int64_t stores) {
  char charged[MONEY_TEXT_SIZE], refunded[MONEY_TEXT_SIZE];
  if (audit->json) {
    json_t *json = json_pack("{s:b,s:I,s:o,s:O,s:I}", "clean", audit->found == 0, "violation_count",
                             audit->found, "summary", summary_json(s), "violations",
                             audit->violations, "stores", stores);
    json_dumpf(json, stdout, audit->follow ? JSON_COMPACT : JSON_INDENT(2));
    putchar('\n');
    fflush(stdout);
    json_decref(json);
    json_array_clear(audit->violations);
    return;
  }
  if (audit->found > audit->printed)
    printf("... and %" PRId64 " more; --limit prints more of them\n",
           audit->found - audit->printed);
  printf("%" PRId64 " records: %" PRId64 " reservations, %" PRId64 " approved, %" PRId64
         " failed, %" PRId64 " cancelled, %" PRId64 " waiting, %" PRId64 " on their way\n",
         s->records, s->reservations, s->approved, s->failed, s->cancelled, s->waiting,
         s->on_the_way);
  printf("%" PRId64 " items, %" PRId64 " units sold and %" PRId64
         " held; %s"
         " charged and %s refunded\n",
         s->items, s->units_sold, s->units_held, money_text(s->charged_e18, s->charged, charged),
         money_text(s->refunded_e18, s->refunded, refunded));
  printf("%" PRId64 " notices told, %" PRId64 " to be told\n", s->told, s->to_be_told);
  printf("%" PRId64 " commands refused (%" PRId64 " for a used id), %" PRId64 " dead letters",
         s->refused_commands, s->refused_ids, s->dead_letters);
  if (s->books) printf("; %" PRId64 " entries of the provider's books", s->books);
  if (s->repeats) printf(", %" PRId64 " records repeated by a reset", s->repeats);
  if (stores) printf("; %" PRId64 " stores equal to their changelogs", stores);
  printf("\n%s\n", audit->found ? "NOT CLEAN" : "clean: no promise is broken");
  fflush(stdout);
}

static int run(struct audit *audit) {
  struct audit_summary summary = {0};
  do {
    int64_t stores = 0, before = audit->found;
    if (!audit_round(audit, &summary)) break;
    const char *directory = options_text(audit->options, "stores");
    if (directory && !audit_stores(audit->options, directory, audit->directory, report, audit,
                                   &stores, &audit->failure))
      break;
    if (!audit->follow) {
      print_summary(audit, &summary, stores);
      return audit->found ? AUDIT_VIOLATED : AUDIT_CLEAN;
    }
    if (audit->json || audit->found != before || audit->told_at == 0)
      print_summary(audit, &summary, stores);
    audit->told_at = clock_wall_ms();
    for (int64_t s = options_number(audit->options, "interval"); s > 0 && !stopping; s--) sleep(1);
  } while (!stopping);
  if (stopping && audit->follow) return audit->found ? AUDIT_VIOLATED : AUDIT_CLEAN;
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
  audit->auditor = auditor_new(audit->store, report, audit);
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
  if (audit.admin && find_topics(&audit) && open_spill(&audit))
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
