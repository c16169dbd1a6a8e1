/* Positions as a person names them: "beginning", "committed", an offset, or a time. */
#ifndef HOLDFAST_POSITIONS_H
#define HOLDFAST_POSITIONS_H

#include "runtime/kafka/admin.h"
#include "runtime/base/failure.h"
#include "runtime/contract/processor.h"

/* The offset of each partition of the filter's input; only: an offset is asked of this one alone,
 * -1: of all. A time is that of the first record not before it, as 2026-11-21T14:00:00Z or as
 * milliseconds since 1970 behind an @. False: the failure says what is wrong. */
bool positions_of(struct kafka_admin *admin, const struct processor *processor, const char *where,
                  int32_t partitions, int32_t only, int64_t *out, struct failure *failure);

/* A time as above, in milliseconds since 1970. False: it is none. */
bool position_time(const char *text, int64_t *out);

#endif
