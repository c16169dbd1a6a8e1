/* Asking the views over HTTP. */
#ifndef HOLDFAST_VIEW_CLIENT_H
#define HOLDFAST_VIEW_CLIENT_H

#include <jansson.h>

#include "options.h"

/* --history-url and --catalog-url. */
extern const struct option_desc view_options[];

/* GET base + path, where path has one %s for the id, which is escaped. A new reference with
 * *status, or NULL with a sentence in error (512 bytes): nobody answers there. */
json_t *view_ask(const char *base, const char *path, const char *id, long *status, char *error);

#endif
