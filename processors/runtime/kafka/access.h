/* What a cluster that checks its clients refuses, in words for whoever has to allow it. A refusal is
 * a matter of configuration: EX_CONFIG. */
#ifndef HOLDFAST_KAFKA_ACCESS_H
#define HOLDFAST_KAFKA_ACCESS_H

#include <librdkafka/rdkafka.h>

#include "runtime/base/failure.h"
#include "runtime/base/options.h"

/* The passwords that the options' files hold, and callbacks that keep what brokers and this process
 * think of each other. All other properties are set before. False: the failure is set, also where
 * this process's own certificate has expired. */
bool access_prepare(rd_kafka_conf_t *conf, const struct options *options, struct failure *failure);

/* "Read on topic 'x' is not allowed ..." operation and resource are Kafka's words: "Read", "topic".
 * Returns false. */
bool access_denied(struct failure *failure, const char *operation, const char *resource,
                   const char *name);

/* True with the failure set: the idempotent producer has failed for good because it may not write to
 * this topic. Whoever may write to no topic at all is refused as a producer already (KIP-679). */
bool access_is_no_writer(rd_kafka_t *producer, const char *topic, struct failure *failure);

/* True with the failure set: a broker refuses this process, or the process a broker (a wrong
 * password, a certificate), and none has answered since. All handles of a process show the same name
 * and proof, so what one is refused for, all are. Heard when a handle is polled. */
bool access_is_refused(struct failure *failure);

/* That is the last that was heard: no broker has been missed since. */
bool access_is_refused_still(void);

/* A broker has answered: what was kept is over. */
void access_is_fine(void);

/* Of a log line of librdkafka, which alone names the topic that a transaction may not write to. */
void access_note_log(const char *facility, const char *text);

/* The topic that such a line named last; "": none did. In out (size bytes). */
const char *access_refused_topic(char *out, size_t size);

#endif
