/* The trace that a request belongs to (W3C Trace Context): taken from it, or begun. */
#ifndef HOLDFAST_GATEWAY_TRACE_H
#define HOLDFAST_GATEWAY_TRACE_H

#include <stdbool.h>

#define TRACE_SIZE 56 /* 00-{trace id}-{parent id}-{flags} and a NUL */
#define TRACE_ID_AT 3
#define TRACE_ID_SIZE 32

/* The trace of the header (NULL: there is none), with an id of this request as the parent of what
 * follows. One that is malformed is begun anew, as the standard asks for. */
void trace_take(const char *traceparent, char out[TRACE_SIZE]);

#endif
