#ifndef HOLDFAST_CORE_VIEW_INTERNAL_H
#define HOLDFAST_CORE_VIEW_INTERNAL_H

#include "runtime/core/runtime.h"

/* Made by the HTTP server for its thread: a codec and an arena of its own. */
struct view {
  struct runtime *runtime;
  struct codec *codec;
  struct arena *arena;       /* of the request */
  const int32_t *partitions; /* the answer is from these */
  size_t partition_count;
};

/* The route that the path fits, and in *part what its {} took. NULL: there is none. */
const struct route *route_find(const struct route *routes, const char *path, struct str *part);

#endif
