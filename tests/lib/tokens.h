/* Keys and tokens for tests. The same three keys for a whole process: they are new in each. */
#ifndef HOLDFAST_TEST_TOKENS_H
#define HOLDFAST_TEST_TOKENS_H

#include "gateway/jwk.h"
#include "gateway/token_sign.h"

/* With the kids "rsa", "ec" and "ed". Borrowed. */
const struct key *test_key(enum algorithm algorithm);

/* Another key of that algorithm; the caller's (key_free). kid NULL: none. */
struct key fresh_key(enum algorithm algorithm, const char *kid);

/* The JWKS of keys, ended by a NULL; the caller's (free). */
char *jwks_of(const struct key *const *keys);

/* Writes a file of that text whole, by a rename. */
void replace_file(const char *path, struct str text);

#endif
