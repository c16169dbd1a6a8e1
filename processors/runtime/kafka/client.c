#include "runtime/kafka/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>
#include <sysexits.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "runtime/base/report.h"
#include "runtime/kafka/access.h"
#include "runtime/kafka/version.h"

#define METADATA_TIMEOUT_MS 2000
#define START_TIMEOUT_S 10
#define FAIL_EVERY_MS 1000
#define THERE_TIMEOUT_S 15
#define UNKNOWN_TOPIC_TRIES 8 /* a topic that was just made is not known everywhere at once */

/* Settings that suit us and harm nobody: the user may choose otherwise. */
static const struct kafka_setting defaults[] = {
    {"socket.nagle.disable", "true"},
    {"check.crcs", "true"},
    {"fetch.error.backoff.ms", "50"},
    {"queued.max.messages.kbytes", "16384"},
    {"max.partition.fetch.bytes", "524288"},
    {"queued.min.messages", "10000"},
    {"compression.codec", "lz4"},
    {"linger.ms", "2"},
    {"queue.buffering.max.kbytes", "65536"},
    {"reconnect.backoff.max.ms", "250"},
    /* A broker that has just started can leave the first question of a connection unanswered (seen
     * with Kafka 4.1); librdkafka waits 10 s for it. */
    {"api.version.request.timeout.ms", "2500"},
    {"allow.auto.create.topics", "false"},
    {"session.timeout.ms", "10000"},
    {"heartbeat.interval.ms", "200"}, /* a rebalance waits until every member has heard of it */
    {"transaction.timeout.ms", "10000"},
    {"topic.metadata.refresh.interval.ms", "30000"}, /* partitions that somebody adds are seen */
    {"log_level", "4"},
    {NULL, NULL},
};

/* librdkafka 2.16.1 tells of each connection that is refused, which is forty a second while a broker
 * is away. */
static bool is_of_a_flood(const char *facility) {
  static _Atomic int64_t told_at;
  if (strcmp(facility, "FAIL") != 0) return false;
  int64_t now = clock_monotonic_ms();
  if (told_at && now < told_at + FAIL_EVERY_MS) return true;
  told_at = now;
  return false;
}

static void log_line(const rd_kafka_t *handle, int level, const char *facility, const char *text) {
  (void)handle;
  access_note_log(facility, text);
  if (strcmp(facility, "CONFWARN") == 0 /* one set of properties serves all kinds of handles */
      || is_of_a_flood(facility))
    level = LOG_DEBUG;
  report_line(level <= LOG_ERR      ? LEVEL_WARNING
              : level <= LOG_NOTICE ? LEVEL_INFO
                                    : LEVEL_DEBUG,
              "librdkafka %s: %s", facility, text);
}

/* One handle is not both: properties of the other kind are not worth a warning. */
static bool set(rd_kafka_conf_t *conf, const char *name, const char *value,
                struct failure *failure) {
  char error[256];
  if (rd_kafka_conf_set(conf, name, value, error, sizeof error) == RD_KAFKA_CONF_OK) return true;
  failure_set(failure, EX_CONFIG, "librdkafka property %s: %s", name, error);
  return false;
}

static bool set_all(rd_kafka_conf_t *conf, const struct kafka_setting *settings,
                    struct failure *failure) {
  for (; settings && settings->name; settings++) {
    if (!set(conf, settings->name, settings->value, failure)) return false;
  }
  return true;
}

rd_kafka_conf_t *kafka_conf(const struct options *options, const char *client_id,
                            const struct kafka_setting *forced, struct failure *failure) {
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  rd_kafka_conf_set_log_cb(conf, log_line);
  bool fine = set_all(conf, defaults, failure) &&
              (kafka_fetcher_sleeps() || set(conf, "fetch.queue.backoff.ms", "5", failure)) &&
              set(conf, "bootstrap.servers", options_text(options, "brokers"), failure) &&
              set(conf, "client.id", client_id, failure);
  for (size_t i = 0; fine && i < options->kafka_count; i++)
    fine = set(conf, options->kafka[i].name, options->kafka[i].value, failure);
  fine = fine && access_prepare(conf, options, failure);
  if (fine && set_all(conf, forced, failure)) return conf;
  rd_kafka_conf_destroy(conf);
  return NULL;
}

rd_kafka_t *kafka_open(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct failure *failure) {
  char error[256];
  rd_kafka_t *handle = rd_kafka_new(type, conf, error, sizeof error);
  if (handle) return handle;
  rd_kafka_conf_destroy(conf);
  failure_set(failure, EX_CONFIG, "%s", error);
  return NULL;
}

/* One that refuses this process keeps silent towards callers: it is asked in pieces. */
bool kafka_is_there(rd_kafka_t *handle, const struct options *options, struct failure *failure) {
  const struct rd_kafka_metadata *metadata;
  rd_kafka_resp_err_t error;
  time_t until = time(NULL) + THERE_TIMEOUT_S;
  do {
    error = rd_kafka_metadata(handle, 0, NULL, &metadata, METADATA_TIMEOUT_MS);
    if (!error) {
      rd_kafka_metadata_destroy(metadata);
      access_is_fine();
      return true;
    }
    rd_kafka_poll(handle, 0);
    if (access_is_refused(failure)) return false;
  } while (time(NULL) < until);
  return failure_set(failure, EX_UNAVAILABLE,
                     "no broker answers at %s (%s): is Kafka running, and are --brokers right?",
                     options_text(options, "brokers"), rd_kafka_err2str(error));
}

const char *kafka_topic_name(const struct options *options, const char *name, char *out) {
  snprintf(out, TOPIC_NAME_MAX, "%s%s", options_text(options, "prefix"), name);
  return out;
}

int32_t kafka_partition_count(rd_kafka_t *handle, const char *name, const char *operation,
                              struct failure *failure) {
  rd_kafka_topic_t *topic = rd_kafka_topic_new(handle, name, NULL);
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__TIMED_OUT;
  int32_t count = -1;
  int unknown = 0;
  for (time_t until = time(NULL) + START_TIMEOUT_S; topic && time(NULL) < until;) {
    const struct rd_kafka_metadata *metadata;
    error = rd_kafka_metadata(handle, 0, topic, &metadata, METADATA_TIMEOUT_MS);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
      error = metadata->topic_cnt == 1 ? metadata->topics[0].err
                                       : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
      if (!error) count = metadata->topics[0].partition_cnt;
      rd_kafka_metadata_destroy(metadata);
      bool settling =
          error == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
          (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART && ++unknown < UNKNOWN_TOPIC_TRIES);
      if (!settling) break;
    }
    report_info("waiting for '%s': %s", name, rd_kafka_err2str(error));
    rd_kafka_poll(handle, 200);
    if (error && access_is_refused(failure)) break;
  }
  if (topic) rd_kafka_topic_destroy(topic);
  if (count >= 0) {
    access_is_fine();
    return count;
  }
  if (error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
    access_denied(failure, operation, "topic", name);
  } else if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
    failure_set(failure, EX_CONFIG, "the topic '%s' does not exist: run 'holdfast topics apply'",
                name);
  } else if (!access_is_refused(failure)) {
    failure_set(failure, EX_UNAVAILABLE,
                "no broker answers within %d s (%s): is Kafka running, and are --brokers right?",
                START_TIMEOUT_S, rd_kafka_err2str(error));
  }
  return -1;
}

rd_kafka_resp_err_t kafka_topic_config(rd_kafka_t *handle, const char *topic, const char *name,
                                       char *out, size_t size) {
  rd_kafka_queue_t *queue = rd_kafka_queue_new(handle);
  rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
  rd_kafka_DescribeConfigs(handle, &resource, 1, NULL, queue);
  rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 10000);
  rd_kafka_resp_err_t error = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
  if (!error) {
    size_t count, entries_count;
    const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &count);
    const rd_kafka_ConfigEntry_t **entries =
        count ? rd_kafka_ConfigResource_configs(resources[0], &entries_count) : NULL;
    error = count ? rd_kafka_ConfigResource_error(resources[0]) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (!error) error = RD_KAFKA_RESP_ERR__NOENT;
    for (size_t i = 0; entries && i < entries_count; i++) {
      if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), name) != 0 ||
          !rd_kafka_ConfigEntry_value(entries[i]))
        continue;
      snprintf(out, size, "%s", rd_kafka_ConfigEntry_value(entries[i]));
      error = RD_KAFKA_RESP_ERR_NO_ERROR;
    }
  }
  if (event) rd_kafka_event_destroy(event);
  rd_kafka_ConfigResource_destroy(resource);
  rd_kafka_queue_destroy(queue);
  return error;
}

bool kafka_is_forbidden(rd_kafka_resp_err_t error) {
  switch ((int)error) { /* a few of more than a hundred */
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_INVALID_GROUP_ID: return true;
    default: return false;
  }
}

bool kafka_is_coordinator_settling(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_NOT_COORDINATOR ||
         error == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE ||
         error == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS ||
         error == RD_KAFKA_RESP_ERR__WAIT_COORD;
}

bool kafka_is_refused_for_good(rd_kafka_resp_err_t error) {
  switch ((int)error) {                        /* a few of more than a hundred */
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: /* a batch, which can be no smaller than a record */
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION: return true;
    default: return kafka_is_forbidden(error);
  }
}

bool kafka_refused_for_good(rd_kafka_t *producer, const char *topic, rd_kafka_resp_err_t error,
                            struct failure *failure) {
  char limit[64] = "unknown";
  if (error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
    return access_denied(failure, "Write", "topic", topic);
  if (error != RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
    return failure_set(failure, EX_CONFIG,
                       "'%s' refuses a record (%s). 'holdfast topics plan' shows the settings that "
                       "differ from its file; the broker decides who may write to it",
                       topic, rd_kafka_err2str(error));
  kafka_topic_config(producer, topic, "max.message.bytes", limit, sizeof limit);
  return failure_set(failure, EX_CONFIG,
                     "'%s' refuses a batch of records as too large: its max.message.bytes is %s. "
                     "'holdfast topics apply' sets it right",
                     topic, limit);
}

struct str kafka_header(const rd_kafka_headers_t *headers, const char *name) {
  const void *value;
  size_t size;
  if (!headers || rd_kafka_header_get_last(headers, name, &value, &size) || !value)
    return (struct str){0};
  return (struct str){value, size};
}
