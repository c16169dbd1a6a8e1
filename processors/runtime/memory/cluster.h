/* The parts of a cluster in memory: shared by cluster.c and log.c alone. */
#ifndef HOLDFAST_MEMORY_CLUSTER_H
#define HOLDFAST_MEMORY_CLUSTER_H

#include "runtime/base/arena.h"
#include "runtime/memory/log.h"

#define NO_TRANSACTION 0
#define COMPACTED 1 /* a transaction that never was committed: compaction took the record away */
#define MARKER 2    /* another: the end of a transaction, which takes an offset and is never read */
#define TRANSACTIONS_FIRST 3

enum transaction_state { TRANSACTION_OPEN, TRANSACTION_COMMITTED, TRANSACTION_ABORTED };

struct entry {
  struct message record;
  int transaction;    /* its number; NO_TRANSACTION: committed from the start */
  int64_t cleaned_at; /* a tombstone: when compaction met it first; 0: never yet */
};

struct memory_partition {
  struct entry *entries;
  size_t count, capacity;
  int64_t base;  /* offset of entries[0] */
  size_t stable; /* entries before it are not open: the last stable offset is not before it */
};

struct memory_topic {
  char *name;
  struct memory_partition *partitions;
  int32_t partition_count;
};

struct memory_offset {
  int32_t partition;
  struct log_offset committed;
  int pending_transaction; /* the pending offsets wait for its end; NO_TRANSACTION: none */
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

/* The end of a transaction that has been decided and is not written yet to one of its partitions,
 * or to its group's offsets. */
struct marker {
  int transaction, producer;
  struct memory_partition *partition; /* NULL: of the offsets */
};

struct memory_cluster {
  struct arena arena; /* records and names */
  bool delay_markers;
  struct marker *markers;
  size_t marker_count, marker_capacity;
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

/* Topics, groups and producers are named by their number: the arrays move as they grow. */
int cluster_find_topic(const struct memory_cluster *cluster, const char *name);
int64_t cluster_append(struct memory_cluster *cluster, struct memory_topic *topic,
                       int32_t partition, const struct message *record, int transaction);
int64_t cluster_stable_end(const struct memory_cluster *cluster,
                           struct memory_partition *partition);
const struct message *cluster_next_committed(const struct memory_cluster *cluster,
                                             const struct memory_partition *partition, int64_t from,
                                             int64_t end);
int cluster_group(struct memory_cluster *cluster, const char *name, int topic);
struct member *cluster_find_member(struct group *group, int slot);
void cluster_end_transaction(struct memory_cluster *cluster, int producer,
                             enum transaction_state state);
/* Writes what is left of the ends of the producer's transactions: its next one waits for that. */
void cluster_write_markers(struct memory_cluster *cluster, int producer);
int cluster_producer(struct memory_cluster *cluster, const char *group, int slot);
void cluster_sort_members(struct group *group);

#endif
