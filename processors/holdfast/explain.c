/* holdfast explain: the story of one reservation, from the log. */
#include <stdio.h>
#include <sysexits.h>

#include "commands.h"
#include "explain.h"
#include "gen/records.h"

static const struct option_desc explain_options[] = {
    {.name = "output", .letter = 'o', .metavar = "FORMAT", .value = "text", .help = "text or json"},
    {.name = "stock",
     .kind = OPTION_FLAG,
     .help = "also the stock that it met: reads the input of stock-check, which takes longer"},
    {.name = "spill-dir",
     .metavar = "DIR",
     .value = "/tmp",
     .help = "with --stock: directory in which the state of that moment is made"},
    {0}};

static const struct usage usage = {
    "Tells the story of a reservation: every record about it with its place, its time and its "
    "effect on the ledger,\nand the time that each filter took.\n\n"
    "Usage: holdfast explain [option ...] RESERVATION",
    explain_options, true,
    "  holdfast explain r-4711\n  holdfast explain r-4711 --stock\n  holdfast explain r-4711 -o "
    "json | jq '.steps[].what'\n"};

static int explain(const struct options *options, const char *id) {
  static struct story story; /* too large for a stack */
  story =
      (struct story){.options = options, .codec = codec_new(&holdfast_schemas), .id = str_of(id)};
  story.failure.exit_code = EX_UNAVAILABLE;
  int code = EX_OK;
  story.admin = kafka_admin_open(options, &story.failure);
  bool fine = story.admin && explain_gather(&story);
  if (fine && story.count == 0) {
    story.failure.exit_code = EX_NOINPUT;
    snprintf(story.failure.text, sizeof story.failure.text,
             "no record is about '%s': is the id right, and --prefix?", id);
    fine = false;
  }
  if (fine) {
    explain_ledger(&story);
    fine = explain_stock(&story);
  }
  if (fine) {
    explain_tell(&story);
  } else {
    fprintf(stderr, "holdfast explain: %s\n", story.failure.text);
    code = story.failure.exit_code;
  }
  for (size_t i = 0; i < story.count; i++) json_decref(story.steps[i].stock);
  kafka_admin_close(story.admin);
  codec_free(story.codec);
  arena_free(&story.arena);
  return code;
}

int explain_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    if (options.argument_count == 1) {
      code = explain(&options, options.arguments[0]);
    } else {
      fprintf(stderr, "holdfast explain: name one reservation\n");
      code = EX_USAGE;
    }
  }
  options_free(&options);
  return code;
}
