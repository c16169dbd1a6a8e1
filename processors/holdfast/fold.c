#include "fold.h"

#include "kafka_io.h"

#define FLUSH_CHANGES 5000

struct fold {
  struct store *into;
  int32_t partition;
  size_t collected;
};

static void take(void *user, int32_t partition, const struct memory_record *record) {
  (void)partition;
  struct fold *fold = user;
  const struct change change = {.key = record->key, .value = record->value};
  store_put_changes(fold->into, fold->partition, &change, 1);
  if (++fold->collected % FLUSH_CHANGES == 0) store_write(fold->into);
}

bool fold_topic(const struct options *options, const char *topic, int32_t partition, int64_t until,
                struct store *into, int32_t into_partition, struct log_failure *failure) {
  struct fold fold = {.into = into, .partition = into_partition};
  bool folded = kafka_read_up_to(options, topic, partition, until, take, &fold, failure);
  store_write(into);
  return folded;
}
