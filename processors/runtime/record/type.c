#include "runtime/record/type.h"

#include <stdlib.h>

#include "runtime/record/codec.h"

#define DEPTH_MAX 16 /* more is a schema that stands in itself */

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
                                  const struct enum_desc *symbols, int depth);

/* False: a field's type is not supported. */
static bool members_new(struct avro_type *type, avro_schema_t schema,
                        const struct record_desc *record, int depth) {
  size_t read = 0;
  type->kind = FIELD_RECORD;
  type->count = avro_schema_record_size(schema);
  type->members = xcalloc(type->count, sizeof *type->members);
  for (size_t i = 0; i < type->count; i++) {
    struct str name = str_of(avro_schema_record_field_name(schema, (int)i));
    const struct field *into = record ? schema_field(record, name) : NULL;
    type->members[i].into = into;
    type->members[i].type =
        type_new(avro_schema_record_field_get_by_index(schema, (int)i), into ? into->record : NULL,
                 into ? into->symbols : NULL, depth);
    if (!type->members[i].type) return false;
    if (into) read++;
  }
  type->complete = record && read == record->field_count;
  return true;
}

static struct avro_type *type_new(avro_schema_t schema, const struct record_desc *record,
                                  const struct enum_desc *symbols, int depth) {
  if (depth > DEPTH_MAX) return NULL;
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
      type->items = type_new(avro_schema_array_items(schema), record, symbols, depth + 1);
      if (!type->items) break;
      type->kind = type->items->kind;
      return type;
    case AVRO_RECORD:
      if (!members_new(type, schema, record, depth + 1)) break;
      return type;
    default: break;
  }
  avro_type_free(type);
  return NULL;
}

struct avro_type *avro_type_new(avro_schema_t schema, const struct record_desc *reader) {
  return type_new(schema, reader, NULL, 0);
}

void avro_type_free(struct avro_type *type) {
  if (!type) return;
  for (size_t i = 0; type->members && i < type->count; i++) avro_type_free(type->members[i].type);
  avro_type_free(type->items);
  free(type->members);
  free(type->symbols);
  free(type);
}
