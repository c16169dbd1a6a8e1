#include "runtime/kafka/gap.h"

#include "runtime/base/clock.h"
#include "runtime/kafka/client.h"

#define PROBE_GIVE_UP_S 5
#define PROBE_WAIT_MS 100
#define QUERY_TIMEOUT_MS 5000
/* A checksum can also be wrong on the way. A batch with a right checksum that cannot be unpacked
 * never can. */
#define CONFIRMATIONS 3

const char *kafka_gap_reason(rd_kafka_resp_err_t error) {
  switch ((int)error) { /* a few of more than a hundred */
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
      return "its batch cannot be decompressed: it is damaged, or larger than "
             "receive.message.max.bytes";
    case RD_KAFKA_RESP_ERR__BAD_MSG: return "its batch is damaged: the checksum is wrong";
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
      return "its batch has a format or a compression that is not known here";
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: return "its batch is too large to be fetched";
    default: return NULL;
  }
}

struct probe {
  const struct options *options;
  const char *topic;
  int32_t partition;
};

static rd_kafka_t *probe_open(const struct probe *probe) {
  static const struct kafka_setting forced[] = {
      {"isolation.level", "read_committed"}, {"enable.partition.eof", "true"},
      {"auto.offset.reset", "error"},        {"fetch.wait.max.ms", "10"},
      {"max.partition.fetch.bytes", "1000"}, {NULL, NULL}};
  struct failure failure;
  rd_kafka_conf_t *conf = kafka_conf(probe->options, "holdfast", forced, &failure);
  return conf ? kafka_open(RD_KAFKA_CONSUMER, conf, &failure) : NULL;
}

static rd_kafka_message_t *read_first(const struct probe *probe, rd_kafka_topic_t *topic,
                                      int64_t offset) {
  rd_kafka_message_t *message = NULL;
  if (rd_kafka_consume_start(topic, probe->partition, offset) != 0) return NULL;
  int64_t until = clock_monotonic_s() + PROBE_GIVE_UP_S;
  while (!message && clock_monotonic_s() < until)
    message = rd_kafka_consume(topic, probe->partition, PROBE_WAIT_MS);
  rd_kafka_consume_stop(topic, probe->partition);
  return message;
}

/* The first thing that comes of the partition when it is read from there: its error or none, and
 * its offset. The handle is new each time: librdkafka 2.16.1 reads on behind a wrong checksum at an
 * offset that nobody asked for, and tells the next one who asks that it is out of range. */
static bool first_at(const struct probe *probe, int64_t offset, rd_kafka_resp_err_t *error,
                     int64_t *at) {
  rd_kafka_t *handle = probe_open(probe);
  rd_kafka_topic_t *topic = handle ? rd_kafka_topic_new(handle, probe->topic, NULL) : NULL;
  rd_kafka_message_t *message = topic ? read_first(probe, topic, offset) : NULL;
  bool found = message != NULL;
  if (found) {
    *error = message->err;
    *at = message->offset;
    rd_kafka_message_destroy(message);
  }
  if (topic) rd_kafka_topic_destroy(topic);
  if (handle) rd_kafka_destroy(handle);
  return found;
}

/* The first offset of the batch that lies next at this offset, if no record can be made of it; -1:
 * a record can. */
static int64_t batch_at(const struct probe *probe, int64_t offset, const char **why) {
  rd_kafka_resp_err_t error;
  int64_t at;
  if (!first_at(probe, offset, &error, &at)) return -1;
  *why = error ? kafka_gap_reason(error) : NULL;
  return *why ? at : -1;
}

/* -1: the broker does not say. */
static int64_t end_of(const struct probe *probe) {
  rd_kafka_t *handle = probe_open(probe);
  int64_t low, end;
  if (!handle || rd_kafka_query_watermark_offsets(handle, probe->topic, probe->partition, &low,
                                                  &end, QUERY_TIMEOUT_MS))
    end = -1;
  if (handle) rd_kafka_destroy(handle);
  return end;
}

/* The last offset that still lies in the batch: every offset up to there does, and none behind. */
static int64_t batch_end(const struct probe *probe, int64_t base, int64_t first) {
  const char *why;
  int64_t in = first, step = 1, out = end_of(probe);
  if (out <= first) out = first + 1;
  for (; in + step < out && batch_at(probe, in + step, &why) == base; step *= 2) in += step;
  if (in + step < out) out = in + step;
  while (out - in > 1) {
    int64_t middle = in + (out - in) / 2;
    if (batch_at(probe, middle, &why) == base)
      in = middle;
    else
      out = middle;
  }
  return in;
}

bool kafka_gap_find(const struct options *options, const char *topic, int32_t partition,
                    int64_t from, struct kafka_gap *out) {
  const struct probe probe = {options, topic, partition};
  int64_t base = batch_at(&probe, from, &out->why);
  bool checksum = base >= 0 && out->why == kafka_gap_reason(RD_KAFKA_RESP_ERR__BAD_MSG);
  for (int i = 1; checksum && i < CONFIRMATIONS; i++) {
    if (batch_at(&probe, from, &out->why) != base) return false;
  }
  if (base < 0) return false;
  out->partition = partition;
  out->next = base > from ? base : from;
  out->last = batch_end(&probe, base, out->next);
  return true;
}

bool kafka_gap_next(struct kafka_gap *gap, int64_t *offset) {
  if (gap->next > gap->last) return false;
  *offset = gap->next++;
  return true;
}
