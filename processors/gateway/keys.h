/* The keys that tokens are checked with: a JWKS from a file or a URL, or a secret from a file.
 *
 * A thread of its own reads them again: a file within FILE_LOOK_MS of its change; a URL every
 * URL_LOOK_S, and when a token names a key that is unknown, at most once in retry_ms. Where the new
 * text cannot be read or used, the old keys stay, and a warning says so. A check only looks at what
 * is there: it never waits for that thread. */
#ifndef HOLDFAST_GATEWAY_KEYS_H
#define HOLDFAST_GATEWAY_KEYS_H

#include "gateway/key.h"
#include "runtime/base/failure.h"

#define FILE_LOOK_MS 1000
#define URL_LOOK_S 600
#define URL_FIRST_MS 2000 /* between tries while there are no keys at all */
#define UNKNOWN_KID_MS 30000

struct keys;

/* Copied. One of jwks and secret is given. */
struct keys_source {
  const char *jwks;   /* path, or a URL with http:// or https:// */
  const char *secret; /* path: HS256 */
  int64_t retry_ms;   /* 0: UNKNOWN_KID_MS */
};

/* A file is read at once; NULL where that fails. A URL is read in the background: see
 * keys_wait. */
struct keys *keys_open(const struct keys_source *source, struct failure *failure);
void keys_close(struct keys *keys); /* NULL is fine. Within a second or so */

/* True as soon as there are keys, and then for good; waits for them up to so long. */
bool keys_wait(struct keys *keys, int timeout_ms);

/* Another number after each change of the keys. 0: there are none yet. */
uint64_t keys_generation(struct keys *keys);

enum key_answer {
  KEY_SIGNED,          /* the signature is that key's */
  KEY_FORGED,          /* it is not */
  KEY_OTHER_ALGORITHM, /* the key exists and belongs to another algorithm */
  KEY_AMBIGUOUS,       /* several would do, and the token names none */
  KEY_UNKNOWN,         /* it was looked for within retry_ms, or the source is a file */
  KEY_SOUGHT,          /* unknown, and the keys are being read again: ask once more in a second */
};

/* Who signed text? kid.data NULL: the token names no key. A key without a kid fits every kid.
 * *generation: of the keys that answered. */
enum key_answer keys_check(struct keys *keys, struct str kid, enum algorithm algorithm,
                           struct str text, struct str signature, uint64_t *generation);

#endif
