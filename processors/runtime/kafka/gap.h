/* Batches that no record can be made of: librdkafka 2.0.2 tells of them by an error at the offset
 * of their first record, and comes no further in their partition (compressed data that is damaged
 * or too large), or reads on behind them (a checksum that is wrong). Neither may stop a reader, nor
 * pass over what it was not told of. */
#ifndef HOLDFAST_KAFKA_GAP_H
#define HOLDFAST_KAFKA_GAP_H

#include <librdkafka/rdkafka.h>

#include "runtime/base/options.h"

struct kafka_gap {
  int32_t partition;
  int64_t next, last; /* offsets that are still to be told; next > last: none */
  const char *why;    /* static */
};

#define KAFKA_NO_GAP ((struct kafka_gap){.partition = -1, .next = 0, .last = -1})

/* Why a consumer's error is one of a batch, or NULL: it is another. Static. */
const char *kafka_gap_reason(rd_kafka_resp_err_t error);

/* Looks, by a connection of its own, whether what lies next at `from` of a partition (topic as on
 * the broker) is such a batch (more than once where the checksum says so), and where the batch
 * ends. False: it is none now. Takes some round trips, and up to some seconds. */
bool kafka_gap_find(const struct options *options, const char *topic, int32_t partition,
                    int64_t from, struct kafka_gap *out);

/* The next offset of the gap that is to be told. False: none is. */
bool kafka_gap_next(struct kafka_gap *gap, int64_t *offset);

#endif
