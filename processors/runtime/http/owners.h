/* This instance of a view among the others: it announces on `view-owners` the partitions that it is
 * ready to answer for, and reads the others' announcements. Nothing is decided by it: an instance that is asked answers only for its own partitions, so an
 * old announcement costs a question. A thread of its own. */
#ifndef HOLDFAST_HTTP_OWNERS_H
#define HOLDFAST_HTTP_OWNERS_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"
#include "runtime/core/runtime.h"
#include "runtime/http/instances.h"

struct owners;

/* own: where this instance is reached. NULL with the failure set. The runtime must outlive it. */
struct owners *owners_open(const struct options *options, const struct processor *processor,
                           struct runtime *runtime, const struct instance *own,
                           struct failure *failure);
void owners_close(struct owners *owners); /* NULL is fine */

/* Partitions of the filter's input. */
int32_t owners_partitions(const struct owners *owners);

/* The instance that announced the partition last; false: none, or this instance itself. Any
 * thread. */
bool owners_find(struct owners *owners, int32_t partition, char url[OWNER_URL_MAX]);

#endif
