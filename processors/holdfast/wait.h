/* A line {"wait":{"item":ID}} or {"wait":{"reservation":ID,"status":STATUS}}, with "seconds" if 30
 * are not right: what follows it is not sent before that is so. */
#ifndef HOLDFAST_WAIT_H
#define HOLDFAST_WAIT_H

#include <jansson.h>

#include "codec.h"

struct wait {
  const char *item, *reservation, *status; /* borrowed from the line's JSON */
  int seconds;
};

/* False with a sentence in error (CODEC_ERROR_SIZE). */
bool wait_parse(const json_t *json, struct wait *out, char *error);

/* What is waited for, for a message. */
void wait_describe(const struct wait *wait, char *text, size_t size);

#endif
