/* The partitions that a slot will own once it joins: the members of its group, and the range
 * assignor's arithmetic over their group.instance.ids (KIP-345), by which they keep their places.
 */
#include <string.h>

#include "runtime/base/report.h"
#include "runtime/kafka/internal.h"

#define TIMEOUT_MS 5000

/* Where this slot will stand among the members; -1: it cannot be told, or it is one of them. */
static int place_among(const rd_kafka_ConsumerGroupDescription_t *group, const char *slot_id) {
  int place = 0;
  for (size_t i = 0; i < rd_kafka_ConsumerGroupDescription_member_count(group); i++) {
    const char *id = rd_kafka_MemberDescription_group_instance_id(
        rd_kafka_ConsumerGroupDescription_member(group, i));
    if (!id || strcmp(id, slot_id) == 0) return -1;
    place += strcmp(id, slot_id) < 0;
  }
  return place;
}

static size_t range_of(int32_t place, int32_t members, int32_t partitions, int32_t *out) {
  int32_t share = partitions / members, extra = partitions % members;
  int32_t first = place * share + (place < extra ? place : extra);
  int32_t count = share + (place < extra);
  for (int32_t i = 0; i < count; i++) out[i] = first + i;
  return (size_t)count;
}

static size_t judge(struct log_kafka *self, rd_kafka_event_t *event, int32_t *out) {
  if (!event || rd_kafka_event_error(event)) return 0;
  size_t count;
  const rd_kafka_ConsumerGroupDescription_t **groups =
      rd_kafka_DescribeConsumerGroups_result_groups(
          rd_kafka_event_DescribeConsumerGroups_result(event), &count);
  if (count != 1 || rd_kafka_ConsumerGroupDescription_error(groups[0])) return 0;
  size_t members = rd_kafka_ConsumerGroupDescription_member_count(groups[0]);
  int place = members ? place_among(groups[0], self->slot_id) : -1;
  return place < 0 ? 0 : range_of(place, (int32_t)members + 1, self->input_partitions, out);
}

size_t kafka_foresee(struct log *log, int32_t *out) {
  struct log_kafka *self = self_of(log);
  char text[TOPIC_NAME_MAX];
  const char *group = kafka_topic_name(self->options, self->client, text);
  rd_kafka_queue_t *queue = rd_kafka_queue_new(self->producer);
  rd_kafka_DescribeConsumerGroups(self->producer, &group, 1, NULL, queue);
  rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
  size_t count = judge(self, event, out);
  if (event) rd_kafka_event_destroy(event);
  rd_kafka_queue_destroy(queue);
  return count;
}
