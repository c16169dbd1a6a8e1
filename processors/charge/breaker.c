#include "breaker.h"

#include <xxhash.h>

#include "runtime/contract/back_off.h"
#include "charge.h"

static struct str key_of(struct context *context) {
  return row_key(context, &charge_rows[ROW_BREAKER], &STR(BREAKER_NAME), 1);
}

static struct breaker get(struct context *context) {
  const struct breaker *row = row_get(context, &charge_rows[ROW_BREAKER], key_of(context));
  return row ? *row : (struct breaker){.state = BREAKER_STATE_CLOSED};
}

static void put(struct context *context, const struct breaker *row) {
  row_put(context, &charge_rows[ROW_BREAKER], key_of(context), row);
}

/* The breaker in another state, which is another phase: the counts of the former are forgotten. */
static void change(struct context *context, struct breaker *row, enum breaker_state state,
                   int64_t due_at) {
  const struct breaker before = *row;
  *row = (struct breaker){.state = state,
                          .openings = state == BREAKER_STATE_CLOSED ? 0 : before.openings,
                          .due_at = due_at,
                          .phase = before.phase + 1,
                          .held_until = before.held_until};
  if (state == BREAKER_STATE_OPEN) row->openings++;
  put(context, row);
  if (before.state == state) return; /* others are tried for probes without an answer */
  const struct breaker_changed changed = {
      .breaker = STR(BREAKER_NAME),
      .from = before.state,
      .to = state,
      .calls = before.calls,
      .bad = before.state == BREAKER_STATE_HALF_OPEN
                 ? before.calls - before.good
                 : __builtin_popcountll((unsigned long long)before.bad),
      .next_at = due_at};
  emit(context, TO_BREAKER_EVENTS, changed.breaker, RECORD_BREAKER_CHANGED, &changed);
}

static void open_it(struct context *context, struct breaker *row, int64_t now) {
  const int64_t wait = back_off(BREAKER_OPEN_MS, BREAKER_OPEN_MS_MAX, row->openings + 1);
  change(context, row, BREAKER_STATE_OPEN, now + wait);
}

/* A time that lies further away than the longest wait was set by a clock that was wrong. The
 * runtime's rule (due_within_ms) is no help here: it is of all rows, so it lets a clock be eleven
 * minutes ahead, for which this breaker would hold back every call; and it only brings the row,
 * whose time is looked at here. */
static bool has_passed(int64_t due_at, int64_t now) {
  return due_at && (due_at <= now || due_at > now + BREAKER_OPEN_MS_MAX);
}

/* OPEN has waited, or HALF_OPEN has probes whose process died. */
static void wake(struct context *context, struct breaker *row, int64_t now) {
  if (row->state != BREAKER_STATE_CLOSED && has_passed(row->due_at, now))
    change(context, row, BREAKER_STATE_HALF_OPEN, 0);
}

/* Each that waits gets a millisecond of its own, behind all that wait already: however many they
 * are, they come back evenly. After the longest queue, or a clock that was wrong, it begins
 * anew. */
static int64_t queue(struct breaker *row, int64_t earliest, int64_t now) {
  int64_t next = row->held_until + 1;
  if (next < earliest || next > now + BREAKER_QUEUE_MS_MAX) next = earliest;
  return row->held_until = next;
}

bool breaker_holds_back(struct context *context, int64_t now, int64_t *retry_at) {
  struct breaker row = get(context);
  wake(context, &row, now);
  bool probes_are_out = row.state == BREAKER_STATE_HALF_OPEN && row.calls >= BREAKER_PROBES;
  if (row.state != BREAKER_STATE_OPEN && !probes_are_out) return false;
  *retry_at = queue(&row, probes_are_out ? now + BREAKER_PROBE_WAIT_MS : row.due_at, now);
  put(context, &row);
  return true;
}

int64_t breaker_begins(struct context *context, int64_t now) {
  struct breaker row = get(context);
  if (row.state == BREAKER_STATE_HALF_OPEN) {
    row.calls++;
    row.due_at = now + CALL_LIMIT_MS;
    put(context, &row);
  }
  return row.phase;
}

static void count_in_window(struct context *context, struct breaker *row, int64_t now, bool good) {
  const int64_t window = (INT64_C(1) << BREAKER_WINDOW) - 1;
  row->bad = (row->bad << 1 | !good) & window;
  if (row->calls < BREAKER_WINDOW) row->calls++;
  int bad = __builtin_popcountll((unsigned long long)row->bad);
  if (row->calls >= BREAKER_CALLS_MIN && bad * 100 >= BREAKER_BAD_PERCENT * row->calls) {
    open_it(context, row, now);
  } else {
    put(context, row);
  }
}

static void count_probe(struct context *context, struct breaker *row, int64_t now, bool good) {
  if (!good) {
    open_it(context, row, now);
  } else if (++row->good >= BREAKER_PROBES) {
    change(context, row, BREAKER_STATE_CLOSED, 0);
  } else {
    put(context, row);
  }
}

void breaker_took(struct context *context, int64_t phase, int64_t now, bool good) {
  struct breaker row = get(context);
  if (phase != row.phase) return; /* a call of before says nothing of the provider as it is now */
  switch (row.state) {
    case BREAKER_STATE_CLOSED: count_in_window(context, &row, now, good); return;
    case BREAKER_STATE_HALF_OPEN: count_probe(context, &row, now, good); return;
    case BREAKER_STATE_OPEN: return; /* in this phase no call is made */
  }
}

void breaker_due(struct context *context, int64_t now) {
  struct breaker row = get(context);
  wake(context, &row, now);
}

static int64_t breaker_state(const void *row) {
  return ((const struct breaker *)row)->state;
}

const struct gauge breaker_gauges[] = {
    {.name = "breaker_state",
     .help = "Of the breaker before the provider: 0 closed, 1 open, 2 half-open.",
     .row = ROW_BREAKER,
     .key = BREAKER_NAME,
     .value = breaker_state},
    {0}};
