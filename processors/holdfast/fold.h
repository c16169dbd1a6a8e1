/* The last value of each key of a compacted topic, in a store. */
#ifndef HOLDFAST_FOLD_H
#define HOLDFAST_FOLD_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"
#include "runtime/store/store.h"

/* Of one partition, from its beginning up to the offset `until`, as rows of into_partition. */
bool fold_topic(const struct options *options, const char *topic, int32_t partition, int64_t until,
                struct store *into, int32_t into_partition, struct failure *failure);

#endif
