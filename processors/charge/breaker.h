/* The circuit breaker before the payment provider (Nygard, "Release It!"; states and window as
 * resilience4j has them). It is a row of the partition, so it moves with it and outlives the
 * process, and its changes are records on breaker-events.
 *
 * CLOSED: calls are made; half of the last ones bad, failed or slow, opens it.
 * OPEN: calls are held back, until its time has passed.
 * HALF_OPEN: a few calls are made, the others held back. All good closes it, one bad opens it
 * again.
 *
 * An answer counts in the phase in which its call was made: a call may take longer than OPEN waits,
 * and what comes of it is no probe. */
#ifndef HOLDFAST_BREAKER_H
#define HOLDFAST_BREAKER_H

#include "runtime/contract/processor.h"
#include "gen/events.h"

#define BREAKER_NAME "payment-provider"
/* Calls, at most 63. Calls that were made together end in the order of how long they took, so the
 * slowest of them come in a row: a window shorter than what is in flight would see nothing else. */
#define BREAKER_WINDOW 60
#define BREAKER_CALLS_MIN 10 /* fewer decide nothing */
#define BREAKER_BAD_PERCENT 50
#define BREAKER_PROBES 3
#define BREAKER_OPEN_MS INT64_C(5000) /* doubles with each opening in a row, up to */
#define BREAKER_OPEN_MS_MAX INT64_C(60000)
#define BREAKER_PROBE_WAIT_MS INT64_C(1000) /* of calls that find the probes out, at least */
/* Those that are held back come again one each millisecond: more than this many share theirs. */
#define BREAKER_QUEUE_MS_MAX INT64_C(600000)

extern const struct gauge breaker_gauges[];

/* True: no call may be made now, and *retry_at is when to ask again. It looks at the time itself:
 * an open breaker needs no turn of its own row to end. */
bool breaker_holds_back(struct context *context, int64_t now, int64_t *retry_at);

/* A call is begun that is not held back. Returns the phase, which its answer is counted in. */
int64_t breaker_begins(struct context *context, int64_t now);

/* A call has ended that was begun in that phase. good: the provider answered, and in time. */
void breaker_took(struct context *context, int64_t phase, int64_t now, bool good);

/* The time of its row has come. */
void breaker_due(struct context *context, int64_t now);

#endif
