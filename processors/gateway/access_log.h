/* A line of JSON for each request, once it is answered. */
#ifndef HOLDFAST_GATEWAY_ACCESS_LOG_H
#define HOLDFAST_GATEWAY_ACCESS_LOG_H

#include "runtime/base/failure.h"
#include "runtime/base/str.h"

struct access_log;

struct access {
  const char *method, *path, *caller, *address;
  struct str trace_id, about; /* about: the reservation, item or customer; empty: none */
  int status;
  int64_t took_us;
};

/* Appends to the file; "-" is the standard output. It is opened again by access_log_again, for who
 * rotates it. NULL with the failure set. */
struct access_log *access_log_open(const char *path, struct failure *failure);
void access_log_write(struct access_log *log, const struct access *access); /* any thread */
void access_log_flush(struct access_log *log);                              /* now and then */
void access_log_again(struct access_log *log);
void access_log_close(struct access_log *log); /* NULL is fine, here and above */

#endif
