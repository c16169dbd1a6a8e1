#include "views.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/base/worker.h"
#include "runtime/contract/calls.h"
#include "view_places.h"

#define TIMEOUT_MS 5000
#define LOOK_MS 1 /* for new questions, while others are out */
#define WAITING_PER_CALL 64
#define KEY_MAX 64 /* no id is longer; the beginning of another names just another instance */
#define URL_MAX (VIEW_PATH_MAX + VIEW_URL_MAX)

const struct option_desc gateway_view_options[] = {
    {.name = "history-url",
     .metavar = "URL",
     .help = "where history answers; without it its instances are found by the topic view-owners"},
    {.name = "catalog-url", .metavar = "URL", .help = "where catalog answers; likewise"},
    {.name = "tally-url", .metavar = "URL", .help = "where tally answers; likewise"},
    {.name = "view-calls",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "64",
     .min = 1,
     .max = 1000,
     .help = "questions to views in flight at most; 64 times as many may wait"},
    {0},
};

struct question {
  struct question *next;
  void *user;
  enum view view;
  char key[KEY_MAX];
  size_t key_size;
  int64_t until; /* monotonic ms; later it is asked nobody else */
  char url[VIEW_URL_MAX];
  char path[];
};

struct views {
  views_answered *answered;
  struct view_places *places;
  struct calls *calls;  /* of the thread */
  struct worker worker; /* its lock is of what follows */
  struct question *first, **last;
  size_t count, most;
};

static struct question *take_question(struct views *self, bool idle) {
  worker_lock(&self->worker);
  while (idle && !self->first && !self->worker.ending) worker_wait(&self->worker, WORKER_FOR_EVER);
  struct question *question = self->first;
  if (question) {
    self->first = question->next;
    if (!self->first) self->last = &self->first;
    self->count--;
  }
  worker_unlock(&self->worker);
  return question;
}

static void end(struct views *self, struct question *question, long status, struct str body) {
  self->answered(question->user, status, body);
  free(question);
}

/* The answer brings the question back. */
static bool start(struct views *self, struct question *question, bool again) {
  char url[URL_MAX];
  struct str key = {question->key, question->key_size};
  struct str itself = {(const char *)&question, sizeof question};
  const struct call_request request = {.method = "GET", .url = url};
  if (!view_places_find(self->places, question->view, key, again, question->url)) return false;
  snprintf(url, sizeof url, "%s%s", question->url, question->path);
  return calls_start(self->calls, 0, itself, &request);
}

static void start_calls(struct views *self) {
  while (calls_room(self->calls)) {
    struct question *question = take_question(self, !calls_in_flight(self->calls));
    if (!question) return;
    if (!start(self, question, false)) end(self, question, 0, STR(""));
  }
}

static void hear(struct views *self, struct question *question, const struct call_answer *answer) {
  bool whole = answer->status && !answer->cut;
  view_places_note(self->places, question->url, answer->status == 0);
  if (answer->status == 0 && clock_monotonic_ms() < question->until && start(self, question, true))
    return;
  end(self, question, whole ? answer->status : 0, whole ? answer->body : STR(""));
}

static bool over(struct views *self) {
  worker_lock(&self->worker);
  bool result = self->worker.ending && !self->first;
  worker_unlock(&self->worker);
  return result && !calls_in_flight(self->calls);
}

static void *ask(void *user) {
  struct views *self = user;
  while (!over(self)) {
    int32_t partition;
    struct str key;
    struct call_answer answer;
    start_calls(self);
    while (calls_next(self->calls, LOOK_MS, &partition, &key, &answer)) {
      struct question *question;
      memcpy(&question, key.data, sizeof question);
      hear(self, question, &answer);
    }
  }
  return NULL;
}

static enum view view_named(const char *name) {
  enum view view = VIEW_HISTORY;
  while (strcmp(view_names[view], name) != 0) view++;
  return view;
}

bool views_ask(struct views *self, const char *view, const char *path, struct str key, void *user) {
  size_t size = strlen(path) + 1;
  if (size > VIEW_PATH_MAX) return false;
  struct question *question = xmalloc(sizeof *question + size);
  *question = (struct question){.user = user,
                                .view = view_named(view),
                                .key_size = key.size < KEY_MAX ? key.size : KEY_MAX,
                                .until = clock_monotonic_ms() + TIMEOUT_MS};
  if (key.size) memcpy(question->key, key.data, question->key_size);
  memcpy(question->path, path, size);
  worker_lock(&self->worker);
  bool fits = self->count < self->most && !self->worker.ending;
  if (fits) {
    *self->last = question;
    self->last = &question->next;
    self->count++;
    worker_wake(&self->worker);
  }
  worker_unlock(&self->worker);
  if (!fits) free(question);
  return fits;
}

struct views *views_open(const struct options *options, views_answered *answered,
                         struct failure *failure) {
  struct view_places *places = view_places_open(options, failure);
  if (!places) return NULL;
  size_t calls = (size_t)options_number(options, "view-calls");
  struct views *self = xcalloc(1, sizeof *self);
  *self = (struct views){.answered = answered,
                         .places = places,
                         .most = calls * WAITING_PER_CALL,
                         .calls = calls_open(calls, TIMEOUT_MS, VIEW_ANSWER_MAX)};
  self->last = &self->first;
  worker_init(&self->worker);
  worker_start(&self->worker, "views", ask, self);
  return self;
}

void views_close(struct views *self) {
  if (!self) return;
  worker_free(&self->worker);
  calls_close(self->calls);
  view_places_close(self->places);
  free(self);
}
