/* A payment provider for tests and the demo: idempotent by key, with settable delay, declines and
 * failures.
 *
 * PUT /charges/{key}, PUT /refunds/{key}  {"amount":N,"customer":"..."}  -> 200
 * {"status":"approved"|"declined"} GET /charges/{key}, GET /refunds/{key}  what was answered, or
 * 404;  GET /stats  counts PUT /settings
 * {"delay_ms":400,"jitter_ms":220,"decline":0.1,"fail":0.1,"lose":0.1}  changes what follows
 *
 * decline: share of new keys that are declined (and every customer whose id begins with
 * "declined"). fail: share of calls answered 503 with nothing done. lose: share of calls that are
 * carried out and then never answered in time. */
#include <jansson.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <time.h>
#include <unistd.h>

#define BODY_MAX 4096
#define LOST_MS 12000

static struct {
  pthread_mutex_t lock;
  json_t *answers; /* path -> {"status", "amount", "customer", "calls"} */
  int delay_ms, jitter_ms;
  double decline, fail, lose;
  unsigned seed;
  long calls, charges, refunds, declined, repeated, failed;
} provider = {.lock = PTHREAD_MUTEX_INITIALIZER, .seed = 1};

struct upload {
  char body[BODY_MAX];
  size_t size;
};

static double chance(void) {
  return (double)rand_r(&provider.seed) / ((double)RAND_MAX + 1.0);
}

static void wait_ms(int ms) {
  nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, json_t *json) {
  char *text = json_dumps(json, JSON_COMPACT);
  json_decref(json);
  struct MHD_Response *response =
      MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
  MHD_add_response_header(response, "Content-Type", "application/json");
  enum MHD_Result result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result;
}

static json_t *settings(const json_t *json) {
  const json_t *value;
  if ((value = json_object_get(json, "delay_ms")))
    provider.delay_ms = (int)json_integer_value(value);
  if ((value = json_object_get(json, "jitter_ms")))
    provider.jitter_ms = (int)json_integer_value(value);
  if ((value = json_object_get(json, "decline"))) provider.decline = json_number_value(value);
  if ((value = json_object_get(json, "fail"))) provider.fail = json_number_value(value);
  if ((value = json_object_get(json, "lose"))) provider.lose = json_number_value(value);
  return json_pack("{s:i,s:i,s:f,s:f,s:f}", "delay_ms", provider.delay_ms, "jitter_ms",
                   provider.jitter_ms, "decline", provider.decline, "fail", provider.fail, "lose",
                   provider.lose);
}

/* The answer to a key: the first one for ever. */
static json_t *answer_key(const char *path, const json_t *body) {
  json_t *known = json_object_get(provider.answers, path);
  if (known) {
    provider.repeated++;
    json_object_set_new(known, "calls",
                        json_integer(json_integer_value(json_object_get(known, "calls")) + 1));
    return known;
  }
  const char *customer = json_string_value(json_object_get(body, "customer"));
  int charge = strncmp(path, "/charges/", 9) == 0;
  int declined = charge && ((customer && strncmp(customer, "declined", 8) == 0) ||
                            chance() < provider.decline);
  *(declined ? &provider.declined : charge ? &provider.charges : &provider.refunds) += 1;
  json_object_set_new(
      provider.answers, path,
      json_pack("{s:s,s:O?,s:s?,s:i}", "status", declined ? "declined" : "approved", "amount",
                json_object_get(body, "amount"), "customer", customer, "calls", 1));
  return json_object_get(provider.answers, path);
}

static enum MHD_Result call(struct MHD_Connection *connection, const char *url,
                            const json_t *body) {
  pthread_mutex_lock(&provider.lock);
  provider.calls++;
  int wait = provider.delay_ms + (provider.jitter_ms ? (int)(chance() * provider.jitter_ms) : 0);
  int fail = chance() < provider.fail, lose = chance() < provider.lose;
  json_t *answer = NULL;
  if (fail)
    provider.failed++;
  else
    answer = json_deep_copy(answer_key(url, body));
  pthread_mutex_unlock(&provider.lock);
  wait_ms(lose ? LOST_MS : wait);
  return fail ? reply(connection, 503, json_pack("{s:s}", "status", "unavailable"))
              : reply(connection, 200, answer);
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state) {
  (void)user;
  (void)version;
  struct upload *upload = *state;
  if (!upload) {
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
  int put = strcmp(method, "PUT") == 0;
  int keyed = strncmp(url, "/charges/", 9) == 0 || strncmp(url, "/refunds/", 9) == 0;
  json_t *body = put ? json_loadb(upload->body, upload->size, 0, NULL) : NULL;
  enum MHD_Result result;
  if (put && !json_is_object(body)) {
    result = reply(connection, 400, json_pack("{s:s}", "error", "needs a JSON object"));
  } else if (put && keyed) {
    result = call(connection, url, body);
  } else {
    pthread_mutex_lock(&provider.lock);
    json_t *known = json_object_get(provider.answers, url), *json = NULL;
    if (put && strcmp(url, "/settings") == 0)
      json = settings(body);
    else if (keyed && known)
      json = json_deep_copy(known);
    else if (strcmp(url, "/stats") == 0)
      json = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "calls", (json_int_t)provider.calls, "charges",
                       (json_int_t)provider.charges, "refunds", (json_int_t)provider.refunds,
                       "declined", (json_int_t)provider.declined, "repeated",
                       (json_int_t)provider.repeated, "failed", (json_int_t)provider.failed);
    pthread_mutex_unlock(&provider.lock);
    result = json ? reply(connection, 200, json)
                  : reply(connection, 404, json_pack("{s:s}", "error", "unknown"));
  }
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

int main(int argc, char **argv) {
  int port = 8090;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--port") == 0)
      port = atoi(argv[i + 1]);
    else if (strcmp(argv[i], "--delay-ms") == 0)
      provider.delay_ms = atoi(argv[i + 1]);
    else if (strcmp(argv[i], "--jitter-ms") == 0)
      provider.jitter_ms = atoi(argv[i + 1]);
    else if (strcmp(argv[i], "--decline") == 0)
      provider.decline = atof(argv[i + 1]);
    else if (strcmp(argv[i], "--fail") == 0)
      provider.fail = atof(argv[i + 1]);
    else if (strcmp(argv[i], "--lose") == 0)
      provider.lose = atof(argv[i + 1]);
    else if (strcmp(argv[i], "--seed") == 0)
      provider.seed = (unsigned)atoi(argv[i + 1]);
    else
      return fprintf(stderr,
                     "provider-simulator: unknown option '%s'; see the head of its source\n",
                     argv[i]),
             64;
  }
  provider.answers = json_object();
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
      handle, NULL, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_NOTIFY_COMPLETED,
      completed, NULL, MHD_OPTION_CONNECTION_LIMIT, 512, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1,
      MHD_OPTION_END);
  if (!daemon) return fprintf(stderr, "provider-simulator: cannot listen on port %d\n", port), 69;
  printf("%d\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
  fflush(stdout);
  int number;
  sigwait(&signals, &number);
  MHD_stop_daemon(daemon);
  json_decref(provider.answers);
  return 0;
}
