#include "runtime/kafka/sender.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/report.h"
#include "runtime/base/worker.h"
#include "runtime/kafka/access.h"
#include "runtime/kafka/client.h"

#define POLL_MS 100
#define PROBE_MS 1000 /* Kafka is asked so often whether it is there, while no record says so */

/* A record that waits, in the order of sending. */
struct waiting {
  void *user;
  int64_t since; /* monotonic ms */
  struct waiting *before, *after;
};

struct kafka_sender {
  const struct options *options;
  kafka_sender_heard *heard;
  char topic_name[TOPIC_NAME_MAX];
  size_t most;
  char within[16];
  atomic_bool answers;
  int64_t probed_at; /* monotonic ms; of the thread */
  /* Held by who sends, against the change to another handle */
  pthread_rwlock_t handle_lock;
  rd_kafka_t *handle;
  rd_kafka_topic_t *topic;
  struct worker worker; /* its lock is of what follows */
  struct waiting *first, *last;
  size_t count;
};

/* ---- who waits ---- */

static struct waiting *wait_in_line(struct kafka_sender *self, void *user) {
  struct waiting *waiting = NULL;
  worker_lock(&self->worker);
  if (self->count < self->most) {
    self->count++;
    waiting = xcalloc(1, sizeof *waiting);
    *waiting = (struct waiting){.user = user, .since = clock_monotonic_ms(), .before = self->last};
    *(self->last ? &self->last->after : &self->first) = waiting;
    self->last = waiting;
  }
  worker_unlock(&self->worker);
  return waiting;
}

static void leave(struct kafka_sender *self, struct waiting *waiting) {
  worker_lock(&self->worker);
  self->count--;
  *(waiting->before ? &waiting->before->after : &self->first) = waiting->after;
  *(waiting->after ? &waiting->after->before : &self->last) = waiting->before;
  worker_unlock(&self->worker);
  free(waiting);
}

int64_t kafka_sender_waits_ms(struct kafka_sender *self) {
  worker_lock(&self->worker);
  int64_t since = self->first ? self->first->since : 0;
  worker_unlock(&self->worker);
  int64_t waits = since ? clock_monotonic_ms() - since : 0;
  return waits > 0 ? waits : 0;
}

bool kafka_sender_is_answered(struct kafka_sender *self) {
  return self->answers;
}

size_t kafka_sender_waiting(struct kafka_sender *self) {
  worker_lock(&self->worker);
  size_t count = self->count;
  worker_unlock(&self->worker);
  return count;
}

/* ---- the handle ---- */

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque) {
  (void)handle;
  struct kafka_sender *self = opaque;
  struct waiting *waiting = message->_private;
  struct kafka_receipt receipt = {
      .sent = KAFKA_SENT, .partition = message->partition, .offset = message->offset, .why = ""};
  if (message->err) {
    bool never = rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
    receipt = (struct kafka_receipt){.sent = never ? KAFKA_NOT_SENT : KAFKA_SENT_MAYBE,
                                     .partition = -1,
                                     .offset = -1,
                                     .why = rd_kafka_err2str(message->err)};
  }
  void *user = waiting->user;
  self->answers = receipt.sent == KAFKA_SENT;
  leave(self, waiting);
  self->heard(user, &receipt);
}

/* A record is sent at once where two requests are not out already, else with those that come
 * meanwhile: so a lone one does not linger, and many share a request. librdkafka 2.0.2 polls without
 * waiting through the last millisecond of a linger, which is a core where records always come. */
static bool open_handle(struct kafka_sender *self, struct failure *failure) {
  char most[16];
  snprintf(most, sizeof most, "%zu", self->most + 1);
  const struct kafka_setting forced[] = {{"enable.idempotence", "true"},
                                         {"partitioner", "murmur2_random"},
                                         {"message.timeout.ms", self->within},
                                         {"linger.ms", "0"},
                                         {"max.in.flight", "2"},
                                         {"queue.buffering.max.messages", most},
                                         {NULL, NULL}};
  rd_kafka_conf_t *conf = kafka_conf(self->options, "gateway", forced, failure);
  if (!conf) return false;
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  rd_kafka_conf_set_opaque(conf, self);
  self->handle = kafka_open(RD_KAFKA_PRODUCER, conf, failure);
  self->topic = self->handle ? rd_kafka_topic_new(self->handle, self->topic_name, NULL) : NULL;
  return self->topic != NULL;
}

static void close_handle(struct kafka_sender *self) {
  if (self->topic) rd_kafka_topic_destroy(self->topic);
  if (self->handle) rd_kafka_destroy(self->handle);
  self->topic = NULL;
  self->handle = NULL;
}

/* What waits is heard of now. */
static void give_up(struct kafka_sender *self) {
  rd_kafka_purge(self->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  while (rd_kafka_outq_len(self->handle) > 0) rd_kafka_poll(self->handle, POLL_MS);
}

/* An idempotent producer that has failed stays so: another takes its place. */
static void replace_handle(struct kafka_sender *self) {
  char why[256];
  if (!rd_kafka_fatal_error(self->handle, why, sizeof why)) return;
  struct failure failure;
  if (access_is_no_writer(self->handle, self->topic_name, &failure)) {
    report_error("%s", failure.text);
    _exit(failure.exit_code); /* as one that is killed: whoever waits asks again */
  }
  report_warning("the producer has failed and is made anew: %s", why);
  pthread_rwlock_wrlock(&self->handle_lock);
  give_up(self);
  close_handle(self);
  if (!open_handle(self, &failure)) {
    report_error("%s", failure.text); /* it could be made before: no memory */
    abort();
  }
  pthread_rwlock_unlock(&self->handle_lock);
}

/* Without records nothing else would tell of a broker that has gone or come back. */
static void probe(struct kafka_sender *self) {
  const struct rd_kafka_metadata *metadata;
  if (clock_monotonic_ms() < self->probed_at + PROBE_MS || kafka_sender_waiting(self) > 0) return;
  self->answers = rd_kafka_metadata(self->handle, 0, self->topic, &metadata, PROBE_MS) == 0;
  if (self->answers) rd_kafka_metadata_destroy(metadata);
  self->probed_at = clock_monotonic_ms();
}

static void *listen_for_receipts(void *user) {
  struct kafka_sender *self = user;
  while (!self->worker.ending) {
    rd_kafka_poll(self->handle, POLL_MS);
    replace_handle(self);
    probe(self);
  }
  return NULL;
}

/* ---- what others call ---- */

bool kafka_sender_send(struct kafka_sender *self, const struct message *record, void *user) {
  struct waiting *waiting = wait_in_line(self, user);
  if (!waiting) return false;
  pthread_rwlock_rdlock(&self->handle_lock);
  rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
  if (record->correlation_id.size)
    rd_kafka_header_add(headers, "correlation-id", -1, record->correlation_id.data,
                        (ssize_t)record->correlation_id.size);
  if (record->traceparent.size)
    rd_kafka_header_add(headers, "traceparent", -1, record->traceparent.data,
                        (ssize_t)record->traceparent.size);
  rd_kafka_resp_err_t error = rd_kafka_producev(
      self->handle, RD_KAFKA_V_RKT(self->topic), RD_KAFKA_V_KEY(record->key.data, record->key.size),
      RD_KAFKA_V_VALUE((void *)(uintptr_t)record->value.data, record->value.size),
      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(headers),
      RD_KAFKA_V_OPAQUE(waiting), RD_KAFKA_V_END);
  if (error) rd_kafka_headers_destroy(headers);
  pthread_rwlock_unlock(&self->handle_lock);
  if (error) leave(self, waiting);
  return !error;
}

struct kafka_sender *kafka_sender_open(const struct options *options, const char *topic,
                                       size_t most, int within_ms, kafka_sender_heard *heard,
                                       struct failure *failure) {
  struct kafka_sender *self = xcalloc(1, sizeof *self);
  *self = (struct kafka_sender){.options = options, .heard = heard, .most = most, .answers = true};
  snprintf(self->within, sizeof self->within, "%d", within_ms);
  kafka_topic_name(options, topic, self->topic_name);
  worker_init(&self->worker);
  pthread_rwlock_init(&self->handle_lock, NULL);
  if (open_handle(self, failure) &&
      kafka_partition_count(self->handle, self->topic_name, "Write", failure) > 0) {
    worker_start(&self->worker, "sender", listen_for_receipts, self);
    return self;
  }
  kafka_sender_close(self);
  return NULL;
}

void kafka_sender_close(struct kafka_sender *self) {
  if (!self) return;
  worker_end(&self->worker);
  if (self->handle) give_up(self);
  close_handle(self);
  pthread_rwlock_destroy(&self->handle_lock);
  worker_free(&self->worker);
  free(self);
}
