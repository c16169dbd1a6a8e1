/* HTTP calls of a filter's world: many at a time over kept-alive connections (libcurl's multi
 * interface), each with a deadline, each named by the row that asked for it.
 *
 * A thread of its own drives them, so that an answer's time is the other end's and not the
 * caller's: a commit would count as slowness. One thread makes all calls of this file. */
#ifndef HOLDFAST_CONTRACT_CALLS_H
#define HOLDFAST_CONTRACT_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/report.h" /* a world may tell the operator */
#include "runtime/base/str.h"
#include "runtime/record/json.h"

struct calls;

struct call_request {
  const char *method, *url;
  const char *headers[4]; /* "Name: value", ended by a NULL. All is copied */
  struct str body;        /* of the type application/json */
};

/* Says nothing of libcurl, so that a simulated connection can make one. */
struct call_answer {
  /* The times that the request began to go out over a connection; 0: no byte of it left, so nothing
   * was done at the other end. More than 1: a kept connection died before the first byte of an
   * answer, and libcurl sent the request again over another */
  int tries;
  long status; /* of the last try's head, which counts however its body ends; 0: no head came */
  bool cut; /* body is the beginning only: more came than answer_max, or it did not end in time */
  struct str body;
  int64_t took_ms;
};

/* limit: calls at a time. answer_max: bytes of an answer that are kept; the rest
 * is read, within the deadline, and discarded. */
struct calls *calls_open(size_t limit, long timeout_ms, size_t answer_max);
void calls_close(struct calls *calls); /* NULL is fine */
size_t calls_in_flight(const struct calls *calls);
size_t calls_room(const struct calls *calls);

/* False: there is no room for it, or the key is longer than ROW_KEY_SIZE_MAX. */
bool calls_start(struct calls *calls, int32_t partition, struct str key,
                 const struct call_request *request);

/* Waits up to timeout_ms for a call to end. False: none did. The bytes of key and body are valid
 * until calls_next or calls_start. */
bool calls_next(struct calls *calls, int timeout_ms, int32_t *partition, struct str *key,
                struct call_answer *answer);

/* A text as a part of a URL's path: all but letters, digits and -._~ escaped (RFC 3986, 2.3). Cut
 * at size. */
void calls_escape(struct str text, char *out, size_t size);

/* Bytes of a URL that is an option, with its end. */
#define CALLS_URL_SIZE 256

/* http:// or https://, and a host; not longer than CALLS_URL_SIZE. */
bool calls_url_fits(const char *url);

#endif
