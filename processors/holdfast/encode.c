/* holdfast encode: commands as lines for a pipe. */
#include <stdio.h>
#include <sysexits.h>

#include "runtime/base/clock.h"
#include "commands.h"
#include "runtime/record/line.h"
#include "script.h"

static const struct option_desc encode_options[] = {
    {.name = "time",
     .kind = OPTION_NUMBER,
     .metavar = "MS",
     .min = 0,
     .max = INT64_MAX,
     .help = "timestamp of the lines, milliseconds since 1970 [now]"},
    {0}};

static const struct usage usage = {
    "Checks commands and turns them into lines of the topic reservation-commands, for a "
    "pipe.\n\nUsage: holdfast encode [option ...] [FILE]\n"
    "       holdfast encode [option ...] TYPE field=value ...",
    encode_options, false,
    "  holdfast encode < commands.jsonl | reserve-requested --pipe | stock-check --pipe | payment "
    "--pipe\n"};

int encode_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    struct script script = {0};
    struct codec *codec = codec_new(&holdfast_schemas);
    char error[512];
    if (!script_arguments(&script, options.arguments, options.argument_count, codec, error)) {
      fprintf(stderr, "holdfast encode: %s\n", error);
      code = EX_DATAERR;
    }
    int64_t time =
        options_given(&options, "time") ? options_number(&options, "time") : clock_wall_ms();
    for (size_t i = 0; code == EX_OK && i < script.count; i++) {
      if (script.lines[i].json)
        continue; /* a pipe has nothing to wait for: every line is decided before the next */
      const struct message record = {.timestamp = time,
                                     .key = script.lines[i].key,
                                     .value = script.lines[i].value,
                                     .correlation_id = script.lines[i].key};
      json_t *json = line_json(codec, "reservation-commands", &record);
      json_dumpf(json, stdout, JSON_COMPACT);
      putchar('\n');
      json_decref(json);
    }
    script_free(&script);
    codec_free(codec);
  }
  options_free(&options);
  return code;
}
