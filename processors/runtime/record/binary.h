/* Avro's binary encoding (Avro specification, "Binary Encoding") of the subset that scripts/codegen
 * lets through, straight between bytes and a C struct.
 *
 * avro-c is not asked to do this: it believes what it reads (a length larger than the buffer is
 * allocated first, ten bytes of array<null> grow past a gigabyte, an enum's index may be anything,
 * what is left over goes unnoticed), and its generic values cost a dozen allocations a record. It
 * parses the schemas, and in the tests it reads what is written here and writes what is read. */
#ifndef HOLDFAST_RECORD_BINARY_H
#define HOLDFAST_RECORD_BINARY_H

#include "runtime/base/arena.h"
#include "runtime/record/type.h"

/* Reads one value of the type, and nothing more, into the struct that `record` describes: every
 * length and count within the bytes that are left, every number within its range, every string
 * UTF-8, enums and booleans in range. Strings are copied to the arena; a size that the bytes claim
 * beyond their own is never allocated. False: error (CODEC_ERROR_SIZE) has the fault and its byte;
 * into and the arena hold parts then. */
bool binary_read(const struct avro_type *type, const struct record_desc *record, struct str bytes,
                 void *into, struct arena *arena, char *error);

/* Writes the struct `from` as the type, whose members are the record's fields. The size, or 0 if it
 * does not fit `room` bytes. */
size_t binary_write(const struct avro_type *type, const void *from, char *out, size_t room);

/* True if the bytes are UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing past
 * U+10FFFF). */
bool utf8_valid(struct str text);

#endif
