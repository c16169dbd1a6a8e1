/* The members of a group, as its coordinator has them now. */
#ifndef HOLDFAST_KAFKA_MEMBERS_H
#define HOLDFAST_KAFKA_MEMBERS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

struct kafka_members {
  int32_t count;
  bool slots;    /* every one has a group.instance.id (KIP-345) */
  bool has_slot; /* the one that was asked for is among them */
  int32_t place; /* that have an id before it, in the order of the range assignor */
};

/* Asks once. An error: nobody can say, and nothing is set. `group` and
 * `slot_id` as on the broker. */
rd_kafka_resp_err_t kafka_ask_members(rd_kafka_t *handle, const char *group, const char *slot_id,
                                      int timeout_ms, struct kafka_members *out);

#endif
