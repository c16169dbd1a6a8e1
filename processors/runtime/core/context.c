/* A decision's side of its batch: rows, outputs, and nothing of Kafka or RocksDB. */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

#include "runtime/base/report.h"
#include "runtime/base/mutant.h"
#include "runtime/core/internal.h"
#include "runtime/base/text.h"

#define WARNING_PAUSE_MS 1000

/* A dead letter must always fit: the longest id is 64 bytes, the longest record that is read 64
 * KiB. */
#define KEY_KEPT ((size_t)1024)
#define VALUE_KEPT RECORD_SIZE_MAX

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

/* "filter/number" of an event's output. */
static struct str source_of(struct runtime *runtime, int number) {
  struct str name = str_of(runtime->processor->name);
  char *text = arena_alloc(&runtime->arena, name.size + 1 + TEXT_NUMBER_MAX);
  char *at = text_put(text, name);
  *at++ = '/';
  at = text_number(at, number);
  return (struct str){text, (size_t)(at - text)};
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

static const void *read_row(struct context *context, const struct row_kind *kind, struct str key) {
  struct runtime *runtime = context->runtime;
  struct str bytes = store_get(runtime->store, context->partition->id, key, &runtime->arena);
  return bytes.data ? row_must_decode(runtime, kind, bytes) : NULL;
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

/* The struct is kept as it is now, in the arena: a row that is put again is another struct, and a
 * pointer to the former still finds it as it was. */
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
  int64_t settled_at = row_settled_at(kind, row), said = settled_at;
  if (settled_at == 0) return row;
  expiry_settle(context, key, row_settled_at(kind, row_get(context, kind, key)), &settled_at);
  if (settled_at == said) return row;
  size_t size = codec_schemas(runtime->codec)->records[kind->type]->size;
  char *raised = memcpy(scratch(context, size), row, size);
  memcpy(raised + kind->settled_field.offset, &settled_at, sizeof settled_at);
  return raised;
}

void row_put(struct context *context, const struct row_kind *kind, struct str key,
             const void *row) {
  struct runtime *runtime = context->runtime;
  if (kind->settled_field.is) row = with_settled(context, kind, key, row);
  struct staged *entry = stage(context, ROWS_GROUP, key, kind->type, row);
  entry->change.due_at = row_due_at(kind, row);
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

/* ---- dead letters ---- */

/* "3000000 bytes, sha256 ..." of a text that is not kept whole. SHA-256, so that nobody can make
 * another record that passes for the one that was sent, and any shell can compare. */
static struct str describe(struct arena *arena, struct str whole) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  char text[2 * EVP_MAX_MD_SIZE + 1] = "";
  unsigned int size = 0;
  if (!EVP_Digest(whole.data, whole.size, hash, &size, EVP_sha256(), NULL)) size = 0;
  for (unsigned int i = 0; i < size; i++) snprintf(text + (size_t)2 * i, 3, "%02x", hash[i]);
  return arena_format(arena, "%zu bytes, sha256 %s", whole.size, text);
}

/* The part of the text that is kept. *whole: a description of the whole text, if the part is
 * shorter. */
static struct str cut(struct arena *arena, struct str text, size_t kept, struct str *whole) {
  if (text.size <= kept || MUTANT("dead-letter-whole")) return text;
  *whole = describe(arena, text);
  return (struct str){text.data, kept};
}

void dead_letter(struct context *context, const char *reason) {
  struct runtime *runtime = context->runtime;
  const struct log_record *record = context->record;
  atomic_fetch_add_explicit(&runtime->metrics.dead_letters, 1, memory_order_relaxed);
  report_warning("%s-%" PRId32 "@%" PRId64 " goes to dead-letters: %s", runtime->processor->input,
                 record->partition, record->offset, reason);
  struct log_output out = {
      .topic = runtime->dead_letters_topic, .partition = -1, .error = str_of(reason)};
  out.key = cut(&runtime->arena, record->key, KEY_KEPT, &out.whole_key);
  out.value = cut(&runtime->arena, record->value, VALUE_KEPT, &out.whole_value);
  context_produce(context, &out);
}

/* ---- warnings and calls ---- */

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
  bool answer = context->event->source == EVENT_ANSWER;
  size_t taken = runtime->call_count + (answer ? runtime->due_rows : 0);
  bool fits = taken < runtime->places;
  if (!fits && !answer) runtime->due_without_place = true;
  return fits;
}
