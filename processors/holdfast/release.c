/* holdfast release: an instance that was stopped for good gives up its partitions at once. */
#include <stdio.h>
#include <sysexits.h>

#include "commands.h"
#include "runtime/contract/processors.h"
#include "runtime/kafka/release.h"

static const struct option_desc release_options[] = {{.name = "slot",
                                                      .kind = OPTION_NUMBER,
                                                      .metavar = "N",
                                                      .value = "-1",
                                                      .min = -1,
                                                      .max = 9999,
                                                      .help = "the instance's"},
                                                     {0}};

static const struct usage usage = {
    "Takes a slot out of its filter's group. An instance that is stopped keeps its partitions for "
    "session.timeout.ms, as\nit may come back; after this the others have them within a second. "
    "Stop the instance first: one that still runs is\nfenced and ends with 75, and whatever starts "
    "it again brings the slot back.\n\n"
    "Usage: holdfast release [option ...] FILTER --slot N",
    release_options, true, "  holdfast release stock-check --slot 2\n"};

static int release(const struct options *options) {
  struct failure failure = {0};
  int slot = (int)options_number(options, "slot");
  const struct processor *processor =
      options->argument_count == 1 ? processor_named(options->arguments[0]) : NULL;
  if (!processor || slot < 0) {
    fprintf(stderr, "holdfast release: %s: see holdfast release --help\n",
            options->argument_count != 1 ? "say one filter"
            : !processor                 ? "there is no filter of that name"
                                         : "say the --slot");
    return EX_USAGE;
  }
  switch (kafka_release_slot(options, processor, slot, &failure)) {
    case KAFKA_RELEASED:
      printf("slot %d of %s is released: the others have its partitions\n", slot, processor->name);
      return EX_OK;
    case KAFKA_RELEASED_BEFORE:
      printf("slot %d of %s is not in the group: there is nothing to release\n", slot,
             processor->name);
      return EX_OK;
    case KAFKA_RELEASE_FAILED: break;
  }
  fprintf(stderr, "holdfast release: %s\n", failure.text);
  return failure.exit_code;
}

int release_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) code = release(&options);
  options_free(&options);
  return code;
}
