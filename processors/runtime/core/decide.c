/* Events: a batch's records, the rows that are wanted for them, and the decision of each. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "runtime/base/murmur2.h"
#include "runtime/base/mutant.h"
#include "runtime/base/text.h"
#include "runtime/core/internal.h"
#include "runtime/record/binary.h"

/* ---- records ---- */

static bool accepted(const struct processor *processor, int type) {
  for (const int *accepts = processor->accepts; *accepts >= 0; accepts++) {
    if (*accepts == type) return true;
  }
  return false;
}

/* Only others write past the partitioner: a filter's record for another filter lies where it
 * belongs, or where its input lay. */
static bool is_misplaced(const struct runtime *runtime, const struct log_record *record) {
  return runtime->processor->open_input &&
         record->partition != murmur2_partition(record->key, runtime->input_partitions);
}

/* The record as an event. False: why it is none. */
static bool decode(struct runtime *runtime, const struct log_record *record, struct event *event,
                   char *error) {
  struct record decoded;
  if (!codec_decode(runtime->codec, record->value, &runtime->arena, &decoded, error)) return false;
  if (!accepted(runtime->processor, decoded.type)) {
    snprintf(error, CODEC_ERROR_SIZE, "a %s does not belong on this topic",
             codec_schemas(runtime->codec)->records[decoded.type]->name);
    return false;
  }
  *event = (struct event){.source = EVENT_RECORD,
                          .type = decoded.type,
                          .value = decoded.value,
                          .key = record->key,
                          .time = record->timestamp,
                          .misplaced = is_misplaced(runtime, record),
                          .traceparent = record->traceparent,
                          .correlation_id = str_equal(record->correlation_id, record->key)
                                                ? (struct str){0}
                                                : record->correlation_id,
                          .cause = record->causation};
  return true;
}

/* A producer's header goes into every record that follows, and a trace into rows: it must be a
 * short text, or it would stop a filter behind this one. */
static struct str passed_on(struct str header) {
  return header.size <= HEADER_SIZE_MAX && utf8_valid(header) ? header : (struct str){0};
}

void context_take_headers(struct log_record *record) {
  record->traceparent = passed_on(record->traceparent);
  record->correlation_id = passed_on(record->correlation_id);
  if (!record->correlation_id.size) record->correlation_id = passed_on(record->key);
}

/* ---- the rows that are wanted ---- */

static int by_place(const void *a, const void *b) {
  const struct staged *x = *(struct staged *const *)a, *y = *(struct staged *const *)b;
  if (x->partition != y->partition) return x->partition < y->partition ? -1 : 1;
  return str_compare(x->change.key, y->change.key);
}

struct wanted {
  struct runtime *runtime;
  struct staged **entries;
};

static void take_wanted(void *user, size_t number, struct str bytes) {
  const struct wanted *wanted = user;
  struct staged *entry = wanted->entries[number];
  entry->known = true;
  if (bytes.data)
    entry->row = row_must_decode(wanted->runtime,
                                 row_kind_of(wanted->runtime->processor, entry->change.key), bytes);
}

/* Reads what was wanted, in the order in which it lies in the store. */
static void read_wanted(struct runtime *runtime) {
  struct staging *staging = &runtime->staging;
  struct wanted wanted = {
      .runtime = runtime,
      .entries = arena_alloc(&runtime->arena, staging->count * sizeof(struct staged *))};
  size_t count = 0;
  for (size_t i = 0; i < staging->count; i++) {
    if (!staging->entries[i].known) wanted.entries[count++] = &staging->entries[i];
  }
  if (count) qsort(wanted.entries, count, sizeof(struct staged *), by_place);
  struct store_place *places = arena_alloc(&runtime->arena, count * sizeof *places);
  for (size_t i = 0; i < count; i++)
    places[i] = (struct store_place){wanted.entries[i]->partition, wanted.entries[i]->change.key};
  store_get_many(runtime->store, places, count, take_wanted, &wanted);
}

void prefetch_batch(struct runtime *runtime, struct event *events) {
  char error[CODEC_ERROR_SIZE];
  if (!runtime->processor->prefetch) return;
  for (size_t i = 0; i < runtime->batch_count; i++) {
    const struct log_record *record = &runtime->batch[i];
    struct context context = {.runtime = runtime,
                              .partition = partition_find(runtime, record->partition),
                              .record = record,
                              .event = &events[i]};
    if (record->value.data && decode(runtime, record, &events[i], error))
      runtime->processor->prefetch(&context, &events[i]);
  }
  read_wanted(runtime);
}

/* ---- faults ---- */

/* A record that cannot be processed, whatever is wrong with it: it cannot be fetched or read, or
 * its decision would produce something too large. On a topic that others write it becomes a dead
 * letter; on all others it stops the filter, with the place and the way out. */
static enum log_status answer_fault(struct context *context, const char *reason) {
  struct runtime *runtime = context->runtime;
  const struct log_record *record = context->record;
  if (MUTANT("dead-letter-swallowed") && runtime->processor->open_input) return LOG_OK;
  if (runtime->processor->open_input) {
    context->event = &(struct event){.time = record->timestamp, .traceparent = record->traceparent};
    dead_letter(context, reason);
    return context->status;
  }
  runtime->unreadable = true;
  runtime_fail(runtime, EX_CONFIG,
               "%s-%" PRId32 "@%" PRId64
               " cannot be processed: %s. Nothing is lost: the record stays, and this filter waits "
               "for a version that can process it, or for 'holdfast skip %s %" PRId32 " %" PRId64
               "'",
               runtime->processor->input, record->partition, record->offset, reason,
               runtime->processor->input, record->partition, record->offset);
  return LOG_FATAL;
}

/* ---- decisions ---- */

static enum log_status decide(struct context *context, struct event *event) {
  context->event = event;
  struct runtime *runtime = context->runtime;
  if (runtime->processor->wants_now) event->now = runtime->batch_time;
  if (runtime->settles) expiry_begin(context, event);
  runtime->processor->decide(context, event);
  if (runtime->settles) expiry_end(context);
  return context->status;
}

/* "topic-partition-offset" */
static struct str place_of(struct runtime *runtime, const struct log_record *record) {
  struct str topic = str_of(runtime->processor->input);
  char *text = arena_alloc(&runtime->arena, topic.size + 2 * (1 + TEXT_NUMBER_MAX));
  char *at = text_put(text, topic);
  *at++ = '-';
  at = text_number(at, record->partition);
  *at++ = '-';
  at = text_number(at, record->offset);
  return (struct str){text, (size_t)(at - text)};
}

enum log_status decide_record(struct runtime *runtime, struct partition *partition,
                              const struct log_record *record, struct event *event) {
  struct context context = {.runtime = runtime, .partition = partition, .record = record};
  context.causation = place_of(runtime, record);
  context.correlation_id = record->correlation_id.size ? record->correlation_id : context.causation;
  atomic_fetch_add_explicit(&runtime->metrics.records, 1, memory_order_relaxed);
  char error[CODEC_ERROR_SIZE];
  if (record->fault) return answer_fault(&context, record->fault);
  if (fault_is_of(runtime, record)) return answer_fault(&context, runtime->fault.reason);
  if (!record->value.data) {
    if (!runtime->processor->input_is_changelog)
      return answer_fault(&context, "a record without a value");
    row_delete(&context, NULL, arena_copy(&runtime->arena, record->key));
    return LOG_OK;
  }
  if (!event->value && !decode(runtime, record, event, error)) return answer_fault(&context, error);
  event->place = context.causation;
  return decide(&context, event);
}

/* A text that a row has kept of the event after which it waits. */
static struct str kept_text(struct runtime *runtime, const struct row_kind *kind, const void *row,
                            const char *name) {
  const struct record_desc *record = codec_schemas(runtime->codec)->records[kind->type];
  const struct field *field = schema_field(record, str_of(name));
  if (!field) return (struct str){0};
  const struct str *text = (const void *)((const char *)row + field->offset);
  return text->size ? *text : (struct str){0};
}

/* The row of an event that no record caused, as it stands now: NULL if it has gone. */
static const void *event_row(struct runtime *runtime, struct context *context,
                             struct event *event) {
  const struct row_kind *kind = row_kind_of(runtime->processor, event->key);
  context->event = event;
  event->type = kind ? kind->type : -1;
  event->value = kind ? row_get(context, kind, event->key) : NULL;
  if (!event->value) return NULL;
  event->traceparent = kept_text(runtime, kind, event->value, "traceparent");
  context->correlation_id = kept_text(runtime, kind, event->value, "correlation_id");
  return event->value;
}

bool row_is_due(struct runtime *runtime, struct partition *partition, struct str key,
                int64_t due_at) {
  struct context context = {.runtime = runtime, .partition = partition};
  const struct row_kind *kind = row_kind_of(runtime->processor, key);
  const void *row = kind ? row_get(&context, kind, key) : NULL;
  return row && (row_due_at(kind, row) == due_at || MUTANT("due-index-trusted"));
}

enum log_status decide_due(struct runtime *runtime, struct partition *partition, struct str key,
                           int64_t due_at) {
  if (!row_is_due(runtime, partition, key, due_at)) return LOG_OK; /* the batch has changed it */
  struct context context = {.runtime = runtime, .partition = partition};
  struct event event = {.source = EVENT_DUE, .key = key, .time = runtime->batch_time};
  context.causation =
      arena_format(&runtime->arena, "due-%" PRId32 "-%" PRId64, partition->id, due_at);
  event.place = context.causation;
  event_row(runtime, &context, &event);
  atomic_fetch_add_explicit(&runtime->metrics.due_rows, 1, memory_order_relaxed);
  return decide(&context, &event);
}

enum log_status decide_answer(struct runtime *runtime, struct partition *partition, struct str key,
                              int answer) {
  struct context context = {.runtime = runtime, .partition = partition};
  struct event event = {
      .source = EVENT_ANSWER, .key = key, .time = runtime->batch_time, .answer = answer};
  context.causation = arena_format(&runtime->arena, "answer-%" PRId32 "-%" PRId64, partition->id,
                                   runtime->batch_time);
  event.place = context.causation;
  if (!event_row(runtime, &context, &event)) return LOG_OK;
  atomic_fetch_add_explicit(&runtime->metrics.answers, 1, memory_order_relaxed);
  return decide(&context, &event);
}
