/* The log of one process, with what can go wrong between it and the broker. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "sim.h"

/* A record that was produced and not acknowledged yet. */
struct delivery {
  struct log_landed *to; /* the caller's */
  int64_t offset;
};

struct faulty_log {
  struct log log;
  struct log *inner;
  struct node *node;
  bool initialized, undelivered; /* undelivered: a record of this transaction was lost */
  struct delivery *deliveries;
  size_t delivery_count, delivery_capacity;
};

static struct faulty_log *self_of(struct log *log) {
  return (struct faulty_log *)log;
}

static enum log_status fail(struct log *log, enum log_status status, const char *text) {
  log->failure.exit_code = EX_TEMPFAIL;
  snprintf(log->failure.text, sizeof log->failure.text, "simulated: %s", text);
  return status;
}

static enum log_status died(struct log *log) {
  return fail(log, LOG_FATAL, "the process is dead");
}

static enum log_status pass_on(struct log *log, enum log_status status) {
  if (status != LOG_OK) log->failure = self_of(log)->inner->failure;
  return status;
}

static bool happens(struct log *log, int per_thousand) {
  struct sim *sim = self_of(log)->node->sim;
  return !sim->quiet && chance_of(&sim->chance, per_thousand);
}

/* True: the call ends the process, as each one may; whether the broker has done it is another
 * question. */
static bool call_fails(struct log *log, const char *name) {
  struct node *node = self_of(log)->node;
  if (!happens(log, node->sim->faults.call_fails)) return false;
  node->sim->counts[COUNT_FAILED_CALLS]++;
  damage_meets_fault(node);
  sim_tell(node->sim, "%s: %s fails for good", node_name(node), name);
  fail(log, LOG_FATAL, "a call failed for good");
  return true;
}

/* The call itself, between two places where the process can stop or die. */
#define CALL(log, name, ...)                                                                \
  do {                                                                                      \
    if (!node_passes(self_of(log)->node, "before " #name)) return died(log);                \
    if (call_fails(log, #name)) return LOG_FATAL;                                           \
    enum log_status status_ = pass_on(log, log_##name(self_of(log)->inner, ##__VA_ARGS__)); \
    if (!node_passes(self_of(log)->node, "after " #name)) return died(log);                 \
    if (status_ == LOG_OK && call_fails(log, "the answer of " #name)) return LOG_FATAL;     \
    return status_;                                                                         \
  } while (0)

static void faulty_close(struct log *log) {
  struct faulty_log *self = self_of(log);
  log_close(self->inner);
  free(self->deliveries);
  free(self);
}

static enum log_status faulty_init(struct log *log) {
  self_of(log)->initialized = true;
  CALL(log, init);
}

static enum log_status faulty_foresee(struct log *log, struct log_foreseen *out) {
  if (!node_passes(self_of(log)->node, "before foresee")) return died(log);
  if (happens(log, self_of(log)->node->sim->faults.again)) return LOG_AGAIN;
  return log_foresee(self_of(log)->inner, out);
}

static enum log_status faulty_join(struct log *log) {
  if (!self_of(log)->initialized)
    sim_fail(self_of(log)->node->sim, "%s joins before it has ended its slot's open transaction",
             node_name(self_of(log)->node));
  CALL(log, join);
}

static void faulty_poll(struct log *log, int timeout_ms, struct log_event *event) {
  struct faulty_log *self = self_of(log);
  *event = (struct log_event){.kind = LOG_FAILED};
  if (self->node->dead) {
    died(log);
    return;
  }
  if (call_fails(log, "poll")) return;
  log_poll(self->inner, timeout_ms, event);
  if (event->kind == LOG_FAILED) pass_on(log, LOG_FATAL);
  if (event->kind == LOG_ASSIGNED) {
    self->node->sim->counts[COUNT_REBALANCES]++;
    char list[64] = "";
    for (size_t i = 0; i < event->partition_count; i++)
      snprintf(list + strlen(list), sizeof list - strlen(list), " %d", (int)event->partitions[i]);
    sim_tell(self->node->sim, "%s is assigned%s", node_name(self->node), list);
  }
}

static void faulty_release(struct log *log, struct log_record *record) {
  log_release(self_of(log)->inner, record);
}

static enum log_status faulty_seek(struct log *log, int32_t partition, int64_t offset) {
  struct log *inner = self_of(log)->inner;
  int64_t first, end;
  if (self_of(log)->node->dead) return died(log);
  if (call_fails(log, "seek")) return LOG_FATAL;
  log_bounds(inner, LOG_INPUT, partition, &first, &end);
  /* A record that was fetched before a seek may be delivered after it. */
  if (happens(log, 300) && offset > first + 1) offset -= 2;
  return pass_on(log, log_seek(inner, partition, offset));
}

static enum log_status faulty_resume(struct log *log, int32_t partition) {
  CALL(log, resume, partition);
}

static enum log_status faulty_committed(struct log *log, int32_t partition,
                                        struct log_offset *out) {
  if (happens(log, self_of(log)->node->sim->faults.again)) return LOG_AGAIN;
  CALL(log, committed, partition, out);
}

/* The transaction is lost, by an error of this kind. */
static enum log_status loses(struct log *log, const char *text) {
  struct node *node = self_of(log)->node;
  node->sim->counts[COUNT_ABORTS]++;
  damage_meets_fault(node);
  sim_tell(node->sim, "%s: %s", node_name(node), text);
  return fail(log, LOG_ABORT, text);
}

static enum log_status faulty_begin(struct log *log) {
  struct faulty_log *self = self_of(log);
  self->undelivered = false;
  if (happens(log, self->node->sim->faults.abort / 4)) return loses(log, "it cannot begin");
  if (happens(log, self->node->sim->faults.call_fails))
    return fail(log, LOG_AGAIN, "it cannot begin yet");
  CALL(log, begin);
}

/* As the first version of its schema has it: the later fields stand at its end, and empty each is
 * one byte. Data NULL: the record has one version only, or cannot be an older build's. */
static struct str as_first_version(struct sim *sim, struct str value) {
  struct record record;
  char error[CODEC_ERROR_SIZE];
  if (!value.data || !codec_decode(sim->codec, value, &sim->arena, &record, error))
    return (struct str){0};
  uint64_t first = 0;
  size_t later = 1; /* fields */
  if (record.type == RECORD_REQUEST_CHARGE) {
    struct request_charge *request = (struct request_charge *)(uintptr_t)record.value;
    request->attempt = 0;
    request->opened_at = 0;
    later = 2;
  } else if (record.type == RECORD_COMMAND_REFUSED &&
             ((const struct command_refused *)record.value)->refusal < REFUSAL_TOO_OLD) {
    ((struct command_refused *)(uintptr_t)record.value)->place = STR("");
  } else {
    return (struct str){0};
  }
  for (size_t i = 0; i < holdfast_schemas.version_count; i++) {
    const struct schema_version *version = &holdfast_schemas.versions[i];
    if (version->type == record.type && !first) first = version->fingerprint;
  }
  struct str old = codec_encode(sim->codec, record, &sim->arena);
  char *bytes = (char *)(uintptr_t)old.data;
  for (int i = 0; i < 8; i++) bytes[2 + i] = (char)(first >> (8 * i)); /* little-endian */
  old.size -= later;
  return old;
}

/* The log has the record, and says so later; or it has lost it, and says that later. */
static enum log_status faulty_produce(struct log *log, const struct log_output *output) {
  struct faulty_log *self = self_of(log);
  struct sim *sim = self->node->sim;
  if (self->node->dead) return died(log);
  if (happens(log, sim->faults.abort / 4)) return loses(log, "a record cannot be produced");
  if (happens(log, sim->faults.abort / 4)) {
    sim_tell(sim, "%s: a record will not be delivered", node_name(self->node));
    self->undelivered = true;
    return LOG_OK;
  }
  struct log_output out = *output;
  if (self->node->old_build && !output->landed) {
    struct str old = as_first_version(sim, output->value);
    if (old.data) out.value = old;
  }
  struct log_landed at = {-1, -1};
  if (out.landed) out.landed = &at;
  enum log_status status = pass_on(log, log_produce(self->inner, &out));
  if (status != LOG_OK || !output->landed) return status;
  self->deliveries = xgrow(self->deliveries, &self->delivery_capacity, self->delivery_count + 1,
                           sizeof *self->deliveries);
  self->deliveries[self->delivery_count++] = (struct delivery){output->landed, at.last};
  return LOG_OK;
}

/* One of what is out, in any order: the log's partitions answer by themselves. */
static void acknowledge_one(struct faulty_log *self) {
  size_t which = chance_below(&self->node->sim->chance, self->delivery_count);
  struct delivery delivery = self->deliveries[which];
  self->deliveries[which] = self->deliveries[--self->delivery_count];
  log_has_landed(delivery.to, delivery.offset);
}

static enum log_status faulty_settle(struct log *log) {
  struct faulty_log *self = self_of(log);
  while (self->delivery_count) {
    if (!node_passes(self->node, "while it waits for deliveries")) return died(log);
    acknowledge_one(self);
  }
  if (self->undelivered) return loses(log, "a record was not delivered");
  CALL(log, settle);
}

static enum log_status faulty_send_offsets(struct log *log, const struct log_position *positions,
                                           size_t count) {
  if (happens(log, self_of(log)->node->sim->faults.abort))
    return loses(log, "the offsets were refused");
  CALL(log, send_offsets, positions, count);
}

static enum log_status unknown(struct log *log, const char *what) {
  struct node *node = self_of(log)->node;
  node->sim->counts[COUNT_UNKNOWN]++;
  sim_tell(node->sim, "%s never hears of its commit, which is %s", node_name(node), what);
  return fail(log, LOG_FATAL, "the outcome of the commit is unknown");
}

static enum log_status faulty_commit(struct log *log) {
  struct faulty_log *self = self_of(log);
  struct faults *faults = &self->node->sim->faults;
  if (!node_passes(self->node, "before commit")) return died(log);
  if (happens(log, faults->commit_refused)) return loses(log, "the commit was refused");
  if (happens(log, faults->commit_unknown)) return unknown(log, "not done");
  while (self->delivery_count) acknowledge_one(self); /* a commit waits for what is out */
  enum log_status status = pass_on(log, log_commit(self->inner));
  if (status == LOG_OK && happens(log, faults->commit_unknown_done)) return unknown(log, "done");
  /* Repeated, as librdkafka does when an answer is lost. */
  if (status == LOG_OK && happens(log, 100)) log_commit(self->inner);
  if (!node_passes(self->node, "after commit")) return died(log);
  return status;
}

/* A record on its way may still be acknowledged while the transaction is taken back, and none after
 * that. */
static enum log_status faulty_abort(struct log *log) {
  struct faulty_log *self = self_of(log);
  while (self->delivery_count && chance_of(&self->node->sim->chance, 700)) acknowledge_one(self);
  self->delivery_count = 0;
  CALL(log, abort);
}

static enum log_status faulty_changelog_open(struct log *log, int32_t partition, int64_t from) {
  CALL(log, changelog_open, partition, from);
}

static enum log_status faulty_changelog_next(struct log *log, int32_t partition,
                                             struct log_record *out, int64_t *position) {
  struct node *node = self_of(log)->node;
  if (!node_passes(node, "while it restores") || !node_sleeps(node, partition)) return died(log);
  if (call_fails(log, "the changelog")) return LOG_FATAL;
  if (happens(log, self_of(log)->node->sim->faults.again)) return LOG_AGAIN;
  return pass_on(log, log_changelog_next(self_of(log)->inner, partition, out, position));
}

static void faulty_changelog_close(struct log *log, int32_t partition) {
  log_changelog_close(self_of(log)->inner, partition);
}

static enum log_status faulty_bounds(struct log *log, enum log_source source, int32_t partition,
                                     int64_t *first, int64_t *end) {
  struct sim *sim = self_of(log)->node->sim;
  if (world_has(WORLD_BOUNDS_AGAIN) && happens(log, sim->faults.again)) return LOG_AGAIN;
  CALL(log, bounds, source, partition, first, end);
}

static int faulty_topic(struct log *log, const char *name) {
  return log_topic(self_of(log)->inner, name);
}

static int32_t faulty_partition_count(struct log *log, int topic) {
  return log_partition_count(self_of(log)->inner, topic);
}

static int64_t faulty_lag(struct log *log, int32_t partition) {
  return log_lag(self_of(log)->inner, partition);
}

static int64_t faulty_now(struct log *log) {
  struct node *node = self_of(log)->node;
  struct sim *sim = node->sim;
  int64_t off = node->skew;
  if (world_has(WORLD_HOST_CLOCKS) && happens(log, sim->faults.host_clock) &&
      chance_of(&sim->chance, 100)) {
    off = years_off(&sim->chance);
    sim_tell(sim, "%s: its clock is off by %" PRId64 " days", node_name(node), off / DAY_MS);
  }
  int64_t now = log_now(self_of(log)->inner) + off;
  return now > 0 ? now : 1; /* a clock that begins anew does so in 1970 */
}

static const struct log_class faulty_class = {.close = faulty_close,
                                              .init = faulty_init,
                                              .foresee = faulty_foresee,
                                              .join = faulty_join,
                                              .poll = faulty_poll,
                                              .release = faulty_release,
                                              .seek = faulty_seek,
                                              .resume = faulty_resume,
                                              .committed = faulty_committed,
                                              .begin = faulty_begin,
                                              .produce = faulty_produce,
                                              .settle = faulty_settle,
                                              .send_offsets = faulty_send_offsets,
                                              .commit = faulty_commit,
                                              .abort = faulty_abort,
                                              .changelog_open = faulty_changelog_open,
                                              .changelog_next = faulty_changelog_next,
                                              .changelog_close = faulty_changelog_close,
                                              .bounds = faulty_bounds,
                                              .topic = faulty_topic,
                                              .partition_count = faulty_partition_count,
                                              .lag = faulty_lag,
                                              .now = faulty_now};

struct log *faulty_log_open(struct node *node, struct log *inner) {
  struct faulty_log *self = xcalloc(1, sizeof *self);
  self->log.class = &faulty_class;
  self->inner = inner;
  self->node = node;
  return &self->log;
}
