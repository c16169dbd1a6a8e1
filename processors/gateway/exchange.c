#include "exchange.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "answers.h"
#include "caller.h"
#include "commands.h"
#include "reserve-requested/checks.h"
#include "runtime/base/clock.h"
#include "runtime/contract/calls.h"
#include "trace.h"

#define ASK_VIEW_MS 250 /* without news a command may have been decided long ago: it is a repeat */
#define CATCH_UP_MS 500 /* the view, or this instance, may be behind a command that was accepted */
#define ASK_AGAIN_MS 100
#define BLOCK_SIZE 1024 /* of the arena: thousands wait with theirs */

struct exchange {
  struct waiter waiter; /* the first, so that it brings the exchange back */
  struct gateway *gateway;
  const struct gateway_route *route;
  struct http_request request;
  struct answer answer;
  struct arena arena;
  struct caller caller;
  struct command command;
  const char *path; /* a view's question; in the arena */
  char trace[TRACE_SIZE];
  char *asked_path; /* owned; NULL: nobody logs it */
  int64_t began;    /* monotonic us */
  int wait_s;
  int64_t until; /* monotonic ms: of what is waited for */
  atomic_int holders;
  pthread_mutex_t lock; /* of what follows */
  bool sent, over, resumed;
  int64_t pause_ms; /* until the view is asked next */
};

static void let_go(struct exchange *self) {
  if (--self->holders > 0) return;
  self->gateway->open--;
  answer_free(&self->answer);
  free(self->asked_path);
  arena_free(&self->arena);
  pthread_mutex_destroy(&self->lock);
  free(self);
}

/* Under the lock, with an answer: it is given once. */
static void resume(struct exchange *self) {
  if (self->resumed) return;
  self->resumed = true;
  MHD_resume_connection(self->request.connection);
}

static struct str subject_of(const struct exchange *self) {
  return (struct str){self->caller.subject, self->caller.subject_size};
}

/* ---- commands ---- */

/* Whether the news end the wait: an outcome of what the command asked for, or its refusal. */
static bool is_answered(const struct exchange *self, const struct news *news) {
  const struct status_changed *step = news->step;
  if (news->refusal) return answer_is_refusal(&self->command, news->refusal, subject_of(self));
  return str_equal(step->customer_id, subject_of(self)) && answer_is_outcome(&self->command, step);
}

static int64_t hear_outcome(struct waiter *waiter, const struct news *news) {
  struct exchange *self = (struct exchange *)waiter;
  pthread_mutex_lock(&self->lock);
  bool ends = self->resumed, asks = false; /* resumed: nothing of the answer may change */
  if (!ends && news && is_answered(self, news)) {
    ends = answer_news(&self->answer, self->command.keyed, news);
  } else if (!ends && !news && (clock_monotonic_ms() >= self->until || self->gateway->draining)) {
    ends = self->over = true;
  } else if (!ends && !news) {
    asks = self->sent;
    if (asks) self->pause_ms *= 2; /* the view may be behind */
  }
  int64_t next = news ? waiter->until : clock_monotonic_ms() + self->pause_ms;
  if (ends && self->sent) resume(self);
  pthread_mutex_unlock(&self->lock);
  if (ends) return 0;
  if (asks) self->holders++;
  if (asks && !views_ask(self->gateway->views, "history", self->path, STR(""), self)) let_go(self);
  return next < self->until ? next : self->until;
}

void exchange_sent(void *user, const struct kafka_receipt *receipt) {
  struct exchange *self = user;
  pthread_mutex_lock(&self->lock);
  self->sent = true;
  bool taken = receipt->sent == KAFKA_SENT;
  if (!taken) answer_not_sent(&self->answer, receipt);
  bool known = answer_is_set(&self->answer);
  if (!known) answer_accepted(&self->answer, self->route, self->command.about, receipt);
  if (known || !self->wait_s || self->over) resume(self);
  pthread_mutex_unlock(&self->lock);
  let_go(self); /* once it is resumed, the answer may be sent and forgotten before this line */
}

static int preferred_wait(struct http_request *request) {
  const char *prefer = request->header(request, "Prefer");
  const char *wait = prefer ? strcasestr(prefer, "wait=") : NULL;
  if (!wait || (wait != prefer && !strchr(" ,;", wait[-1]))) return 0;
  long seconds = strtol(wait + 5, NULL, 10);
  return seconds < 0 ? 0 : seconds > WAIT_S_MAX ? WAIT_S_MAX : (int)seconds;
}

static bool make_command(struct exchange *self, struct http_request *request, struct str part) {
  struct gateway *gateway = self->gateway;
  pthread_mutex_lock(&gateway->codec_lock);
  bool made = command_make(self->route, &self->caller, part, request, gateway->codec, &self->arena,
                           &self->command);
  pthread_mutex_unlock(&gateway->codec_lock);
  return made;
}

/* True: it is answered later. The waiter comes first: the outcome may be there before the
 * receipt. */
static bool send_command(struct exchange *self, struct http_request *request) {
  const struct message record = {.key = self->command.key,
                                 .value = self->command.value,
                                 .correlation_id = self->command.key,
                                 .traceparent = str_of(self->trace)};
  self->wait_s = self->route->waits ? preferred_wait(request) : 0;
  self->until = clock_monotonic_ms() + 1000 * self->wait_s;
  char escaped[3 * ID_MAX + 1];
  calls_escape(self->command.about, escaped, sizeof escaped);
  self->path = arena_format(&self->arena, "/reservations/%s", escaped).data;
  MHD_suspend_connection(request->connection);
  if (self->wait_s) {
    self->waiter = (struct waiter){.id = self->command.about, .hear = hear_outcome};
    self->pause_ms = ASK_VIEW_MS;
    waiting_add(self->gateway->waiting, &self->waiter, clock_monotonic_ms() + ASK_VIEW_MS);
  }
  self->holders++; /* until it is heard of */
  if (kafka_sender_send(self->gateway->sender, &record, self)) return true;
  self->holders--;
  waiting_remove(self->gateway->waiting, &self->waiter);
  pthread_mutex_lock(&self->lock);
  answer_full(&self->answer);
  resume(self);
  pthread_mutex_unlock(&self->lock);
  return true;
}

/* ---- views ---- */

static bool is_own(const struct exchange *self, const json_t *body) {
  const char *owner = json_string_value(json_object_get(body, "customer_id"));
  return owner && strcmp(owner, self->caller.subject) == 0;
}

static bool may_see(const struct exchange *self, const json_t *body) {
  return (self->caller.roles & STAFF) || is_own(self, body);
}

/* A view may be behind a command that was accepted a moment ago. */
static int64_t hear_of_reservation(struct waiter *waiter, const struct news *news) {
  struct exchange *self = (struct exchange *)waiter;
  (void)news;
  self->holders++;
  if (!views_ask(self->gateway->views, self->route->view, self->path, waiter->id, self)) {
    pthread_mutex_lock(&self->lock);
    answer_full(&self->answer);
    resume(self);
    pthread_mutex_unlock(&self->lock);
    let_go(self);
  }
  return 0;
}

static void seen_for_command(struct exchange *self, long status, struct str body) {
  json_t *json = status == 200 ? json_loadb(body.data, body.size, 0, NULL) : NULL;
  pthread_mutex_lock(&self->lock);
  if (!self->resumed && is_own(self, json) &&
      answer_view_outcome(&self->answer, &self->command, json))
    resume(self);
  pthread_mutex_unlock(&self->lock);
  json_decref(json);
}

static void seen_for_question(struct exchange *self, long status, struct str body) {
  bool one = self->route->scope == SCOPE_OWN_RESERVATION;
  json_t *json = one && status == 200 ? json_loadb(body.data, body.size, 0, NULL) : NULL;
  bool hidden = one && (status == 404 || (json && !may_see(self, json)));
  json_decref(json);
  if (one && status == 404 && clock_monotonic_ms() < self->until) {
    waiting_add(self->gateway->waiting, &self->waiter, clock_monotonic_ms() + ASK_AGAIN_MS);
    return;
  }
  bool staff = self->caller.roles & STAFF;
  bool arrives = one && status == 404 &&
                 arrivals_have(self->gateway->arrivals, self->waiter.id,
                               staff ? (struct str){0} : subject_of(self));
  pthread_mutex_lock(&self->lock);
  if (arrives) {
    answer_arriving(&self->answer, self->waiter.id);
  } else {
    answer_view(&self->answer, &self->request, hidden ? 404 : status, hidden ? STR("") : body);
  }
  resume(self);
  pthread_mutex_unlock(&self->lock);
}

void exchange_seen(void *user, long status, struct str body) {
  struct exchange *self = user;
  if (self->route->kind == ROUTE_COMMAND) {
    seen_for_command(self, status, body);
  } else {
    seen_for_question(self, status, body);
  }
  let_go(self);
}

/* The question as the view is asked it: with its query, of the caller where the path says me. */
static bool make_question(struct exchange *self, const struct http_request *request,
                          struct str part) {
  char path[VIEW_PATH_MAX], escaped[3 * ID_MAX + 1];
  const char *open = strstr(self->route->path, "{}");
  size_t size = sizeof path, used;
  calls_escape(part, escaped, sizeof escaped);
  used = open ? (size_t)snprintf(path, size, "%.*s%s%s", (int)(open - self->route->path),
                                 self->route->path, escaped, open + 2)
              : (size_t)snprintf(path, size, "%s", self->route->path);
  static const char *const names[] = {"limit", "after", "status", "item"};
  char separator = '?';
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *value = request->query(request, names[i]);
    char text[1024];
    if (!value) continue;
    calls_escape(str_of(value), text, sizeof text);
    used += (size_t)snprintf(path + used, used < size ? size - used : 0, "%c%s=%s", separator,
                             names[i], text);
    if (used >= size) return false;
    separator = '&';
  }
  self->path = arena_copy(&self->arena, (struct str){path, used}).data;
  return true;
}

/* Also where the answer turns out to have no pages. */
static bool limit_fits(struct http_request *request) {
  const char *text = request->query(request, "limit");
  size_t digits = text ? strspn(text, "0123456789") : 0;
  long limit = digits && digits < 5 && !text[digits] ? strtol(text, NULL, 10) : 0;
  return !text || (limit >= 1 && limit <= PAGE_LIMIT_MAX);
}

/* True: it is answered later. */
static bool ask(struct exchange *self, struct http_request *request, struct str part) {
  if (part.size > ID_MAX) {
    answer_no_id(&self->answer);
    return false;
  }
  if (!limit_fits(request)) {
    answer_bad_limit(&self->answer);
    return false;
  }
  if (!make_question(self, request, part)) {
    answer_too_long(&self->answer);
    return false;
  }
  self->until = clock_monotonic_ms() + CATCH_UP_MS;
  self->waiter = (struct waiter){.id = arena_copy(&self->arena, part), .hear = hear_of_reservation};
  MHD_suspend_connection(request->connection);
  self->holders++;
  if (views_ask(self->gateway->views, self->route->view, self->path, part, self)) return true;
  self->holders--;
  answer_full(&self->answer);
  MHD_resume_connection(request->connection);
  return true;
}

/* ---- events ---- */

/* True: the stream is the answer. */
static bool listen_to(struct exchange *self, struct http_request *request) {
  bool all = self->caller.roles & ROLE_ADMINISTRATOR;
  request->headers = self->answer.headers;
  request->header_count = self->answer.header_count;
  if (events_listen(self->gateway->events, request, all ? (struct str){0} : subject_of(self),
                    request->header(request, "Last-Event-ID")))
    return true;
  answer_problem(&self->answer, request);
  return false;
}

/* ---- dispatch ---- */

/* Where the path names a customer; an administrator sees there, and does nothing. */
static bool is_theirs(struct exchange *self, struct str part) {
  const struct gateway_route *route = self->route;
  bool sees = route->kind == ROUTE_VIEW && (self->caller.roles & ROLE_ADMINISTRATOR);
  return route->scope != SCOPE_OWN_PART || sees || str_equal(part, subject_of(self)) ||
         answer_not_theirs(&self->answer);
}

/* True: it is answered later. */
static bool begin(struct exchange *self, const char *path, struct http_request *request) {
  const struct gateway *gateway = self->gateway;
  char allowed[64];
  struct str part;
  if (!caller_address_has_room(self->gateway, request, &self->answer)) return false;
  if (strcmp(request->method, "OPTIONS") == 0 && gateway->origins)
    return answer_preflight(&self->answer);
  self->route = gateway_route_find(request->method, path, &part, allowed, sizeof allowed);
  if (!self->route) return answer_no_route(&self->answer, allowed);
  if (self->route->roles &&
      !caller_comes_in(self->gateway, self->route->roles, request, &self->caller, &self->answer))
    return false;
  if (str_equal(part, STR("me")) && str_starts_with(str_of(path), STR("/customers/")))
    part = subject_of(self);
  if (!is_theirs(self, part)) return false;
  switch (self->route->kind) {
    case ROUTE_DOCUMENT: answer_document(&self->answer); return false;
    case ROUTE_VIEW: return ask(self, request, part);
    case ROUTE_EVENTS: return listen_to(self, request);
    case ROUTE_COMMAND: break;
  }
  if (self->gateway->draining) return answer_draining(&self->answer);
  if (make_command(self, request, part)) return send_command(self, request);
  answer_problem(&self->answer, request);
  return false;
}

static enum MHD_Result give(struct exchange *self, struct http_request *request) {
  listener_release(request);
  return answer_send(&self->answer, request);
}

enum MHD_Result exchange_answer(void *user, const char *path, struct http_request *request,
                                void **state) {
  struct gateway *gateway = user;
  struct exchange *self = *state;
  if (self) return give(self, request);
  self = xcalloc(1, sizeof *self);
  *self = (struct exchange){
      .gateway = gateway, .holders = 1, .request = *request, .arena = {.block_size = BLOCK_SIZE}};
  pthread_mutex_init(&self->lock, NULL);
  gateway->open++;
  *state = self;
  self->began = clock_monotonic_us();
  self->asked_path = gateway->access_log ? xstrdup(path) : NULL;
  trace_take(request->header(request, "traceparent"), self->trace);
  answer_traced(&self->answer, self->trace);
  answer_to_browser(&self->answer, request, gateway->origins);
  if (listener_hold(request) && begin(self, path, request)) return MHD_YES;
  if (!answer_is_set(&self->answer)) answer_full(&self->answer);
  return give(self, request);
}

static void log_access(const struct exchange *self) {
  char address[INET_ADDRSTRLEN] = "";
  const struct sockaddr *from =
      MHD_get_connection_info(self->request.connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)
          ->client_addr;
  inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)from)->sin_addr, address,
            sizeof address);
  const struct access access = {.method = self->request.method,
                                .path = self->asked_path,
                                .caller = self->caller.subject,
                                .address = address,
                                .trace_id = {self->trace + TRACE_ID_AT, TRACE_ID_SIZE},
                                .about = self->command.about,
                                .status = self->answer.status ? self->answer.status : 200,
                                .took_us = clock_monotonic_us() - self->began};
  access_log_write(self->gateway->access_log, &access);
}

void exchange_forget(void *state) {
  struct exchange *self = state;
  if (self->asked_path) log_access(self);
  waiting_remove(self->gateway->waiting, &self->waiter);
  let_go(self);
}
