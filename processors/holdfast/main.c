#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "commands.h"
#include "runtime/base/report.h"
#include "runtime/record/codec.h"

static const struct command {
  const char *name;
  int (*run)(int argc, char **argv);
  const char *summary;
} commands[] = {
    {"topics", topics_command,
     "show and apply the topics, and make the first commit of new groups"},
    {"acls", acls_command, "show, grant and verify the rights of each process on a secure cluster"},
    {"send", send_command, "check commands and produce them"},
    {"encode", encode_command, "turn commands into lines for a pipe"},
    {"read", read_command, "print a topic as JSON lines"},
    {"show", show_command, "a reservation, a customer, an item, as the views have it"},
    {"audit", audit_command, "prove that nothing was lost, done twice or oversold"},
    {"explain", explain_command, "the story of one reservation, from the log"},
    {"replay", replay_command, "run a filter on its recorded input, and compare"},
    {"snapshot", snapshot_command, "copy a filter's store with its offsets"},
    {"reset", reset_command, "let a filter do its work again from an earlier place"},
    {"clock", clock_command, "show the time of a filter's partitions, and set back a wrong one"},
    {"release", release_command, "give up the place of an instance that was stopped for good"},
    {"skip", skip_command, "pass over a record that stops a filter"},
    {"rehearse", rehearse_command,
     "try a cluster of yours, with harm and audit, and leave nothing"},
    {"token", token_command, "make a token for development, or check one as the gateway does"},
    {"run", run_command, "run the whole pipeline in this process, without a broker"},
};

static void help(FILE *out) {
  fprintf(out,
          "holdfast: the command line of the reservation pipeline\n\nUsage: holdfast COMMAND "
          "[option ...]\n\nCommands:\n");
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
  fprintf(out,
          "\n'holdfast COMMAND --help' has the options and examples of each; "
          "'holdfast --version' its release.\n");
}

bool command_options(struct options *options, const struct usage *usage, int argc, char **argv,
                     int *code) {
  options_add(options, usage->options);
  if (usage->kafka) options_add(options, kafka_options);
  options_add(options, help_options);
  *code = EX_OK;
  if (!options_parse(options, argc, argv)) {
    fprintf(stderr, "holdfast %s: %s\n", argv[0], options->error);
    *code = EX_USAGE;
    return false;
  }
  if (usage->kafka) codec_look_in(options_text(options, "schemas"));
  if (!options_flag(options, "help")) return true;
  printf("%s\n\n", usage->text);
  options_help(options, stdout);
  printf("\nExamples:\n%s", usage->examples);
  return false;
}

int main(int argc, char **argv) {
  report_as("holdfast", LEVEL_WARNING);
  for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++) {
    if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
  }
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    printf("holdfast %s\n", HOLDFAST_VERSION);
    return EX_OK;
  }
  bool asked = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                            strcmp(argv[1], "help") == 0);
  if (argc > 1 && !asked) fprintf(stderr, "holdfast: unknown command '%s'\n\n", argv[1]);
  help(asked ? stdout : stderr);
  return asked ? EX_OK : EX_USAGE;
}
