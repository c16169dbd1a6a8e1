/* A row between its bytes and its struct: its kind, and the fields that the runtime reads of it. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "runtime/base/report.h"
#include "runtime/core/internal.h"

const struct row_kind *row_kind_of(const struct processor *processor, struct str key) {
  for (const struct row_kind *kind = processor->rows; kind && kind->name; kind++) {
    if (key.size && kind->prefix == key.data[0]) return kind;
  }
  for (const struct row_kind *kind = expiry_rows; kind->name; kind++) {
    if (key.size && kind->prefix == key.data[0]) return kind;
  }
  return NULL;
}

const void *row_field(struct runtime *runtime, const struct row_kind *kind, const void *row,
                      const char *name) {
  const struct record_desc *record = codec_schemas(runtime->codec)->records[kind->type];
  const struct field *field = schema_field(record, str_of(name));
  return field ? (const char *)row + field->offset : NULL;
}

static int64_t long_field(struct runtime *runtime, const struct row_kind *kind, const void *row,
                          const char *name) {
  if (!name || !row) return 0;
  const int64_t *value = row_field(runtime, kind, row, name);
  if (!value) abort(); /* a declaration that names no field */
  return *value;
}

int64_t row_due_at(struct runtime *runtime, const struct row_kind *kind, const void *row) {
  return long_field(runtime, kind, row, kind->due_field);
}

int64_t row_settled_at(struct runtime *runtime, const struct row_kind *kind, const void *row) {
  return long_field(runtime, kind, row, kind->settled_field);
}

/* A damaged row is not an input to be refused: the store or the changelog is broken. */
static const void *row_decode(struct runtime *runtime, const struct row_kind *kind,
                              struct str bytes, char *error) {
  struct record record;
  if (!codec_decode(runtime->codec, bytes, &runtime->arena, &record, error)) return NULL;
  if (record.type == kind->type) return record.value;
  snprintf(error, CODEC_ERROR_SIZE, "another record than the '%s' that belongs there", kind->name);
  return NULL;
}

bool row_bytes_due(struct runtime *runtime, struct str key, struct str value, int64_t *due_at) {
  *due_at = 0;
  const struct row_kind *kind = row_kind_of(runtime->processor, key);
  if (!kind || !kind->due_field || !value.data) return true;
  char error[CODEC_ERROR_SIZE];
  const void *row = row_decode(runtime, kind, value, error);
  if (!row) return false;
  *due_at = row_due_at(runtime, kind, row);
  return true;
}

/* Deciding on without the row would be deciding wrongly. */
const void *row_must_decode(struct runtime *runtime, const struct row_kind *kind,
                            struct str bytes) {
  char error[CODEC_ERROR_SIZE];
  const void *row = row_decode(runtime, kind, bytes, error);
  if (row) return row;
  report_error(
      "a row of the store is damaged: %s; remove the state directory, it is rebuilt from the "
      "changelog",
      error);
  _exit(EX_DATAERR);
}
