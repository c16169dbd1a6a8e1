#include "gateway/key.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/arena.h"

#define DIGEST_SIZE 32
#define POINT_SIZE 32        /* of r and of s */
#define PAIR_DER_SIZE_MAX 72 /* of both, as OpenSSL takes them */

static const char *const names[] = {
    [ALGORITHM_RS256] = "RS256",
    [ALGORITHM_ES256] = "ES256",
    [ALGORITHM_EDDSA] = "EdDSA",
    [ALGORITHM_HS256] = "HS256",
};

const char *algorithm_name(enum algorithm algorithm) {
  return names[algorithm];
}

bool algorithm_named(const char *name, enum algorithm *out) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(name, names[i]) != 0) continue;
    *out = (enum algorithm)i;
    return true;
  }
  *out = ALGORITHM_EDDSA;
  return strcmp(name, "Ed25519") == 0;
}

/* ---- where keys come from ---- */

static bool wrong(char *why, const char *what) {
  snprintf(why, KEY_WHY_SIZE, "%s", what);
  return false;
}

static bool judge_rsa(const EVP_PKEY *pkey, char *why) {
  int bits = EVP_PKEY_get_bits(pkey);
  if (bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX) return true;
  snprintf(why, KEY_WHY_SIZE, "an RSA key must have %d to %d bits, not %d", RSA_BITS_MIN,
           RSA_BITS_MAX, bits);
  return false;
}

static bool judge_curve(const EVP_PKEY *pkey, char *why) {
  char curve[64] = "";
  EVP_PKEY_get_group_name(pkey, curve, sizeof curve, NULL);
  if (strcmp(curve, "prime256v1") == 0) return true;
  return wrong(why, "an EC key must be of the curve P-256 (ES256)");
}

static bool judge(const EVP_PKEY *pkey, enum algorithm *algorithm, char *why) {
  if (EVP_PKEY_is_a(pkey, "RSA")) {
    *algorithm = ALGORITHM_RS256;
    return judge_rsa(pkey, why);
  }
  if (EVP_PKEY_is_a(pkey, "EC")) {
    *algorithm = ALGORITHM_ES256;
    return judge_curve(pkey, why);
  }
  *algorithm = ALGORITHM_EDDSA;
  return EVP_PKEY_is_a(pkey, "ED25519") ||
         wrong(why, "a key must be RSA (RS256), EC P-256 (ES256) or Ed25519 (EdDSA)");
}

bool key_of_pkey(EVP_PKEY *pkey, struct key *out, char *why) {
  *out = (struct key){.pkey = pkey};
  if (judge(pkey, &out->algorithm, why)) return true;
  key_free(out);
  return false;
}

/* An encrypted key fails here, instead of asking at the terminal. */
static int no_passphrase(char *buffer, int size, int writes, void *user) {
  (void)buffer, (void)size, (void)writes, (void)user;
  return -1;
}

bool key_of_pem(struct str pem, struct key *out, char *why) {
  BIO *memory = BIO_new_mem_buf(pem.data, (int)pem.size);
  EVP_PKEY *pkey = memory ? PEM_read_bio_PrivateKey(memory, NULL, no_passphrase, NULL) : NULL;
  BIO_free(memory);
  ERR_clear_error();
  if (pkey) return key_of_pkey(pkey, out, why);
  *out = (struct key){0};
  return wrong(why, "it holds no private key in PEM form without a passphrase");
}

bool key_of_secret(struct str bytes, struct key *out, char *why) {
  *out = (struct key){.algorithm = ALGORITHM_HS256};
  if (bytes.size && bytes.data[bytes.size - 1] == '\n') bytes.size--;
  if (bytes.size && bytes.data[bytes.size - 1] == '\r') bytes.size--;
  if (bytes.size < SECRET_SIZE_MIN || bytes.size > SECRET_SIZE_MAX) {
    snprintf(why, KEY_WHY_SIZE, "a secret must have %d to %d bytes, not %zu", SECRET_SIZE_MIN,
             SECRET_SIZE_MAX, bytes.size);
    return false;
  }
  out->secret = xmalloc(bytes.size);
  memcpy(out->secret, bytes.data, bytes.size);
  out->secret_size = bytes.size;
  return true;
}

void key_free(struct key *key) {
  EVP_PKEY_free(key->pkey);
  if (key->secret) OPENSSL_cleanse(key->secret, key->secret_size);
  free(key->secret);
  free(key->kid);
  *key = (struct key){0};
}

/* ---- signatures ---- */

static unsigned char *bytes_of(struct str text) {
  return (unsigned char *)(uintptr_t)text.data;
}

/* Ed25519 has its digest within. */
static const EVP_MD *digest_of(const struct key *key) {
  return key->algorithm == ALGORITHM_EDDSA ? NULL : EVP_sha256();
}

static bool make_mac(const struct key *key, struct str text, unsigned char *out) {
  return HMAC(EVP_sha256(), key->secret, (int)key->secret_size, bytes_of(text), text.size, out,
              NULL) != NULL;
}

static bool mac_fits(const struct key *key, struct str text, struct str signature) {
  unsigned char mac[DIGEST_SIZE];
  return signature.size == sizeof mac && make_mac(key, text, mac) &&
         CRYPTO_memcmp(mac, signature.data, sizeof mac) == 0;
}

static bool pkey_fits(const struct key *key, struct str text, struct str signature) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  bool fits =
      context && EVP_DigestVerifyInit(context, NULL, digest_of(key), NULL, key->pkey) == 1 &&
      EVP_DigestVerify(context, bytes_of(signature), signature.size, bytes_of(text), text.size) ==
          1;
  EVP_MD_CTX_free(context);
  ERR_clear_error();
  return fits;
}

/* A token has r and s side by side (RFC 7518, section 3.4), OpenSSL wants them in DER. Size 0: not
 * that. */
static struct str pair_to_der(struct str signature, unsigned char *der) {
  if (signature.size != 2 * POINT_SIZE) return (struct str){0};
  ECDSA_SIG *pair = ECDSA_SIG_new();
  BIGNUM *r = BN_bin2bn(bytes_of(signature), POINT_SIZE, NULL);
  BIGNUM *s = BN_bin2bn(bytes_of(signature) + POINT_SIZE, POINT_SIZE, NULL);
  int size = 0;
  unsigned char *at = der;
  if (pair && r && s && ECDSA_SIG_set0(pair, r, s)) {
    size = i2d_ECDSA_SIG(pair, &at);
  } else {
    BN_free(r);
    BN_free(s);
  }
  ECDSA_SIG_free(pair);
  return (struct str){(const char *)der, size > 0 ? (size_t)size : 0};
}

bool signature_fits(const struct key *key, struct str text, struct str signature) {
  unsigned char der[PAIR_DER_SIZE_MAX];
  if (key->algorithm == ALGORITHM_HS256) return mac_fits(key, text, signature);
  if (key->algorithm == ALGORITHM_ES256) signature = pair_to_der(signature, der);
  return signature.size && pkey_fits(key, text, signature);
}

static size_t sign_with_pkey(const struct key *key, struct str text, unsigned char *out) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  size_t size = SIGNATURE_SIZE_MAX;
  bool fine = context && EVP_DigestSignInit(context, NULL, digest_of(key), NULL, key->pkey) == 1 &&
              EVP_DigestSign(context, out, &size, bytes_of(text), text.size) == 1;
  EVP_MD_CTX_free(context);
  ERR_clear_error();
  return fine ? size : 0;
}

static size_t der_to_pair(unsigned char *out, size_t size) {
  const unsigned char *at = out;
  ECDSA_SIG *pair = size ? d2i_ECDSA_SIG(NULL, &at, (long)size) : NULL;
  if (!pair) return 0;
  BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, POINT_SIZE);
  BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + POINT_SIZE, POINT_SIZE);
  ECDSA_SIG_free(pair);
  return 2 * POINT_SIZE;
}

struct str signature_make(const struct key *key, struct str text, char *out) {
  unsigned char *bytes = (unsigned char *)out;
  if (key->algorithm == ALGORITHM_HS256)
    return (struct str){out, make_mac(key, text, bytes) ? DIGEST_SIZE : 0};
  size_t size = sign_with_pkey(key, text, bytes);
  if (key->algorithm == ALGORITHM_ES256) size = der_to_pair(bytes, size);
  return (struct str){out, size};
}
