/* What a decision sees of its batch: rows, outputs, and nothing of Kafka or RocksDB. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "runtime/record/binary.h"
#include "runtime/record/json.h"
#include "runtime/base/report.h"
#include "runtime/base/murmur2.h"
#include "runtime/base/mutant.h"
#include "runtime/core/internal.h"
#include "runtime/base/text.h"

#define WARNING_PAUSE_MS 1000

void *scratch(struct context *context, size_t size) {
  return arena_zalloc(&context->runtime->arena, size);
}

struct str scratch_format(struct context *context, const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return arena_copy(&context->runtime->arena, str_of(text));
}

struct str row_key(struct context *context, const struct row_kind *kind, const struct str *parts,
                   size_t count) {
  size_t size = 1;
  for (size_t i = 0; i < count; i++) size += parts[i].size + (i > 0);
  char *key = scratch(context, size), *at = key;
  *at++ = kind->prefix;
  for (size_t i = 0; i < count; i++) {
    if (i > 0) *at++ = '\0';
    if (parts[i].size) memcpy(at, parts[i].data, parts[i].size);
    at += parts[i].size;
  }
  return (struct str){key, size};
}

struct str scratch_hex(struct context *context, uint64_t number) {
  char *text = arena_alloc(&context->runtime->arena, TEXT_HEX_SIZE);
  text_hex(text, number);
  return (struct str){text, TEXT_HEX_SIZE};
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

/* "filter/number" of an event's output. */
static struct str source_of(struct runtime *runtime, int number) {
  struct str name = str_of(runtime->processor->name);
  char *text = arena_alloc(&runtime->arena, name.size + 1 + TEXT_NUMBER_MAX);
  char *at = text_put(text, name);
  *at++ = '/';
  at = text_number(at, number);
  return (struct str){text, (size_t)(at - text)};
}

const struct row_kind *row_kind_of(const struct processor *processor, struct str key) {
  for (const struct row_kind *kind = processor->rows; kind && kind->name; kind++) {
    if (key.size && kind->prefix == key.data[0]) return kind;
  }
  for (const struct row_kind *kind = expiry_rows; kind->name; kind++) {
    if (key.size && kind->prefix == key.data[0]) return kind;
  }
  return NULL;
}

static const void *row_field(struct runtime *runtime, const struct row_kind *kind, const void *row,
                             const char *name) {
  const struct record_desc *record = codec_schemas(runtime->codec)->records[kind->type];
  const struct field *field = schema_field(record, str_of(name));
  return field ? (const char *)row + field->offset : NULL;
}

static int64_t long_field(struct runtime *runtime, const struct row_kind *kind, const void *row,
                          const char *name) {
  if (!name || !row) return 0;
  const int64_t *value = row_field(runtime, kind, row, name);
  if (!value) abort(); /* a declaration that names no field */
  return *value;
}

int64_t row_due_at(struct runtime *runtime, const struct row_kind *kind, const void *row) {
  return long_field(runtime, kind, row, kind->due_field);
}

int64_t row_settled_at(struct runtime *runtime, const struct row_kind *kind, const void *row) {
  return long_field(runtime, kind, row, kind->settled_field);
}

/* A damaged row is not an input to be refused: the store or the changelog is broken. */
static const void *row_decode(struct runtime *runtime, const struct row_kind *kind,
                              struct str bytes, char *error) {
  struct record record;
  if (!codec_decode(runtime->codec, bytes, &runtime->arena, &record, error)) return NULL;
  if (record.type == kind->type) return record.value;
  snprintf(error, CODEC_ERROR_SIZE, "another record than the '%s' that belongs there", kind->name);
  return NULL;
}

bool row_bytes_due(struct runtime *runtime, struct str key, struct str value, int64_t *due_at) {
  *due_at = 0;
  const struct row_kind *kind = row_kind_of(runtime->processor, key);
  if (!kind || !kind->due_field || !value.data) return true;
  char error[CODEC_ERROR_SIZE];
  const void *row = row_decode(runtime, kind, value, error);
  if (!row) return false;
  *due_at = row_due_at(runtime, kind, row);
  return true;
}

/* Of the record, if one caused this; else nothing could be passed over, and the program is at
 * fault. */
static void too_large(struct context *context, const char *topic) {
  static const char why[] = "an output would be larger than a record may be";
  const struct log_record *record = context->record;
  struct runtime *runtime = context->runtime;
  if (context->status != LOG_OK) return;
  context->status = LOG_FATAL;
  if (record) {
    context->status = fault_found(runtime, record->partition, record->offset, topic, why);
  } else {
    runtime_fail(runtime, EX_SOFTWARE, "%s: %s", topic, why);
  }
}

/* Deciding on without the row would be deciding wrongly. */
static const void *must_decode(struct runtime *runtime, const struct row_kind *kind,
                               struct str bytes) {
  char error[CODEC_ERROR_SIZE];
  const void *row = row_decode(runtime, kind, bytes, error);
  if (row) return row;
  report_error(
      "a row of the store is damaged: %s; remove the state directory, it is rebuilt from the "
      "changelog",
      error);
  _exit(EX_DATAERR);
}

static const void *read_row(struct context *context, const struct row_kind *kind, struct str key) {
  struct runtime *runtime = context->runtime;
  struct str bytes = store_get(runtime->store, context->partition->id, key, &runtime->arena);
  return bytes.data ? must_decode(runtime, kind, bytes) : NULL;
}

const void *row_get(struct context *context, const struct row_kind *kind, struct str key) {
  struct staged *entry =
      staging_entry(&context->runtime->staging, ROWS_GROUP, context->partition->id, key);
  if (MUTANT("own-writes-unseen") && entry->changed) return read_row(context, kind, key);
  if (!entry->known) entry->row = read_row(context, kind, key);
  entry->known = true;
  return entry->row;
}

void row_want(struct context *context, struct str key) {
  staging_entry(&context->runtime->staging, ROWS_GROUP, context->partition->id, key);
}

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
    entry->row = must_decode(wanted->runtime,
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

/* The struct is kept as it is now, in the arena: a row that is put again is another struct, and
 * what was read of the former stays as it was. */
static struct staged *stage(struct context *context, int group, struct str key, int type,
                            const void *value) {
  struct runtime *runtime = context->runtime;
  struct staged *entry = staging_entry(&runtime->staging, group, context->partition->id, key);
  size_t size = value ? codec_schemas(runtime->codec)->records[type]->size : 0;
  entry->row = value ? memcpy(arena_alloc(&runtime->arena, size), value, size) : NULL;
  entry->type = type;
  entry->change = (struct change){.key = entry->change.key};
  entry->known = entry->changed = true;
  entry->timestamp = context->event->time;
  entry->cause = context->record ? context->record->offset : -1;
  return entry;
}

/* The row as it is put, its settling noted. */
static const void *with_settled(struct context *context, const struct row_kind *kind,
                                struct str key, const void *row) {
  struct runtime *runtime = context->runtime;
  int64_t settled_at = row_settled_at(runtime, kind, row), said = settled_at;
  if (settled_at == 0) return row;
  expiry_settle(context, key, row_settled_at(runtime, kind, row_get(context, kind, key)),
                &settled_at);
  if (settled_at == said) return row;
  size_t size = codec_schemas(runtime->codec)->records[kind->type]->size;
  char *raised = memcpy(scratch(context, size), row, size);
  ptrdiff_t offset =
      (const char *)row_field(runtime, kind, row, kind->settled_field) - (const char *)row;
  memcpy(raised + offset, &settled_at, sizeof settled_at);
  return raised;
}

void row_put(struct context *context, const struct row_kind *kind, struct str key,
             const void *row) {
  struct runtime *runtime = context->runtime;
  if (kind->settled_field) row = with_settled(context, kind, key, row);
  struct staged *entry = stage(context, ROWS_GROUP, key, kind->type, row);
  entry->change.due_at = row_due_at(runtime, kind, row);
  if (runtime->processor->input_is_changelog) /* as it came: a restore makes the same rows */
    entry->change.value = arena_copy(&runtime->arena, context->record->value);
}

void row_delete(struct context *context, const struct row_kind *kind, struct str key) {
  stage(context, ROWS_GROUP, key, kind ? kind->type : -1, NULL);
}

void context_produce(struct context *context, struct log_output *output) {
  struct runtime *runtime = context->runtime;
  output->timestamp = context->event->time;
  output->correlation_id = context->correlation_id.size ? context->correlation_id : output->key;
  output->causation = context->causation;
  output->source = source_of(runtime, context->number++);
  output->traceparent = context->event->traceparent;
  atomic_fetch_add_explicit(&runtime->metrics.outputs, 1, memory_order_relaxed);
  enum log_status status = log_produce(runtime->log, output);
  if (status != LOG_OK && context->status == LOG_OK) context->status = status;
}

void emit(struct context *context, size_t output, struct str key, int type, const void *value) {
  struct runtime *runtime = context->runtime;
  const struct output *to = &runtime->processor->outputs[output];
  if (to->table) {
    stage(context, (int)output, key, type, value);
    return;
  }
  struct str bytes = codec_encode(runtime->codec, (struct record){type, value}, &runtime->arena);
  if (!bytes.data) return too_large(context, to->topic);
  struct log_output out = {
      .topic = runtime->output_topics[output], .partition = -1, .key = key, .value = bytes};
  context_produce(context, &out);
}

void warn(struct context *context, const char *format, ...) {
  struct runtime *runtime = context->runtime;
  int64_t since = runtime->batch_time - runtime->warned_at;
  if (since >= 0 && since < WARNING_PAUSE_MS) return;
  runtime->warned_at = runtime->batch_time;
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  report_warning("partition %" PRId32 ", at %.*s: %s", context->partition->id,
                 STR_ARGS(context->causation), text);
}

void call_world(struct context *context, struct str key) {
  struct runtime *runtime = context->runtime;
  runtime->calls = xgrow(runtime->calls, &runtime->call_capacity, runtime->call_count + 1,
                         sizeof *runtime->calls);
  runtime->calls[runtime->call_count++] = (struct pending_call){context->partition->id, key};
}

bool call_fits(struct context *context) {
  struct runtime *runtime = context->runtime;
  runtime->places_used = runtime->call_count >= runtime->places;
  return !runtime->places_used;
}

/* ---- events ---- */

static bool accepted(const struct processor *processor, int type) {
  for (const int *accepts = processor->accepts; *accepts >= 0; accepts++) {
    if (*accepts == type) return true;
  }
  return false;
}

static enum log_status decide(struct context *context, struct event *event) {
  context->event = event;
  struct runtime *runtime = context->runtime;
  if (runtime->processor->wants_now) event->now = runtime->batch_time;
  if (runtime->settles) expiry_begin(context, event);
  runtime->processor->decide(context, event);
  if (runtime->settles) expiry_end(context);
  return context->status;
}

/* Only others write past the partitioner: what filters write for each other lies where it belongs,
 * or where its input lay. */
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

/* What a producer says in a header goes into every record that follows, and a trace into rows: it
 * must be text, and short, or one that is neither would stop a filter behind this one. */
static struct str passed_on(struct str header) {
  return header.size <= HEADER_SIZE_MAX && utf8_valid(header) ? header : (struct str){0};
}

void context_take_headers(struct log_record *record) {
  record->traceparent = passed_on(record->traceparent);
  record->correlation_id = passed_on(record->correlation_id);
  if (!record->correlation_id.size) record->correlation_id = passed_on(record->key);
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

enum log_status decide_record(struct runtime *runtime, struct partition *partition,
                              const struct log_record *record, struct event *event) {
  struct context context = {.runtime = runtime, .partition = partition, .record = record};
  context.causation = place_of(runtime, record);
  context.correlation_id = record->correlation_id.size ? record->correlation_id : context.causation;
  atomic_fetch_add_explicit(&runtime->metrics.records, 1, memory_order_relaxed);
  char error[CODEC_ERROR_SIZE];
  if (record->fault) return fault_answer(&context, record->fault);
  if (fault_is_of(runtime, record)) return fault_answer(&context, runtime->fault.reason);
  if (!record->value.data) {
    if (!runtime->processor->input_is_changelog)
      return fault_answer(&context, "a record without a value");
    row_delete(&context, NULL, arena_copy(&runtime->arena, record->key));
    return LOG_OK;
  }
  if (!event->value && !decode(runtime, record, event, error)) return fault_answer(&context, error);
  event->place = context.causation;
  return decide(&context, event);
}

/* What a row that waits has kept of what made it wait. */
static struct str kept_text(struct runtime *runtime, const struct row_kind *kind, const void *row,
                            const char *name) {
  const struct str *text = row_field(runtime, kind, row, name);
  return text && text->size ? *text : (struct str){0};
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

enum log_status decide_due(struct runtime *runtime, struct partition *partition, struct str key,
                           int64_t due_at) {
  struct context context = {.runtime = runtime, .partition = partition};
  struct event event = {.source = EVENT_DUE, .key = key, .time = runtime->batch_time};
  context.causation =
      arena_format(&runtime->arena, "due-%" PRId32 "-%" PRId64, partition->id, due_at);
  event.place = context.causation;
  const void *row = event_row(runtime, &context, &event);
  if (!row || (row_due_at(runtime, row_kind_of(runtime->processor, key), row) != due_at &&
               !MUTANT("due-index-trusted")))
    return LOG_OK; /* the index is older than the row */
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
