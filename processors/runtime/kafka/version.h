/* Faults of librdkafka that are worked around, each with the version that mended it. The library
 * that is loaded counts, not its headers. */
#ifndef HOLDFAST_KAFKA_VERSION_H
#define HOLDFAST_KAFKA_VERSION_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

static inline bool kafka_older_than(int major, int minor, int patch) {
  return rd_kafka_version() < (int)(((unsigned)major << 24 | (unsigned)minor << 16 |
                                     (unsigned)patch << 8)); /* 0xMMmmpp.. */
}

/* A full queue is looked at again after a second, with no setting that shortens it. */
static inline bool kafka_fetcher_sleeps(void) {
  return kafka_older_than(2, 2, 0);
}

/* rd_kafka_seek_partitions waits for microseconds where it says milliseconds. */
static inline int kafka_seek_timeout(int ms) {
  return kafka_older_than(2, 1, 0) ? ms * 1000 : ms;
}

#endif
