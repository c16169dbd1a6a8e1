/* One filter with batches of a chosen size on several partitions of the log in memory, and charges
 * for it. */
#ifndef HOLDFAST_TEST_BENCH_H
#define HOLDFAST_TEST_BENCH_H

#include "harness.h"

#define BENCH_TIME INT64_C(1000000) /* of the clock at its beginning */

struct bench {
  struct memory_cluster *cluster;
  struct codec *codec;
  struct arena arena;
  const struct processor *processor;
  struct runtime *runtime;
  int32_t partitions;
};

void bench_open(struct bench *b, const char *name, size_t batch_records, int32_t partitions);
void bench_close(struct bench *b);
void bench_give(struct bench *b, int32_t partition, int64_t time, int type, const void *value,
                struct str key);
void bench_step(struct bench *b);

/* Until nothing moves; fails if it goes on for ever. */
void bench_settle(struct bench *b);

/* Of the filter charge: the request of a charge, and the partition's breaker. */
void bench_request(struct bench *b, int32_t partition, int number, int attempt, int64_t time);
struct breaker bench_breaker(struct bench *b, int32_t partition);
enum breaker_state bench_breaker_state(struct bench *b, int32_t partition);

#endif
