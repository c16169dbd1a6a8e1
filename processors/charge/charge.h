#ifndef HOLDFAST_CHARGE_H
#define HOLDFAST_CHARGE_H

#include "runtime/contract/expiry.h"
#include "gen/events.h"

/* The result of a call. NOT_MADE: the provider surely did nothing. LOST: nobody can tell; it is
 * asked again by its key. */
enum call_result {
  CALL_APPROVED,
  CALL_DECLINED,
  CALL_NOT_MADE,
  CALL_LOST,
  CALL_RESULT = 3, /* a mask */
  CALL_SLOW = 4    /* beside the result: it took longer than --provider-slow-ms */
};

/* A call has ended by then, whatever its own deadline (--provider-timeout-ms, at most 10 s). */
#define CALL_LIMIT_MS INT64_C(15000)

/* When the ledger asks again for a charge that was taken for too old: an operator mends the clock
 * meanwhile. */
#define CHARGE_TOO_OLD_RETRY_MS INT64_C(60000)

enum { ROW_CHARGE, ROW_BREAKER };
enum { TO_PAYMENT_REQUESTS, TO_BREAKER_EVENTS };

extern const struct row_kind charge_rows[];
extern const struct world provider_world;
extern const struct option_desc provider_options[];

void charge_decide(struct context *context, const struct event *event);
int64_t charge_opening(const struct event *event);

/* The wait before the next try: doubles from half a second to half a minute. Milliseconds. */
int64_t charge_back_off(int32_t attempts);

#endif
