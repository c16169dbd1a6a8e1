#include "runtime/http/instances.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "gen/records.h"
#include "runtime/base/report.h"
#include "runtime/contract/view.h"
#include "runtime/kafka/io.h"
#include "runtime/record/codec.h"

#define PAUSE_US 50000 /* after a reading that failed: librdkafka tries again by itself */

struct table {
  struct instance *instances; /* by partition; owned */
  size_t capacity;
  int32_t count;
};

struct instances {
  const char *const *filters;
  struct kafka_reader *reader;
  struct codec *codec;
  struct arena arena;
  pthread_mutex_t lock;
  struct table *tables; /* by filter; under the lock */
};

static void put(struct table *table, const struct view_owner *said) {
  if (said->partition >= table->count) {
    size_t need = (size_t)said->partition + 1;
    table->instances = xgrow(table->instances, &table->capacity, need, sizeof *table->instances);
    memset(&table->instances[table->count], 0,
           (need - (size_t)table->count) * sizeof *table->instances);
    table->count = said->partition + 1;
  }
  struct instance *instance = &table->instances[said->partition];
  snprintf(instance->url, OWNER_URL_MAX, STR_FORMAT, STR_ARGS(said->url));
  snprintf(instance->questions, OWNER_URL_MAX, STR_FORMAT, STR_ARGS(said->questions));
}

static void hear(struct instances *self, const struct message *record) {
  char error[CODEC_ERROR_SIZE];
  struct record decoded;
  if (record->fault || !codec_decode(self->codec, record->value, &self->arena, &decoded, error) ||
      decoded.type != RECORD_VIEW_OWNER)
    return;
  const struct view_owner *said = decoded.value;
  if (said->partition < 0 || said->partition >= VIEW_PARTITIONS_MAX) return;
  for (size_t i = 0; self->filters[i]; i++) {
    if (!str_equal(said->filter, str_of(self->filters[i]))) continue;
    pthread_mutex_lock(&self->lock);
    put(&self->tables[i], said);
    pthread_mutex_unlock(&self->lock);
  }
}

void instances_end_if_denied(const struct failure *failure) {
  if (failure->exit_code != EX_CONFIG) return;
  report_error("%s", failure->text);
  _exit(EX_CONFIG);
}

bool instances_read(struct instances *self, int timeout_ms) {
  struct failure failure;
  struct message record;
  int32_t partition;
  enum kafka_read read = kafka_reader_next(self->reader, timeout_ms, &partition, &record, &failure);
  if (read == KAFKA_READ_RECORD) hear(self, &record);
  if (read == KAFKA_READ_FAILED) {
    instances_end_if_denied(&failure);
    usleep(PAUSE_US);
  }
  arena_reset(&self->arena);
  return read == KAFKA_READ_AT_END;
}

void instances_find(struct instances *self, size_t filter, int32_t partition,
                    struct instance *out) {
  *out = (struct instance){0};
  pthread_mutex_lock(&self->lock);
  const struct table *table = &self->tables[filter];
  if (partition < table->count) *out = table->instances[partition];
  pthread_mutex_unlock(&self->lock);
}

int32_t instances_partitions(struct instances *self, size_t filter) {
  pthread_mutex_lock(&self->lock);
  int32_t count = self->tables[filter].count;
  pthread_mutex_unlock(&self->lock);
  return count;
}

struct instances *instances_open(const struct options *options, const char *const *filters,
                                 struct failure *failure) {
  struct instances *self = xcalloc(1, sizeof *self);
  size_t count = 0;
  while (filters[count]) count++;
  self->filters = filters;
  self->tables = xcalloc(count, sizeof *self->tables);
  self->codec = codec_new(&holdfast_schemas);
  pthread_mutex_init(&self->lock, NULL);
  self->reader = kafka_reader_open(options, VIEW_OWNERS_TOPIC, -1, KAFKA_READ_BEGINNING, failure);
  if (self->reader) return self;
  instances_close(self);
  return NULL;
}

void instances_close(struct instances *self) {
  if (!self) return;
  kafka_reader_close(self->reader);
  for (size_t i = 0; self->filters[i]; i++) free(self->tables[i].instances);
  free(self->tables);
  pthread_mutex_destroy(&self->lock);
  codec_free(self->codec);
  arena_free(&self->arena);
  free(self);
}
