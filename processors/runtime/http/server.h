/* The questions of a view, answered over HTTP from its committed rows. */
#ifndef HOLDFAST_HTTP_SERVER_H
#define HOLDFAST_HTTP_SERVER_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"
#include "runtime/core/runtime.h"

struct http_server;

/* Answers at `address` ("HOST:PORT", port 0 takes a free one; `option` names it in messages), from
 * the rows of this instance alone. The runtime must outlive the server. NULL with the failure
 * set. */
struct http_server *http_start(const char *option, const char *address, struct runtime *runtime,
                               const struct processor *processor, struct failure *failure);

/* The same at --http of the options, and for other instances of the view at --peers: this one asks
 * them for the partitions that it lacks, so that any instance answers any question. */
struct http_server *http_start_shared(const struct options *options, struct runtime *runtime,
                                      const struct processor *processor, struct failure *failure);
uint16_t http_port(const struct http_server *server);
void http_stop(struct http_server *server); /* NULL is fine */

#endif
