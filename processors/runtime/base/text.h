/* Numbers as text, where printf would be a good part of a record's cost. Each writes at `at`, ends
 * nothing with a NUL, and returns what is behind the text. */
#ifndef HOLDFAST_BASE_TEXT_H
#define HOLDFAST_BASE_TEXT_H

#include "runtime/base/str.h"

#define TEXT_NUMBER_MAX 20 /* of an int64_t */
#define TEXT_HEX_SIZE 16

static inline char *text_put(char *at, struct str text) {
  if (text.size) memcpy(at, text.data, text.size);
  return at + text.size;
}

static inline char *text_number(char *at, int64_t number) {
  char digits[TEXT_NUMBER_MAX];
  size_t count = 0;
  uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
  if (number < 0) *at++ = '-';
  do digits[count++] = (char)('0' + left % 10);
  while (left /= 10);
  while (count) *at++ = digits[--count];
  return at;
}

/* All sixteen digits. */
static inline char *text_hex(char *at, uint64_t number) {
  for (int shift = 60; shift >= 0; shift -= 4) *at++ = "0123456789abcdef"[number >> shift & 15];
  return at;
}

#endif
