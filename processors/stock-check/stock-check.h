#ifndef HOLDFAST_STOCK_CHECK_H
#define HOLDFAST_STOCK_CHECK_H

#include "runtime/contract/expiry.h"
#include "gen/events.h"

enum { TO_PAYMENT_REQUESTS, TO_STOCK_LEVELS, TO_RESERVATION_EVENTS };
enum { ROW_ITEM, ROW_SEATS, ROW_HOLD, ROW_RECEIPT };

extern const struct row_kind stock_check_rows[];

void stock_check_decide(struct context *context, const struct event *event);
int64_t stock_check_opening(const struct event *event);
void stock_check_prefetch(struct context *context, const struct event *event);

#endif
