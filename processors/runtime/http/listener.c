#include "runtime/http/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/abstract.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "runtime/http/framing.h"
#include "runtime/http/places.h"
#include "runtime/http/tls.h"

#define BACKLOG 1024
#define READ_PAST_MAX ((size_t)64 << 10) /* of a body that nobody wants */
#define OTHER_FILES 512 /* of the process: connections to Kafka and to views, stores, logs */

const struct listener_limits listener_questions = {
    .connections = 64, .exchange_ms = 10000, .head = (size_t)16 << 10};

struct listener {
  struct sockaddr_in at;
  char host[INET_ADDRSTRLEN];
  int socket; /* -1: the daemon's */
  struct listener_limits limits;
  struct MHD_Daemon *daemon;
  struct places *places;
  struct tls *tls; /* NULL: none */
  listener_answer *answer;
  void (*forget)(void *state);
  void *user;
};

/* ---- answers ---- */

static void add_headers(struct MHD_Response *response, const struct http_request *request,
                        const char *type) {
  int status = request->status;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
  for (size_t i = 0; i < request->header_count; i++)
    MHD_add_response_header(response, request->headers[i].name, request->headers[i].value);
  if (request->header_count) return;
  if (status == 503) MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
  if (status == 405) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
}

enum MHD_Result listener_send_text(const struct http_request *request, const char *type,
                                   const char *text, size_t size) {
  struct MHD_Response *response =
      MHD_create_response_from_buffer(size, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
  if (!response) return MHD_NO;
  add_headers(response, request, type);
  enum MHD_Result result =
      MHD_queue_response(request->connection, (unsigned)request->status, response);
  MHD_destroy_response(response);
  return result;
}

enum MHD_Result listener_send_json(struct http_request *request) {
  char *text = json_dumps(request->body, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
  size_t size = text ? strlen(text) : 0;
  const char *type = request->status >= 400 ? "application/problem+json" : "application/json";
  if (size) text[size] = '\n'; /* in place of the NUL: the size says where it ends */
  enum MHD_Result result =
      listener_send_text(request, type, text ? text : "{}", text ? size + 1 : 2);
  free(text);
  json_decref(request->body);
  request->body = NULL;
  return result;
}

/* ---- connections ---- */

/* A handshake goes out in small pieces: the last would wait for the client's delayed acknowledgement
 * of those before (40 ms). */
static void begin_tls(struct listener *self, struct MHD_Connection *connection, int socket,
                      struct place *place) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  place->certificate = tls_take(
      self->tls,
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session);
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code) {
  struct listener *self = user;
  struct place *place = *context;
  if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
    if (self->tls) tls_give(self->tls, place->certificate);
    places_give(place);
    return;
  }
  int socket = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
  const struct sockaddr *from =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
  in_addr_t address = ((const struct sockaddr_in *)(const void *)from)->sin_addr.s_addr;
  *context = place = places_take(self->places, socket, address);
  if (self->tls) begin_tls(self, connection, socket, place);
  /* Whoever takes nothing for so long is gone, also where the answer has no end. */
  const unsigned silence_ms = (unsigned)self->limits.exchange_ms;
  setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof silence_ms);
}

/* ---- requests ---- */

static const char *query(const struct http_request *request, const char *name) {
  return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

static const char *header(const struct http_request *request, const char *name) {
  return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static struct place *place_of(struct MHD_Connection *connection) {
  return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* Bytes over the limit are read past, so that the client hears the answer; then the connection is
 * closed (MHD_NO). */
static enum MHD_Result take_body(const struct listener *self, struct place *place,
                                 const char *upload, size_t *upload_size) {
  size_t most = self->limits.body, before = place->body_size;
  place->body_size += *upload_size;
  *upload_size = 0;
  if (place->body_size <= most) {
    place->body = xrealloc(place->body, place->body_size);
    memcpy(place->body + before, upload, place->body_size - before);
  }
  return place->body_size <= most + READ_PAST_MAX ? MHD_YES : MHD_NO;
}

static bool is_question(const char *method) {
  return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/* As one to a proxy it names the server too (RFC 9112, 3.2.2): here is one alone. */
static const char *path_of(const char *target) {
  size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                  : strncasecmp(target, "https://", 8) == 0 ? 8
                                                            : 0;
  const char *path = scheme ? strchr(target + scheme, '/') : target;
  return path ? path : "/";
}

/* Nothing that follows on the connection is read: it may be a part of this request. */
static enum MHD_Result refuse(struct http_request *request, const char *fault) {
  static const struct http_header closing = {MHD_HTTP_HEADER_CONNECTION, "close"};
  request->headers = &closing;
  request->header_count = 1;
  http_problem(request, 400, "Ambiguous request", fault);
  return listener_send_json(request);
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state) {
  struct listener *self = user;
  struct place *place = place_of(connection);
  struct http_request request = {.method = method,
                                 .query = query,
                                 .header = header,
                                 .connection = connection,
                                 .content = {place->body, place->body_size},
                                 .status = 200};
  if (!place->headers_seen) {
    const char *fault = framing_fault(connection, version);
    place->headers_seen = true;
    return fault ? refuse(&request, fault) : MHD_YES;
  }
  if (*upload_size) return take_body(self, place, upload, upload_size);
  if (self->limits.body && place->body_size > self->limits.body) {
    http_problem(&request, 413, "Too large", "the body is larger than a command may be");
    return listener_send_json(&request);
  }
  if (self->limits.body || is_question(method))
    return self->answer(self->user, path_of(url), &request, state);
  http_problem(&request, 405, "Method not allowed",
               "only GET is answered here; commands go to the gateway or to Kafka");
  return listener_send_json(&request);
}

static void on_completed(void *user, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code) {
  (void)code;
  const struct listener *self = user;
  if (*state) self->forget(*state);
  *state = NULL;
  places_answered(place_of(connection));
}

bool listener_hold(const struct http_request *request) {
  return places_hold(place_of(request->connection));
}

void listener_release(const struct http_request *request) {
  places_release(place_of(request->connection));
}

/* ---- beginning and end ---- */

static bool parse(const char *text, struct sockaddr_in *out) {
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

static bool cannot_listen(const char *option, const char *address, int reason,
                          struct failure *failure) {
  switch (reason) {
    case EADDRINUSE:
      return failure_set(
          failure, EX_TEMPFAIL,
          "--%s: cannot listen on %s, since another process listens there: end it, or "
          "choose another port (0 takes a free one)",
          option, address);
    case EACCES:
      return failure_set(
          failure, EX_CONFIG,
          "--%s: cannot listen on %s, which is forbidden to this user: choose a port from 1024 "
          "on",
          option, address);
    default:
      return failure_set(failure, EX_UNAVAILABLE,
                         "--%s: cannot listen on %s (%s): is it an address of this machine?",
                         option, address, strerror(reason));
  }
}

static bool bind_to(struct listener *self) {
  const int on = 1;
  socklen_t size = sizeof self->at;
  struct sockaddr *at = (struct sockaddr *)&self->at;
  self->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  /* Connections of the last process in TIME_WAIT must not keep the port. */
  return self->socket >= 0 &&
         setsockopt(self->socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
         bind(self->socket, at, size) == 0 && listen(self->socket, BACKLOG) == 0 &&
         getsockname(self->socket, at, &size) == 0;
}

struct listener *listener_open(const char *option, const char *address, struct failure *failure) {
  struct listener *self = xcalloc(1, sizeof *self);
  self->socket = -1;
  if (!parse(address, &self->at)) {
    failure_set(failure, EX_USAGE, "--%s needs ADDRESS:PORT such as 127.0.0.1:8081, not '%s'",
                option, address);
  } else if (!bind_to(self)) {
    cannot_listen(option, address, errno, failure);
  } else {
    inet_ntop(AF_INET, &self->at.sin_addr, self->host, sizeof self->host);
    return self;
  }
  listener_close(self);
  return NULL;
}

bool listener_secure(struct listener *self, const struct options *options,
                     struct failure *failure) {
  return tls_open(options, &self->tls, failure);
}

void listener_read_again(struct listener *self) {
  tls_read_again(self->tls);
}

/* The daemon wants to know where certificates come from, but on_connection has given the session
 * one. */
static int no_certificate(gnutls_session_t session, const gnutls_datum_t *issuers, int issuer_count,
                          const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                          gnutls_pcert_st **chain, unsigned *chain_size, gnutls_privkey_t *key) {
  (void)session, (void)issuers, (void)issuer_count, (void)algorithms, (void)algorithm_count;
  (void)chain, (void)chain_size, (void)key;
  return GNUTLS_E_NO_CERTIFICATE_FOUND;
}

/* Each connection is an open file. */
static bool allow_files(unsigned connections, struct failure *failure) {
  struct rlimit files;
  rlim_t need = (rlim_t)connections + OTHER_FILES;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= need) return true;
  if (files.rlim_max < need)
    return failure_set(failure, EX_CONFIG,
                       "%u connections need %ju open files, and this process may have %ju: raise "
                       "its limit (ulimit -Hn, LimitNOFILE of systemd), or allow fewer connections",
                       connections, (uintmax_t)need, (uintmax_t)files.rlim_max);
  files.rlim_cur = need;
  return setrlimit(RLIMIT_NOFILE, &files) == 0 ||
         failure_set(failure, EX_OSERR, "cannot raise the limit of open files: %s",
                     strerror(errno));
}

bool listener_serve(struct listener *self, const struct listener_limits *limits, unsigned threads,
                    listener_answer *answer, void (*forget)(void *state), void *user,
                    struct failure *failure) {
  self->limits = *limits;
  self->answer = answer;
  self->forget = forget;
  self->user = user;
  self->places = places_new(limits->connections, limits->exchange_ms);
  if (!allow_files(limits->connections, failure)) return false;
  struct MHD_OptionItem tls[] = {
      {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(uintptr_t)no_certificate},
      {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
      {MHD_OPTION_END, 0, NULL}};
  self->daemon = MHD_start_daemon(
      MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME |
          (self->tls ? MHD_USE_TLS : 0),
      0, NULL, NULL, on_request, self, MHD_OPTION_LISTEN_SOCKET, self->socket,
      MHD_OPTION_CONNECTION_LIMIT, (unsigned)places_sockets(self->places),
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, limits->head, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
      self, MHD_OPTION_NOTIFY_COMPLETED, on_completed, self, MHD_OPTION_THREAD_POOL_SIZE, threads,
      MHD_OPTION_ARRAY, self->tls ? tls : &tls[2], MHD_OPTION_END);
  if (self->daemon) {
    self->socket = -1;
    return true;
  }
  return failure_set(failure, EX_OSERR, "no threads to answer on port %" PRIu16,
                     listener_port(self));
}

void listener_close(struct listener *self) {
  if (!self) return;
  if (self->daemon) MHD_stop_daemon(self->daemon);
  if (self->socket >= 0) close(self->socket);
  tls_close(self->tls);
  places_free(self->places);
  free(self);
}

const char *listener_host(const struct listener *self) {
  return self->host;
}

uint16_t listener_port(const struct listener *self) {
  return ntohs(self->at.sin_port);
}
