/* The source of a view's answers: its committed rows, read on the HTTP thread. */
#ifndef HOLDFAST_CONTRACT_VIEW_H
#define HOLDFAST_CONTRACT_VIEW_H

#include <jansson.h>

#include "runtime/contract/processor.h"

#define PAGE_LIMIT_DEFAULT 50
#define PAGE_LIMIT_MAX 500

#define ALL_PARTITIONS (-1)

/* On which the instances of a view tell each other where they are. */
#define VIEW_OWNERS_TOPIC "view-owners"

struct http_header {
  const char *name, *value;
};

struct http_request {
  const char *method;
  struct str content; /* of the request, where the listener takes any */
  const char *(*header)(const struct http_request *request, const char *name); /* NULL: none */
  struct str part;   /* the text that {} of the route's path took */
  int32_t partition; /* the one with all rows of the answer, or ALL_PARTITIONS */
  const char *(*query)(const struct http_request *request, const char *name); /* NULL: not given */
  void *connection;
  int status;                        /* of the answer; 200 at first */
  json_t *body;                      /* of the answer; taken */
  const struct http_header *headers; /* of the answer: borrowed until it is sent */
  size_t header_count;
  json_t *keys; /* of the last page's items, in hexadecimal: by these pages are merged. Taken */
};

/* Keys as row_key makes them, in the view's memory. */
struct str view_key(const struct view *view, const struct row_kind *kind, const struct str *parts,
                    size_t count);

/* The row in whichever partition has it, or NULL. Valid until the request is answered. */
const void *view_get(const struct view *view, const struct row_kind *kind, struct str key);

/* An object with "items" (what show returned, in key order) and "next" (give it back as ?after= for
 * the next page; null at the end). Rows whose key starts with prefix, over all partitions; show
 * returns NULL for a row that is not wanted. A page stays correct while rows change: it goes by
 * key, so that a row that stays is seen once. It can hold less than the limit and still have a next
 * one, since a page reads a bounded number of rows. NULL: the request was answered with a
 * problem. */
json_t *view_page(const struct view *view, struct http_request *request,
                  const struct row_kind *kind, struct str prefix,
                  json_t *(*show)(const struct view *view, void *user, struct str key,
                                  const void *row),
                  void *user);

/* Answers with a problem document (RFC 9457). */
void http_problem(struct http_request *request, int status, const char *title, const char *detail);

/* The row as JSON without its "type". */
json_t *view_json(const struct view *view, const struct row_kind *kind, const void *row);

#endif
