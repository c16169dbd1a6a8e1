#include "runtime/http/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/clock.h"

#define CONNECTIONS_MAX 64
#define CLOSING_MAX 32 /* ended connections that the daemon has still to close */
#define PLACES (CONNECTIONS_MAX + CLOSING_MAX)
#define EXCHANGE_MS 10000
#define HEADERS_MAX ((size_t)16 << 10)
#define BODY_MAX ((size_t)64 << 10) /* is read past, so that a client hears the answer */
#define BACKLOG 128

/* A connection. */
struct place {
  bool taken, ended; /* ended: shut down by us, not closed yet */
  int socket;
  in_addr_t address;
  int64_t since; /* its start or its last answer, monotonic ms */
  bool headers_seen;
  size_t body; /* bytes of this request */
};

struct listener {
  struct sockaddr_in at;
  char host[INET_ADDRSTRLEN];
  int socket; /* -1: the daemon's */
  struct MHD_Daemon *daemon;
  listener_answer *answer;
  void (*forget)(void *state);
  void *user;
  bool serving; /* the reaper runs */
  pthread_t reaper;
  pthread_mutex_t lock;
  pthread_cond_t changed; /* a connection came where none was, or it is to end */
  bool ending;
  struct place places[PLACES]; /* under the lock, but for what only its own thread looks at */
};

/* ---- answers ---- */

enum MHD_Result listener_send_text(const struct http_request *request, const char *type,
                                   const char *text, size_t size) {
  struct MHD_Response *response =
      MHD_create_response_from_buffer(size, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
  if (!response) return MHD_NO;
  int status = request->status;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
  if (status == 503) MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
  if (status == 405) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  enum MHD_Result result = MHD_queue_response(request->connection, (unsigned)status, response);
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

static int64_t now_ms(void) {
  return clock_monotonic_us() / 1000;
}

/* Under the lock, which a closing takes before the socket's number is free for another. */
static void end_place(struct place *place) {
  place->ended = true;
  shutdown(place->socket, SHUT_RDWR);
}

static bool is_open(const struct place *place) {
  return place->taken && !place->ended;
}

static size_t count_open(const struct listener *self, const in_addr_t *address) {
  size_t count = 0;
  for (size_t i = 0; i < PLACES; i++)
    count += is_open(&self->places[i]) && (!address || self->places[i].address == *address);
  return count;
}

/* The oldest, of the address that has the most, or of all (NULL: there is none). */
static struct place *oldest(struct listener *self, bool of_the_crowd) {
  struct place *found = NULL;
  size_t crowd = 0;
  for (size_t i = 0; i < PLACES; i++) {
    struct place *place = &self->places[i];
    if (!is_open(place)) continue;
    size_t count = of_the_crowd ? count_open(self, &place->address) : 0;
    bool older = found && count == crowd && place->since < found->since;
    if (!found || count > crowd || older) found = place, crowd = count;
  }
  return found;
}

static void begin(struct listener *self, struct MHD_Connection *connection, void **context) {
  const struct sockaddr *from =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
  struct place *place = self->places;
  while (place->taken) place++; /* the daemon takes no more than there are */
  *place = (struct place){
      .taken = true,
      .socket = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd,
      .address = ((const struct sockaddr_in *)(const void *)from)->sin_addr.s_addr,
      .since = now_ms()};
  *context = place;
  size_t count = count_open(self, NULL);
  if (count > CONNECTIONS_MAX) end_place(oldest(self, true));
  if (count == 1) pthread_cond_signal(&self->changed);
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code) {
  struct listener *self = user;
  pthread_mutex_lock(&self->lock);
  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    begin(self, connection, context);
  } else {
    ((struct place *)*context)->taken = false;
  }
  pthread_mutex_unlock(&self->lock);
}

/* Closes what has had its time. An age and not a silence: a byte now and then keeps nobody. */
static void *reap(void *user) {
  struct listener *self = user;
  pthread_setname_np(pthread_self(), "reaper");
  pthread_mutex_lock(&self->lock);
  while (!self->ending) {
    struct place *place = oldest(self, false);
    if (!place) {
      pthread_cond_wait(&self->changed, &self->lock);
    } else if (now_ms() >= place->since + EXCHANGE_MS) {
      end_place(place);
    } else {
      int64_t until = place->since + EXCHANGE_MS;
      struct timespec at = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
      pthread_cond_timedwait(&self->changed, &self->lock, &at);
    }
  }
  pthread_mutex_unlock(&self->lock);
  return NULL;
}

/* ---- requests ---- */

static const char *query(const struct http_request *request, const char *name) {
  return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

static struct place *place_of(struct MHD_Connection *connection) {
  return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state) {
  (void)version, (void)upload;
  struct listener *self = user;
  struct place *place = place_of(connection);
  struct http_request request = {.query = query, .connection = connection, .status = 200};
  if (!place->headers_seen) {
    place->headers_seen = true;
    return MHD_YES;
  }
  if (*upload_size) {
    place->body += *upload_size;
    *upload_size = 0;
    return place->body <= BODY_MAX ? MHD_YES : MHD_NO; /* MHD_NO: the connection is closed */
  }
  if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
    return self->answer(self->user, url, &request, state);
  http_problem(&request, 405, "Method not allowed",
               "only GET is answered here; commands are produced to Kafka");
  return listener_send_json(&request);
}

static void on_completed(void *user, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code) {
  (void)code;
  struct listener *self = user;
  struct place *place = place_of(connection);
  if (*state) self->forget(*state);
  *state = NULL;
  pthread_mutex_lock(&self->lock);
  place->headers_seen = false;
  place->body = 0;
  place->since = now_ms();
  pthread_mutex_unlock(&self->lock);
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

static void prepare(struct listener *self) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&self->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&self->lock, NULL);
  if (pthread_create(&self->reaper, NULL, reap, self) != 0) abort(); /* no memory for a thread */
  self->serving = true;
}

bool listener_serve(struct listener *self, unsigned threads, listener_answer *answer,
                    void (*forget)(void *state), void *user, struct failure *failure) {
  self->answer = answer;
  self->forget = forget;
  self->user = user;
  prepare(self);
  self->daemon = MHD_start_daemon(
      MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
      on_request, self, MHD_OPTION_LISTEN_SOCKET, self->socket, MHD_OPTION_CONNECTION_LIMIT,
      (unsigned)PLACES, MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADERS_MAX,
      MHD_OPTION_NOTIFY_CONNECTION, on_connection, self, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
      self, MHD_OPTION_THREAD_POOL_SIZE, threads, MHD_OPTION_END);
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
  if (self->serving) {
    pthread_mutex_lock(&self->lock);
    self->ending = true;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->reaper, NULL);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
  }
  free(self);
}

const char *listener_host(const struct listener *self) {
  return self->host;
}

uint16_t listener_port(const struct listener *self) {
  return ntohs(self->at.sin_port);
}
