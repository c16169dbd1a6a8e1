/* Due times become records: the deciding filters have no clock. */
#include "deadline.h"

static struct str key_of(struct context *context, struct str reservation_id,
                         enum deadline_kind kind) {
  struct str parts[] = {reservation_id, str_of(deadline_kind_enum.symbols[kind])};
  return row_key(context, &deadline_rows[ROW_DEADLINE], parts, 2);
}

static void set(struct context *context, const struct event *event) {
  const struct set_deadline *set = as_set_deadline(event);
  const struct deadline row = {.reservation_id = set->reservation_id,
                               .kind = set->kind,
                               .due_at = set->due_at,
                               .traceparent = event->traceparent,
                               .correlation_id = event->correlation_id};
  row_put(context, &deadline_rows[ROW_DEADLINE], key_of(context, set->reservation_id, set->kind),
          &row);
}

static void clear(struct context *context, const struct clear_deadlines *clear) {
  for (int kind = 0; kind < DEADLINE_KIND_COUNT; kind++) {
    struct str key = key_of(context, clear->reservation_id, (enum deadline_kind)kind);
    if (row_get(context, &deadline_rows[ROW_DEADLINE], key))
      row_delete(context, &deadline_rows[ROW_DEADLINE], key);
  }
}

static void fire(struct context *context, const struct event *event) {
  const struct deadline *row = as_deadline(event);
  const struct deadline_passed passed = {
      .reservation_id = row->reservation_id, .kind = row->kind, .due_at = row->due_at};
  emit(context, TO_PAYMENT_REQUESTS, row->reservation_id, RECORD_DEADLINE_PASSED, &passed);
  row_delete(context, &deadline_rows[ROW_DEADLINE], event->key);
}

void deadline_prefetch(struct context *context, const struct event *event) {
  if (event->type != RECORD_CLEAR_DEADLINES) return;
  const struct clear_deadlines *clear = as_clear_deadlines(event);
  for (int kind = 0; kind < DEADLINE_KIND_COUNT; kind++)
    row_want(context, key_of(context, clear->reservation_id, (enum deadline_kind)kind));
}

void deadline_decide(struct context *context, const struct event *event) {
  if (event->source == EVENT_DUE) {
    fire(context, event);
  } else if (event->type == RECORD_SET_DEADLINE) {
    set(context, event);
  } else {
    clear(context, as_clear_deadlines(event));
  }
}
