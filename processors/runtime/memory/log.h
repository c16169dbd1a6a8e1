/* A log in memory with Kafka's semantics: transactions, read_committed, offsets with metadata,
 * generations, fencing, rebalance. It is what the simulator, the pipes and `holdfast run --local`
 * work on. Everything of one cluster is used from one thread. */
#ifndef HOLDFAST_MEMORY_LOG_H
#define HOLDFAST_MEMORY_LOG_H

#include "runtime/log/log.h"
#include "runtime/record/message.h"

struct memory_cluster;

struct memory_cluster *memory_cluster_new(void);
void memory_cluster_free(struct memory_cluster *cluster);

/* The clock of every log of the cluster; 0 at first. */
void memory_cluster_set_time(struct memory_cluster *cluster, int64_t now);

void memory_topic_create(struct memory_cluster *cluster, const char *name, int32_t partitions);
/* 0: no such topic */
int32_t memory_topic_partitions(const struct memory_cluster *cluster, const char *name);

/* The first offset of an empty partition: a pipe goes on where its store stands. */
void memory_topic_begin_at(struct memory_cluster *cluster, const char *name, int32_t partition,
                           int64_t offset);

/* Outside any transaction, as an external producer would. Copies. Partition -1: by the key. */
void memory_append(struct memory_cluster *cluster, const char *topic, int32_t partition,
                   const struct message *record);

/* The n-th committed record of a partition from `from` on, or NULL; as read_committed would see it.
 * Valid while the cluster lives. */
const struct message *memory_read(const struct memory_cluster *cluster, const char *topic,
                                  int32_t partition, int64_t from);

/* Deleted and made again by hand: its records are gone and its offsets begin at 0. As on Kafka the
 * groups that read it lose their committed offsets, unless keep_offsets: as where they are
 * restored, or committed by a transaction that was open. */
void memory_topic_recreate(struct memory_cluster *cluster, const char *name, bool keep_offsets);

/* Takes away what lies before an offset, as DeleteRecords and a retention do. */
void memory_topic_trim(struct memory_cluster *cluster, const char *name, int32_t partition,
                       int64_t first);

/* The offset of the first record that may be there, and the one after the last. */
int64_t memory_first(const struct memory_cluster *cluster, const char *topic, int32_t partition);
int64_t memory_end(const struct memory_cluster *cluster, const char *topic, int32_t partition);

/* Commits an offset as `holdfast topics apply` does for a new group. */
void memory_commit_offset(struct memory_cluster *cluster, const char *group, const char *topic,
                          int32_t partition, int64_t offset, const char *metadata);

/* The committed offset; -1: none. */
int64_t memory_committed(const struct memory_cluster *cluster, const char *group, const char *topic,
                         int32_t partition);

/* A member of the group that consumes `input`. slot names its transactional id and its static
 * membership: opening a slot again fences the former owner. changelog NULL: none. Names are
 * copied. */
struct log *memory_log_open(struct memory_cluster *cluster, const char *group, const char *input,
                            const char *changelog, int slot);

/* Takes the member out of the group as a session time-out would: its partitions go to the
 * others. */
void memory_expire_member(struct memory_cluster *cluster, const char *group, int slot);

/* Ends the open transaction of a slot as its time-out would. */
void memory_expire_transaction(struct memory_cluster *cluster, const char *group, int slot);

/* The end of a transaction becomes visible to each of its partitions, and to the group's offsets,
 * by a marker of its own, which takes an offset that nobody reads, as in Kafka. On: it is decided
 * at once, and the markers are written in any order and later. Off (at first): at once; the rest is
 * written. */
void memory_delay_markers(struct memory_cluster *cluster, bool delay);

/* Writes one of the markers that are left, `which` modulo their number. False: none is. */
bool memory_write_marker(struct memory_cluster *cluster, uint64_t which);

/* Takes away what a later record of its key supersedes, and the tombstones that an earlier
 * compaction met before that time (KIP-534). */
void memory_compact(struct memory_cluster *cluster, const char *topic, int32_t partition,
                    int64_t tombstones_before);

/* The next operations of the slot that can fail so, do: for tests of the way back. */
void memory_fail_next_commit(struct memory_cluster *cluster, const char *group, int slot);

#endif
