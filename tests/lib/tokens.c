#include "tokens.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static EVP_PKEY *new_pkey(enum algorithm algorithm) {
  switch (algorithm) {
    case ALGORITHM_RS256: return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS_MIN);
    case ALGORITHM_ES256: return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    case ALGORITHM_EDDSA: return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case ALGORITHM_HS256: break;
  }
  return NULL;
}

struct key fresh_key(enum algorithm algorithm, const char *kid) {
  struct key key;
  char why[KEY_WHY_SIZE], secret[SECRET_SIZE_MIN];
  bool fine;
  if (algorithm == ALGORITHM_HS256) {
    RAND_bytes((unsigned char *)secret, sizeof secret);
    secret[sizeof secret - 1] = '!'; /* no line end, which would not count */
    fine = key_of_secret((struct str){secret, sizeof secret}, &key, why);
  } else {
    fine = key_of_pkey(new_pkey(algorithm), &key, why);
  }
  if (!fine) abort();
  if (kid) key.kid = xstrdup(kid);
  return key;
}

const struct key *test_key(enum algorithm algorithm) {
  static const char *const kids[] = {"rsa", "ec", "ed", "secret"};
  static struct key keys[4];
  if (!keys[algorithm].kid) keys[algorithm] = fresh_key(algorithm, kids[algorithm]);
  return &keys[algorithm];
}

char *jwks_of(const struct key *const *keys) {
  json_t *list = json_array();
  for (; *keys; keys++) {
    json_t *jwk = jwk_of_key(*keys);
    if (!(*keys)->kid) json_object_del(jwk, "kid");
    json_array_append_new(list, jwk);
  }
  json_t *jwks = json_pack("{s:o}", "keys", list);
  char *text = json_dumps(jwks, JSON_COMPACT);
  json_decref(jwks);
  return text;
}

void replace_file(const char *path, struct str text) {
  char other[256];
  snprintf(other, sizeof other, "%s.new", path);
  FILE *file = fopen(other, "w");
  if (!file || fwrite(text.data, 1, text.size, file) != text.size || fclose(file) != 0 ||
      rename(other, path) != 0)
    abort();
}
