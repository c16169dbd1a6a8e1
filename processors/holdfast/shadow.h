/* A filter of this build, run on its recorded input in a store of its own. Nothing is written to
 * the cluster, and no provider is called: filters that call one, or wait for the clock, are
 * refused. */
#ifndef HOLDFAST_SHADOW_H
#define HOLDFAST_SHADOW_H

#include "runtime/base/options.h"
#include "runtime/contract/processor.h"
#include "runtime/log/log.h"
#include "runtime/store/store.h"

struct shadow {
  const struct options *options; /* of Kafka */
  const struct processor *processor;
  struct store *store; /* as it is: empty, or a snapshot; NULL for a filter without state */
  int32_t partition, partitions;
  int64_t to; /* the input's offset to stop before */
  /* NULL: not wanted */
  void (*output)(void *user, const char *topic, const struct log_output *output);
  void (*progress)(void *user, int64_t offset); /* NULL: not wanted */
  void *user;
};

/* NULL, or why this filter's work does not follow from its input alone. */
const char *shadow_refuses(const struct processor *processor);

bool shadow_run(const struct shadow *shadow, struct failure *failure);

#endif
