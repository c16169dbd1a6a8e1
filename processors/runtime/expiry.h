/* What settled long ago leaves the store, by the time of the commands and by nothing else: a
 * decision sees the same rows at each replay.
 *
 * A partition's time is the highest time of an opening that it has seen. A row that has settled is
 * put into a queue, itself made of rows, and goes once the partition's time is a window and a slack
 * past its last step. Who comes again within the window finds the row; what is older than the
 * window and finds none is refused, never taken for new. The slack is longer than the longest
 * outage between two filters, so that what one filter still accepts finds its rows in the next.
 *
 * A filter declares two row kinds for this (EXPIRY_ROW_KINDS, first in its list). Part of what a
 * decision may call. */
#ifndef HOLDFAST_EXPIRY_H
#define HOLDFAST_EXPIRY_H

#include "processor.h"
#include "records.h"

#ifdef HOLDFAST_MUTANTS /* the simulator's days are short */
extern int64_t expiry_window_ms, expiry_slack_ms;
#define EXPIRY_WINDOW_MS expiry_window_ms
#define EXPIRY_SLACK_MS expiry_slack_ms
#else
#define EXPIRY_WINDOW_MS (INT64_C(400) * 86400 * 1000)
#define EXPIRY_SLACK_MS (INT64_C(35) * 86400 * 1000)
#endif

/* A note rewrites its page: with many entries in one, a note at a time would write much. */
#define EXPIRY_PAGE_ENTRIES 16

/* The first row kinds of a filter that uses it; its own are numbered from EXPIRY_ROWS on. */
enum { EXPIRY_ROW_STATE, EXPIRY_ROW_PAGE, EXPIRY_ROWS };
#define EXPIRY_ROW_KINDS                                                                     \
  [EXPIRY_ROW_STATE] = {.name = "expiry", .prefix = 'X', .type = RECORD_EXPIRY, .key = "-"}, \
  [EXPIRY_ROW_PAGE] = {                                                                      \
      .name = "expiry page", .prefix = 'Y', .type = RECORD_EXPIRY_PAGE, .key = "number"}

/* One decision's use of it. */
struct expiry_turn {
  struct context *context;
  const struct row_kind *state, *page;
  struct expiry row;
  bool changed;
};

void expiry_begin(struct expiry_turn *turn, struct context *context, const struct row_kind *rows);

/* An opening of that time has been seen. */
void expiry_see(struct expiry_turn *turn, int64_t time);

/* Older than the window: an opening without a row is refused, not taken for new. */
bool expiry_is_old(const struct expiry_turn *turn, int64_t time);

/* So old that the row of such a step would have gone: without a row it was seen, and is said again.
 */
bool expiry_has_gone(const struct expiry_turn *turn, int64_t time);

/* The row has settled at that time: it may go later. Noted at each step that settles it. */
void expiry_note(struct expiry_turn *turn, struct str row_key, int64_t at);

/* Gives up to a few rows whose time has come to gone(), which deletes the row if that step was its
 * last, and keeps what has changed. Every decision ends with it. */
void expiry_end(struct expiry_turn *turn,
                void (*gone)(struct context *context, struct str row_key, int64_t at));

#endif
