/* The partitions that a slot has or will have: the range assignor's arithmetic over the slots of
 * its group. */
#include "runtime/kafka/internal.h"
#include "runtime/kafka/members.h"

enum log_status kafka_foresee(struct log *log, struct log_foreseen *out) {
  struct log_kafka *self = self_of(log);
  char text[TOPIC_NAME_MAX];
  const char *group = kafka_topic_name(self->options, self->client, text);
  struct kafka_members members;
  if (!kafka_ask_members(self->producer, group, self->slot_id, &members) || !members.slots)
    return LOG_AGAIN;
  kafka_watch_served(self->watch); /* a standby does no more than this, for hours */
  *out = (struct log_foreseen){.member = members.has_slot};
  if (!members.count) return LOG_OK;
  int32_t sharers = members.count + !members.has_slot, place = members.place;
  int32_t share = self->input_partitions / sharers, extra = self->input_partitions % sharers;
  int32_t first = place * share + (place < extra ? place : extra);
  out->count = (size_t)(share + (place < extra));
  out->partitions = xcalloc(out->count + 1, sizeof *out->partitions);
  for (size_t i = 0; i < out->count; i++) out->partitions[i] = first + (int32_t)i;
  return LOG_OK;
}
