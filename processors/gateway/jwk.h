/* Keys as JSON (RFC 7517; members of each kind: RFC 7518, section 6, and RFC 8037). */
#ifndef HOLDFAST_GATEWAY_JWK_H
#define HOLDFAST_GATEWAY_JWK_H

#include <jansson.h>

#include "gateway/key.h"

#define JWKS_SIZE_MAX ((size_t)256 << 10)
#define JWKS_KEYS_MAX 64

struct key_set {
  struct key *keys; /* owned, with all of them */
  size_t count;
};

/* Takes the keys of a JWKS that can check a signature by an algorithm that is taken here. Keys of
 * another use or algorithm are passed over, as section 5 wants; a faulty key too, with a warning
 * that names the source. False: why (KEY_WHY_SIZE) says what is wrong; no key was taken. */
bool jwks_parse(struct str text, const char *source, struct key_set *out, char *why);
void key_set_free(struct key_set *set);

/* The public half as a JWK with kid, alg and use; the caller's. A key without a kid gets its
 * thumbprint as one (RFC 7638). NULL: the key is a secret, which has no public half. */
json_t *jwk_of_key(const struct key *key);

#endif
