#include "runtime/http/server.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/contract/calls.h"
#include "runtime/http/address.h"
#include "runtime/http/fan_out.h"
#include "runtime/http/listener.h"
#include "runtime/base/report.h"
#include "runtime/base/murmur2.h"
#include "runtime/http/owners.h"
#include "runtime/core/view_internal.h"

#define THREADS 2

/* A thread's means to answer. */
struct worker {
  struct worker *next;
  struct codec *codec;
};

/* Others ask this instance at a listener of its own, which asks nobody. */
struct http_server {
  struct listener *listener, *peers;
  struct runtime *runtime;
  const struct processor *processor;
  struct owners *owners; /* NULL: this instance has all there is */
  struct fan_out *fan_out;
  pthread_mutex_t lock;
  struct worker *workers; /* free ones */
};

/* ---- routes ---- */

static const struct route *find_route(const struct http_server *server, const char *path,
                                      struct http_request *request) {
  const struct route *route = route_find(server->processor->routes, path, &request->part);
  if (route) {
    request->partition =
        route->by_key ? murmur2_partition(request->part, runtime_input_partitions(server->runtime))
                      : ALL_PARTITIONS;
    return route;
  }
  http_problem(request, 404, "Not found",
               "there is no such path here; /livez, /readyz and /metrics are at --health");
  return NULL;
}

/* ---- answers of this instance ---- */

static struct worker *take_worker(struct http_server *server) {
  pthread_mutex_lock(&server->lock);
  struct worker *worker = server->workers;
  if (worker) server->workers = worker->next;
  pthread_mutex_unlock(&server->lock);
  if (worker) return worker;
  worker = xcalloc(1, sizeof *worker);
  worker->codec = codec_new(&holdfast_schemas);
  return worker;
}

static void give_worker(struct http_server *server, struct worker *worker) {
  pthread_mutex_lock(&server->lock);
  worker->next = server->workers;
  server->workers = worker;
  pthread_mutex_unlock(&server->lock);
}

/* True where no list is given, or the partition is on it. */
static bool is_listed(const char *list, int32_t partition) {
  if (!list) return true;
  for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',') {
    if (strtol(at, NULL, 10) == partition) return true;
  }
  return false;
}

/* From the rows of this instance alone, of the partitions that are asked for, listed (NULL: all)
 * and ready. */
static void answer_own(struct http_server *server, const struct route *route,
                       struct http_request *request, const char *list, struct piece *piece) {
  struct worker *worker = take_worker(server);
  int32_t ready[VIEW_PARTITIONS_MAX];
  size_t count = runtime_ready_partitions(server->runtime, ready, VIEW_PARTITIONS_MAX);
  *piece = (struct piece){0};
  for (size_t i = 0; i < count; i++) {
    bool wanted = request->partition == ALL_PARTITIONS || ready[i] == request->partition;
    if (wanted && is_listed(list, ready[i])) piece->partitions[piece->partition_count++] = ready[i];
  }
  struct arena arena = {0};
  const struct view view = {.runtime = server->runtime,
                            .codec = worker->codec,
                            .arena = &arena,
                            .partitions = piece->partitions,
                            .partition_count = piece->partition_count};
  route->answer(&view, request);
  arena_free(&arena);
  give_worker(server, worker);
  piece->status = request->status;
  piece->body = request->body;
  piece->keys = request->keys;
  request->body = request->keys = NULL;
  request->status = 200;
}

/* It is the whole answer. */
static void take_own(struct piece *own, struct http_request *request) {
  json_decref(own->keys);
  request->status = own->status;
  request->body = own->body;
}

/* There are no others: a part of the rows would be a wrong answer. */
static void answer_alone(struct http_server *server, const struct route *route,
                         struct http_request *request) {
  char waits[256];
  runtime_waits_for(server->runtime, waits, sizeof waits);
  if (waits[0]) {
    http_problem(request, 503, "Not ready", waits);
    return;
  }
  struct piece own;
  answer_own(server, route, request, NULL, &own);
  take_own(&own, request);
}

/* ---- answers of all ---- */

struct words {
  char *text;
  size_t used, size;
};

static void add_word(struct words *words, const char *before, struct str word) {
  char escaped[QUESTION_SIZE_MAX + 1];
  calls_escape(word, escaped, sizeof escaped);
  words->used += (size_t)snprintf(words->text + words->used, words->size - words->used, "%s%s",
                                  before, escaped);
  if (words->used >= words->size) words->used = words->size - 1;
}

static enum MHD_Result add_argument(void *user, enum MHD_ValueKind kind, const char *name,
                                    const char *value) {
  (void)kind;
  struct words *words = user;
  add_word(words, strchr(words->text, '?') ? "&" : "?", str_of(name));
  add_word(words, "=", str_of(value ? value : ""));
  return MHD_YES;
}

/* The question once more, for others. False: it does not fit, and what was cut is another
 * question. */
static bool say_again(const char *path, const struct http_request *request, char *text,
                      size_t size) {
  struct words words = {.text = text, .size = size};
  text[0] = '\0';
  add_word(&words, "/", str_of(path + 1));
  MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, add_argument, &words);
  return words.used < size - 1;
}

static void resume(struct question *question) {
  MHD_resume_connection(question->request.connection);
}

/* True: it is answered later. */
static bool answer_all(struct http_server *server, const struct route *route, const char *path,
                       struct http_request *request, void **state) {
  struct piece own;
  answer_own(server, route, request, NULL, &own);
  size_t all = request->partition == ALL_PARTITIONS ? (size_t)owners_partitions(server->owners) : 1;
  bool others_may_know = own.status == 200 || own.status == 404;
  if (own.partition_count == all || !others_may_know) {
    take_own(&own, request);
    return false;
  }
  struct question *question = xcalloc(1, sizeof *question);
  if (!say_again(path, request, question->path_and_query, sizeof question->path_and_query)) {
    free(question);
    piece_free(&own);
    http_problem(request, 414, "Too long", "the path and its query are too long to be passed on");
    return false;
  }
  question->route = route;
  question->request = *request;
  question->done = resume;
  *state = question;
  MHD_suspend_connection(request->connection);
  fan_out_ask(server->fan_out, question, &own);
  return true;
}

static void forget(void *state) {
  struct question *question = state;
  json_decref(question->request.body);
  free(question);
}

static enum MHD_Result answer(void *user, const char *path, struct http_request *request,
                              void **state) {
  struct http_server *server = user;
  struct question *question = *state;
  if (question) return listener_send_json(&question->request);
  const struct route *route = find_route(server, path, request);
  if (route && !server->owners) {
    answer_alone(server, route, request);
  } else if (route && answer_all(server, route, path, request, state)) {
    return MHD_YES;
  }
  return listener_send_json(request);
}

/* To another instance: a piece, of the partitions it asks for. */
static enum MHD_Result answer_peer(void *user, const char *path, struct http_request *request,
                                   void **state) {
  (void)state;
  struct http_server *server = user;
  const struct route *route = find_route(server, path, request);
  if (!route) return listener_send_json(request);
  struct piece piece;
  answer_own(server, route, request, request->query(request, "partitions"), &piece);
  request->body = piece_to_json(&piece);
  return listener_send_json(request);
}

/* ---- beginning and end ---- */

static struct http_server *server_new(const char *option, const char *address,
                                      struct runtime *runtime, const struct processor *processor,
                                      struct failure *failure) {
  struct http_server *server = xcalloc(1, sizeof *server);
  server->runtime = runtime;
  server->processor = processor;
  pthread_mutex_init(&server->lock, NULL);
  server->listener = listener_open(option, address, failure);
  if (server->listener) return server;
  http_stop(server);
  return NULL;
}

/* All that the threads look at is there before they run. */
static struct http_server *serve(struct http_server *server, struct failure *failure) {
  if ((!server->peers ||
       listener_serve(server->peers, &listener_questions, 1, answer_peer, NULL, server, failure)) &&
      listener_serve(server->listener, &listener_questions, THREADS, answer, forget, server,
                     failure))
    return server;
  http_stop(server);
  return NULL;
}

struct http_server *http_start(const char *option, const char *address, struct runtime *runtime,
                               const struct processor *processor, struct failure *failure) {
  struct http_server *server = server_new(option, address, runtime, processor, failure);
  return server ? serve(server, failure) : NULL;
}

static bool url_of(const struct listener *listener, const struct options *options,
                   char url[OWNER_URL_MAX], struct failure *failure) {
  char host[ADDRESS_TEXT_MAX];
  if (!address_of_this(listener_host(listener), options, host, failure)) return false;
  snprintf(url, OWNER_URL_MAX, "http://%s:%" PRIu16, host, listener_port(listener));
  return true;
}

static bool share(struct http_server *server, const struct options *options,
                  struct failure *failure) {
  char near[128];
  struct instance own = {0};
  struct failure no_way; /* to the brokers: then nobody is sent to --http */
  const char *peers = options_text(options, "peers");
  snprintf(near, sizeof near, "%s:0", listener_host(server->listener));
  server->peers = listener_open("peers", peers ? peers : near, failure);
  if (!server->peers || !url_of(server->peers, options, own.url, failure)) return false;
  url_of(server->listener, options, own.questions, &no_way);
  server->owners = owners_open(options, server->processor, server->runtime, &own, failure);
  if (!server->owners) return false;
  server->fan_out = fan_out_open(server->owners);
  report_info("other instances reach this one at %s", own.url);
  return true;
}

struct http_server *http_start_shared(const struct options *options, struct runtime *runtime,
                                      const struct processor *processor, struct failure *failure) {
  struct http_server *server =
      server_new("http", options_text(options, "http"), runtime, processor, failure);
  if (server && share(server, options, failure)) return serve(server, failure);
  http_stop(server);
  return NULL;
}

uint16_t http_port(const struct http_server *server) {
  return listener_port(server->listener);
}

void http_stop(struct http_server *server) {
  if (!server) return;
  if (server->fan_out) fan_out_end(server->fan_out); /* or a connection would stay suspended */
  listener_close(server->listener);
  listener_close(server->peers);
  fan_out_close(server->fan_out);
  owners_close(server->owners);
  for (struct worker *worker = server->workers, *next; worker; worker = next) {
    next = worker->next;
    codec_free(worker->codec);
    free(worker);
  }
  pthread_mutex_destroy(&server->lock);
  free(server);
}
