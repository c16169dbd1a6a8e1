/* A record of a topic, whole: as the log in memory keeps it, the command line reads it from Kafka,
 * and pipes write it as a line. */
#ifndef HOLDFAST_RECORD_MESSAGE_H
#define HOLDFAST_RECORD_MESSAGE_H

#include "runtime/base/str.h"

struct message {
  int64_t offset, timestamp;
  int64_t sequence; /* of the append, over all topics: set by the log */
  struct str key, value;
  struct str correlation_id, causation, source, traceparent, error, whole_key, whole_value;
  const char *fault; /* as that of a log_record */
  /* The clock of who produced it, on Kafka; milliseconds since 1970, as text */
  struct str produced_at;
};

#endif
