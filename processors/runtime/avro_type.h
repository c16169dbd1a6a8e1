/* A writer's schema as a plain tree, and the bounded walk of bytes that somebody else sent.
 *
 * avro-c believes what it reads: a length larger than the buffer is allocated first, ten bytes of
 * array<null> grow past a gigabyte, an enum's index may be anything, what is left over goes
 * unnoticed. So no byte reaches it that has not passed this walk. */
#ifndef HOLDFAST_AVRO_TYPE_H
#define HOLDFAST_AVRO_TYPE_H

#include <avro.h>

#include "schema.h"

struct avro_member {
  struct avro_type *type;   /* owned */
  const struct field *into; /* the reader's field of that name; NULL: nobody reads it */
};

struct avro_type {
  enum field_kind kind; /* of the items, where array */
  bool array;
  size_t count; /* of symbols or members */
  int *symbols; /* enum: the reader's number of each of the writer's; -1: it has none. Owned */
  struct avro_member *members; /* record: in the writer's order. Owned */
  struct avro_type *items;     /* array. Owned */
};

/* The tree of a writer's schema as `reader` will read it (NULL: only to be checked). Ends the
 * process on a schema outside the subset that scripts/codegen lets through: it cannot come from
 * there. */
struct avro_type *avro_type_new(avro_schema_t schema, const struct record_desc *reader);
void avro_type_free(struct avro_type *type);

/* True if bytes are one value of the type and nothing more: every length and count within the bytes
 * that are left, every number within its range, every string UTF-8, enums and booleans in range.
 * Reads each byte once and allocates nothing. Else false, with what is wrong and at which byte in
 * error (CODEC_ERROR_SIZE). */
bool avro_type_check(const struct avro_type *type, struct str bytes, char *error);

/* True if the bytes are UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing past U+10FFFF).
 */
bool utf8_valid(struct str text);

#endif
