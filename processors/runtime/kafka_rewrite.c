#include "kafka_rewrite.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "kafka_client.h"

#define TIMEOUT_MS 60000

struct kafka_rewrite {
  const struct options *options;
  rd_kafka_t *producer;
  int64_t outstanding;
  bool begun, failed;
  char error[256];
};

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque) {
  (void)handle;
  struct kafka_rewrite *rewrite = opaque;
  int64_t *last = message->_private;
  rewrite->outstanding--;
  if (message->err) {
    rewrite->failed = true;
    snprintf(rewrite->error, sizeof rewrite->error, "%s", rd_kafka_err2str(message->err));
  } else if (last && *last < message->offset) {
    *last = message->offset;
  }
}

static bool is_done(rd_kafka_error_t *error, const char *what, struct log_failure *failure) {
  if (!error) return true;
  log_fail(failure, EX_UNAVAILABLE, "%s: %s", what, rd_kafka_error_string(error));
  rd_kafka_error_destroy(error);
  return false;
}

struct kafka_rewrite *kafka_rewrite_begin(const struct options *options, const char *name,
                                          struct log_failure *failure) {
  char id[TOPIC_NAME_MAX];
  const struct kafka_setting forced[] = {{"transactional.id", kafka_topic_name(options, name, id)},
                                         {"transaction.timeout.ms", "600000"},
                                         {NULL, NULL}};
  struct kafka_rewrite *rewrite = xcalloc(1, sizeof *rewrite);
  rewrite->options = options;
  rd_kafka_conf_t *conf = kafka_conf(options, "holdfast", forced, failure);
  if (conf) {
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, rewrite);
    rewrite->producer = kafka_open(RD_KAFKA_PRODUCER, conf, failure);
  }
  rewrite->begun =
      rewrite->producer &&
      is_done(rd_kafka_init_transactions(rewrite->producer, TIMEOUT_MS), "init_transactions",
              failure) &&
      is_done(rd_kafka_begin_transaction(rewrite->producer), "begin_transaction", failure);
  if (rewrite->begun) return rewrite;
  kafka_rewrite_end(rewrite);
  return NULL;
}

bool kafka_rewrite_put(struct kafka_rewrite *rewrite, const char *topic, int32_t partition,
                       struct str key, struct str value, int64_t *last,
                       struct log_failure *failure) {
  char name[TOPIC_NAME_MAX];
  kafka_topic_name(rewrite->options, topic, name);
  for (;;) {
    rd_kafka_resp_err_t error = rd_kafka_producev(
        rewrite->producer, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_PARTITION(partition),
        RD_KAFKA_V_KEY(key.data, key.size),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)value.data, value.size),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(last), RD_KAFKA_V_END);
    if (!error) {
      rewrite->outstanding++;
      rd_kafka_poll(rewrite->producer, 0);
      return true;
    }
    if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
      log_fail(failure, EX_UNAVAILABLE, "cannot produce: %s", rd_kafka_err2str(error));
      return false;
    }
    rd_kafka_poll(rewrite->producer, 50);
  }
}

bool kafka_rewrite_settle(struct kafka_rewrite *rewrite, struct log_failure *failure) {
  while (rewrite->outstanding > 0 && !rewrite->failed) rd_kafka_poll(rewrite->producer, 10);
  if (!rewrite->failed) return true;
  log_fail(failure, EX_UNAVAILABLE, "a record was not delivered: %s", rewrite->error);
  return false;
}

bool kafka_rewrite_commit(struct kafka_rewrite *rewrite, const char *group, const char *topic,
                          const struct log_offset *offsets, int32_t count,
                          struct log_failure *failure) {
  char name[TOPIC_NAME_MAX], group_name[TOPIC_NAME_MAX];
  kafka_topic_name(rewrite->options, topic, name);
  kafka_topic_name(rewrite->options, group, group_name);
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
  for (int32_t p = 0; p < count; p++) {
    if (offsets[p].offset < 0) continue;
    rd_kafka_topic_partition_t *one = rd_kafka_topic_partition_list_add(list, name, p);
    one->offset = offsets[p].offset;
    one->metadata = xstrdup(offsets[p].metadata); /* librdkafka frees it with the list */
    one->metadata_size = strlen(offsets[p].metadata);
  }
  rd_kafka_consumer_group_metadata_t *metadata = rd_kafka_consumer_group_metadata_new(group_name);
  bool done =
      is_done(rd_kafka_send_offsets_to_transaction(rewrite->producer, list, metadata, TIMEOUT_MS),
              "send_offsets_to_transaction", failure) &&
      is_done(rd_kafka_commit_transaction(rewrite->producer, TIMEOUT_MS), "commit_transaction",
              failure);
  rd_kafka_consumer_group_metadata_destroy(metadata);
  rd_kafka_topic_partition_list_destroy(list);
  if (done) rewrite->begun = false;
  return done;
}

void kafka_rewrite_end(struct kafka_rewrite *rewrite) {
  if (!rewrite) return;
  if (rewrite->begun) {
    rd_kafka_error_t *error = rd_kafka_abort_transaction(rewrite->producer, TIMEOUT_MS);
    if (error) rd_kafka_error_destroy(error); /* it times out then */
  }
  if (rewrite->producer) rd_kafka_destroy(rewrite->producer);
  free(rewrite);
}
