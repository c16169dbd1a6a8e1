/* Producing to and reading of topics for the command line. */
#ifndef HOLDFAST_KAFKA_IO_H
#define HOLDFAST_KAFKA_IO_H

#include "runtime/base/failure.h"
#include "runtime/record/message.h"
#include "runtime/base/options.h"

struct kafka_producer;

/* NULL with the failure set: also where the topic does not exist or no broker answers. Idempotent,
 * so that nothing doubles. */
struct kafka_producer *kafka_producer_open(const struct options *options, const char *topic,
                                           struct failure *failure);

/* Key and value are copied. Waits where the queue is full. */
bool kafka_producer_send(struct kafka_producer *producer, struct str key, struct str value,
                         struct str correlation_id, struct failure *failure);

/* Waits until everything is acknowledged. False: the failure is set, and delivered says how many
 * were. */
bool kafka_producer_flush(struct kafka_producer *producer, size_t *delivered,
                          struct failure *failure);
void kafka_producer_close(struct kafka_producer *producer);

struct kafka_reader;
enum { KAFKA_READ_BEGINNING = -2, KAFKA_READ_END = -1 };

/* Reads nothing yet: see kafka_reader_turn_to. */
struct kafka_reader *kafka_reader_new(const struct options *options, struct failure *failure);

/* Reads all partitions of a topic, or one (-1: all), read_committed, from an offset or one of the
 * two above; an offset below -2 is so many records (minus 2) before the end. */
struct kafka_reader *kafka_reader_open(const struct options *options, const char *topic,
                                       int32_t partition, int64_t from, struct failure *failure);

/* All that comes to a topic from now on. In fetches of many records, so up to 20 ms after its
 * commit. */
struct kafka_reader *kafka_reader_follow(const struct options *options, const char *topic,
                                         struct failure *failure);

/* Goes on with another topic: all its partitions, each from its own offset (as many as the topic
 * has partitions; KAFKA_READ_BEGINNING is taken too). Never start a partition at its end and then
 * turn to the same one: the end that librdkafka told of first can come late, as that of the
 * second. */
bool kafka_reader_turn_to(struct kafka_reader *reader, const char *topic, const int64_t *from,
                          struct failure *failure);

int32_t kafka_reader_partitions(const struct kafka_reader *reader);

/* After KAFKA_READ_AT_END: the partition's stable end. */
int64_t kafka_reader_end(const struct kafka_reader *reader, int32_t partition);

enum kafka_read { KAFKA_READ_RECORD, KAFKA_READ_NOTHING, KAFKA_READ_AT_END, KAFKA_READ_FAILED };

/* The next record, valid until the next call; one whose bytes cannot be had has its `fault` set,
 * and nothing but its place. KAFKA_READ_AT_END: every partition was read to the end it had at some
 * moment since. */
enum kafka_read kafka_reader_next(struct kafka_reader *reader, int timeout_ms, int32_t *partition,
                                  struct message *record, struct failure *failure);
void kafka_reader_close(struct kafka_reader *reader);

/* Gives every committed record of a topic to take: of all partitions (-1) to their ends, or of one
 * up to `until` (-1: its end). False: the failure is set, also where that is not reached because a
 * transaction stays open. */
bool kafka_read_up_to(const struct options *options, const char *topic, int32_t partition,
                      int64_t until,
                      void (*take)(void *user, int32_t partition, const struct message *record),
                      void *user, struct failure *failure);

#endif
