/* The circuit breaker before the payment provider (Nygard, "Release It!"; states and window as
 * resilience4j has them). It is a row of the partition, so it moves with it and outlives the
 * process, and its changes are records on breaker-events.
 *
 * CLOSED: calls are made; half of the last ones bad, failed or slow, opens it.
 * OPEN: calls are deferred, until its time has passed.
 * HALF_OPEN: a few calls are made, the others deferred. All good closes it, one bad opens it again.
 */
#ifndef HOLDFAST_BREAKER_H
#define HOLDFAST_BREAKER_H

#include "processor.h"
#include "records.h"

#define BREAKER_NAME "payment-provider"
/* Calls, at most 63. Calls that were made together end in the order of how long they took, so the
 * slowest of them come in a row: a window shorter than what is in flight would see nothing else. */
#define BREAKER_WINDOW 60
#define BREAKER_CALLS_MIN 10 /* fewer decide nothing */
#define BREAKER_BAD_PERCENT 50
#define BREAKER_PROBES 3
#define BREAKER_OPEN_MS INT64_C(5000) /* doubles with each opening in a row, up to */
#define BREAKER_OPEN_MS_MAX INT64_C(60000)
#define BREAKER_SPREAD_MS INT64_C(2000) /* deferred calls do not come back all at once */

/* May a call be made now? False: *retry_at is when to ask again. The key spreads those that wait.
 */
bool breaker_permits(struct context *context, struct str key, int64_t now, int64_t *retry_at);

/* A call has ended. good: the provider answered, and in time. */
void breaker_took(struct context *context, int64_t now, bool good);

/* The time of its row has come. */
void breaker_due(struct context *context, const struct breaker *row);

#endif
