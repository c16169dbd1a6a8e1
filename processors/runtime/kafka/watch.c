/* A thread that looks whether the filter does something while a broker answers. librdkafka can stay
 * out of its group, or in a transaction, long after the broker is back; a new process begins
 * anew. */
#include "runtime/kafka/watch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "runtime/base/arena.h"
#include "runtime/base/clock.h"
#include "runtime/base/report.h"
#include "runtime/base/worker.h"
#include "runtime/kafka/access.h"

#define LOOK_EVERY_MS 500 /* a request: not more of them than an idle filter makes anyway */
#define OUTAGE_LOOK_EVERY_MS 100
#define PROBE_TIMEOUT_MS 1000
/* A process that was stopped and continued has not waited meanwhile. */
#define ELAPSED_MAX_MS (LOOK_EVERY_MS + PROBE_TIMEOUT_MS)
/* In vain after an outage: who is back by then is back without us, which is rare, and a start takes
 * less than a second. */
#define AFTER_OUTAGE_MS 500
/* Nobody but a broker that has just started refuses what it would take later. */
#define REFUSED_MS 10000
/* A consumer can find out seconds later that its group is lost: its session has to end. */
#define OUTAGE_OVER_MS 30000
/* Out of the group without an outage: another instance may be long in joining. */
#define LEFT_OUT_MS 30000

struct kafka_watch {
  rd_kafka_t *handle, *probe;
  const struct options *options;
  struct worker worker;
  atomic_uint turns, services;
  unsigned turns_seen, services_seen;
  bool outage;
  int64_t vain_ms, calm_ms, refused_ms;
};

static rd_kafka_resp_err_t ask(rd_kafka_t *handle, int timeout_ms) {
  const struct rd_kafka_metadata *metadata;
  rd_kafka_resp_err_t error = rd_kafka_metadata(handle, 0, NULL, &metadata, timeout_ms);
  if (!error) rd_kafka_metadata_destroy(metadata);
  return error;
}

bool kafka_answers_within(rd_kafka_t *handle, int timeout_ms) {
  return ask(handle, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_t *open_probe(const struct options *options) {
  static const struct kafka_setting quiet[] = {{"log_level", "0"}, {NULL, NULL}};
  struct failure ignored;
  rd_kafka_conf_t *conf = kafka_conf(options, "watch", quiet, &ignored);
  return conf ? kafka_open(RD_KAFKA_PRODUCER, conf, &ignored) : NULL;
}

/* True if a broker answers. One that is only slow, on a connection that stands, is not away: where
 * everything is slow, new processes would make it slower. A handle can go on without its broker for
 * a minute after that is back (librdkafka 2.16.1). So in an outage one is asked that has never
 * known a broker. */
static bool look(struct kafka_watch *self) {
  rd_kafka_resp_err_t error = ask(self->outage ? self->probe : self->handle, PROBE_TIMEOUT_MS);
  if (self->probe) rd_kafka_poll(self->probe, 0); /* it may have been refused */
  if (error != RD_KAFKA_RESP_ERR__TRANSPORT || self->outage) return !error;
  self->probe = open_probe(self->options);
  self->outage = self->probe != NULL;
  report_warning("no broker answers: waiting for one");
  return false;
}

static void end_outage(struct kafka_watch *self) {
  self->outage = false;
  if (self->probe) rd_kafka_destroy(self->probe);
  self->probe = NULL;
}

static bool moved(atomic_uint *count, unsigned *seen) {
  unsigned now = atomic_load(count);
  bool has = now != *seen;
  *seen = now;
  return has;
}

/* As one that is killed: the loop may be anywhere. */
static void end_process(const struct kafka_watch *self) {
  report_error(
      "a broker answers, and for %.1f s nothing could be done with it%s: this process ends "
      "to be started anew",
      (double)self->vain_ms / 1000, self->outage ? ", which was away before" : "");
  _exit(EX_TEMPFAIL);
}

static void judge_refusal(struct kafka_watch *self, int64_t elapsed_ms) {
  struct failure failure;
  self->refused_ms = access_is_refused_still() ? self->refused_ms + elapsed_ms : 0;
  if (self->refused_ms < REFUSED_MS || !access_is_refused(&failure)) return;
  report_error("%s", failure.text);
  _exit(failure.exit_code);
}

static void judge(struct kafka_watch *self, bool answered, int64_t elapsed_ms) {
  if (answered) access_is_fine();
  bool turned = moved(&self->turns, &self->turns_seen);
  bool served = moved(&self->services, &self->services_seen);
  if (!answered) {
    self->vain_ms = self->calm_ms = 0;
    judge_refusal(self, elapsed_ms);
    return;
  }
  self->calm_ms = served ? self->calm_ms + elapsed_ms : 0;
  if (self->calm_ms > OUTAGE_OVER_MS) end_outage(self);
  /* Without an outage a loop that does not turn has something to do: its disk, or a transaction. */
  bool vain = !served && (self->outage || turned);
  self->vain_ms = vain ? self->vain_ms + elapsed_ms : 0;
  if (self->vain_ms >= (self->outage ? AFTER_OUTAGE_MS : LEFT_OUT_MS)) end_process(self);
}

static void *run(void *user) {
  struct kafka_watch *self = user;
  int64_t before = clock_monotonic_us();
  while (worker_pause(&self->worker, self->outage ? OUTAGE_LOOK_EVERY_MS : LOOK_EVERY_MS)) {
    bool answered = look(self);
    int64_t now = clock_monotonic_us(), elapsed_ms = (now - before) / 1000;
    before = now;
    judge(self, answered, elapsed_ms < ELAPSED_MAX_MS ? elapsed_ms : ELAPSED_MAX_MS);
  }
  return NULL;
}

struct kafka_watch *kafka_watch_start(rd_kafka_t *handle, const struct options *options) {
  struct kafka_watch *self = xcalloc(1, sizeof *self);
  self->options = options;
  self->handle = handle;
  worker_init(&self->worker);
  worker_start(&self->worker, "watch", run, self);
  return self;
}

void kafka_watch_stop(struct kafka_watch *self) {
  if (!self) return;
  worker_free(&self->worker);
  end_outage(self);
  free(self);
}

void kafka_watch_turned(struct kafka_watch *self) {
  atomic_fetch_add_explicit(&self->turns, 1, memory_order_relaxed);
}

void kafka_watch_served(struct kafka_watch *self) {
  atomic_fetch_add_explicit(&self->services, 1, memory_order_relaxed);
}
