/* Producing to one topic for many who wait: each hears of its own record.
 *
 * The producer is idempotent and waits for all replicas. A record that is not acknowledged in its
 * time is given up, and its sender hears whether it may be in the log all the same. */
#ifndef HOLDFAST_KAFKA_SENDER_H
#define HOLDFAST_KAFKA_SENDER_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"
#include "runtime/record/message.h"

struct kafka_sender;

enum kafka_sent {
  KAFKA_SENT,      /* it is in the log, for good */
  KAFKA_NOT_SENT,  /* it is not, and will not be */
  KAFKA_SENT_MAYBE /* nobody knows */
};

struct kafka_receipt {
  enum kafka_sent sent;
  int32_t partition; /* where KAFKA_SENT; else -1 */
  int64_t offset;
  const char *why; /* it was not sent, or nobody knows; "" else */
};

/* Hears of each record once, on the sender's thread. */
typedef void kafka_sender_heard(void *user, const struct kafka_receipt *receipt);

/* most: records that wait at a time. within_ms: the time to be acknowledged in. NULL with the
 * failure set: also where the topic does not exist or no broker answers. */
struct kafka_sender *kafka_sender_open(const struct options *options, const char *topic,
                                       size_t most, int within_ms, kafka_sender_heard *heard,
                                       struct failure *failure);

/* Key, value and headers (correlation_id, traceparent) are copied; user goes to heard. Does not
 * wait. False: so many wait already that this one may not, and heard does not hear of it. Any
 * thread. */
bool kafka_sender_send(struct kafka_sender *sender, const struct message *record, void *user);

/* For how long the oldest record that waits has waited; 0: none does. Any thread. */
int64_t kafka_sender_waits_ms(struct kafka_sender *sender);

/* The last record was taken, or Kafka has answered a question since; asked each second or so while
 * nothing waits. Any thread. */
bool kafka_sender_is_answered(struct kafka_sender *sender);
size_t kafka_sender_waiting(struct kafka_sender *sender);

/* Every record is heard of before this returns. NULL is fine. */
void kafka_sender_close(struct kafka_sender *sender);

#endif
