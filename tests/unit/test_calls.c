/* Calls over real sockets, to a provider that dies and comes back at the worst moments: what its
 * caller may believe afterwards. */
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "charge/judge.h"
#include "../lib/harness.h"

#define TIMEOUT_MS 2000
#define REQUEST_MAX 4096

/* A provider with one connection at a time. Each letter of the script is what it does with the
 * next request, which it has read whole, so that its money has moved:
 * a  approves      u  answers 503     c  answers 400
 * x  dies without an answer, and is back at once
 * X  dies without an answer, and stays away
 * h  dies in the middle of its answer
 * s  says nothing until the caller gives up */
struct provider {
  const char *script;
  int listener, port;
  int requests; /* read so far */
  pthread_t thread;
};

static void answer(int connection, int status, const char *body, size_t cut) {
  char text[512];
  int size = snprintf(text, sizeof text,
                      "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n"
                      "Content-Length: %zu\r\n\r\n%s",
                      status, strlen(body), body);
  assert_true(send(connection, text, (size_t)size - cut, MSG_NOSIGNAL) > 0);
}

static bool read_request(int connection) {
  char text[REQUEST_MAX];
  size_t size = 0;
  while (size < sizeof text - 1) {
    ssize_t got = recv(connection, text + size, sizeof text - 1 - size, 0);
    if (got <= 0) return false;
    size += (size_t)got;
    text[size] = '\0';
    const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length:");
    if (body && length && strlen(body + 4) >= strtoul(length + 15, NULL, 10)) return true;
  }
  return false;
}

/* False: the connection is to be closed. */
static bool play(struct provider *provider, int connection) {
  char byte;
  switch (provider->script[provider->requests++]) {
    case 'a': answer(connection, 200, "{\"status\":\"approved\"}", 0); return true;
    case 'u': answer(connection, 503, "{}", 0); return true;
    case 'c': answer(connection, 400, "{}", 0); return true;
    case 'h': answer(connection, 200, "{\"status\":\"approved\"}", 5); return false;
    case 's': return recv(connection, &byte, 1, 0) > 0;
    case 'X':
      shutdown(provider->listener, SHUT_RDWR);
      close(provider->listener);
      return false;
    default: return false;
  }
}

static void *serve(void *user) {
  struct provider *provider = user;
  int connection;
  while ((connection = accept(provider->listener, NULL, NULL)) >= 0) {
    while (read_request(connection) && play(provider, connection)) {
    }
    close(connection);
    if (!provider->script[provider->requests] || provider->script[provider->requests - 1] == 'X')
      break;
  }
  return NULL;
}

static void start(struct provider *provider, const char *script) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  *provider = (struct provider){.script = script, .listener = socket(AF_INET, SOCK_STREAM, 0)};
  assert_int_equal(bind(provider->listener, (struct sockaddr *)&address, size), 0);
  assert_int_equal(listen(provider->listener, 5), 0);
  assert_int_equal(getsockname(provider->listener, (struct sockaddr *)&address, &size), 0);
  provider->port = ntohs(address.sin_port);
  assert_int_equal(pthread_create(&provider->thread, NULL, serve, provider), 0);
}

/* Makes the calls one after another, over one connection while that lives. The last answer's. */
static enum call_result call(const char *scheme, int port, int count, int *tries) {
  struct calls *calls = calls_open(1, TIMEOUT_MS, 4096);
  enum call_result result = CALL_LOST;
  char url[64];
  snprintf(url, sizeof url, "%s://127.0.0.1:%d/charges/k", scheme, port);
  for (int i = 0; i < count; i++) {
    int32_t partition;
    struct str key;
    struct call_answer got;
    assert_true(calls_start(calls, 3, STR("ck"),
                            &(struct call_request){"PUT", url, {0}, STR("{\"amount\":5}")}));
    assert_true(calls_next(calls, 10 * TIMEOUT_MS, &partition, &key, &got));
    assert_int_equal(partition, 3);
    assert_true(str_equal(key, STR("ck")));
    *tries = got.tries;
    result = charge_judge(&got);
  }
  calls_close(calls);
  return result;
}

/* What the last of so many calls comes to, in how many tries, where the provider does as the script
 * says. All of the script must have happened. */
static void comes_to(const char *script, int count, enum call_result expected, int tries) {
  struct provider provider;
  int tried;
  start(&provider, script);
  assert_int_equal(call("http", provider.port, count, &tried), expected);
  assert_int_equal(tried, tries);
  pthread_join(provider.thread, NULL);
  close(provider.listener);
  assert_int_equal(provider.requests, strlen(script));
}

static void a_resend_that_is_refused_leaves_open_what_the_first_try_did(void **unused) {
  (void)unused;
  comes_to("aX", 2, CALL_LOST, 1);
}

static void a_resend_answered_503_leaves_open_what_the_first_try_did(void **unused) {
  (void)unused;
  comes_to("axu", 2, CALL_LOST, 2);
}

static void a_resend_answered_4xx_leaves_open_what_the_first_try_did(void **unused) {
  (void)unused;
  comes_to("axc", 2, CALL_LOST, 2);
}

static void a_resend_answered_200_is_final_as_the_key_is_the_same(void **unused) {
  (void)unused;
  comes_to("axa", 2, CALL_APPROVED, 2);
}

static void one_try_that_is_refused_by_the_provider_did_nothing(void **unused) {
  (void)unused;
  comes_to("u", 1, CALL_NOT_MADE, 1);
  comes_to("c", 1, CALL_NOT_MADE, 1);
  comes_to("au", 2, CALL_NOT_MADE, 1); /* over a kept connection */
}

static void silence_and_half_an_answer_leave_it_open(void **unused) {
  (void)unused;
  comes_to("h", 1, CALL_LOST, 1);
  comes_to("x", 1, CALL_LOST, 1);
  comes_to("s", 1, CALL_LOST, 1);
}

static void without_a_connection_nothing_was_done(void **unused) {
  (void)unused;
  struct provider provider;
  int tries;
  start(&provider, "");
  shutdown(provider.listener, SHUT_RDWR);
  close(provider.listener);
  pthread_join(provider.thread, NULL);
  assert_int_equal(call("http", provider.port, 1, &tries), CALL_NOT_MADE);
  assert_int_equal(tries, 0);
}

static void without_a_tls_session_nothing_was_done(void **unused) {
  (void)unused;
  struct provider provider;
  int tries;
  start(&provider, ""); /* speaks no TLS: what it reads is no request, and it hangs up */
  assert_int_equal(call("https", provider.port, 1, &tries), CALL_NOT_MADE);
  assert_int_equal(tries, 0);
  pthread_join(provider.thread, NULL);
  close(provider.listener);
  assert_int_equal(provider.requests, 0);
}

/* ---- the contract: README.md of charge ---- */

static void judges(int tries, long status, const char *body, enum call_result expected) {
  const struct call_answer given = {.tries = tries, .status = status, .body = str_of(body)};
  assert_int_equal(charge_judge(&given), expected);
}

static void an_answer_means_what_the_contract_says(void **unused) {
  (void)unused;
  judges(0, 0, "", CALL_NOT_MADE);
  for (int tries = 1; tries <= 3; tries++) {
    judges(tries, 200, "{\"status\":\"approved\"}", CALL_APPROVED);
    judges(tries, 200, "{\"status\":\"declined\"}", CALL_DECLINED);
    judges(tries, 200, "{\"status\":\"pending\"}", CALL_LOST);
    judges(tries, 200, "{\"status\":", CALL_LOST);
    judges(tries, 200, "", CALL_LOST);
    judges(tries, 0, "", CALL_LOST);
  }
  const long refused[] = {400, 401, 403, 404, 405, 411, 413, 414, 415, 431, 503};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    judges(1, refused[i], "", CALL_NOT_MADE);
    judges(2, refused[i], "", CALL_LOST);
  }
  /* Said by who may have begun, who knows the key already, or who stands before the provider. */
  const long open[] = {201, 202, 204, 301, 302, 307, 308, 402, 407, 408, 409,
                       410, 412, 418, 422, 423, 425, 429, 499, 500, 502, 504};
  for (size_t i = 0; i < sizeof open / sizeof *open; i++) judges(1, open[i], "", CALL_LOST);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_resend_that_is_refused_leaves_open_what_the_first_try_did),
      cmocka_unit_test(a_resend_answered_503_leaves_open_what_the_first_try_did),
      cmocka_unit_test(a_resend_answered_4xx_leaves_open_what_the_first_try_did),
      cmocka_unit_test(a_resend_answered_200_is_final_as_the_key_is_the_same),
      cmocka_unit_test(one_try_that_is_refused_by_the_provider_did_nothing),
      cmocka_unit_test(silence_and_half_an_answer_leave_it_open),
      cmocka_unit_test(without_a_connection_nothing_was_done),
      cmocka_unit_test(without_a_tls_session_nothing_was_done),
      cmocka_unit_test(an_answer_means_what_the_contract_says),
  };
  return cmocka_run_group_tests_name("calls", tests, NULL, NULL);
}
