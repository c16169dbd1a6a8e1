#include "runtime/http/owners.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gen/records.h"
#include "runtime/base/clock.h"
#include "runtime/base/report.h"
#include "runtime/base/worker.h"
#include "runtime/contract/view.h"
#include "runtime/kafka/io.h"

#define READ_MS 50
#define SAY_AGAIN_S 1

struct owners {
  const struct processor *processor;
  struct runtime *runtime;
  struct instance own;
  const char *filters[2];
  struct instances *instances;
  struct kafka_producer *producer;
  struct codec *codec;
  struct arena arena;
  struct worker worker;
  int32_t count;
  int64_t *said_at; /* by partition, seconds; 0: not said */
};

static void say(struct owners *self, int32_t partition) {
  struct failure failure;
  size_t delivered;
  struct view_owner owner = {.filter = str_of(self->processor->name),
                             .partition = partition,
                             .url = str_of(self->own.url),
                             .questions = str_of(self->own.questions)};
  char key[64];
  int size = snprintf(key, sizeof key, "%s%c%" PRId32, self->processor->name, 0, partition);
  struct str value =
      codec_encode(self->codec, (struct record){RECORD_VIEW_OWNER, &owner}, &self->arena);
  if (!kafka_producer_send(self->producer, (struct str){key, (size_t)size}, value, (struct str){0},
                           &failure) ||
      !kafka_producer_flush(self->producer, &delivered, &failure)) {
    instances_end_if_denied(&failure);
    report_warning("%s: %s", VIEW_OWNERS_TOPIC, failure.text);
  }
  self->said_at[partition] = clock_monotonic_s();
  arena_reset(&self->arena);
}

/* Announces the partitions that are ready here and not known to be; if another instance announced
 * one since, it is announced again, a second later. */
static void say_ready(struct owners *self) {
  int32_t ready[VIEW_PARTITIONS_MAX];
  size_t count = runtime_ready_partitions(self->runtime, ready, VIEW_PARTITIONS_MAX);
  for (size_t i = 0; i < count; i++) {
    struct instance known;
    if (ready[i] >= self->count) continue;
    instances_find(self->instances, 0, ready[i], &known);
    bool own =
        strcmp(known.url, self->own.url) == 0 && strcmp(known.questions, self->own.questions) == 0;
    if (!own && clock_monotonic_s() >= self->said_at[ready[i]] + SAY_AGAIN_S) say(self, ready[i]);
  }
}

static void *run(void *user) {
  struct owners *self = user;
  while (!self->worker.ending) {
    say_ready(self);
    instances_read(self->instances, READ_MS);
  }
  return NULL;
}

struct owners *owners_open(const struct options *options, const struct processor *processor,
                           struct runtime *runtime, const struct instance *own,
                           struct failure *failure) {
  struct owners *self = xcalloc(1, sizeof *self);
  worker_init(&self->worker);
  self->processor = processor;
  self->runtime = runtime;
  self->own = *own;
  self->filters[0] = processor->name;
  self->codec = codec_new(&holdfast_schemas);
  self->count = runtime_input_partitions(runtime);
  self->said_at = xcalloc((size_t)self->count, sizeof *self->said_at);
  self->producer = kafka_producer_open(options, VIEW_OWNERS_TOPIC, failure);
  if (self->producer) self->instances = instances_open(options, self->filters, failure);
  if (!self->instances) {
    owners_close(self);
    return NULL;
  }
  worker_start(&self->worker, "owners", run, self);
  return self;
}

void owners_close(struct owners *self) {
  if (!self) return;
  worker_free(&self->worker);
  instances_close(self->instances);
  kafka_producer_close(self->producer);
  codec_free(self->codec);
  arena_free(&self->arena);
  free(self->said_at);
  free(self);
}

int32_t owners_partitions(const struct owners *self) {
  return self->count;
}

bool owners_find(struct owners *self, int32_t partition, char url[OWNER_URL_MAX]) {
  struct instance instance;
  instances_find(self->instances, 0, partition, &instance);
  memcpy(url, instance.url, OWNER_URL_MAX);
  return url[0] && strcmp(url, self->own.url) != 0;
}
