/* Avro's single-object encoding (Avro specification, "Single-object encoding"): C3 01, the
 * CRC-64-AVRO fingerprint of the writer's schema, the body. Decoding takes each
 * field over by its name; fields the writer did not know get their defaults.
 *
 * A codec belongs to one thread: its buffer is not shared. */
#ifndef HOLDFAST_RECORD_CODEC_H
#define HOLDFAST_RECORD_CODEC_H

#include "runtime/base/arena.h"
#include "runtime/record/schema.h"

#define RECORD_SIZE_MAX ((size_t)64 * 1024) /* header and body; more is refused both ways */
#define CODEC_ERROR_SIZE 256

struct codec;

struct record {
  int type;          /* enum record_type */
  const void *value; /* struct of that type; borrows from the arena of its decoding */
};

/* Where every codec made from here on looks for a schema that this binary was not built with
 * (later.h; NULL: nowhere): so a release that is put back reads what a later one wrote. The path is
 * borrowed. */
void codec_look_in(const char *path);

struct codec *codec_new(const struct schema_set *schemas);
void codec_free(struct codec *codec);
const struct schema_set *codec_schemas(const struct codec *codec);

/* False with a sentence in error (CODEC_ERROR_SIZE bytes) that says what is wrong and at which
 * byte. */
bool codec_decode(struct codec *codec, struct str bytes, struct arena *arena, struct record *out,
                  char *error);

/* The encoded record, in the arena. data is NULL if it is larger than RECORD_SIZE_MAX. */
struct str codec_encode(struct codec *codec, struct record record, struct arena *arena);

#endif
