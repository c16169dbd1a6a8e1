#include <stdio.h>
#include <stdlib.h>

#include "runtime/record/line.h"
#include "gen/records.h"

static void set_header(json_t *headers, const char *name, struct str value) {
  if (value.data) json_object_set_new(headers, name, json_text(value));
}

static json_t *undecodable(struct str value, const char *error) {
  return json_pack("{s:s,s:o}", "undecodable", error, "bytes", json_hex(value));
}

json_t *line_json(struct codec *codec, const char *topic, const struct message *record) {
  struct arena arena = {0};
  char error[CODEC_ERROR_SIZE];
  struct record decoded;
  json_t *value = NULL;
  if (record->fault) {
    value = undecodable(record->value, record->fault);
  } else if (!record->value.data) {
    value = json_null();
  } else if (codec_decode(codec, record->value, &arena, &decoded, error)) {
    value = record_to_json(codec_schemas(codec), decoded);
  } else {
    value = undecodable(record->value, error);
  }
  json_t *headers = json_object();
  set_header(headers, "correlation-id", record->correlation_id);
  set_header(headers, "causation", record->causation);
  set_header(headers, "source", record->source);
  set_header(headers, "traceparent", record->traceparent);
  set_header(headers, "produced-at", record->produced_at);
  set_header(headers, "error", record->error);
  set_header(headers, "whole-key", record->whole_key);
  set_header(headers, "whole-value", record->whole_value);
  arena_free(&arena);
  return json_pack("{s:s,s:o,s:I,s:o,s:o}", "topic", topic, "key",
                   record->key.data ? json_text(record->key) : json_null(), "timestamp",
                   (json_int_t)record->timestamp, "headers", headers, "value", value);
}

static struct str text_of(const json_t *json, struct arena *arena) {
  return json_is_string(json)
             ? arena_copy(arena, (struct str){json_string_value(json), json_string_length(json)})
             : (struct str){0};
}

static bool fill(struct codec *codec, const json_t *json, struct arena *arena, struct str *topic,
                 struct message *out, char *error) {
  const json_t *headers = json_object_get(json, "headers"), *value = json_object_get(json, "value");
  *topic = text_of(json_object_get(json, "topic"), arena);
  if (!topic->size) {
    snprintf(error, CODEC_ERROR_SIZE,
             "needs {\"topic\":...,\"key\":...,\"timestamp\":...,\"value\":{...}}; 'holdfast "
             "encode' makes such lines from commands");
    return false;
  }
  *out =
      (struct message){.key = text_of(json_object_get(json, "key"), arena),
                       .timestamp = json_integer_value(json_object_get(json, "timestamp")),
                       .correlation_id = text_of(json_object_get(headers, "correlation-id"), arena),
                       .causation = text_of(json_object_get(headers, "causation"), arena),
                       .source = text_of(json_object_get(headers, "source"), arena),
                       .traceparent = text_of(json_object_get(headers, "traceparent"), arena),
                       .error = text_of(json_object_get(headers, "error"), arena)};
  if (json_is_null(value) || json_object_get(value, "undecodable"))
    return true; /* passes through as it is */
  struct record record;
  if (!record_from_json(codec_schemas(codec), value, arena, &record, error)) return false;
  out->value = codec_encode(codec, record, arena);
  if (!out->value.data)
    snprintf(error, CODEC_ERROR_SIZE, "the record is larger than %zu bytes", RECORD_SIZE_MAX);
  return out->value.data != NULL;
}

bool line_parse(struct codec *codec, struct str text, struct arena *arena, struct str *topic,
                struct message *out, char *error) {
  json_error_t reason;
  json_t *json = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &reason);
  if (!json) {
    snprintf(error, CODEC_ERROR_SIZE, "not JSON at column %d: %.150s", reason.column, reason.text);
    return false;
  }
  bool fine = fill(codec, json, arena, topic, out, error);
  json_decref(json);
  return fine;
}

struct str command_key(struct record record) {
  switch (record.type) {
    case RECORD_RESERVE: return ((const struct reserve *)record.value)->reservation_id;
    case RECORD_PAY: return ((const struct pay *)record.value)->reservation_id;
    case RECORD_CANCEL: return ((const struct cancel *)record.value)->reservation_id;
    case RECORD_REGISTER_ITEM: return ((const struct register_item *)record.value)->item_id;
    case RECORD_RECEIVE_STOCK: return ((const struct receive_stock *)record.value)->item_id;
    case RECORD_CLOSE_ITEM: return ((const struct close_item *)record.value)->item_id;
    case RECORD_REGISTER_CUSTOMER:
      return ((const struct register_customer *)record.value)->customer_id;
    default: return (struct str){0};
  }
}
