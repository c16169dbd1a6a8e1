#include "gateway/jwk.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/base64url.h"
#include "runtime/base/arena.h"
#include "runtime/base/report.h"

#define COORDINATE_SIZE 32   /* of P-256, and the whole of an Ed25519 key */
#define EXPONENT_SIZE_MAX 8  /* a large one would only cost time */
#define NUMBER_SIZE_MAX 1025 /* RSA_BITS_MAX, and a zero in front */

/* ---- from JSON ---- */

static const char *member(const json_t *jwk, const char *name) {
  const char *text = json_string_value(json_object_get(jwk, name));
  return text ? text : "";
}

/* A number or a point of the key. False: it is missing, no base64url, empty, or too long. */
static bool take_bytes(const json_t *jwk, const char *name, size_t max, unsigned char *out,
                       size_t *size) {
  struct str text = str_of(member(jwk, name));
  return text.size <= BASE64URL_TEXT_SIZE(max) && base64url_decode(text, (char *)out, size) &&
         *size > 0;
}

static EVP_PKEY *pkey_of_parameters(const char *type, OSSL_PARAM_BLD *build) {
  EVP_PKEY *pkey = NULL;
  OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
  if (parameters && context && EVP_PKEY_fromdata_init(context) == 1)
    EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, parameters);
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(parameters);
  return pkey;
}

static EVP_PKEY *pkey_of_rsa(const json_t *jwk) {
  unsigned char n[NUMBER_SIZE_MAX], e[EXPONENT_SIZE_MAX];
  size_t n_size, e_size;
  if (!take_bytes(jwk, "n", sizeof n, n, &n_size) || !take_bytes(jwk, "e", sizeof e, e, &e_size))
    return NULL;
  EVP_PKEY *pkey = NULL;
  BIGNUM *modulus = BN_bin2bn(n, (int)n_size, NULL), *exponent = BN_bin2bn(e, (int)e_size, NULL);
  OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
  /* with 1 every text would be its own signature */
  if (build && modulus && exponent && BN_is_odd(modulus) && BN_is_odd(exponent) &&
      !BN_is_one(exponent) && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) &&
      OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent))
    pkey = pkey_of_parameters("RSA", build);
  OSSL_PARAM_BLD_free(build);
  BN_free(modulus);
  BN_free(exponent);
  return pkey;
}

/* OpenSSL refuses a point that is not on the curve. */
static EVP_PKEY *pkey_of_curve(const json_t *jwk) {
  unsigned char point[1 + 2 * COORDINATE_SIZE] = {POINT_CONVERSION_UNCOMPRESSED};
  size_t x, y;
  if (!take_bytes(jwk, "x", COORDINATE_SIZE, point + 1, &x) || x != COORDINATE_SIZE ||
      !take_bytes(jwk, "y", COORDINATE_SIZE, point + 1 + COORDINATE_SIZE, &y) ||
      y != COORDINATE_SIZE)
    return NULL;
  EVP_PKEY *pkey = NULL;
  OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
  if (build &&
      OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
      OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point))
    pkey = pkey_of_parameters("EC", build);
  OSSL_PARAM_BLD_free(build);
  return pkey;
}

static EVP_PKEY *pkey_of_edwards(const json_t *jwk) {
  unsigned char x[COORDINATE_SIZE];
  size_t size;
  if (!take_bytes(jwk, "x", sizeof x, x, &size) || size != sizeof x) return NULL;
  return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, size);
}

static const struct kind {
  const char *type, *curve; /* curve "": it has none */
  enum algorithm algorithm;
  EVP_PKEY *(*pkey)(const json_t *jwk);
} kinds[] = {
    {"RSA", "", ALGORITHM_RS256, pkey_of_rsa},
    {"EC", "P-256", ALGORITHM_ES256, pkey_of_curve},
    {"OKP", "Ed25519", ALGORITHM_EDDSA, pkey_of_edwards},
};

/* "verify" is among the operations, or none are named. */
static bool may_verify(const json_t *jwk) {
  const json_t *operations = json_object_get(jwk, "key_ops"), *operation;
  size_t i;
  json_array_foreach(operations, i, operation) {
    const char *name = json_string_value(operation);
    if (name && strcmp(name, "verify") == 0) return true;
  }
  return !operations;
}

/* NULL: the key serves for something else, or for an algorithm that is not taken here. */
static const struct kind *kind_of(const json_t *jwk) {
  const char *use = member(jwk, "use"), *name = member(jwk, "alg");
  enum algorithm algorithm;
  if ((*use && strcmp(use, "sig") != 0) || !may_verify(jwk)) return NULL;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strcmp(kinds[i].type, member(jwk, "kty")) != 0) continue;
    if (*kinds[i].curve && strcmp(kinds[i].curve, member(jwk, "crv")) != 0) continue;
    if (!*name || (algorithm_named(name, &algorithm) && algorithm == kinds[i].algorithm))
      return &kinds[i];
  }
  return NULL;
}

static bool wrong(char *why, const char *what) {
  snprintf(why, KEY_WHY_SIZE, "%s", what);
  return false;
}

/* False with a text in why: the key is faulty; without: it is for something else. */
static bool key_of_jwk(const json_t *jwk, struct key *out, char *why) {
  *why = '\0';
  if (!json_is_object(jwk)) return wrong(why, "is no JSON object");
  if (json_object_get(jwk, "d") || json_object_get(jwk, "k"))
    return wrong(why, "is a private key or a secret: give the public key only");
  const struct kind *kind = kind_of(jwk);
  if (!kind) return false;
  const json_t *kid = json_object_get(jwk, "kid");
  if (kid && (!json_is_string(kid) || json_string_length(kid) > KID_SIZE_MAX))
    return wrong(why, "has a kid that is no text of at most 256 bytes");
  EVP_PKEY *pkey = kind->pkey(jwk);
  ERR_clear_error();
  if (!pkey) return wrong(why, "has numbers that are missing or wrong");
  if (!key_of_pkey(pkey, out, why)) return false;
  if (kid) out->kid = xstrdup(json_string_value(kid));
  return true;
}

static bool take_keys(const json_t *list, const char *source, struct key_set *out, char *why) {
  const json_t *jwk;
  size_t i;
  if (!json_is_array(list)) return wrong(why, "it is no JWKS: it has no array 'keys'");
  if (json_array_size(list) > JWKS_KEYS_MAX) return wrong(why, "it has more than 64 keys");
  out->keys = xcalloc(json_array_size(list) + 1, sizeof *out->keys);
  json_array_foreach(list, i, jwk) {
    if (key_of_jwk(jwk, &out->keys[out->count], why)) {
      out->count++;
    } else if (*why) {
      report_warning("key %zu of %s is passed over: it %s", i + 1, source, why);
    }
  }
  if (out->count) return true;
  return wrong(why, "it has no key that checks RS256, ES256 or EdDSA");
}

bool jwks_parse(struct str text, const char *source, struct key_set *out, char *why) {
  json_error_t error;
  *out = (struct key_set){0};
  if (text.size > JWKS_SIZE_MAX) return wrong(why, "it has more than 256 KiB");
  json_t *json = json_loadb(text.data ? text.data : "", text.size, JSON_REJECT_DUPLICATES, &error);
  bool fine;
  if (json) {
    fine = take_keys(json_object_get(json, "keys"), source, out, why);
  } else {
    fine = false;
    snprintf(why, KEY_WHY_SIZE, "it is no JSON: %.100s (line %d)", error.text, error.line);
  }
  json_decref(json);
  if (!fine) key_set_free(out);
  return fine;
}

void key_set_free(struct key_set *set) {
  for (size_t i = 0; i < set->count; i++) key_free(&set->keys[i]);
  free(set->keys);
  *set = (struct key_set){0};
}

/* ---- to JSON ---- */

static json_t *json_of_bytes(const unsigned char *bytes, size_t size) {
  char text[BASE64URL_TEXT_SIZE(NUMBER_SIZE_MAX)];
  struct str encoded = base64url_encode((struct str){(const char *)bytes, size}, text);
  return json_stringn(encoded.data, encoded.size);
}

/* size 0: without zeros in front, as RSA's numbers are written. */
static void set_number(json_t *jwk, const char *name, const struct key *key, const char *parameter,
                       size_t size) {
  unsigned char bytes[NUMBER_SIZE_MAX];
  BIGNUM *number = NULL;
  if (!EVP_PKEY_get_bn_param(key->pkey, parameter, &number)) return;
  if (!size) size = (size_t)BN_num_bytes(number);
  if (BN_bn2binpad(number, bytes, (int)size) >= 0)
    json_object_set_new(jwk, name, json_of_bytes(bytes, size));
  BN_free(number);
}

/* The members that its thumbprint is made of. */
static json_t *needed_members(const struct key *key) {
  unsigned char x[COORDINATE_SIZE];
  size_t size = sizeof x;
  switch (key->algorithm) {
    case ALGORITHM_RS256: {
      json_t *jwk = json_pack("{s:s}", "kty", "RSA");
      set_number(jwk, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
      set_number(jwk, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
      return jwk;
    }
    case ALGORITHM_ES256: {
      json_t *jwk = json_pack("{s:s, s:s}", "kty", "EC", "crv", "P-256");
      set_number(jwk, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, COORDINATE_SIZE);
      set_number(jwk, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, COORDINATE_SIZE);
      return jwk;
    }
    case ALGORITHM_EDDSA:
      EVP_PKEY_get_raw_public_key(key->pkey, x, &size);
      return json_pack("{s:s, s:s, s:o}", "kty", "OKP", "crv", "Ed25519", "x",
                       json_of_bytes(x, size));
    case ALGORITHM_HS256: break;
  }
  return NULL;
}

/* RFC 7638: the digest of the needed members in the order of their names. */
static json_t *thumbprint(const json_t *needed) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  char *text = json_dumps(needed, JSON_COMPACT | JSON_SORT_KEYS);
  EVP_Digest(text, strlen(text), digest, &size, EVP_sha256(), NULL);
  free(text);
  return json_of_bytes(digest, size);
}

json_t *jwk_of_key(const struct key *key) {
  json_t *jwk = needed_members(key);
  if (!jwk) return NULL;
  json_object_set_new(jwk, "kid", key->kid ? json_string(key->kid) : thumbprint(jwk));
  json_object_set_new(jwk, "alg", json_string(algorithm_name(key->algorithm)));
  json_object_set_new(jwk, "use", json_string("sig"));
  return jwk;
}
