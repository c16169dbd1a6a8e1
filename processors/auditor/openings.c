/* Several reservations of one id: finds the one that a record is about. An id may be used again
 * once its reservation is forgotten: each opening is a reservation of its own. The first is known
 * by the id, a later one by the id, a tab, and its number; no id has a tab. */
#include <stdlib.h>

#include "auditor/internal.h"
#include "runtime/contract/expiry.h"

#define OPENINGS_MAX 32 /* of an id; one more is taken for the last of them */

struct openings { /* in the order of their times */
  int64_t at[OPENINGS_MAX];
};

static struct str key_of(struct auditor *auditor, struct str id) {
  return audit_key(auditor, ROW_OPENINGS, &id, 1);
}

static size_t load(struct auditor *auditor, struct str id, struct openings *openings) {
  return audit_load(auditor, key_of(auditor, id), openings, sizeof *openings) / sizeof(int64_t);
}

/* One that comes within the window of the one before is none: its reservation was forgotten too
 * early, and what came of that is held against it. */
void audit_note_opening(struct auditor *auditor, const struct audit_event *event) {
  if (event->value.type != RECORD_STATUS_CHANGED) return;
  const struct status_changed *changed = event->value.value;
  struct openings openings;
  size_t count = load(auditor, changed->reservation_id, &openings);
  if (!changed->opened_at || count == OPENINGS_MAX) return;
  if (count && changed->opened_at <= openings.at[count - 1] + EXPIRY_WINDOW_MS) return;
  openings.at[count] = changed->opened_at;
  audit_save(auditor, key_of(auditor, changed->reservation_id), &openings,
             (count + 1) * sizeof(int64_t));
}

int64_t audit_hold_time(int64_t time) {
  return time + EXPIRY_SLACK_MS;
}

/* A time at which its opening was the last one. */
static int64_t time_of(const struct audit_event *event) {
  const void *value = event->value.value;
  int64_t time = 0;
  switch (event->value.type) {
    case RECORD_STATUS_CHANGED: time = ((const struct status_changed *)value)->opened_at; break;
    case RECORD_RESERVATION_OUTCOME:
      time = ((const struct reservation_outcome *)value)->opened_at;
      break;
    case RECORD_REQUEST_CHARGE: time = ((const struct request_charge *)value)->opened_at; break;
    case RECORD_DEADLINE_PASSED: time = ((const struct deadline_passed *)value)->due_at; break;
    case RECORD_STOCK_HELD:
    case RECORD_STOCK_REFUSED:
    case RECORD_CONFIRM_HOLD:
    case RECORD_RELEASE_HOLD:
    case RECORD_SET_DEADLINE:
    case RECORD_CLEAR_DEADLINES: return audit_hold_time(event->record->timestamp);
    case RECORD_CHARGE_SETTLED:
    /* A host's clock may lag; nothing of the one before comes so late */
    case RECORD_CHARGE_DEFERRED: time = event->record->timestamp + EXPIRY_WINDOW_MS; break;
    case RECORD_RESERVATION_VIEW: {
      const struct reservation_view *view = value;
      if (view->timeline.count)
        time = audit_hold_time(view->timeline.items[view->timeline.count - 1].at);
      break;
    }
    default: break;
  }
  return time ? time : event->record->timestamp;
}

struct str audit_opening_at(struct auditor *auditor, struct str id, int64_t time) {
  struct openings openings;
  size_t count = load(auditor, id, &openings), number = 1;
  while (number < count && openings.at[number] <= time) number++;
  if (count < 2 || number == 1) return id;
  return arena_format(&auditor->scratch, "%.*s\t%d", STR_ARGS(id), (int)number);
}

void audit_name_opening(struct auditor *auditor, struct audit_event *event) {
  const struct field *field = schema_field(
      codec_schemas(auditor->codec)->records[event->value.type], STR("reservation_id"));
  if (!field) return;
  struct str *id = (struct str *)((char *)(uintptr_t)event->value.value + field->offset);
  *id = audit_opening_at(auditor, *id, time_of(event));
}

struct str audit_id_of(struct str reservation) {
  const char *tab = reservation.size ? memchr(reservation.data, '\t', reservation.size) : NULL;
  return tab ? (struct str){reservation.data, (size_t)(tab - reservation.data)} : reservation;
}

bool audit_was_opened_again(struct auditor *auditor, struct str reservation) {
  struct openings openings;
  struct str id = audit_id_of(reservation);
  size_t number = 1;
  if (id.size < reservation.size) number = (size_t)atoi(id.data + id.size + 1);
  return load(auditor, id, &openings) > number;
}
