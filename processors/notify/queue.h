/* The notices of a customer, one after another. */
#ifndef HOLDFAST_NOTIFY_QUEUE_H
#define HOLDFAST_NOTIFY_QUEUE_H

#include "runtime/contract/processor.h"
#include "gen/events.h"

/* Puts a notice behind those of its customer that wait. For who has not signed up the id stands in:
 * the receiver needs no other rule for strangers. */
void queue_notice(struct context *context, const struct event *event, struct notice *notice);

/* The call of a notice has ended. */
void queue_answered(struct context *context, const struct event *event);

/* The time of a notice's next call has come. */
void queue_due(struct context *context, const struct event *event);

/* From now on the customer's notices have this name, contact and language. */
void queue_register(struct context *context, const struct register_customer *customer);

#endif
