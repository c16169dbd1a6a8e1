/* A key that tokens are signed or checked with. It belongs to one algorithm, whatever a token says
 * of itself: so a public key is never taken for a secret (RFC 8725, section 3.1). OpenSSL does the
 * cryptography. */
#ifndef HOLDFAST_GATEWAY_KEY_H
#define HOLDFAST_GATEWAY_KEY_H

#include <openssl/evp.h>

#include "runtime/base/str.h"

/* RFC 7518, section 3; RFC 8037. */
enum algorithm { ALGORITHM_RS256, ALGORITHM_ES256, ALGORITHM_EDDSA, ALGORITHM_HS256 };

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192       /* a larger one would cost milliseconds a token */
#define SIGNATURE_SIZE_MAX 1024 /* of RSA_BITS_MAX */
#define SECRET_SIZE_MIN 32      /* RFC 7518, section 3.2 */
#define SECRET_SIZE_MAX 8192
#define KID_SIZE_MAX 256
#define KEY_WHY_SIZE 200

struct key {
  enum algorithm algorithm;
  char *kid;      /* owned; NULL: it has none */
  EVP_PKEY *pkey; /* owned; NULL: HS256 */
  char *secret;   /* owned; of HS256 */
  size_t secret_size;
};

const char *algorithm_name(enum algorithm algorithm);
/* Also by the newer name Ed25519 (RFC 9864). False: another one, or none. */
bool algorithm_named(const char *name, enum algorithm *out);

/* Takes a key pair or a public key and finds its algorithm. False: why (KEY_WHY_SIZE) says what is
 * wrong, and pkey is gone. */
bool key_of_pkey(EVP_PKEY *pkey, struct key *out, char *why);

/* The private key of a PEM text without a passphrase. False: why says what is wrong. */
bool key_of_pem(struct str pem, struct key *out, char *why);

/* The bytes of a secret's file: one line end behind them does not count. Copied. */
bool key_of_secret(struct str bytes, struct key *out, char *why);

void key_free(struct key *key);

/* Any number of threads may ask about one key. */
bool signature_fits(const struct key *key, struct str text, struct str signature);

/* Signs with a private key or a secret; out has SIGNATURE_SIZE_MAX bytes. Size 0: it cannot. */
struct str signature_make(const struct key *key, struct str text, char *out);

#endif
