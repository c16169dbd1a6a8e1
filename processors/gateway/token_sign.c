#include "gateway/token_sign.h"

#include "gateway/base64url.h"
#include "runtime/base/text.h"

struct str token_sign(const struct key *key, struct str header, struct str payload,
                      struct arena *arena) {
  char signature[SIGNATURE_SIZE_MAX];
  char *token =
      arena_alloc(arena, BASE64URL_TEXT_SIZE(header.size) + BASE64URL_TEXT_SIZE(payload.size) +
                             BASE64URL_TEXT_SIZE(sizeof signature) + sizeof "..");
  char *at = token + base64url_encode(header, token).size;
  at = text_put(at, STR("."));
  at += base64url_encode(payload, at).size;
  struct str signed_text = {token, (size_t)(at - token)};
  at = text_put(at, STR("."));
  at += base64url_encode(signature_make(key, signed_text, signature), at).size;
  *at = '\0';
  return (struct str){token, (size_t)(at - token)};
}
