#include "catch_up.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "event_text.h"
#include "events.h"
#include "runtime/base/report.h"
#include "runtime/base/worker.h"
#include "runtime/kafka/io.h"
#include "runtime/record/codec.h"

#define READY_MAX ((size_t)256 << 10)
#define POLL_MS 100

static atomic_int running;

struct catch_up {
  struct catch_up_task task;
  int64_t positions[EVENT_PARTITIONS_MAX], until[EVENT_PARTITIONS_MAX];
  struct worker worker; /* its lock is of what follows */
  char *ready;
  size_t size, capacity;
  bool over, whole;
};

static bool is_behind(const struct catch_up *self) {
  for (int32_t p = 0; p < self->task.partitions; p++) {
    if (self->positions[p] < self->until[p]) return true;
  }
  return false;
}

/* Waits while much is ready and not taken. False: it is to end. */
static bool add(struct catch_up *self, const char *text, size_t size) {
  worker_lock(&self->worker);
  while (self->size > READY_MAX && !self->worker.ending)
    worker_wait(&self->worker, WORKER_FOR_EVER);
  self->ready = xgrow(self->ready, &self->capacity, self->size + size, 1);
  memcpy(self->ready + self->size, text, size);
  self->size += size;
  worker_unlock(&self->worker);
  self->task.changed(self->task.user);
  return !self->worker.ending;
}

static bool take_record(struct catch_up *self, struct codec *codec, struct arena *arena,
                        int32_t partition, const struct message *record) {
  struct record decoded;
  char error[CODEC_ERROR_SIZE];
  int64_t *position = &self->positions[partition], until = self->until[partition];
  bool wanted = record->offset < until; /* the rest comes from memory */
  if (*position < until) *position = wanted ? record->offset + 1 : until;
  if (!wanted) return true;
  if (record->fault || !codec_decode(codec, record->value, arena, &decoded, error) ||
      decoded.type != RECORD_STATUS_CHANGED)
    return true;
  const struct status_changed *step = decoded.value;
  if (self->task.customer && !str_equal(step->customer_id, str_of(self->task.customer)))
    return true;
  size_t size;
  char id[EVENT_ID_SIZE(EVENT_PARTITIONS_MAX)], *text = event_text(step, &size);
  bool goes_on = add(self, id, event_id_write(id, self->positions, self->task.partitions)) &&
                 add(self, text + step->customer_id.size, size);
  free(text);
  return goes_on;
}

/* Markers of transactions at a partition's end are no records: its end counts as well. */
static bool read_all(struct catch_up *self, struct kafka_reader *reader) {
  struct codec *codec = codec_new(&holdfast_schemas);
  struct arena arena = {0};
  bool fine = true, at_end = false;
  while (fine && !at_end && is_behind(self) && !self->worker.ending) {
    struct message record;
    struct failure failure;
    int32_t partition;
    enum kafka_read read = kafka_reader_next(reader, POLL_MS, &partition, &record, &failure);
    if (read == KAFKA_READ_RECORD) fine = take_record(self, codec, &arena, partition, &record);
    if (read == KAFKA_READ_FAILED) fine = false;
    at_end = read == KAFKA_READ_AT_END;
    arena_reset(&arena);
  }
  arena_free(&arena);
  codec_free(codec);
  return fine;
}

static void *catch_up(void *user) {
  struct catch_up *self = user;
  struct failure failure = {0};
  struct kafka_reader *reader = kafka_reader_new(self->task.options, &failure);
  bool whole = reader &&
               kafka_reader_turn_to(reader, "reservation-events", self->positions, &failure) &&
               read_all(self, reader);
  if (failure.exit_code) report_warning("missed events cannot be read: %s", failure.text);
  kafka_reader_close(reader);
  worker_lock(&self->worker);
  self->over = true;
  self->whole = whole;
  worker_unlock(&self->worker);
  self->task.changed(self->task.user);
  return NULL;
}

struct catch_up *catch_up_begin(const struct catch_up_task *task, struct http_request *request) {
  int64_t records = 0;
  for (int32_t p = 0; p < task->partitions; p++)
    records += task->until[p] > task->from[p] ? task->until[p] - task->from[p] : 0;
  if (records > CATCH_UP_RECORDS_MAX) {
    http_problem(request, 410, "Too long ago",
                 "so many events came since that the reservations are read faster: GET "
                 "/customers/me/reservations, then listen anew");
    return NULL;
  }
  if (++running > CATCH_UPS_MAX) {
    running--;
    http_problem(request, 503, "Too much waits", "others read missed events now; ask again");
    return NULL;
  }
  struct catch_up *self = xcalloc(1, sizeof *self);
  self->task = *task;
  for (int32_t p = 0; p < task->partitions; p++) {
    self->positions[p] = task->from[p];
    self->until[p] = task->until[p];
  }
  worker_init(&self->worker);
  worker_start(&self->worker, "catch-up", catch_up, self);
  return self;
}

size_t catch_up_take(struct catch_up *self, char *out, size_t most) {
  worker_lock(&self->worker);
  size_t size = self->size < most ? self->size : most;
  if (size) memcpy(out, self->ready, size);
  if (size) memmove(self->ready, self->ready + size, self->size - size);
  self->size -= size;
  worker_wake(&self->worker);
  worker_unlock(&self->worker);
  return size;
}

bool catch_up_is_over(struct catch_up *self) {
  worker_lock(&self->worker);
  bool over = self->over && !self->size;
  worker_unlock(&self->worker);
  return over;
}

bool catch_up_is_whole(struct catch_up *self) {
  return self->whole;
}

void catch_up_end(struct catch_up *self) {
  if (!self) return;
  worker_free(&self->worker);
  free(self->ready);
  free(self);
  running--;
}
