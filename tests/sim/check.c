/* The checks at the end: the audit is clean, every store equals the fold of its changelog, and the
 * provider's books equal ours. */
#include <inttypes.h>
#include <stdio.h>

#include "runtime/core/expiry.h"
#include "sim.h"
#include "runtime/base/text.h"

static int64_t sim_epoch(const struct sim *sim, const char *group) {
  for (int f = 0; f < sim->filter_count; f++) {
    if (strcmp(sim->filters[f].processor.name, group) == 0) return sim->filters[f].epoch;
  }
  return 1;
}

/* ---- the audit, on the log in memory ---- */

/* If an id is used again, the partitions' times say which filter takes an opening for another
 * reservation's and which refuses it. The auditor does not know them: it tells openings apart by
 * the ledger's steps, and may give what came of a refused one to another. The other rules, the
 * provider's books and the stores are asked there too. */
static bool depends_on_opening(enum audit_rule rule) {
  switch ((int)rule) {
    case RULE_COMMAND_FORGOTTEN:
    case RULE_HOLD_UNANSWERED:
    case RULE_HOLD_ANSWERED_TWICE:
    case RULE_REFUSED_WRONGLY:
    case RULE_HOLD_LEAKED:
    case RULE_LEVEL_DIFFERS:
    case RULE_NOT_CHARGED:
    case RULE_CHARGED_NOT_DELIVERED:
    case RULE_VIEW_DIFFERS: return true;
    default: return false;
  }
}

static void report(void *user, const struct audit_violation *violation) {
  struct sim *sim = user;
  if (workload_used_again(sim->workload) && depends_on_opening(violation->rule)) return;
  if (!sim->failed) sim->subject = arena_copy(&sim->arena, audit_id_of(violation->subject));
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
  auditor_keep_charges(auditor);
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    const struct audit_source *source = &audit_topics[topic];
    for (int32_t p = 0; p < sim->partitions && source->consumer; p++) {
      auditor_committed(auditor, (enum audit_topic)topic, p,
                        memory_committed(sim->cluster, source->consumer, source->topic, p),
                        sim_epoch(sim, source->consumer));
    }
  }
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    for (int32_t p = 0; p < sim->partitions; p++) {
      const struct message *record;
      for (int64_t next = 0;
           (record = memory_read(sim->cluster, audit_topics[topic].topic, p, next));
           next = record->offset + 1)
        auditor_read(auditor, (enum audit_topic)topic, p, record);
    }
  }
  provider_list(sim->provider, auditor);
  auditor_judge(auditor, &sim->summary, NULL, NULL);
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
  const struct message *record;
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

/* A row, and when it settled: of one that settled again, an earlier note may come later. */
static struct str note_key(struct comparison *c, struct str key, int64_t settled_at) {
  char *text = arena_alloc(&c->sim->arena, sizeof settled_at + key.size);
  memcpy(text, &settled_at, sizeof settled_at);
  memcpy(text + sizeof settled_at, key.data, key.size);
  return (struct str){text, sizeof settled_at + key.size};
}

/* The queue of what goes, as the filter's rows have it. */
static void read_queue(struct comparison *c, struct staging *out) {
  const struct expiry *state = last_row(c, &expiry_rows[EXPIRY_ROW_STATE], STR("-"));
  if (state && state->too_old && !c->sim->forgets) /* a wrong clock has moved the time */
    sim_fail(c->sim, "%s: took %" PRId64 " records for too old, and none is", node_name(c->node),
             state->too_old);
  for (int64_t n = state ? state->head : 0; state && n < state->tail; n++) {
    char number[TEXT_HEX_SIZE];
    text_hex(number, (uint64_t)(n / EXPIRY_PAGE_ENTRIES));
    const struct expiry_page *page =
        last_row(c, &expiry_rows[EXPIRY_ROW_PAGE], (struct str){number, sizeof number});
    const struct expiry_entry *entry = &page->entries.items[n % EXPIRY_PAGE_ENTRIES];
    const struct change change = {.key = note_key(c, entry->key, entry->at)};
    staging_put(out, 0, 0, &change, 0);
  }
}

/* Customers who have signed up never settle. */
static bool may_stay(const struct row_kind *kind) {
  return kind->type == RECORD_CUSTOMER_VIEW || kind->type == RECORD_RECIPIENT;
}

static void check_row_goes(struct comparison *c, const struct row_kind *kind,
                           const struct change *change, const struct staging *queue) {
  const char *row = row_of(c, change->value, kind->type);
  if (!row) return;
  int64_t settled_at = *(const int64_t *)(const void *)(row + kind->settled_field.offset);
  if (settled_at == 0 && may_stay(kind)) return;
  if (!staging_find(queue, 0, 0, note_key(c, change->key, settled_at)))
    sim_fail(c->sim, "%s: its %s '%.*s' (settled at %" PRId64 ") is not among the rows that leave",
             node_name(c->node), kind->name, STR_ARGS(change->key), settled_at);
}

/* Nothing waits any more, so every row that can settle has, and is noted with its last step: or it
 * would stay for ever. */
static void check_queue(struct comparison *c, const struct row_kind *rows) {
  struct staging queue = {0};
  read_queue(c, &queue);
  for (size_t i = 0; i < c->last.count; i++) {
    const struct change *change = &c->last.entries[i].change;
    const struct row_kind *kind = rows;
    while (kind->name && kind->prefix != change->key.data[0]) kind++;
    if (kind->name && kind->settled_field.is) check_row_goes(c, kind, change, &queue);
  }
  staging_free(&queue);
}

/* Of the rows, as the auditor does of the log. */
static void check_items(struct comparison *c) {
  for (size_t i = 0; i < c->last.count; i++) {
    const struct change *change = &c->last.entries[i].change;
    const struct stock_level *item = row_of(c, change->value, RECORD_STOCK_LEVEL);
    if (item && item->held + item->sold > item->capacity)
      sim_fail(c->sim, "%s: '%.*s' is oversold", node_name(c->node), STR_ARGS(change->key));
  }
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
  if (!c->sim->failed && !damage_is_for_ever(c->sim)) check_queue(c, rows);
  if (!c->sim->failed) check_items(c);
  if (!c->sim->failed && rows->type == RECORD_DEADLINE && wanted)
    sim_fail(c->sim, "%s: %zu deadlines are left of settled reservations", node_name(c->node),
             wanted);
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

static void check_settled(struct sim *sim) {
  if (sim->summary.waiting || sim->summary.on_the_way) {
    sim_fail(sim,
             "%" PRId64 " reservations wait (%s) and %" PRId64
             " are on their way, with no fault left",
             sim->summary.waiting, sim->summary.waits, sim->summary.on_the_way);
    if (!sim->subject.size) sim->subject = arena_copy(&sim->arena, str_of(sim->summary.waits));
  }
  if (sim->summary.to_be_told)
    sim_fail(sim, "%" PRId64 " notices were never told", sim->summary.to_be_told);
}

/* If unread records are gone for ever, the auditor has nothing to say, nor have the provider's
 * books; only the stores are judged, and the settling of everything in them. */
void check_world(struct sim *sim) {
  bool audited = !damage_is_for_ever(sim);
  if (audited) audit(sim);
  check_stores(sim);
  if (sim->failed || !audited) return;
  check_settled(sim);
  if (!workload_used_again(sim->workload)) check_money(sim); /* by opening, as the rules above */
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
      const struct message *record;
      for (int64_t next = 0; (record = memory_read(sim->cluster, topic, p, next));
           next = record->offset + 1) {
        const struct change change = {.key = record->key, .value = record->value};
        staging_put(out, f, p, &change, 0);
      }
    }
  }
}

/* A partition's time and what it doubts: an opening far ahead is doubted once more when it comes
 * again. */
static bool is_partition_time(struct str key) {
  return str_equal(key, STR("X-"));
}

static void compare_one(struct sim *sim, const struct staged *row, const struct staging *other) {
  const struct staged *found = staging_find(other, row->group, row->partition, row->change.key);
  struct str value = found ? found->change.value : (struct str){0};
  if (is_partition_time(row->change.key)) return;
  if (!row->change.value.data == !value.data && str_equal(row->change.value, value)) return;
  sim_fail(sim, "after the reset %s-%d has another value of '%.*s'",
           table_of(&sim->filters[row->group].processor), (int)row->partition,
           STR_ARGS(row->change.key));
}

void tables_compare(struct sim *sim, const struct staging *before, const struct staging *after) {
  for (size_t i = 0; i < before->count; i++) compare_one(sim, &before->entries[i], after);
  for (size_t i = 0; i < after->count; i++) compare_one(sim, &after->entries[i], before);
}
