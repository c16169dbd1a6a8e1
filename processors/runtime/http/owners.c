#include "runtime/http/owners.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/contract/view.h"
#include "runtime/kafka/io.h"
#include "runtime/base/report.h"
#include "gen/records.h"

#define TOPIC VIEW_OWNERS_TOPIC
#define READ_MS 50
#define SAY_AGAIN_S 1

struct owner {
  char url[OWNER_URL_MAX]; /* as was read last */
  int64_t said_at;         /* by this instance, seconds; 0: not said */
};

struct owners {
  const struct processor *processor;
  struct runtime *runtime;
  char url[OWNER_URL_MAX];
  struct kafka_producer *producer;
  struct kafka_reader *reader;
  struct codec *codec;
  struct arena arena;
  pthread_t thread;
  pthread_mutex_t lock;
  atomic_bool stopping;
  int32_t count;
  struct owner *owners;
};

/* As one that is killed: the loop may be anywhere. A view that may not speak with its other instances
 * would seem well, and answer for a part of its partitions. */
static void end_if_denied(const struct failure *failure) {
  if (failure->exit_code != EX_CONFIG) return;
  report_error("%s", failure->text);
  _exit(EX_CONFIG);
}

static void say(struct owners *self, int32_t partition) {
  struct failure failure;
  size_t delivered;
  struct view_owner owner = {
      .filter = str_of(self->processor->name), .partition = partition, .url = str_of(self->url)};
  char key[64];
  int size = snprintf(key, sizeof key, "%s%c%" PRId32, self->processor->name, 0, partition);
  struct str value =
      codec_encode(self->codec, (struct record){RECORD_VIEW_OWNER, &owner}, &self->arena);
  if (!kafka_producer_send(self->producer, (struct str){key, (size_t)size}, value, (struct str){0},
                           &failure) ||
      !kafka_producer_flush(self->producer, &delivered, &failure)) {
    end_if_denied(&failure);
    report_warning("%s: %s", TOPIC, failure.text);
  }
  self->owners[partition].said_at = clock_monotonic_s();
}

/* Announces the partitions that are ready here and not known to be; if another instance announced
 * one since, it is announced again, a second later. */
static void say_ready(struct owners *self) {
  int32_t ready[VIEW_PARTITIONS_MAX];
  size_t count = runtime_ready_partitions(self->runtime, ready, VIEW_PARTITIONS_MAX);
  for (size_t i = 0; i < count; i++) {
    if (ready[i] >= self->count) continue;
    struct owner *owner = &self->owners[ready[i]];
    bool known = strcmp(owner->url, self->url) == 0;
    if (!known && clock_monotonic_s() >= owner->said_at + SAY_AGAIN_S) say(self, ready[i]);
  }
}

static void hear(struct owners *self, const struct message *record) {
  char error[CODEC_ERROR_SIZE];
  struct record decoded;
  if (!codec_decode(self->codec, record->value, &self->arena, &decoded, error) ||
      decoded.type != RECORD_VIEW_OWNER)
    return;
  const struct view_owner *said = decoded.value;
  if (!str_equal(said->filter, str_of(self->processor->name)) || said->partition < 0 ||
      said->partition >= self->count)
    return;
  pthread_mutex_lock(&self->lock);
  snprintf(self->owners[said->partition].url, OWNER_URL_MAX, STR_FORMAT, STR_ARGS(said->url));
  pthread_mutex_unlock(&self->lock);
}

static void *run(void *user) {
  struct owners *self = user;
  while (!atomic_load(&self->stopping)) {
    struct failure failure;
    struct message record;
    int32_t partition;
    say_ready(self);
    enum kafka_read read = kafka_reader_next(self->reader, READ_MS, &partition, &record, &failure);
    if (read == KAFKA_READ_RECORD) hear(self, &record);
    if (read == KAFKA_READ_FAILED) end_if_denied(&failure);
    arena_reset(&self->arena);
  }
  return NULL;
}

struct owners *owners_open(const struct options *options, const struct processor *processor,
                           struct runtime *runtime, const char *url, struct failure *failure) {
  struct owners *self = xcalloc(1, sizeof *self);
  self->processor = processor;
  self->runtime = runtime;
  self->codec = codec_new(&holdfast_schemas);
  pthread_mutex_init(&self->lock, NULL);
  snprintf(self->url, sizeof self->url, "%s", url);
  self->count = runtime_input_partitions(runtime);
  self->owners = xcalloc((size_t)self->count, sizeof *self->owners);
  self->producer = kafka_producer_open(options, TOPIC, failure);
  if (self->producer)
    self->reader = kafka_reader_open(options, TOPIC, -1, KAFKA_READ_BEGINNING, failure);
  if (self->reader && pthread_create(&self->thread, NULL, run, self) == 0) return self;
  kafka_reader_close(self->reader);
  self->reader = NULL;
  owners_close(self);
  return NULL;
}

void owners_close(struct owners *self) {
  if (!self) return;
  if (self->reader) {
    atomic_store(&self->stopping, true);
    pthread_join(self->thread, NULL);
  }
  kafka_reader_close(self->reader);
  kafka_producer_close(self->producer);
  pthread_mutex_destroy(&self->lock);
  codec_free(self->codec);
  arena_free(&self->arena);
  free(self->owners);
  free(self);
}

int32_t owners_partitions(const struct owners *self) {
  return self->count;
}

bool owners_find(struct owners *self, int32_t partition, char url[OWNER_URL_MAX]) {
  pthread_mutex_lock(&self->lock);
  snprintf(url, OWNER_URL_MAX, "%s", self->owners[partition].url);
  pthread_mutex_unlock(&self->lock);
  return url[0] && strcmp(url, self->url) != 0;
}
