/* The cluster behind the log in memory: topics, groups with their offsets, transactions. */
#include "runtime/memory/cluster.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/murmur2.h"

struct memory_cluster *memory_cluster_new(void) {
  struct memory_cluster *cluster = xcalloc(1, sizeof *cluster);
  cluster->transactions = xgrow(NULL, &cluster->transaction_capacity, TRANSACTIONS_FIRST,
                                sizeof *cluster->transactions);
  cluster->transactions[NO_TRANSACTION] = TRANSACTION_COMMITTED;
  cluster->transactions[COMPACTED] = TRANSACTION_ABORTED;
  cluster->transactions[MARKER] = TRANSACTION_ABORTED;
  cluster->transaction_count = TRANSACTIONS_FIRST;
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
  free(cluster->markers);
  arena_free(&cluster->arena);
  free(cluster);
}

void memory_cluster_set_time(struct memory_cluster *cluster, int64_t now) {
  cluster->now = now;
}

static char *keep_name(struct memory_cluster *cluster, const char *name) {
  return (char *)(uintptr_t)arena_copy(&cluster->arena, str_of(name)).data;
}

int cluster_find_topic(const struct memory_cluster *cluster, const char *name) {
  for (size_t i = 0; i < cluster->topic_count; i++) {
    if (strcmp(cluster->topics[i].name, name) == 0) return (int)i;
  }
  return -1;
}

void memory_topic_create(struct memory_cluster *cluster, const char *name, int32_t partitions) {
  if (cluster_find_topic(cluster, name) >= 0) return;
  cluster->topics = xgrow(cluster->topics, &cluster->topic_capacity, cluster->topic_count + 1,
                          sizeof *cluster->topics);
  cluster->topics[cluster->topic_count++] = (struct memory_topic){
      .name = keep_name(cluster, name),
      .partitions = xcalloc((size_t)partitions, sizeof(struct memory_partition)),
      .partition_count = partitions};
}

int32_t memory_topic_partitions(const struct memory_cluster *cluster, const char *name) {
  int topic = cluster_find_topic(cluster, name);
  return topic < 0 ? 0 : cluster->topics[topic].partition_count;
}

static struct memory_topic *topic_of(const struct memory_cluster *cluster, const char *name) {
  int topic = cluster_find_topic(cluster, name);
  if (topic < 0) abort(); /* tests and the local run create what they name */
  return &cluster->topics[topic];
}

void memory_topic_begin_at(struct memory_cluster *cluster, const char *name, int32_t partition,
                           int64_t offset) {
  topic_of(cluster, name)->partitions[partition].base = offset;
}

/* Markers that are left of transactions are not written to a topic that is gone. */
static void drop_markers(struct memory_cluster *cluster, const struct memory_partition *partition) {
  for (size_t i = cluster->marker_count; i-- > 0;) {
    if (cluster->markers[i].partition == partition)
      cluster->markers[i] = cluster->markers[--cluster->marker_count];
  }
}

void memory_topic_recreate(struct memory_cluster *cluster, const char *name, bool keep_offsets) {
  struct memory_topic *topic = topic_of(cluster, name);
  for (int32_t i = 0; i < topic->partition_count; i++) {
    struct memory_partition *partition = &topic->partitions[i];
    drop_markers(cluster, partition);
    partition->count = partition->stable = 0;
    partition->base = 0;
  }
  for (size_t i = 0; i < cluster->group_count && !keep_offsets; i++) {
    struct group *group = &cluster->groups[i];
    if (&cluster->topics[group->topic] != topic) continue;
    for (size_t j = 0; j < group->offset_count; j++) {
      group->offsets[j] = (struct memory_offset){.partition = (int32_t)j, .committed.offset = -1};
    }
  }
}

void memory_topic_trim(struct memory_cluster *cluster, const char *name, int32_t number,
                       int64_t first) {
  struct memory_partition *partition = &topic_of(cluster, name)->partitions[number];
  size_t gone = first > partition->base ? (size_t)(first - partition->base) : 0;
  if (gone > partition->count) gone = partition->count;
  if (gone == 0) return;
  memmove(partition->entries, partition->entries + gone,
          (partition->count - gone) * sizeof *partition->entries);
  partition->base += (int64_t)gone;
  partition->count -= gone;
  partition->stable -= gone < partition->stable ? gone : partition->stable;
}

static struct entry *add_entry(struct memory_partition *to, const struct entry *entry) {
  to->entries = xgrow(to->entries, &to->capacity, to->count + 1, sizeof *to->entries);
  struct entry *added = &to->entries[to->count];
  *added = *entry;
  added->record.offset = to->base + (int64_t)to->count++;
  return added;
}

int64_t cluster_append(struct memory_cluster *cluster, struct memory_topic *topic,
                       int32_t partition, const struct message *record, int transaction) {
  if (partition < 0) partition = murmur2_partition(record->key, topic->partition_count);
  struct entry *entry = add_entry(&topic->partitions[partition],
                                  &(struct entry){.record = *record, .transaction = transaction});
  struct str *texts[] = {
      &entry->record.key,       &entry->record.value,     &entry->record.correlation_id,
      &entry->record.causation, &entry->record.source,    &entry->record.traceparent,
      &entry->record.error,     &entry->record.whole_key, &entry->record.whole_value};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (texts[i]->data) *texts[i] = arena_copy(&cluster->arena, *texts[i]);
  }
  entry->record.sequence = ++cluster->sequence;
  return entry->record.offset;
}

void memory_append(struct memory_cluster *cluster, const char *topic, int32_t partition,
                   const struct message *record) {
  cluster_append(cluster, topic_of(cluster, topic), partition, record, NO_TRANSACTION);
}

static bool is_open(const struct memory_cluster *cluster, const struct memory_partition *partition,
                    int transaction) {
  if (cluster->transactions[transaction] == TRANSACTION_OPEN) return true;
  for (size_t i = 0; i < cluster->marker_count; i++) {
    if (cluster->markers[i].transaction == transaction &&
        cluster->markers[i].partition == partition)
      return true;
  }
  return false;
}

/* The last stable offset: nothing from the first transaction on that has no marker yet is read. */
int64_t cluster_stable_end(const struct memory_cluster *cluster,
                           struct memory_partition *partition) {
  while (partition->stable < partition->count &&
         !is_open(cluster, partition, partition->entries[partition->stable].transaction)) {
    partition->stable++;
  }
  return partition->base + (int64_t)partition->stable;
}

/* The first committed record from `from` on and before `end`, or NULL. */
const struct message *cluster_next_committed(const struct memory_cluster *cluster,
                                             const struct memory_partition *partition, int64_t from,
                                             int64_t end) {
  for (int64_t offset = from < partition->base ? partition->base : from; offset < end; offset++) {
    const struct entry *entry = &partition->entries[offset - partition->base];
    if (cluster->transactions[entry->transaction] == TRANSACTION_COMMITTED) return &entry->record;
  }
  return NULL;
}

const struct message *memory_read(const struct memory_cluster *cluster, const char *topic,
                                  int32_t partition, int64_t from) {
  struct memory_partition *of = &topic_of(cluster, topic)->partitions[partition];
  return cluster_next_committed(cluster, of, from, cluster_stable_end(cluster, of));
}

int64_t memory_first(const struct memory_cluster *cluster, const char *topic, int32_t partition) {
  return topic_of(cluster, topic)->partitions[partition].base;
}

int64_t memory_end(const struct memory_cluster *cluster, const char *topic, int32_t partition) {
  const struct memory_partition *of = &topic_of(cluster, topic)->partitions[partition];
  return of->base + (int64_t)of->count;
}

/* ---- groups ---- */

static int find_group(const struct memory_cluster *cluster, const char *name) {
  for (size_t i = 0; i < cluster->group_count; i++) {
    if (strcmp(cluster->groups[i].name, name) == 0) return (int)i;
  }
  return -1;
}

int cluster_group(struct memory_cluster *cluster, const char *name, int topic) {
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
  /* First: it may move the array */
  int number = cluster_group(cluster, group, cluster_find_topic(cluster, topic));
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

struct member *cluster_find_member(struct group *group, int slot) {
  for (size_t i = 0; i < group->member_count; i++) {
    if (group->members[i].slot == slot) return &group->members[i];
  }
  return NULL;
}

static int by_slot(const void *a, const void *b) {
  return ((const struct member *)a)->slot - ((const struct member *)b)->slot;
}

void cluster_sort_members(struct group *group) {
  qsort(group->members, group->member_count, sizeof *group->members, by_slot);
}

void memory_expire_member(struct memory_cluster *cluster, const char *name, int slot) {
  int found = find_group(cluster, name);
  struct group *group = found < 0 ? NULL : &cluster->groups[found];
  struct member *member = group ? cluster_find_member(group, slot) : NULL;
  if (!member) return;
  *member = group->members[--group->member_count];
  cluster_sort_members(group);
  group->generation++;
}

/* ---- transactions ---- */

static void add_marker(struct memory_cluster *cluster, int transaction, int producer,
                       struct memory_partition *partition) {
  cluster->markers = xgrow(cluster->markers, &cluster->marker_capacity, cluster->marker_count + 1,
                           sizeof *cluster->markers);
  cluster->markers[cluster->marker_count++] = (struct marker){transaction, producer, partition};
}

/* The transaction is open still, so that nothing of it lies before what is stable. */
static bool has_records_of(const struct memory_cluster *cluster, struct memory_partition *partition,
                           int transaction) {
  cluster_stable_end(cluster, partition);
  for (size_t i = partition->stable; i < partition->count; i++) {
    if (partition->entries[i].transaction == transaction) return true;
  }
  return false;
}

static void collect_markers(struct memory_cluster *cluster, int transaction, int producer) {
  for (size_t i = 0; i < cluster->topic_count; i++) {
    for (int32_t j = 0; j < cluster->topics[i].partition_count; j++) {
      struct memory_partition *partition = &cluster->topics[i].partitions[j];
      if (has_records_of(cluster, partition, transaction))
        add_marker(cluster, transaction, producer, partition);
    }
  }
  add_marker(cluster, transaction, producer, NULL);
}

static void settle_offsets(struct memory_cluster *cluster, int transaction) {
  for (size_t i = 0; i < cluster->group_count; i++) {
    for (size_t j = 0; j < cluster->groups[i].offset_count; j++) {
      struct memory_offset *offset = &cluster->groups[i].offsets[j];
      if (offset->pending_transaction != transaction) continue;
      if (cluster->transactions[transaction] == TRANSACTION_COMMITTED)
        offset->committed = offset->pending;
      offset->pending_transaction = NO_TRANSACTION;
    }
  }
}

static void write_marker(struct memory_cluster *cluster, size_t index) {
  struct marker marker = cluster->markers[index];
  cluster->markers[index] = cluster->markers[--cluster->marker_count];
  if (marker.partition)
    add_entry(marker.partition, &(struct entry){.transaction = MARKER});
  else
    settle_offsets(cluster, marker.transaction);
}

void cluster_write_markers(struct memory_cluster *cluster, int producer) {
  for (size_t i = cluster->marker_count; i-- > 0;) {
    if (cluster->markers[i].producer == producer) write_marker(cluster, i);
  }
}

void cluster_end_transaction(struct memory_cluster *cluster, int producer,
                             enum transaction_state state) {
  int number = cluster->producers[producer].transaction;
  cluster->producers[producer].transaction = NO_TRANSACTION;
  if (number == NO_TRANSACTION) return;
  collect_markers(cluster, number, producer);
  cluster->transactions[number] = state;
  if (!cluster->delay_markers) cluster_write_markers(cluster, producer);
}

void memory_delay_markers(struct memory_cluster *cluster, bool delay) {
  cluster->delay_markers = delay;
  while (!delay && cluster->marker_count) write_marker(cluster, cluster->marker_count - 1);
}

bool memory_write_marker(struct memory_cluster *cluster, uint64_t which) {
  if (!cluster->marker_count) return false;
  write_marker(cluster, which % cluster->marker_count);
  return true;
}

/* ---- compaction ---- */

static bool has_later(const struct memory_cluster *cluster,
                      const struct memory_partition *partition, size_t index, size_t end) {
  for (size_t i = index + 1; i < end; i++) {
    const struct entry *entry = &partition->entries[i];
    if (cluster->transactions[entry->transaction] == TRANSACTION_COMMITTED &&
        str_equal(entry->record.key, partition->entries[index].record.key))
      return true;
  }
  return false;
}

void memory_compact(struct memory_cluster *cluster, const char *topic, int32_t number,
                    int64_t tombstones_before) {
  struct memory_partition *partition = &topic_of(cluster, topic)->partitions[number];
  size_t end = (size_t)(cluster_stable_end(cluster, partition) - partition->base);
  for (size_t i = 0; i < end; i++) {
    struct entry *entry = &partition->entries[i];
    bool tombstone = !entry->record.value.data;
    bool old_tombstone = tombstone && entry->cleaned_at && entry->cleaned_at < tombstones_before;
    if (tombstone && !entry->cleaned_at) entry->cleaned_at = cluster->now;
    if (old_tombstone || has_later(cluster, partition, i, end)) entry->transaction = COMPACTED;
  }
}

int cluster_producer(struct memory_cluster *cluster, const char *group, int slot) {
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
  int number = cluster_producer(cluster, group, slot); /* first: it may move the array */
  struct producer *producer = &cluster->producers[number];
  if (producer->transaction == NO_TRANSACTION) return;
  cluster_end_transaction(cluster, number, TRANSACTION_ABORTED);
  producer->epoch++;
}

void memory_fail_next_commit(struct memory_cluster *cluster, const char *group, int slot) {
  int number = cluster_producer(cluster, group, slot);
  cluster->producers[number].fail_next_commit = true;
}
