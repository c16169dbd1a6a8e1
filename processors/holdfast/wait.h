/* A line {"wait":{"item":"concert-1","available":5}}: the lines after it are not sent before the
 * view shows so. It names a reservation, a customer, an item or a tally by its id; all else but
 * "seconds" (30, at most 3600) is what the view's answer must have. An object may have more than it
 * is asked for, an array must have an element like each one asked for. The fields of a customer's
 * sign-up are asked for as if they were the answer's own. */
#ifndef HOLDFAST_WAIT_H
#define HOLDFAST_WAIT_H

#include "runtime/record/codec.h"
#include "view_client.h"

struct wait {
  const struct view_thing *thing;
  const char *id;      /* borrowed from the line's JSON, as is */
  const json_t *shows; /* the line's object */
  int seconds;
};

/* False with a sentence in error (CODEC_ERROR_SIZE). */
bool wait_parse(const json_t *json, struct wait *out, char *error);

/* Asks the view that answers at url. False: error (512 bytes) has the view's state instead. */
bool wait_is_so(const struct wait *wait, const char *url, char *error);

/* The awaited state as a text, for a message. */
void wait_describe(const struct wait *wait, char *text, size_t size);

#endif
