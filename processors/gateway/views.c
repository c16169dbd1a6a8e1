#include "views.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "runtime/contract/calls.h"

#define TIMEOUT_MS 5000
#define LOOK_MS 1 /* for new questions, while others are out */
#define WAITING_PER_CALL 64
#define URL_MAX (VIEW_PATH_MAX + 256)

const struct option_desc view_call_options[] = {
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
  char url[];
};

struct views {
  const struct options *options;
  views_answered *answered;
  struct calls *calls; /* of the thread */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool ending, started;
  struct question *first, **last;
  size_t count, most;
};

static struct question *take_question(struct views *self, bool idle) {
  pthread_mutex_lock(&self->lock);
  while (idle && !self->first && !self->ending) pthread_cond_wait(&self->changed, &self->lock);
  struct question *question = self->first;
  if (question) {
    self->first = question->next;
    if (!self->first) self->last = &self->first;
    self->count--;
  }
  pthread_mutex_unlock(&self->lock);
  return question;
}

static void start_calls(struct views *self) {
  while (calls_room(self->calls)) {
    struct question *question = take_question(self, !calls_in_flight(self->calls));
    if (!question) return;
    const struct call_request request = {.method = "GET", .url = question->url};
    /* The key brings the user back */
    bool started =
        calls_start(self->calls, 0,
                    (struct str){(const char *)&question->user, sizeof question->user}, &request);
    if (!started) self->answered(question->user, 0, STR(""));
    free(question);
  }
}

static bool over(struct views *self) {
  pthread_mutex_lock(&self->lock);
  bool result = self->ending && !self->first;
  pthread_mutex_unlock(&self->lock);
  return result && !calls_in_flight(self->calls);
}

static void *ask(void *user) {
  struct views *self = user;
  pthread_setname_np(pthread_self(), "views");
  while (!over(self)) {
    int32_t partition;
    struct str key;
    struct call_answer answer;
    start_calls(self);
    while (calls_next(self->calls, LOOK_MS, &partition, &key, &answer)) {
      void *asker;
      memcpy(&asker, key.data, sizeof asker);
      bool whole = answer.status && !answer.cut;
      self->answered(asker, whole ? answer.status : 0, whole ? answer.body : STR(""));
    }
  }
  return NULL;
}

bool views_ask(struct views *self, const char *view, const char *path, void *user) {
  char option[32], url[URL_MAX];
  snprintf(option, sizeof option, "%s-url", view);
  size_t size =
      (size_t)snprintf(url, sizeof url, "%s%s", options_text(self->options, option), path);
  if (size >= sizeof url) return false;
  struct question *question = xmalloc(sizeof *question + size + 1);
  *question = (struct question){.user = user};
  memcpy(question->url, url, size + 1);
  pthread_mutex_lock(&self->lock);
  bool fits = self->count < self->most && !self->ending;
  if (fits) {
    *self->last = question;
    self->last = &question->next;
    self->count++;
    pthread_cond_signal(&self->changed);
  }
  pthread_mutex_unlock(&self->lock);
  if (!fits) free(question);
  return fits;
}

static bool urls_fit(const struct options *options, struct failure *failure) {
  for (const struct option_desc *option = view_options; option->name; option++) {
    const char *name = option->name, *url = options_text(options, name);
    if (!calls_url_fits(url) || strlen(url) > 200)
      return failure_set(failure, EX_USAGE,
                         "--%s must begin with http:// or https:// and name a host, not '%s'", name,
                         url);
  }
  return true;
}

struct views *views_open(const struct options *options, views_answered *answered,
                         struct failure *failure) {
  if (!urls_fit(options, failure)) return NULL;
  size_t calls = (size_t)options_number(options, "view-calls");
  struct views *self = xcalloc(1, sizeof *self);
  *self = (struct views){.options = options,
                         .answered = answered,
                         .most = calls * WAITING_PER_CALL,
                         .calls = calls_open(calls, TIMEOUT_MS, VIEW_ANSWER_MAX)};
  self->last = &self->first;
  pthread_mutex_init(&self->lock, NULL);
  pthread_cond_init(&self->changed, NULL);
  if (pthread_create(&self->thread, NULL, ask, self) != 0) abort(); /* no memory for a thread */
  return self;
}

void views_close(struct views *self) {
  if (!self) return;
  pthread_mutex_lock(&self->lock);
  self->ending = true;
  pthread_cond_signal(&self->changed);
  pthread_mutex_unlock(&self->lock);
  pthread_join(self->thread, NULL);
  calls_close(self->calls);
  pthread_cond_destroy(&self->changed);
  pthread_mutex_destroy(&self->lock);
  free(self);
}
