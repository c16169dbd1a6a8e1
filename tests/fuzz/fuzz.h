/* What the fuzz targets share. Each is a file of tests/fuzz with LLVMFuzzerTestOneInput, linked
 * with libFuzzer: `make fuzz`. Beside what the sanitizers find, each asserts that the memory of a
 * decoder is linear in the bytes it reads. */
#ifndef HOLDFAST_FUZZ_H
#define HOLDFAST_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/arena.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The largest item of an array has some ten fields of 16 bytes and can be one byte on the wire; its
 * strings are aligned to 16 bytes; what grows by doubling leaves as much behind. */
#define ARENA_PER_BYTE 512
#define ARENA_AT_LEAST 16384

static inline void must(bool fine, const char *what) {
  if (fine) return;
  fprintf(stderr, "fuzz: %s\n", what);
  abort();
}

static inline void must_be_linear(const struct arena *arena, size_t bytes) {
  must(arena->total <= ARENA_PER_BYTE * bytes + ARENA_AT_LEAST, "memory is not linear");
}

/* The input is cut at its first NUL: the text before it, and what is left. */
static inline struct str take_text(const uint8_t **data, size_t *size) {
  const char *text = (const char *)*data;
  size_t length = *size ? strnlen(text, *size) : 0, taken = length + (length < *size);
  *data += taken;
  *size -= taken;
  return (struct str){length ? text : "", length};
}

#endif
