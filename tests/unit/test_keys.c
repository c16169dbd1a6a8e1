/* The keys that tokens are checked with: which are taken, and how they are read again. */
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/keys.h"
#include "runtime/base/clock.h"
#include "runtime/base/report.h"
#include "../lib/harness.h"
#include "../lib/tokens.h"

#define DEADLINE_MS 20000 /* other work shares the cores */
#define RSA ALGORITHM_RS256
#define EC ALGORITHM_ES256
#define ED ALGORITHM_EDDSA

static enum key_answer ask(struct keys *keys, const struct key *key) {
  char signature[SIGNATURE_SIZE_MAX];
  uint64_t generation;
  struct str kid = str_of(key->kid), text = STR("text");
  return keys_check(keys, kid, key->algorithm, text, signature_make(key, text, signature),
                    &generation);
}

/* Until the answer is that, within the deadline. */
static void comes_to(struct keys *keys, const struct key *key, enum key_answer wanted) {
  int64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
  enum key_answer answer = ask(keys, key);
  for (; answer != wanted && clock_monotonic_ms() < until_ms; answer = ask(keys, key)) usleep(5000);
  assert_int_equal(answer, wanted);
}

/* ---- what is taken ---- */

static const char *const faulty[][2] = {
    {"", "no JSON"},
    {"{", "no JSON"},
    {"[]", "no array 'keys'"},
    {"{\"keys\":{}}", "no array 'keys'"},
    {"{\"keys\":[]}", "no key that checks"},
    {"{\"keys\":[],\"keys\":[]}", "no JSON"},
    {"{\"keys\":[1,null,\"x\",[]]}", "no key that checks"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\"}]}", "no key"},
    {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "no key that checks"},
    {"{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\"}]}", "no key that checks"},
    {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQ\",\"y\":\"AQ\"}]}", "no key"},
    {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
     "\"x\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\","
     "\"y\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\"}]}",
     "no key that checks"}, /* not on the curve */
    {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"}]}", "no key that checks"},
    {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AQAB\"}]}", "no key that checks"},
};

static void a_faulty_jwks_is_refused_and_says_why(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof faulty / sizeof *faulty; i++) {
    struct key_set set;
    char why[KEY_WHY_SIZE] = "";
    assert_false(jwks_parse(str_of(faulty[i][0]), "test", &set, why));
    if (!strstr(why, faulty[i][1])) fail_msg("%s: '%s'", faulty[i][0], why);
    assert_int_equal(set.count, 0);
  }
}

/* A key that was made by one program, with members set over. */
static size_t taken_with(const struct key *key, const char *name, json_t *value) {
  char why[KEY_WHY_SIZE];
  struct key_set set;
  json_t *jwk = jwk_of_key(key);
  json_object_set_new(jwk, name, value);
  json_t *jwks = json_pack("{s:[o]}", "keys", jwk);
  char *text = json_dumps(jwks, 0);
  jwks_parse(str_of(text), "test", &set, why);
  size_t count = set.count;
  key_set_free(&set);
  json_decref(jwks);
  free(text);
  return count;
}

static void a_key_serves_what_it_is_for(void **unused) {
  (void)unused;
  const struct key *rsa = test_key(RSA);
  assert_int_equal(taken_with(rsa, "x5t", json_string("other members do not matter")), 1);
  assert_int_equal(taken_with(rsa, "use", json_string("enc")), 0);
  assert_int_equal(taken_with(rsa, "alg", json_string("RSA-OAEP")), 0);
  assert_int_equal(taken_with(rsa, "alg", json_string("RS512")), 0);
  assert_int_equal(taken_with(rsa, "alg", json_string("HS256")), 0);
  assert_int_equal(taken_with(rsa, "key_ops", json_pack("[s]", "encrypt")), 0);
  assert_int_equal(taken_with(rsa, "key_ops", json_pack("[s]", "verify")), 1);
  assert_int_equal(taken_with(rsa, "d", json_string("AQAB")), 0);
  assert_int_equal(taken_with(rsa, "e", json_string("AQ")), 0);
  assert_int_equal(taken_with(rsa, "e", json_string("AQAA")), 0);
  assert_int_equal(taken_with(rsa, "kid", json_integer(1)), 0);
  assert_int_equal(taken_with(test_key(ED), "alg", json_string("Ed25519")), 1);
}

static void weak_keys_are_refused(void **unused) {
  (void)unused;
  struct key key;
  char why[KEY_WHY_SIZE];
  assert_false(key_of_secret(STR("0123456789012345678901234567890\n"), &key, why));
  assert_string_equal(why, "a secret must have 32 to 8192 bytes, not 31");
  assert_true(key_of_secret(STR("01234567890123456789012345678901\r\n"), &key, why));
  assert_int_equal(key.secret_size, 32);
  key_free(&key);
  assert_false(key_of_pkey(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024), &key, why));
  assert_string_equal(why, "an RSA key must have 2048 to 8192 bits, not 1024");
  assert_false(key_of_pkey(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384"), &key, why));
  assert_string_equal(why, "an EC key must be of the curve P-256 (ES256)");
  assert_false(key_of_pkey(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), &key, why));
  assert_false(key_of_pem(STR("-----BEGIN PRIVATE KEY-----\n"), &key, why));
}

static void a_jwks_has_64_keys_and_256_kib_at_most(void **unused) {
  (void)unused;
  const struct key *many[JWKS_KEYS_MAX + 2] = {NULL};
  struct key_set set;
  char why[KEY_WHY_SIZE];
  for (size_t i = 0; i < JWKS_KEYS_MAX + 1; i++) many[i] = test_key(ED);
  char *text = jwks_of(many);
  assert_false(jwks_parse(str_of(text), "test", &set, why));
  assert_string_equal(why, "it has more than 64 keys");
  free(text);
  text = xcalloc(1, JWKS_SIZE_MAX + 1);
  assert_false(jwks_parse((struct str){text, JWKS_SIZE_MAX + 1}, "test", &set, why));
  assert_string_equal(why, "it has more than 256 KiB");
  free(text);
}

/* RFC 7638, section 3.1 has no Ed25519; RFC 8037, appendix A.3, has. */
static void a_thumbprint_is_that_of_the_standard(void **unused) {
  (void)unused;
  static const char text[] =
      "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
      "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
  struct key_set set;
  char why[KEY_WHY_SIZE];
  assert_true(jwks_parse(str_of(text), "test", &set, why));
  json_t *jwk = jwk_of_key(&set.keys[0]);
  assert_string_equal(json_string_value(json_object_get(jwk, "kid")),
                      "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
  json_decref(jwk);
  key_set_free(&set);
}

/* ---- files ---- */

static char *new_file(char *path, struct str text) {
  close(mkstemp(path));
  replace_file(path, text);
  return path;
}

static void replace_keys(const char *path, const struct key *const *keys) {
  char *text = jwks_of(keys);
  replace_file(path, str_of(text));
  free(text);
}

static void a_file_is_read_again_when_it_changed(void **unused) {
  (void)unused;
  char path[] = "/tmp/holdfast-test-XXXXXX";
  struct failure failure;
  new_file(path, STR(""));
  const struct keys_source source = {.jwks = path};
  assert_null(keys_open(&source, &failure));
  assert_non_null(strstr(failure.text, "the keys cannot be read: it is no JSON"));
  replace_keys(path, (const struct key *[]){test_key(RSA), NULL});
  struct keys *keys = keys_open(&source, &failure);
  assert_int_equal(keys_generation(keys), 1);
  assert_int_equal(ask(keys, test_key(RSA)), KEY_SIGNED);
  assert_int_equal(ask(keys, test_key(EC)), KEY_UNKNOWN);
  replace_keys(path, (const struct key *[]){test_key(EC), NULL});
  comes_to(keys, test_key(EC), KEY_SIGNED);
  assert_int_equal(keys_generation(keys), 2);
  assert_int_equal(ask(keys, test_key(RSA)), KEY_UNKNOWN);
  replace_file(path, STR("{\"keys\":["));
  usleep(2 * FILE_LOOK_MS * 1000);
  assert_int_equal(ask(keys, test_key(EC)), KEY_SIGNED);
  assert_int_equal(keys_generation(keys), 2);
  keys_close(keys);
  unlink(path);
  assert_null(keys_open(&source, &failure));
  assert_non_null(strstr(failure.text, "No such file"));
}

static void a_secret_serves_any_kid_and_one_algorithm(void **unused) {
  (void)unused;
  char path[] = "/tmp/holdfast-test-XXXXXX";
  struct failure failure;
  struct key secret = fresh_key(ALGORITHM_HS256, NULL);
  new_file(path, (struct str){secret.secret, secret.secret_size});
  struct keys *keys = keys_open(&(struct keys_source){.secret = path}, &failure);
  assert_int_equal(ask(keys, &secret), KEY_SIGNED);
  secret.kid = xstrdup("x");
  assert_int_equal(ask(keys, &secret), KEY_SIGNED);
  assert_int_equal(ask(keys, test_key(ALGORITHM_HS256)), KEY_FORGED);
  assert_int_equal(ask(keys, test_key(RSA)), KEY_UNKNOWN);
  keys_close(keys);
  key_free(&secret);
  unlink(path);
}

static void a_token_without_a_kid_needs_one_key_that_fits(void **unused) {
  (void)unused;
  char path[] = "/tmp/holdfast-test-XXXXXX";
  struct failure failure;
  struct key one = fresh_key(ED, NULL), other = fresh_key(ED, "other");
  new_file(path, STR(""));
  replace_keys(path, (const struct key *[]){test_key(RSA), &other, NULL});
  struct keys *keys = keys_open(&(struct keys_source){.jwks = path}, &failure);
  assert_int_equal(ask(keys, &one), KEY_FORGED);
  free(other.kid);
  other.kid = NULL;
  assert_int_equal(ask(keys, &other), KEY_SIGNED);
  replace_keys(path, (const struct key *[]){&one, &other, NULL});
  comes_to(keys, &one, KEY_AMBIGUOUS);
  keys_close(keys);
  key_free(&one);
  key_free(&other);
  unlink(path);
}

/* ---- URLs ---- */

struct publisher {
  struct MHD_Daemon *daemon;
  char url[64];
  pthread_mutex_t lock;
  char *text; /* what it publishes */
  int status, delay_ms;
  atomic_int requests;
};

static enum MHD_Result publish(void *user, struct MHD_Connection *connection, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *size, void **state) {
  (void)url, (void)method, (void)version, (void)data, (void)size, (void)state;
  struct publisher *publisher = user;
  pthread_mutex_lock(&publisher->lock);
  unsigned int status = (unsigned int)publisher->status;
  int delay_ms = publisher->delay_ms;
  struct MHD_Response *response = MHD_create_response_from_buffer(
      strlen(publisher->text), publisher->text, MHD_RESPMEM_MUST_COPY);
  pthread_mutex_unlock(&publisher->lock);
  usleep((useconds_t)delay_ms * 1000);
  publisher->requests++;
  enum MHD_Result queued = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return queued;
}

/* Takes the text. */
static void change(struct publisher *publisher, int status, int delay_ms, char *text) {
  pthread_mutex_lock(&publisher->lock);
  free(publisher->text);
  publisher->text = text;
  publisher->status = status;
  publisher->delay_ms = delay_ms;
  pthread_mutex_unlock(&publisher->lock);
}

static void start(struct publisher *publisher) {
  pthread_mutex_init(&publisher->lock, NULL);
  publisher->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, publish,
                                       publisher, MHD_OPTION_END);
  snprintf(publisher->url, sizeof publisher->url, "http://127.0.0.1:%d/keys",
           MHD_get_daemon_info(publisher->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
}

static void stop(struct publisher *publisher) {
  MHD_stop_daemon(publisher->daemon);
  pthread_mutex_destroy(&publisher->lock);
  free(publisher->text);
}

static void an_unknown_kid_has_the_keys_read_again_at_most_once_in_a_while(void **unused) {
  (void)unused;
  struct publisher publisher = {0};
  struct failure failure;
  change(&publisher, 503, 0, xstrdup("later"));
  start(&publisher);
  struct keys *keys =
      keys_open(&(struct keys_source){.jwks = publisher.url, .retry_ms = 700}, &failure);
  assert_false(keys_wait(keys, 50)); /* the provider is not there yet: neither are we */
  assert_int_equal(ask(keys, test_key(RSA)), KEY_SOUGHT);
  change(&publisher, 200, 0, jwks_of((const struct key *[]){test_key(RSA), NULL}));
  assert_true(keys_wait(keys, DEADLINE_MS));
  assert_int_equal(ask(keys, test_key(RSA)), KEY_SIGNED);
  change(&publisher, 200, 0, jwks_of((const struct key *[]){test_key(EC), test_key(RSA), NULL}));
  comes_to(keys, test_key(EC), KEY_SIGNED); /* nobody waited for the ten minutes */
  int64_t begin_ms = clock_monotonic_ms();
  int before = publisher.requests;
  while (clock_monotonic_ms() < begin_ms + 3000) ask(keys, test_key(ED)), usleep(1000);
  assert_in_range(publisher.requests - before, 1, 6);
  keys_close(keys);
  stop(&publisher);
}

static void the_old_keys_stay_while_the_new_cannot_be_read(void **unused) {
  (void)unused;
  struct publisher publisher = {0};
  struct failure failure;
  char *large = xmalloc(JWKS_SIZE_MAX + 100);
  memset(large, ' ', JWKS_SIZE_MAX + 99);
  large[JWKS_SIZE_MAX + 99] = '\0';
  change(&publisher, 200, 0, jwks_of((const struct key *[]){test_key(RSA), NULL}));
  start(&publisher);
  struct keys *keys =
      keys_open(&(struct keys_source){.jwks = publisher.url, .retry_ms = 50}, &failure);
  assert_true(keys_wait(keys, DEADLINE_MS));
  const struct {
    int status;
    char *text;
  } faults[] = {{500, xstrdup("{}")}, {204, xstrdup("")}, {200, xstrdup("<html>")}, {200, large}};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
    change(&publisher, faults[i].status, 0, faults[i].text);
    int before = publisher.requests;
    int64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    while (publisher.requests < before + 2 && clock_monotonic_ms() < until_ms)
      ask(keys, test_key(EC)), usleep(5000);
    assert_true(publisher.requests >= before + 2);
    assert_int_equal(ask(keys, test_key(RSA)), KEY_SIGNED);
    assert_int_equal(keys_generation(keys), 1);
  }
  keys_close(keys);
  stop(&publisher);
}

static void a_check_does_not_wait_for_a_slow_publisher(void **unused) {
  (void)unused;
  struct publisher publisher = {0};
  struct failure failure;
  change(&publisher, 200, 0, jwks_of((const struct key *[]){test_key(RSA), NULL}));
  start(&publisher);
  struct keys *keys =
      keys_open(&(struct keys_source){.jwks = publisher.url, .retry_ms = 1}, &failure);
  assert_true(keys_wait(keys, DEADLINE_MS));
  change(&publisher, 200, 4000, jwks_of((const struct key *[]){test_key(EC), NULL}));
  usleep(5000);
  int64_t begin_ms = clock_monotonic_ms();
  assert_int_equal(ask(keys, test_key(EC)), KEY_SOUGHT);
  for (int i = 0; i < 20; i++) assert_int_equal(ask(keys, test_key(RSA)), KEY_SIGNED);
  assert_true(clock_monotonic_ms() < begin_ms + 3500);
  comes_to(keys, test_key(EC), KEY_SIGNED);
  keys_close(keys);
  stop(&publisher);
}

static int quiet(void **unused) {
  (void)unused;
  report_as("test", LEVEL_ERROR);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_faulty_jwks_is_refused_and_says_why),
      cmocka_unit_test(a_key_serves_what_it_is_for),
      cmocka_unit_test(weak_keys_are_refused),
      cmocka_unit_test(a_jwks_has_64_keys_and_256_kib_at_most),
      cmocka_unit_test(a_thumbprint_is_that_of_the_standard),
      cmocka_unit_test(a_file_is_read_again_when_it_changed),
      cmocka_unit_test(a_secret_serves_any_kid_and_one_algorithm),
      cmocka_unit_test(a_token_without_a_kid_needs_one_key_that_fits),
      cmocka_unit_test(an_unknown_kid_has_the_keys_read_again_at_most_once_in_a_while),
      cmocka_unit_test(the_old_keys_stay_while_the_new_cannot_be_read),
      cmocka_unit_test(a_check_does_not_wait_for_a_slow_publisher),
  };
  return cmocka_run_group_tests_name("keys", tests, quiet, NULL);
}
