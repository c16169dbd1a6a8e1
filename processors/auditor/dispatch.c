/* A round: each record goes to the files that need it. A record is taken down once its consumer has
 * processed it; until then what it is about is marked as moving. */
#include <stdlib.h>

#include "auditor/internal.h"

static void take_down(struct auditor *auditor, const struct audit_event *event) {
  switch (event->topic) {
    case AUDIT_COMMANDS:
    case AUDIT_DEAD_LETTERS: return; /* see look_at and auditor_read */
    case AUDIT_OPENINGS: audit_note_opening(auditor, event); return;
    case AUDIT_LEDGER: audit_given(auditor, event); return;
    case AUDIT_STOCK:
      if (event->value.type == RECORD_REQUEST_HOLD) audit_hold_asked(auditor, event);
      audit_stock(auditor, event);
      return;
    case AUDIT_RESULTS: audit_decided(auditor, event); return;
    case AUDIT_CHARGES: audit_charge_asked(auditor, event); return;
    case AUDIT_DEADLINES: audit_deadline_set(auditor, event); return;
    case AUDIT_OUTCOMES: audit_outcome_told(auditor, event); return;
    case AUDIT_EVENTS:
      audit_to_view(auditor, event);
      audit_step_told(auditor, event);
      return;
    case AUDIT_LEVELS: audit_level(auditor, event); return;
    case AUDIT_HISTORY: audit_viewed(auditor, event); return;
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
  /* The rest of a cut dead letter may be a command by chance: the record that was sent was none. */
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
  struct str reservation = audit_reservation_of(auditor, event);
  if (audit_valid_id(reservation)) audit_mark_reservation(auditor, reservation);
  if (event->topic == AUDIT_STOCK) audit_mark_item(auditor, event);
  if (event->topic == AUDIT_EVENTS) audit_mark_view(auditor, event);
}

/* A record shows this whether its consumer has read it or not. */
static void look_at(struct auditor *auditor, const struct audit_event *event, bool readable) {
  auditor->partitions[event->topic][event->partition].seen = event->record->offset + 1;
  /* The headers of a command are whatever its sender says. */
  bool ours = event->topic != AUDIT_COMMANDS;
  if (ours && !audit_topics[event->topic].again) audit_check_order(auditor, event);
  if (readable && event->topic == AUDIT_LEDGER) audit_answer(auditor, event);
  if (readable && event->topic == AUDIT_EVENTS && event->value.type == RECORD_COMMAND_REFUSED)
    audit_refusal_told(auditor, event);
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
