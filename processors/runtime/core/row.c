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

static int64_t long_of(struct long_field field, const void *row) {
  return field.is ? *(const int64_t *)((const char *)row + field.offset) : 0;
}

int64_t row_due_at(const struct row_kind *kind, const void *row) {
  return row ? long_of(kind->due_field, row) : 0;
}

int64_t row_settled_at(const struct row_kind *kind, const void *row) {
  return row ? long_of(kind->settled_field, row) : 0;
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
  if (!kind || !kind->due_field.is || !value.data) return true;
  char error[CODEC_ERROR_SIZE];
  const void *row = row_decode(runtime, kind, value, error);
  if (!row) return false;
  *due_at = row_due_at(kind, row);
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
