#ifndef HOLDFAST_APPROVED_FAILED_H
#define HOLDFAST_APPROVED_FAILED_H

#include "runtime/contract/processor.h"
#include "gen/events.h"

enum { TO_RESERVATION_OUTCOMES, TO_STOCK_REQUESTS, TO_RESERVATION_EVENTS };

void approved_failed_decide(struct context *context, const struct event *event);

#endif
