/* What settled long ago leaves the store, by the time of the commands and by nothing else: a
 * decision sees the same rows at each replay.
 *
 * A partition's time follows the highest time of an opening that it has seen. A row that has
 * settled is put into a queue, itself made of rows, and goes once the partition's time is a window
 * and a slack past its last step. Who comes again within the window finds the row; what is older
 * than the window and finds none is refused, never taken for new. The slack is longer than the
 * longest outage between two filters, so that what one filter still accepts finds its rows in the
 * next. By then its id is free, whether the row has gone or not.
 *
 * No clock is believed by itself. An opening that is more than a day ahead of the partition's time
 * is a doubt, and changes nothing. Doubts are believed once a hundred in a row were ahead, for half
 * a day by their own time, and none in between was near the partition's time; of several clocks the
 * lowest is. A time that lags is harmless, as rows then stay longer and nothing is refused: so
 * there is no hurry, and a clock that is wrong for an hour under load moves nothing. A partition
 * that was quiet for weeks is behind for half a day, and for a hundred openings.
 *
 * A filter declares two row kinds and three gauges for this (EXPIRY_ROW_KINDS, first in its list;
 * EXPIRY_GAUGES). Part of what a decision may call. */
#ifndef HOLDFAST_CONTRACT_EXPIRY_H
#define HOLDFAST_CONTRACT_EXPIRY_H

#include "runtime/contract/processor.h"
#include "gen/records.h"

#ifdef HOLDFAST_MUTANTS /* the simulator's days are short */
extern int64_t expiry_window_ms, expiry_slack_ms, expiry_step_ms, expiry_doubts;
#define EXPIRY_WINDOW_MS expiry_window_ms
#define EXPIRY_SLACK_MS expiry_slack_ms
#define EXPIRY_STEP_MS expiry_step_ms
#define EXPIRY_DOUBTS expiry_doubts
#else
#define EXPIRY_WINDOW_MS (INT64_C(400) * 86400 * 1000)
#define EXPIRY_SLACK_MS (INT64_C(35) * 86400 * 1000)
#define EXPIRY_STEP_MS (INT64_C(86400) * 1000) /* believed at once */
#define EXPIRY_DOUBTS INT64_C(100)
#endif
/* How long doubts go on by their own time before they are believed. */
#define EXPIRY_PROOF_MS (EXPIRY_STEP_MS / 2)

/* A note rewrites its page: with many entries in one, a note at a time would write much. */
#define EXPIRY_PAGE_ENTRIES 16

/* The first row kinds of a filter that uses it; its own are numbered from EXPIRY_ROWS on. */
enum { EXPIRY_ROW_STATE, EXPIRY_ROW_PAGE, EXPIRY_ROWS };
#define EXPIRY_ROW_KINDS                                                                     \
  [EXPIRY_ROW_STATE] = {.name = "expiry", .prefix = 'X', .type = RECORD_EXPIRY, .key = "-"}, \
  [EXPIRY_ROW_PAGE] = {                                                                      \
      .name = "expiry page", .prefix = 'Y', .type = RECORD_EXPIRY_PAGE, .key = "number"}

#define EXPIRY_GAUGE(gauge_name, function, text) \
  { .name = (gauge_name), .help = (text), .row = EXPIRY_ROW_STATE, .key = "-", .value = (function) }
#define EXPIRY_GAUGES                                                                     \
  EXPIRY_GAUGE("partition_time_ms", expiry_time,                                          \
               "The partition's time: of its openings, as believed. Milliseconds since "  \
               "1970; 0: none yet."),                                                     \
      EXPIRY_GAUGE("doubted_openings", expiry_doubted,                                    \
                   "Openings in a row that are more than a day ahead of the partition's " \
                   "time, and not believed yet."),                                        \
      EXPIRY_GAUGE("too_old_records", expiry_too_old,                                     \
                   "Records so far that were refused, put off or passed over, as older "  \
                   "than what is remembered.")
int64_t expiry_time(const void *row);
int64_t expiry_doubted(const void *row);
int64_t expiry_too_old(const void *row);
extern const struct gauge expiry_gauges[]; /* these alone */

/* One decision's use of it. */
struct expiry_turn {
  struct context *context;
  const struct row_kind *state, *page;
  struct expiry row;
  bool changed;
};

void expiry_begin(struct expiry_turn *turn, struct context *context, const struct row_kind *rows);

/* An opening of that time has been seen. 0: it does not say. */
void expiry_see(struct expiry_turn *turn, int64_t time);

/* Older than the window: an opening without a row is refused, not taken for new. To be asked of
 * those alone, as each "yes" is counted and warned of. */
bool expiry_is_old(struct expiry_turn *turn, int64_t time);

/* Said at that time, about what was opened then (0: it does not say), and without a row: so old
 * that its row would have gone, so it was seen, and is said again. Both times must say so, as
 * either may be of a wrong clock. A "yes" is counted and warned of. */
bool expiry_has_gone(struct expiry_turn *turn, int64_t time, int64_t opened_at);

/* A step whose row should be there and is not: as if it were too old. */
void expiry_missed(struct expiry_turn *turn);

/* The row has settled at that time, by the clock of some host: it may go later. Noted at each step
 * that settles it. A wrong clock neither keeps the row for ever nor lets it go early. Returns what
 * the row keeps as its time: at, or the partition's time where that is later. */
int64_t expiry_note(struct expiry_turn *turn, struct str row_key, int64_t at);

/* The time of a step that settles what was opened then: by the clocks of hosts and broker it may
 * lie before the opening, and its own next step would be taken for another's. */
int64_t expiry_step_time(int64_t at, int64_t opened_at);

/* An id that is used again. A row settles at the same time in every filter, but for what it was
 * raised by: so two filters may differ by a slack in what they say of an opening. settled_at as
 * expiry_note returned it; 0: it has not settled.
 *
 * may_be: some filter may take the opening for another reservation's. is: it came more than a
 * window after, so it is another's, whether or not the row has left the store. */
bool expiry_may_be_another(int64_t settled_at, int64_t opened_at);
bool expiry_is_another(int64_t settled_at, int64_t opened_at);

/* The id is free: the opening came more than a window and a slack after, and the partition's time
 * has come there too, as that of the opening may be of a wrong clock. To be asked after
 * expiry_see. */
bool expiry_is_free(const struct expiry_turn *turn, int64_t settled_at, int64_t opened_at);

/* Gives up to a few rows whose time has come to gone(), which deletes the row if that step was its
 * last, and keeps what has changed. Every decision ends with it. */
void expiry_end(struct expiry_turn *turn,
                void (*gone)(struct context *context, struct str row_key, int64_t at));

#endif
