/* The names that callers of Kafka need without including it. */
#ifndef HOLDFAST_KAFKA_NAMES_H
#define HOLDFAST_KAFKA_NAMES_H

#define TOPIC_NAME_MAX 250

struct kafka_setting {
  const char *name, *value;
};

#endif
