/* Makes tokens, for development and tests: the gateway itself only checks them. */
#ifndef HOLDFAST_GATEWAY_TOKEN_SIGN_H
#define HOLDFAST_GATEWAY_TOKEN_SIGN_H

#include "gateway/key.h"
#include "runtime/base/arena.h"

/* header.payload.signature (RFC 7515, section 7.1), of any two texts. Without a private key, or
 * with one that cannot sign, the signature is empty. */
struct str token_sign(const struct key *key, struct str header, struct str payload,
                      struct arena *arena);

#endif
