/* The log on Kafka: one group consumer, one transactional producer, one reader of changelogs. */
#ifndef HOLDFAST_KAFKA_LOG_H
#define HOLDFAST_KAFKA_LOG_H

#include "runtime/log/log.h"
#include "runtime/contract/processor.h"

/* Opens the log of a processor's slot. NULL with the failure set. tombstone_retention_ms and
 * cluster (128 bytes) are read from the broker for the runtime. */
struct log *log_kafka_open(const struct processor *processor, const struct options *options,
                           int64_t *tombstone_retention_ms, char *cluster, struct failure *failure);

#endif
