/* holdfast read: a topic as JSON lines. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "commands.h"
#include "runtime/kafka/io.h"
#include "runtime/record/line.h"
#include "gen/records.h"

static const struct option_desc read_options[] = {
    {.name = "partition",
     .letter = 'p',
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "-1",
     .min = -1,
     .max = 100000,
     .help = "only this partition; -1: all"},
    {.name = "offset",
     .letter = 'o',
     .metavar = "OFFSET",
     .value = "beginning",
     .help = "beginning, end, an offset, or -N: the last N of each partition"},
    {.name = "count",
     .letter = 'c',
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "0",
     .max = INT64_MAX,
     .help = "stop after N records; 0: no limit"},
    {.name = "follow", .letter = 'f', .kind = OPTION_FLAG, .help = "go on reading at the end"},
    {0}};

static const struct usage usage = {
    "Prints the committed records of a topic, a JSON line each.\n\nUsage: holdfast read [option "
    "...] TOPIC",
    read_options, true,
    "  holdfast read reservation-events -f\n  holdfast read stock-levels -p 0 -o -10\n"
    "  holdfast read dead-letters | jq .headers.error\n"};

static volatile sig_atomic_t stopping;

static void on_signal(int signal_number) {
  (void)signal_number;
  stopping = 1;
}

static bool parse_offset(const char *text, int64_t *out) {
  char *end;
  if (strcmp(text, "beginning") == 0) return *out = KAFKA_READ_BEGINNING, true;
  if (strcmp(text, "end") == 0) return *out = KAFKA_READ_END, true;
  long long offset = strtoll(text, &end, 10);
  *out = offset < 0 ? KAFKA_READ_BEGINNING + offset : offset;
  return *text && *end == '\0' && offset > INT64_MIN / 2;
}

static void print(struct codec *codec, const char *topic, int32_t partition,
                  const struct message *record) {
  json_t *json = line_json(codec, topic, record);
  json_object_set_new(json, "partition", json_integer(partition));
  json_object_set_new(json, "offset", json_integer(record->offset));
  json_dumpf(json, stdout, JSON_COMPACT);
  putchar('\n');
  json_decref(json);
}

static int read_topic(const struct options *options, const char *topic, int64_t from) {
  struct failure failure;
  struct kafka_reader *reader = kafka_reader_open(
      options, topic, (int32_t)options_number(options, "partition"), from, &failure);
  struct codec *codec = codec_new(&holdfast_schemas);
  int64_t left = options_number(options, "count");
  bool follow = options_flag(options, "follow"), limited = left > 0;
  enum kafka_read read = reader ? KAFKA_READ_NOTHING : KAFKA_READ_FAILED;
  while (read != KAFKA_READ_FAILED && !stopping && (follow || read != KAFKA_READ_AT_END) &&
         (!limited || left > 0) && !ferror(stdout)) {
    struct message record;
    int32_t partition;
    read = kafka_reader_next(reader, 200, &partition, &record, &failure);
    if (read == KAFKA_READ_RECORD) {
      print(codec, topic, partition, &record);
      left--;
    } else if (follow) {
      fflush(stdout);
    }
  }
  codec_free(codec);
  kafka_reader_close(reader);
  if (read != KAFKA_READ_FAILED) return EX_OK;
  fprintf(stderr, "holdfast read: %s\n", failure.text);
  return failure.exit_code;
}

int read_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  int64_t from;
  if (command_options(&options, &usage, argc, argv, &code)) {
    if (options.argument_count != 1) {
      fprintf(stderr, "holdfast read: name one topic\n");
      code = EX_USAGE;
    } else if (!parse_offset(options_text(&options, "offset"), &from)) {
      fprintf(stderr, "holdfast read: --offset must be beginning, end, an offset or -N, not '%s'\n",
              options_text(&options, "offset"));
      code = EX_USAGE;
    } else {
      signal(SIGINT, on_signal);
      signal(SIGTERM, on_signal);
      code = read_topic(&options, options.arguments[0], from);
    }
  }
  options_free(&options);
  return code;
}
