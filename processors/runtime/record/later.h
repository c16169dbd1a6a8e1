/* Schemas that this binary was not built with, as a later release wrote them down: a file with a
 * line {"record":NAME,"schema":TEXT} for each version, where TEXT is in Parsing Canonical Form (Avro
 * specification). It is looked at when a record comes whose schema is not known, and read again once
 * it has changed. Of one thread, as its codec. */
#ifndef HOLDFAST_RECORD_LATER_H
#define HOLDFAST_RECORD_LATER_H

#include "runtime/record/type.h"

#define LATER_FILE_MAX ((size_t)16 << 20) /* bytes */

struct later;

struct later_schema {
  uint64_t fingerprint;
  int record; /* enum record_type */
  struct avro_type *type;
};

/* The path is borrowed. */
struct later *later_new(const struct schema_set *schemas, const char *path);
void later_free(struct later *later);

/* NULL: it is not there, or cannot be understood, of which a warning tells. */
const struct later_schema *later_find(struct later *later, uint64_t fingerprint);

/* CRC-64-AVRO (Avro specification, "Schema fingerprints"). */
uint64_t schema_fingerprint(struct str canonical);

#endif
