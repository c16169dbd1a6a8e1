#include "runtime/record/schema.h"

const struct record_desc *schema_find(const struct schema_set *set, struct str name) {
  for (size_t i = 0; i < set->record_count; i++) {
    if (str_equal(str_of(set->records[i]->name), name)) return set->records[i];
  }
  return NULL;
}

const struct field *schema_field(const struct record_desc *record, struct str name) {
  for (size_t i = 0; i < record->field_count; i++) {
    if (str_equal(str_of(record->fields[i].name), name)) return &record->fields[i];
  }
  return NULL;
}

static void field_default(const struct field *field, void *at) {
  switch (field->kind) {
    case FIELD_STRING:
    case FIELD_BYTES:
      *(struct str *)at = field->default_text ? str_of(field->default_text) : STR("");
      return;
    case FIELD_INT:
    case FIELD_ENUM: *(int32_t *)at = (int32_t)field->default_number; return;
    case FIELD_LONG: *(int64_t *)at = field->default_number; return;
    case FIELD_BOOL: *(bool *)at = field->default_number != 0; return;
    case FIELD_RECORD: record_defaults(field->record, at); return;
  }
}

void record_defaults(const struct record_desc *record, void *value) {
  memset(value, 0, record->size);
  for (size_t i = 0; i < record->field_count; i++) {
    const struct field *field = &record->fields[i];
    if (!field->array) field_default(field, (char *)value + field->offset);
  }
}
