#include "harness.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/report.h"

const struct processor *find_processor(const char *name) {
  for (const struct processor *const *p = all_processors; *p; p++) {
    if (strcmp((*p)->name, name) == 0) return *p;
  }
  fail_msg("no processor '%s'", name);
  return NULL;
}

static void open_with(struct harness *harness, const struct processor *processor,
                      int32_t partitions) {
  *harness = (struct harness){.cluster = memory_cluster_new(),
                              .codec = codec_new(&holdfast_schemas),
                              .processor = processor};
  report_as("test", LEVEL_ERROR);
  pipe_prepare(harness->cluster, harness->processor, partitions);
  harness->tail = tail_new(harness->cluster);
  for (const struct output *o = harness->processor->outputs; o && o->topic; o++)
    tail_add(harness->tail, o->topic);
  if (harness->processor->open_input) tail_add(harness->tail, "dead-letters");
  struct failure failure = {0};
  struct runtime_config config = {.processor = harness->processor,
                                  .tombstone_retention_ms = INT64_MAX};
  config.log = memory_log_open(harness->cluster, harness->processor->name,
                               harness->processor->input, harness->processor->changelog, 0);
  harness->log = config.log;
  harness->runtime = runtime_new(&config, &failure);
  if (!harness->runtime) fail_msg("%s", failure.text);
}

void harness_open(struct harness *harness, const char *processor) {
  open_with(harness, find_processor(processor), 1);
}

void harness_open_processor(struct harness *harness, const struct processor *processor) {
  open_with(harness, processor, 1);
}

void harness_open_on(struct harness *harness, const char *processor, int32_t partitions) {
  open_with(harness, find_processor(processor), partitions);
}

void harness_close(struct harness *harness) {
  runtime_free(harness->runtime);
  tail_free(harness->tail);
  codec_free(harness->codec);
  arena_free(&harness->arena);
  memory_cluster_free(harness->cluster);
}

static void add_text(struct harness *harness, const char *text) {
  size_t used = strlen(harness->out);
  snprintf(harness->out + used, sizeof harness->out - used, "%s", text);
}

static void add_record(struct harness *harness, const char *topic, const struct message *record) {
  static const char *const fields[] = {"command", "status",   "reason", "refusal", "kind",
                                       "hold",    "approved", "to",     "counted", "delivered"};
  if (harness->out[0]) add_text(harness, " ");
  if (strcmp(topic, "dead-letters") == 0) {
    struct str reason = arena_format(&harness->arena, "dead-letter(%.*s)", STR_ARGS(record->error));
    add_text(harness, reason.data);
    return;
  }
  json_t *line = line_json(harness->codec, topic, record), *value = json_object_get(line, "value");
  const char *type = json_string_value(json_object_get(value, "type")), *separator = "(";
  add_text(harness, type ? type : "null");
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    const json_t *field = json_object_get(value, fields[i]);
    const char *text =
        json_is_boolean(field) ? (json_is_true(field) ? "yes" : "no") : json_string_value(field);
    if (!text || !*text || strcmp(text, "NONE") == 0 || strcmp(text, "KEEP") == 0) continue;
    if (type && strcmp(type, "StockLevel") == 0) continue;
    add_text(harness, separator);
    add_text(harness, text);
    separator = ",";
  }
  if (*separator == ',') add_text(harness, ")");
  json_decref(line);
}

static const char *settle(struct harness *harness) {
  enum runtime_status status;
  do {
    status = runtime_step(harness->runtime, 5);
  } while (status == RUNTIME_BUSY ||
           (status == RUNTIME_IDLE && runtime_in_flight(harness->runtime)));
  harness->out[0] = '\0';
  if (status == RUNTIME_FAILED) {
    snprintf(harness->out, sizeof harness->out, "failed: %s",
             runtime_failure(harness->runtime)->text);
    return harness->out;
  }
  const char *topic;
  const struct message *record;
  while (tail_next(harness->tail, &topic, &record)) add_record(harness, topic, record);
  return harness->out[0] ? harness->out : "-";
}

const char *harness_bytes(struct harness *harness, const char *key, struct str bytes) {
  const struct message record = {.key = str_of(key), .value = bytes};
  memory_append(harness->cluster, harness->processor->input, 0, &record);
  return settle(harness);
}

static const char *send(struct harness *harness, int32_t partition, int64_t time, struct str key,
                        struct record record) {
  struct str bytes = codec_encode(harness->codec, record, &harness->arena);
  assert_non_null(bytes.data);
  const struct message in = {
      .timestamp = time, .key = key, .value = bytes, .causation = harness->cause};
  memory_cluster_set_time(harness->cluster, time);
  memory_append(harness->cluster, harness->processor->input, partition, &in);
  return settle(harness);
}

const char *harness_send(struct harness *harness, int64_t time, const char *key, int type,
                         const void *value) {
  return send(harness, 0, time, str_of(key), (struct record){type, value});
}

const char *harness_send_to(struct harness *harness, int32_t partition, int64_t time,
                            const char *key, int type, const void *value) {
  return send(harness, partition, time, str_of(key), (struct record){type, value});
}

const char *harness_json(struct harness *harness, int64_t time, const char *text) {
  char error[CODEC_ERROR_SIZE];
  struct record record;
  json_error_t reason;
  json_t *json = json_loads(text, 0, &reason);
  if (!json) fail_msg("%s: %s", text, reason.text);
  bool fine = record_from_json(&holdfast_schemas, json, &harness->arena, &record, error);
  json_decref(json);
  if (!fine) fail_msg("%s: %s", text, error);
  struct str key = command_key(record);
  return send(harness, 0, time, key.data ? key : STR("r"), record);
}

const char *harness_wait(struct harness *harness, int64_t time) {
  memory_cluster_set_time(harness->cluster, time);
  return settle(harness);
}

json_t *harness_row(struct harness *harness, const char *key) {
  struct str copy = arena_copy(&harness->arena, str_of(key));
  for (char *c = (char *)(uintptr_t)copy.data; *c; c++) {
    if (*c == '/') *c = '\0', c++;
  }
  struct str bytes = store_get(runtime_store(harness->runtime), 0, copy, &harness->arena);
  struct record record;
  char error[CODEC_ERROR_SIZE];
  if (!bytes.data) return NULL;
  if (!codec_decode(harness->codec, bytes, &harness->arena, &record, error)) fail_msg("%s", error);
  return record_to_json(&holdfast_schemas, record);
}
