/* holdfast skip: the deliberate way past a record that stops its filter. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "commands.h"
#include "runtime/kafka/admin.h"
#include "runtime/kafka/io.h"
#include "runtime/contract/processors.h"
#include "runtime/core/recovery.h"

#define PARTITIONS_MAX 1024

static const struct usage usage = {
    "Moves the filter that reads TOPIC past one record that it cannot process. The record stays in "
    "the topic; its effects\nare lost, so no filter does this by itself. The filter must be "
    "stopped.\n\n"
    "Usage: holdfast skip [option ...] TOPIC PARTITION OFFSET",
    NULL, true, "  holdfast skip payment-requests 0 1234\n"};

struct place {
  const struct processor *processor;
  int32_t partition;
  int64_t offset;
};

static bool parse_number(const char *text, int64_t max, int64_t *out) {
  char *end;
  *out = strtoll(text, &end, 10);
  return *text >= '0' && *text <= '9' && *end == '\0' && *out <= max;
}

static bool parse_place(const struct options *options, struct place *out, char *error,
                        size_t size) {
  int64_t partition;
  if (options->argument_count != 3 ||
      !parse_number(options->arguments[1], PARTITIONS_MAX - 1, &partition) ||
      !parse_number(options->arguments[2], INT64_MAX - 1, &out->offset)) {
    snprintf(error, size, "say the topic, the partition and the offset of the record");
    return false;
  }
  out->partition = (int32_t)partition;
  for (const struct processor *const *p = all_processors; *p; p++) {
    if (strcmp((*p)->input, options->arguments[0]) == 0) out->processor = *p;
  }
  if (!out->processor) snprintf(error, size, "no filter reads '%s'", options->arguments[0]);
  return out->processor != NULL;
}

/* Only the very next record of the group can be skipped, so that nothing before it is skipped with
 * it. */
static bool is_next(const struct options *options, const struct place *place, int64_t committed,
                    struct failure *failure) {
  struct kafka_reader *reader =
      kafka_reader_open(options, place->processor->input, place->partition, committed, failure);
  if (!reader) return false;
  struct message record;
  int32_t partition;
  enum kafka_read read = KAFKA_READ_NOTHING;
  for (int tries = 0; read == KAFKA_READ_NOTHING && tries < 100; tries++) {
    read = kafka_reader_next(reader, 100, &partition, &record, failure);
  }
  int64_t next = read == KAFKA_READ_RECORD ? record.offset : -1;
  kafka_reader_close(reader);
  if (next == place->offset) return true;
  failure->exit_code = EX_DATAERR;
  snprintf(failure->text, sizeof failure->text,
           "the group '%s' stands at %" PRId64 " and its next record is at %" PRId64
           ": only that one can be skipped",
           place->processor->name, committed, next);
  return false;
}

static bool skip(const struct options *options, const struct place *place,
                 struct failure *failure) {
  static struct log_offset offsets[PARTITIONS_MAX];
  struct commit_metadata metadata;
  struct kafka_admin *admin = kafka_admin_open(options, failure);
  if (!admin) return false;
  const char *topic = place->processor->input, *group = place->processor->name;
  int32_t count = kafka_admin_partitions(admin, topic, failure);
  bool fine = count > place->partition &&
              kafka_admin_committed(admin, group, topic, offsets, count, failure);
  if (count >= 0 && count <= place->partition) {
    failure->exit_code = EX_DATAERR;
    snprintf(failure->text, sizeof failure->text, "'%s' has %" PRId32 " partitions", topic, count);
  }
  if (fine && !commit_metadata_parse(offsets[place->partition].metadata, &metadata)) {
    failure->exit_code = EX_CONFIG;
    snprintf(failure->text, sizeof failure->text,
             "the group '%s' has no committed offset of this pipeline", group);
    fine = false;
  }
  fine = fine && is_next(options, place, offsets[place->partition].offset, failure);
  if (fine) { /* its metadata stays: the state needs the same as before */
    offsets[place->partition].offset = place->offset + 1;
    fine = kafka_admin_commit(admin, group, topic, offsets, count, failure);
  }
  kafka_admin_close(admin);
  return fine;
}

int skip_command(int argc, char **argv) {
  struct options options = {0};
  struct failure failure = {.exit_code = EX_SOFTWARE};
  struct place place = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    if (!parse_place(&options, &place, failure.text, sizeof failure.text)) {
      fprintf(stderr, "holdfast skip: %s\n", failure.text);
      code = EX_USAGE;
    } else if (!skip(&options, &place, &failure)) {
      fprintf(stderr, "holdfast skip: %s\n", failure.text);
      code = failure.exit_code;
    } else {
      printf("%s goes on after %s-%" PRId32 "@%" PRId64 "; start it again\n", place.processor->name,
             place.processor->input, place.partition, place.offset);
    }
  }
  options_free(&options);
  return code;
}
