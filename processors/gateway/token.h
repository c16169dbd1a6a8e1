/* Who is calling? A bearer token (RFC 6750) that is a JWT (RFC 7519), signed in the compact form
 * (RFC 7515), says so: its subject is the customer, a claim of it has the roles. Checked after
 * RFC 8725. */
#ifndef HOLDFAST_GATEWAY_TOKEN_H
#define HOLDFAST_GATEWAY_TOKEN_H

#include "gateway/keys.h"

#define TOKEN_SIZE_MAX 8192
#define TOKEN_LEEWAY_S 30 /* what clocks may differ by */
#define SUBJECT_SIZE_MAX 64
#define TOKEN_WHY_SIZE 160
#define ROLES_CLAIM "roles"

enum role { ROLE_CUSTOMER = 1, ROLE_MANAGER = 2, ROLE_ADMINISTRATOR = 4 };
#define STAFF (ROLE_MANAGER | ROLE_ADMINISTRATOR)

/* NULL: unknown. */
const char *role_name(enum role role);
/* 0: none of that name. */
unsigned role_named(struct str name);

struct caller {
  char subject[SUBJECT_SIZE_MAX + 1]; /* ended by a NUL; an id as the entrance takes them */
  size_t subject_size;
  unsigned roles;    /* of enum role; never 0: without any it is ROLE_CUSTOMER */
  int64_t expires_s; /* seconds since 1970, the leeway included */
};

struct token_cache;

/* All borrowed. */
struct token_rules {
  const char *issuer;   /* what iss must be; NULL: is not checked */
  const char *audience; /* what aud must be or contain; NULL: is not checked */
  /* The claim with the roles: a text with names between blanks, or an array of names. With dots a
   * path (realm_access.roles), unless a claim has that very name. NULL: ROLES_CLAIM. */
  const char *roles_claim;
  struct token_cache *cache; /* NULL: none. One cache for one set of rules and keys */
};

struct token_refusal {
  int again_s; /* 0: it stays refused (401). Else the keys are being read: ask again then (503) */
  /* Nothing of the token is in it, and no quote, backslash or line end: fit for a header. */
  char text[TOKEN_WHY_SIZE];
};

/* now_s: seconds since 1970. False: *why says why; *caller is not set. Any number of threads. */
bool token_check(struct keys *keys, const struct token_rules *rules, struct str token,
                 int64_t now_s, struct caller *caller, struct token_refusal *why);

#endif
