#ifndef HOLDFAST_RESERVE_REQUESTED_H
#define HOLDFAST_RESERVE_REQUESTED_H

#include "runtime/contract/processor.h"
#include "gen/events.h"

enum { TO_PAYMENT_REQUESTS, TO_STOCK_REQUESTS, TO_RESERVATION_EVENTS };

void reserve_requested_decide(struct context *context, const struct event *event);

#endif
