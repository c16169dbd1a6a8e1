/* The description of each record of avro/, as scripts/codegen writes it: the places of its fields
 * in the C struct, and every version ever released. */
#ifndef HOLDFAST_RECORD_SCHEMA_H
#define HOLDFAST_RECORD_SCHEMA_H

#include "runtime/base/str.h"

enum field_kind {
  FIELD_STRING,
  FIELD_BYTES,
  FIELD_INT,
  FIELD_LONG,
  FIELD_BOOL,
  FIELD_ENUM,
  FIELD_RECORD
};

struct enum_desc {
  const char *name;
  const char *const *symbols;
  int count;
};

struct record_desc;

struct field {
  const char *name;
  size_t offset;
  enum field_kind kind; /* of the field, or of an array's items */
  bool array;
  bool has_default; /* zero, empty, or one of the two below */
  size_t item_size; /* of an array's items in C */
  const struct enum_desc *symbols;
  const struct record_desc *record;
  int64_t default_number;
  const char *default_text;
};

struct record_desc {
  const char *name;
  int type; /* enum record_type; -1 for a record that only stands inside others */
  size_t size;
  const struct field *fields;
  size_t field_count;
};

/* Every array field of a generated struct has this layout. */
struct array {
  size_t count;
  const void *items;
};

/* The list of strings; those of other items are generated. */
struct str_list {
  size_t count;
  const struct str *items;
};

struct schema_version {
  int type;
  uint64_t fingerprint; /* CRC-64-AVRO of `json` */
  bool current;         /* the version that is written; the others are only read */
  const char *json;     /* in Parsing Canonical Form */
};

struct schema_set {
  const struct record_desc *const *records; /* by type */
  size_t record_count;
  const struct schema_version *versions;
  size_t version_count;
};

/* The records of avro/. */
extern const struct schema_set holdfast_schemas;

/* The record called `name`, or NULL. */
const struct record_desc *schema_find(const struct schema_set *set, struct str name);

/* The field of that name, or NULL. */
const struct field *schema_field(const struct record_desc *record, struct str name);

/* Gives every field of *value its default: zero and empty where the schema names none. */
void record_defaults(const struct record_desc *record, void *value);

#endif
