/* Records as JSON objects: {"type":"Reserve","reservation_id":"r1",...}. Bytes are written in
 * hexadecimal. */
#ifndef HOLDFAST_RECORD_JSON_H
#define HOLDFAST_RECORD_JSON_H

#include <jansson.h>

#include "runtime/record/codec.h"

/* A new reference. */
json_t *record_to_json(const struct schema_set *schemas, struct record record);

/* Fields that are left out get their defaults; an unknown field, a wrong type, a number out of
 * range is refused with the field's name in error (CODEC_ERROR_SIZE). The record borrows from the
 * arena only. */
bool record_from_json(const struct schema_set *schemas, const json_t *json, struct arena *arena,
                      struct record *out, char *error);

/* The value's JSON on one line, in the arena. */
struct str json_line(const json_t *json, struct arena *arena);

/* A JSON string of bytes that should be UTF-8; wrong ones are replaced, so that the answer is JSON
 * whatever came. New reference. */
json_t *json_text(struct str text);

/* A JSON string of bytes in hexadecimal. New reference. */
json_t *json_hex(struct str bytes);

#endif
