/* Tells a topic that was lost from a new one, by the state of the filters beside it. */
#ifndef HOLDFAST_LOST_H
#define HOLDFAST_LOST_H

#include "runtime/kafka/admin.h"
#include "runtime/base/failure.h"
#include "runtime/contract/processor.h"

/* *yes: the topic is there and something was ever written to it. False: the failure is set. */
bool topic_has_records(struct kafka_admin *admin, const char *topic, bool *yes,
                       struct failure *failure);

enum lost_as { NOT_LOST, LOST_CHANGELOG, LOST_TABLE, LOST_INPUT };

struct lost {
  enum lost_as as;
  const struct processor *processor; /* has worked with it */
};

/* A changelog or a table was lost if its filter has committed rows; an input, if its filter has
 * left records in its changelog, or in a topic that only it writes (the entrance: in any).
 * Committed offsets show nothing of an input, since the broker deletes them with their topic.
 * False: the failure is set. */
bool lost_find(struct kafka_admin *admin, const char *topic, struct lost *out,
               struct failure *failure);

/* Refuses to make it again, with the way out. Returns false. */
bool lost_refuse(const struct lost *lost, const char *topic, struct failure *failure);

/* Prints what has to follow now that it is made again, empty. */
void lost_tell_rest(const struct lost *lost, const char *topic);

#endif
