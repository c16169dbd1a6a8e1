/* The HTTP side of a filter: /livez, /readyz, /metrics, and the questions that a view answers. One
 * thread, bounded connections. */
#ifndef HOLDFAST_HTTP_H
#define HOLDFAST_HTTP_H

#include "runtime.h"

struct http_server;

/* Listens on "HOST:PORT"; port 0 takes a free one. /readyz is red above ready_lag records of lag.
 * NULL with a sentence in error. The runtime must outlive the server. */
struct http_server *http_start(const char *address, struct runtime *runtime,
                               const struct processor *processor, int64_t ready_lag, char *error,
                               size_t size);
/* Answers for other instances of the view at "HOST:PORT" (port 0 takes a free one), and asks them
 * for what this one does not have: any instance answers any question. False: the failure is set. */
bool http_share(struct http_server *server, const struct options *options, const char *address,
                struct log_failure *failure);
uint16_t http_port(const struct http_server *server);
void http_stop(struct http_server *server);

#endif
