/* Handles of librdkafka, configured one way everywhere: our defaults, then the user's properties,
 * then what correctness needs. */
#ifndef HOLDFAST_KAFKA_CLIENT_H
#define HOLDFAST_KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>

#include "runtime/kafka/names.h"
#include "runtime/base/failure.h"
#include "runtime/base/options.h"

/* A new configuration, or NULL with the failure set. forced ends with a NULL name; it wins over the
 * user's properties. */
rd_kafka_conf_t *kafka_conf(const struct options *options, const char *client_id,
                            const struct kafka_setting *forced, struct failure *failure);

/* A new handle; the configuration is taken. NULL with the failure set. */
rd_kafka_t *kafka_open(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct failure *failure);

/* Waits until a broker answers: false with the failure set where none does within 15 s, or one
 * refuses this process. */
bool kafka_is_there(rd_kafka_t *handle, const struct options *options, struct failure *failure);

/* prefix + name, in out (TOPIC_NAME_MAX bytes). */
const char *kafka_topic_name(const struct options *options, const char *name, char *out);

/* The topic's partition count, or -1 with the failure set: EX_CONFIG where it does not exist or may
 * not be seen, EX_UNAVAILABLE where no broker answers for 10 s. `name` as on the broker; operation:
 * what the topic is wanted for, in words of ACLs ("Read", "Write"). */
int32_t kafka_partition_count(rd_kafka_t *handle, const char *name, const char *operation,
                              struct failure *failure);

/* The value of a topic's configuration on the broker, in out; else why it could not be had. */
rd_kafka_resp_err_t kafka_topic_config(rd_kafka_t *handle, const char *topic, const char *name,
                                       char *out, size_t size);

/* A coordinator that was just found, or whose broker just started, is not one yet. */
bool kafka_is_coordinator_settling(rd_kafka_resp_err_t error);

/* The broker denies access, and would again. */
bool kafka_is_forbidden(rd_kafka_resp_err_t error);

/* The broker refuses a record, and would again: somebody changed the topic's settings, or who may
 * write to it. */
bool kafka_is_refused_for_good(rd_kafka_resp_err_t error);

/* Sets the failure of such a record, with the way out, and returns false. `topic` as on the
 * broker. */
bool kafka_refused_for_good(rd_kafka_t *producer, const char *topic, rd_kafka_resp_err_t error,
                            struct failure *failure);

/* The last header of that name; data is NULL where there is none. Borrows from the message. */
struct str kafka_header(const rd_kafka_headers_t *headers, const char *name);

#endif
