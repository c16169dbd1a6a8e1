#include "news.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/base/report.h"
#include "runtime/base/worker.h"
#include "runtime/kafka/io.h"
#include "runtime/record/codec.h"

#define TURN_MS 20   /* how late the end of a wait may be noticed */
#define AGAIN_MS 100 /* the same, while no broker answers */

struct news_reader {
  const struct options *options;
  struct waiting *waiting;
  struct events *events;
  bool begun; /* the events */
  struct kafka_reader *reader;
  struct codec *codec;
  struct worker worker;
  atomic_bool coming;
};

static void tell(struct news_reader *self, int32_t partition, const struct message *record,
                 struct arena *arena) {
  struct record decoded;
  char error[CODEC_ERROR_SIZE];
  if (record->fault || !codec_decode(self->codec, record->value, arena, &decoded, error)) return;
  if (decoded.type == RECORD_STATUS_CHANGED) {
    const struct status_changed *step = decoded.value;
    waiting_tell(self->waiting, step->reservation_id, &(struct news){.step = step});
    if (self->begun) events_push(self->events, partition, record->offset, step);
  } else if (decoded.type == RECORD_COMMAND_REFUSED) {
    const struct command_refused *refusal = decoded.value;
    struct str about = refusal->reservation_id.size ? refusal->reservation_id
                       : refusal->item_id.size      ? refusal->item_id
                                                    : refusal->sender_id;
    waiting_tell(self->waiting, about, &(struct news){.refusal = refusal});
  }
}

/* At the first moment at which everything there is was read. */
static void begin_events(struct news_reader *self) {
  int64_t from[EVENT_PARTITIONS_MAX];
  int32_t count = kafka_reader_partitions(self->reader);
  if (count > EVENT_PARTITIONS_MAX) return;
  for (int32_t p = 0; p < count; p++) from[p] = kafka_reader_end(self->reader, p);
  events_begin(self->events, from, count);
  self->begun = true;
}

/* News that were missed are not made up for: who waits asks the view too. */
static bool begin_again(struct news_reader *self) {
  struct failure failure;
  if (self->begun) events_begin(self->events, NULL, 0);
  self->begun = false;
  kafka_reader_close(self->reader);
  self->reader =
      kafka_reader_open(self->options, "reservation-events", -1, KAFKA_READ_END, &failure);
  if (!self->reader) report_warning("no news of reservations: %s", failure.text);
  return self->reader != NULL;
}

static void *read_news(void *user) {
  struct news_reader *self = user;
  struct arena arena = {0};
  int64_t expired_at = 0;
  while (!self->worker.ending) {
    struct message record;
    struct failure failure;
    int32_t partition;
    enum kafka_read read = kafka_reader_next(self->reader, TURN_MS, &partition, &record, &failure);
    if (read == KAFKA_READ_RECORD) tell(self, partition, &record, &arena);
    if (read == KAFKA_READ_AT_END && !self->begun) begin_events(self);
    arena_reset(&arena);
    /* Not before the end was reached once: until then nobody can listen. */
    self->coming = read == KAFKA_READ_AT_END || (self->coming && read != KAFKA_READ_FAILED);
    if (read == KAFKA_READ_FAILED) {
      report_warning("no news of reservations: %s", failure.text);
      while (!begin_again(self) && worker_pause(&self->worker, AGAIN_MS))
        waiting_expire(self->waiting, clock_monotonic_ms());
    }
    if (clock_monotonic_ms() < expired_at + TURN_MS) continue;
    expired_at = clock_monotonic_ms();
    waiting_expire(self->waiting, expired_at);
    events_tick(self->events, expired_at);
  }
  arena_free(&arena);
  return NULL;
}

struct news_reader *news_open(const struct options *options, struct waiting *waiting,
                              struct events *events, struct failure *failure) {
  struct news_reader *self = xcalloc(1, sizeof *self);
  *self = (struct news_reader){.options = options,
                               .waiting = waiting,
                               .events = events,
                               .codec = codec_new(&holdfast_schemas)};
  worker_init(&self->worker);
  self->reader = kafka_reader_open(options, "reservation-events", -1, KAFKA_READ_END, failure);
  if (!self->reader) {
    news_close(self);
    return NULL;
  }
  worker_start(&self->worker, "news", read_news, self);
  return self;
}

bool news_come(struct news_reader *self) {
  return self->coming;
}

void news_close(struct news_reader *self) {
  if (!self) return;
  worker_free(&self->worker);
  kafka_reader_close(self->reader);
  codec_free(self->codec);
  free(self);
}
