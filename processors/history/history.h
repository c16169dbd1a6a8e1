#ifndef HOLDFAST_HISTORY_H
#define HOLDFAST_HISTORY_H

#include "processor.h"
#include "records.h"

enum { ROW_RESERVATION, ROW_OWNER, ROW_CUSTOMER };

extern const struct row_kind history_rows[];
extern const struct route history_routes[];

void history_decide(struct context *context, const struct event *event);

#endif
