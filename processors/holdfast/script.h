/* A script of commands: JSON lines, all of them checked before the first is used. */
#ifndef HOLDFAST_SCRIPT_H
#define HOLDFAST_SCRIPT_H

#include <stdio.h>

#include "runtime/record/codec.h"
#include "wait.h"

#define SCRIPT_SIZE_MAX ((size_t)512 << 20)

struct script_line {
  json_t *json; /* of a wait; NULL: a command. Owned */
  struct wait wait;
  struct str key, value; /* of a command, encoded. In the script's arena */
};

struct script {
  struct arena arena;
  struct script_line *lines;
  size_t count, capacity;
};

/* Adds the lines of a file. False: error (512 bytes) names the first bad line by its number. Empty
 * lines and lines that begin with # are passed over. */
bool script_read(struct script *script, FILE *in, struct codec *codec, char *error);

/* Adds one command from its type and field=value words; arrays as a,b,c or as JSON. */
bool script_words(struct script *script, char **words, int count, struct codec *codec, char *error);

/* From a command's arguments: none or "-" is stdin, one file, or a type with fields. */
bool script_arguments(struct script *script, char **arguments, int count, struct codec *codec,
                      char *error);
void script_free(struct script *script);

#endif
