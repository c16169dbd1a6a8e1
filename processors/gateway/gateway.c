/* The entrance over HTTP: its options, its beginning and its end. */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "exchange.h"
#include "news.h"
#include "token_cache.h"
#include "runtime/base/report.h"
#include "runtime/http/supervisor.h"
#include "runtime/http/tls.h"
#include "runtime/kafka/names.h"

#define LAST_ANSWERS_MS 15000       /* longer than Kafka or a view has for an answer */
#define HEAD_MAX ((size_t)10 << 10) /* a token, and 2 KiB; each connection has so much memory */
#define STALE_MS 3000 /* a command that waits for so long says that Kafka does not answer */

static const struct option_desc gateway_options[] = {
    {.name = "http",
     .metavar = "ADDR:PORT",
     .value = "127.0.0.1:8080",
     .help = "answer requests there"},
    {.name = "health", .metavar = "ADDR:PORT", .help = "answer /livez, /readyz and /metrics there"},
    {.name = "auth",
     .metavar = "jwt|none",
     .value = "jwt",
     .help = "who may: tokens, or anybody (for a first look, on 127.0.0.1 alone)"},
    {.name = "jwks", .metavar = "FILE|URL", .help = "the keys that tokens are signed with"},
    {.name = "jwt-secret-file", .metavar = "FILE", .help = "the same for HS256: at least 32 bytes"},
    {.name = "jwt-issuer", .metavar = "TEXT", .help = "what iss must be"},
    {.name = "jwt-audience", .metavar = "TEXT", .help = "what aud must have"},
    {.name = "jwt-roles-claim",
     .metavar = "NAME",
     .value = ROLES_CLAIM,
     .help = "the claim with customer, manager or administrator; with dots a path"},
    {.name = "caller-rate",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "600",
     .max = LIMIT_PER_MINUTE_MAX,
     .help = "requests of a caller a minute; 0: no limit"},
    {.name = "address-rate",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "0",
     .max = LIMIT_PER_MINUTE_MAX,
     .help = "requests of an address a minute; 0: no limit, as behind a proxy all have one"},
    {.name = "cors-origins",
     .metavar = "LIST",
     .help = "origins whose pages browsers may let in, with commas between, or *"},
    {.name = "access-log",
     .metavar = "FILE",
     .help = "a line of JSON for each request; - is the standard output; SIGHUP opens it again"},
    {.name = "connections",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "12000",
     .min = 16,
     .max = 200000,
     .help = "open at a time"},
    {.name = "in-flight",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "10000",
     .min = 1,
     .max = 1000000,
     .help = "commands that wait for Kafka at a time"},
    {.name = "accept-ms",
     .kind = OPTION_NUMBER,
     .metavar = "MS",
     .value = "5000",
     .min = 100,
     .max = 60000,
     .help = "Kafka has so long to take a command"},
    {.name = "drain-seconds",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "5",
     .max = 600,
     .help = "after SIGTERM: not ready, and still answering, before it takes no more"},
    {.name = "threads",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "2",
     .min = 1,
     .max = 64,
     .help = "that answer"},
    {.name = "log-level",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "2",
     .max = 3,
     .help = "0 errors, 1 warnings, 2 information, 3 all"},
    {0},
};

static sigset_t signals; /* blocked in every thread: see wait_for_signal */

struct service {
  const struct options *options;
  struct gateway gateway;
  struct news_reader *news;
  struct listener *listener, *health;
};

static int fail(const struct failure *failure) {
  report_error("%s", failure->text);
  return failure->exit_code ? failure->exit_code : EX_SOFTWARE;
}

/* ---- probes ---- */

/* What it is not ready for; "" if it is. */
static const char *waits_for(const struct service *self) {
  struct kafka_sender *sender = self->gateway.sender;
  if (self->gateway.leaving) return "it is stopping";
  if (kafka_sender_waits_ms(sender) > STALE_MS || !kafka_sender_is_answered(sender))
    return "Kafka does not take commands";
  if (!news_come(self->news)) return "no news of reservations can be read";
  if (self->gateway.keys && !keys_generation(self->gateway.keys))
    return "the keys of tokens could not be read yet";
  return "";
}

static void readyz(const struct service *self, struct http_request *request) {
  const char *waits = waits_for(self);
  if (waits[0]) {
    http_problem(request, 503, "Not ready", waits);
  } else {
    request->body = json_pack("{s:s}", "status", "ready");
  }
}

static enum MHD_Result send_metrics(const struct service *self, struct http_request *request) {
  char text[1024];
  int size =
      snprintf(text, sizeof text,
               "# HELP holdfast_gateway_requests Requests that are being answered.\n"
               "# TYPE holdfast_gateway_requests gauge\nholdfast_gateway_requests %zu\n"
               "# HELP holdfast_gateway_unacknowledged Commands that Kafka has not taken yet.\n"
               "# TYPE holdfast_gateway_unacknowledged gauge\n"
               "holdfast_gateway_unacknowledged %zu\n"
               "# HELP holdfast_gateway_waiting Requests that wait for an outcome.\n"
               "# TYPE holdfast_gateway_waiting gauge\nholdfast_gateway_waiting %zu\n",
               (size_t)self->gateway.open, kafka_sender_waiting(self->gateway.sender),
               waiting_count(self->gateway.waiting));
  return listener_send_text(request, "text/plain; version=0.0.4", text, (size_t)size);
}

static enum MHD_Result probe(void *user, const char *path, struct http_request *request,
                             void **state) {
  (void)state;
  const struct service *self = user;
  if (strcmp(path, "/metrics") == 0) return send_metrics(self, request);
  if (strcmp(path, "/livez") == 0) {
    request->body = json_pack("{s:s}", "status", "alive");
  } else if (strcmp(path, "/readyz") == 0) {
    readyz(self, request);
  } else {
    http_problem(request, 404, "Not found", "here are /livez, /readyz and /metrics");
  }
  return listener_send_json(request);
}

/* ---- beginning ---- */

static bool open_keys(struct service *self, struct failure *failure) {
  const struct options *options = self->options;
  const char *auth = options_text(options, "auth");
  const struct keys_source source = {.jwks = options_text(options, "jwks"),
                                     .secret = options_text(options, "jwt-secret-file")};
  if (strcmp(auth, "none") == 0) {
    if (strncmp(options_text(options, "http"), "127.", 4) != 0)
      return failure_set(failure, EX_USAGE,
                         "--auth none lets anybody in, so --http must be an address of 127.0.0.1");
    report_warning("--auth none: whoever reaches this port may do anything");
    return true;
  }
  if (strcmp(auth, "jwt") != 0)
    return failure_set(failure, EX_USAGE, "--auth is jwt or none, not '%s'", auth);
  if (!source.jwks == !source.secret)
    return failure_set(failure, EX_USAGE,
                       "tokens need keys: give --jwks or --jwt-secret-file (or --auth none for a "
                       "first look)");
  self->gateway.rules =
      (struct token_rules){.issuer = options_text(options, "jwt-issuer"),
                           .audience = options_text(options, "jwt-audience"),
                           .roles_claim = options_text(options, "jwt-roles-claim")};
  self->gateway.rules.cache = token_cache_open();
  self->gateway.keys = keys_open(&source, failure);
  return self->gateway.keys != NULL;
}

static struct limits *open_limits(const struct options *options, const char *name) {
  int64_t rate = options_number(options, name);
  if (!rate) return NULL;
  return limits_open(
      (struct limit_rate){.per_minute = rate, .burst = rate < 10 ? 10 : rate / 4 + 10});
}

static bool open_parts(struct service *self, struct failure *failure) {
  const struct options *options = self->options;
  struct gateway *gateway = &self->gateway;
  const char *log = options_text(options, "access-log");
  gateway->codec = codec_new(&holdfast_schemas);
  gateway->origins = options_text(options, "cors-origins");
  gateway->waiting = waiting_new();
  gateway->events = events_new(options);
  gateway->callers = open_limits(options, "caller-rate");
  gateway->addresses = open_limits(options, "address-rate");
  return (!log || (gateway->access_log = access_log_open(log, failure))) &&
         open_keys(self, failure) &&
         (gateway->views = views_open(options, exchange_seen, failure)) &&
         (gateway->sender = kafka_sender_open(
              options, "reservation-commands", (size_t)options_number(options, "in-flight"),
              (int)options_number(options, "accept-ms"), exchange_sent, failure)) &&
         (gateway->arrivals = arrivals_open(options, failure)) &&
         (self->news = news_open(options, gateway->waiting, gateway->events, failure));
}

static bool listen_for(struct service *self, struct failure *failure) {
  const struct options *options = self->options;
  const struct listener_limits limits = {
      .connections = (unsigned)options_number(options, "connections"),
      .exchange_ms = 10000,
      .head = HEAD_MAX,
      .body = RECORD_SIZE_MAX};
  const char *health = options_text(options, "health");
  self->listener = listener_open("http", options_text(options, "http"), failure);
  if (!self->listener || !listener_secure(self->listener, options, failure) ||
      !listener_serve(self->listener, &limits, (unsigned)options_number(options, "threads"),
                      exchange_answer, exchange_forget, &self->gateway, failure))
    return false;
  report_info("listening for requests on port %" PRIu16, listener_port(self->listener));
  if (!health) return true;
  self->health = listener_open("health", health, failure); /* who is ready is listening already */
  if (!self->health ||
      !listener_serve(self->health, &listener_questions, 1, probe, NULL, self, failure))
    return false;
  report_info("listening for probes on port %" PRIu16, listener_port(self->health));
  return true;
}

/* ---- end ---- */

/* Whoever balances the load sees /readyz first, and sends no more; then what was begun is answered:
 * who waits for an outcome hears that the command was taken. */
static void drain(struct service *self) {
  struct gateway *gateway = &self->gateway;
  report_info("stopping: not ready from now on");
  gateway->leaving = true;
  sleep((unsigned)options_number(self->options, "drain-seconds"));
  gateway->draining = true;
  events_end(gateway->events);
  waiting_expire(gateway->waiting, INT64_MAX);
  for (int i = 0; i < LAST_ANSWERS_MS / 100 && gateway->open; i++) usleep(100000);
}

static void close_parts(struct service *self) {
  struct gateway *gateway = &self->gateway;
  kafka_sender_close(gateway->sender); /* everybody has heard of theirs */
  views_close(gateway->views);
  if (gateway->events) events_end(gateway->events);
  listener_close(self->listener);
  listener_close(self->health);
  news_close(self->news);
  arrivals_close(gateway->arrivals);
  waiting_free(gateway->waiting);
  events_free(gateway->events);
  keys_close(gateway->keys);
  token_cache_close(gateway->rules.cache);
  limits_close(gateway->callers);
  limits_close(gateway->addresses);
  access_log_close(gateway->access_log);
  codec_free(gateway->codec);
}

/* A second one ends the process at once. */
static void wait_for_signal(const struct service *self) {
  const struct timespec flush_every = {.tv_nsec = 200000000};
  struct supervisor supervisor;
  int got = 0;
  supervisor_open(&supervisor);
  while (got != SIGTERM && got != SIGINT) {
    got = sigtimedwait(&signals, NULL, &flush_every);
    if (got == SIGHUP) {
      access_log_again(self->gateway.access_log);
      listener_read_again(self->listener);
    }
    access_log_flush(self->gateway.access_log);
    if (supervisor_is_due(&supervisor)) supervisor_tell(&supervisor, waits_for(self));
  }
  supervisor_close(&supervisor);
  pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

static int run(const struct options *options) {
  struct failure failure = {0};
  struct service self = {.options = options};
  int code = EX_OK;
  signal(SIGPIPE, SIG_IGN);
  pthread_mutex_init(&self.gateway.codec_lock, NULL);
  if (open_parts(&self, &failure) && listen_for(&self, &failure)) {
    wait_for_signal(&self);
    drain(&self);
    report_info("stopped: everything that was begun is answered");
  } else {
    code = fail(&failure);
  }
  close_parts(&self);
  return code;
}

int main(int argc, char **argv) {
  struct options options = {0};
  int code = EX_OK;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  options_add(&options, gateway_options);
  options_add(&options, tls_options);
  options_add(&options, gateway_view_options);
  options_add(&options, kafka_options);
  options_add(&options, help_options);
  if (!options_parse(&options, argc, argv)) {
    fprintf(stderr, "gateway: %s\n", options.error);
    code = EX_USAGE;
  } else if (options_flag(&options, "help")) {
    printf("gateway: HTTP in front of the log\n\nUsage: gateway [option ...]\n\n");
    options_help(&options, stdout);
    printf(
        "\nExamples:\n  gateway -b 127.0.0.1:9092 --jwks https://id.example.com/jwks.json "
        "--jwt-issuer https://id.example.com --jwt-audience holdfast\n"
        "  gateway -b 127.0.0.1:9092 --auth none   # for a first look\n");
  } else {
    report_as("gateway", (enum report_level)options_number(&options, "log-level"));
    codec_look_in(options_text(&options, "schemas"));
    code = run(&options);
  }
  options_free(&options);
  return code;
}
