#include "view_places.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "runtime/base/clock.h"
#include "runtime/base/murmur2.h"
#include "runtime/base/worker.h"
#include "runtime/contract/calls.h"
#include "runtime/http/left_alone.h"

#define READ_MS 500
#define FIRST_MS 5000

const char *const view_names[VIEWS + 1] = {"history", "catalog", "tally", NULL};

struct view_places {
  const char *urls[VIEWS];     /* of the options; NULL: it is looked for */
  struct instances *instances; /* NULL: none is looked for */
  struct left_alone left_alone;
  uint32_t turn;
  struct worker worker;
};

static bool take_urls(struct view_places *self, const struct options *options,
                      struct failure *failure) {
  for (int i = 0; i < VIEWS; i++) {
    char name[32];
    snprintf(name, sizeof name, "%s-url", view_names[i]);
    const char *url = self->urls[i] = options_text(options, name);
    if (url && !calls_url_fits(url))
      return failure_set(failure, EX_USAGE,
                         "--%s must begin with http:// or https://, name a host and have 255 bytes "
                         "at most, not '%s'",
                         name, url);
  }
  return true;
}

static void *read_announcements(void *user) {
  struct view_places *self = user;
  while (!self->worker.ending) instances_read(self->instances, READ_MS);
  return NULL;
}

/* Who is asked first thing knows of those that were there before. */
static bool begin_reading(struct view_places *self, const struct options *options,
                          struct failure *failure) {
  int64_t until = clock_monotonic_ms() + FIRST_MS;
  self->instances = instances_open(options, view_names, failure);
  if (!self->instances) return false;
  while (clock_monotonic_ms() < until && !instances_read(self->instances, READ_MS)) {
  }
  worker_start(&self->worker, "instances", read_announcements, self);
  return true;
}

struct view_places *view_places_open(const struct options *options, struct failure *failure) {
  struct view_places *self = xcalloc(1, sizeof *self);
  worker_init(&self->worker);
  bool fine = take_urls(self, options, failure), all = true;
  for (int i = 0; i < VIEWS; i++) all &= self->urls[i] != NULL;
  if (fine && (all || begin_reading(self, options, failure))) return self;
  view_places_close(self);
  return NULL;
}

void view_places_close(struct view_places *self) {
  if (!self) return;
  worker_free(&self->worker);
  instances_close(self->instances);
  free(self);
}

/* Of who failed a moment ago, only if there is no other, and for the first try. */
bool view_places_find(struct view_places *self, enum view view, struct str key, bool again,
                      char url[VIEW_URL_MAX]) {
  if (self->urls[view]) {
    snprintf(url, VIEW_URL_MAX, "%s", self->urls[view]);
    return !again;
  }
  int32_t count = instances_partitions(self->instances, view);
  int32_t first = !count     ? 0
                  : key.size ? murmur2_partition(key, count)
                             : (int32_t)(self->turn++ % (uint32_t)count);
  url[0] = '\0';
  for (int32_t i = 0; i < count; i++) {
    struct instance found;
    instances_find(self->instances, view, (first + i) % count, &found);
    if (!found.questions[0]) continue;
    bool may = !left_alone(&self->left_alone, found.questions);
    if (may || (!again && !url[0])) snprintf(url, VIEW_URL_MAX, "%s", found.questions);
    if (may) return true;
  }
  return url[0] != '\0';
}

void view_places_note(struct view_places *self, const char *url, bool failed) {
  left_alone_note(&self->left_alone, str_of(url), failed);
}
