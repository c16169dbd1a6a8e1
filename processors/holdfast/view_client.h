/* Asking the views over HTTP. */
#ifndef HOLDFAST_VIEW_CLIENT_H
#define HOLDFAST_VIEW_CLIENT_H

#include <jansson.h>

#include "runtime/base/options.h"

/* A thing that a view is asked for by an id. */
struct view_thing {
  const char *name; /* reservation, customer, item, tally */
  const char *view; /* the filter that answers */
  const char *path; /* with one %s for the id */
};

/* NULL: there is no such thing. */
const struct view_thing *view_thing(const char *name);

/* Writes where the thing's view answers, as the options have it. */
void view_url(const struct options *options, const struct view_thing *thing, char *url,
              size_t size);

/* GET, below url, the thing of that id. A new reference with *status (414 also where the id is too
 * long to be asked for), or NULL with a sentence in error (512 bytes): nobody answers there. */
json_t *view_ask(const char *url, const struct view_thing *thing, const char *id, long *status,
                 char *error);

#endif
