#include "runtime/record/codec.h"

#include <avro.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "runtime/record/binary.h"
#include "runtime/record/later.h"

#define HEADER_SIZE 10

/* Parsed at its first use: a filter meets a few of all schemas, and starts sooner. */
struct version {
  const struct schema_version *schema;
  struct avro_type *type; /* NULL: not used yet */
};

struct codec {
  const struct schema_set *schemas;
  struct version *versions; /* by fingerprint */
  struct version **current; /* by record type */
  struct later *later;      /* NULL: nowhere to look for other schemas */
  char buffer[RECORD_SIZE_MAX];
};

static const char *later_path;

void codec_look_in(const char *path) {
  later_path = path;
}

static int by_fingerprint(const void *a, const void *b) {
  uint64_t x = ((const struct version *)a)->schema->fingerprint,
           y = ((const struct version *)b)->schema->fingerprint;
  return (x > y) - (x < y);
}

static void version_parse(struct version *version, const struct schema_set *schemas) {
  if (version->type) return;
  const char *json = version->schema->json;
  avro_schema_t schema;
  if (avro_schema_from_json_length(json, strlen(json), &schema)) {
    fprintf(stderr, "holdfast: avro: a schema of this program: %s\n", avro_strerror());
    exit(EX_SOFTWARE);
  }
  version->type = avro_type_new(schema, schemas->records[version->schema->type]);
  avro_schema_decref(schema);
  if (version->type) return;
  fprintf(stderr, "holdfast: a schema of this program uses a type that is not supported\n");
  exit(EX_SOFTWARE);
}

struct codec *codec_new(const struct schema_set *schemas) {
  struct codec *codec = xcalloc(1, sizeof *codec);
  codec->schemas = schemas;
  codec->later = later_path ? later_new(schemas, later_path) : NULL;
  codec->versions = xcalloc(schemas->version_count, sizeof *codec->versions);
  codec->current = xcalloc(schemas->record_count, sizeof(struct version *));
  for (size_t i = 0; i < schemas->version_count; i++)
    codec->versions[i].schema = &schemas->versions[i];
  qsort(codec->versions, schemas->version_count, sizeof *codec->versions, by_fingerprint);
  for (size_t i = 0; i < schemas->version_count; i++) {
    struct version *version = &codec->versions[i];
    if (version->schema->current) codec->current[version->schema->type] = version;
  }
  return codec;
}

void codec_free(struct codec *codec) {
  if (!codec) return;
  for (size_t i = 0; i < codec->schemas->version_count; i++) {
    avro_type_free(codec->versions[i].type);
  }
  later_free(codec->later);
  free(codec->versions);
  free(codec->current);
  free(codec);
}

const struct schema_set *codec_schemas(const struct codec *codec) {
  return codec->schemas;
}

/* ---- decoding ---- */

/* What a record was written as. */
struct writer {
  const struct avro_type *type;
  int record;
};

static bool find_writer(const struct codec *codec, uint64_t fingerprint, struct writer *out) {
  const struct schema_version key = {.fingerprint = fingerprint};
  const struct version wanted = {.schema = &key};
  struct version *version = bsearch(&wanted, codec->versions, codec->schemas->version_count,
                                    sizeof *codec->versions, by_fingerprint);
  if (version) {
    version_parse(version, codec->schemas);
    *out = (struct writer){version->type, version->schema->type};
    return true;
  }
  const struct later_schema *later = codec->later ? later_find(codec->later, fingerprint) : NULL;
  if (later) *out = (struct writer){later->type, later->record};
  return later != NULL;
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
  struct writer writer;
  if (!find_writer(codec, fingerprint, &writer)) {
    snprintf(error, CODEC_ERROR_SIZE,
             "a schema with the fingerprint %016llx is not known to this version%s",
             (unsigned long long)fingerprint, codec->later ? ", nor to its --schemas" : "");
    return false;
  }
  struct str body = {bytes.data + HEADER_SIZE, bytes.size - HEADER_SIZE};
  const struct record_desc *record = codec->schemas->records[writer.record];
  void *into = arena_alloc(arena, record->size);
  if (!binary_read(writer.type, record, body, into, arena, error)) {
    size_t used = strlen(error);
    snprintf(error + used, CODEC_ERROR_SIZE - used, " (as %s)", record->name);
    return false;
  }
  *out = (struct record){.type = writer.record, .value = into};
  return true;
}

/* ---- encoding ---- */

struct str codec_encode(struct codec *codec, struct record record, struct arena *arena) {
  struct version *version = codec->current[record.type];
  version_parse(version, codec->schemas);
  codec->buffer[0] = (char)0xc3;
  codec->buffer[1] = 0x01;
  memcpy(codec->buffer + 2, &version->schema->fingerprint, 8);
  size_t size = binary_write(version->type, record.value, codec->buffer + HEADER_SIZE,
                             sizeof codec->buffer - HEADER_SIZE);
  return size ? arena_copy(arena, (struct str){codec->buffer, HEADER_SIZE + size})
              : (struct str){0};
}
