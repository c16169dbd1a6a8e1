/* One question to all instances of a view, and one answer made of theirs.
 *
 * A thread of its own asks and waits, so that an instance that hangs holds up the questions that
 * need it, and nobody else. An instance that gave no answer in its time is left alone for a moment:
 * its partitions are said to be away at once. */
#ifndef HOLDFAST_HTTP_FAN_OUT_H
#define HOLDFAST_HTTP_FAN_OUT_H

#include <jansson.h>

#include "runtime/http/owners.h"
#include "runtime/contract/processor.h"
#include "runtime/contract/view.h"

#define QUESTION_SIZE_MAX 3000

/* One instance's answer for the partitions that it has. */
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

struct question {
  const struct route *route;
  char path_and_query[QUESTION_SIZE_MAX];  /* as others are asked */
  struct http_request request;             /* its status and body are set before done */
  void (*done)(struct question *question); /* on the thread of the fan-out, or of who asks */

  struct question *next; /* of the fan-out, until done */
  struct asked *asked;
  size_t waits_for; /* calls */
};

struct fan_out;

struct fan_out *fan_out_open(struct owners *owners);

/* Asks the owners of the partitions that `own` (taken) does not cover. The question is borrowed
 * until done, which may be before this returns: with the answers so far, if too many are asked. */
void fan_out_ask(struct fan_out *fan_out, struct question *question, struct piece *own);

/* Every question is done, with the answers so far; a later one is done at once. */
void fan_out_end(struct fan_out *fan_out);
void fan_out_close(struct fan_out *fan_out); /* ends it too; NULL is fine */

#endif
