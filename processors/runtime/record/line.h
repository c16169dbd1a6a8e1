/* A record as a line of JSON: {"topic","key","timestamp","headers","value"}. For pipes, and for
 * people to read. */
#ifndef HOLDFAST_RECORD_LINE_H
#define HOLDFAST_RECORD_LINE_H

#include "runtime/base/read_line.h"
#include "runtime/record/json.h"
#include "runtime/record/message.h"

/* A new reference. A value that cannot be decoded is shown as {"undecodable": why, "bytes":
 * hexadecimal}; a tombstone as null. */
json_t *line_json(struct codec *codec, const char *topic, const struct message *record);

/* The record of a line, its value encoded, borrowing from the arena, and its topic. False with a
 * sentence in error (CODEC_ERROR_SIZE). */
bool line_parse(struct codec *codec, struct str text, struct arena *arena, struct str *topic,
                struct message *out, char *error);

/* The key of a record of this type: reservation_id, or item_id, or customer_id. */
struct str command_key(struct record record);

#endif
