/* Where the text of keys is read from: a file or a URL. */
#ifndef HOLDFAST_GATEWAY_KEY_SOURCE_H
#define HOLDFAST_GATEWAY_KEY_SOURCE_H

#include <stdatomic.h>

#include "gateway/key.h"

#define FETCH_CONNECT_MS 3000
#define FETCH_MS 5000

/* http:// or https://, else it is a file. */
bool source_is_url(const char *source);

/* http:// to another machine: whoever is between could give keys of their own. */
bool source_is_open(const char *source);

/* Reads at most `max` bytes; the text is the caller's (free) and ends with a NUL that does not
 * count. A URL gets FETCH_MS, and less where *ending becomes true; redirects are not followed.
 * False: why (KEY_WHY_SIZE) says what is wrong. Needs curl_global_init. */
bool source_read(const char *source, size_t max, const atomic_bool *ending, struct str *out,
                 char *why);

#endif
