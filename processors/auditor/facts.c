/* Takes records down: what each says about a reservation, in the order of its partition. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <xxhash.h>

#include "auditor/internal.h"
#include "place.h"
#include "runtime/store/store.h"

#define FLUSH_CHANGES 20000

const struct audit_source audit_topics[AUDIT_TOPIC_COUNT] = {
    [AUDIT_COMMANDS] = {"reservation-commands", .consumer = "reserve-requested"},
    [AUDIT_DEAD_LETTERS] = {"dead-letters"},
    [AUDIT_OPENINGS] = {"payment-results", .again = true},
    [AUDIT_LEDGER] = {"payment-requests", .consumer = "payment"},
    [AUDIT_STOCK] = {"stock-requests", .consumer = "stock-check"},
    [AUDIT_RESULTS] = {"payment-results", .consumer = "approved-failed"},
    [AUDIT_CHARGES] = {"charge-requests", .consumer = "charge"},
    [AUDIT_DEADLINES] = {"deadlines", .consumer = "deadline"},
    [AUDIT_OUTCOMES] = {"reservation-outcomes"},
    [AUDIT_EVENTS] = {"reservation-events", .consumer = "history"},
    [AUDIT_LEVELS] = {"stock-levels", .table = true},
    [AUDIT_HISTORY] = {"history-changelog", .table = true},
    [AUDIT_SOLD] = {"reservation-outcomes", .consumer = "tally", .again = true},
    [AUDIT_TALLIES] = {"option-tallies", .table = true},
    [AUDIT_STEPS] = {"reservation-events", .consumer = "notify", .again = true},
    [AUDIT_NOTICES] = {"notifications"},
};

/* ---- rows ---- */

struct str audit_key(struct auditor *auditor, enum audit_row kind, const struct str *parts,
                     size_t count) {
  size_t size = 1;
  for (size_t i = 0; i < count; i++) size += parts[i].size + 1;
  char *key = arena_alloc(&auditor->scratch, size), *at = key;
  *at++ = (char)kind;
  for (size_t i = 0; i < count; i++) {
    if (parts[i].size) memcpy(at, parts[i].data, parts[i].size);
    at += parts[i].size;
    *at++ = '\0';
  }
  return (struct str){key, size};
}

struct str audit_hold_key(struct auditor *auditor, struct str item, struct str reservation,
                          int64_t hash) {
  struct str parts[] = {item, reservation, {(const char *)&hash, sizeof hash}};
  return audit_key(auditor, ROW_HOLD, parts, 3);
}

size_t audit_load(struct auditor *auditor, struct str key, void *out, size_t size) {
  const struct staged *staged = staging_find(&auditor->staging, 0, 0, key);
  struct str bytes =
      staged ? staged->change.value : store_get(auditor->store, 0, key, &auditor->scratch);
  memset(out, 0, size);
  if (!bytes.data) return 0;
  memcpy(out, bytes.data, bytes.size < size ? bytes.size : size);
  return bytes.size;
}

static void stage(struct auditor *auditor, struct str key, struct str value) {
  const struct change change = {.key = arena_copy(&auditor->arena, key), .value = value};
  staging_put(&auditor->staging, 0, 0, &change, 0);
}

void audit_save(struct auditor *auditor, struct str key, const void *row, size_t size) {
  stage(auditor, key, arena_copy(&auditor->arena, (struct str){row, size}));
}

void audit_drop(struct auditor *auditor, struct str key) {
  stage(auditor, key, (struct str){0});
}

void audit_flush(struct auditor *auditor) {
  for (size_t i = 0; i < auditor->staging.count; i++)
    store_put_changes(auditor->store, 0, &auditor->staging.entries[i].change, 1);
  store_write(auditor->store);
  staging_clear(&auditor->staging);
  arena_reset(&auditor->arena);
}

void audit_report(struct auditor *auditor, enum audit_rule rule, struct str subject,
                  const struct audit_event *event, const char *format, ...) {
  struct audit_violation violation = {.rule = rule, .subject = subject, .topic = -1, .offset = -1};
  if (event) {
    violation.topic = (int)event->topic;
    violation.partition = event->partition;
    violation.offset = event->record->offset;
  }
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(violation.text, sizeof violation.text, format, arguments);
  va_end(arguments);
  auditor->summary.violations++;
  auditor->report(auditor->user, &violation);
}

/* ---- facts of a reservation ---- */

static struct str facts_key(struct auditor *auditor, struct str reservation) {
  return audit_key(auditor, ROW_FACTS, &reservation, 1);
}

static struct facts facts_of(struct auditor *auditor, struct str reservation) {
  struct facts facts;
  audit_load(auditor, facts_key(auditor, reservation), &facts, sizeof facts);
  return facts;
}

static void keep_facts(struct auditor *auditor, struct str reservation, struct facts *facts,
                       const struct audit_event *event) {
  facts->last_topic = (int32_t)event->topic;
  facts->last_partition = event->partition;
  facts->last_offset = event->record->offset;
  audit_save(auditor, facts_key(auditor, reservation), facts, sizeof *facts);
}

static bool valid_id(struct str id) {
  return id.size >= 1 && id.size <= RESERVATION_MAX;
}

bool audit_is_outcome(enum status status) {
  return status == STATUS_APPROVED || status == STATUS_CANCELLED || status == STATUS_FAILED;
}

struct str audit_text(const struct auditor *auditor, struct record record, struct str name) {
  const struct field *field =
      schema_field(codec_schemas(auditor->codec)->records[record.type], name);
  return field ? *(const struct str *)((const char *)record.value + field->offset)
               : (struct str){0};
}

static struct str reservation_of(const struct auditor *auditor, struct record record) {
  return audit_text(auditor, record, STR("reservation_id"));
}

static struct str item_of(const struct auditor *auditor, struct record record) {
  return audit_text(auditor, record, STR("item_id"));
}

/* ---- every output once ---- */

bool audit_parse_causation(struct str causation, int64_t *partition, int64_t *offset) {
  return !str_starts_with(causation, STR("due-")) && !str_starts_with(causation, STR("answer-")) &&
         place_parse(causation, partition, offset);
}

/* The place of a key in the open-addressed table, or the empty one where it belongs. */
static struct order *probe(struct order *orders, size_t capacity, uint64_t key) {
  size_t at = key & (capacity - 1);
  while (orders[at].used && orders[at].key != key) at = (at + 1) & (capacity - 1);
  return &orders[at];
}

static void grow_orders(struct auditor *auditor) {
  size_t capacity = auditor->order_capacity ? auditor->order_capacity * 2 : 1024;
  struct order *orders = xcalloc(capacity, sizeof *orders);
  for (size_t i = 0; i < auditor->order_capacity; i++) {
    if (auditor->orders[i].used)
      *probe(orders, capacity, auditor->orders[i].key) = auditor->orders[i];
  }
  free(auditor->orders);
  auditor->orders = orders;
  auditor->order_capacity = capacity;
}

static struct order *find_order(struct auditor *auditor, uint64_t key) {
  if (auditor->order_count * 2 >= auditor->order_capacity) grow_orders(auditor);
  struct order *order = probe(auditor->orders, auditor->order_capacity, key);
  if (!order->used) {
    *order = (struct order){.key = key, .offset = -1, .used = true};
    auditor->order_count++;
  }
  return order;
}

/* A filter reads a partition in order and writes in transactions, so its outputs from there appear
 * in the order of their causes, each once. What steps back was done twice; but for a command that
 * was sent later: it lies in a topic that was made again. */
static void check_order(struct auditor *auditor, const struct audit_event *event) {
  const struct message *record = event->record;
  int64_t cause[2], offset;
  struct str source = record->source;
  const char *slash = source.size ? memchr(source.data, '/', source.size) : NULL;
  if (!slash || !audit_parse_causation(record->causation, &cause[0], &offset)) return;
  size_t name = (size_t)(slash - source.data);
  int number = 0;
  for (size_t i = name + 1; i < source.size; i++) number = number * 10 + (source.data[i] - '0');
  cause[1] = (int64_t)event->topic << 32 | event->partition;
  bool of_command =
      str_equal((struct str){source.data, name}, str_of(audit_topics[AUDIT_COMMANDS].consumer));
  if (number == 0 && of_command) audit_command_effect(auditor, event, cause[0], offset);
  uint64_t key = XXH3_64bits_withSeed(cause, sizeof cause, XXH3_64bits(source.data, name));
  struct order *order = find_order(auditor, key);
  bool after = offset > order->offset || (offset == order->offset && number > order->number);
  after |= of_command && record->timestamp > order->time;
  if (!after && auditor->was_reset) {
    auditor->summary.repeats++;
  } else if (!after) {
    audit_report(auditor, RULE_REPEATED, record->correlation_id, event,
                 "%.*s wrote what %.*s caused again, after what offset %" PRId64 " caused",
                 (int)name, source.data, STR_ARGS(record->causation), order->offset);
  }
  order->offset = offset;
  order->number = number;
  if (record->value.data) order->time = record->timestamp; /* else its time is the entrance's */
}

/* ---- by topic ---- */

static void opened(struct facts *facts, const struct open_reservation *open) {
  facts->opens++;
  if (facts->opened) return;
  facts->opened = true;
  facts->content_hash = open->content_hash;
  facts->customer = XXH3_64bits(open->customer_id.data, open->customer_id.size);
}

static void held(struct facts *facts, const struct stock_held *answer) {
  if (!facts->opened || answer->content_hash != facts->content_hash) return;
  facts->payable = answer->payment != PAYMENT_DUE_NONE && answer->amount > 0;
  facts->by_customer = answer->payment == PAYMENT_DUE_BY_CUSTOMER;
  facts->amount = answer->amount;
}

static void settled(struct auditor *auditor, struct facts *facts, const struct audit_event *event,
                    const struct charge_settled *answer) {
  bool charge = answer->kind == CHARGE_KIND_CHARGE;
  ++*(charge ? &facts->charges_answered : &facts->refunds_answered);
  if (!answer->approved) return;
  int32_t *approved = charge ? &facts->charges_approved : &facts->refunds_approved;
  if (++*approved == 1) return;
  *approved = 1;
  if (auditor->was_reset) {
    auditor->summary.repeats++;
  } else {
    audit_report(auditor, RULE_CHARGED_TWICE, answer->reservation_id, event, "a second approved %s",
                 charge ? "charge" : "refund");
  }
}

static void ledger(struct auditor *auditor, const struct audit_event *event) {
  struct str reservation = reservation_of(auditor, event->value);
  struct facts facts = facts_of(auditor, reservation);
  const void *value = event->value.value;
  switch (event->value.type) {
    case RECORD_OPEN_RESERVATION:
      opened(&facts, value);
      audit_command_given(auditor, event, &facts);
      break;
    case RECORD_PAY:
    case RECORD_CANCEL: audit_command_given(auditor, event, &facts); break;
    case RECORD_STOCK_HELD: held(&facts, value); break;
    case RECORD_CHARGE_SETTLED:
      settled(auditor, &facts, event, value);
      audit_heard(auditor, event);
      break;
    case RECORD_CHARGE_DEFERRED:
      audit_heard(auditor, event);
      ++*(((const struct charge_deferred *)value)->kind == CHARGE_KIND_CHARGE
              ? &facts.charges_answered
              : &facts.refunds_answered);
      break;
    case RECORD_DEADLINE_PASSED: {
      const struct deadline_passed *passed = value;
      if (facts.deadline_passed[passed->kind] >= passed->due_at && auditor->was_reset) {
        auditor->summary.repeats++;
      } else if (facts.deadline_passed[passed->kind] >= passed->due_at) {
        audit_report(auditor, RULE_REPEATED, reservation, event, "its deadline %s fires again",
                     deadline_kind_enum.symbols[passed->kind]);
      } else {
        facts.deadline_passed[passed->kind] = passed->due_at;
      }
      break;
    }
    default: break;
  }
  keep_facts(auditor, reservation, &facts, event);
}

static uint32_t print_of(const struct status_changed *changed) {
  int64_t numbers[] = {changed->status, changed->reason, changed->amount, changed->hold,
                       changed->content_hash};
  return (uint32_t)XXH3_64bits(numbers, sizeof numbers) | 1;
}

/* False: this revision was seen before, or is not the next one. */
static bool next_revision(struct auditor *auditor, struct facts *facts, int32_t *last,
                          const struct audit_event *event, const struct status_changed *changed) {
  uint32_t print = print_of(changed), *known = NULL;
  if (changed->revision >= 0 && changed->revision < PRINTS_MAX)
    known = &facts->prints[changed->revision];
  if (known && *known && *known != print) {
    audit_report(auditor, RULE_REVISION, changed->reservation_id, event,
                 "revision %d says %s, and said otherwise before", (int)changed->revision,
                 status_enum.symbols[changed->status]);
  }
  if (known) *known = print;
  if (changed->revision == *last + 1) {
    *last = changed->revision;
    return true;
  }
  if (changed->revision <= *last && auditor->was_reset) {
    auditor->summary.repeats++;
    return false;
  }
  audit_report(auditor, RULE_REVISION, changed->reservation_id, event,
               "revision %d (%s) comes after revision %d", (int)changed->revision,
               status_enum.symbols[changed->status], (int)*last);
  if (changed->revision < *last) return false;
  *last = changed->revision;
  return true;
}

static void decided(struct auditor *auditor, const struct audit_event *event) {
  const struct status_changed *changed = event->value.value;
  struct facts facts = facts_of(auditor, changed->reservation_id);
  if (next_revision(auditor, &facts, &facts.revision, event, changed)) {
    facts.status = changed->status;
    facts.reason = changed->reason;
    bool takes_back = changed->status == STATUS_CANCELLED && facts.approved;
    if (audit_is_outcome(changed->status)) {
      facts.decided++;
      facts.settled_at = event->record->timestamp;
    }
    if (audit_is_outcome(changed->status) && !takes_back) facts.ends++;
    if (changed->status == STATUS_HELD) facts.held = true;
    if (changed->status == STATUS_APPROVED) facts.approved = true;
    if (facts.ends > 1) {
      audit_report(auditor, RULE_OUTCOME_TWICE, changed->reservation_id, event,
                   "%s is its outcome number %d", status_enum.symbols[changed->status],
                   (int)facts.ends);
    }
  }
  keep_facts(auditor, changed->reservation_id, &facts, event);
}

static void refused(struct auditor *auditor, const struct audit_event *event) {
  const struct command_refused *refused = event->value.value;
  auditor->summary.refused_commands++;
  if (!valid_id(refused->reservation_id)) return;
  struct facts facts = facts_of(auditor, refused->reservation_id);
  audit_command_refused(auditor, event, &facts);
  facts.too_old |= refused->refusal == REFUSAL_TOO_OLD;
  auditor->summary.refused_ids += refused->refusal == REFUSAL_ID_REUSED;
  keep_facts(auditor, refused->reservation_id, &facts, event);
}

static void results(struct auditor *auditor, const struct audit_event *event) {
  if (event->value.type == RECORD_STATUS_CHANGED) decided(auditor, event);
  if (event->value.type == RECORD_COMMAND_REFUSED) refused(auditor, event);
}

void audit_count_request(struct auditor *auditor, const struct audit_event *event) {
  struct str reservation = reservation_of(auditor, event->value);
  struct facts facts = facts_of(auditor, reservation);
  facts.hold_requests++;
  keep_facts(auditor, reservation, &facts, event);
}

static void told(struct auditor *auditor, const struct audit_event *event) {
  const struct reservation_outcome *outcome = event->value.value;
  struct facts facts = facts_of(auditor, outcome->reservation_id);
  if (outcome->revision > facts.told_last) {
    facts.told_last = outcome->revision;
    facts.outcomes++;
  } else if (auditor->was_reset) {
    auditor->summary.repeats++;
  } else {
    audit_report(auditor, RULE_OUTCOME_TWICE, outcome->reservation_id, event,
                 "its outcome %s (revision %d) was told before",
                 status_enum.symbols[outcome->status], (int)outcome->revision);
  }
  keep_facts(auditor, outcome->reservation_id, &facts, event);
}

static struct str view_key_of(struct auditor *auditor, struct str customer,
                              struct str reservation) {
  return audit_key(auditor, ROW_VIEW, (struct str[]){customer, reservation}, 2);
}

static void told_customer(struct auditor *auditor, const struct audit_event *event) {
  if (event->value.type != RECORD_STATUS_CHANGED) return;
  const struct status_changed *changed = event->value.value;
  struct view_facts view;
  struct str key = view_key_of(auditor, changed->customer_id, changed->reservation_id);
  audit_load(auditor, key, &view, sizeof view);
  if (!view.in_events || changed->revision > view.events_revision) {
    view.in_events = true;
    view.events_revision = changed->revision;
    view.events_status = changed->status;
    view.events_at = event->record->timestamp;
  }
  audit_save(auditor, key, &view, sizeof view);
  if (changed->revision == 0) return; /* as often as its Reserve was sent */
  struct facts facts = facts_of(auditor, changed->reservation_id);
  next_revision(auditor, &facts, &facts.events_revision, event, changed);
  keep_facts(auditor, changed->reservation_id, &facts, event);
}

static void viewed(struct auditor *auditor, const struct audit_event *event) {
  if (event->value.type != RECORD_RESERVATION_VIEW) return;
  const struct reservation_view *row = event->value.value;
  struct view_facts view;
  struct str key = view_key_of(auditor, row->customer_id, row->reservation_id);
  audit_load(auditor, key, &view, sizeof view);
  view.in_view = true;
  view.refused = row->refused;
  view.view_revision = row->revision;
  view.view_status = row->status;
  audit_save(auditor, key, &view, sizeof view);
}

static void charge_asked(struct auditor *auditor, const struct audit_event *event) {
  const struct request_charge *request = event->value.value;
  struct facts facts = facts_of(auditor, request->reservation_id);
  ++*(request->kind == CHARGE_KIND_CHARGE ? &facts.charges_asked : &facts.refunds_asked);
  keep_facts(auditor, request->reservation_id, &facts, event);
  audit_asked(auditor, event);
}

static void deadline_set(struct auditor *auditor, const struct audit_event *event) {
  struct str reservation = reservation_of(auditor, event->value);
  struct facts facts = facts_of(auditor, reservation);
  if (event->value.type == RECORD_SET_DEADLINE) {
    const struct set_deadline *set = event->value.value;
    facts.deadline_at[set->kind] = set->due_at;
  } else {
    memset(facts.deadline_at, 0, sizeof facts.deadline_at);
  }
  keep_facts(auditor, reservation, &facts, event);
}

static void level(struct auditor *auditor, const struct audit_event *event) {
  if (event->value.type != RECORD_STOCK_LEVEL) return;
  const struct stock_level *level = event->value.value;
  struct item_facts item;
  struct str key = audit_key(auditor, ROW_ITEM, &level->item_id, 1);
  audit_load(auditor, key, &item, sizeof item);
  item.level_seen = true;
  item.level_capacity = level->capacity;
  item.level_held = level->held;
  item.level_sold = level->sold;
  item.level_partition = event->partition;
  item.level_offset = event->record->offset;
  audit_save(auditor, key, &item, sizeof item);
}

/* ---- taking down ---- */

static void take_down(struct auditor *auditor, const struct audit_event *event) {
  switch (event->topic) {
    case AUDIT_COMMANDS:
    case AUDIT_DEAD_LETTERS: return; /* see look_at and auditor_read */
    case AUDIT_OPENINGS: audit_note_opening(auditor, event); return;
    case AUDIT_LEDGER: ledger(auditor, event); return;
    case AUDIT_STOCK: audit_stock(auditor, event); return;
    case AUDIT_RESULTS: results(auditor, event); return;
    case AUDIT_CHARGES: charge_asked(auditor, event); return;
    case AUDIT_DEADLINES: deadline_set(auditor, event); return;
    case AUDIT_OUTCOMES: told(auditor, event); return;
    case AUDIT_EVENTS: told_customer(auditor, event); return;
    case AUDIT_LEVELS: level(auditor, event); return;
    case AUDIT_HISTORY: viewed(auditor, event); return;
    case AUDIT_SOLD: audit_sold(auditor, event); return;
    case AUDIT_TALLIES: audit_tally(auditor, event); return;
    case AUDIT_STEPS: audit_to_tell(auditor, event); return;
    case AUDIT_NOTICES: audit_told(auditor, event); return;
    case AUDIT_TOPIC_COUNT: return;
  }
}

/* A client knows ids alone, and so does who tells the notices. */
static bool names_an_id(enum audit_topic topic) {
  return topic == AUDIT_COMMANDS || topic == AUDIT_DEAD_LETTERS || topic == AUDIT_OPENINGS ||
         topic == AUDIT_NOTICES;
}

/* Commands and dead letters may be anything; on all other topics a record that cannot be read is
 * damage. */
static bool decode(struct auditor *auditor, struct audit_event *event, bool blame) {
  char error[CODEC_ERROR_SIZE];
  if (!event->record->value.data && audit_topics[event->topic].table)
    return false; /* a tombstone */
  /* What is left of a dead letter may be a command by chance: the one that was sent was none. */
  bool whole = event->record->value.data && !event->record->whole_value.data;
  if (whole &&
      codec_decode(auditor->codec, event->record->value, &auditor->scratch, &event->value, error)) {
    if (!names_an_id(event->topic)) audit_name_opening(auditor, event);
    return true;
  }
  if (blame && event->topic != AUDIT_COMMANDS && event->topic != AUDIT_DEAD_LETTERS)
    audit_report(auditor, RULE_UNREADABLE, event->record->key, event, "%s",
                 event->record->fault        ? event->record->fault
                 : event->record->value.data ? error
                                             : "no value");
  return false;
}

static bool is_processed(const struct auditor *auditor, const struct audit_event *event) {
  return !audit_topics[event->topic].consumer ||
         event->record->offset < auditor->partitions[event->topic][event->partition].committed;
}

static void mark(struct auditor *auditor, const struct audit_event *event) {
  if (event->topic == AUDIT_SOLD) audit_mark_tally(auditor, event);
  if (event->topic == AUDIT_STEPS) audit_mark_customer(auditor, event);
  if (event->topic == AUDIT_CHARGES) audit_mark_charge(auditor, event);
  if (audit_topics[event->topic].again) return; /* the sale itself does not wait for these */
  struct str reservation = reservation_of(auditor, event->value),
             item = item_of(auditor, event->value);
  if (valid_id(reservation)) {
    struct facts facts = facts_of(auditor, reservation);
    facts.moving = auditor->round;
    audit_save(auditor, facts_key(auditor, reservation), &facts, sizeof facts);
  }
  if (event->topic == AUDIT_STOCK && item.size) {
    struct item_facts row;
    struct str key = audit_key(auditor, ROW_ITEM, &item, 1);
    audit_load(auditor, key, &row, sizeof row);
    row.moving = auditor->round;
    audit_save(auditor, key, &row, sizeof row);
  }
  if (event->topic == AUDIT_EVENTS && event->value.type == RECORD_STATUS_CHANGED) {
    const struct status_changed *changed = event->value.value;
    struct view_facts view;
    struct str key = view_key_of(auditor, changed->customer_id, changed->reservation_id);
    audit_load(auditor, key, &view, sizeof view);
    view.moving = auditor->round;
    audit_save(auditor, key, &view, sizeof view);
  }
}

void audit_after_record(struct auditor *auditor) {
  arena_reset(&auditor->scratch);
  if (auditor->staging.count >= FLUSH_CHANGES) audit_flush(auditor);
}

/* A refusal that names no command, or one that is not there, is somebody's of the reservation. */
static void told_refusal(struct auditor *auditor, const struct audit_event *event) {
  struct str reservation = reservation_of(auditor, event->value);
  if (audit_command_told(auditor, event) || !valid_id(reservation)) return;
  struct facts facts = facts_of(auditor, reservation);
  facts.unnamed_refusals++;
  audit_save(auditor, facts_key(auditor, reservation), &facts, sizeof facts);
}

/* What a record shows whether its consumer has read it or not. */
static void look_at(struct auditor *auditor, const struct audit_event *event, bool readable) {
  auditor->partitions[event->topic][event->partition].seen = event->record->offset + 1;
  /* The headers of a command are whatever its sender says. */
  bool ours = event->topic != AUDIT_COMMANDS;
  if (ours && !audit_topics[event->topic].again) check_order(auditor, event);
  if (readable && event->topic == AUDIT_LEDGER) audit_answer(auditor, event);
  if (readable && event->topic == AUDIT_EVENTS && event->value.type == RECORD_COMMAND_REFUSED)
    told_refusal(auditor, event);
}

static void take_command(struct auditor *auditor, const struct audit_event *event, bool readable) {
  if (event->record->timestamp > auditor->latest) auditor->latest = event->record->timestamp;
  audit_command_sent(auditor, event, readable);
}

void auditor_read(struct auditor *auditor, enum audit_topic topic, int32_t partition,
                  const struct message *record) {
  if (partition >= AUDIT_PARTITIONS_MAX) return;
  struct audit_event event = {.topic = topic, .partition = partition, .record = record};
  int64_t *position = &auditor->partitions[topic][partition].position;
  bool processed = is_processed(auditor, &event);
  if (record->offset < *position) return;
  bool first_sight = record->offset >= auditor->partitions[topic][partition].seen;
  bool readable = decode(auditor, &event, processed);
  if (first_sight) look_at(auditor, &event, readable);
  if (processed) {
    auditor->summary.records += !audit_topics[topic].again;
    auditor->summary.dead_letters += topic == AUDIT_DEAD_LETTERS;
    if (topic == AUDIT_COMMANDS) take_command(auditor, &event, readable);
    if (readable) take_down(auditor, &event);
    *position = record->offset + 1;
  } else if (readable) {
    mark(auditor, &event);
  }
  audit_after_record(auditor);
}

void auditor_mark(struct auditor *auditor, enum audit_topic topic, int32_t partition,
                  const struct message *record) {
  if (partition >= AUDIT_PARTITIONS_MAX) return;
  struct audit_event event = {.topic = topic, .partition = partition, .record = record};
  if (is_processed(auditor, &event)) return;
  if (decode(auditor, &event, false)) mark(auditor, &event);
  audit_after_record(auditor);
}

/* ---- rounds ---- */

struct auditor *auditor_new(struct store *store,
                            void (*report)(void *, const struct audit_violation *), void *user) {
  struct auditor *auditor = xcalloc(1, sizeof *auditor);
  auditor->store = store;
  auditor->codec = codec_new(&holdfast_schemas);
  auditor->report = report;
  auditor->user = user;
  return auditor;
}

void auditor_free(struct auditor *auditor) {
  if (!auditor) return;
  staging_free(&auditor->staging);
  arena_free(&auditor->arena);
  arena_free(&auditor->scratch);
  codec_free(auditor->codec);
  free(auditor->orders);
  free(auditor);
}

void auditor_begin(struct auditor *auditor, int64_t now) {
  auditor->now = now;
  auditor->round++;
}

void auditor_committed(struct auditor *auditor, enum audit_topic topic, int32_t partition,
                       int64_t offset, int64_t epoch) {
  if (partition >= AUDIT_PARTITIONS_MAX) return;
  auditor->partitions[topic][partition].committed = offset;
  if (epoch > 1) auditor->was_reset = true;
}

int64_t auditor_position(const struct auditor *auditor, enum audit_topic topic, int32_t partition) {
  return partition < AUDIT_PARTITIONS_MAX ? auditor->partitions[topic][partition].position : 0;
}

void auditor_read_anew(struct auditor *auditor, enum audit_topic topic, int32_t partition) {
  if (partition >= AUDIT_PARTITIONS_MAX) return;
  auditor->partitions[topic][partition].position = 0;
  auditor->partitions[topic][partition].seen = 0;
}
