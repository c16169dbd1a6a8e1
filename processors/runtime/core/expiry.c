#include "runtime/core/expiry.h"

#include <inttypes.h>

#include "runtime/core/internal.h"

#define SWEEP_MAX 4                       /* at each decision: more than one can add */
#define TIME_MAX INT64_C(253402300799999) /* the end of the year 9999: no time lies past it */

const struct row_kind expiry_rows[] = {
    [EXPIRY_ROW_STATE] = {.name = "expiry", .prefix = 'X', .type = RECORD_EXPIRY, .key = "-"},
    [EXPIRY_ROW_PAGE] = {.name = "expiry page",
                         .prefix = 'Y',
                         .type = RECORD_EXPIRY_PAGE,
                         .key = "number"},
    {0}};

static int64_t latest(const void *row) {
  return ((const struct expiry *)row)->latest;
}

static int64_t doubts(const void *row) {
  return ((const struct expiry *)row)->doubts;
}

static int64_t too_old(const void *row) {
  return ((const struct expiry *)row)->too_old;
}

const struct gauge expiry_gauges[] = {
    {.name = "partition_time_ms",
     .help = "The partition's time: of its openings, as believed. Milliseconds since 1970; 0: none "
             "yet.",
     .row = EXPIRY_ROW_STATE,
     .key = "-",
     .value = latest},
    {.name = "doubted_openings",
     .help = "Openings in a row that are more than a day ahead of the partition's time, and not "
             "believed yet.",
     .row = EXPIRY_ROW_STATE,
     .key = "-",
     .value = doubts},
    {.name = "too_old_records",
     .help = "Records so far that were refused, put off or passed over, as older than the window "
             "that is remembered.",
     .row = EXPIRY_ROW_STATE,
     .key = "-",
     .value = too_old},
    {0}};

bool expiry_is_used(const struct processor *processor) {
  for (const struct row_kind *kind = processor->rows; kind && kind->name; kind++) {
    if (kind->settled_field.is) return true;
  }
  return false;
}

static const struct row_kind *const state_kind = &expiry_rows[EXPIRY_ROW_STATE],
                                    *const page_kind = &expiry_rows[EXPIRY_ROW_PAGE];

static struct str page_key(const struct expiry_turn *turn, int64_t number) {
  struct str text = scratch_hex(turn->context, (uint64_t)(number / EXPIRY_PAGE_ENTRIES));
  return row_key(turn->context, page_kind, &text, 1);
}

static struct str state_key(struct context *context) {
  return row_key(context, state_kind, &STR("-"), 1);
}

/* ---- the partition's time ---- */

static void see_opening(struct expiry_turn *turn, int64_t time);

static void forget_doubts(struct expiry_turn *turn) {
  turn->changed |= turn->row.doubts != 0;
  turn->row.doubts = turn->row.doubted = turn->row.doubted_from = 0;
}

static void believe(struct expiry_turn *turn, int64_t time) {
  if (time >= turn->row.latest - EXPIRY_STEP_MS) forget_doubts(turn); /* this one is no repeat */
  if (time <= turn->row.latest) return;
  turn->row.latest = time;
  turn->changed = true;
}

/* An opening cannot be ahead of a partition that has seen nothing yet. */
static void tell_doubt(const struct expiry_turn *turn, int64_t time) {
  if (!turn->row.latest) return;
  warn(turn->context,
       "an opening is %" PRId64
       " days ahead of the partition's time, and not believed by itself: is a clock wrong, or was "
       "the partition quiet? 'holdfast clock' shows it",
       (time - turn->row.latest) / (INT64_C(86400) * 1000));
}

/* The time that the doubts agree on follows them as the partition's time would, in steps of at most
 * a day; a doubt that is lower begins it anew, so that of several clocks the lowest counts. A doubt
 * that is not later than it says nothing new: a filter that was reset says its openings again. */
static void doubt(struct expiry_turn *turn, int64_t time) {
  struct expiry *row = &turn->row;
  if (row->doubts == 0) tell_doubt(turn, time);
  if (row->doubts == 0 || time < row->doubted - EXPIRY_STEP_MS) {
    row->doubts = 0;
    row->doubted = row->doubted_from = time;
  } else if (time <= row->doubted) {
    return;
  } else if (time - row->doubted <= EXPIRY_STEP_MS) {
    row->doubted = time;
  }
  row->doubts++;
  turn->changed = true;
  if (row->doubts < EXPIRY_DOUBTS || time - row->doubted_from < EXPIRY_PROOF_MS) return;
  row->latest = row->doubted;
  forget_doubts(turn);
  see_opening(turn, time);
}

static void see_opening(struct expiry_turn *turn, int64_t time) {
  if (time <= 0 || time > TIME_MAX) return;
  bool is_step = time - turn->row.latest > EXPIRY_STEP_MS && !MUTANT("one-step-is-believed");
  if (is_step) {
    doubt(turn, time);
  } else {
    believe(turn, time);
  }
}

/* Before anything is believed, what was said so far is the best guess. */
static int64_t present(const struct expiry *row) {
  return row->latest ? row->latest : row->doubted;
}

/* ---- what is too old ---- */

static bool is_past(const struct expiry_turn *turn, int64_t time, int64_t by) {
  return time < turn->row.latest - by;
}

static bool has_gone(const struct expiry_turn *turn, int64_t time) {
  return is_past(turn, time, EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS);
}

static bool count_too_old(struct expiry_turn *turn, bool too_old) {
  if (!too_old) return false;
  turn->row.too_old++;
  turn->changed = true;
  warn(turn->context,
       "a record is older than the window that is remembered, by the partition's time: a reset "
       "says it again, "
       "or a clock was wrong; 'holdfast clock' shows it");
  return true;
}

void expiry_missed(struct context *context) {
  count_too_old(&context->expiry, true);
}

bool expiry_is_old(struct context *context, int64_t time) {
  struct expiry_turn *turn = &context->expiry;
  return count_too_old(turn, is_past(turn, time, EXPIRY_WINDOW_MS));
}

bool expiry_has_gone(struct context *context, int64_t time, int64_t opened_at) {
  struct expiry_turn *turn = &context->expiry;
  return count_too_old(turn, has_gone(turn, time > opened_at ? time : opened_at));
}

/* ---- an id that is used again ---- */

static bool is_after(int64_t settled_at, int64_t opened_at, int64_t by) {
  if (MUTANT("id-stays-taken")) return false;
  return settled_at != 0 && opened_at - by > settled_at;
}

bool expiry_may_be_another(int64_t settled_at, int64_t opened_at) {
  return is_after(settled_at, opened_at, EXPIRY_WINDOW_MS - EXPIRY_SLACK_MS);
}

bool expiry_is_another(int64_t settled_at, int64_t opened_at) {
  return is_after(settled_at, opened_at, EXPIRY_WINDOW_MS);
}

bool expiry_is_free(const struct context *context, int64_t settled_at, int64_t opened_at) {
  return is_after(settled_at, opened_at, EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS) &&
         opened_at <= context->expiry.row.latest;
}

int64_t expiry_step_time(int64_t at, int64_t opened_at) {
  return at > opened_at ? at : opened_at;
}

/* ---- the queue ---- */

static void put_last(struct expiry_turn *turn, struct expiry_entry entry) {
  struct str key = page_key(turn, turn->row.tail);
  const struct expiry_page *known = row_get(turn->context, page_kind, key);
  size_t count = known ? known->entries.count : 0;
  struct expiry_entry *entries = scratch(turn->context, (count + 1) * sizeof *entries);
  if (count) memcpy(entries, known->entries.items, count * sizeof *entries);
  entries[count] = entry;
  const struct expiry_page page = {.entries = {count + 1, entries}};
  row_put(turn->context, page_kind, key, &page);
  turn->row.tail++;
  turn->changed = true;
}

void expiry_settle(struct context *context, struct str row_key, int64_t before,
                   int64_t *settled_at) {
  struct expiry_turn *turn = &context->expiry;
  int64_t now = present(&turn->row);
  if (*settled_at == 0 || *settled_at == before) return;
  if (*settled_at < now) *settled_at = now;
  if (*settled_at == before) return; /* it is in the queue already */
  if (MUTANT("settled-row-stays") && turn->row.tail % 7 == 6) return;
  put_last(turn, (struct expiry_entry){row_key, *settled_at, now});
}

/* The page of the first entry is deleted with its last one. */
static const struct expiry_entry *first(const struct expiry_turn *turn) {
  if (turn->row.head == turn->row.tail) return NULL;
  const struct expiry_page *page =
      row_get(turn->context, page_kind, page_key(turn, turn->row.head));
  return &page->entries.items[turn->row.head % EXPIRY_PAGE_ENTRIES];
}

static void drop_first(struct expiry_turn *turn) {
  int64_t number = turn->row.head++;
  if (turn->row.head % EXPIRY_PAGE_ENTRIES == 0)
    row_delete(turn->context, page_kind, page_key(turn, number));
  turn->changed = true;
}

enum fate { STAYS, WAITS_AGAIN, GOES };

/* Entries are noted in the order of the partition's time: so if the first one stays, all others do,
 * whatever clock their steps had. A step's own time only keeps its row longer, where the
 * partition's time had lagged; one that lies in the future even now was of a wrong clock. It keeps
 * its row for one slack more, as others may have taken it for later than it was. */
static enum fate fate_of(const struct expiry_turn *turn, const struct expiry_entry *entry) {
  int64_t latest = turn->row.latest, noted = entry->noted ? entry->noted : entry->at;
  if (MUTANT("rows-go-at-once")) return GOES;
  if (!latest) return STAYS;
  if (noted > latest) return WAITS_AGAIN; /* the partition's time was set back since */
  if (!has_gone(turn, noted)) return STAYS;
  if (entry->at > latest)
    return is_past(turn, noted, EXPIRY_WINDOW_MS + 2 * EXPIRY_SLACK_MS) ? GOES : STAYS;
  return has_gone(turn, entry->at) ? GOES : WAITS_AGAIN;
}

/* As if it were noted now; or when its step was, where the partition's time has come there
 * since. */
static void put_again(struct expiry_turn *turn, struct expiry_entry entry) {
  int64_t latest = turn->row.latest;
  entry.noted = entry.noted <= latest && entry.at <= latest ? entry.at : latest;
  put_last(turn, entry);
}

/* If that step was its last. */
static void take_leave(struct context *context, const struct expiry_entry *entry) {
  struct str key = entry->key;
  const struct row_kind *kind = row_kind_of(context->runtime->processor, key);
  const void *row = kind && kind->settled_field.is ? row_get(context, kind, key) : NULL;
  if (!row || row_settled_at(kind, row) != entry->at) return;
  if (kind->leave && !kind->leave(context, row)) return;
  row_delete(context, kind, key);
}

static void sweep(struct expiry_turn *turn) {
  for (int i = 0; i < SWEEP_MAX; i++) {
    const struct expiry_entry *entry = first(turn);
    enum fate fate = entry ? fate_of(turn, entry) : STAYS;
    if (fate == STAYS) break;
    if (fate == WAITS_AGAIN) {
      put_again(turn, *entry);
    } else {
      take_leave(turn->context, entry);
    }
    drop_first(turn);
  }
}

/* ---- around a decision ---- */

void expiry_begin(struct context *context, const struct event *event) {
  const struct processor *processor = context->runtime->processor;
  const struct expiry *known = row_get(context, state_kind, state_key(context));
  context->expiry = (struct expiry_turn){.context = context};
  if (known) context->expiry.row = *known;
  if (event->source == EVENT_RECORD) see_opening(&context->expiry, processor->opening(event));
}

void expiry_end(struct context *context) {
  struct expiry_turn *turn = &context->expiry;
  sweep(turn);
  if (turn->changed) row_put(context, state_kind, state_key(context), &turn->row);
}
