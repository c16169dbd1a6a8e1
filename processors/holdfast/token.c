/* holdfast token: makes tokens for development, and checks tokens as the gateway does. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "commands.h"
#include "gateway/jwk.h"
#include "gateway/key_source.h"
#include "gateway/token.h"
#include "gateway/token_sign.h"
#include "runtime/base/clock.h"
#include "runtime/base/failure.h"
#include "runtime/base/read_line.h"

#define PEM_SIZE_MAX 65536

static const struct option_desc token_options[] = {
    {.name = "secret",
     .metavar = "FILE",
     .help = "sign or check with HS256: the file's 32 bytes or more"},
    {.name = "key",
     .metavar = "FILE.pem",
     .help = "sign with this private key: RS256, ES256 or EdDSA by its type"},
    {.name = "kid", .metavar = "ID", .help = "name of the key [its thumbprint; of a secret none]"},
    {.name = "subject", .metavar = "ID", .help = "the customer (sub)"},
    {.name = "role",
     .metavar = "NAME,...",
     .help = "customer, manager, administrator [none, which is customer]"},
    {.name = "roles-claim",
     .metavar = "NAME",
     .value = ROLES_CLAIM,
     .help = "the claim with the roles; dots make a path, as in realm_access.roles"},
    {.name = "issuer", .metavar = "TEXT", .help = "iss: set, or wanted"},
    {.name = "audience", .metavar = "TEXT", .help = "aud: set, or wanted"},
    {.name = "minutes",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "60",
     .min = 1,
     .max = 525600,
     .help = "the token expires so long after now"},
    {.name = "print-jwks",
     .kind = OPTION_FLAG,
     .help = "print the public half of --key as a JWKS, for the gateway, and no token"},
    {.name = "check",
     .metavar = "TOKEN",
     .help = "print the caller as JSON, or the reason why not; - reads it from stdin"},
    {.name = "jwks", .metavar = "FILE|URL", .help = "the keys to check with"},
    {0}};

static const struct usage usage = {
    "Makes a token for development: whoever has the key is everybody. In production an identity "
    "provider makes them.\nWith --check: is this token taken, and who is it?\n\n"
    "Usage: holdfast token (--secret FILE | --key FILE.pem) --subject ID [option ...]\n"
    "       holdfast token --key FILE.pem --print-jwks\n"
    "       holdfast token --check TOKEN (--jwks FILE|URL | --secret FILE) [option ...]",
    token_options, false,
    "  openssl rand -hex 32 > secret\n"
    "  holdfast token --secret secret --subject kim --role manager --minutes 60\n\n"
    "  openssl genpkey -algorithm ed25519 -out key.pem\n"
    "  holdfast token --key key.pem --print-jwks > keys.json\n"
    "  holdfast token --key key.pem --subject kim --audience holdfast |\n"
    "    holdfast token --check - --jwks keys.json --audience holdfast\n"};

/* ---- making ---- */

static bool read_key(const struct options *options, struct key *key, struct failure *failure) {
  static const atomic_bool never;
  const char *secret = options_text(options, "secret"), *pem = options_text(options, "key");
  const char *path = secret ? secret : pem;
  char why[KEY_WHY_SIZE];
  struct str text = {0};
  if (!secret == !pem) return failure_set(failure, EX_USAGE, "say --secret FILE or --key FILE.pem");
  bool fine = source_read(path, PEM_SIZE_MAX, &never, &text, why) &&
              (secret ? key_of_secret(text, key, why) : key_of_pem(text, key, why));
  free((char *)(uintptr_t)text.data);
  if (!fine) return failure_set(failure, EX_NOINPUT, "%s: %s", path, why);
  if (options_given(options, "kid")) key->kid = xstrdup(options_text(options, "kid"));
  return true;
}

static json_t *roles_of(const char *names, struct failure *failure) {
  json_t *list = json_array();
  while (names && *names) {
    struct str name = {names, strcspn(names, ",")};
    if (!role_named(name)) {
      failure_set(failure, EX_USAGE,
                  "no role '" STR_FORMAT "': there are customer, manager and administrator",
                  STR_ARGS(name));
      json_decref(list);
      return NULL;
    }
    json_array_append_new(list, json_stringn(name.data, name.size));
    names += name.size + (names[name.size] == ',');
  }
  return list;
}

/* Puts the value at the end of a path with dots. */
static void set_path(json_t *claims, const char *path, json_t *value) {
  for (const char *dot; (dot = strchr(path, '.')); path = dot + 1) {
    json_t *inner = json_object();
    json_object_setn_new(claims, path, (size_t)(dot - path), inner);
    claims = inner;
  }
  json_object_set_new(claims, path, value);
}

static json_t *claims_of(const struct options *options, struct failure *failure) {
  const char *subject = options_text(options, "subject");
  int64_t now_s = clock_wall_ms() / 1000;
  if (!subject) {
    failure_set(failure, EX_USAGE, "say whose token: --subject ID");
    return NULL;
  }
  json_t *roles = roles_of(options_text(options, "role"), failure);
  if (!roles) return NULL;
  json_t *claims =
      json_pack("{s:s*, s:s*, s:s, s:I, s:I}", "iss", options_text(options, "issuer"), "aud",
                options_text(options, "audience"), "sub", subject, "iat", (json_int_t)now_s, "exp",
                (json_int_t)(now_s + options_number(options, "minutes") * 60));
  if (!claims) {
    failure_set(failure, EX_USAGE, "issuer, audience and subject must be UTF-8");
    json_decref(roles);
  } else {
    set_path(claims, options_text(options, "roles-claim"), roles);
  }
  return claims;
}

static json_t *header_of(const struct key *key) {
  json_t *header = json_pack("{s:s, s:s}", "alg", algorithm_name(key->algorithm), "typ", "JWT");
  json_t *jwk = jwk_of_key(key), *kid = json_object_get(jwk, "kid");
  if (kid) json_object_set(header, "kid", kid);
  if (!jwk && key->kid) json_object_set_new(header, "kid", json_string(key->kid));
  json_decref(jwk);
  return header;
}

static bool print_jwks(const struct key *key, struct failure *failure) {
  json_t *jwk = jwk_of_key(key);
  if (!jwk)
    return failure_set(failure, EX_USAGE,
                       "a secret is not published: point the gateway at its file");
  json_t *jwks = json_pack("{s:[o]}", "keys", jwk);
  json_dumpf(jwks, stdout, JSON_INDENT(2));
  putchar('\n');
  json_decref(jwks);
  return true;
}

static bool print_token(const struct options *options, const struct key *key,
                        struct failure *failure) {
  json_t *claims = claims_of(options, failure);
  if (!claims) return false;
  json_t *header = header_of(key);
  struct arena arena = {0};
  char *header_text = json_dumps(header, JSON_COMPACT), *text = json_dumps(claims, JSON_COMPACT);
  struct str token = token_sign(key, str_of(header_text), str_of(text), &arena);
  printf(STR_FORMAT "\n", STR_ARGS(token));
  fprintf(stderr, "holdfast token: for development only, it expires in %" PRId64 " minutes\n",
          options_number(options, "minutes"));
  free(header_text);
  free(text);
  json_decref(header);
  json_decref(claims);
  arena_free(&arena);
  return true;
}

static bool make(const struct options *options, struct failure *failure) {
  struct key key = {0};
  bool fine = read_key(options, &key, failure) &&
              (options_flag(options, "print-jwks") ? print_jwks(&key, failure)
                                                   : print_token(options, &key, failure));
  key_free(&key);
  return fine;
}

/* ---- checking ---- */

static void print_caller(const struct caller *caller) {
  json_t *roles = json_array();
  for (unsigned role = ROLE_CUSTOMER; role <= ROLE_ADMINISTRATOR; role <<= 1) {
    if (caller->roles & role) json_array_append_new(roles, json_string(role_name(role)));
  }
  json_t *json = json_pack("{s:s, s:o, s:I}", "subject", caller->subject, "roles", roles, "exp",
                           (json_int_t)(caller->expires_s - TOKEN_LEEWAY_S));
  json_dumpf(json, stdout, JSON_COMPACT);
  putchar('\n');
  json_decref(json);
}

static bool check_text(const struct options *options, struct keys *keys, struct str token,
                       struct failure *failure) {
  const struct token_rules rules = {.issuer = options_text(options, "issuer"),
                                    .audience = options_text(options, "audience"),
                                    .roles_claim = options_text(options, "roles-claim")};
  struct caller caller;
  struct token_refusal why;
  if (!token_check(keys, &rules, token, clock_wall_ms() / 1000, &caller, &why))
    return failure_set(failure, EX_DATAERR, "%s", why.text);
  print_caller(&caller);
  return true;
}

static bool check_with(const struct options *options, struct keys *keys, struct failure *failure) {
  struct str token = str_of(options_text(options, "check"));
  char *buffer = NULL;
  size_t capacity = 0;
  bool too_long, fine = true;
  if (str_equal(token, STR("-")))
    fine = line_read(stdin, &buffer, &capacity, &token, &too_long) ||
           failure_set(failure, EX_NOINPUT, "there is no token on stdin");
  fine = fine && check_text(options, keys, token, failure);
  free(buffer);
  return fine;
}

static bool check(const struct options *options, struct failure *failure) {
  const struct keys_source source = {.jwks = options_text(options, "jwks"),
                                     .secret = options_text(options, "secret")};
  if (!source.jwks == !source.secret)
    return failure_set(failure, EX_USAGE,
                       "say what to check with: --jwks FILE|URL or --secret FILE");
  struct keys *keys = keys_open(&source, failure);
  if (!keys) return false;
  bool fine = keys_wait(keys, FETCH_MS)
                  ? check_with(options, keys, failure)
                  : failure_set(failure, EX_UNAVAILABLE, "%s: no keys came", source.jwks);
  keys_close(keys);
  return fine;
}

int token_command(int argc, char **argv) {
  struct options options = {0};
  struct failure failure = {.exit_code = EX_SOFTWARE};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    bool checks = options_given(&options, "check");
    if (options.argument_count) {
      failure_set(&failure, EX_USAGE, "unknown argument '%.100s'", options.arguments[0]);
      code = failure.exit_code;
    } else if (!(checks ? check : make)(&options, &failure)) {
      code = failure.exit_code;
    }
    if (code != EX_OK) fprintf(stderr, "holdfast token: %s\n", failure.text);
  }
  options_free(&options);
  return code;
}
