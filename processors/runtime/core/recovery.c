#include "runtime/core/recovery.h"

#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "runtime/base/mutant.h"

void commit_metadata_format(const struct commit_metadata *metadata, char *text) {
  snprintf(text, 160, "%d;%" PRId64 ";%d;%s;%" PRId64, OFFSET_METADATA_VERSION, metadata->epoch,
           metadata->slot, metadata->intent_id, metadata->last_changelog);
  size_t size = strlen(text);
  if (metadata->first_changelog)
    snprintf(text + size, 160 - size, ";%" PRId64, metadata->first_changelog);
}

bool commit_metadata_parse(const char *text, struct commit_metadata *out) {
  int version, used = 0;
  int fields = sscanf(text, "%d;%" SCNd64 ";%d;%39[^;];%" SCNd64 "%n", &version, &out->epoch,
                      &out->slot, out->intent_id, &out->last_changelog, &used);
  out->first_changelog = 0;
  if (fields != 5 || version != OFFSET_METADATA_VERSION) return false;
  text += used;
  if (sscanf(text, ";%" SCNd64 "%n", &out->first_changelog, &used) == 1) text += used;
  return *text == '\0' && out->last_changelog >= -1 && out->first_changelog >= 0;
}

static struct recovery_plan plan(struct recovery_plan base, enum recovery_action action,
                                 const char *reason) {
  base.action = action;
  base.reason = reason;
  return base;
}

/* The rows, once the intent is where it belongs. */
static struct recovery_plan judge_rows(struct recovery_plan base,
                                       const struct recovery_facts *facts,
                                       const struct store_meta *meta) {
  int64_t offset = facts->committed.offset, last = base.metadata.last_changelog;
  if (!meta) return plan(base, RECOVERY_REBUILD, "the store has never had this partition");
  if (meta->epoch != base.metadata.epoch && !MUTANT("epoch-not-checked"))
    return plan(base, RECOVERY_REBUILD, "the offsets were reset since: another epoch");
  if (!meta->rebuilding && meta->next_input > offset)
    return plan(base, RECOVERY_REFUSE_AHEAD, "the store is ahead of the committed offset");
  if (meta->next_changelog < facts->changelog_first ||
      meta->next_changelog > facts->changelog_end) {
    return plan(base, RECOVERY_REBUILD, "the store's position lies outside the changelog");
  }
  if (MUTANT("any-store-is-current")) return plan(base, RECOVERY_READY, "up to date");
  if (!meta->rebuilding && meta->next_input == offset &&
      (meta->next_changelog > last || MUTANT("offset-alone-is-current")))
    return plan(base, RECOVERY_READY, "up to date");
  if (facts->now - meta->written_at >= facts->tombstone_retention_ms &&
      !MUTANT("old-store-not-rebuilt")) {
    return plan(base, RECOVERY_REBUILD,
                "the store is behind and older than the changelog's tombstones");
  }
  return plan(base, RECOVERY_CATCH_UP,
              meta->rebuilding ? "a rebuild has not ended" : "the store is behind");
}

struct store_meta intent_promoted(const struct intent *intent, int64_t now) {
  return (struct store_meta){.epoch = intent->epoch,
                             .next_input = intent->next_input,
                             .next_changelog = intent->last_changelog + 1,
                             .written_at = now};
}

/* Judges Kafka's commit against its topics: also if the local store lacks nothing, since the next
 * machine will have nothing else. */
static struct recovery_plan judge_topics(struct recovery_plan base,
                                         const struct recovery_facts *facts) {
  int64_t offset = facts->committed.offset;
  if (offset < facts->input_first || offset > facts->input_end)
    return plan(base, RECOVERY_REFUSE_INPUT, "the committed offset is not in the input");
  if (facts->changelog_end <= base.metadata.last_changelog)
    return plan(
        base, RECOVERY_REFUSE_CHANGELOG,
        "it ends before the committed offset: it was deleted and made again, or lost records");
  if (facts->changelog_first > base.metadata.first_changelog)
    return plan(base, RECOVERY_REFUSE_CHANGELOG, "records were deleted from its beginning");
  return plan(base, RECOVERY_READY, "nothing is missing");
}

bool recovery_tell_input(const char *filter, const char *input, int32_t partition, int64_t offset,
                         int64_t first, int64_t end, struct failure *failure) {
  const char *why = offset > end ? "the topic was deleted and made again, or lost its last records"
                                 : "records were deleted unread";
  return failure_set(failure, EX_CONFIG,
                     "'%s' goes on at offset %" PRId64 " of partition %" PRId32
                     " of '%s', which has %" PRId64 " to %" PRId64
                     ": %s. 'holdfast reset --accept-loss %s' shows the remaining rows and "
                     "records, and with --apply goes on with them",
                     filter, offset, partition, input, first, end, why, filter);
}

struct recovery_plan recovery_judge(const struct recovery_facts *facts) {
  struct recovery_plan base = {.intent = facts->intent ? INTENT_DROP : INTENT_NONE};
  if (facts->committed.offset < 0)
    return plan(base, RECOVERY_REFUSE_NO_OFFSET, "the group has no committed offset");
  if (!commit_metadata_parse(facts->committed.metadata, &base.metadata)) {
    return plan(base, RECOVERY_REFUSE_METADATA, "the committed offset is not one of ours");
  }
  struct recovery_plan topics = judge_topics(base, facts);
  if (topics.action != RECOVERY_READY) return topics;
  const struct intent *intent = facts->intent;
  if (MUTANT("promoted-once-passed") && intent && facts->committed.offset >= intent->next_input) {
    base.intent = INTENT_PROMOTE;
    const struct store_meta passed = intent_promoted(intent, facts->now);
    return judge_rows(base, facts, &passed);
  }
  if (intent && intent->next_input == facts->committed.offset &&
      (strcmp(intent->id, base.metadata.intent_id) == 0 || MUTANT("metadata-not-checked"))) {
    base.intent = MUTANT("committed-intent-dropped") ? INTENT_DROP : INTENT_PROMOTE;
    const struct store_meta promoted = intent_promoted(intent, facts->now);
    return judge_rows(base, facts, &promoted);
  }
  return judge_rows(base, facts, facts->meta);
}
