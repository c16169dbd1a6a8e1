#ifndef HOLDFAST_VIEW_INTERNAL_H
#define HOLDFAST_VIEW_INTERNAL_H

#include "runtime.h"

/* Made by the HTTP server for its thread: a codec and an arena of its own. */
struct view {
  struct runtime *runtime;
  struct codec *codec;
  struct arena *arena;       /* of the request */
  const int32_t *partitions; /* that are answered for */
  size_t partition_count;
};

#endif
