#ifndef HOLDFAST_HISTORY_H
#define HOLDFAST_HISTORY_H

#include "runtime/contract/expiry.h"
#include "gen/events.h"

enum { ROW_RESERVATION, ROW_OWNER, ROW_CUSTOMER };

extern const struct row_kind history_rows[];
extern const struct route history_routes[];

void history_decide(struct context *context, const struct event *event);
bool history_leave(struct context *context, const void *row);
void history_prefetch(struct context *context, const struct event *event);

#endif
