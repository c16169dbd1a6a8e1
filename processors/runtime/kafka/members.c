#include "runtime/kafka/members.h"

#include <string.h>

static void count_members(const rd_kafka_ConsumerGroupDescription_t *group, const char *slot_id,
                          struct kafka_members *out) {
  *out = (struct kafka_members){
      .count = (int32_t)rd_kafka_ConsumerGroupDescription_member_count(group), .slots = true};
  for (int32_t i = 0; i < out->count; i++) {
    const char *id = rd_kafka_MemberDescription_group_instance_id(
        rd_kafka_ConsumerGroupDescription_member(group, (size_t)i));
    out->slots &= id != NULL;
    out->has_slot |= id && strcmp(id, slot_id) == 0;
    out->place += id && strcmp(id, slot_id) < 0;
  }
}

/* A group that the coordinator does not know has no members: none has ever joined, or the broker has
 * forgotten it. */
static rd_kafka_resp_err_t take(rd_kafka_event_t *event, const char *slot_id,
                                struct kafka_members *out) {
  if (!event) return RD_KAFKA_RESP_ERR__TIMED_OUT;
  if (rd_kafka_event_error(event)) return rd_kafka_event_error(event);
  size_t count;
  const rd_kafka_ConsumerGroupDescription_t *group = rd_kafka_DescribeConsumerGroups_result_groups(
      rd_kafka_event_DescribeConsumerGroups_result(event), &count)[0];
  const rd_kafka_error_t *failed = rd_kafka_ConsumerGroupDescription_error(group);
  rd_kafka_resp_err_t error = failed ? rd_kafka_error_code(failed) : RD_KAFKA_RESP_ERR_NO_ERROR;
  if (error && error != RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) return error;
  count_members(group, slot_id, out);
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t kafka_ask_members(rd_kafka_t *handle, const char *group, const char *slot_id,
                                      int timeout_ms, struct kafka_members *out) {
  rd_kafka_queue_t *queue = rd_kafka_queue_new(handle);
  rd_kafka_DescribeConsumerGroups(handle, &group, 1, NULL, queue);
  rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms);
  rd_kafka_resp_err_t error = take(event, slot_id, out);
  if (event) rd_kafka_event_destroy(event);
  rd_kafka_queue_destroy(queue);
  return error;
}
