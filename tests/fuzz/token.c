/* Tokens and keys: what strangers send as a token, what a right signature may cover, a JWKS,
 * signatures, base64url. */
#include "gateway/token.h"

#include <unistd.h>

#include "fuzz.h"
#include "gateway/base64url.h"
#include "gateway/jwk.h"
#include "gateway/token_sign.h"
#include "runtime/base/report.h"

#define NOW 1000000
#define SECRET "a secret that everybody may know"
#define JWKS /* RFC 7515, appendix A.3; RFC 8037, appendix A.2 */ \
  "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","                 \
  "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","        \
  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"       \
  "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","                         \
  "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"

static struct keys *keys; /* the secret */
static struct key secret;
static struct key_set set;
static size_t allocated; /* by jansson, since the last reset */

static void *count_malloc(size_t size) {
  allocated += size;
  return malloc(size);
}

static void open_keys(void) {
  char path[] = "/tmp/holdfast-fuzz-XXXXXX", why[KEY_WHY_SIZE];
  struct failure failure;
  int file = mkstemp(path);
  must(write(file, SECRET, sizeof SECRET - 1) == sizeof SECRET - 1, "no secret");
  close(file);
  keys = keys_open(&(struct keys_source){.secret = path}, &failure);
  unlink(path);
  must(keys && key_of_secret(STR(SECRET), &secret, why) &&
           jwks_parse(STR(JWKS), "fuzz", &set, why) && set.count == 2,
       "no keys");
}

static void check(struct str token) {
  static const struct token_rules rules = {.roles_claim = "a.b"};
  struct caller caller;
  struct token_refusal why;
  if (token_check(keys, &rules, token, NOW, &caller, &why)) {
    must(caller.subject_size >= 1 && caller.subject_size <= SUBJECT_SIZE_MAX &&
             strlen(caller.subject) == caller.subject_size,
         "a subject that is no id");
    must(caller.roles && caller.roles < 2 * ROLE_ADMINISTRATOR, "no roles, or others");
    must(caller.expires_s > NOW, "it expired");
  } else {
    must(why.text[0] && !strpbrk(why.text, "\"\\\r\n"), "a refusal is no text for a header");
  }
}

static void check_signed(const uint8_t *data, size_t size) {
  struct arena arena = {0};
  struct str header = take_text(&data, &size);
  if (!header.size) header = STR("{\"alg\":\"HS256\"}");
  check(token_sign(&secret, header, (struct str){(const char *)data, size}, &arena));
  arena_free(&arena);
}

static void parse_keys(struct str text) {
  struct key_set found;
  char why[KEY_WHY_SIZE] = "";
  if (jwks_parse(text, "fuzz", &found, why)) {
    must(found.count >= 1 && found.count <= JWKS_KEYS_MAX, "too many keys");
  } else {
    must(why[0], "a refusal does not say why");
  }
  key_set_free(&found);
}

/* Nobody has the private keys: nothing fits. */
static void check_signature(struct str signature) {
  for (size_t i = 0; i < set.count; i++)
    must(!signature_fits(&set.keys[i], STR("text"), signature), "a forged signature fits");
}

/* Bytes have one text. */
static void decode(struct str text) {
  char *bytes = malloc(text.size + 1), *again = malloc(2 * text.size + 4);
  size_t size;
  if (base64url_decode(text, bytes, &size))
    must(str_equal(base64url_encode((struct str){bytes, size}, again), text), "two texts");
  free(bytes);
  free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size) return 0;
  report_as("fuzz", LEVEL_ERROR);
  json_set_alloc_funcs(count_malloc, free);
  if (!keys) open_keys();
  struct str text = {(const char *)data + 1, size - 1};
  allocated = 0;
  switch (data[0] % 5) {
    case 0: check(text); break;
    case 1: check_signed(data + 1, size - 1); break;
    case 2: parse_keys(text); break;
    case 3: check_signature(text); break;
    case 4: decode(text); break;
  }
  must(allocated <= ARENA_PER_BYTE * size + ARENA_AT_LEAST, "memory is not linear");
  return 0;
}
