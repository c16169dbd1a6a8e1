/* Tokens whose signature was right, by their SHA-256: a check costs 23 us of CPU by RS256, 67 by
 * ES256 and 110 by EdDSA, a look-up 0.6. Bounded; of four places the one that was used the longest
 * ago goes. Any number of threads. */
#ifndef HOLDFAST_GATEWAY_TOKEN_CACHE_H
#define HOLDFAST_GATEWAY_TOKEN_CACHE_H

#include "gateway/token.h"

#define TOKEN_CACHE_ENTRIES 16384 /* some 140 bytes each: 10,000 callers at once fit */
#define TOKEN_DIGEST_SIZE 32

struct token_cache *token_cache_open(void);
void token_cache_close(struct token_cache *cache); /* NULL is fine */

void token_digest(struct str token, unsigned char digest[TOKEN_DIGEST_SIZE]);

/* What was kept of that token under the same keys, unless it has expired. */
bool token_cache_get(struct token_cache *cache, const unsigned char *digest, uint64_t generation,
                     int64_t now_s, struct caller *caller);

void token_cache_put(struct token_cache *cache, const unsigned char *digest, uint64_t generation,
                     const struct caller *caller);

#endif
