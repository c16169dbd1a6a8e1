#include "runtime/kafka/rewrite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "runtime/base/clock.h"
#include "runtime/kafka/client.h"
#include "runtime/base/text.h"

#define CALL_TIMEOUT_MS 5000
#define GIVE_UP_S 60
/* Of the transaction, which holds up its readers if this process dies: a little more than it
 * takes. */
#define OPEN_AT_LEAST_MS 30000
#define OPEN_AT_MOST_MS 900000 /* the broker's own limit, where nobody changed it */
#define RECORDS_PER_MS 10

struct kafka_rewrite {
  const struct options *options;
  rd_kafka_t *producer;
  rd_kafka_consumer_group_metadata_t *group;
  rd_kafka_topic_partition_list_t *offsets;
  int64_t outstanding;
  bool begun;
  rd_kafka_resp_err_t undelivered; /* why a record is not there */
  char refusing[TOPIC_NAME_MAX];   /* the topic that refused it */
};

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque) {
  (void)handle;
  struct kafka_rewrite *rewrite = opaque;
  int64_t *last = message->_private;
  rewrite->outstanding--;
  if (!message->err) {
    if (last && *last < message->offset) *last = message->offset;
  } else if (!rewrite->undelivered) { /* those behind it fail for it */
    rewrite->undelivered = message->err;
    snprintf(rewrite->refusing, sizeof rewrite->refusing, "%s", rd_kafka_topic_name(message->rkt));
  }
}

/* ---- what is tried again until it ends ---- */

struct step {
  const char *name;
  rd_kafka_error_t *(*attempt)(struct kafka_rewrite *rewrite);
};

static rd_kafka_error_t *try_init(struct kafka_rewrite *rewrite) {
  return rd_kafka_init_transactions(rewrite->producer, CALL_TIMEOUT_MS);
}

static rd_kafka_error_t *try_begin(struct kafka_rewrite *rewrite) {
  return rd_kafka_begin_transaction(rewrite->producer);
}

static rd_kafka_error_t *try_offsets(struct kafka_rewrite *rewrite) {
  return rd_kafka_send_offsets_to_transaction(rewrite->producer, rewrite->offsets, rewrite->group,
                                              CALL_TIMEOUT_MS);
}

static rd_kafka_error_t *try_commit(struct kafka_rewrite *rewrite) {
  return rd_kafka_commit_transaction(rewrite->producer, CALL_TIMEOUT_MS);
}

static rd_kafka_error_t *try_abort(struct kafka_rewrite *rewrite) {
  return rd_kafka_abort_transaction(rewrite->producer, CALL_TIMEOUT_MS);
}

static bool is_done(struct kafka_rewrite *rewrite, struct step step, struct failure *failure) {
  int64_t until = clock_monotonic_s() + GIVE_UP_S;
  for (;;) {
    rd_kafka_error_t *error = step.attempt(rewrite);
    if (!error) return true;
    bool again = rd_kafka_error_is_retriable(error) && clock_monotonic_s() < until;
    int code = kafka_is_forbidden(rd_kafka_error_code(error)) ? EX_CONFIG : EX_UNAVAILABLE;
    failure_set(failure, code, "%s: %s", step.name, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    if (!again) return false;
  }
}

/* ---- beginning, records, end ---- */

static int64_t open_ms(int64_t records) {
  int64_t wanted = OPEN_AT_LEAST_MS + records / RECORDS_PER_MS;
  return wanted < OPEN_AT_MOST_MS ? wanted : OPEN_AT_MOST_MS;
}

struct kafka_rewrite *kafka_rewrite_begin(const struct options *options, const char *name,
                                          int64_t records, struct failure *failure) {
  char id[TOPIC_NAME_MAX], timeout[TEXT_NUMBER_MAX + 1];
  *text_number(timeout, open_ms(records)) = '\0';
  const struct kafka_setting forced[] = {{"transactional.id", kafka_topic_name(options, name, id)},
                                         {"transaction.timeout.ms", timeout},
                                         {NULL, NULL}};
  struct kafka_rewrite *rewrite = xcalloc(1, sizeof *rewrite);
  rewrite->options = options;
  rd_kafka_conf_t *conf = kafka_conf(options, "holdfast", forced, failure);
  if (conf) {
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, rewrite);
    rewrite->producer = kafka_open(RD_KAFKA_PRODUCER, conf, failure);
  }
  rewrite->begun = rewrite->producer &&
                   is_done(rewrite, (struct step){"init_transactions", try_init}, failure) &&
                   is_done(rewrite, (struct step){"begin_transaction", try_begin}, failure);
  if (rewrite->begun) return rewrite;
  kafka_rewrite_end(rewrite);
  return NULL;
}

bool kafka_rewrite_put(struct kafka_rewrite *rewrite, const char *topic, int32_t partition,
                       struct str key, struct str value, int64_t *last, struct failure *failure) {
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
      failure_set(failure, EX_UNAVAILABLE, "cannot produce: %s", rd_kafka_err2str(error));
      return false;
    }
    rd_kafka_poll(rewrite->producer, 50);
  }
}

bool kafka_rewrite_settle(struct kafka_rewrite *rewrite, struct failure *failure) {
  while (rewrite->outstanding > 0 && !rewrite->undelivered) rd_kafka_poll(rewrite->producer, 10);
  if (!rewrite->undelivered) return true;
  if (kafka_is_refused_for_good(rewrite->undelivered))
    return kafka_refused_for_good(rewrite->producer, rewrite->refusing, rewrite->undelivered,
                                  failure);
  return failure_set(failure, EX_UNAVAILABLE, "a record was not delivered: %s",
                     rd_kafka_err2str(rewrite->undelivered));
}

/* A death at the worst moment: only in the test build. */
static void failpoint(void) {
#ifdef HOLDFAST_FAILPOINTS
  const char *step = getenv("HOLDFAST_FAILPOINT");
  if (step && strcmp(step, "reset-offsets-sent") == 0) raise(SIGKILL);
#endif
}

static void set_offsets(struct kafka_rewrite *rewrite, const char *group, const char *topic,
                        const struct log_offset *offsets, int32_t count) {
  char name[TOPIC_NAME_MAX], group_name[TOPIC_NAME_MAX];
  kafka_topic_name(rewrite->options, topic, name);
  kafka_topic_name(rewrite->options, group, group_name);
  rewrite->group = rd_kafka_consumer_group_metadata_new(group_name);
  rewrite->offsets = rd_kafka_topic_partition_list_new(count);
  for (int32_t p = 0; p < count; p++) {
    if (offsets[p].offset < 0) continue;
    rd_kafka_topic_partition_t *one = rd_kafka_topic_partition_list_add(rewrite->offsets, name, p);
    one->offset = offsets[p].offset;
    one->metadata = xstrdup(offsets[p].metadata); /* librdkafka frees it with the list */
    one->metadata_size = strlen(offsets[p].metadata);
  }
}

bool kafka_rewrite_commit(struct kafka_rewrite *rewrite, const char *group, const char *topic,
                          const struct log_offset *offsets, int32_t count,
                          struct failure *failure) {
  set_offsets(rewrite, group, topic, offsets, count);
  if (!is_done(rewrite, (struct step){"send_offsets_to_transaction", try_offsets}, failure))
    return false;
  failpoint();
  if (!is_done(rewrite, (struct step){"commit_transaction", try_commit}, failure)) return false;
  rewrite->begun = false;
  return true;
}

void kafka_rewrite_end(struct kafka_rewrite *rewrite) {
  if (!rewrite) return;
  struct failure ignored; /* it ends with its time-out then */
  if (rewrite->begun) is_done(rewrite, (struct step){"abort_transaction", try_abort}, &ignored);
  if (rewrite->group) rd_kafka_consumer_group_metadata_destroy(rewrite->group);
  if (rewrite->offsets) rd_kafka_topic_partition_list_destroy(rewrite->offsets);
  if (rewrite->producer) rd_kafka_destroy(rewrite->producer);
  free(rewrite);
}
