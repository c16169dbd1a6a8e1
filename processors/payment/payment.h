#ifndef HOLDFAST_PAYMENT_H
#define HOLDFAST_PAYMENT_H

#include "runtime/contract/expiry.h"
#include "gen/events.h"
#include "ledger.h"
#include "place.h"

enum { ROW_LEDGER };
enum { TO_CHARGE_REQUESTS, TO_DEADLINES, TO_PAYMENT_RESULTS };

extern const struct row_kind payment_rows[];

void payment_decide(struct context *context, const struct event *event);
int64_t payment_opening(const struct event *event);
bool payment_leave(struct context *context, const void *row);
void payment_prefetch(struct context *context, const struct event *event);

#endif
