/* /livez, /readyz and /metrics of every filter, on a listener of their own: the probes are answered
 * whatever a view is asked, and however slowly. */
#ifndef HOLDFAST_HTTP_HEALTH_H
#define HOLDFAST_HTTP_HEALTH_H

#include "runtime/base/failure.h"
#include "runtime/core/runtime.h"

struct health;

/* The answer of /livez: the loop has turned within a minute. */
bool health_is_alive(struct runtime *runtime);

/* What /readyz says that it waits for; "" if it is ready: it lags by ready_lag records at most. */
void health_waits_for(struct runtime *runtime, int64_t ready_lag, char *out, size_t size);

/* Answers at --health of the options. The runtime must outlive it. NULL with the failure set. */
struct health *health_start(const struct options *options, struct runtime *runtime,
                            const struct processor *processor, struct failure *failure);
void health_stop(struct health *health); /* NULL is fine */

#endif
