/* The partition of a key as JVM clients choose it (org.apache.kafka.common.utils.Utils.murmur2,
 * after Austin Appleby's MurmurHash2). */
#ifndef HOLDFAST_BASE_MURMUR2_H
#define HOLDFAST_BASE_MURMUR2_H

#include "runtime/base/str.h"

int32_t murmur2_partition(struct str key, int32_t partitions);

#endif
