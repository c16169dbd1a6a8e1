/* What an answer over HTTP counts for: its status, whatever its body does. Real sockets: a server
 * in a thread says what the test tells it to. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/contract/calls.h"
#include "charge/charge.h"
#include "../lib/harness.h"
#include "runtime/base/report.h"
#include "notify/notify.h"

#define DEADLINE_MS 500
#define PATIENCE_MS 20000 /* other work shares the cores */
#define KEPT 1000

struct server {
  int listening;
  char url[64];
  pthread_t thread;
  const char *answer; /* the head and the body's beginning */
  size_t more;        /* bytes of 'x' after it */
  bool then_silent;   /* else the connection is closed after it */
};

static void read_request(int connection) {
  char text[4096];
  ssize_t size;
  while ((size = read(connection, text, sizeof text - 1)) > 0) {
    text[size] = '\0';
    if (strstr(text, "}")) return; /* all that is asked here ends with a JSON object */
  }
}

static void *serve(void *user) {
  struct server *server = user;
  static char block[16384];
  memset(block, 'x', sizeof block);
  int connection;
  while ((connection = accept(server->listening, NULL, NULL)) >= 0) {
    read_request(connection);
    ssize_t sent = send(connection, server->answer, strlen(server->answer), MSG_NOSIGNAL);
    for (size_t left = server->more; left && sent >= 0; left -= (size_t)sent)
      sent = send(connection, block, left < sizeof block ? left : sizeof block, MSG_NOSIGNAL);
    if (server->then_silent) read_request(connection); /* until the caller has gone */
    close(connection);
  }
  return NULL;
}

static void open_server(struct server *server) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  server->listening = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(server->listening, (struct sockaddr *)&address, size), 0);
  assert_int_equal(listen(server->listening, 8), 0);
  assert_int_equal(getsockname(server->listening, (struct sockaddr *)&address, &size), 0);
  snprintf(server->url, sizeof server->url, "http://127.0.0.1:%d", ntohs(address.sin_port));
  assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void close_server(struct server *server) {
  shutdown(server->listening, SHUT_RDWR);
  pthread_join(server->thread, NULL);
  close(server->listening);
}

#define HEAD(status, length) \
  "HTTP/1.1 " status " It\r\nConnection: close\r\nContent-Length: " length "\r\n\r\n"

static const struct {
  const char *name;
  struct server server;
  long status;
  bool cut;
  size_t kept;
} answers[] = {
    {"a short answer is kept whole", {.answer = HEAD("200", "2") "{}"}, 200, false, 2},
    {"a long answer is kept as far as there is room",
     {.answer = HEAD("200", "100000"), .more = 100000},
     200,
     true,
     KEPT},
    {"one that just fits is not cut",
     {.answer = HEAD("201", "1000"), .more = 1000},
     201,
     false,
     KEPT},
    {"an answer that never ends is ended by the deadline",
     {.answer = HEAD("200", "1000000000000"), .more = SIZE_MAX},
     200,
     true,
     KEPT},
    {"an answer that stops in its middle",
     {.answer = HEAD("503", "10") "{", .then_silent = true},
     503,
     true,
     1},
    {"an answer whose connection breaks in its middle",
     {.answer = HEAD("200", "10") "{"},
     200,
     true,
     1},
    {"a head that never comes", {.answer = "", .then_silent = true}, 0, true, 0},
};

static void the_status_of_an_answer_counts_whatever_its_body_does(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
    struct server server = answers[i].server;
    open_server(&server);
    struct calls *calls = calls_open(1, DEADLINE_MS, KEPT);
    const struct call_request request = {.method = "PUT", .url = server.url, .body = STR("{}")};
    assert_true(calls_start(calls, 3, STR("k"), &request));
    struct call_answer answer;
    struct str key;
    int32_t partition;
    if (!calls_next(calls, PATIENCE_MS, &partition, &key, &answer))
      fail_msg("%s: the call never ended", answers[i].name);
    if (answer.status != answers[i].status || answer.cut != answers[i].cut ||
        answer.body.size != answers[i].kept)
      fail_msg("%s: status %ld, %zu bytes%s", answers[i].name, answer.status, answer.body.size,
               answer.cut ? ", cut" : "");
    calls_close(calls);
    close_server(&server);
  }
}

/* What a world makes of the answer to a row. */
static int asked(const struct world *world, const struct option_desc *table, const char *flag,
                 const char *answer, size_t more, bool then_silent, const void *row) {
  struct server server = {.answer = answer, .more = more, .then_silent = then_silent};
  open_server(&server);
  struct options options = {0};
  char url[100], error[300];
  snprintf(url, sizeof url, "--%s-url=%s", flag, server.url);
  char timeout[100];
  snprintf(timeout, sizeof timeout, "--%s-timeout-ms=%d", flag, DEADLINE_MS);
  char *argv[] = {(char[]){"test"}, url, timeout, NULL};
  options_add(&options, table);
  if (!options_parse(&options, 3, argv)) fail_msg("%s", options.error);
  void *opened = world->open(&options, error, sizeof error);
  if (!opened) fail_msg("%s", error);
  world->start(opened, 0, STR("ckey"), row);
  int32_t partition;
  struct str key;
  int result = -1;
  assert_true(world->next(opened, PATIENCE_MS, &partition, &key, &result));
  world->close(opened);
  options_free(&options);
  close_server(&server);
  return result;
}

static int told(const char *answer, size_t more, bool then_silent) {
  const struct notice notice = {.customer_id = STR("kim"),
                                .reservation_id = STR("r"),
                                .item_id = STR("i"),
                                .language = STR("en")};
  return asked(&webhook_world, webhook_options, "webhook", answer, more, then_silent, &notice);
}

static void a_receiver_that_answers_at_length_has_taken_the_notice(void **unused) {
  (void)unused;
  assert_int_equal(told(HEAD("200", "1000000"), 1000000, false), NOTICE_TAKEN);
  assert_int_equal(told(HEAD("204", "0"), 0, false), NOTICE_TAKEN);
  assert_int_equal(told(HEAD("200", "1000000000000"), SIZE_MAX, false), NOTICE_TAKEN);
  assert_int_equal(told(HEAD("200", "10"), 1, true), NOTICE_TAKEN);
  assert_int_equal(told(HEAD("410", "1000000"), 1000000, false), NOTICE_REFUSED);
  assert_int_equal(told(HEAD("500", "1000000"), 1000000, false), NOTICE_FAILED);
  assert_int_equal(told("", 0, true), NOTICE_FAILED);
}

static int charged(const char *answer, size_t more) {
  const struct charge charge = {.reservation_id = STR("r"), .customer_id = STR("kim")};
  return asked(&provider_world, provider_options, "provider", answer, more, false, &charge) &
         CALL_RESULT;
}

static void a_provider_that_answers_at_length_has_answered(void **unused) {
  (void)unused;
  const char *approved = HEAD("200", "100033") "{\"status\":\"approved\",\"receipt\":\"",
             *declined = HEAD("200", "100033") "{\"of\":{\"status\":\"approved\"},\"n\":1,"
                                               "\"why\":\"\\\"status\\\":\", "
                                               "\"status\" : \"declined\",\"receipt\":\"",
             *unsaid = HEAD("200", "100020") "{\"receipt\":\"approved";
  assert_int_equal(charged(approved, 100000), CALL_APPROVED);
  assert_int_equal(charged(declined, 100000), CALL_DECLINED);
  assert_int_equal(charged(unsaid, 100000), CALL_LOST);
  assert_int_equal(charged(HEAD("200", "20") "{\"status\":\"approved", 0), CALL_LOST);
  assert_int_equal(charged(HEAD("200", "21") "{\"status\":\"approved\"}", 0), CALL_APPROVED);
}

int main(void) {
  report_as("test", LEVEL_ERROR);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_status_of_an_answer_counts_whatever_its_body_does),
      cmocka_unit_test(a_receiver_that_answers_at_length_has_taken_the_notice),
      cmocka_unit_test(a_provider_that_answers_at_length_has_answered),
  };
  return cmocka_run_group_tests_name("answers", tests, NULL, NULL);
}
