/* Options from one table: flags > environment (HOLDFAST_*) > properties file > defaults. The table
 * also makes --help.
 *
 * A name that the table does not have is librdkafka's, whether from -X or from the file, and passes
 * through to it. */
#ifndef HOLDFAST_BASE_OPTIONS_H
#define HOLDFAST_BASE_OPTIONS_H

#include <stdio.h>

#include "runtime/base/arena.h"

#define OPTIONS_MAX 48
#define KAFKA_PROPERTIES_MAX 128

enum option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_FLAG };

struct option_desc {
  const char *name; /* --name, HOLDFAST_NAME with _ for -, name=value in the file */
  char letter;      /* -b; 0: none */
  enum option_kind kind;
  const char *metavar; /* the name of its value in --help */
  const char *value;   /* default; NULL: none */
  int64_t min, max;    /* of a number */
  const char *word;    /* that may stand where a number does; NULL: none */
  bool secret;         /* refused as a flag, which every user of the machine can read */
  const char *help;
};

struct kafka_property {
  char *name, *value;
};

struct options {
  const struct option_desc *table[OPTIONS_MAX];
  char *values[OPTIONS_MAX]; /* owned; NULL: the default */
  int ranks[OPTIONS_MAX];    /* of the source the value came from */
  size_t count;
  struct kafka_property kafka[KAFKA_PROPERTIES_MAX];
  size_t kafka_count;
  char **arguments; /* the rest after the flags; borrowed from argv */
  int argument_count;
  char error[512];
};

/* Adds a table ended by an entry without a name. The table is borrowed. */
void options_add(struct options *options, const struct option_desc *table);

/* Reads environment, file (-F or HOLDFAST_PROPERTIES) and flags. False: error says what is wrong.
 * Flags and arguments may mix; "--" ends the flags. */
bool options_parse(struct options *options, int argc, char **argv);
void options_free(struct options *options);

/* The name must be in the table. */
const char *options_text(const struct options *options, const char *name);
/* 0 for its word */
int64_t options_number(const struct options *options, const char *name);
/* By anybody: not the default */
bool options_given(const struct options *options, const char *name);
bool options_flag(const struct options *options, const char *name);

/* A line of help per option. */
void options_help(const struct options *options, FILE *out);

extern const struct option_desc help_options[]; /* --help */
/* -b, -F, -X, --prefix and the files of passwords: the options of everything that talks to Kafka */
extern const struct option_desc kafka_options[];
/* --history-url, --catalog-url and --tally-url: of whoever asks the views */
extern const struct option_desc view_options[];

#endif
