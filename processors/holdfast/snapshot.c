/* holdfast snapshot: the store of a filter with its offsets, to replay from later. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "commands.h"
#include "runtime/contract/processors.h"
#include "runtime/store/store.h"
#include "runtime/record/json.h"

#define PARTITIONS_MAX 1024

static const struct option_desc snapshot_options[] = {
    {.name = "state-dir",
     .metavar = "DIR",
     .value = "state",
     .help = "folder of the store: DIR/<filter>-<slot>"},
    {.name = "slot",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "0",
     .max = 9999,
     .help = "the instance whose store it is"},
    {.name = "output", .letter = 'o', .metavar = "FORMAT", .value = "text", .help = "text or json"},
    {0}};

static const struct usage usage = {
    "Copies the store of a filter on this machine as it stands, with its offsets, also while the "
    "filter runs.\n'holdfast replay --snapshot' begins with it.\n\n"
    "Usage: holdfast snapshot [option ...] FILTER DIR",
    snapshot_options, false, "  holdfast snapshot payment backup/payment-0 --state-dir state\n"};

static int print_offsets(const char *directory, bool json) {
  char error[400];
  struct store *store = store_open_read_only(directory, error, sizeof error);
  if (!store) {
    fprintf(stderr, "holdfast snapshot: %s\n", error);
    return EX_IOERR;
  }
  json_t *all = json_array();
  for (int32_t p = 0; p < PARTITIONS_MAX; p++) {
    struct store_meta meta;
    if (!store_meta(store, p, &meta)) continue;
    json_array_append_new(
        all, json_pack("{s:i,s:I,s:I,s:I,s:b}", "partition", (int)p, "epoch", meta.epoch,
                       "next_input", meta.next_input, "next_changelog", meta.next_changelog,
                       "rebuilding", meta.rebuilding));
    if (!json)
      printf("  partition %" PRId32 ": input up to %" PRId64 ", changelog up to %" PRId64
             ", epoch %" PRId64 "%s\n",
             p, meta.next_input, meta.next_changelog, meta.epoch,
             meta.rebuilding ? ", NOT COMPLETE: a rebuild has not ended" : "");
  }
  if (json) {
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
  }
  json_decref(all);
  store_close(store);
  return EX_OK;
}

int snapshot_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    const struct processor *processor =
        options.argument_count == 2 ? processor_named(options.arguments[0]) : NULL;
    char path[512], error[400];
    if (!processor || !processor->rows) {
      fprintf(stderr, "holdfast snapshot: name a filter that keeps state, and a new folder\n");
      code = EX_USAGE;
    } else {
      snprintf(path, sizeof path, "%s/%s-%d", options_text(&options, "state-dir"), processor->name,
               (int)options_number(&options, "slot"));
      if (store_copy(path, options.arguments[1], error, sizeof error)) {
        code = print_offsets(options.arguments[1],
                             strcmp(options_text(&options, "output"), "json") == 0);
      } else {
        fprintf(stderr, "holdfast snapshot: %s\n", error);
        code = EX_IOERR;
      }
    }
  }
  options_free(&options);
  return code;
}
