/* A filter's decisions as a table: inputs, and their outputs. */
#ifndef HOLDFAST_TEST_PLAY_H
#define HOLDFAST_TEST_PLAY_H

#include "harness.h"

struct line_of_play {
  int64_t time;     /* 0: a second after the last */
  const char *json; /* NULL: time passes */
  const char *out;
};

void play(const char *processor, const struct line_of_play *steps, size_t count);
#define PLAY(processor, steps) play(processor, steps, sizeof steps / sizeof *steps)

/* The RegisterItem of the item i, with its other fields. */
#define ITEM(rest) \
  "{\"type\":\"RegisterItem\",\"item_id\":\"i\",\"title\":\"t\",\"payment\":\"NONE\"," rest "}"

#endif
