#ifndef HOLDFAST_DEADLINE_H
#define HOLDFAST_DEADLINE_H

#include "runtime/contract/processor.h"
#include "gen/events.h"

enum { ROW_DEADLINE };
enum { TO_PAYMENT_REQUESTS };

extern const struct row_kind deadline_rows[];

void deadline_decide(struct context *context, const struct event *event);
void deadline_prefetch(struct context *context, const struct event *event);

#endif
