#include "runtime/http/fan_out.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/worker.h"
#include "runtime/contract/calls.h"
#include "runtime/http/left_alone.h"

#define QUESTIONS_MAX 32
#define CALLS_MAX 64
#define PIECES_MAX 64
#define PEER_TIMEOUT_MS 3000
#define PEER_ANSWER_MAX ((size_t)8 << 20)
#define LOOK_MS 2 /* for new questions, while calls are under way */
#define URL_MAX 4096
#define TEXT_MAX 256

struct fan_out {
  struct owners *owners;
  struct worker worker;
  struct question *first, *last; /* asked, not begun: under the lock */
  size_t count;                  /* asked and not done: under the lock */
  /* The following is the thread's. */
  struct calls *calls;
  struct question *questions[QUESTIONS_MAX]; /* begun, by place */
  struct left_alone left_alone;
};

/* ---- a piece on its way ---- */

json_t *piece_to_json(struct piece *piece) {
  json_t *partitions = json_array();
  for (size_t i = 0; i < piece->partition_count; i++)
    json_array_append_new(partitions, json_integer(piece->partitions[i]));
  return json_pack("{s:i,s:o,s:o,s:o}", "status", piece->status, "body",
                   piece->body ? piece->body : json_null(), "keys",
                   piece->keys ? piece->keys : json_array(), "partitions", partitions);
}

bool piece_from_json(json_t *json, struct piece *piece) {
  size_t i;
  json_t *one;
  *piece = (struct piece){.status = (int)json_integer_value(json_object_get(json, "status")),
                          .body = json_incref(json_object_get(json, "body")),
                          .keys = json_incref(json_object_get(json, "keys"))};
  json_array_foreach(json_object_get(json, "partitions"), i, one) {
    if (i < VIEW_PARTITIONS_MAX)
      piece->partitions[piece->partition_count++] = (int32_t)json_integer_value(one);
  }
  json_decref(json);
  return piece->status > 0;
}

void piece_free(struct piece *piece) {
  json_decref(piece->body);
  json_decref(piece->keys);
}

/* ---- asking ---- */

struct asked {
  bool covered[VIEW_PARTITIONS_MAX];
  struct piece pieces[PIECES_MAX];
  size_t count;
};

static void add(struct asked *asked, const struct piece *piece) {
  asked->pieces[asked->count++] = *piece;
  for (size_t i = 0; i < piece->partition_count; i++) {
    int32_t partition = piece->partitions[i];
    if (partition >= 0 && partition < VIEW_PARTITIONS_MAX) asked->covered[partition] = true;
  }
}

/* A call is named by its question's place and by whom it asks. */
static void ask(struct fan_out *self, size_t place, const char *url, const char *list) {
  struct question *question = self->questions[place];
  char full[URL_MAX];
  if (left_alone(&self->left_alone, url)) return;
  snprintf(full, sizeof full, "%s%s%cpartitions=%s", url, question->path_and_query,
           strchr(question->path_and_query, '?') ? '&' : '?', list);
  if (calls_start(self->calls, (int32_t)place, str_of(url),
                  &(struct call_request){.method = "GET", .url = full}))
    question->waits_for++;
}

static void ask_owners(struct fan_out *self, size_t place) {
  const struct asked *asked = self->questions[place]->asked;
  int32_t count = owners_partitions(self->owners);
  bool done[VIEW_PARTITIONS_MAX] = {0};
  char url[OWNER_URL_MAX], other[OWNER_URL_MAX], list[VIEW_PARTITIONS_MAX * 4];
  for (int32_t p = 0; p < count && p < VIEW_PARTITIONS_MAX; p++) {
    if (asked->covered[p] || done[p] || !owners_find(self->owners, p, url)) continue;
    int used = 0;
    for (int32_t q = p; q < count && q < VIEW_PARTITIONS_MAX; q++) {
      bool his =
          !asked->covered[q] && owners_find(self->owners, q, other) && strcmp(url, other) == 0;
      if (!his) continue;
      done[q] = true;
      used += snprintf(list + used, sizeof list - (size_t)used, "%s%" PRId32, used ? "," : "", q);
    }
    ask(self, place, url, list);
  }
}

/* ---- one answer ---- */

struct item {
  const char *key;
  json_t *json; /* borrowed */
};

static int by_key(const void *a, const void *b) {
  return strcmp(((const struct item *)a)->key, ((const struct item *)b)->key);
}

static const char *next_of(const struct piece *piece) {
  return json_string_value(json_object_get(piece->body, "next"));
}

static size_t limit_of(const struct http_request *request) {
  const char *text = request->query(request, "limit");
  return text ? strtoul(text, NULL, 10) : PAGE_LIMIT_DEFAULT; /* it was checked */
}

/* The first of all pages in the order of their keys. Rows past the end of a page that has a next
 * one wait: there may be more before them. */
static void merge(const struct asked *asked, const struct route *route,
                  struct http_request *request) {
  struct item *items = NULL;
  size_t capacity = 0, count = 0, i, limit = limit_of(request);
  const char *bound = NULL, *next;
  for (size_t p = 0; p < asked->count; p++) {
    json_t *item;
    if (asked->pieces[p].status != 200) continue;
    json_array_foreach(json_object_get(asked->pieces[p].body, route->list), i, item) {
      const char *key = json_string_value(json_array_get(asked->pieces[p].keys, i));
      if (!key) continue;
      items = xgrow(items, &capacity, count + 1, sizeof *items);
      items[count++] = (struct item){key, item};
    }
    next = next_of(&asked->pieces[p]);
    if (next && (!bound || strcmp(next, bound) < 0)) bound = next;
  }
  if (count) qsort(items, count, sizeof *items, by_key);
  json_t *list = json_array();
  next = bound;
  for (i = 0; i < count; i++) {
    bool past = bound && strcmp(items[i].key, bound) > 0, full = i == limit;
    if (full) next = items[i - 1].key;
    if (past || full) break;
    json_array_append(list, items[i].json);
  }
  free(items);
  request->body =
      json_pack("{s:o,s:o}", route->list, list, "next", next ? json_string(next) : json_null());
}

/* The partitions that nobody answers for, as a sentence; false: there is none. */
static bool away(const struct asked *asked, int32_t count, json_t *list, char *text) {
  int used = snprintf(text, TEXT_MAX, "being restored, or their instance is away: partitions");
  for (int32_t p = 0; p < count && p < VIEW_PARTITIONS_MAX; p++) {
    if (asked->covered[p]) continue;
    json_array_append_new(list, json_integer(p));
    if (used < TEXT_MAX) used += snprintf(text + used, TEXT_MAX - (size_t)used, " %" PRId32, p);
  }
  return json_array_size(list) > 0;
}

static void take(struct http_request *request, const struct piece *piece) {
  request->status = piece->status;
  request->body = json_incref(piece->body);
}

static void answer(const struct asked *asked, int32_t count, const struct route *route,
                   struct http_request *request) {
  char text[TEXT_MAX];
  json_t *missing = json_array();
  bool incomplete = away(asked, count, missing, text);
  const struct piece *said = NULL;
  for (size_t i = 0; i < asked->count; i++) {
    bool better = !said || said->status == 404;
    if (better || (asked->pieces[i].status == 400 && said->status != 200)) said = &asked->pieces[i];
  }
  if (route->list && said->status == 200) {
    merge(asked, route, request);
    if (incomplete) json_object_set(request->body, "restoring", missing);
  } else if (said->status == 404 && incomplete) {
    http_problem(request, 503, "Not ready", text);
  } else {
    take(request, said);
  }
  json_decref(missing);
}

static void finish(struct fan_out *self, struct question *question) {
  struct asked *asked = question->asked;
  answer(asked, owners_partitions(self->owners), question->route, &question->request);
  for (size_t i = 0; i < asked->count; i++) piece_free(&asked->pieces[i]);
  free(asked);
  question->asked = NULL;
  question->done(question);
}

/* ---- the thread ---- */

static void take_piece(struct asked *asked, const struct call_answer *answer) {
  struct piece piece;
  json_t *json =
      answer->status == 200 ? json_loadb(answer->body.data, answer->body.size, 0, NULL) : NULL;
  if (!json) return;
  bool heard = piece_from_json(json, &piece);
  if (heard && asked->count < PIECES_MAX) {
    add(asked, &piece);
  } else {
    piece_free(&piece);
  }
}

static void finish_at(struct fan_out *self, size_t place) {
  struct question *question = self->questions[place];
  self->questions[place] = NULL;
  worker_lock(&self->worker);
  self->count--;
  worker_unlock(&self->worker);
  finish(self, question);
}

static void hear(struct fan_out *self) {
  int32_t place;
  struct str url;
  struct call_answer answer;
  while (calls_next(self->calls, LOOK_MS, &place, &url, &answer)) {
    struct question *question = self->questions[place];
    bool hangs = answer.status == 0 && answer.took_ms > PEER_TIMEOUT_MS / 2;
    left_alone_note(&self->left_alone, url, hangs);
    take_piece(question->asked, &answer);
    if (--question->waits_for == 0) finish_at(self, (size_t)place);
  }
}

static void begin(struct fan_out *self, struct question *question) {
  size_t place = 0;
  while (self->questions[place]) place++; /* no more are asked than there are places */
  self->questions[place] = question;
  ask_owners(self, place);
  if (question->waits_for == 0) finish_at(self, place);
}

/* The next that was asked; waits for one where nothing is under way. NULL: there is none. */
static struct question *next_asked(struct fan_out *self, bool *ended) {
  worker_lock(&self->worker);
  while (!self->worker.ending && !self->first && !calls_in_flight(self->calls))
    worker_wait(&self->worker, WORKER_FOR_EVER);
  struct question *question = self->first;
  if (question) self->first = question->next;
  *ended = self->worker.ending;
  worker_unlock(&self->worker);
  return question;
}

static void *run(void *user) {
  struct fan_out *self = user;
  bool ended = false;
  while (!ended) {
    for (struct question *question; (question = next_asked(self, &ended));) begin(self, question);
    hear(self);
  }
  for (size_t place = 0; place < QUESTIONS_MAX; place++) {
    if (self->questions[place]) finish_at(self, place);
  }
  return NULL;
}

/* ---- the owner ---- */

struct fan_out *fan_out_open(struct owners *owners) {
  struct fan_out *self = xcalloc(1, sizeof *self);
  self->owners = owners;
  self->calls = calls_open(CALLS_MAX, PEER_TIMEOUT_MS, PEER_ANSWER_MAX);
  worker_init(&self->worker);
  worker_start(&self->worker, "fan-out", run, self);
  return self;
}

static bool enqueue(struct fan_out *self, struct question *question) {
  worker_lock(&self->worker);
  bool room = !self->worker.ending && self->count < QUESTIONS_MAX;
  if (room) {
    if (self->first)
      self->last->next = question;
    else
      self->first = question;
    self->last = question;
    self->count++;
    worker_wake(&self->worker);
  }
  worker_unlock(&self->worker);
  return room;
}

void fan_out_ask(struct fan_out *self, struct question *question, struct piece *own) {
  const struct http_request *request = &question->request;
  struct asked *asked = question->asked = xcalloc(1, sizeof *asked);
  for (int32_t p = 0; p < VIEW_PARTITIONS_MAX; p++)
    asked->covered[p] = request->partition != ALL_PARTITIONS && p != request->partition;
  add(asked, own);
  if (!enqueue(self, question)) finish(self, question);
}

void fan_out_end(struct fan_out *self) {
  worker_end(&self->worker);
}

void fan_out_close(struct fan_out *self) {
  if (!self) return;
  worker_free(&self->worker);
  calls_close(self->calls);
  free(self);
}
