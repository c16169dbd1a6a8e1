/* Tokens: what is taken, and what attackers send. */
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/base64url.h"
#include "gateway/token.h"
#include "gateway/token_cache.h"
#include "runtime/base/report.h"
#include "../lib/harness.h"
#include "../lib/tokens.h"

#define NOW 1000000
#define GOOD "{\"iss\":\"issuer\",\"aud\":\"us\",\"sub\":\"kim\",\"exp\":1000060}"
#define CLAIMS(more) "{\"iss\":\"issuer\",\"aud\":\"us\",\"sub\":\"kim\",\"exp\":1000060," more "}"
#define RSA_HEADER "{\"alg\":\"RS256\",\"kid\":\"rsa\"}"
#define EC_HEADER "{\"alg\":\"ES256\",\"kid\":\"ec\"}"
#define RSA ALGORITHM_RS256
#define EC ALGORITHM_ES256
#define ED ALGORITHM_EDDSA
#define SECRET ALGORITHM_HS256

static char path[] = "/tmp/holdfast-test-XXXXXX";
static struct keys *keys; /* the three of test_key */
static struct arena arena;
static const struct token_rules rules = {.issuer = "issuer", .audience = "us"};

static int open_keys(void **unused) {
  (void)unused;
  struct failure failure;
  char *text = jwks_of((const struct key *[]){test_key(RSA), test_key(EC), test_key(ED), NULL});
  report_as("test", LEVEL_ERROR);
  close(mkstemp(path));
  replace_file(path, str_of(text));
  free(text);
  keys = keys_open(&(struct keys_source){.jwks = path}, &failure);
  return keys ? 0 : -1;
}

static int close_keys(void **unused) {
  (void)unused;
  keys_close(keys);
  arena_free(&arena);
  unlink(path);
  return 0;
}

static struct str sign(enum algorithm by, const char *header, const char *payload) {
  return token_sign(test_key(by), str_of(header), str_of(payload), &arena);
}

/* refused NULL: it is taken. Else a part of the reason. */
static void expect(const char *name, struct keys *by, const struct token_rules *rule,
                   struct str token, const char *refused) {
  struct caller caller;
  struct token_refusal why;
  bool taken = token_check(by, rule, token, NOW, &caller, &why);
  if (taken && refused) fail_msg("%s: taken", name);
  if (!taken && !refused) fail_msg("%s: %s", name, why.text);
  if (!taken && !strstr(why.text, refused)) fail_msg("%s: '%s'", name, why.text);
  if (!taken) assert_null(strpbrk(why.text, "\"\\\r\n"));
}

static void a_right_token_of_each_algorithm_is_taken(void **unused) {
  (void)unused;
  expect("RS256", keys, &rules, sign(RSA, RSA_HEADER, GOOD), NULL);
  expect("ES256", keys, &rules, sign(EC, EC_HEADER, GOOD), NULL);
  expect("EdDSA", keys, &rules, sign(ED, "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}", GOOD), NULL);
  expect("Ed25519", keys, &rules, sign(ED, "{\"alg\":\"Ed25519\",\"kid\":\"ed\"}", GOOD), NULL);
  expect("one key fits", keys, &rules, sign(RSA, "{\"alg\":\"RS256\"}", GOOD), NULL);
}

/* ---- what is signed ---- */

static const struct {
  const char *name;
  enum algorithm by;
  const char *header, *refused; /* refused NULL: taken */
} headers[] = {
    {"none", RSA, "{\"alg\":\"none\",\"kid\":\"rsa\"}", "not signed"},
    {"nOnE", RSA, "{\"alg\":\"nOnE\",\"kid\":\"rsa\"}", "not signed"},
    {"no algorithm", RSA, "{\"kid\":\"rsa\"}", "names no algorithm"},
    {"a number", RSA, "{\"alg\":256,\"kid\":\"rsa\"}", "names no algorithm"},
    {"another algorithm", RSA, "{\"alg\":\"PS256\",\"kid\":\"rsa\"}", "algorithm is not"},
    {"small letters", RSA, "{\"alg\":\"rs256\",\"kid\":\"rsa\"}", "algorithm is not"},
    {"another's key", EC, "{\"alg\":\"ES256\",\"kid\":\"rsa\"}", "not for the algorithm ES256"},
    {"an unknown key", RSA, "{\"alg\":\"RS256\",\"kid\":\"other\"}", "unknown (kid)"},
    {"an empty kid", RSA, "{\"alg\":\"RS256\",\"kid\":\"\"}", "unknown (kid)"},
    {"a path as kid", RSA, "{\"alg\":\"RS256\",\"kid\":\"/dev/null\"}", "unknown (kid)"},
    {"a kid that is no text", RSA, "{\"alg\":\"RS256\",\"kid\":1}", "kid is no text"},
    {"crit", RSA, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"crit\":[\"exp\"]}", "has crit"},
    {"jku", RSA, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"jku\":\"http://x\"}", "has jku"},
    {"x5u", RSA, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x5u\":\"http://x\"}", "has x5u"},
    {"jwk", RSA, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"jwk\":{}}", "has jwk"},
    {"x5c", RSA, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x5c\":[]}", "has x5c"},
    {"b64", RSA, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"b64\":false}", "has b64"},
    {"zip", RSA, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"zip\":\"DEF\"}", "has zip"},
    {"a null that is refused", RSA, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"jku\":null}", "has jku"},
    {"JWT", RSA, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"jwt\"}", NULL},
    {"at+jwt", RSA, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"application/at+jwt\"}", NULL},
    {"another type", RSA, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"logout+jwt\"}", "(typ)"},
    {"a field unknown", RSA, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x5t\":\"AA\"}", NULL},
    {"alg twice", RSA, "{\"alg\":\"RS256\",\"alg\":\"none\",\"kid\":\"rsa\"}", "header is no JSON"},
    {"no object", RSA, "[\"alg\"]", "header is no JSON"},
    {"no JSON", RSA, "alg", "header is no JSON"},
    {"something behind", RSA, "{\"alg\":\"RS256\",\"kid\":\"rsa\"} {}", "header is no JSON"},
};

static void a_header_chooses_nothing(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
    expect(headers[i].name, keys, &rules, sign(headers[i].by, headers[i].header, GOOD),
           headers[i].refused);
}

static const struct {
  const char *payload, *refused;
} payloads[] = {
    {CLAIMS("\"nbf\":1000030"), NULL},
    {CLAIMS("\"nbf\":1000031"), "valid in 31 s only"},
    {CLAIMS("\"nbf\":\"1000000\""), "exp and nbf"},
    {CLAIMS("\"nbf\":1e300"), "exp and nbf"},
    {CLAIMS("\"sub\":\"lee\""), "payload is no JSON"},
    {CLAIMS("\"x\":\"\\u0000\""), "payload is no JSON"},
    {"{\"iss\":\"issuer\",\"aud\":\"us\",\"sub\":\"kim\",\"exp\":999971}", NULL},
    {"{\"iss\":\"issuer\",\"aud\":\"us\",\"sub\":\"kim\",\"exp\":999970}", "expired 30 s ago"},
    {"{\"iss\":\"issuer\",\"aud\":\"us\",\"sub\":\"kim\",\"exp\":1000060.5}", NULL},
    {"{\"iss\":\"issuer\",\"aud\":\"us\",\"sub\":\"kim\",\"exp\":-1}", "exp and nbf"},
    {"{\"iss\":\"issuer\",\"aud\":\"us\",\"sub\":\"kim\",\"exp\":true}", "exp and nbf"},
    {"{\"iss\":\"issuer\",\"aud\":\"us\",\"sub\":\"kim\",\"exp\":1e999}", "payload is no JSON"},
    {"{\"iss\":\"issuer\",\"aud\":\"us\",\"sub\":\"kim\"}", "does not say when it expires"},
    {"{\"iss\":\"other\",\"aud\":\"us\",\"sub\":\"kim\",\"exp\":1000060}", "another issuer"},
    {"{\"iss\":\"issuer/\",\"aud\":\"us\",\"sub\":\"kim\",\"exp\":1000060}", "another issuer"},
    {"{\"iss\":[\"issuer\"],\"aud\":\"us\",\"sub\":\"kim\",\"exp\":1000060}", "another issuer"},
    {"{\"aud\":\"us\",\"sub\":\"kim\",\"exp\":1000060}", "another issuer"},
    {"{\"iss\":\"issuer\",\"aud\":\"them\",\"sub\":\"kim\",\"exp\":1000060}", "another audience"},
    {"{\"iss\":\"issuer\",\"aud\":[\"a\",\"us\"],\"sub\":\"kim\",\"exp\":1000060}", NULL},
    {"{\"iss\":\"issuer\",\"aud\":[[\"us\"]],\"sub\":\"kim\",\"exp\":1000060}", "another audience"},
    {"{\"iss\":\"issuer\",\"sub\":\"kim\",\"exp\":1000060}", "another audience"},
    {"{\"iss\":\"issuer\",\"aud\":\"us\",\"exp\":1000060}", "subject (sub)"},
    {"{\"iss\":\"issuer\",\"aud\":\"us\",\"sub\":\"\",\"exp\":1000060}", "subject (sub)"},
    {"{\"iss\":\"issuer\",\"aud\":\"us\",\"sub\":7,\"exp\":1000060}", "subject (sub)"},
    {"{\"iss\":\"issuer\",\"aud\":\"us\",\"sub\":\"a\\nb\",\"exp\":1000060}", "subject (sub)"},
    {"{\"iss\":\"issuer\",\"aud\":\"us\",\"exp\":1000060,\"sub\":"
     "\"0123456789012345678901234567890123"
     "456789012345678901234567890123\"}",
     NULL},
    {"{\"iss\":\"issuer\",\"aud\":\"us\",\"exp\":1000060,\"sub\":"
     "\"0123456789012345678901234567890123"
     "4567890123456789012345678901234\"}",
     "subject (sub)"},
    {"[]", "payload is no JSON"},
    {"", "payload is no JSON"},
};

static void the_claims_are_checked(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++)
    expect(payloads[i].payload, keys, &rules, sign(RSA, RSA_HEADER, payloads[i].payload),
           payloads[i].refused);
}

static const struct {
  const char *claims, *path;
  unsigned roles;
} role_cases[] = {
    {"\"x\":1", NULL, ROLE_CUSTOMER},
    {"\"roles\":\"manager\"", NULL, ROLE_MANAGER},
    {"\"roles\":\"customer manager\"", NULL, ROLE_CUSTOMER | ROLE_MANAGER},
    {"\"roles\":[\"administrator\",\"offline_access\",3]", NULL, ROLE_ADMINISTRATOR},
    {"\"roles\":[\"managers\",\"Manager\",\"manager \"]", NULL, ROLE_CUSTOMER},
    {"\"roles\":{\"manager\":true}", NULL, ROLE_CUSTOMER},
    {"\"realm_access\":{\"roles\":[\"manager\"]}", "realm_access.roles", ROLE_MANAGER},
    {"\"realm_access\":{\"roles\":[\"manager\"]}", "realm_access.role", ROLE_CUSTOMER},
    {"\"realm_access\":[\"manager\"]", "realm_access.roles", ROLE_CUSTOMER},
    {"\"https://a.b/roles\":\"manager\"", "https://a.b/roles", ROLE_MANAGER},
};

static void roles_come_from_a_claim_of_any_name(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof role_cases / sizeof *role_cases; i++) {
    struct caller caller;
    struct token_refusal why;
    const struct token_rules rule = {.roles_claim = role_cases[i].path};
    struct str payload =
        arena_format(&arena, "{\"sub\":\"kim\",\"exp\":1000060,%s}", role_cases[i].claims);
    struct str token = token_sign(test_key(RSA), STR(RSA_HEADER), payload, &arena);
    if (!token_check(keys, &rule, token, NOW, &caller, &why)) fail_msg("%s", why.text);
    if (caller.roles != role_cases[i].roles)
      fail_msg("%s: roles %u", role_cases[i].claims, caller.roles);
    assert_string_equal(caller.subject, "kim");
    assert_int_equal(caller.expires_s, 1000060 + TOKEN_LEEWAY_S);
  }
}

/* ---- what is changed behind the signature ---- */

static void change(const char *name, struct str token, const char *from, const char *to,
                   const char *refused) {
  const char *at = from ? memmem(token.data, token.size, from, strlen(from)) : NULL;
  assert_true(at || !from);
  size_t before = at ? (size_t)(at - token.data) : token.size, skip = from ? strlen(from) : 0;
  struct str changed = arena_format(&arena, "%.*s%s%.*s", (int)before, token.data, to,
                                    (int)(token.size - before - skip), token.data + before + skip);
  expect(name, keys, &rules, changed, refused);
}

static struct str encode(const char *text) {
  char *out = arena_alloc(&arena, 2 * strlen(text) + 1);
  struct str encoded = base64url_encode(str_of(text), out);
  out[encoded.size] = '\0';
  return encoded;
}

static void a_changed_token_is_refused(void **unused) {
  (void)unused;
  struct str token = sign(EC, EC_HEADER, GOOD);
  const char *payload = encode(GOOD).data;
  change("another subject", token, payload,
         encode("{\"iss\":\"issuer\",\"aud\":\"us\",\"sub\":\"lee\",\"exp\":1000060}").data,
         "signature is wrong");
  change("padding behind the payload", token, payload, arena_format(&arena, "%s=", payload).data,
         "signature is wrong");
  change("padding behind all", token, NULL, "=", "no base64url");
  change("a blank behind all", token, NULL, " ", "no base64url");
  change("a fourth part", token, NULL, ".", "compact form");
  change("a fifth part", token, NULL, "..", "compact form");
  for (size_t size = 0; size < token.size; size++)
    expect("a cut token", keys, &rules, (struct str){token.data, size}, "the token");
  struct str huge = {arena_zalloc(&arena, TOKEN_SIZE_MAX + 1), TOKEN_SIZE_MAX + 1};
  expect("a huge token", keys, &rules, huge, "more than 8192 bytes");
  huge.size = TOKEN_SIZE_MAX;
  memset((char *)(uintptr_t)huge.data, '.', huge.size);
  expect("dots", keys, &rules, huge, "compact form");
}

/* base64 of another alphabet, and a last letter with bits that count for nothing. */
static void there_is_one_text_of_a_signature(void **unused) {
  (void)unused;
  char bytes[8], text[16];
  size_t size;
  static const char *const wrong[] = {"A", "AB", "AAB", "AA==", "A+AA", "A/AA", "AA A", "AAA\n"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_false(base64url_decode(str_of(wrong[i]), bytes, &size));
  for (size_t length = 0; length <= 6; length++) {
    struct str before = {"\xff\x00\xfe\x80\x01\x7f", length};
    struct str encoded = base64url_encode(before, text);
    assert_int_equal(encoded.size, BASE64URL_TEXT_SIZE(length));
    assert_true(base64url_decode(encoded, bytes, &size));
    assert_true(str_equal(before, (struct str){bytes, size}));
  }
}

static void a_pair_of_another_size_or_of_zeros_is_refused(void **unused) {
  (void)unused;
  static const char zeros[80];
  struct str good = sign(EC, EC_HEADER, GOOD);
  const char *dot = memrchr(good.data, '.', good.size);
  char pair[64], one[80], text[128];
  size_t size;
  struct str signature = {dot + 1, (size_t)(good.data + good.size - dot - 1)};
  assert_true(base64url_decode(signature, pair, &size));
  assert_int_equal(size, 64);
  for (int form = 0; form < 6; form++) {
    memcpy(one, pair, 64);
    one[64] = 0;
    size_t sizes[] = {64, 64, 64, 63, 65, 0};
    if (form == 0) memset(one, 0, 64);
    if (form == 1) memset(one, 0, 32);
    if (form == 2) memset(one + 32, 0, 32);
    struct str changed = base64url_encode((struct str){one, sizes[form]}, text);
    expect("a pair", keys, &rules,
           arena_format(&arena, "%.*s" STR_FORMAT, (int)(dot + 1 - good.data), good.data,
                        STR_ARGS(changed)),
           "signature is wrong");
  }
  assert_false(signature_fits(test_key(EC), STR("x"), (struct str){zeros, sizeof zeros}));
  assert_false(signature_fits(test_key(RSA), STR("x"), (struct str){zeros, sizeof zeros}));
}

/* The oldest attack: the public key, which everybody has, as the secret of HS256. */
static void a_public_key_is_no_secret(void **unused) {
  (void)unused;
  struct key stolen;
  char why[KEY_WHY_SIZE];
  BIO *memory = BIO_new(BIO_s_mem());
  char *pem;
  PEM_write_bio_PUBKEY(memory, test_key(RSA)->pkey);
  long size = BIO_get_mem_data(memory, &pem);
  assert_true(key_of_secret((struct str){pem, (size_t)size}, &stolen, why));
  static const char *const forged[] = {"{\"alg\":\"HS256\",\"kid\":\"rsa\"}",
                                       "{\"alg\":\"HS256\"}"};
  for (size_t i = 0; i < 2; i++)
    expect("HS256", keys, &rules, token_sign(&stolen, str_of(forged[i]), STR(GOOD), &arena),
           "not for the algorithm HS256");
  expect("a secret's signature as RS256", keys, &rules,
         token_sign(&stolen, STR(RSA_HEADER), STR(GOOD), &arena), "signature is wrong");
  key_free(&stolen);
  BIO_free(memory);
}

static void another_key_of_the_same_name_is_refused(void **unused) {
  (void)unused;
  static const char *const forged[] = {RSA_HEADER, EC_HEADER, "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}"};
  for (enum algorithm i = RSA; i <= ED; i++) {
    struct key other = fresh_key(i, "x");
    expect(forged[i], keys, &rules, token_sign(&other, str_of(forged[i]), STR(GOOD), &arena),
           "signature is wrong");
    key_free(&other);
  }
}

static void a_cached_token_ends_with_its_time_and_its_keys(void **unused) {
  (void)unused;
  struct token_cache *cache = token_cache_open();
  struct token_rules cached = rules;
  struct caller caller, again;
  struct token_refusal why;
  unsigned char digest[TOKEN_DIGEST_SIZE];
  cached.cache = cache;
  struct str token =
      sign(ED, "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}", CLAIMS("\"roles\":\"manager\""));
  token_digest(token, digest);
  uint64_t now_keys = keys_generation(keys);
  assert_false(token_cache_get(cache, digest, now_keys, NOW, &again));
  assert_true(token_check(keys, &cached, token, NOW, &caller, &why));
  assert_true(token_cache_get(cache, digest, now_keys, NOW, &again));
  assert_true(token_check(keys, &cached, token, NOW + 89, &again, &why));
  assert_memory_equal(&caller, &again, sizeof caller);
  assert_false(token_check(keys, &cached, token, NOW + 90, &again, &why));
  assert_string_equal(why.text, "the token expired 30 s ago");
  assert_false(token_cache_get(cache, digest, now_keys + 1, NOW, &again));
  change("not the cached one", token, NULL, "A", "signature");
  for (size_t i = 0; i < 4 * TOKEN_CACHE_ENTRIES; i++) { /* it is bounded, and forgets */
    unsigned char other[TOKEN_DIGEST_SIZE] = {(unsigned char)i, (unsigned char)(i >> 8)};
    other[2] = (unsigned char)(i >> 16);
    other[3] = 1;
    token_cache_put(cache, other, now_keys, &caller);
  }
  assert_false(token_cache_get(cache, digest, now_keys, NOW, &again));
  token_cache_close(cache);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_right_token_of_each_algorithm_is_taken),
      cmocka_unit_test(a_header_chooses_nothing),
      cmocka_unit_test(the_claims_are_checked),
      cmocka_unit_test(roles_come_from_a_claim_of_any_name),
      cmocka_unit_test(a_changed_token_is_refused),
      cmocka_unit_test(there_is_one_text_of_a_signature),
      cmocka_unit_test(a_pair_of_another_size_or_of_zeros_is_refused),
      cmocka_unit_test(a_public_key_is_no_secret),
      cmocka_unit_test(another_key_of_the_same_name_is_refused),
      cmocka_unit_test(a_cached_token_ends_with_its_time_and_its_keys),
  };
  return cmocka_run_group_tests_name("token", tests, open_keys, close_keys);
}
