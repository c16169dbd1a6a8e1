#include "runtime/record/later.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "runtime/base/arena.h"
#include "runtime/base/report.h"

#define EMPTY UINT64_C(0xc15d213aa4d7a795) /* the fingerprint of no bytes */

struct later {
  const struct schema_set *schemas;
  const char *path;
  struct timespec changed; /* the file as it was read; zero: not yet */
  off_t size;
  bool missed; /* and so it was told */
  struct later_schema *found;
  size_t count, capacity; /* capacity in bytes, as xgrow has it */
};

uint64_t schema_fingerprint(struct str canonical) {
  uint64_t print = EMPTY;
  for (size_t i = 0; i < canonical.size; i++) {
    uint64_t entry = (print ^ (uint8_t)canonical.data[i]) & 0xff;
    for (int bit = 0; bit < 8; bit++) entry = (entry >> 1) ^ (EMPTY & -(entry & 1));
    print = (print >> 8) ^ entry;
  }
  return print;
}

struct later *later_new(const struct schema_set *schemas, const char *path) {
  struct later *later = xcalloc(1, sizeof *later);
  *later = (struct later){.schemas = schemas, .path = path};
  return later;
}

static void forget(struct later *later) {
  for (size_t i = 0; i < later->count; i++) avro_type_free(later->found[i].type);
  later->count = 0;
}

void later_free(struct later *later) {
  if (!later) return;
  forget(later);
  free(later->found);
  free(later);
}

static bool is_readable(const struct avro_type *type, const struct record_desc *record);

static bool fits(const struct avro_type *type, const struct field *field) {
  if (type->array != field->array) return false;
  if (type->array) type = type->items;
  if (type->kind == FIELD_RECORD && field->kind == FIELD_RECORD)
    return is_readable(type, field->record);
  return type->kind == field->kind || (type->kind == FIELD_INT && field->kind == FIELD_LONG);
}

static bool is_written(const struct avro_type *type, const struct field *field) {
  for (size_t i = 0; i < type->count; i++) {
    if (type->members[i].into == field) return true;
  }
  return false;
}

/* What `make schema-check` sees to for the versions of a build: each field that both have is of one
 * type, and each that only the reader has, a default. */
static bool is_readable(const struct avro_type *type, const struct record_desc *record) {
  for (size_t i = 0; i < type->count; i++) {
    const struct avro_member *member = &type->members[i];
    if (member->into && !fits(member->type, member->into)) return false;
  }
  for (size_t i = 0; i < record->field_count; i++) {
    const struct field *field = &record->fields[i];
    if (!field->has_default && !is_written(type, field)) return false;
  }
  return true;
}

/* The tree, or NULL. */
static struct avro_type *parse(const char *text, const struct record_desc *record) {
  avro_schema_t schema;
  if (avro_schema_from_json_length(text, strlen(text), &schema)) return NULL;
  struct avro_type *type = is_avro_record(schema) ? avro_type_new(schema, record) : NULL;
  avro_schema_decref(schema);
  if (!type || is_readable(type, record)) return type;
  avro_type_free(type);
  return NULL;
}

/* A record that this binary does not have is none of its business. */
static bool take_line(struct later *later, const char *line, size_t size) {
  json_t *json = json_loadb(line, size, 0, NULL);
  const char *name = json_string_value(json_object_get(json, "record")),
             *text = json_string_value(json_object_get(json, "schema"));
  const struct record_desc *record =
      name && text ? schema_find(later->schemas, str_of(name)) : NULL;
  struct avro_type *type = record ? parse(text, record) : NULL;
  bool understood = name && text && (!record || type);
  if (type) {
    size_t bytes = (later->count + 1) * sizeof *later->found;
    later->found = xgrow(later->found, &later->capacity, bytes, 1);
    later->found[later->count++] = (struct later_schema){
        .fingerprint = schema_fingerprint(str_of(text)), .record = record->type, .type = type};
  }
  json_decref(json);
  return understood;
}

static void read_lines(struct later *later, FILE *file) {
  char *line = NULL;
  size_t capacity = 0;
  ssize_t size;
  for (int number = 1; (size = getline(&line, &capacity, file)) > 0; number++) {
    if (!take_line(later, line, (size_t)size))
      report_warning(
          "schemas '%s', line %d: needs {\"record\":NAME,\"schema\":TEXT}, the text a "
          "schema that can be read as the record that this release has: passed over",
          later->path, number);
  }
  free(line);
}

static bool is_as_read(const struct later *later, const struct stat *info) {
  return info->st_size == later->size && info->st_mtim.tv_sec == later->changed.tv_sec &&
         info->st_mtim.tv_nsec == later->changed.tv_nsec;
}

static void look(struct later *later) {
  struct stat info;
  FILE *file = fopen(later->path, "re");
  bool missing = !file || fstat(fileno(file), &info) != 0;
  if (missing && !later->missed)
    report_warning("schemas '%s' cannot be read: %s", later->path, strerror(errno));
  later->missed = missing;
  if (!missing && !is_as_read(later, &info)) {
    forget(later);
    later->changed = info.st_mtim;
    later->size = info.st_size;
    if ((size_t)info.st_size > LATER_FILE_MAX)
      report_warning("schemas '%s' has more than %zu bytes: not read", later->path, LATER_FILE_MAX);
    else
      read_lines(later, file);
  }
  if (file) fclose(file);
}

const struct later_schema *later_find(struct later *later, uint64_t fingerprint) {
  for (int tries = 0; tries < 2; tries++) {
    for (size_t i = 0; i < later->count; i++) {
      if (later->found[i].fingerprint == fingerprint) return &later->found[i];
    }
    if (tries == 0) look(later);
  }
  return NULL;
}
