/* The findings of an audit, as text or as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

#include "audit.h"
#include "runtime/base/clock.h"
#include "runtime/contract/money.h"
#include "runtime/record/json.h"

#define PROGRESS_MS 2000

void audit_tell_violation(void *user, const struct audit_violation *violation) {
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

void audit_tell_progress(struct audit *audit, const char *what, int64_t done, int64_t all) {
  int64_t now = clock_wall_ms();
  if (!audit->progress || now - audit->told_at < PROGRESS_MS) return;
  audit->told_at = now;
  fprintf(stderr, "holdfast audit: %s: %" PRId64, what, done);
  if (all) fprintf(stderr, " of %" PRId64, all);
  fputc('\n', stderr);
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

void audit_tell_summary(struct audit *audit, const struct audit_summary *s, int64_t stores) {
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
