/* The commands of `holdfast`: each takes its own flags and returns a code of sysexits(3). */
#ifndef HOLDFAST_COMMANDS_H
#define HOLDFAST_COMMANDS_H

#include "runtime/base/options.h"

int topics_command(int argc, char **argv);
int acls_command(int argc, char **argv);
int send_command(int argc, char **argv);
int encode_command(int argc, char **argv);
int read_command(int argc, char **argv);
int show_command(int argc, char **argv);
int run_command(int argc, char **argv);
int audit_command(int argc, char **argv);
int replay_command(int argc, char **argv);
int snapshot_command(int argc, char **argv);
int reset_command(int argc, char **argv);
int explain_command(int argc, char **argv);
int clock_command(int argc, char **argv);
int release_command(int argc, char **argv);
int skip_command(int argc, char **argv);
int token_command(int argc, char **argv);
int rehearse_command(int argc, char **argv);

struct usage {
  const char *text;                  /* first line: the purpose; then Usage: */
  const struct option_desc *options; /* of this command alone */
  bool kafka;                        /* takes -b, -F, -X, --prefix too */
  const char *examples;
};

/* Parses the flags. False: *code is the answer already (help was printed, or what is wrong). */
bool command_options(struct options *options, const struct usage *usage, int argc, char **argv,
                     int *code);

#endif
