#include "codec.h"

#include <avro.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "avro_type.h"

#define HEADER_SIZE 10

/* Parsed at its first use: a filter meets a few of all schemas, and starts sooner. */
struct version {
  const struct schema_version *schema;
  avro_schema_t avro; /* NULL: not used yet */
  avro_value_iface_t *class;
  avro_value_t value; /* reused for every record of this version */
  struct avro_type *type;
};

struct codec {
  const struct schema_set *schemas;
  struct version *versions; /* by fingerprint */
  struct version **current; /* by record type */
  avro_reader_t reader;
  avro_writer_t writer;
  char buffer[RECORD_SIZE_MAX];
};

/* What avro-c refuses here was made by scripts/codegen or has passed the walk: only a fault of this
 * program gets here. */
static void must(int failed, const char *what) {
  if (!failed) return;
  fprintf(stderr, "holdfast: avro: %s: %s\n", what, avro_strerror());
  exit(EX_SOFTWARE);
}

static int by_fingerprint(const void *a, const void *b) {
  uint64_t x = ((const struct version *)a)->schema->fingerprint,
           y = ((const struct version *)b)->schema->fingerprint;
  return (x > y) - (x < y);
}

static void version_parse(struct version *version, const struct schema_set *schemas) {
  if (version->avro) return;
  const char *json = version->schema->json;
  must(avro_schema_from_json_length(json, strlen(json), &version->avro),
       "a schema of this program");
  version->class = avro_generic_class_from_schema(version->avro);
  must(avro_generic_value_new(version->class, &version->value), "a value");
  version->type = avro_type_new(version->avro, schemas->records[version->schema->type]);
}

struct codec *codec_new(const struct schema_set *schemas) {
  struct codec *codec = xcalloc(1, sizeof *codec);
  codec->schemas = schemas;
  codec->versions = xcalloc(schemas->version_count, sizeof *codec->versions);
  codec->current = xcalloc(schemas->record_count, sizeof(struct version *));
  for (size_t i = 0; i < schemas->version_count; i++)
    codec->versions[i].schema = &schemas->versions[i];
  qsort(codec->versions, schemas->version_count, sizeof *codec->versions, by_fingerprint);
  for (size_t i = 0; i < schemas->version_count; i++) {
    struct version *version = &codec->versions[i];
    if (version->schema->current) codec->current[version->schema->type] = version;
  }
  codec->reader = avro_reader_memory(NULL, 0);
  codec->writer = avro_writer_memory(codec->buffer, sizeof codec->buffer);
  return codec;
}

void codec_free(struct codec *codec) {
  if (!codec) return;
  for (size_t i = 0; i < codec->schemas->version_count; i++) {
    struct version *version = &codec->versions[i];
    if (!version->avro) continue;
    avro_value_decref(&version->value);
    avro_value_iface_decref(version->class);
    avro_schema_decref(version->avro);
    avro_type_free(version->type);
  }
  avro_reader_free(codec->reader);
  avro_writer_free(codec->writer);
  free(codec->versions);
  free(codec->current);
  free(codec);
}

const struct schema_set *codec_schemas(const struct codec *codec) {
  return codec->schemas;
}

/* ---- decoding ---- */

static const struct version *version_find(const struct codec *codec, uint64_t fingerprint) {
  const struct schema_version key = {.fingerprint = fingerprint};
  const struct version wanted = {.schema = &key};
  struct version *version = bsearch(&wanted, codec->versions, codec->schemas->version_count,
                                    sizeof *codec->versions, by_fingerprint);
  if (version) version_parse(version, codec->schemas);
  return version;
}

static void project_record(avro_value_t *from, const struct avro_type *type,
                           const struct record_desc *record, void *into, struct arena *arena);

static struct str copy_out(const void *data, size_t size, struct arena *arena) {
  return arena_copy(arena, (struct str){data, size});
}

static void project_scalar(avro_value_t *from, const struct avro_type *type,
                           const struct field *field, void *into, struct arena *arena) {
  const char *text;
  const void *bytes;
  size_t size;
  int32_t number;
  int boolean;
  switch (type->kind) {
    case FIELD_STRING:
      avro_value_get_string(from, &text, &size);
      *(struct str *)into = copy_out(text, size - 1, arena); /* avro-c counts the NUL */
      return;
    case FIELD_BYTES:
      avro_value_get_bytes(from, &bytes, &size);
      *(struct str *)into = copy_out(bytes, size, arena);
      return;
    case FIELD_INT:
      avro_value_get_int(from, &number);
      if (field->kind == FIELD_LONG) { /* the one promotion that codegen lets through */
        *(int64_t *)into = number;
      } else {
        *(int32_t *)into = number;
      }
      return;
    case FIELD_LONG: avro_value_get_long(from, (int64_t *)into); return;
    case FIELD_BOOL:
      avro_value_get_boolean(from, &boolean);
      *(bool *)into = boolean != 0;
      return;
    case FIELD_ENUM:
      avro_value_get_enum(from, &number);
      *(int *)into = type->symbols[number];
      return;
    case FIELD_RECORD: project_record(from, type, field->record, into, arena); return;
  }
}

static void project_array(avro_value_t *from, const struct avro_type *type,
                          const struct field *field, void *into, struct arena *arena) {
  struct array array = {0};
  avro_value_get_size(from, &array.count);
  char *items = arena_alloc(arena, array.count * field->item_size);
  for (size_t i = 0; i < array.count; i++) {
    avro_value_t item;
    avro_value_get_by_index(from, i, &item, NULL);
    project_scalar(&item, type->items, field, items + i * field->item_size, arena);
  }
  array.items = items;
  memcpy(into, &array, sizeof array);
}

static void project_record(avro_value_t *from, const struct avro_type *type,
                           const struct record_desc *record, void *into, struct arena *arena) {
  record_defaults(record, into);
  for (size_t i = 0; i < type->count; i++) {
    const struct avro_member *member = &type->members[i];
    if (!member->into) continue;
    avro_value_t value;
    avro_value_get_by_index(from, i, &value, NULL);
    void *at = (char *)into + member->into->offset;
    if (member->type->array) {
      project_array(&value, member->type, member->into, at, arena);
    } else {
      project_scalar(&value, member->type, member->into, at, arena);
    }
  }
}

bool codec_decode(struct codec *codec, struct str bytes, struct arena *arena, struct record *out,
                  char *error) {
  if (bytes.size > RECORD_SIZE_MAX) {
    snprintf(error, CODEC_ERROR_SIZE, "%zu bytes are more than the limit of %zu", bytes.size,
             RECORD_SIZE_MAX);
    return false;
  }
  const uint8_t *head = (const uint8_t *)bytes.data;
  if (bytes.size < HEADER_SIZE || head[0] != 0xc3 || head[1] != 0x01) {
    snprintf(
        error, CODEC_ERROR_SIZE,
        "not Avro's single-object encoding: it begins with C3 01 and the schema's fingerprint");
    return false;
  }
  uint64_t fingerprint;
  memcpy(&fingerprint, head + 2, sizeof fingerprint); /* little-endian, as this machine is */
  const struct version *version = version_find(codec, fingerprint);
  if (!version) {
    snprintf(error, CODEC_ERROR_SIZE,
             "a schema with the fingerprint %016llx is not known to this version",
             (unsigned long long)fingerprint);
    return false;
  }
  struct str body = {bytes.data + HEADER_SIZE, bytes.size - HEADER_SIZE};
  const struct record_desc *record = codec->schemas->records[version->schema->type];
  if (!avro_type_check(version->type, body, error)) {
    size_t used = strlen(error);
    snprintf(error + used, CODEC_ERROR_SIZE - used, " (as %s)", record->name);
    return false;
  }
  avro_value_t value = version->value;
  avro_value_reset(&value);
  avro_reader_memory_set_source(codec->reader, body.data, (int64_t)body.size);
  must(avro_value_read(codec->reader, &value), "reading");
  void *into = arena_alloc(arena, record->size);
  project_record(&value, version->type, record, into, arena);
  *out = (struct record){.type = version->schema->type, .value = into};
  return true;
}

/* ---- encoding ---- */

static void fill_record(avro_value_t *into, const struct avro_type *type, const void *from);

/* Lent, not copied: avro-c reads size - 1 bytes of it, since it takes every string to end with a
 * NUL. */
static void give_string(avro_value_t *into, struct str text) {
  avro_wrapped_buffer_t buffer;
  avro_wrapped_buffer_new(&buffer, text.data ? text.data : "", text.size + 1);
  avro_value_give_string_len(into, &buffer);
}

static void fill_scalar(avro_value_t *into, const struct avro_type *type, const void *from) {
  switch (type->kind) {
    case FIELD_STRING: give_string(into, *(const struct str *)from); return;
    case FIELD_BYTES: {
      const struct str *bytes = from;
      avro_value_set_bytes(into, (void *)(uintptr_t)(bytes->data ? bytes->data : ""), bytes->size);
      return;
    }
    case FIELD_INT: avro_value_set_int(into, *(const int32_t *)from); return;
    case FIELD_LONG: avro_value_set_long(into, *(const int64_t *)from); return;
    case FIELD_BOOL: avro_value_set_boolean(into, *(const bool *)from); return;
    case FIELD_ENUM: avro_value_set_enum(into, *(const int *)from); return;
    case FIELD_RECORD: fill_record(into, type, from); return;
  }
}

static void fill_record(avro_value_t *into, const struct avro_type *type, const void *from) {
  for (size_t i = 0; i < type->count; i++) {
    const struct avro_member *member = &type->members[i];
    const void *at = (const char *)from + member->into->offset;
    avro_value_t value;
    avro_value_get_by_index(into, i, &value, NULL);
    if (!member->type->array) {
      fill_scalar(&value, member->type, at);
      continue;
    }
    struct array array;
    memcpy(&array, at, sizeof array);
    for (size_t j = 0; j < array.count; j++) {
      avro_value_t item;
      avro_value_append(&value, &item, NULL);
      fill_scalar(&item, member->type->items,
                  (const char *)array.items + j * member->into->item_size);
    }
  }
}

struct str codec_encode(struct codec *codec, struct record record, struct arena *arena) {
  struct version *version = codec->current[record.type];
  version_parse(version, codec->schemas);
  avro_value_t value = version->value;
  avro_value_reset(&value);
  fill_record(&value, version->type, record.value);
  codec->buffer[0] = (char)0xc3;
  codec->buffer[1] = 0x01;
  memcpy(codec->buffer + 2, &version->schema->fingerprint, 8);
  avro_writer_memory_set_dest(codec->writer, codec->buffer + HEADER_SIZE,
                              sizeof codec->buffer - HEADER_SIZE);
  bool fits = avro_value_write(codec->writer, &value) == 0;
  size_t size = HEADER_SIZE + (size_t)avro_writer_tell(codec->writer);
  avro_value_reset(&value); /* it must not keep what was only lent */
  return fits ? arena_copy(arena, (struct str){codec->buffer, size}) : (struct str){0};
}
