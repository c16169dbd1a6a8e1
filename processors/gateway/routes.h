/* What can be asked here, and by whom: the table behind the dispatch and the OpenAPI document. */
#ifndef HOLDFAST_GATEWAY_ROUTES_H
#define HOLDFAST_GATEWAY_ROUTES_H

#include <stdbool.h>

#include "runtime/base/str.h"

enum route_kind { ROUTE_COMMAND, ROUTE_VIEW, ROUTE_EVENTS, ROUTE_DOCUMENT };

/* Whose things a view's answer may be of, and a command about. */
enum route_scope { SCOPE_ALL, SCOPE_OWN_PART, SCOPE_OWN_RESERVATION };

struct gateway_route {
  const char *method, *path; /* {} takes one part */
  enum route_kind kind;
  unsigned roles; /* of enum role: one of them is needed; 0: no token is */
  const char *summary;

  /* Of a command. */
  int type;                 /* enum record_type */
  const char *part_field;   /* the part of the path; NULL: none */
  const char *caller_field; /* the caller's subject */
  const char *id_field;     /* is chosen by the caller, by its key, or here; NULL: none */
  bool waits;               /* an outcome can be waited for */

  /* Of a view. */
  const char *view; /* the filter that answers */

  enum route_scope scope;
};

/* Ended by a NULL method. */
extern const struct gateway_route gateway_routes[];

/* The route of a request, or NULL: with *allowed (the methods of that path, with commas; size
 * bytes) for 405, empty for 404. HEAD is taken for GET. part: what {} took, decoded. */
const struct gateway_route *gateway_route_find(const char *method, const char *path,
                                               struct str *part, char *allowed, size_t size);

#endif
