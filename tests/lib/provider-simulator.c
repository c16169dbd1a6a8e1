/* A payment provider for tests and the demo: idempotent by key, with books on disk, settable delay,
 * declines and failures, and a death at a chosen moment of a request. README.md beside it has its
 * HTTP interface, and the part of it that a real provider must offer. */
#include <arpa/inet.h>
#include <jansson.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "provider_books.h"

#define BODY_MAX 4096
#define LOST_MS 12000

/* Of a PUT of a charge or a refund. */
enum moment { NEVER, BEFORE_READING, AFTER_READING, AFTER_BOOKS, MID_ANSWER, MOMENTS };
static const char *const moments[MOMENTS] = {"never", "before-reading", "after-reading",
                                             "after-books", "mid-answer"};

struct provider {
  pthread_mutex_t lock; /* of all that follows */
  struct books books;
  int delay_ms, jitter_ms;
  double decline, fail, lose;
  enum moment die;
  int die_after; /* the so-manieth request dies */
  unsigned seed;
  long failed;
};

struct upload {
  char body[BODY_MAX];
  size_t size;
};

static double chance(struct provider *provider) {
  return (double)rand_r(&provider->seed) / ((double)RAND_MAX + 1.0);
}

static void wait_ms(int ms) {
  nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static void die(void) {
  kill(getpid(), SIGKILL);
}

static bool dies_at(struct provider *provider, enum moment moment) {
  pthread_mutex_lock(&provider->lock);
  bool dies = provider->die == moment && --provider->die_after <= 0;
  pthread_mutex_unlock(&provider->lock);
  return dies;
}

/* ---- settings ---- */

static bool set(struct provider *provider, const char *name, const json_t *value) {
  const struct {
    const char *name;
    int *number;
    double *share;
  } all[] = {{"delay_ms", &provider->delay_ms, NULL},   {"jitter_ms", &provider->jitter_ms, NULL},
             {"die_after", &provider->die_after, NULL}, {"decline", NULL, &provider->decline},
             {"fail", NULL, &provider->fail},           {"lose", NULL, &provider->lose}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (strcmp(all[i].name, name) != 0) continue;
    if (all[i].number) *all[i].number = (int)json_integer_value(value);
    if (all[i].share) *all[i].share = json_number_value(value);
    return json_is_number(value);
  }
  const char *text = json_string_value(value);
  for (int moment = 0; strcmp(name, "die") == 0 && text && moment < MOMENTS; moment++) {
    if (strcmp(moments[moment], text) != 0) continue;
    provider->die = (enum moment)moment;
    return true;
  }
  return false;
}

/* NULL: name is what cannot be set so. */
static json_t *settings(struct provider *provider, json_t *json, const char **name) {
  json_t *value;
  json_object_foreach(json, *name, value) {
    if (!set(provider, *name, value)) return NULL;
  }
  return json_pack("{s:i,s:i,s:f,s:f,s:f,s:s,s:i}", "delay_ms", provider->delay_ms, "jitter_ms",
                   provider->jitter_ms, "decline", provider->decline, "fail", provider->fail,
                   "lose", provider->lose, "die", moments[provider->die], "die_after",
                   provider->die_after);
}

/* ---- answers ---- */

static enum MHD_Result send_off(struct MHD_Connection *connection, unsigned status,
                                struct MHD_Response *response) {
  MHD_add_response_header(response, "Content-Type", "application/json");
  enum MHD_Result result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result;
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, json_t *json) {
  char *text = json_dumps(json, JSON_COMPACT);
  json_decref(json);
  return send_off(connection, status,
                  MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE));
}

static enum MHD_Result reply_error(struct MHD_Connection *connection, unsigned status,
                                   const char *error) {
  return reply(connection, status, json_pack("{s:s}", "error", error));
}

static ssize_t half_of(void *text, uint64_t at, char *buffer, size_t size) {
  size_t half = strlen(text) / 2;
  if (at > 0) die(); /* the first half is out */
  if (half > size) half = size;
  memcpy(buffer, text, half);
  return (ssize_t)half;
}

static enum MHD_Result reply_half(struct MHD_Connection *connection, json_t *json) {
  char *text = json_dumps(json, JSON_COMPACT);
  json_decref(json);
  return send_off(connection, 200,
                  MHD_create_response_from_callback(strlen(text), BODY_MAX, half_of, text, free));
}

/* A new charge; a refund is never declined. */
static bool declines(struct provider *provider, const char *path, const json_t *body) {
  const char *customer = json_string_value(json_object_get(body, "customer"));
  return books_is_charge(path) && ((customer && strncmp(customer, "declined", 8) == 0) ||
                                   chance(provider) < provider->decline);
}

/* The answer to a key: the first one for ever. A new reference; NULL: the key is another
 * amount's. */
static json_t *answer_key(struct provider *provider, const char *path, const json_t *body) {
  json_t *entry = books_find(&provider->books, path);
  return entry ? books_repeat(&provider->books, entry, body)
               : books_enter(&provider->books, path, body, declines(provider, path, body));
}

static enum MHD_Result call(struct provider *provider, struct MHD_Connection *connection,
                            const char *path, const json_t *body) {
  if (!json_is_integer(json_object_get(body, "amount")))
    return reply_error(connection, 400, "needs an amount, in whole units");
  if (dies_at(provider, AFTER_READING)) die();
  pthread_mutex_lock(&provider->lock);
  provider->books.calls++;
  int wait = provider->delay_ms +
             (provider->jitter_ms ? (int)(chance(provider) * provider->jitter_ms) : 0);
  bool fail = chance(provider) < provider->fail, lose = chance(provider) < provider->lose;
  provider->failed += fail;
  json_t *answer = fail ? NULL : answer_key(provider, path, body);
  pthread_mutex_unlock(&provider->lock);
  if (answer && dies_at(provider, AFTER_BOOKS)) die();
  wait_ms(lose ? LOST_MS : wait);
  if (fail) return reply(connection, 503, json_pack("{s:s}", "status", "unavailable"));
  if (!answer) return reply_error(connection, 422, "the key belongs to another amount");
  return dies_at(provider, MID_ANSWER) ? reply_half(connection, answer)
                                       : reply(connection, 200, answer);
}

static enum MHD_Result list(struct provider *provider, struct MHD_Connection *connection) {
  pthread_mutex_lock(&provider->lock);
  json_t *json = books_page(
      &provider->books, MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "after"),
      MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "limit"));
  pthread_mutex_unlock(&provider->lock);
  return json ? reply(connection, 200, json)
              : reply_error(connection, 400, "'after' is no 'next' of a page");
}

static enum MHD_Result configure(struct provider *provider, struct MHD_Connection *connection,
                                 json_t *body) {
  const char *wrong = NULL;
  pthread_mutex_lock(&provider->lock);
  json_t *json = settings(provider, body, &wrong);
  pthread_mutex_unlock(&provider->lock);
  return json ? reply(connection, 200, json) : reply_error(connection, 400, wrong);
}

static json_t *stats(const struct provider *provider) {
  const struct books *books = &provider->books;
  return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "calls", (json_int_t)books->calls, "charges",
                   (json_int_t)books->charges, "refunds", (json_int_t)books->refunds, "declined",
                   (json_int_t)books->declined, "repeated", (json_int_t)books->repeated, "failed",
                   (json_int_t)provider->failed);
}

static enum MHD_Result get(struct provider *provider, struct MHD_Connection *connection,
                           const char *path) {
  pthread_mutex_lock(&provider->lock);
  json_t *json = strcmp(path, "/stats") == 0 ? stats(provider)
                                             : json_deep_copy(books_find(&provider->books, path));
  pthread_mutex_unlock(&provider->lock);
  return json ? reply(connection, 200, json) : reply_error(connection, 404, "unknown");
}

static bool is_keyed(const char *path) {
  return books_is_charge(path) || strncmp(path, "/refunds/", 9) == 0;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state) {
  (void)version;
  struct provider *provider = user;
  struct upload *upload = *state;
  bool put = strcmp(method, "PUT") == 0;
  if (!upload) { /* the head is there, and nothing of the body has been read */
    if (put && is_keyed(path) && dies_at(provider, BEFORE_READING)) die();
    *state = calloc(1, sizeof *upload);
    return *state ? MHD_YES : MHD_NO;
  }
  if (*size) {
    size_t take = *size < BODY_MAX - upload->size ? *size : BODY_MAX - upload->size;
    memcpy(upload->body + upload->size, data, take);
    upload->size += take;
    *size = 0;
    return MHD_YES;
  }
  if (!put)
    return strcmp(path, "/charges") == 0 ? list(provider, connection)
                                         : get(provider, connection, path);
  json_t *body = json_loadb(upload->body, upload->size, 0, NULL);
  enum MHD_Result result;
  if (!json_is_object(body))
    result = reply_error(connection, 400, "needs a JSON object");
  else if (is_keyed(path))
    result = call(provider, connection, path, body);
  else if (strcmp(path, "/settings") == 0)
    result = configure(provider, connection, body);
  else
    result = reply_error(connection, 404, "unknown");
  json_decref(body);
  return result;
}

static void completed(void *user, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode code) {
  (void)user;
  (void)connection;
  (void)code;
  free(*state);
}

/* ---- beginning and end ---- */

/* --delay-ms 400 is the setting delay_ms. */
static bool set_flag(struct provider *provider, const char *flag, const char *text) {
  char name[32];
  snprintf(name, sizeof name, "%s", strncmp(flag, "--", 2) == 0 ? flag + 2 : "");
  for (char *c = name; *c; c++) *c = *c == '-' ? '_' : *c;
  json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
  if (!value) value = json_string(text);
  bool taken = set(provider, name, value);
  json_decref(value);
  return taken;
}

static int parse(struct provider *provider, int argc, char **argv, int *port) {
  for (int i = 1; i < argc; i += 2) {
    const char *flag = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
    int code = EX_OK;
    if (value && strcmp(flag, "--port") == 0)
      *port = atoi(value);
    else if (value && strcmp(flag, "--seed") == 0)
      provider->seed = (unsigned)atoi(value);
    else if (value && strcmp(flag, "--books") == 0)
      code = books_open(&provider->books, value);
    else if (!value || !set_flag(provider, flag, value))
      return fprintf(stderr, "provider-simulator: '%s %s' cannot be set; see README.md\n", flag,
                     value ? value : ""),
             EX_USAGE;
    if (code != EX_OK) return code;
  }
  return EX_OK;
}

int main(int argc, char **argv) {
  int port = 8090;
  struct provider provider = {.lock = PTHREAD_MUTEX_INITIALIZER, .seed = 1};
  books_begin(&provider.books);
  int code = parse(&provider, argc, argv, &port);
  if (code != EX_OK) return code;
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((unsigned short)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct MHD_Daemon *daemon = MHD_start_daemon(
      MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL,
      handle, &provider, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
      MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_CONNECTION_LIMIT, 512,
      MHD_OPTION_LISTENING_ADDRESS_REUSE, 1, MHD_OPTION_END);
  if (!daemon)
    return fprintf(stderr, "provider-simulator: cannot listen on port %d\n", port), EX_UNAVAILABLE;
  printf("%d\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
  fflush(stdout);
  int number;
  sigwait(&signals, &number);
  MHD_stop_daemon(daemon);
  books_end(&provider.books);
  return 0;
}
