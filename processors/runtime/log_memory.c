#include "log_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "arena.h"
#include "murmur2.h"

#define NO_TRANSACTION 0

enum transaction_state { TRANSACTION_OPEN, TRANSACTION_COMMITTED, TRANSACTION_ABORTED };

struct entry {
  struct memory_record record;
  int transaction; /* its number; NO_TRANSACTION: committed from the start */
};

struct memory_partition {
  struct entry *entries;
  size_t count, capacity;
  int64_t base;  /* offset of entries[0] */
  size_t stable; /* entries before it are not open: where to look on for the last stable offset */
};

struct memory_topic {
  char *name;
  struct memory_partition *partitions;
  int32_t partition_count;
};

struct memory_offset {
  int32_t partition;
  struct log_offset committed;
  int pending_transaction; /* whose offsets wait for its end; NO_TRANSACTION: none */
  struct log_offset pending;
};

struct member {
  int slot;
  struct log_memory
      *log; /* NULL: nobody lives in the slot; a static member keeps its partitions all the same */
};

struct group {
  char *name;
  int topic;
  int generation;
  struct member *members; /* by slot */
  size_t member_count, member_capacity;
  struct memory_offset *offsets;
  size_t offset_count;
};

struct producer {
  char *id;
  int epoch;
  int transaction; /* the open one, or NO_TRANSACTION */
  bool fail_next_commit;
};

struct memory_cluster {
  struct arena arena; /* records and names */
  int64_t now, sequence;
  struct memory_topic *topics;
  size_t topic_count, topic_capacity;
  struct group *groups;
  size_t group_count, group_capacity;
  struct producer *producers;
  size_t producer_count, producer_capacity;
  enum transaction_state *transactions; /* by number; number 0 is not one */
  size_t transaction_count, transaction_capacity;
};

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

/* ---- the cluster ---- */

struct memory_cluster *memory_cluster_new(void) {
  struct memory_cluster *cluster = xcalloc(1, sizeof *cluster);
  cluster->transactions =
      xgrow(NULL, &cluster->transaction_capacity, 1, sizeof *cluster->transactions);
  cluster->transactions[cluster->transaction_count++] = TRANSACTION_COMMITTED;
  return cluster;
}

void memory_cluster_free(struct memory_cluster *cluster) {
  if (!cluster) return;
  for (size_t i = 0; i < cluster->topic_count; i++) {
    for (int32_t j = 0; j < cluster->topics[i].partition_count; j++)
      free(cluster->topics[i].partitions[j].entries);
    free(cluster->topics[i].partitions);
  }
  for (size_t i = 0; i < cluster->group_count; i++) {
    free(cluster->groups[i].members);
    free(cluster->groups[i].offsets);
  }
  free(cluster->topics);
  free(cluster->groups);
  free(cluster->producers);
  free(cluster->transactions);
  arena_free(&cluster->arena);
  free(cluster);
}

void memory_cluster_set_time(struct memory_cluster *cluster, int64_t now) {
  cluster->now = now;
}

static char *keep_name(struct memory_cluster *cluster, const char *name) {
  return (char *)(uintptr_t)arena_copy(&cluster->arena, str_of(name)).data;
}

static int find_topic(const struct memory_cluster *cluster, const char *name) {
  for (size_t i = 0; i < cluster->topic_count; i++) {
    if (strcmp(cluster->topics[i].name, name) == 0) return (int)i;
  }
  return -1;
}

void memory_topic_create(struct memory_cluster *cluster, const char *name, int32_t partitions) {
  if (find_topic(cluster, name) >= 0) return;
  cluster->topics = xgrow(cluster->topics, &cluster->topic_capacity, cluster->topic_count + 1,
                          sizeof *cluster->topics);
  cluster->topics[cluster->topic_count++] = (struct memory_topic){
      .name = keep_name(cluster, name),
      .partitions = xcalloc((size_t)partitions, sizeof(struct memory_partition)),
      .partition_count = partitions};
}

int32_t memory_topic_partitions(const struct memory_cluster *cluster, const char *name) {
  int topic = find_topic(cluster, name);
  return topic < 0 ? 0 : cluster->topics[topic].partition_count;
}

static struct memory_topic *topic_of(const struct memory_cluster *cluster, const char *name) {
  int topic = find_topic(cluster, name);
  if (topic < 0) abort(); /* tests and the local run create what they name */
  return &cluster->topics[topic];
}

void memory_topic_begin_at(struct memory_cluster *cluster, const char *name, int32_t partition,
                           int64_t offset) {
  topic_of(cluster, name)->partitions[partition].base = offset;
}

static int64_t append_entry(struct memory_cluster *cluster, struct memory_topic *topic,
                            int32_t partition, const struct memory_record *record,
                            int transaction) {
  if (partition < 0) partition = murmur2_partition(record->key, topic->partition_count);
  struct memory_partition *to = &topic->partitions[partition];
  to->entries = xgrow(to->entries, &to->capacity, to->count + 1, sizeof *to->entries);
  struct entry *entry = &to->entries[to->count];
  *entry = (struct entry){.record = *record, .transaction = transaction};
  struct str *texts[] = {
      &entry->record.key,       &entry->record.value,  &entry->record.correlation_id,
      &entry->record.causation, &entry->record.source, &entry->record.traceparent,
      &entry->record.error};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (texts[i]->data) *texts[i] = arena_copy(&cluster->arena, *texts[i]);
  }
  entry->record.sequence = ++cluster->sequence;
  entry->record.offset = to->base + (int64_t)to->count++;
  return entry->record.offset;
}

void memory_append(struct memory_cluster *cluster, const char *topic, int32_t partition,
                   const struct memory_record *record) {
  append_entry(cluster, topic_of(cluster, topic), partition, record, NO_TRANSACTION);
}

/* The last stable offset: nothing from the first open transaction on is read. */
static int64_t stable_end(const struct memory_cluster *cluster,
                          struct memory_partition *partition) {
  while (partition->stable < partition->count &&
         cluster->transactions[partition->entries[partition->stable].transaction] !=
             TRANSACTION_OPEN) {
    partition->stable++;
  }
  return partition->base + (int64_t)partition->stable;
}

/* The first committed record from `from` on and before `end`, or NULL. */
static const struct memory_record *next_committed(const struct memory_cluster *cluster,
                                                  const struct memory_partition *partition,
                                                  int64_t from, int64_t end) {
  for (int64_t offset = from < partition->base ? partition->base : from; offset < end; offset++) {
    const struct entry *entry = &partition->entries[offset - partition->base];
    if (cluster->transactions[entry->transaction] == TRANSACTION_COMMITTED) return &entry->record;
  }
  return NULL;
}

const struct memory_record *memory_read(const struct memory_cluster *cluster, const char *topic,
                                        int32_t partition, int64_t from) {
  struct memory_partition *of = &topic_of(cluster, topic)->partitions[partition];
  return next_committed(cluster, of, from, stable_end(cluster, of));
}

/* ---- groups ---- */

static int find_group(const struct memory_cluster *cluster, const char *name) {
  for (size_t i = 0; i < cluster->group_count; i++) {
    if (strcmp(cluster->groups[i].name, name) == 0) return (int)i;
  }
  return -1;
}

static int group_of(struct memory_cluster *cluster, const char *name, int topic) {
  int found = find_group(cluster, name);
  if (found >= 0) return found;
  cluster->groups = xgrow(cluster->groups, &cluster->group_capacity, cluster->group_count + 1,
                          sizeof *cluster->groups);
  size_t count = (size_t)cluster->topics[topic].partition_count;
  struct group *group = &cluster->groups[cluster->group_count];
  *group = (struct group){
      .name = keep_name(cluster, name), .topic = topic, .generation = 1, .offset_count = count};
  group->offsets = xcalloc(count, sizeof *group->offsets);
  for (size_t i = 0; i < count; i++)
    group->offsets[i] = (struct memory_offset){.partition = (int32_t)i, .committed.offset = -1};
  return (int)cluster->group_count++;
}

void memory_commit_offset(struct memory_cluster *cluster, const char *group, const char *topic,
                          int32_t partition, int64_t offset, const char *metadata) {
  int number =
      group_of(cluster, group, find_topic(cluster, topic)); /* first: it may move the array */
  struct group *of = &cluster->groups[number];
  of->offsets[partition].committed.offset = offset;
  snprintf(of->offsets[partition].committed.metadata,
           sizeof of->offsets[partition].committed.metadata, "%s", metadata);
}

int64_t memory_committed(const struct memory_cluster *cluster, const char *group, const char *topic,
                         int32_t partition) {
  (void)topic;
  int found = find_group(cluster, group);
  return found < 0 ? -1 : cluster->groups[found].offsets[partition].committed.offset;
}

static struct member *find_member(struct group *group, int slot) {
  for (size_t i = 0; i < group->member_count; i++) {
    if (group->members[i].slot == slot) return &group->members[i];
  }
  return NULL;
}

static int by_slot(const void *a, const void *b) {
  return ((const struct member *)a)->slot - ((const struct member *)b)->slot;
}

void memory_expire_member(struct memory_cluster *cluster, const char *name, int slot) {
  int found = find_group(cluster, name);
  struct group *group = found < 0 ? NULL : &cluster->groups[found];
  struct member *member = group ? find_member(group, slot) : NULL;
  if (!member) return;
  *member = group->members[--group->member_count];
  qsort(group->members, group->member_count, sizeof *group->members, by_slot);
  group->generation++;
}

/* ---- transactions ---- */

static void end_transaction(struct memory_cluster *cluster, struct producer *producer,
                            enum transaction_state state) {
  int number = producer->transaction;
  producer->transaction = NO_TRANSACTION;
  if (number == NO_TRANSACTION) return;
  cluster->transactions[number] = state;
  for (size_t i = 0; i < cluster->group_count; i++) {
    for (size_t j = 0; j < cluster->groups[i].offset_count; j++) {
      struct memory_offset *offset = &cluster->groups[i].offsets[j];
      if (offset->pending_transaction != number) continue;
      if (state == TRANSACTION_COMMITTED) offset->committed = offset->pending;
      offset->pending_transaction = NO_TRANSACTION;
    }
  }
}

static int producer_of(struct memory_cluster *cluster, const char *group, int slot) {
  char id[160];
  snprintf(id, sizeof id, "%s-%d", group, slot);
  for (size_t i = 0; i < cluster->producer_count; i++) {
    if (strcmp(cluster->producers[i].id, id) == 0) return (int)i;
  }
  cluster->producers = xgrow(cluster->producers, &cluster->producer_capacity,
                             cluster->producer_count + 1, sizeof *cluster->producers);
  cluster->producers[cluster->producer_count] = (struct producer){.id = keep_name(cluster, id)};
  return (int)cluster->producer_count++;
}

void memory_expire_transaction(struct memory_cluster *cluster, const char *group, int slot) {
  int number = producer_of(cluster, group, slot); /* first: it may move the array */
  struct producer *producer = &cluster->producers[number];
  if (producer->transaction == NO_TRANSACTION) return;
  end_transaction(cluster, producer, TRANSACTION_ABORTED);
  producer->epoch++;
}

void memory_fail_next_commit(struct memory_cluster *cluster, const char *group, int slot) {
  int number = producer_of(cluster, group, slot);
  cluster->producers[number].fail_next_commit = true;
}

/* ---- a member's log ---- */

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
  struct producer *producer = producer_at(self);
  end_transaction(self->cluster, producer, TRANSACTION_ABORTED);
  self->epoch = ++producer->epoch;
  return LOG_OK;
}

/* A static member that comes back takes its former place without a rebalance. */
static enum log_status memory_join(struct log *log) {
  struct log_memory *self = self_of(log);
  struct group *group = &self->cluster->groups[self->group];
  struct member *member = find_member(group, self->slot);
  if (!member) {
    group->members = xgrow(group->members, &group->member_capacity, group->member_count + 1,
                           sizeof *group->members);
    group->members[group->member_count++] = (struct member){.slot = self->slot};
    qsort(group->members, group->member_count, sizeof *group->members, by_slot);
    group->generation++;
    member = find_member(group, self->slot);
  }
  member->log = self;
  self->joined = true;
  return LOG_OK;
}

static void memory_close(struct log *log) {
  struct log_memory *self = self_of(log);
  struct member *member = find_member(&self->cluster->groups[self->group], self->slot);
  if (member && member->log == self) member->log = NULL;
  free(self->assigned);
  free(self->positions);
  free(self);
}

/* The range assignor over members by slot, as with group.instance.id. */
static void take_assignment(struct log_memory *self, struct log_event *event) {
  const struct group *group = &self->cluster->groups[self->group];
  size_t place = 0, members = group->member_count;
  while (place < members && group->members[place].slot != self->slot) place++;
  size_t total = group->offset_count, share = total / members, extra = total % members;
  size_t first = place * share + (place < extra ? place : extra);
  self->assigned_count = share + (place < extra);
  for (size_t i = 0; i < self->assigned_count; i++) {
    self->assigned[i] = (int32_t)(first + i);
    self->positions[first + i].resumed = false;
  }
  self->generation = group->generation;
  *event = (struct log_event){
      .kind = LOG_ASSIGNED, .partitions = self->assigned, .partition_count = self->assigned_count};
}

static bool poll_record(struct log_memory *self, struct log_event *event) {
  const struct memory_topic *topic = &self->cluster->topics[self->input];
  for (size_t i = 0; i < self->assigned_count; i++) {
    int32_t id = self->assigned[(self->turn + i) % self->assigned_count];
    struct read_position *position = &self->positions[id];
    if (!position->resumed) continue;
    int64_t end = stable_end(self->cluster, &topic->partitions[id]);
    const struct memory_record *record =
        next_committed(self->cluster, &topic->partitions[id], position->next, end);
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
                                        .traceparent = record->traceparent};
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
  struct member *member = find_member(group, self->slot);
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
  return offset->pending_transaction == NO_TRANSACTION ? LOG_OK : LOG_AGAIN;
}

static enum log_status memory_begin(struct log *log) {
  struct log_memory *self = self_of(log);
  struct memory_cluster *cluster = self->cluster;
  enum log_status status = check_producer(self);
  if (status != LOG_OK) return status;
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
  struct memory_record record = {.timestamp = output->timestamp,
                                 .key = output->key,
                                 .value = output->value,
                                 .correlation_id = output->correlation_id,
                                 .causation = output->causation,
                                 .source = output->source,
                                 .traceparent = output->traceparent,
                                 .error = output->error};
  int64_t offset = append_entry(self->cluster, &self->cluster->topics[output->topic],
                                output->partition, &record, producer_at(self)->transaction);
  if (output->acknowledged && *output->acknowledged < offset) *output->acknowledged = offset;
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
  if (self->generation != group->generation)
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
  end_transaction(self->cluster, producer, TRANSACTION_COMMITTED);
  return LOG_OK;
}

static enum log_status memory_abort(struct log *log) {
  struct log_memory *self = self_of(log);
  enum log_status status = check_producer(self);
  if (status == LOG_OK) end_transaction(self->cluster, producer_at(self), TRANSACTION_ABORTED);
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
          end = stable_end(self->cluster, changelog);
  const struct memory_record *record = next_committed(self->cluster, changelog, *next, end);
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

static enum log_status memory_changelog_bounds(struct log *log, int32_t partition, int64_t *first,
                                               int64_t *end) {
  struct log_memory *self = self_of(log);
  *first = changelog_of(self, partition)->base;
  *end = stable_end(self->cluster, changelog_of(self, partition));
  return LOG_OK;
}

static int memory_topic(struct log *log, const char *name) {
  int topic = find_topic(self_of(log)->cluster, name);
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
  return stable_end(self->cluster, &self->cluster->topics[self->input].partitions[partition]) -
         self->positions[partition].next;
}

static int64_t memory_now(struct log *log) {
  return self_of(log)->cluster->now;
}

static const struct log_class memory_class = {.close = memory_close,
                                              .init = memory_init,
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
                                              .changelog_bounds = memory_changelog_bounds,
                                              .topic = memory_topic,
                                              .partition_count = memory_partition_count,
                                              .lag = memory_lag,
                                              .now = memory_now};

struct log *memory_log_open(struct memory_cluster *cluster, const char *group, const char *input,
                            const char *changelog, int slot) {
  struct log_memory *self = xcalloc(1, sizeof *self);
  self->log.class = &memory_class;
  self->cluster = cluster;
  self->input = find_topic(cluster, input);
  self->changelog = changelog ? find_topic(cluster, changelog) : self->input;
  if (self->input < 0 || self->changelog < 0) abort();
  self->group = group_of(cluster, group, self->input);
  self->slot = slot;
  self->producer = producer_of(cluster, group, slot);
  size_t partitions = (size_t)cluster->topics[self->input].partition_count;
  self->assigned = xcalloc(partitions, sizeof *self->assigned);
  self->positions = xcalloc(partitions, sizeof *self->positions);
  return &self->log;
}
