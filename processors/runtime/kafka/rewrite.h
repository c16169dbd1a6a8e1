/* One transaction of the command line: records to chosen partitions and the offsets of a group
 * without members, all or nothing. */
#ifndef HOLDFAST_KAFKA_REWRITE_H
#define HOLDFAST_KAFKA_REWRITE_H

#include "runtime/log/log.h"
#include "runtime/base/options.h"

struct kafka_rewrite;

/* Begins it. name: the transactional id; an earlier owner is fenced, and a transaction that a
 * killed one left open is aborted. records: how many it will have, about; it may stay open for half
 * a minute and what they take. NULL with the failure set. */
struct kafka_rewrite *kafka_rewrite_begin(const struct options *options, const char *name,
                                          int64_t records, struct failure *failure);

/* value.data NULL: a tombstone. Copied. *last is raised to the record's offset by settle. */
bool kafka_rewrite_put(struct kafka_rewrite *rewrite, const char *topic, int32_t partition,
                       struct str key, struct str value, int64_t *last, struct failure *failure);
bool kafka_rewrite_settle(struct kafka_rewrite *rewrite, struct failure *failure);

/* Commits it with the offsets of a group: count of them, by partition; -1: left as it is. */
bool kafka_rewrite_commit(struct kafka_rewrite *rewrite, const char *group, const char *topic,
                          const struct log_offset *offsets, int32_t count, struct failure *failure);

/* Aborts it, where it was not committed. */
void kafka_rewrite_end(struct kafka_rewrite *rewrite);

#endif
