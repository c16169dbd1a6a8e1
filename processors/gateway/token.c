#include "gateway/token.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "gateway/base64url.h"
#include "gateway/token_cache.h"

#define TIME_MAX \
  253402300800.0 /* the year 10000: a NumericDate beyond is milliseconds, or a joke */

/* ---- words ---- */

static const struct {
  enum role role;
  const char *name;
} roles[] = {
    {ROLE_CUSTOMER, "customer"},
    {ROLE_MANAGER, "manager"},
    {ROLE_ADMINISTRATOR, "administrator"},
};

const char *role_name(enum role role) {
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
    if (roles[i].role == role) return roles[i].name;
  }
  return NULL;
}

unsigned role_named(struct str name) {
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
    if (str_equal(name, str_of(roles[i].name))) return roles[i].role;
  }
  return 0;
}

__attribute__((format(printf, 2, 3))) static bool refuse(struct token_refusal *why,
                                                         const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(why->text, sizeof why->text, format, arguments);
  va_end(arguments);
  return false;
}

/* ---- the form ---- */

struct parts {
  struct str header, payload, signature; /* as they stand in the token */
  struct str signed_text;
};

static bool split(struct str token, struct parts *out) {
  const char *end = token.data + token.size;
  const char *first = token.size ? memchr(token.data, '.', token.size) : NULL;
  const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
  if (!second || memchr(second + 1, '.', (size_t)(end - second - 1))) return false;
  out->header = (struct str){token.data, (size_t)(first - token.data)};
  out->payload = (struct str){first + 1, (size_t)(second - first - 1)};
  out->signature = (struct str){second + 1, (size_t)(end - second - 1)};
  out->signed_text = (struct str){token.data, (size_t)(second - token.data)};
  return true;
}

/* A JSON object, the caller's; NULL: it is none, or a name comes twice in it. */
static json_t *object_of(struct str text) {
  char bytes[BASE64URL_BYTES_MAX(TOKEN_SIZE_MAX)];
  size_t size;
  if (!base64url_decode(text, bytes, &size)) return NULL;
  json_t *json = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
  if (json_is_object(json)) return json;
  json_decref(json);
  return NULL;
}

/* ---- the header ---- */

/* Each would let the token choose its key or change what is signed. */
static const char *const refused_fields[] = {"crit", "jku", "x5u", "jwk", "x5c", "b64", "zip"};

/* A token of another kind, signed by the same key, is not for this (RFC 8725, section 3.11). */
static bool type_fits(const json_t *typ) {
  const char *name = json_string_value(typ);
  if (!typ) return true;
  if (name && strncasecmp(name, "application/", 12) == 0) name += 12;
  return name && (strcasecmp(name, "JWT") == 0 || strcasecmp(name, "at+jwt") == 0);
}

static bool read_header(const json_t *header, enum algorithm *algorithm, struct str *kid,
                        struct token_refusal *why) {
  for (size_t i = 0; i < sizeof refused_fields / sizeof *refused_fields; i++) {
    if (json_object_get(header, refused_fields[i]))
      return refuse(why, "the token's header has %s, which is not taken", refused_fields[i]);
  }
  const char *name = json_string_value(json_object_get(header, "alg"));
  if (!name) return refuse(why, "the token's header names no algorithm (alg)");
  if (strcasecmp(name, "none") == 0) return refuse(why, "the token is not signed (alg none)");
  if (!algorithm_named(name, algorithm))
    return refuse(why, "the token's algorithm is not RS256, ES256, EdDSA or HS256");
  if (!type_fits(json_object_get(header, "typ")))
    return refuse(why, "the token is of another type (typ) than JWT or at+jwt");
  const json_t *field = json_object_get(header, "kid");
  if (field && !json_is_string(field)) return refuse(why, "the token's kid is no text");
  *kid = (struct str){json_string_value(field), json_string_length(field)};
  return true;
}

static bool check_signature(struct keys *keys, const struct parts *parts, const json_t *header,
                            uint64_t *generation, struct token_refusal *why) {
  enum algorithm algorithm;
  struct str kid;
  char bytes[SIGNATURE_SIZE_MAX];
  size_t size;
  if (!read_header(header, &algorithm, &kid, why)) return false;
  if (parts->signature.size > BASE64URL_TEXT_SIZE(sizeof bytes) ||
      !base64url_decode(parts->signature, bytes, &size))
    return refuse(why, "the token's signature is no base64url without padding, or too long");
  switch (
      keys_check(keys, kid, algorithm, parts->signed_text, (struct str){bytes, size}, generation)) {
    case KEY_SIGNED: return true;
    case KEY_FORGED: return refuse(why, "the token's signature is wrong");
    case KEY_OTHER_ALGORITHM:
      return refuse(why, "the token's key is not for the algorithm %s", algorithm_name(algorithm));
    case KEY_AMBIGUOUS:
      return refuse(why, "several keys could have signed the token: it must name one (kid)");
    case KEY_UNKNOWN: return refuse(why, "the token's key is unknown (kid)");
    case KEY_SOUGHT:
      why->again_s = 1;
      return refuse(why, "the token's key is unknown, and the keys are being read: try again");
  }
  return false;
}

/* ---- the claims ---- */

/* False: it is there and no time. *seconds stays as it was where it is absent. */
static bool read_time(const json_t *claims, const char *name, double *seconds) {
  const json_t *claim = json_object_get(claims, name);
  if (!claim) return true;
  *seconds = json_number_value(claim);
  return json_is_number(claim) && *seconds >= 0 && *seconds < TIME_MAX;
}

static bool check_times(const json_t *claims, int64_t now_s, struct caller *caller,
                        struct token_refusal *why) {
  double expires = -1, begins = 0;
  if (!read_time(claims, "exp", &expires) || !read_time(claims, "nbf", &begins))
    return refuse(why, "exp and nbf of the token must be seconds since 1970");
  if (expires < 0) return refuse(why, "the token does not say when it expires (exp)");
  int64_t expires_s = (int64_t)expires, begins_s = (int64_t)begins;
  if (now_s >= expires_s + TOKEN_LEEWAY_S)
    return refuse(why, "the token expired %" PRId64 " s ago", now_s - expires_s);
  if (now_s < begins_s - TOKEN_LEEWAY_S)
    return refuse(why, "the token is valid in %" PRId64 " s only (nbf)", begins_s - now_s);
  caller->expires_s = expires_s + TOKEN_LEEWAY_S;
  return true;
}

static bool is_text(const json_t *claim, const char *wanted) {
  return json_is_string(claim) && json_string_length(claim) == strlen(wanted) &&
         strcmp(json_string_value(claim), wanted) == 0;
}

static bool has_text(const json_t *claim, const char *wanted) {
  const json_t *item;
  size_t i;
  json_array_foreach(claim, i, item) {
    if (is_text(item, wanted)) return true;
  }
  return is_text(claim, wanted);
}

static bool check_origin(const struct token_rules *rules, const json_t *claims,
                         struct token_refusal *why) {
  if (rules->issuer && !is_text(json_object_get(claims, "iss"), rules->issuer))
    return refuse(why, "the token is of another issuer (iss) than the one that is taken here");
  if (rules->audience && !has_text(json_object_get(claims, "aud"), rules->audience))
    return refuse(why, "the token is for another audience (aud)");
  return true;
}

/* The same ids as valid_id of the filter reserve-requested takes. */
static bool read_subject(const json_t *claims, struct caller *caller, struct token_refusal *why) {
  const json_t *sub = json_object_get(claims, "sub");
  size_t size = json_string_length(sub);
  bool fine = size >= 1 && size <= SUBJECT_SIZE_MAX;
  for (size_t i = 0; fine && i < size; i++) {
    unsigned char c = (unsigned char)json_string_value(sub)[i];
    fine = c >= 0x20 && c != 0x7f;
  }
  if (!fine) return refuse(why, "the token's subject (sub) must have 1 to 64 printable bytes");
  memcpy(caller->subject, json_string_value(sub), size);
  caller->subject[size] = '\0';
  caller->subject_size = size;
  return true;
}

/* The claim of that name, or at the end of that path. */
static const json_t *claim_at(const json_t *claims, const char *path) {
  char name[SUBJECT_SIZE_MAX];
  for (;;) {
    const json_t *claim = json_object_get(claims, path);
    const char *dot = strchr(path, '.');
    if (claim || !dot || (size_t)(dot - path) >= sizeof name) return claim;
    snprintf(name, sizeof name, "%.*s", (int)(dot - path), path);
    claims = json_object_get(claims, name);
    path = dot + 1;
  }
}

static unsigned roles_of_text(const json_t *text) {
  unsigned found = 0;
  const char *at = json_string_value(text);
  while (at && *at) {
    size_t size = strcspn(at, " ");
    found |= role_named((struct str){at, size});
    at += size + (at[size] == ' ');
  }
  return found;
}

static unsigned read_roles(const struct token_rules *rules, const json_t *claims) {
  const json_t *claim = claim_at(claims, rules->roles_claim ? rules->roles_claim : ROLES_CLAIM);
  unsigned found = roles_of_text(claim);
  const json_t *item;
  size_t i;
  json_array_foreach(claim, i, item) found |=
      role_named((struct str){json_string_value(item), json_string_length(item)});
  return found ? found : ROLE_CUSTOMER;
}

static bool read_claims(const struct token_rules *rules, const json_t *claims, int64_t now_s,
                        struct caller *caller, struct token_refusal *why) {
  if (!check_times(claims, now_s, caller, why) || !check_origin(rules, claims, why) ||
      !read_subject(claims, caller, why))
    return false;
  caller->roles = read_roles(rules, claims);
  return true;
}

/* ---- a token ---- */

/* Nothing of the payload is looked at before its signature is known to be right. */
static bool check_parts(struct keys *keys, const struct token_rules *rules,
                        const struct parts *parts, int64_t now_s, struct caller *caller,
                        uint64_t *generation, struct token_refusal *why) {
  json_t *header = object_of(parts->header);
  bool fine = header ? check_signature(keys, parts, header, generation, why)
                     : refuse(why, "the token's header is no JSON object in base64url");
  json_decref(header);
  if (!fine) return false;
  json_t *claims = object_of(parts->payload);
  fine = claims ? read_claims(rules, claims, now_s, caller, why)
                : refuse(why, "the token's payload is no JSON object in base64url");
  json_decref(claims);
  return fine;
}

bool token_check(struct keys *keys, const struct token_rules *rules, struct str token,
                 int64_t now_s, struct caller *caller, struct token_refusal *why) {
  unsigned char digest[TOKEN_DIGEST_SIZE];
  uint64_t generation;
  struct parts parts;
  struct caller found = {0};
  *why = (struct token_refusal){0};
  if (token.size > TOKEN_SIZE_MAX)
    return refuse(why, "the token has more than %d bytes", TOKEN_SIZE_MAX);
  if (!split(token, &parts))
    return refuse(why, "the token is no JWS in compact form: header.payload.signature");
  if (rules->cache) {
    token_digest(token, digest);
    if (token_cache_get(rules->cache, digest, keys_generation(keys), now_s, caller)) return true;
  }
  if (!check_parts(keys, rules, &parts, now_s, &found, &generation, why)) return false;
  if (rules->cache) token_cache_put(rules->cache, digest, generation, &found);
  *caller = found;
  return true;
}
