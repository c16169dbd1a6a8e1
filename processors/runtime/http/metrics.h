/* The answer of /metrics: the runtime's counts, and the gauges of the filter, in Prometheus' text
 * format (0.0.4). */
#ifndef HOLDFAST_HTTP_METRICS_H
#define HOLDFAST_HTTP_METRICS_H

#include "runtime/record/codec.h"
#include "runtime/contract/processor.h"
#include "runtime/core/runtime.h"

/* Owned by the caller. Any thread; the codec is that thread's. */
char *metrics_text(struct runtime *runtime, const struct processor *processor, struct codec *codec,
                   size_t *size);

#endif
