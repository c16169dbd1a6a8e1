#include "avro_type.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "codec.h"

static void enum_map(struct avro_type *type, avro_schema_t schema, const struct enum_desc *reader) {
  type->count = (size_t)avro_schema_enum_number_of_symbols(schema);
  type->symbols = xcalloc(type->count, sizeof *type->symbols);
  for (size_t i = 0; i < type->count; i++) {
    type->symbols[i] = -1;
    for (int j = 0; reader && j < reader->count; j++) {
      if (strcmp(reader->symbols[j], avro_schema_enum_get(schema, (int)i)) == 0)
        type->symbols[i] = j;
    }
  }
}

static struct avro_type *type_new(avro_schema_t schema, const struct record_desc *record,
                                  const struct enum_desc *symbols) {
  struct avro_type *type = xcalloc(1, sizeof *type);
  if (is_avro_link(schema)) schema = avro_schema_link_target(schema);
  switch ((int)avro_typeof(schema)) { /* avro-c has kinds that codegen refuses */
    case AVRO_STRING: type->kind = FIELD_STRING; return type;
    case AVRO_BYTES: type->kind = FIELD_BYTES; return type;
    case AVRO_INT32: type->kind = FIELD_INT; return type;
    case AVRO_INT64: type->kind = FIELD_LONG; return type;
    case AVRO_BOOLEAN: type->kind = FIELD_BOOL; return type;
    case AVRO_ENUM:
      type->kind = FIELD_ENUM;
      enum_map(type, schema, symbols);
      return type;
    case AVRO_ARRAY:
      type->array = true;
      type->items = type_new(avro_schema_array_items(schema), record, symbols);
      type->kind = type->items->kind;
      return type;
    case AVRO_RECORD: break;
    default:
      fprintf(stderr, "holdfast: a schema uses the type '%s', which is not supported\n",
              avro_schema_type_name(schema));
      exit(EX_SOFTWARE);
  }
  type->kind = FIELD_RECORD;
  type->count = avro_schema_record_size(schema);
  type->members = xcalloc(type->count, sizeof *type->members);
  for (size_t i = 0; i < type->count; i++) {
    struct str name = str_of(avro_schema_record_field_name(schema, (int)i));
    const struct field *into = record ? schema_field(record, name) : NULL;
    type->members[i].into = into;
    type->members[i].type = type_new(avro_schema_record_field_get_by_index(schema, (int)i),
                                     into ? into->record : NULL, into ? into->symbols : NULL);
  }
  return type;
}

struct avro_type *avro_type_new(avro_schema_t schema, const struct record_desc *reader) {
  return type_new(schema, reader, NULL);
}

void avro_type_free(struct avro_type *type) {
  if (!type) return;
  for (size_t i = 0; type->members && i < type->count; i++) avro_type_free(type->members[i].type);
  avro_type_free(type->items);
  free(type->members);
  free(type->symbols);
  free(type);
}

/* ---- the walk ---- */

struct walk {
  const uint8_t *start, *at, *end;
  char *error;
};

static bool wrong(struct walk *walk, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct walk *walk, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int used =
      snprintf(walk->error, CODEC_ERROR_SIZE, "at byte %zu: ", (size_t)(walk->at - walk->start));
  vsnprintf(walk->error + used, CODEC_ERROR_SIZE - (size_t)used, format, arguments);
  va_end(arguments);
  return false;
}

/* A zig-zag varint of at most ten bytes that fits 64 bits. */
static bool walk_long(struct walk *walk, int64_t *out) {
  uint64_t bits = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (walk->at == walk->end) return wrong(walk, "the bytes end within a number");
    uint8_t byte = *walk->at++;
    if (shift == 63 && byte > 1) break;
    bits |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *out = (int64_t)(bits >> 1) ^ -(int64_t)(bits & 1);
      return true;
    }
  }
  return wrong(walk, "a number of more than 64 bits");
}

bool utf8_valid(struct str text) {
  const uint8_t *at = (const uint8_t *)text.data, *end = at + text.size;
  while (at < end) {
    uint8_t lead = *at++;
    if (lead < 0x80) continue;
    size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || (size_t)(end - at) < more) return false;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80; /* no overlong forms */
    uint8_t high = lead == 0xed   ? 0x9f
                   : lead == 0xf4 ? 0x8f
                                  : 0xbf; /* no surrogates, nothing past U+10FFFF */
    if (*at < low || *at > high) return false;
    for (at++; more > 1; more--, at++) {
      if ((*at & 0xc0) != 0x80) return false;
    }
  }
  return true;
}

static bool walk_bytes(struct walk *walk, bool text) {
  int64_t size;
  if (!walk_long(walk, &size)) return false;
  if (size < 0 || size > walk->end - walk->at) {
    return wrong(walk, "a length of %lld where %td bytes are left", (long long)size,
                 walk->end - walk->at);
  }
  if (text && !utf8_valid((struct str){(const char *)walk->at, (size_t)size}))
    return wrong(walk, "a string that is not UTF-8");
  walk->at += size;
  return true;
}

static bool walk_value(struct walk *walk, const struct avro_type *type);

/* Every item takes at least a byte, so the bytes left bound the count. */
static bool walk_array(struct walk *walk, const struct avro_type *type) {
  for (;;) {
    int64_t count;
    if (!walk_long(walk, &count)) return false;
    if (count == 0) return true;
    if (count < 0) {
      int64_t block_size;
      if (!walk_long(walk, &block_size)) return false;
      if (count == INT64_MIN) return wrong(walk, "an array's count out of range");
      count = -count;
      if (block_size < count || block_size > walk->end - walk->at)
        return wrong(walk, "an array's block of %lld bytes", (long long)block_size);
    }
    if (count > walk->end - walk->at) {
      return wrong(walk, "an array of %lld items where %td bytes are left", (long long)count,
                   walk->end - walk->at);
    }
    for (; count > 0; count--) {
      if (!walk_value(walk, type->items)) return false;
    }
  }
}

static bool walk_value(struct walk *walk, const struct avro_type *type) {
  int64_t number;
  if (type->array) return walk_array(walk, type);
  switch (type->kind) {
    case FIELD_STRING: return walk_bytes(walk, true);
    case FIELD_BYTES: return walk_bytes(walk, false);
    case FIELD_LONG: return walk_long(walk, &number);
    case FIELD_INT:
      if (!walk_long(walk, &number)) return false;
      return (number >= INT32_MIN && number <= INT32_MAX) ||
             wrong(walk, "%lld does not fit an int", (long long)number);
    case FIELD_ENUM:
      if (!walk_long(walk, &number)) return false;
      if (number < 0 || (uint64_t)number >= type->count)
        return wrong(walk, "an enum's index of %lld", (long long)number);
      return type->symbols[number] >= 0 ||
             wrong(walk, "an enum's symbol that this version does not know");
    case FIELD_BOOL:
      if (walk->at == walk->end) return wrong(walk, "the bytes end before a boolean");
      if (*walk->at > 1) return wrong(walk, "a boolean of %d", *walk->at);
      walk->at++;
      return true;
    case FIELD_RECORD:
      for (size_t i = 0; i < type->count; i++) {
        if (!walk_value(walk, type->members[i].type)) return false;
      }
      return true;
  }
  return false;
}

bool avro_type_check(const struct avro_type *type, struct str bytes, char *error) {
  const uint8_t *start = (const uint8_t *)bytes.data;
  struct walk walk = {.start = start, .at = start, .end = start + bytes.size, .error = error};
  if (!walk_value(&walk, type)) return false;
  return walk.at == walk.end || wrong(&walk, "%td bytes are left over", walk.end - walk.at);
}
