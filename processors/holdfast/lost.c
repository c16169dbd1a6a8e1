#include "lost.h"

#include <stdio.h>
#include <sysexits.h>

#include "runtime/contract/processors.h"
#include "runtime/core/recovery.h"

#define PARTITIONS_MAX 1024

bool topic_has_records(struct kafka_admin *admin, const char *topic, bool *yes,
                       struct failure *failure) {
  int32_t partitions = kafka_admin_partitions(admin, topic, failure);
  *yes = false;
  for (int32_t p = 0; p < partitions && !*yes; p++) {
    int64_t first, end;
    if (!kafka_admin_bounds(admin, topic, p, &first, &end, failure)) return false;
    *yes = end > 0;
  }
  return partitions >= 0;
}

static bool has_committed_rows(struct kafka_admin *admin, const struct processor *processor,
                               bool *yes, struct failure *failure) {
  static struct log_offset offsets[PARTITIONS_MAX];
  int32_t partitions = kafka_admin_partitions(admin, processor->input, failure);
  *yes = false;
  if (partitions <= 0) return partitions == 0;
  if (!kafka_admin_committed(admin, processor->name, processor->input, offsets, partitions,
                             failure))
    return false;
  for (int32_t p = 0; p < partitions; p++) {
    struct commit_metadata metadata;
    *yes |= commit_metadata_parse(offsets[p].metadata, &metadata) && metadata.last_changelog >= 0;
  }
  return true;
}

static bool writes(const struct processor *processor, const char *topic) {
  for (const struct output *output = processor->outputs; output && output->topic; output++) {
    if (strcmp(output->topic, topic) == 0) return true;
  }
  return false;
}

static bool is_sole_writer(const struct processor *processor, const char *topic) {
  for (const struct processor *const *other = all_processors; *other; other++) {
    if (*other != processor && writes(*other, topic)) return false;
  }
  return true;
}

static bool has_written(struct kafka_admin *admin, const struct processor *processor, bool *yes,
                        struct failure *failure) {
  *yes = false;
  if (processor->changelog && !topic_has_records(admin, processor->changelog, yes, failure))
    return false;
  for (const struct output *output = processor->outputs; output && output->topic && !*yes;
       output++) {
    if (!processor->open_input && !is_sole_writer(processor, output->topic)) continue;
    if (!topic_has_records(admin, output->topic, yes, failure)) return false;
  }
  return true;
}

static enum lost_as kind_of(const struct processor *processor, const char *topic) {
  if (processor->changelog && strcmp(processor->changelog, topic) == 0) return LOST_CHANGELOG;
  for (const struct output *output = processor->outputs; output && output->topic; output++) {
    if (output->table && strcmp(output->topic, topic) == 0) return LOST_TABLE;
  }
  return strcmp(processor->input, topic) == 0 ? LOST_INPUT : NOT_LOST;
}

bool lost_find(struct kafka_admin *admin, const char *topic, struct lost *out,
               struct failure *failure) {
  *out = (struct lost){0};
  for (const struct processor *const *p = all_processors; *p; p++) {
    enum lost_as kind = kind_of(*p, topic);
    bool worked = false;
    if (kind == NOT_LOST || (out->as != NOT_LOST && kind == LOST_INPUT)) continue;
    if (!(kind == LOST_INPUT ? has_written : has_committed_rows)(admin, *p, &worked, failure))
      return false;
    if (worked) *out = (struct lost){kind, *p};
  }
  return true;
}

/* "'a', 'b'"; "its clients" where no filter writes it. */
static const char *writers_of(const char *topic, char *out, size_t size) {
  size_t used = 0;
  out[0] = '\0';
  for (const struct processor *const *p = all_processors; *p && used < size; p++) {
    if (writes(*p, topic))
      used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", (*p)->name);
  }
  if (!used) snprintf(out, size, "its clients");
  return out;
}

bool lost_refuse(const struct lost *lost, const char *topic, struct failure *failure) {
  static const char *const means[] = {[LOST_CHANGELOG] = "keeps its rows in it",
                                      [LOST_TABLE] = "writes this table",
                                      [LOST_INPUT] = "reads it"};
  return failure_set(
      failure, EX_CONFIG,
      "'%s' is missing, and '%s', which %s, has worked: an empty one would pass for the lost one. "
      "Restore it, or say '--recreate %s': it is made again, empty, and "
      "the next steps are said",
      topic, lost->processor->name, means[lost->as], topic);
}

void lost_tell_rest(const struct lost *lost, const char *topic) {
  char writers[256];
  const char *name = lost->processor ? lost->processor->name : "";
  switch (lost->as) {
    case NOT_LOST: return;
    case LOST_CHANGELOG:
      printf(
          "! next: 'holdfast reset %s --apply' makes its rows again from its input; if that is "
          "impossible, 'holdfast reset --accept-loss %s --apply' goes on without them\n",
          name, name);
      return;
    case LOST_TABLE:
      printf("! next: 'holdfast reset %s --apply' writes the table again\n", name);
      for (const struct processor *const *p = all_processors; *p; p++) {
        if (strcmp((*p)->input, topic) == 0)
          printf("! then: 'holdfast reset --accept-loss %s --apply' lets it read the new table\n",
                 (*p)->name);
      }
      return;
    case LOST_INPUT:
      if (lost->processor->rows)
        printf("! next: 'holdfast reset --accept-loss %s --apply' goes on with its rows\n", name);
      printf(
          "! records that %s had not read yet are lost, unless its writers send them again: "
          "'holdfast reset' "
          "of %s does, and changes nothing else\n",
          name, writers_of(topic, writers, sizeof writers));
      return;
  }
}
