/* Shared by the files of `holdfast replay`: replay.c runs the filter, replay_compare.c compares its
 * outputs with the recorded ones. */
#ifndef HOLDFAST_REPLAY_H
#define HOLDFAST_REPLAY_H

#include <jansson.h>

#include "runtime/kafka/admin.h"
#include "runtime/log/log.h"
#include "runtime/record/codec.h"
#include "runtime/store/store.h"
#include "shadow.h"

#define REPLAY_PARTITIONS_MAX 256

struct replay {
  const struct options *options;
  const struct processor *processor;
  struct kafka_admin *admin;
  struct codec *codec;
  char directory[300];
  struct store *store, *expected; /* the shadow's; outputs that were not compared yet */
  int32_t partitions, partition;  /* of the input; the one that runs */
  int64_t from[REPLAY_PARTITIONS_MAX], to[REPLAY_PARTITIONS_MAX], committed[REPLAY_PARTITIONS_MAX];
  bool tables[REPLAY_PARTITIONS_MAX]; /* whether the partition's are compared */
  bool diff, json;
  size_t collected;
  int64_t outputs, rows, differences, inputs, told_at;
  json_t *shown;
  struct failure failure;
};

/* Whether the cause lies in what is replayed. */
bool replay_wants(const struct replay *replay, struct str causation);

/* Something that the filter made, kept to be compared: a record of a stream, a row of a table. */
void replay_expect_output(struct replay *replay, const char *topic,
                          const struct log_output *output);
void replay_expect_row(struct replay *replay, const char *topic, const struct log_output *output);

/* All of it with what was recorded. False: it could not be read. */
bool replay_compare(struct replay *replay);

#endif
