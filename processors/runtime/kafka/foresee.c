/* The partitions that a slot has or will have: the range assignor's arithmetic over the slots of
 * its group. */
#include "runtime/kafka/internal.h"
#include "runtime/kafka/members.h"

enum log_status kafka_foresee(struct log *log, struct log_foreseen *out) {
  struct log_kafka *self = self_of(log);
  char text[TOPIC_NAME_MAX];
  const char *group = kafka_topic_name(self->options, self->client, text);
  struct kafka_members members;
  rd_kafka_resp_err_t error =
      kafka_ask_members(self->producer, group, self->slot_id, MEMBERS_TIMEOUT_MS, &members);
  if (kafka_is_denied(self, error, "Read", self->input)) return LOG_FATAL;
  if (error || !members.slots) return LOG_AGAIN;
  kafka_watch_served(self->watch); /* a standby does no more than this, for hours */
  *out = (struct log_foreseen){.member = members.has_slot};
  if (members.count)
    log_foreseen_take(out, members.place, members.count + !members.has_slot,
                      self->input_partitions);
  return LOG_OK;
}
