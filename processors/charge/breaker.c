#include "breaker.h"

#include <xxhash.h>

#include "back_off.h"
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

static void change(struct context *context, const struct breaker *before,
                   const struct breaker *after) {
  put(context, after);
  const struct breaker_changed changed = {
      .breaker = STR(BREAKER_NAME),
      .from = before->state,
      .to = after->state,
      .calls = before->calls,
      .bad = before->state == BREAKER_STATE_HALF_OPEN
                 ? before->calls - before->good
                 : __builtin_popcountll((unsigned long long)before->bad),
      .next_at = after->state == BREAKER_STATE_OPEN ? after->due_at : 0};
  emit(context, TO_BREAKER_EVENTS, changed.breaker, RECORD_BREAKER_CHANGED, &changed);
}

static void open_it(struct context *context, const struct breaker *row, int64_t now) {
  const int32_t openings = row->openings + 1;
  const int64_t wait = back_off(BREAKER_OPEN_MS, BREAKER_OPEN_MS_MAX, openings);
  const struct breaker opened = {
      .state = BREAKER_STATE_OPEN, .openings = openings, .due_at = now + wait};
  change(context, row, &opened);
}

bool breaker_permits(struct context *context, struct str key, int64_t now, int64_t *retry_at) {
  struct breaker row = get(context);
  if (row.state == BREAKER_STATE_CLOSED) return true;
  if (row.state == BREAKER_STATE_HALF_OPEN && row.calls < BREAKER_PROBES) {
    row.calls++;
    row.due_at = now + CALL_LIMIT_MS;
    put(context, &row);
    return true;
  }
  int64_t spread = (int64_t)(XXH3_64bits(key.data, key.size) % BREAKER_SPREAD_MS);
  int64_t from = row.state == BREAKER_STATE_OPEN && row.due_at > now ? row.due_at : now + 1000;
  *retry_at = from + spread;
  return false;
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
    change(context, row, &(struct breaker){.state = BREAKER_STATE_CLOSED});
  } else {
    put(context, row);
  }
}

void breaker_took(struct context *context, int64_t now, bool good) {
  struct breaker row = get(context);
  switch (row.state) {
    case BREAKER_STATE_CLOSED: count_in_window(context, &row, now, good); return;
    case BREAKER_STATE_HALF_OPEN: count_probe(context, &row, now, good); return;
    case BREAKER_STATE_OPEN: return; /* a call of before */
  }
}

void breaker_due(struct context *context, const struct breaker *row) {
  struct breaker half_open = {.state = BREAKER_STATE_HALF_OPEN, .openings = row->openings};
  if (row->state == BREAKER_STATE_OPEN) {
    change(context, row, &half_open);
  } else { /* probes whose process died: others are let through */
    put(context, &half_open);
  }
}
