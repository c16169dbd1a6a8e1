/* The topics, read for the auditor as far as each consumer's work can be judged. */
#include <inttypes.h>
#include <sysexits.h>

#include "audit.h"
#include "runtime/base/clock.h"
#include "runtime/core/recovery.h"

bool audit_find_topics(struct audit *audit) {
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    const char *name = audit_topics[topic].topic;
    audit->partitions[topic] = kafka_admin_partitions(audit->admin, name, &audit->failure);
    if (audit->partitions[topic] < 0) return false;
    if (audit->partitions[topic] == 0)
      return failure_set(&audit->failure, EX_UNAVAILABLE,
                         "the topic '%s' does not exist: are --brokers and --prefix those of the "
                         "pipeline? 'holdfast topics plan' shows the topics that exist",
                         name);
    if (audit->partitions[topic] > AUDIT_PARTITIONS_MAX)
      return failure_set(&audit->failure, EX_UNAVAILABLE,
                         "'%s' has %" PRId32 " partitions; an audit takes %d", name,
                         audit->partitions[topic], AUDIT_PARTITIONS_MAX);
  }
  return true;
}

static bool ask_consumer(struct audit *audit, int topic) {
  const char *name = audit_topics[topic].topic, *group = audit_topics[topic].consumer;
  struct log_offset offsets[AUDIT_PARTITIONS_MAX];
  if (!kafka_admin_committed(audit->admin, group, name, offsets, audit->partitions[topic],
                             &audit->failure))
    return false;
  for (int32_t p = 0; p < audit->partitions[topic]; p++) {
    struct commit_metadata metadata;
    if (offsets[p].offset < 0 || !commit_metadata_parse(offsets[p].metadata, &metadata))
      return failure_set(&audit->failure, EX_UNAVAILABLE,
                         "the group '%s' has no committed offset of this pipeline for partition "
                         "%" PRId32 " of '%s': 'holdfast topics apply' makes the first",
                         group, p, name);
    auditor_committed(audit->auditor, (enum audit_topic)topic, p, offsets[p].offset,
                      metadata.epoch);
  }
  return true;
}

bool audit_ask_consumers(struct audit *audit) {
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    if (audit_topics[topic].consumer && !ask_consumer(audit, topic)) return false;
  }
  return true;
}

/* Between two rounds. Commands have their effects elsewhere, and are told apart by their times; of
 * all other topics what was read has gone with them. */
static bool begins_anew(struct audit *audit, int topic, int32_t p) {
  if (topic != AUDIT_COMMANDS)
    return failure_set(
        &audit->failure, EX_UNAVAILABLE,
        "'%s' partition %" PRId32
        " ends before the offset that was read up to: it was deleted and made again. Begin the "
        "audit anew",
        audit_topics[topic].topic, p);
  auditor_read_anew(audit->auditor, AUDIT_COMMANDS, p);
  return true;
}

static bool ask_ends(struct audit *audit, int64_t *records) {
  *records = 0;
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    for (int32_t p = 0; p < audit->partitions[topic]; p++) {
      int64_t first, position = auditor_position(audit->auditor, (enum audit_topic)topic, p);
      if (!kafka_admin_bounds(audit->admin, audit_topics[topic].topic, p, &first,
                              &audit->wanted[topic][p], &audit->failure))
        return false;
      if (audit->wanted[topic][p] < position) {
        if (!begins_anew(audit, topic, p)) return false;
        position = 0;
      }
      if (first > position && !audit_topics[topic].table)
        return failure_set(&audit->failure, EX_UNAVAILABLE,
                           "'%s' partition %" PRId32 " begins at offset %" PRId64
                           ": the records before are gone, and an audit needs all of them",
                           audit_topics[topic].topic, p, first);
      *records += audit->wanted[topic][p] - (first > position ? first : position);
    }
  }
  return true;
}

/* Transactions that were open when the ends were asked for have to end first: their effects belong
 * to what the consumers had processed. */
static bool reached(const struct audit *audit, int topic) {
  for (int32_t p = 0; p < audit->partitions[topic]; p++) {
    if (kafka_reader_end(audit->reader, p) < audit->wanted[topic][p]) return false;
  }
  return true;
}

static bool read_topic(struct audit *audit, int topic, const int64_t *from, bool mark_only,
                       int64_t all) {
  const char *name = audit_topics[topic].topic;
  if (!audit->reader) audit->reader = kafka_reader_new(audit->options, &audit->failure);
  if (!audit->reader || !kafka_reader_turn_to(audit->reader, name, from, &audit->failure))
    return false;
  int64_t patience = clock_wall_ms() + options_number(audit->options, "wait") * 1000;
  for (;;) {
    struct message record;
    int32_t partition;
    enum kafka_read read =
        kafka_reader_next(audit->reader, 200, &partition, &record, &audit->failure);
    if (audit_stopping) return failure_set(&audit->failure, EX_UNAVAILABLE, "interrupted");
    if (read == KAFKA_READ_FAILED) return false;
    if (read == KAFKA_READ_RECORD && mark_only) {
      auditor_mark(audit->auditor, (enum audit_topic)topic, partition, &record);
    } else if (read == KAFKA_READ_RECORD) {
      auditor_read(audit->auditor, (enum audit_topic)topic, partition, &record);
      audit->records++;
      patience = clock_wall_ms() + options_number(audit->options, "wait") * 1000;
    }
    audit_tell_progress(audit, name, audit->records, all);
    if (reached(audit, topic)) return true;
    if (clock_wall_ms() > patience)
      return failure_set(
          &audit->failure, EX_UNAVAILABLE,
          "'%s' has a transaction that does not end: is a filter stopped in one? It times "
          "out; --wait says how long to wait for that",
          name);
  }
}

bool audit_read_all(struct audit *audit, bool mark_only) {
  int64_t records;
  if (!ask_ends(audit, &records)) return false;
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    int64_t from[AUDIT_PARTITIONS_MAX];
    bool waits = false;
    for (int32_t p = 0; p < audit->partitions[topic]; p++) {
      from[p] = auditor_position(audit->auditor, (enum audit_topic)topic, p);
      waits |= from[p] < audit->wanted[topic][p];
    }
    if (!waits || (mark_only && !audit_topics[topic].consumer)) continue;
    if (!read_topic(audit, topic, from, mark_only, audit->records + records)) return false;
  }
  return true;
}
