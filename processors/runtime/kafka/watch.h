/* Ends the process with 75 where a broker answers and the filter can do nothing with it: soon after
 * a broker was away, and after half a minute where the group gives it no partitions. */
#ifndef HOLDFAST_KAFKA_WATCH_H
#define HOLDFAST_KAFKA_WATCH_H

#include "runtime/kafka/client.h"

struct kafka_watch;

/* handle: asked first whether a broker answers. It must outlive the watch, as the options. */
struct kafka_watch *kafka_watch_start(rd_kafka_t *handle, const struct options *options);
void kafka_watch_stop(struct kafka_watch *watch);

/* Told by the loop: it has turned without work; it is a member of its group, or has committed. */
void kafka_watch_turned(struct kafka_watch *watch);
void kafka_watch_served(struct kafka_watch *watch);

/* One that has an answer within the time. */
bool kafka_answers_within(rd_kafka_t *handle, int timeout_ms);

#endif
