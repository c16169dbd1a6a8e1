/* Every output once: the outputs of one filter from a partition stand in the order of their
 * causes. */
#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

#include "auditor/internal.h"

struct order { /* of the outputs of one filter from one of its input partitions to one partition */
  uint64_t key;
  int64_t offset, time;
  int number;
  bool used;
};

/* The place of a key in the open-addressed table, or the empty one where it belongs. */
static struct order *probe(struct order *orders, size_t capacity, uint64_t key) {
  size_t at = key & (capacity - 1);
  while (orders[at].used && orders[at].key != key) at = (at + 1) & (capacity - 1);
  return &orders[at];
}

static void grow_orders(struct auditor *auditor) {
  size_t capacity = auditor->order_capacity ? auditor->order_capacity * 2 : 1024;
  struct order *orders = xcalloc(capacity, sizeof *orders);
  for (size_t i = 0; i < auditor->order_capacity; i++) {
    if (auditor->orders[i].used)
      *probe(orders, capacity, auditor->orders[i].key) = auditor->orders[i];
  }
  free(auditor->orders);
  auditor->orders = orders;
  auditor->order_capacity = capacity;
}

static struct order *find_order(struct auditor *auditor, uint64_t key) {
  if (auditor->order_count * 2 >= auditor->order_capacity) grow_orders(auditor);
  struct order *order = probe(auditor->orders, auditor->order_capacity, key);
  if (!order->used) {
    *order = (struct order){.key = key, .offset = -1, .used = true};
    auditor->order_count++;
  }
  return order;
}

/* A filter reads a partition in order and writes in transactions, so its outputs from there appear
 * in the order of their causes, each once. An output whose cause lies before the last one's was
 * made twice; except if its command was sent later, as it then lies in a topic that was made
 * again. */
void audit_check_order(struct auditor *auditor, const struct audit_event *event) {
  const struct message *record = event->record;
  int64_t cause[2], offset;
  struct str source = record->source;
  const char *slash = source.size ? memchr(source.data, '/', source.size) : NULL;
  if (!slash || !audit_parse_causation(record->causation, &cause[0], &offset)) return;
  size_t name = (size_t)(slash - source.data);
  int number = 0;
  for (size_t i = name + 1; i < source.size; i++) number = number * 10 + (source.data[i] - '0');
  cause[1] = (int64_t)event->topic << 32 | event->partition;
  bool of_command =
      str_equal((struct str){source.data, name}, str_of(audit_topics[AUDIT_COMMANDS].consumer));
  if (number == 0 && of_command) audit_command_effect(auditor, event, cause[0], offset);
  uint64_t key = XXH3_64bits_withSeed(cause, sizeof cause, XXH3_64bits(source.data, name));
  struct order *order = find_order(auditor, key);
  bool after = offset > order->offset || (offset == order->offset && number > order->number);
  after |= of_command && record->timestamp > order->time;
  if (!after && auditor->was_reset) {
    auditor->summary.repeats++;
  } else if (!after) {
    audit_report(auditor, RULE_REPEATED, record->correlation_id, event,
                 "%.*s wrote an effect of %.*s again, after an effect of offset %" PRId64,
                 (int)name, source.data, STR_ARGS(record->causation), order->offset);
  }
  order->offset = offset;
  order->number = number;
  if (record->value.data) order->time = record->timestamp; /* else its time is the entrance's */
}
