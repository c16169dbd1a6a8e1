/* Rows that settled long ago leave the store, by the time of the commands and by nothing else: a
 * decision sees the same rows at each replay.
 *
 * A partition's time follows the highest time of an opening that it has seen. A row that has
 * settled is put into a queue, itself made of rows, and goes once the partition's time is a window
 * and a slack past its last step. An opening that comes again within the window finds the row; one
 * that is older than the window and finds none is refused, never taken for new. The slack is longer
 * than the longest outage between two filters, so that a step that one filter still accepts finds
 * its rows in the next. By then its id is free, whether the row has gone or not.
 *
 * No clock is believed by itself. An opening that is more than a day ahead of the partition's time
 * is a doubt, and changes nothing. Doubts are believed once a hundred in a row were ahead, for half
 * a day by their own time, and none in between was near the partition's time; of several clocks the
 * lowest is. A time that lags is harmless, as rows then stay longer and nothing is refused: so
 * there is no hurry, and a clock that is wrong for an hour under load moves nothing. A partition
 * that was quiet for weeks is behind for half a day, and for a hundred openings.
 *
 * A filter declares which of its rows settle (settled_field of a row kind) and which of its events
 * are openings (opening of the processor); the runtime notes and sweeps. This file has the
 * questions that a decision may ask. */
#ifndef HOLDFAST_CONTRACT_EXPIRY_H
#define HOLDFAST_CONTRACT_EXPIRY_H

#include "runtime/contract/processor.h"

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
/* Doubts go on for so long, by their own time, before they are believed. */
#define EXPIRY_PROOF_MS (EXPIRY_STEP_MS / 2)

/* Older than the window: an opening without a row is refused, not taken for new. To be asked of
 * those alone, as each "yes" is counted and warned of. */
bool expiry_is_old(struct context *context, int64_t time);

/* Said at that time, about what was opened then (0: it does not say), and without a row: so old
 * that its row would have gone, so it was seen, and is said again. Both times must say so, as
 * either may be of a wrong clock. A "yes" is counted and warned of. */
bool expiry_has_gone(struct context *context, int64_t time, int64_t opened_at);

/* A step whose row should be there and is not: as if it were too old. */
void expiry_missed(struct context *context);

/* The time of a step that settles what was opened then: by the clocks of hosts and broker it may
 * lie before the opening, and its own next step would be taken for another's. */
int64_t expiry_step_time(int64_t at, int64_t opened_at);

/* An id that is used again. A row settles at the same time in every filter, but for what it was
 * raised by: so two filters may differ by a slack in what they say of an opening. settled_at as
 * the row has it; 0: it has not settled.
 *
 * may_be: some filter may take the opening for another reservation's. is: it came more than a
 * window after, so it is another's, whether or not the row has left the store. */
bool expiry_may_be_another(int64_t settled_at, int64_t opened_at);
bool expiry_is_another(int64_t settled_at, int64_t opened_at);

/* The id is free: the opening came more than a window and a slack after, and the partition's time
 * has come there too, as that of the opening may be of a wrong clock. */
bool expiry_is_free(const struct context *context, int64_t settled_at, int64_t opened_at);

#endif
