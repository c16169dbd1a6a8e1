/* The limit of librdkafka and the broker: reads a topic, writes each record to every output as it
 * came, in transactions. No state, no decision; the yardstick of scripts/bench.
 *
 * pass-through BROKERS GROUP INPUT BATCH WAIT_MS OUTPUT...
 *
 * A transaction takes what waits, and what comes within WAIT_MS of it, up to BATCH records: 20 for
 * records/s, 0 for latency.
 *
 * HOLDFAST_PROPERTIES names a file of librdkafka's properties, for a broker that asks who comes.
 *
 * The first output carries the headers of the record, the others (they stand for a changelog) do
 * not. It is no filter: a group of one member, no fencing of a former one, no recovery. */
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/settings.h"

#define OUTPUTS_MAX 8
#define PARTITIONS_MAX 256

static volatile sig_atomic_t stopping;

static void on_signal(int signal) {
  (void)signal;
  stopping = 1;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
  char error[256];
  if (rd_kafka_conf_set(conf, name, value, error, sizeof error) == RD_KAFKA_CONF_OK) return;
  fprintf(stderr, "pass-through: %s\n", error);
  exit(64);
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
  char error[256];
  rd_kafka_t *handle = rd_kafka_new(type, conf, error, sizeof error);
  if (handle) return handle;
  fprintf(stderr, "pass-through: %s\n", error);
  exit(69);
}

static void must(rd_kafka_error_t *error, const char *what) {
  if (!error) return;
  fprintf(stderr, "pass-through: %s: %s\n", what, rd_kafka_error_string(error));
  exit(75);
}

static bool take_property(void *user, const char *name, const char *value, char *why) {
  if (strcmp(name, "brokers") == 0) return true; /* the argument counts */
  return rd_kafka_conf_set(user, name, value, why, SETTINGS_WHY_SIZE) == RD_KAFKA_CONF_OK;
}

static void set_properties(rd_kafka_conf_t *conf) {
  char error[512] = "";
  const char *path = getenv("HOLDFAST_PROPERTIES");
  FILE *file = path ? fopen(path, "r") : NULL;
  if (path && !file) snprintf(error, sizeof error, "%s: %s", path, strerror(errno));
  if (file && settings_read(file, path, take_property, conf, error)) error[0] = '\0';
  if (file) fclose(file);
  if (!error[0]) return;
  fprintf(stderr, "pass-through: %s\n", error);
  exit(78);
}

/* What suits throughput, and what a filter has too. */
static rd_kafka_conf_t *common(const char *brokers) {
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", brokers);
  set(conf, "socket.nagle.disable", "true");
  set_properties(conf);
  return conf;
}

static rd_kafka_t *open_producer(const char *brokers, const char *group) {
  rd_kafka_conf_t *conf = common(brokers);
  set(conf, "transactional.id", group);
  set(conf, "compression.codec", "lz4");
  set(conf, "linger.ms", "50");
  set(conf, "partitioner", "murmur2_random");
  rd_kafka_t *producer = client(RD_KAFKA_PRODUCER, conf);
  must(rd_kafka_init_transactions(producer, 30000), "init_transactions");
  return producer;
}

static rd_kafka_t *open_consumer(const char *brokers, const char *group, const char *input) {
  rd_kafka_conf_t *conf = common(brokers);
  set(conf, "group.id", group);
  set(conf, "enable.auto.commit", "false");
  set(conf, "auto.offset.reset", "earliest");
  set(conf, "isolation.level", "read_committed");
  set(conf, "check.crcs", "true");
  rd_kafka_t *consumer = client(RD_KAFKA_CONSUMER, conf);
  rd_kafka_poll_set_consumer(consumer);
  rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(topics, input, RD_KAFKA_PARTITION_UA);
  rd_kafka_subscribe(consumer, topics);
  rd_kafka_topic_partition_list_destroy(topics);
  return consumer;
}

static void produce(rd_kafka_t *producer, rd_kafka_topic_t *topic, rd_kafka_message_t *message,
                    bool with_headers) {
  rd_kafka_headers_t *headers = NULL;
  if (with_headers && !rd_kafka_message_headers(message, &headers))
    headers = rd_kafka_headers_copy(headers);
  for (;;) {
    rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {message->key, message->key_len}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {message->payload, message->len}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = rd_kafka_message_timestamp(message, NULL)},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    rd_kafka_error_t *error =
        rd_kafka_produceva(producer, fields, sizeof fields / sizeof *fields - !headers);
    if (!error) return;
    if (rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR__QUEUE_FULL) must(error, "produce");
    rd_kafka_error_destroy(error);
    rd_kafka_poll(producer, 10);
  }
}

static void commit(rd_kafka_t *producer, rd_kafka_t *consumer, const char *input,
                   const int64_t *next) {
  rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(4);
  for (int32_t p = 0; p < PARTITIONS_MAX; p++) {
    if (next[p] > 0) rd_kafka_topic_partition_list_add(offsets, input, p)->offset = next[p];
  }
  rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(consumer);
  must(rd_kafka_send_offsets_to_transaction(producer, offsets, group, 30000), "offsets");
  must(rd_kafka_commit_transaction(producer, 30000), "commit");
  rd_kafka_consumer_group_metadata_destroy(group);
  rd_kafka_topic_partition_list_destroy(offsets);
}

int main(int argc, char **argv) {
  if (argc < 7 || argc > 6 + OUTPUTS_MAX) {
    fprintf(stderr, "usage: pass-through BROKERS GROUP INPUT BATCH WAIT_MS OUTPUT...\n");
    return 64;
  }
  const char *brokers = argv[1], *group = argv[2], *input = argv[3];
  size_t batch = strtoul(argv[4], NULL, 10);
  rd_kafka_topic_t *outputs[OUTPUTS_MAX];
  int wait_ms = atoi(argv[5]);
  size_t output_count = (size_t)argc - 6;
  signal(SIGTERM, on_signal);
  signal(SIGINT, on_signal);
  rd_kafka_t *producer = open_producer(brokers, group);
  rd_kafka_t *consumer = open_consumer(brokers, group, input);
  for (size_t i = 0; i < output_count; i++)
    outputs[i] = rd_kafka_topic_new(producer, argv[6 + i], NULL);
  rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
  rd_kafka_message_t **messages = calloc(batch, sizeof(rd_kafka_message_t *));
  while (!stopping) {
    int64_t next[PARTITIONS_MAX] = {0};
    messages[0] = rd_kafka_consumer_poll(consumer, 20);
    if (!messages[0]) continue;
    ssize_t count = rd_kafka_consume_batch_queue(queue, wait_ms, messages + 1, batch - 1);
    count = count < 0 ? 1 : count + 1;
    must(rd_kafka_begin_transaction(producer), "begin");
    for (ssize_t i = 0; i < count; i++) {
      rd_kafka_message_t *message = messages[i];
      for (size_t o = 0; !message->err && o < output_count; o++)
        produce(producer, outputs[o], message, o == 0);
      if (!message->err && message->partition < PARTITIONS_MAX)
        next[message->partition] = message->offset + 1;
    }
    commit(producer, consumer, input, next);
    for (ssize_t i = 0; i < count; i++) rd_kafka_message_destroy(messages[i]);
  }
  rd_kafka_consumer_close(consumer);
  rd_kafka_queue_destroy(queue);
  for (size_t i = 0; i < output_count; i++) rd_kafka_topic_destroy(outputs[i]);
  rd_kafka_destroy(consumer);
  rd_kafka_destroy(producer);
  free(messages);
  return 0;
}
