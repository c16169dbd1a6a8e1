/* The table of recovery: from the content of a partition's local store and from Kafka's commit to
 * the next action.
 *
 * Pure: README.md has the table in words, tests/unit/test_recovery.c has it row by row. */
#ifndef HOLDFAST_CORE_RECOVERY_H
#define HOLDFAST_CORE_RECOVERY_H

#include "runtime/log/log.h"
#include "runtime/store/store.h"

#define OFFSET_METADATA_VERSION 1

/* The metadata of a committed offset: "version;epoch;slot;intent id;C", and ";B" if B is not 0. */
struct commit_metadata {
  int64_t epoch;
  int slot;
  char intent_id[40]; /* "-" where no intent belongs to it: the genesis commit */
  /* C: the last changelog record that the committed state needs; -1: none */
  int64_t last_changelog;
  int64_t first_changelog; /* B: the changelog's beginning when its rows were complete */
};

/* text has room for 160 bytes. */
void commit_metadata_format(const struct commit_metadata *metadata, char *text);
bool commit_metadata_parse(const char *text, struct commit_metadata *out);

enum intent_fate { INTENT_NONE, INTENT_PROMOTE, INTENT_DROP };

enum recovery_action {
  RECOVERY_READY,
  RECOVERY_CATCH_UP, /* read the changelog from meta.next_changelog until past C */
  RECOVERY_REBUILD,  /* wipe, then read the changelog from its first record until past C */
  /* The store is ahead of the committed offset: somebody moved the offsets */
  RECOVERY_REFUSE_AHEAD,
  RECOVERY_REFUSE_INPUT,     /* the committed offset is not one of the input's */
  RECOVERY_REFUSE_CHANGELOG, /* the changelog does not have what was committed */
  RECOVERY_REFUSE_NO_OFFSET, /* no committed offset: `holdfast topics apply` makes the first */
  RECOVERY_REFUSE_METADATA   /* an offset that somebody else committed */
};

struct recovery_facts {
  const struct store_meta *meta; /* NULL: the store has never had this partition */
  const struct intent *intent;   /* NULL: none */
  struct log_offset committed;
  int64_t input_first, input_end;
  int64_t changelog_first, changelog_end; /* both ends are behind what is not committed yet too */
  int64_t now, tombstone_retention_ms;
};

struct recovery_plan {
  enum intent_fate intent;
  enum recovery_action action;
  struct commit_metadata metadata; /* of the committed offset, where it could be read */
  const char *reason;              /* for people */
};

/* The meta record once the intent's changes are in the rows. */
struct store_meta intent_promoted(const struct intent *intent, int64_t now);

struct recovery_plan recovery_judge(const struct recovery_facts *facts);

/* Says what is wrong with an offset outside of its input, which has first to end, and the way out.
 * Returns false. */
bool recovery_tell_input(const char *filter, const char *input, int32_t partition, int64_t offset,
                         int64_t first, int64_t end, struct failure *failure);

#endif
