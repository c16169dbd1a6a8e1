/* A member's log: the operations of log.h on a cluster in memory. */
#include "runtime/memory/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "runtime/memory/cluster.h"
#include "runtime/base/mutant.h"
#include "runtime/core/recovery.h"

#define MESSAGE_MAX 2000000 /* message.max.bytes of the producer on Kafka */

struct read_position {
  bool resumed;
  int64_t next, changelog_next;
};

struct log_memory {
  struct log log;
  struct memory_cluster *cluster;
  int group, input, changelog, slot, producer, epoch; /* numbers in the cluster */
  int generation;                                     /* of the assignment; 0: none */
  bool joined;
  int32_t *assigned;
  size_t assigned_count;
  struct read_position *positions; /* by partition of the input */
  size_t turn;                     /* partitions are read in turn */
};

static struct log_memory *self_of(struct log *log) {
  return (struct log_memory *)log;
}

static enum log_status fail(struct log *log, enum log_status status, const char *text) {
  log->failure.exit_code = EX_TEMPFAIL;
  snprintf(log->failure.text, sizeof log->failure.text, "%s", text);
  return status;
}

static struct producer *producer_at(struct log_memory *self) {
  return &self->cluster->producers[self->producer];
}

static enum log_status check_producer(struct log_memory *self) {
  return producer_at(self)->epoch == self->epoch
             ? LOG_OK
             : fail(&self->log, LOG_FATAL,
                    "fenced: another process has this slot, or its transaction timed out");
}

static enum log_status memory_init(struct log *log) {
  struct log_memory *self = self_of(log);
  cluster_end_transaction(self->cluster, self->producer, TRANSACTION_ABORTED);
  cluster_write_markers(self->cluster, self->producer);
  self->epoch = ++producer_at(self)->epoch;
  return LOG_OK;
}

static enum log_status memory_foresee(struct log *log, struct log_foreseen *out) {
  struct log_memory *self = self_of(log);
  struct group *group = &self->cluster->groups[self->group];
  *out = (struct log_foreseen){.member = cluster_find_member(group, self->slot) != NULL};
  if (!group->member_count) return LOG_OK;
  size_t place = 0, members = group->member_count + !out->member;
  while (place < group->member_count && group->members[place].slot < self->slot) place++;
  log_foreseen_take(out, (int32_t)place, (int32_t)members, (int32_t)group->offset_count);
  return LOG_OK;
}

/* A static member that comes back takes its former place without a rebalance. */
static enum log_status memory_join(struct log *log) {
  struct log_memory *self = self_of(log);
  struct group *group = &self->cluster->groups[self->group];
  struct member *member = cluster_find_member(group, self->slot);
  if (!member) {
    group->members = xgrow(group->members, &group->member_capacity, group->member_count + 1,
                           sizeof *group->members);
    group->members[group->member_count++] = (struct member){.slot = self->slot};
    cluster_sort_members(group);
    group->generation++;
    member = cluster_find_member(group, self->slot);
  }
  member->log = self;
  self->joined = true;
  return LOG_OK;
}

static void memory_close(struct log *log) {
  struct log_memory *self = self_of(log);
  struct member *member = cluster_find_member(&self->cluster->groups[self->group], self->slot);
  if (member && member->log == self) member->log = NULL;
  free(self->assigned);
  free(self->positions);
  free(self);
}

static void take_assignment(struct log_memory *self, struct log_event *event) {
  const struct group *group = &self->cluster->groups[self->group];
  size_t place = 0, members = group->member_count;
  while (place < members && group->members[place].slot != self->slot) place++;
  int32_t first;
  self->assigned_count =
      (size_t)log_range((int32_t)place, (int32_t)members, (int32_t)group->offset_count, &first);
  for (size_t i = 0; i < self->assigned_count; i++) {
    self->assigned[i] = first + (int32_t)i;
    self->positions[self->assigned[i]].resumed = false;
  }
  self->generation = group->generation;
  *event = (struct log_event){
      .kind = LOG_ASSIGNED, .partitions = self->assigned, .partition_count = self->assigned_count};
}

/* The error of a consumer without auto.offset.reset on a topic that was made again or trimmed. */
static bool is_outside(struct log_memory *self, int32_t partition, struct log_event *event) {
  const struct memory_partition *of = &self->cluster->topics[self->input].partitions[partition];
  int64_t next = self->positions[partition].next, end = of->base + (int64_t)of->count;
  if (next >= of->base && next <= end) return false;
  recovery_tell_input(self->cluster->groups[self->group].name,
                      self->cluster->topics[self->input].name, partition, next, of->base, end,
                      &self->log.failure);
  event->kind = LOG_FAILED;
  return true;
}

static bool poll_record(struct log_memory *self, struct log_event *event) {
  const struct memory_topic *topic = &self->cluster->topics[self->input];
  for (size_t i = 0; i < self->assigned_count; i++) {
    int32_t id = self->assigned[(self->turn + i) % self->assigned_count];
    struct read_position *position = &self->positions[id];
    if (!position->resumed) continue;
    if (is_outside(self, id, event)) return false;
    int64_t end = cluster_stable_end(self->cluster, &topic->partitions[id]);
    const struct message *record =
        cluster_next_committed(self->cluster, &topic->partitions[id], position->next, end);
    if (!record) {
      if (end > position->next) position->next = end;
      continue;
    }
    position->next = record->offset + 1;
    event->kind = LOG_RECORD;
    event->record = (struct log_record){.partition = id,
                                        .offset = record->offset,
                                        .timestamp = record->timestamp,
                                        .key = record->key,
                                        .value = record->value,
                                        .correlation_id = record->correlation_id,
                                        .causation = record->causation,
                                        .traceparent = record->traceparent,
                                        .fault = record->fault,
                                        .size = record->key.size + record->value.size};
    self->turn++;
    return true;
  }
  return false;
}

static void memory_poll(struct log *log, int timeout_ms, struct log_event *event) {
  (void)timeout_ms; /* nothing comes while this thread waits */
  struct log_memory *self = self_of(log);
  struct group *group = &self->cluster->groups[self->group];
  *event = (struct log_event){.kind = LOG_IDLE};
  struct member *member = cluster_find_member(group, self->slot);
  if (member && member->log != self) {
    fail(log, LOG_FATAL, "fenced: another process has this slot of the group");
    event->kind = LOG_FAILED;
  } else if (self->generation && self->generation != group->generation) {
    self->generation = 0;
    self->assigned_count = 0;
    event->kind = LOG_REVOKED;
  } else if (!self->generation) {
    if (!member) memory_join(log); /* thought dead meanwhile: joins anew */
    take_assignment(self, event);
  } else {
    poll_record(self, event);
  }
}

static void memory_release(struct log *log, struct log_record *record) {
  (void)log;
  *record = (struct log_record){0}; /* the cluster owns what it pointed to */
}

static enum log_status memory_seek(struct log *log, int32_t partition, int64_t offset) {
  self_of(log)->positions[partition].next = offset;
  return LOG_OK;
}

static enum log_status memory_resume(struct log *log, int32_t partition) {
  self_of(log)->positions[partition].resumed = true;
  return LOG_OK;
}

static enum log_status memory_committed_offset(struct log *log, int32_t partition,
                                               struct log_offset *out) {
  struct log_memory *self = self_of(log);
  const struct memory_offset *offset = &self->cluster->groups[self->group].offsets[partition];
  *out = offset->committed;
  if (MUTANT("unstable-offset")) return LOG_OK;
  return offset->pending_transaction == NO_TRANSACTION ? LOG_OK : LOG_AGAIN;
}

static enum log_status memory_begin(struct log *log) {
  struct log_memory *self = self_of(log);
  struct memory_cluster *cluster = self->cluster;
  enum log_status status = check_producer(self);
  if (status != LOG_OK) return status;
  cluster_write_markers(cluster, self->producer);
  cluster->transactions = xgrow(cluster->transactions, &cluster->transaction_capacity,
                                cluster->transaction_count + 1, sizeof *cluster->transactions);
  cluster->transactions[cluster->transaction_count] = TRANSACTION_OPEN;
  producer_at(self)->transaction = (int)cluster->transaction_count++;
  return LOG_OK;
}

static enum log_status memory_produce(struct log *log, const struct log_output *output) {
  struct log_memory *self = self_of(log);
  enum log_status status = check_producer(self);
  if (status != LOG_OK) return status;
  if (output->key.size + output->value.size > MESSAGE_MAX)
    return fail(log, LOG_FATAL, "produce: the message is too large");
  struct message record = {.timestamp = output->timestamp,
                           .key = output->key,
                           .value = output->value,
                           .correlation_id = output->correlation_id,
                           .causation = output->causation,
                           .source = output->source,
                           .traceparent = output->traceparent,
                           .error = output->error,
                           .whole_key = output->whole_key,
                           .whole_value = output->whole_value};
  int transaction = producer_at(self)->transaction;
  if (MUTANT("changelog-outside-transaction") && output->landed) transaction = NO_TRANSACTION;
  int64_t offset = cluster_append(self->cluster, &self->cluster->topics[output->topic],
                                  output->partition, &record, transaction);
  if (output->landed) log_has_landed(output->landed, offset);
  return LOG_OK;
}

static enum log_status memory_settle(struct log *log) {
  return check_producer(self_of(log));
}

static enum log_status memory_send_offsets(struct log *log, const struct log_position *positions,
                                           size_t count) {
  struct log_memory *self = self_of(log);
  enum log_status status = check_producer(self);
  if (status != LOG_OK) return status;
  struct group *group = &self->cluster->groups[self->group];
  if (self->generation != group->generation && !MUTANT("generation-not-checked"))
    return fail(log, LOG_ABORT,
                "the group has another generation: these partitions may be another's");
  for (size_t i = 0; i < count; i++) {
    struct memory_offset *offset = &group->offsets[positions[i].partition];
    offset->pending_transaction = producer_at(self)->transaction;
    offset->pending.offset = positions[i].offset;
    snprintf(offset->pending.metadata, sizeof offset->pending.metadata, "%s",
             positions[i].metadata);
  }
  return LOG_OK;
}

static enum log_status memory_commit(struct log *log) {
  struct log_memory *self = self_of(log);
  struct producer *producer = producer_at(self);
  enum log_status status = check_producer(self);
  if (status != LOG_OK) return status;
  if (producer->fail_next_commit) {
    producer->fail_next_commit = false;
    return fail(log, LOG_ABORT, "the commit was refused");
  }
  cluster_end_transaction(self->cluster, self->producer, TRANSACTION_COMMITTED);
  return LOG_OK;
}

static enum log_status memory_abort(struct log *log) {
  struct log_memory *self = self_of(log);
  enum log_status status = check_producer(self);
  if (status == LOG_OK) cluster_end_transaction(self->cluster, self->producer, TRANSACTION_ABORTED);
  return status;
}

static struct memory_partition *changelog_of(struct log_memory *self, int32_t partition) {
  return &self->cluster->topics[self->changelog].partitions[partition];
}

static enum log_status memory_changelog_open(struct log *log, int32_t partition, int64_t from) {
  self_of(log)->positions[partition].changelog_next = from;
  return LOG_OK;
}

static enum log_status memory_changelog_next(struct log *log, int32_t partition,
                                             struct log_record *out, int64_t *position) {
  struct log_memory *self = self_of(log);
  struct memory_partition *changelog = changelog_of(self, partition);
  int64_t *next = &self->positions[partition].changelog_next,
          end = cluster_stable_end(self->cluster, changelog);
  if (*next < changelog->base || *next > changelog->base + (int64_t)changelog->count)
    return fail(log, LOG_FATAL, "the changelog has lost the records that were being read");
  const struct message *record = cluster_next_committed(self->cluster, changelog, *next, end);
  if (record) {
    *out = (struct log_record){.partition = partition,
                               .offset = record->offset,
                               .timestamp = record->timestamp,
                               .key = record->key,
                               .value = record->value};
    *next = record->offset + 1;
  } else if (end > *next) {
    *next = end;
  }
  *position = *next;
  return record ? LOG_OK : LOG_AGAIN;
}

static void memory_changelog_close(struct log *log, int32_t partition) {
  (void)log;
  (void)partition;
}

static enum log_status memory_bounds(struct log *log, enum log_source source, int32_t partition,
                                     int64_t *first, int64_t *end) {
  struct log_memory *self = self_of(log);
  int topic = source == LOG_INPUT ? self->input : self->changelog;
  const struct memory_partition *of = &self->cluster->topics[topic].partitions[partition];
  *first = of->base;
  *end = of->base + (int64_t)of->count;
  return LOG_OK;
}

static int memory_topic(struct log *log, const char *name) {
  int topic = cluster_find_topic(self_of(log)->cluster, name);
  if (topic >= 0) return topic;
  log->failure.exit_code = EX_CONFIG;
  snprintf(log->failure.text, sizeof log->failure.text, "the topic '%s' does not exist", name);
  return -1;
}

static int32_t memory_partition_count(struct log *log, int topic) {
  return self_of(log)->cluster->topics[topic].partition_count;
}

static int64_t memory_lag(struct log *log, int32_t partition) {
  struct log_memory *self = self_of(log);
  return cluster_stable_end(self->cluster,
                            &self->cluster->topics[self->input].partitions[partition]) -
         self->positions[partition].next;
}

static int64_t memory_now(struct log *log) {
  return self_of(log)->cluster->now;
}

static const struct log_class memory_class = {.close = memory_close,
                                              .init = memory_init,
                                              .foresee = memory_foresee,
                                              .join = memory_join,
                                              .poll = memory_poll,
                                              .release = memory_release,
                                              .seek = memory_seek,
                                              .resume = memory_resume,
                                              .committed = memory_committed_offset,
                                              .begin = memory_begin,
                                              .produce = memory_produce,
                                              .settle = memory_settle,
                                              .send_offsets = memory_send_offsets,
                                              .commit = memory_commit,
                                              .abort = memory_abort,
                                              .changelog_open = memory_changelog_open,
                                              .changelog_next = memory_changelog_next,
                                              .changelog_close = memory_changelog_close,
                                              .bounds = memory_bounds,
                                              .topic = memory_topic,
                                              .partition_count = memory_partition_count,
                                              .lag = memory_lag,
                                              .now = memory_now};

struct log *memory_log_open(struct memory_cluster *cluster, const char *group, const char *input,
                            const char *changelog, int slot) {
  struct log_memory *self = xcalloc(1, sizeof *self);
  self->log.class = &memory_class;
  self->cluster = cluster;
  self->input = cluster_find_topic(cluster, input);
  self->changelog = changelog ? cluster_find_topic(cluster, changelog) : self->input;
  if (self->input < 0 || self->changelog < 0) abort();
  self->group = cluster_group(cluster, group, self->input);
  self->slot = slot;
  self->producer = cluster_producer(cluster, group, slot);
  size_t partitions = (size_t)cluster->topics[self->input].partition_count;
  self->assigned = xcalloc(partitions, sizeof *self->assigned);
  self->positions = xcalloc(partitions, sizeof *self->positions);
  return &self->log;
}
