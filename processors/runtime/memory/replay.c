#include "runtime/memory/replay.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/arena.h"
#include "runtime/core/recovery.h"

#define TOPICS_MAX 16

struct log_replay {
  struct log log;
  const struct replay_callbacks *callbacks;
  int32_t partition, partition_count;
  struct store_meta at;
  int64_t next_changelog; /* changelog records are numbered, and go nowhere */
  int64_t now;            /* the clock is that of the records */
  bool assigned, resumed, ended;
  char *topics[TOPICS_MAX];
  int topic_count;
};

static struct log_replay *self_of(struct log *log) {
  return (struct log_replay *)log;
}

static void replay_close(struct log *log) {
  struct log_replay *self = self_of(log);
  for (int i = 0; i < self->topic_count; i++) free(self->topics[i]);
  free(self);
}

static enum log_status fine(struct log *log) {
  (void)log;
  return LOG_OK;
}

static void replay_poll(struct log *log, int timeout_ms, struct log_event *event) {
  (void)timeout_ms;
  struct log_replay *self = self_of(log);
  *event = (struct log_event){.kind = LOG_IDLE};
  if (!self->assigned) {
    self->assigned = true;
    event->kind = LOG_ASSIGNED;
    event->partitions = &self->partition;
    event->partition_count = 1;
  } else if (self->resumed && !self->ended) {
    self->ended = !self->callbacks->next(self->callbacks->user, &event->record);
    if (self->ended) return;
    event->kind = LOG_RECORD;
    if (event->record.timestamp > self->now) self->now = event->record.timestamp;
  }
}

static void replay_release(struct log *log, struct log_record *record) {
  (void)log;
  free(record->owner);
  *record = (struct log_record){0};
}

static enum log_status replay_seek(struct log *log, int32_t partition, int64_t offset) {
  (void)partition;
  (void)offset;
  return fine(log);
}

static enum log_status replay_resume(struct log *log, int32_t partition) {
  (void)partition;
  self_of(log)->resumed = true;
  return LOG_OK;
}

static enum log_status replay_committed(struct log *log, int32_t partition,
                                        struct log_offset *out) {
  (void)partition;
  const struct store_meta *at = &self_of(log)->at;
  const struct commit_metadata metadata = {
      .epoch = at->epoch, .intent_id = "-", .last_changelog = at->next_changelog - 1};
  out->offset = at->next_input;
  commit_metadata_format(&metadata, out->metadata);
  return LOG_OK;
}

static enum log_status replay_produce(struct log *log, const struct log_output *output) {
  struct log_replay *self = self_of(log);
  if (output->landed) log_has_landed(output->landed, self->next_changelog++);
  self->callbacks->output(self->callbacks->user, self->topics[output->topic], output);
  return LOG_OK;
}

static enum log_status replay_send_offsets(struct log *log, const struct log_position *positions,
                                           size_t count) {
  (void)positions;
  (void)count;
  return fine(log);
}

static enum log_status replay_changelog_open(struct log *log, int32_t partition, int64_t from) {
  (void)partition;
  (void)from;
  return fine(log);
}

/* Never asked for a record: the store stands where the offsets do. */
static enum log_status replay_changelog_next(struct log *log, int32_t partition,
                                             struct log_record *out, int64_t *position) {
  (void)log;
  (void)partition;
  (void)out;
  (void)position;
  return LOG_AGAIN;
}

static void replay_changelog_close(struct log *log, int32_t partition) {
  (void)log;
  (void)partition;
}

/* All that the store at the beginning asks for is there. */
static enum log_status replay_bounds(struct log *log, enum log_source source, int32_t partition,
                                     int64_t *first, int64_t *end) {
  (void)partition;
  *first = 0;
  *end = source == LOG_INPUT ? self_of(log)->at.next_input : self_of(log)->next_changelog;
  return LOG_OK;
}

static int replay_topic(struct log *log, const char *name) {
  struct log_replay *self = self_of(log);
  if (self->topic_count == TOPICS_MAX) abort();
  self->topics[self->topic_count] = xstrdup(name);
  return self->topic_count++;
}

static int32_t replay_partition_count(struct log *log, int topic) {
  (void)topic;
  return self_of(log)->partition_count;
}

static int64_t replay_lag(struct log *log, int32_t partition) {
  (void)log;
  (void)partition;
  return 0;
}

static int64_t replay_now(struct log *log) {
  return self_of(log)->now;
}

static const struct log_class replay_class = {.close = replay_close,
                                              .init = fine,
                                              .join = fine,
                                              .poll = replay_poll,
                                              .release = replay_release,
                                              .seek = replay_seek,
                                              .resume = replay_resume,
                                              .committed = replay_committed,
                                              .begin = fine,
                                              .produce = replay_produce,
                                              .settle = fine,
                                              .send_offsets = replay_send_offsets,
                                              .commit = fine,
                                              .abort = fine,
                                              .changelog_open = replay_changelog_open,
                                              .changelog_next = replay_changelog_next,
                                              .changelog_close = replay_changelog_close,
                                              .bounds = replay_bounds,
                                              .topic = replay_topic,
                                              .partition_count = replay_partition_count,
                                              .lag = replay_lag,
                                              .now = replay_now};

struct log *replay_log_open(int32_t partition, int32_t partition_count, const struct store_meta *at,
                            const struct replay_callbacks *callbacks) {
  struct log_replay *self = xcalloc(1, sizeof *self);
  self->log.class = &replay_class;
  self->callbacks = callbacks;
  self->partition = partition;
  self->partition_count = partition_count;
  self->at = at ? *at : (struct store_meta){.epoch = 1};
  self->next_changelog = self->at.next_changelog;
  return &self->log;
}

bool replay_log_ended(const struct log *log) {
  return ((const struct log_replay *)log)->ended;
}
