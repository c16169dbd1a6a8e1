#include "runtime/contract/expiry.h"

#include <inttypes.h>

#include "runtime/base/mutant.h"

#define SWEEP_MAX 4                       /* at each decision: more than one can add */
#define TIME_MAX INT64_C(253402300799999) /* the end of the year 9999: no time lies past it */

int64_t expiry_time(const void *row) {
  return ((const struct expiry *)row)->latest;
}

int64_t expiry_doubted(const void *row) {
  return ((const struct expiry *)row)->doubts;
}

int64_t expiry_too_old(const void *row) {
  return ((const struct expiry *)row)->too_old;
}

const struct gauge expiry_gauges[] = {EXPIRY_GAUGES, {0}};

static struct str page_key(const struct expiry_turn *turn, int64_t number) {
  struct str text = scratch_hex(turn->context, (uint64_t)(number / EXPIRY_PAGE_ENTRIES));
  return row_key(turn->context, turn->page, &text, 1);
}

static struct str state_key(const struct expiry_turn *turn) {
  return row_key(turn->context, turn->state, &STR("-"), 1);
}

void expiry_begin(struct expiry_turn *turn, struct context *context, const struct row_kind *rows) {
  *turn = (struct expiry_turn){
      .context = context, .state = &rows[EXPIRY_ROW_STATE], .page = &rows[EXPIRY_ROW_PAGE]};
  const struct expiry *known = row_get(context, turn->state, state_key(turn));
  if (known) turn->row = *known;
}

/* ---- the partition's time ---- */

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

/* A partition that has seen nothing yet has no time to be ahead of: that is no news. */
static void tell_doubt(const struct expiry_turn *turn, int64_t time) {
  if (!turn->row.latest) return;
  warn(turn->context,
       "an opening is %" PRId64
       " days ahead of the partition's time, and not believed by itself: is a clock wrong, or was "
       "the partition quiet? 'holdfast clock' shows it",
       (time - turn->row.latest) / (INT64_C(86400) * 1000));
}

/* What they agree on follows them as the partition's time would, in steps of at most a day; and one
 * that is lower begins it anew, so that of several clocks the lowest counts. One that is not later
 * than what they agree on says nothing new: a filter that was reset says its openings again. */
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
  expiry_see(turn, time);
}

void expiry_see(struct expiry_turn *turn, int64_t time) {
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
       "a record is older than what is remembered, by the partition's time: a reset says it again, "
       "or a clock was wrong; 'holdfast clock' shows it");
  return true;
}

void expiry_missed(struct expiry_turn *turn) {
  count_too_old(turn, true);
}

bool expiry_is_old(struct expiry_turn *turn, int64_t time) {
  return count_too_old(turn, is_past(turn, time, EXPIRY_WINDOW_MS));
}

bool expiry_has_gone(struct expiry_turn *turn, int64_t time, int64_t opened_at) {
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

bool expiry_is_free(const struct expiry_turn *turn, int64_t settled_at, int64_t opened_at) {
  return is_after(settled_at, opened_at, EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS) &&
         opened_at <= turn->row.latest;
}

int64_t expiry_step_time(int64_t at, int64_t opened_at) {
  return at > opened_at ? at : opened_at;
}

/* ---- the queue ---- */

static void put_last(struct expiry_turn *turn, struct expiry_entry entry) {
  struct str key = page_key(turn, turn->row.tail);
  const struct expiry_page *known = row_get(turn->context, turn->page, key);
  size_t count = known ? known->entries.count : 0;
  struct expiry_entry *entries = scratch(turn->context, (count + 1) * sizeof *entries);
  if (count) memcpy(entries, known->entries.items, count * sizeof *entries);
  entries[count] = entry;
  struct expiry_page page;
  page.entries.count = count + 1;
  page.entries.items = entries;
  row_put(turn->context, turn->page, key, &page);
  turn->row.tail++;
  turn->changed = true;
}

int64_t expiry_note(struct expiry_turn *turn, struct str row_key, int64_t at) {
  int64_t noted = present(&turn->row);
  if (at < noted) at = noted;
  if (MUTANT("settled-row-stays") && turn->row.tail % 7 == 6) return at;
  put_last(turn, (struct expiry_entry){row_key, at, noted});
  return at;
}

/* The page of the first entry is deleted with its last one. */
static const struct expiry_entry *first(const struct expiry_turn *turn) {
  if (turn->row.head == turn->row.tail) return NULL;
  const struct expiry_page *page =
      row_get(turn->context, turn->page, page_key(turn, turn->row.head));
  return &page->entries.items[turn->row.head % EXPIRY_PAGE_ENTRIES];
}

static void drop_first(struct expiry_turn *turn) {
  int64_t number = turn->row.head++;
  if (turn->row.head % EXPIRY_PAGE_ENTRIES == 0)
    row_delete(turn->context, turn->page, page_key(turn, number));
  turn->changed = true;
}

enum fate { STAYS, WAITS_AGAIN, GOES };

/* What is noted is in the order of the partition's time: so the first entry says of all others that
 * they stay, whatever clock their steps had. A step's own time only keeps its row longer, where the
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

/* As if it were noted now; or when its step was, where the partition's time has come there since.
 */
static void put_again(struct expiry_turn *turn, struct expiry_entry entry) {
  int64_t latest = turn->row.latest;
  entry.noted = entry.noted <= latest && entry.at <= latest ? entry.at : latest;
  put_last(turn, entry);
}

void expiry_end(struct expiry_turn *turn,
                void (*gone)(struct context *context, struct str row_key, int64_t at)) {
  for (int i = 0; i < SWEEP_MAX; i++) {
    const struct expiry_entry *entry = first(turn);
    enum fate fate = entry ? fate_of(turn, entry) : STAYS;
    if (fate == STAYS) break;
    if (fate == WAITS_AGAIN) {
      put_again(turn, *entry);
    } else {
      gone(turn->context, entry->key, entry->at);
    }
    drop_first(turn);
  }
  if (turn->changed) row_put(turn->context, turn->state, state_key(turn), &turn->row);
}
