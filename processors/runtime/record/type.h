/* A writer's schema as a plain tree. */
#ifndef HOLDFAST_RECORD_TYPE_H
#define HOLDFAST_RECORD_TYPE_H

#include <avro.h>

#include "runtime/record/schema.h"

struct avro_member {
  struct avro_type *type;   /* owned */
  const struct field *into; /* the reader's field of that name; NULL: nobody reads it */
};

struct avro_type {
  enum field_kind kind; /* of the items, where array */
  bool array;
  size_t count;  /* of symbols or members */
  int *symbols;  /* enum: the reader's number of each of the writer's; -1: it has none. Owned */
  bool complete; /* record: the writer has every field of the reader's, so none needs its default */
  struct avro_member *members; /* record: in the writer's order. Owned */
  struct avro_type *items;     /* array. Owned */
};

/* The tree of a writer's schema as `reader` will read it (NULL: only to be checked). NULL: it is
 * outside the subset that scripts/codegen lets through. */
struct avro_type *avro_type_new(avro_schema_t schema, const struct record_desc *reader);
void avro_type_free(struct avro_type *type);

#endif
