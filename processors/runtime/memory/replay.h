/* A log that plays one partition's recorded input to a filter and hands over what it produces:
 * nothing is written anywhere. */
#ifndef HOLDFAST_MEMORY_REPLAY_H
#define HOLDFAST_MEMORY_REPLAY_H

#include "runtime/log/log.h"
#include "runtime/store/store.h"

struct replay_callbacks {
  /* The next record of the input, valid until the next call; false: there is none (more). */
  bool (*next)(void *user, struct log_record *record);
  /* An output. Records of tables and changelogs have no source. */
  void (*output)(void *user, const char *topic, const struct log_output *output);
  void *user;
};

/* at: the offsets of the store; NULL: an empty one, at the beginning. The callbacks are
 * borrowed. */
struct log *replay_log_open(int32_t partition, int32_t partition_count, const struct store_meta *at,
                            const struct replay_callbacks *callbacks);

/* Before poll has no more records, false. */
bool replay_log_ended(const struct log *log);

#endif
