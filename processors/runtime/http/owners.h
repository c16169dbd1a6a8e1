/* Which instance of a view has which partition. Each says on `view-owners` what it is ready to
 * answer for, and reads there what the others said; the last word about a partition counts. Nothing
 * is decided by it: an instance that is asked answers only for what it has, so an old word costs a
 * question. A thread of its own. */
#ifndef HOLDFAST_HTTP_OWNERS_H
#define HOLDFAST_HTTP_OWNERS_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"
#include "runtime/core/runtime.h"

#define OWNER_URL_MAX 128
#define VIEW_PARTITIONS_MAX 256

struct owners;

/* url: where others reach this instance. NULL with the failure set. The runtime must outlive it. */
struct owners *owners_open(const struct options *options, const struct processor *processor,
                           struct runtime *runtime, const char *url, struct failure *failure);
void owners_close(struct owners *owners); /* NULL is fine */

/* Partitions of the filter's input. */
int32_t owners_partitions(const struct owners *owners);

/* Who said last that it has the partition; false: nobody, or this instance itself. Any thread. */
bool owners_find(struct owners *owners, int32_t partition, char url[OWNER_URL_MAX]);

#endif
