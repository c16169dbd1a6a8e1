#include "fold.h"

#include <inttypes.h>
#include <sysexits.h>

#include "runtime/kafka/io.h"

#define FLUSH_CHANGES 5000

struct fold {
  struct store *into;
  int32_t partition;
  size_t collected;
  int64_t unread; /* offset of a record whose bytes cannot be had; -1: none */
  const char *why;
};

static void take(void *user, int32_t partition, const struct message *record) {
  (void)partition;
  struct fold *fold = user;
  if (record->fault && fold->unread < 0) fold->unread = record->offset, fold->why = record->fault;
  if (record->fault) return; /* nobody knows of which row it is */
  const struct change change = {.key = record->key, .value = record->value};
  store_put_changes(fold->into, fold->partition, &change, 1);
  if (++fold->collected % FLUSH_CHANGES == 0) store_write(fold->into);
}

bool fold_topic(const struct options *options, const char *topic, int32_t partition, int64_t until,
                struct store *into, int32_t into_partition, struct failure *failure) {
  struct fold fold = {.into = into, .partition = into_partition, .unread = -1};
  bool folded = kafka_read_up_to(options, topic, partition, until, take, &fold, failure);
  store_write(into);
  if (folded && fold.unread >= 0)
    return failure_set(failure, EX_DATAERR, "'%s', partition %" PRId32 ", offset %" PRId64 ": %s",
                       topic, partition, fold.unread, fold.why);
  return folded;
}
