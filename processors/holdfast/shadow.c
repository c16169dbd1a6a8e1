#include "shadow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "runtime/kafka/io.h"
#include "runtime/memory/replay.h"
#include "runtime/core/runtime.h"

#define PATIENCE_POLLS 200
#define POLL_MS 100

struct playback {
  const struct shadow *shadow;
  struct kafka_reader *reader;
  struct failure failure; /* exit_code 0: none */
};

const char *shadow_refuses(const struct processor *processor) {
  if (processor->world) return "its outputs are the world's answers";
  for (const struct row_kind *row = processor->rows; row && row->name; row++) {
    if (row->due_field.is) return "its outputs come when the clock says so";
  }
  return NULL;
}

static struct str keep(char **at, struct str text) {
  if (!text.data) return text;
  struct str copy = {*at, text.size};
  if (text.size) memcpy(*at, text.data, text.size);
  *at += text.size;
  return copy;
}

/* The reader's record is gone at its next one; a batch is longer than that. */
static void copy(const struct message *from, int32_t partition, struct log_record *to) {
  size_t size = from->key.size + from->value.size + from->correlation_id.size +
                from->causation.size + from->traceparent.size;
  char *bytes = xmalloc(size + 1);
  *to = (struct log_record){.partition = partition,
                            .offset = from->offset,
                            .timestamp = from->timestamp,
                            .fault = from->fault,
                            .size = size,
                            .owner = bytes};
  to->key = keep(&bytes, from->key);
  to->value = keep(&bytes, from->value);
  to->correlation_id = keep(&bytes, from->correlation_id);
  to->causation = keep(&bytes, from->causation);
  to->traceparent = keep(&bytes, from->traceparent);
}

static bool next(void *user, struct log_record *out) {
  struct playback *playback = user;
  const struct shadow *shadow = playback->shadow;
  for (int polls = 0; polls < PATIENCE_POLLS; polls++) {
    struct message record;
    int32_t partition;
    enum kafka_read read =
        kafka_reader_next(playback->reader, POLL_MS, &partition, &record, &playback->failure);
    if (read == KAFKA_READ_FAILED) return false;
    if (read == KAFKA_READ_AT_END &&
        kafka_reader_end(playback->reader, shadow->partition) >= shadow->to)
      return false;
    if (read != KAFKA_READ_RECORD) continue;
    if (record.offset >= shadow->to) return false;
    copy(&record, partition, out);
    if (shadow->progress) shadow->progress(shadow->user, record.offset);
    return true;
  }
  playback->failure.exit_code = EX_TEMPFAIL;
  snprintf(playback->failure.text, sizeof playback->failure.text,
           "'%s' partition %" PRId32 " does not come to offset %" PRId64
           ": is a transaction open there?",
           shadow->processor->input, shadow->partition, shadow->to);
  return false;
}

static void hand_over(void *user, const char *topic, const struct log_output *output) {
  const struct shadow *shadow = ((struct playback *)user)->shadow;
  if (shadow->output) shadow->output(shadow->user, topic, output);
}

static bool play(struct playback *playback, struct log *log, struct failure *failure) {
  const struct shadow *shadow = playback->shadow;
  struct runtime_config config = {.processor = shadow->processor,
                                  .log = log,
                                  .store = shadow->store,
                                  .tombstone_retention_ms = INT64_MAX};
  struct runtime *runtime = runtime_new(&config, failure);
  if (!runtime) return false;
  enum runtime_status status = RUNTIME_BUSY;
  while (status == RUNTIME_BUSY || (status == RUNTIME_IDLE && !replay_log_ended(log)))
    status = runtime_step(runtime, 0);
  bool fine = status == RUNTIME_IDLE;
  if (!fine) *failure = *runtime_failure(runtime);
  runtime_free(runtime);
  return fine;
}

bool shadow_run(const struct shadow *shadow, struct failure *failure) {
  struct store_meta meta;
  bool known = shadow->store && store_meta(shadow->store, shadow->partition, &meta);
  struct playback playback = {.shadow = shadow};
  playback.reader = kafka_reader_open(shadow->options, shadow->processor->input, shadow->partition,
                                      known ? meta.next_input : KAFKA_READ_BEGINNING, failure);
  if (!playback.reader) return false;
  const struct replay_callbacks callbacks = {.next = next, .output = hand_over, .user = &playback};
  struct log *log =
      replay_log_open(shadow->partition, shadow->partitions, known ? &meta : NULL, &callbacks);
  bool fine = play(&playback, log, failure);
  if (fine && playback.failure.exit_code) {
    *failure = playback.failure;
    fine = false;
  }
  kafka_reader_close(playback.reader);
  return fine;
}
