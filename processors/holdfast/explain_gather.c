/* The records about one reservation, in the order of time. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "explain.h"
#include "gen/records.h"
#include "runtime/base/murmur2.h"
#include "runtime/kafka/io.h"

struct str explain_text(const struct codec *codec, struct record record, struct str name) {
  const struct field *field = schema_field(codec_schemas(codec)->records[record.type], name);
  bool text = field && field->kind == FIELD_STRING && !field->array;
  return text ? *(const struct str *)((const char *)record.value + field->offset) : (struct str){0};
}

static bool is_about(const struct story *story, const struct happening *step) {
  if (str_equal(step->record.correlation_id, story->id)) return true;
  if (!step->readable) return str_equal(step->record.key, story->id);
  return str_equal(explain_text(story->codec, step->value, STR("reservation_id")), story->id);
}

static struct message keep(struct story *story, const struct message *record) {
  struct message copy = *record;
  struct str *texts[] = {&copy.key,    &copy.value,       &copy.correlation_id, &copy.causation,
                         &copy.source, &copy.traceparent, &copy.error,          &copy.produced_at};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (texts[i]->data) *texts[i] = arena_copy(&story->arena, *texts[i]);
  }
  return copy;
}

static void take(struct story *story, const char *topic, int32_t partition,
                 const struct message *record) {
  struct arena scratch = {0};
  char error[CODEC_ERROR_SIZE];
  struct happening step = {.topic = topic, .partition = partition, .record = *record, .took = -1};
  step.readable =
      record->value.data && codec_decode(story->codec, record->value, &scratch, &step.value, error);
  if (is_about(story, &step) && story->count < STEPS_MAX) {
    step.record = keep(story, record);
    if (step.readable)
      codec_decode(story->codec, step.record.value, &story->arena, &step.value, error);
    step.at = record->produced_at.size ? strtoll(step.record.produced_at.data, NULL, 10)
                                       : record->timestamp;
    story->steps[story->count++] = step;
  }
  arena_free(&scratch);
}

struct gathering {
  struct story *story;
  const char *topic;
};

static void gather_one(void *user, int32_t partition, const struct message *record) {
  const struct gathering *gathering = user;
  take(gathering->story, gathering->topic, partition, record);
}

/* The one partition that a key's records lie in. */
static bool gather(struct story *story, const char *topic, struct str key) {
  if (!key.size) return true;
  int32_t partitions = kafka_admin_partitions(story->admin, topic, &story->failure);
  if (partitions == 0)
    snprintf(story->failure.text, sizeof story->failure.text,
             "the topic '%s' does not exist: are --brokers and --prefix those of the pipeline?",
             topic);
  if (partitions <= 0) return false;
  struct gathering gathering = {story, topic};
  return kafka_read_up_to(story->options, topic, murmur2_partition(key, partitions), -1, gather_one,
                          &gathering, &story->failure);
}

static void find_names(struct story *story) {
  for (size_t i = 0; i < story->count; i++) {
    const struct happening *step = &story->steps[i];
    if (!step->readable || step->value.type != RECORD_OPEN_RESERVATION) continue;
    const struct open_reservation *open = step->value.value;
    if (!story->item.size) story->item = open->item_id;
    if (!story->customer.size) story->customer = open->customer_id;
  }
}

static bool gather_topics(struct story *story) {
  static const char *const by_reservation[] = {
      "reservation-commands", "dead-letters", "payment-requests",
      "charge-requests",      "deadlines",    "payment-results"};
  static const char *const by_item[] = {"stock-requests", "reservation-outcomes"};
  for (size_t i = 0; i < sizeof by_reservation / sizeof *by_reservation; i++) {
    if (!gather(story, by_reservation[i], story->id)) return false;
  }
  find_names(story);
  for (size_t i = 0; i < sizeof by_item / sizeof *by_item; i++) {
    if (!gather(story, by_item[i], story->item)) return false;
  }
  return gather(story, "reservation-events", story->customer);
}

/* ---- order: each after its cause ---- */

static const struct happening *cause_of(const struct story *story, const struct happening *step) {
  char place[300];
  for (size_t i = 0; step->record.causation.size && i < story->count; i++) {
    const struct happening *one = &story->steps[i];
    int size = snprintf(place, sizeof place, "%s-%" PRId32 "-%" PRId64, one->topic, one->partition,
                        one->record.offset);
    if (str_equal((struct str){place, (size_t)size}, step->record.causation)) return one;
  }
  return NULL;
}

/* A record has the time of its cause, and whoever made it may have a clock behind. */
static void order_times(struct story *story) {
  for (int pass = 0; pass < 16; pass++) {
    for (size_t i = 0; i < story->count; i++) {
      struct happening *step = &story->steps[i];
      const struct happening *cause = cause_of(story, step);
      if (!cause) continue;
      step->depth = cause->depth + 1;
      if (step->at < cause->at) step->at = cause->at;
      step->took = step->at - cause->at;
    }
  }
}

static int by_time(const void *a, const void *b) {
  const struct happening *one = a, *other = b;
  if (one->at != other->at) return one->at < other->at ? -1 : 1;
  if (one->depth != other->depth) return one->depth - other->depth;
  return one->record.offset < other->record.offset ? -1 : one->record.offset > other->record.offset;
}

bool explain_gather(struct story *story) {
  bool fine = gather_topics(story);
  order_times(story);
  qsort(story->steps, story->count, sizeof *story->steps, by_time);
  return fine;
}
