/* The partitions that a slot will own once it joins: the members of its group, and the range
 * assignor's arithmetic over their group.instance.ids (KIP-345), by which they keep their places.
 */
#include <string.h>

#include "runtime/base/report.h"
#include "runtime/kafka/internal.h"

#define TIMEOUT_MS 5000

/* Where this slot stands among the members, or will. False: a member has no slot. */
static bool find_place(const rd_kafka_ConsumerGroupDescription_t *group, const char *slot_id,
                       int32_t *place, bool *member) {
  *place = 0;
  *member = false;
  for (size_t i = 0; i < rd_kafka_ConsumerGroupDescription_member_count(group); i++) {
    const char *id = rd_kafka_MemberDescription_group_instance_id(
        rd_kafka_ConsumerGroupDescription_member(group, i));
    if (!id) return false;
    *place += strcmp(id, slot_id) < 0;
    *member |= strcmp(id, slot_id) == 0;
  }
  return true;
}

static void take_range(int32_t place, int32_t members, int32_t partitions,
                       struct log_foreseen *out) {
  int32_t share = partitions / members, extra = partitions % members;
  int32_t first = place * share + (place < extra ? place : extra);
  out->count = (size_t)(share + (place < extra));
  out->partitions = xcalloc(out->count + 1, sizeof *out->partitions);
  for (size_t i = 0; i < out->count; i++) out->partitions[i] = first + (int32_t)i;
}

static enum log_status judge(struct log_kafka *self, rd_kafka_event_t *event,
                             struct log_foreseen *out) {
  if (!event || rd_kafka_event_error(event)) return LOG_AGAIN;
  size_t count;
  const rd_kafka_ConsumerGroupDescription_t **groups =
      rd_kafka_DescribeConsumerGroups_result_groups(
          rd_kafka_event_DescribeConsumerGroups_result(event), &count);
  if (count != 1 || rd_kafka_ConsumerGroupDescription_error(groups[0])) return LOG_AGAIN;
  int32_t place, members = (int32_t)rd_kafka_ConsumerGroupDescription_member_count(groups[0]);
  *out = (struct log_foreseen){0};
  if (!find_place(groups[0], self->slot_id, &place, &out->member)) return LOG_AGAIN;
  if (members) take_range(place, members + !out->member, self->input_partitions, out);
  return LOG_OK;
}

enum log_status kafka_foresee(struct log *log, struct log_foreseen *out) {
  struct log_kafka *self = self_of(log);
  char text[TOPIC_NAME_MAX];
  const char *group = kafka_topic_name(self->options, self->client, text);
  rd_kafka_queue_t *queue = rd_kafka_queue_new(self->producer);
  rd_kafka_DescribeConsumerGroups(self->producer, &group, 1, NULL, queue);
  rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
  enum log_status status = judge(self, event, out);
  if (event) rd_kafka_event_destroy(event);
  rd_kafka_queue_destroy(queue);
  return status;
}
