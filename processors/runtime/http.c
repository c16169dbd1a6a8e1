#include "http.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "calls.h"
#include "clock.h"
#include "fan_out.h"
#include "json.h"
#include "metrics.h"
#include "murmur2.h"
#include "owners.h"
#include "view.h"
#include "view_internal.h"

#define CONNECTIONS_MAX 64
#define CONNECTION_TIMEOUT_S 15
#define THREADS 2
#define PEER_CALLS_MAX 32
#define PEER_TIMEOUT_MS 3000
#define PEER_ANSWER_MAX ((size_t)8 << 20)
#define URL_MAX 3000
#define STALLED_MS 60000 /* a loop that has not turned for so long is not alive */

/* What a thread needs to answer. */
struct worker {
  struct worker *next;
  struct codec *codec;
  struct calls *calls;
};

/* Others ask this instance at a daemon of its own, which asks nobody: so two that ask each other
 * never wait for each other. */
struct http_server {
  struct MHD_Daemon *daemon, *peers;
  struct runtime *runtime;
  const struct processor *processor;
  struct owners *owners; /* NULL: this instance has all there is */
  int64_t ready_lag;
  pthread_mutex_t lock;
  struct worker *workers; /* free ones */
};

/* ---- answers ---- */

static enum MHD_Result send_text(struct MHD_Connection *connection, int status, const char *type,
                                 const char *text, size_t size) {
  struct MHD_Response *response =
      MHD_create_response_from_buffer(size, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
  if (!response) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
  if (status == 503) MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
  if (status == 405) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  enum MHD_Result result = MHD_queue_response(connection, (unsigned)status, response);
  MHD_destroy_response(response);
  return result;
}

static enum MHD_Result send_json(struct MHD_Connection *connection, struct http_request *request) {
  char *text = json_dumps(request->body, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
  size_t size = text ? strlen(text) : 0;
  const char *type = request->status >= 400 ? "application/problem+json" : "application/json";
  if (size) text[size] = '\n'; /* in place of the NUL: the size says where it ends */
  enum MHD_Result result =
      send_text(connection, request->status, type, text ? text : "{}", text ? size + 1 : 2);
  free(text);
  json_decref(request->body);
  return result;
}

/* ---- health ---- */

static void livez(struct http_server *server, struct http_request *request) {
  int64_t since = clock_wall_ms() - atomic_load(&runtime_metrics(server->runtime)->last_step_ms);
  if (since < STALLED_MS) {
    request->body = json_pack("{s:s}", "status", "alive");
  } else {
    http_problem(request, 503, "Stalled", "the filter's loop has not turned for a minute");
  }
}

static void readyz(struct http_server *server, struct http_request *request) {
  char waits[256];
  int64_t lag = atomic_load(&runtime_metrics(server->runtime)->lag);
  runtime_waits_for(server->runtime, waits, sizeof waits);
  if (!waits[0] && lag > server->ready_lag) {
    snprintf(waits, sizeof waits,
             "working off a lag of %" PRId64 " records, more than the %" PRId64 " of --ready-lag",
             lag, server->ready_lag);
  }
  if (waits[0]) {
    http_problem(request, 503, "Not ready", waits);
  } else {
    request->body = json_pack("{s:s,s:I}", "status", "ready", "lag", (json_int_t)lag);
  }
}

/* ---- routes ---- */

/* True if the path fits the route's. {} stands at most once and takes what is left between its
 * ends: MHD has decoded %XX in the whole path, and an id may hold a slash. */
static bool matches(const char *route, const char *path, struct http_request *request) {
  const char *hole = strstr(route, "{}");
  if (!hole) return strcmp(route, path) == 0;
  size_t head = (size_t)(hole - route), tail = strlen(hole + 2), size = strlen(path);
  if (size <= head + tail || strncmp(route, path, head) != 0 ||
      strcmp(hole + 2, path + size - tail) != 0)
    return false;
  request->part = (struct str){path + head, size - head - tail};
  return true;
}

static const char *query(const struct http_request *request, const char *name) {
  return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

static struct worker *take_worker(struct http_server *server) {
  pthread_mutex_lock(&server->lock);
  struct worker *worker = server->workers;
  if (worker) server->workers = worker->next;
  pthread_mutex_unlock(&server->lock);
  if (worker) return worker;
  worker = xcalloc(1, sizeof *worker);
  worker->codec = codec_new(&holdfast_schemas);
  worker->calls = calls_open(PEER_CALLS_MAX, PEER_TIMEOUT_MS, PEER_ANSWER_MAX);
  return worker;
}

static void give_worker(struct http_server *server, struct worker *worker) {
  pthread_mutex_lock(&server->lock);
  worker->next = server->workers;
  server->workers = worker;
  pthread_mutex_unlock(&server->lock);
}

static enum MHD_Result send_metrics(struct http_server *server, struct MHD_Connection *connection) {
  size_t size;
  struct worker *worker = take_worker(server);
  char *text = metrics_text(server->runtime, server->processor, worker->codec, &size);
  give_worker(server, worker);
  enum MHD_Result result = send_text(connection, 200, "text/plain; version=0.0.4", text, size);
  free(text);
  return result;
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
static void answer_own(struct http_server *server, struct worker *worker, const struct route *route,
                       struct http_request *request, const char *list, struct piece *piece) {
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

struct words {
  char *text;
  size_t used, size;
};

static enum MHD_Result add_argument(void *user, enum MHD_ValueKind kind, const char *name,
                                    const char *value) {
  (void)kind;
  struct words *words = user;
  char escaped[URL_MAX];
  calls_escape(str_of(value ? value : ""), escaped, sizeof escaped);
  int used = snprintf(words->text + words->used, words->size - words->used, "%c%s=%s",
                      strchr(words->text, '?') ? '&' : '?', name, escaped);
  words->used += (size_t)used < words->size - words->used ? (size_t)used : 0;
  return MHD_YES;
}

/* The question once more, for others. */
static void say_again(const char *path, const struct http_request *request, char *text,
                      size_t size) {
  struct words words = {.text = text, .size = size};
  text[0] = '/';
  calls_escape(str_of(path + 1), text + 1, size - 1);
  words.used = strlen(text);
  MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, add_argument, &words);
}

static void answer_all(struct http_server *server, struct worker *worker, const struct route *route,
                       const char *path, struct http_request *request) {
  struct piece own;
  char question[URL_MAX];
  answer_own(server, worker, route, request, NULL, &own);
  size_t all = request->partition == ALL_PARTITIONS ? (size_t)owners_partitions(server->owners) : 1;
  if (own.partition_count == all) {
    take_own(&own, request);
    return;
  }
  say_again(path, request, question, sizeof question);
  fan_out(server->owners, worker->calls, route, question, &own, request);
}

/* There are no others: a part of the rows would be a wrong answer. */
static void answer_alone(struct http_server *server, struct worker *worker,
                         const struct route *route, struct http_request *request) {
  char waits[256];
  runtime_waits_for(server->runtime, waits, sizeof waits);
  if (waits[0]) {
    http_problem(request, 503, "Not ready", waits);
    return;
  }
  struct piece own;
  answer_own(server, worker, route, request, NULL, &own);
  take_own(&own, request);
}

static const struct route *find_route(const struct http_server *server, const char *path,
                                      struct http_request *request) {
  for (const struct route *route = server->processor->routes; route && route->path; route++) {
    if (!matches(route->path, path, request)) continue;
    request->partition =
        route->by_key ? murmur2_partition(request->part, runtime_input_partitions(server->runtime))
                      : ALL_PARTITIONS;
    return route;
  }
  return NULL;
}

static bool answer_view(struct http_server *server, const char *path,
                        struct http_request *request) {
  const struct route *route = find_route(server, path, request);
  if (!route) return false;
  struct worker *worker = take_worker(server);
  if (server->owners) {
    answer_all(server, worker, route, path, request);
  } else {
    answer_alone(server, worker, route, request);
  }
  give_worker(server, worker);
  return true;
}

/* To another instance: a piece, of the partitions it asks for. */
static enum MHD_Result handle_peer(void *user, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *upload,
                                   size_t *upload_size, void **state) {
  (void)method, (void)version, (void)upload, (void)upload_size;
  static int seen;
  struct http_server *server = user;
  struct http_request request = {.query = query, .connection = connection, .status = 200};
  if (!*state) {
    *state = &seen;
    return MHD_YES;
  }
  const struct route *route = find_route(server, url, &request);
  if (!route) {
    http_problem(&request, 404, "Not found", "there is no such path here");
    return send_json(connection, &request);
  }
  struct piece piece;
  struct worker *worker = take_worker(server);
  answer_own(server, worker, route, &request, query(&request, "partitions"), &piece);
  give_worker(server, worker);
  request.body = piece_to_json(&piece);
  return send_json(connection, &request);
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state) {
  (void)version;
  (void)upload;
  static int seen;
  struct http_server *server = user;
  struct http_request request = {.query = query, .connection = connection, .status = 200};
  if (!*state) { /* the headers have come; the body, if somebody sends one, is passed over */
    *state = &seen;
    return MHD_YES;
  }
  if (*upload_size) {
    *upload_size = 0;
    return MHD_YES;
  }
  if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
    http_problem(&request, 405, "Method not allowed",
                 "only GET is answered here; commands are produced to Kafka");
  } else if (strcmp(url, "/livez") == 0) {
    livez(server, &request);
  } else if (strcmp(url, "/readyz") == 0) {
    readyz(server, &request);
  } else if (strcmp(url, "/metrics") == 0) {
    return send_metrics(server, connection);
  } else if (!answer_view(server, url, &request)) {
    http_problem(&request, 404, "Not found", "there is no such path here");
  }
  return send_json(connection, &request);
}

/* ---- beginning and end ---- */

static bool parse_address(const char *text, struct sockaddr_in *out) {
  const char *colon = strrchr(text, ':');
  char host[64];
  if (!colon || (size_t)(colon - text) >= sizeof host) return false;
  memcpy(host, text, (size_t)(colon - text));
  host[colon - text] = '\0';
  char *end;
  unsigned long port = strtoul(colon + 1, &end, 10);
  if (colon[1] < '0' || colon[1] > '9' || *end || port > 65535) return false;
  *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  return inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

static struct MHD_Daemon *listen_at(const struct sockaddr_in *address, unsigned threads,
                                    MHD_AccessHandlerCallback handler, struct http_server *server) {
  return MHD_start_daemon(
      MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL, NULL, handler, server,
      MHD_OPTION_SOCK_ADDR, (const struct sockaddr *)address, MHD_OPTION_CONNECTION_LIMIT,
      CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIMEOUT_S,
      MHD_OPTION_LISTENING_ADDRESS_REUSE, 1, MHD_OPTION_THREAD_POOL_SIZE, threads, MHD_OPTION_END);
}

struct http_server *http_start(const char *address, struct runtime *runtime,
                               const struct processor *processor, int64_t ready_lag, char *error,
                               size_t size) {
  struct sockaddr_in at;
  if (!parse_address(address, &at)) {
    snprintf(error, size, "--http needs ADDRESS:PORT such as 127.0.0.1:8081, not '%s'", address);
    return NULL;
  }
  struct http_server *server = xcalloc(1, sizeof *server);
  server->runtime = runtime;
  server->processor = processor;
  server->ready_lag = ready_lag;
  pthread_mutex_init(&server->lock, NULL);
  server->daemon = listen_at(&at, THREADS, handle, server);
  if (server->daemon) return server;
  snprintf(error, size, "cannot listen on %s: is the port taken?", address);
  http_stop(server);
  return NULL;
}

bool http_share(struct http_server *server, const struct options *options, const char *address,
                struct log_failure *failure) {
  struct sockaddr_in at;
  char host[INET_ADDRSTRLEN], url[OWNER_URL_MAX];
  if (!parse_address(address, &at))
    return log_fail(failure, EX_USAGE, "--peers needs ADDRESS:PORT such as 127.0.0.1:0, not '%s'",
                    address);
  server->peers = listen_at(&at, 1, handle_peer, server);
  if (!server->peers)
    return log_fail(failure, EX_USAGE, "cannot listen on %s: is the port taken?", address);
  inet_ntop(AF_INET, &at.sin_addr, host, sizeof host);
  snprintf(url, sizeof url, "http://%s:%d", host,
           (int)MHD_get_daemon_info(server->peers, MHD_DAEMON_INFO_BIND_PORT)->port);
  server->owners = owners_open(options, server->processor, server->runtime, url, failure);
  return server->owners != NULL;
}

uint16_t http_port(const struct http_server *server) {
  return MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}

void http_stop(struct http_server *server) {
  if (!server) return;
  if (server->daemon) MHD_stop_daemon(server->daemon);
  if (server->peers) MHD_stop_daemon(server->peers);
  owners_close(server->owners);
  for (struct worker *worker = server->workers, *next; worker; worker = next) {
    next = worker->next;
    codec_free(worker->codec);
    calls_close(worker->calls);
    free(worker);
  }
  pthread_mutex_destroy(&server->lock);
  free(server);
}
