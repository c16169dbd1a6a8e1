/* The runtime's side of a partition's time, by which settled rows leave the store. The filter's
 * side is in contract/expiry.h. */
#ifndef HOLDFAST_CORE_EXPIRY_H
#define HOLDFAST_CORE_EXPIRY_H

#include "gen/records.h"
#include "runtime/contract/expiry.h"

/* A note rewrites its page: with many entries in one, a note at a time would write much. */
#define EXPIRY_PAGE_ENTRIES 16

/* The runtime's own row kinds, beside those of a filter that has rows which settle. */
enum { EXPIRY_ROW_STATE, EXPIRY_ROW_PAGE };
extern const struct row_kind expiry_rows[];
extern const struct gauge expiry_gauges[]; /* of expiry_rows */

/* Has it rows that settle? */
bool expiry_is_used(const struct processor *processor);

/* The time of a decision's partition, and its changes by it. */
struct expiry_turn {
  struct context *context;
  bool changed;
  struct expiry row;
};

/* Around each decision: takes the event's opening before it; after it, gives up to a few rows whose
 * time has come the leave, and keeps what has changed. */
void expiry_begin(struct context *context, const struct event *event);
void expiry_end(struct context *context);

/* A row that settled at `before` (0: it had not) is put with *settled_at. A new time is noted: the
 * row may go a window and a slack later. *settled_at is the clock of some host: it is raised to the
 * partition's time where that is later, so that a wrong one neither keeps the row for ever nor lets
 * it go early. */
void expiry_settle(struct context *context, struct str row_key, int64_t before,
                   int64_t *settled_at);

#endif
