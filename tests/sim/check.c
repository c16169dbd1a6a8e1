/* What must be true in the end: the audit is clean, every store equals the fold of its changelog,
 * and the provider's books equal ours. */
#include <inttypes.h>
#include <stdio.h>

#include "expiry.h"
#include "sim.h"
#include "text.h"

static int64_t sim_epoch(const struct sim *sim, const char *group) {
  for (int f = 0; f < sim->filter_count; f++) {
    if (strcmp(sim->filters[f].processor.name, group) == 0) return sim->filters[f].epoch;
  }
  return 1;
}

/* ---- the audit, on the log in memory ---- */

static void report(void *user, const struct audit_violation *violation) {
  struct sim *sim = user;
  if (!sim->failed) sim->subject = arena_copy(&sim->arena, violation->subject);
  if (violation->topic < 0) {
    sim_fail(sim, "audit: %s: %.*s: %s", audit_rules[violation->rule].name,
             STR_ARGS(violation->subject), violation->text);
  } else {
    sim_fail(sim, "audit: %s: %.*s: %s (%s-%" PRId32 "@%" PRId64 ")",
             audit_rules[violation->rule].name, STR_ARGS(violation->subject), violation->text,
             audit_topics[violation->topic].topic, violation->partition, violation->offset);
  }
}

static void audit(struct sim *sim) {
  struct store *store = sim_take_store("audit");
  struct auditor *auditor = auditor_new(store, report, sim);
  auditor_begin(auditor, sim->now);
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    const struct audit_source *source = &audit_topics[topic];
    if (source->also) auditor_epoch(auditor, sim_epoch(sim, source->also));
    for (int32_t p = 0; p < sim->partitions && source->consumer; p++) {
      auditor_committed(auditor, (enum audit_topic)topic, p,
                        memory_committed(sim->cluster, source->consumer, source->topic, p),
                        sim_epoch(sim, source->consumer));
    }
  }
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    for (int32_t p = 0; p < sim->partitions; p++) {
      const struct memory_record *record;
      for (int64_t next = 0;
           (record = memory_read(sim->cluster, audit_topics[topic].topic, p, next));
           next = record->offset + 1)
        auditor_read(auditor, (enum audit_topic)topic, p, record);
    }
  }
  auditor_judge(auditor, &sim->summary, NULL, NULL);
  if (sim->summary.waiting || sim->summary.on_the_way) {
    sim_fail(sim,
             "%" PRId64 " reservations wait (%s) and %" PRId64
             " are on their way, with no fault left",
             sim->summary.waiting, sim->summary.waits, sim->summary.on_the_way);
    if (!sim->subject.size) sim->subject = arena_copy(&sim->arena, str_of(sim->summary.waits));
  }
  auditor_free(auditor);
  sim_give_store("audit", store, 1);
}

/* ---- stores ---- */

struct comparison {
  struct sim *sim;
  struct node *node;
  int32_t partition;
  const char *changelog;
  struct staging last;
  size_t rows;
};

/* The last value of each key of the changelog. */
static void fold_changelog(struct comparison *c) {
  const struct memory_record *record;
  for (int64_t next = 0; (record = memory_read(c->sim->cluster, c->changelog, c->partition, next));
       next = record->offset + 1) {
    const struct change change = {.key = record->key, .value = record->value};
    staging_put(&c->last, 0, 0, &change, 0);
  }
}

static bool row_is_in_changelog(void *user, struct str key, struct str value) {
  struct comparison *c = user;
  const struct staged *last = staging_find(&c->last, 0, 0, key);
  c->rows++;
  if (last && last->change.value.data && str_equal(last->change.value, value)) return true;
  sim_fail(c->sim, "%s: its store has a row '%.*s' that %s-%d %s", node_name(c->node),
           STR_ARGS(key), c->changelog, (int)c->partition,
           last ? "has otherwise" : "does not have");
  return false;
}

/* ---- what settled is on its way out ---- */

static const void *row_of(struct comparison *c, struct str bytes, int type) {
  char error[CODEC_ERROR_SIZE];
  struct record record;
  bool fine = bytes.data && codec_decode(c->sim->codec, bytes, &c->sim->arena, &record, error);
  return fine && record.type == type ? record.value : NULL;
}

static const void *last_row(struct comparison *c, const struct row_kind *kind, struct str part) {
  struct str key = arena_format(&c->sim->arena, "%c%.*s", kind->prefix, STR_ARGS(part));
  const struct staged *found = staging_find(&c->last, 0, 0, key);
  return found ? row_of(c, found->change.value, kind->type) : NULL;
}

/* The queue of what goes, as the filter's rows have it: by key, the last time noted. */
static void read_queue(struct comparison *c, const struct row_kind *rows, struct staging *out) {
  const struct expiry *state = last_row(c, &rows[EXPIRY_ROW_STATE], STR("-"));
  for (int64_t n = state ? state->head : 0; state && n < state->tail; n++) {
    char number[TEXT_HEX_SIZE];
    text_hex(number, (uint64_t)(n / EXPIRY_PAGE_ENTRIES));
    const struct expiry_page *page =
        last_row(c, &rows[EXPIRY_ROW_PAGE], (struct str){number, sizeof number});
    const struct expiry_entry *entry = &page->entries.items[n % EXPIRY_PAGE_ENTRIES];
    const struct change change = {.key = entry->key, .due_at = entry->at};
    staging_put(out, 0, 0, &change, 0);
  }
}

/* Nothing waits any more, so every row that can settle has, and is noted with its last step: or it
 * would stay for ever. */
static void check_queue(struct comparison *c, const struct row_kind *rows) {
  struct staging queue = {0};
  if (rows->type == RECORD_EXPIRY) read_queue(c, rows, &queue);
  for (size_t i = 0; i < c->last.count && rows->type == RECORD_EXPIRY; i++) {
    const struct change *change = &c->last.entries[i].change;
    const struct row_kind *kind = rows;
    while (kind->name && kind->prefix != change->key.data[0]) kind++;
    const struct field *field =
        schema_field(codec_schemas(c->sim->codec)->records[kind->type], STR("settled_at"));
    const char *row = field ? row_of(c, change->value, kind->type) : NULL;
    if (!row) continue;
    int64_t settled_at = *(const int64_t *)(const void *)(row + field->offset);
    const struct staged *noted = staging_find(&queue, 0, 0, change->key);
    if (!noted || noted->change.due_at != settled_at)
      sim_fail(c->sim, "%s: its %s '%.*s' (settled at %" PRId64 ") is not among what goes",
               node_name(c->node), kind->name, STR_ARGS(change->key), settled_at);
  }
  staging_free(&queue);
}

static void compare_store(struct comparison *c) {
  fold_changelog(c);
  store_scan(c->node->disk->store, c->partition, STR(""), (struct str){0}, row_is_in_changelog, c);
  size_t wanted = 0;
  for (size_t i = 0; i < c->last.count; i++) wanted += c->last.entries[i].change.value.data != NULL;
  if (!c->sim->failed && c->rows != wanted)
    sim_fail(c->sim, "%s: its store has %zu rows of the %zu of %s-%d", node_name(c->node), c->rows,
             wanted, c->changelog, (int)c->partition);
  const struct row_kind *rows = c->sim->filters[c->node->filter].processor.rows;
  if (!c->sim->failed) check_queue(c, rows);
  if (!c->sim->failed && rows->type == RECORD_DEADLINE && wanted)
    sim_fail(c->sim, "%s: %zu deadlines are left of what has settled", node_name(c->node), wanted);
  staging_free(&c->last);
}

static void check_stores(struct sim *sim) {
  for (int f = 0; f < sim->filter_count; f++) {
    const struct processor *processor = &sim->filters[f].processor;
    if (!processor->rows) continue;
    int owners[64] = {0};
    for (size_t n = 0; n < sim->node_count; n++) {
      struct node *node = sim->nodes[n];
      if (node->filter != f || !node->runtime) continue;
      int32_t ready[64];
      size_t count = runtime_ready_partitions(node->runtime, ready, 64);
      for (size_t i = 0; i < count; i++) {
        owners[ready[i]]++;
        struct comparison comparison = {
            .sim = sim,
            .node = node,
            .partition = ready[i],
            .changelog = processor->input_is_changelog ? processor->input : processor->changelog};
        compare_store(&comparison);
      }
    }
    for (int32_t p = 0; p < sim->partitions; p++) {
      if (owners[p] != 1)
        sim_fail(sim, "%s: partition %d has %d owners", processor->name, (int)p, owners[p]);
    }
  }
}

static void check_money(struct sim *sim) {
  int64_t charged, refunded;
  provider_money(sim->provider, &charged, &refunded);
  if (charged != sim->summary.charged || refunded != sim->summary.refunded) {
    sim_fail(sim,
             "the provider took %" PRId64 " and gave back %" PRId64 ", and the log says %" PRId64
             " and %" PRId64,
             charged, refunded, sim->summary.charged, sim->summary.refunded);
  }
}

/* ---- notices and tallies ---- */

/* Groups of counts: what must come out as zero, what was seen, and the last value of a table. */
enum { BALANCE, SEEN, LAST };

/* A count for each key. */
static int64_t *counter(struct sim *sim, struct staging *counts, int group, struct str key) {
  const struct staged *found = staging_find(counts, group, 0, key);
  if (found) return (int64_t *)(uintptr_t)found->change.value.data;
  int64_t *count = arena_zalloc(&sim->arena, sizeof *count);
  const struct change change = {.key = key, .value = {(const char *)count, sizeof *count}};
  staging_put(counts, group, 0, &change, 0);
  return count;
}

static void each_record(struct sim *sim, const char *topic, struct staging *counts,
                        void (*take)(struct sim *sim, struct staging *counts, struct str key,
                                     struct record record)) {
  char error[CODEC_ERROR_SIZE];
  for (int32_t p = 0; p < sim->partitions; p++) {
    const struct memory_record *at;
    for (int64_t next = 0; (at = memory_read(sim->cluster, topic, p, next));
         next = at->offset + 1) {
      struct record record;
      if (codec_decode(sim->codec, at->value, &sim->arena, &record, error))
        take(sim, counts, at->key, record);
    }
  }
}

static struct str step_name(struct sim *sim, const struct status_changed *step, int32_t revision) {
  return arena_format(&sim->arena, "%.*s of %.*s, revision %d", STR_ARGS(step->reservation_id),
                      STR_ARGS(step->customer_id), (int)revision);
}

/* Every step is told, but for one that leaves the status as it is. */
static void count_step(struct sim *sim, struct staging *counts, struct str key,
                       struct record record) {
  (void)key;
  if (record.type != RECORD_STATUS_CHANGED) return;
  const struct status_changed *step = record.value;
  struct str name = step_name(sim, step, step->revision),
             before = step_name(sim, step, step->revision - 1);
  *counter(sim, counts, SEEN, name) = 1 + (int)step->status;
  *counter(sim, counts, BALANCE, name) =
      *counter(sim, counts, SEEN, before) != 1 + (int)step->status; /* a reset says it again */
}

static void count_notice(struct sim *sim, struct staging *counts, struct str key,
                         struct record record) {
  (void)key;
  const struct notified *notified = record.value;
  struct str name =
      arena_format(&sim->arena, "%.*s of %.*s, revision %d", STR_ARGS(notified->reservation_id),
                   STR_ARGS(notified->customer_id), (int)notified->revision);
  --*counter(sim, counts, BALANCE, name);
}

/* Adds to the balance of an item's option: what was sold, less what the table says. */
static void tally_add(struct sim *sim, struct staging *counts, struct str item, struct str option,
                      int64_t reservations, int64_t units, int64_t sum) {
  const int64_t values[] = {reservations, units, sum};
  static const char *const names[] = {"reservations", "units", "sum"};
  for (size_t i = 0; i < 3; i++)
    *counter(sim, counts, BALANCE,
             arena_format(&sim->arena, "%.*s, option '%.*s', %s", STR_ARGS(item), STR_ARGS(option),
                          names[i])) += values[i];
}

static void count_sold(struct sim *sim, struct staging *counts, struct str key,
                       struct record record) {
  (void)key;
  const struct reservation_outcome *outcome = record.value;
  int64_t *seen = counter(sim, counts, SEEN,
                          arena_format(&sim->arena, "%.*s/%.*s/%d", STR_ARGS(outcome->item_id),
                                       STR_ARGS(outcome->reservation_id), (int)outcome->revision));
  if (*seen) return; /* a reset says it again */
  *seen = 1;
  int64_t *counted = counter(sim, counts, SEEN,
                             arena_format(&sim->arena, "%.*s/%.*s", STR_ARGS(outcome->item_id),
                                          STR_ARGS(outcome->reservation_id)));
  int64_t sign = outcome->status == STATUS_APPROVED ? 1 : *counted ? -1 : 0;
  if (sign == 0) return;
  *counted = sign > 0;
  tally_add(sim, counts, outcome->item_id, outcome->option, sign, sign * outcome->quantity,
            sign * outcome->amount);
}

/* Each record of the table replaces the one before. */
static void count_tally(struct sim *sim, struct staging *counts, struct str key,
                        struct record record) {
  const struct option_tally *tally = record.value;
  const struct staged *known = staging_find(counts, LAST, 0, key);
  struct option_tally before =
      known ? *(const struct option_tally *)(const void *)known->change.value.data
            : (struct option_tally){0};
  const struct change change = {.key = key, .value = {(const char *)tally, sizeof *tally}};
  staging_put(counts, LAST, 0, &change, 0);
  tally_add(sim, counts, tally->item_id, tally->option, before.count - tally->count,
            before.quantity - tally->quantity, before.sum - tally->sum);
}

static void check_balances(struct sim *sim, const struct staging *counts, const char *above,
                           const char *below) {
  for (size_t i = 0; i < counts->count; i++) {
    if (counts->entries[i].group != BALANCE) continue;
    const struct change *change = &counts->entries[i].change;
    int64_t left = *(const int64_t *)(const void *)change->value.data;
    if (left) sim_fail(sim, "%.*s %s", STR_ARGS(change->key), left > 0 ? above : below);
  }
}

static void check_notices(struct sim *sim) {
  struct staging counts = {0};
  each_record(sim, "reservation-events", &counts, count_step);
  each_record(sim, "notifications", &counts, count_notice);
  check_balances(sim, &counts, "was never told", "was told more than once");
  staging_free(&counts);
}

static void check_tallies(struct sim *sim) {
  struct staging counts = {0};
  each_record(sim, "reservation-outcomes", &counts, count_sold);
  each_record(sim, "option-tallies", &counts, count_tally);
  check_balances(sim, &counts, "are missing in its tally", "are too many in its tally");
  staging_free(&counts);
}

void check_world(struct sim *sim) {
  audit(sim);
  check_stores(sim);
  if (!sim->failed) check_money(sim);
  if (!sim->failed) check_notices(sim);
  if (!sim->failed) check_tallies(sim);
}

/* ---- tables ---- */

static const char *table_of(const struct processor *processor) {
  return processor->input_is_changelog ? processor->input : processor->changelog;
}

void tables_fold(struct sim *sim, struct staging *out) {
  *out = (struct staging){0};
  for (int f = 0; f < sim->filter_count; f++) {
    const char *topic = table_of(&sim->filters[f].processor);
    for (int32_t p = 0; topic && p < sim->partitions; p++) {
      const struct memory_record *record;
      for (int64_t next = 0; (record = memory_read(sim->cluster, topic, p, next));
           next = record->offset + 1) {
        const struct change change = {.key = record->key, .value = record->value};
        staging_put(out, f, p, &change, 0);
      }
    }
  }
}

static void compare_one(struct sim *sim, const struct staged *row, const struct staging *other) {
  const struct staged *found = staging_find(other, row->group, row->partition, row->change.key);
  struct str value = found ? found->change.value : (struct str){0};
  if (!row->change.value.data == !value.data && str_equal(row->change.value, value)) return;
  sim_fail(sim, "after the reset %s-%d has another value of '%.*s'",
           table_of(&sim->filters[row->group].processor), (int)row->partition,
           STR_ARGS(row->change.key));
}

void tables_compare(struct sim *sim, const struct staging *before, const struct staging *after) {
  for (size_t i = 0; i < before->count; i++) compare_one(sim, &before->entries[i], after);
  for (size_t i = 0; i < after->count; i++) compare_one(sim, &after->entries[i], before);
}
