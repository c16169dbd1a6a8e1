#include "expiry.h"

#include "mutant.h"

#define SWEEP_MAX 4 /* at each decision: more than one can add */

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

void expiry_see(struct expiry_turn *turn, int64_t time) {
  if (time <= turn->row.latest) return;
  turn->row.latest = time;
  turn->changed = true;
}

bool expiry_is_old(const struct expiry_turn *turn, int64_t time) {
  return time < turn->row.latest - EXPIRY_WINDOW_MS;
}

bool expiry_has_gone(const struct expiry_turn *turn, int64_t time) {
  return time < turn->row.latest - EXPIRY_WINDOW_MS - EXPIRY_SLACK_MS;
}

void expiry_note(struct expiry_turn *turn, struct str row_key, int64_t at) {
  if (MUTANT("settled-row-stays") && turn->row.tail % 7 == 6) return;
  struct str key = page_key(turn, turn->row.tail);
  const struct expiry_page *known = row_get(turn->context, turn->page, key);
  size_t count = known ? known->entries.count : 0;
  struct expiry_entry *entries = scratch(turn->context, (count + 1) * sizeof *entries);
  if (count) memcpy(entries, known->entries.items, count * sizeof *entries);
  entries[count] = (struct expiry_entry){.key = row_key, .at = at};
  struct expiry_page page;
  page.entries.count = count + 1;
  page.entries.items = entries;
  row_put(turn->context, turn->page, key, &page);
  turn->row.tail++;
  turn->changed = true;
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

void expiry_end(struct expiry_turn *turn,
                void (*gone)(struct context *context, struct str row_key, int64_t at)) {
  for (int i = 0; i < SWEEP_MAX; i++) {
    const struct expiry_entry *entry = first(turn);
    if (!entry || (!expiry_has_gone(turn, entry->at) && !MUTANT("rows-go-at-once"))) break;
    gone(turn->context, entry->key, entry->at);
    drop_first(turn);
  }
  if (turn->changed) row_put(turn->context, turn->state, state_key(turn), &turn->row);
}
