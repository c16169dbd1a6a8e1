#include "runtime/record/json.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/record/binary.h"

json_t *json_text(struct str text) {
  json_t *result = json_stringn(text.data ? text.data : "", text.size);
  return result ? result : json_string("\xef\xbf\xbd"); /* U+FFFD */
}

json_t *json_hex(struct str bytes) {
  static const char digits[] = "0123456789abcdef";
  char *text = xmalloc(bytes.size * 2 + 1);
  for (size_t i = 0; i < bytes.size; i++) {
    text[2 * i] = digits[(uint8_t)bytes.data[i] >> 4];
    text[2 * i + 1] = digits[(uint8_t)bytes.data[i] & 15];
  }
  json_t *result = json_stringn(text, bytes.size * 2);
  free(text);
  return result;
}

static json_t *struct_to_json(const struct record_desc *record, const void *value);

/* Of a record: it was decoded, so it is UTF-8, and names are ours. */
static json_t *known_text(struct str text) {
  return json_stringn_nocheck(text.data ? text.data : "", text.size);
}

static json_t *scalar_to_json(const struct field *field, const void *at) {
  switch (field->kind) {
    case FIELD_STRING: return known_text(*(const struct str *)at);
    case FIELD_BYTES: return json_hex(*(const struct str *)at);
    case FIELD_INT: return json_integer(*(const int32_t *)at);
    case FIELD_LONG: return json_integer(*(const int64_t *)at);
    case FIELD_BOOL: return json_boolean(*(const bool *)at);
    case FIELD_ENUM: return json_string_nocheck(field->symbols->symbols[*(const int *)at]);
    case FIELD_RECORD: return struct_to_json(field->record, at);
  }
  return NULL;
}

static json_t *struct_to_json(const struct record_desc *record, const void *value) {
  json_t *object = json_object();
  if (record->type >= 0) json_object_set_new(object, "type", json_string(record->name));
  for (size_t i = 0; i < record->field_count; i++) {
    const struct field *field = &record->fields[i];
    const void *at = (const char *)value + field->offset;
    if (!field->array) {
      json_object_set_new_nocheck(object, field->name, scalar_to_json(field, at));
      continue;
    }
    struct array array;
    memcpy(&array, at, sizeof array);
    json_t *items = json_array();
    for (size_t j = 0; j < array.count; j++) {
      json_array_append_new(
          items, scalar_to_json(field, (const char *)array.items + j * field->item_size));
    }
    json_object_set_new_nocheck(object, field->name, items);
  }
  return object;
}

json_t *record_to_json(const struct schema_set *schemas, struct record record) {
  return struct_to_json(schemas->records[record.type], record.value);
}

/* ---- from JSON ---- */

struct place {
  const char *record, *field;
  char *error;
  struct arena *arena;
};

static bool refuse(struct place place, const char *what) {
  snprintf(place.error, CODEC_ERROR_SIZE, "%s.%s: %s", place.record, place.field, what);
  return false;
}

static int hex_digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool bytes_from_json(const json_t *json, struct place place, struct str *out) {
  size_t size = json_string_length(json);
  const char *text = json_string_value(json);
  char *bytes = arena_alloc(place.arena, size / 2 + 1);
  for (size_t i = 0; i + 1 < size; i += 2) {
    int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return refuse(place, "needs hexadecimal digits");
    bytes[i / 2] = (char)(high << 4 | low);
  }
  *out = (struct str){bytes, size / 2};
  return size % 2 == 0 || refuse(place, "needs an even number of hexadecimal digits");
}

static bool enum_from_json(const json_t *json, const struct enum_desc *symbols, struct place place,
                           int *out) {
  const char *text = json_string_value(json);
  for (int i = 0; text && i < symbols->count; i++) {
    if (strcmp(text, symbols->symbols[i]) == 0) return *out = i, true;
  }
  char known[160] = "one of";
  for (int i = 0; i < symbols->count; i++) {
    size_t used = strlen(known);
    snprintf(known + used, sizeof known - used, "%s %s", i ? "," : "", symbols->symbols[i]);
  }
  char text_of_error[200];
  snprintf(text_of_error, sizeof text_of_error, "must be %s", known);
  return refuse(place, text_of_error);
}

static bool struct_from_json(const struct record_desc *record, const json_t *json,
                             struct place place, void *into);

static bool scalar_from_json(const struct field *field, const json_t *json, struct place place,
                             void *into) {
  switch (field->kind) {
    case FIELD_STRING:
      if (!json_is_string(json)) return refuse(place, "must be a string");
      *(struct str *)into =
          arena_copy(place.arena, (struct str){json_string_value(json), json_string_length(json)});
      return true;
    case FIELD_BYTES:
      if (!json_is_string(json)) return refuse(place, "must be a string of hexadecimal digits");
      return bytes_from_json(json, place, into);
    case FIELD_INT: {
      json_int_t number = json_integer_value(json);
      if (!json_is_integer(json) || number < INT32_MIN || number > INT32_MAX)
        return refuse(place, "must be a whole number of 32 bits");
      *(int32_t *)into = (int32_t)number;
      return true;
    }
    case FIELD_LONG:
      if (!json_is_integer(json)) return refuse(place, "must be a whole number of 64 bits");
      *(int64_t *)into = json_integer_value(json);
      return true;
    case FIELD_BOOL:
      if (!json_is_boolean(json)) return refuse(place, "must be true or false");
      *(bool *)into = json_is_true(json);
      return true;
    case FIELD_ENUM: return enum_from_json(json, field->symbols, place, into);
    case FIELD_RECORD: return struct_from_json(field->record, json, place, into);
  }
  return false;
}

static bool field_from_json(const struct field *field, const json_t *json, struct place place,
                            void *into) {
  if (!field->array) return scalar_from_json(field, json, place, into);
  if (!json_is_array(json)) return refuse(place, "must be an array");
  struct array array = {.count = json_array_size(json)};
  char *items = arena_zalloc(place.arena, array.count * field->item_size);
  for (size_t i = 0; i < array.count; i++) {
    if (!scalar_from_json(field, json_array_get(json, i), place, items + i * field->item_size))
      return false;
  }
  array.items = items;
  memcpy(into, &array, sizeof array);
  return true;
}

static bool struct_from_json(const struct record_desc *record, const json_t *json,
                             struct place place, void *into) {
  place.record = record->name;
  if (!json_is_object(json)) return refuse(place, "must be an object");
  record_defaults(record, into);
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)json, name, value) {
    if (record->type >= 0 && strcmp(name, "type") == 0) continue;
    place.field = name;
    if (!schema_field(record, str_of(name))) return refuse(place, "there is no such field");
  }
  for (size_t i = 0; i < record->field_count; i++) {
    const struct field *field = &record->fields[i];
    place.field = field->name;
    const json_t *given = json_object_get(json, field->name);
    if (!given && !field->has_default) return refuse(place, "is missing");
    if (given && !field_from_json(field, given, place, (char *)into + field->offset)) return false;
  }
  return true;
}

bool record_from_json(const struct schema_set *schemas, const json_t *json, struct arena *arena,
                      struct record *out, char *error) {
  const char *name = json_string_value(json_object_get(json, "type"));
  if (!name) {
    snprintf(error, CODEC_ERROR_SIZE,
             "needs an object with a \"type\", such as {\"type\":\"Reserve\",...}");
    return false;
  }
  const struct record_desc *record = schema_find(schemas, str_of(name));
  if (!record) {
    snprintf(error, CODEC_ERROR_SIZE, "there is no record of type '%.100s'", name);
    return false;
  }
  void *value = arena_alloc(arena, record->size);
  struct place place = {.record = record->name, .field = "type", .error = error, .arena = arena};
  if (!struct_from_json(record, json, place, value)) return false;
  *out = (struct record){.type = record->type, .value = value};
  return true;
}

struct str json_line(const json_t *json, struct arena *arena) {
  size_t size = json_dumpb(json, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
  char *line = arena_alloc(arena, size + 1);
  json_dumpb(json, line, size, JSON_COMPACT | JSON_ENCODE_ANY);
  line[size] = '\0';
  return (struct str){line, size};
}
