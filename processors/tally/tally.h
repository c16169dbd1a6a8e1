#ifndef HOLDFAST_TALLY_H
#define HOLDFAST_TALLY_H

#include "runtime/contract/expiry.h"
#include "gen/events.h"

enum { ROW_TALLY, ROW_ENTRY };
enum { TO_OPTION_TALLIES, TO_RESERVATION_EVENTS };

extern const struct row_kind tally_rows[];
extern const struct route tally_routes[];

void tally_decide(struct context *context, const struct event *event);
int64_t tally_opening(const struct event *event);

#endif
