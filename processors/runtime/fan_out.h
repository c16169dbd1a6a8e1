/* One question to all instances of a view, and one answer made of theirs. */
#ifndef HOLDFAST_FAN_OUT_H
#define HOLDFAST_FAN_OUT_H

#include <jansson.h>

#include "calls.h"
#include "owners.h"
#include "processor.h"
#include "view.h"

/* What one instance says: its answer for the partitions that it has. */
struct piece {
  int status;
  json_t *body, *keys; /* owned */
  int32_t partitions[VIEW_PARTITIONS_MAX];
  size_t partition_count;
};

/* As it goes from an instance to another, and back. Both take what they are given; a piece that
 * says nothing (false) is freed as any other. */
json_t *piece_to_json(struct piece *piece);
bool piece_from_json(json_t *json, struct piece *piece);
void piece_free(struct piece *piece);

/* Asks the owners of the partitions that `own` does not cover, and makes *request's answer of all.
 * path_and_query is what was asked. Takes own. */
void fan_out(struct owners *owners, struct calls *calls, const struct route *route,
             const char *path_and_query, struct piece *own, struct http_request *request);

#endif
