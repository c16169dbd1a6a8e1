#include "runtime/record/binary.h"

#include <stdarg.h>
#include <stdio.h>

#include "runtime/record/codec.h"

/* ---- reading ---- */

struct reader {
  const uint8_t *start, *at, *end;
  struct arena *arena;
  char *error;
};

static bool wrong(struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool wrong(struct reader *reader, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int used = snprintf(reader->error, CODEC_ERROR_SIZE,
                      "at byte %zu: ", (size_t)(reader->at - reader->start));
  vsnprintf(reader->error + used, CODEC_ERROR_SIZE - (size_t)used, format, arguments);
  va_end(arguments);
  return false;
}

/* A zig-zag varint of at most ten bytes that fits 64 bits. */
static bool read_long(struct reader *reader, int64_t *out) {
  uint64_t bits = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (reader->at == reader->end) return wrong(reader, "the bytes end within a number");
    uint8_t byte = *reader->at++;
    if (shift == 63 && byte > 1) break;
    bits |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *out = (int64_t)(bits >> 1) ^ -(int64_t)(bits & 1);
      return true;
    }
  }
  return wrong(reader, "a number of more than 64 bits");
}

bool utf8_valid(struct str text) {
  if (!text.size) return true; /* perhaps without data */
  const uint8_t *at = (const uint8_t *)text.data, *end = at + text.size;
  while (at < end) {
    uint64_t eight;
    while (end - at >= 8 && (memcpy(&eight, at, 8), (eight & UINT64_C(0x8080808080808080)) == 0))
      at += 8; /* ASCII, mostly */
    if (at == end) break;
    uint8_t lead = *at++;
    if (lead < 0x80) continue;
    size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || (size_t)(end - at) < more) return false;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80; /* no overlong forms */
    /* No surrogates, nothing past U+10FFFF */
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (*at < low || *at > high) return false;
    for (at++; more > 1; more--, at++) {
      if ((*at & 0xc0) != 0x80) return false;
    }
  }
  return true;
}

static bool read_bytes(struct reader *reader, bool text, struct str *into) {
  int64_t size;
  if (!read_long(reader, &size)) return false;
  if (size < 0 || size > reader->end - reader->at) {
    return wrong(reader, "a length of %lld with %td bytes left", (long long)size,
                 reader->end - reader->at);
  }
  const struct str bytes = {(const char *)reader->at, (size_t)size};
  if (text && !utf8_valid(bytes)) return wrong(reader, "a string that is not UTF-8");
  if (into) *into = arena_copy(reader->arena, bytes);
  reader->at += size;
  return true;
}

static bool read_number(struct reader *reader, const struct field *field, void *into) {
  int64_t number;
  if (!read_long(reader, &number)) return false;
  if (number < INT32_MIN || number > INT32_MAX)
    return wrong(reader, "%lld does not fit an int", (long long)number);
  if (!into) return true;
  if (field->kind == FIELD_LONG) { /* the one promotion that codegen lets through */
    *(int64_t *)into = number;
  } else {
    *(int32_t *)into = (int32_t)number;
  }
  return true;
}

static bool read_enum(struct reader *reader, const struct avro_type *type, void *into) {
  int64_t number;
  if (!read_long(reader, &number)) return false;
  if (number < 0 || (uint64_t)number >= type->count)
    return wrong(reader, "an enum's index of %lld", (long long)number);
  if (!into) return true;
  if (type->symbols[number] < 0)
    return wrong(reader, "an enum's symbol that this version does not know");
  *(int *)into = type->symbols[number];
  return true;
}

static bool read_bool(struct reader *reader, bool *into) {
  if (reader->at == reader->end) return wrong(reader, "the bytes end before a boolean");
  if (*reader->at > 1) return wrong(reader, "a boolean of %d", *reader->at);
  if (into) *into = *reader->at;
  reader->at++;
  return true;
}

static bool read_record(struct reader *reader, const struct avro_type *type,
                        const struct record_desc *record, void *into);

/* into NULL: it is passed over. */
static bool read_scalar(struct reader *reader, const struct avro_type *type,
                        const struct field *field, void *into) {
  int64_t number;
  switch (type->kind) {
    case FIELD_STRING: return read_bytes(reader, true, into);
    case FIELD_BYTES: return read_bytes(reader, false, into);
    case FIELD_INT: return read_number(reader, field, into);
    case FIELD_LONG: return read_long(reader, into ? into : &number);
    case FIELD_BOOL: return read_bool(reader, into);
    case FIELD_ENUM: return read_enum(reader, type, into);
    case FIELD_RECORD: return read_record(reader, type, field ? field->record : NULL, into);
  }
  return false;
}

/* A block's count. Every item takes at least a byte, so the bytes left bound it. */
static bool read_count(struct reader *reader, int64_t *count) {
  if (!read_long(reader, count)) return false;
  if (*count < 0) {
    int64_t block_size;
    if (!read_long(reader, &block_size)) return false;
    if (*count == INT64_MIN) return wrong(reader, "an array's count out of range");
    *count = -*count;
    if (block_size < *count || block_size > reader->end - reader->at)
      return wrong(reader, "an array's block of %lld bytes", (long long)block_size);
  }
  return *count <= reader->end - reader->at ||
         wrong(reader, "an array of %lld items with %td bytes left", (long long)*count,
               reader->end - reader->at);
}

struct growing {
  struct array array;
  char *items; /* of the arena, as array.items */
  size_t room; /* items */
};

/* Most arrays are one block, which gets what it needs. Further blocks double the room: the copies
 * stay within twice the items, however many blocks they come in. */
static void make_room(struct reader *reader, const struct field *field, struct growing *growing,
                      size_t count) {
  size_t need = growing->array.count + count;
  if (need <= growing->room) return;
  growing->room = need > 2 * growing->room ? need : 2 * growing->room;
  char *items = arena_alloc(reader->arena, growing->room * field->item_size);
  if (growing->array.count) memcpy(items, growing->items, growing->array.count * field->item_size);
  growing->array.items = growing->items = items;
}

static bool read_array(struct reader *reader, const struct avro_type *type,
                       const struct field *field, void *into) {
  struct growing growing = {0};
  struct array *array = &growing.array;
  for (;;) {
    int64_t count;
    if (!read_count(reader, &count)) return false;
    if (count == 0) break;
    if (into) make_room(reader, field, &growing, (size_t)count);
    for (; count > 0; count--, array->count++) {
      void *item = into ? growing.items + array->count * field->item_size : NULL;
      if (!read_scalar(reader, type->items, field, item)) return false;
    }
  }
  if (into) memcpy(into, array, sizeof *array);
  return true;
}

static bool read_record(struct reader *reader, const struct avro_type *type,
                        const struct record_desc *record, void *into) {
  if (into && !type->complete) record_defaults(record, into);
  for (size_t i = 0; i < type->count; i++) {
    const struct avro_member *member = &type->members[i];
    void *at = into && member->into ? (char *)into + member->into->offset : NULL;
    bool fine = member->type->array ? read_array(reader, member->type, member->into, at)
                                    : read_scalar(reader, member->type, member->into, at);
    if (!fine) return false;
  }
  return true;
}

bool binary_read(const struct avro_type *type, const struct record_desc *record, struct str bytes,
                 void *into, struct arena *arena, char *error) {
  const uint8_t *start = (const uint8_t *)bytes.data;
  struct reader reader = {
      .start = start, .at = start, .end = start + bytes.size, .arena = arena, .error = error};
  if (!read_record(&reader, type, record, into)) return false;
  return reader.at == reader.end ||
         wrong(&reader, "%td bytes are left over", reader.end - reader.at);
}

/* ---- writing ---- */

struct writer {
  char *at, *end;
  bool full;
};

static void write_byte(struct writer *writer, unsigned byte) {
  if (writer->at == writer->end) {
    writer->full = true;
  } else {
    *writer->at++ = (char)byte;
  }
}

static void write_long(struct writer *writer, int64_t number) {
  uint64_t bits = (uint64_t)number << 1 ^ (uint64_t)(number >> 63);
  for (; bits >= 0x80; bits >>= 7) write_byte(writer, (unsigned)(bits & 0x7f) | 0x80);
  write_byte(writer, (unsigned)bits);
}

static void write_bytes(struct writer *writer, struct str bytes) {
  write_long(writer, (int64_t)bytes.size);
  if ((size_t)(writer->end - writer->at) < bytes.size) {
    writer->full = true;
    return;
  }
  if (bytes.size) memcpy(writer->at, bytes.data, bytes.size);
  writer->at += bytes.size;
}

static void write_record(struct writer *writer, const struct avro_type *type, const void *from);

static void write_scalar(struct writer *writer, const struct avro_type *type, const void *from) {
  switch (type->kind) {
    case FIELD_STRING:
    case FIELD_BYTES: write_bytes(writer, *(const struct str *)from); return;
    case FIELD_INT:
    case FIELD_ENUM: write_long(writer, *(const int32_t *)from); return;
    case FIELD_LONG: write_long(writer, *(const int64_t *)from); return;
    case FIELD_BOOL: write_byte(writer, *(const bool *)from); return;
    case FIELD_RECORD: write_record(writer, type, from); return;
  }
}

static void write_array(struct writer *writer, const struct avro_member *member, const void *from) {
  struct array array;
  memcpy(&array, from, sizeof array);
  if (array.count) write_long(writer, (int64_t)array.count);
  for (size_t i = 0; i < array.count; i++)
    write_scalar(writer, member->type->items,
                 (const char *)array.items + i * member->into->item_size);
  write_byte(writer, 0); /* no further block */
}

static void write_record(struct writer *writer, const struct avro_type *type, const void *from) {
  for (size_t i = 0; i < type->count; i++) {
    const struct avro_member *member = &type->members[i];
    const void *at = (const char *)from + member->into->offset;
    if (member->type->array) {
      write_array(writer, member, at);
    } else {
      write_scalar(writer, member->type, at);
    }
  }
}

size_t binary_write(const struct avro_type *type, const void *from, char *out, size_t room) {
  struct writer writer = {.at = out, .end = out + room};
  write_record(&writer, type, from);
  return writer.full ? 0 : (size_t)(writer.at - out);
}
